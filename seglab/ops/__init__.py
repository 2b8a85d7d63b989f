"""Operators on tensors and label maps: what the models, losses and chapters are made of."""
from seglab.ops.atrous import (
    batch_to_space,
    dilated_conv2d,
    dilated_conv2d_by_phases,
    path_counts,
    space_to_batch,
    stuff_kernel,
)
from seglab.ops.dense_crf import crf_energy, dense_crf
from seglab.ops.receptive_field import ReceptiveField, receptive_field, receptive_field_formula
from seglab.ops.separate_touching import separate_touching
from seglab.ops.weight_map import unet_weight_map

__all__ = [
    "ReceptiveField",
    "batch_to_space",
    "crf_energy",
    "dense_crf",
    "dilated_conv2d",
    "dilated_conv2d_by_phases",
    "path_counts",
    "receptive_field",
    "receptive_field_formula",
    "separate_touching",
    "space_to_batch",
    "stuff_kernel",
    "unet_weight_map",
]
