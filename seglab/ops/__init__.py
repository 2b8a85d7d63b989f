"""Operators on tensors and label maps: what the models, losses and chapters are made of."""
from seglab.ops.receptive_field import ReceptiveField, receptive_field, receptive_field_formula
from seglab.ops.separate_touching import separate_touching
from seglab.ops.weight_map import unet_weight_map

__all__ = [
    "ReceptiveField",
    "receptive_field",
    "receptive_field_formula",
    "separate_touching",
    "unet_weight_map",
]
