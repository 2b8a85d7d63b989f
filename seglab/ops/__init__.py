"""Operators on tensors and label maps: what the models, losses and chapters are made of."""
from seglab.ops.anchors import base_anchors, grid_anchors
from seglab.ops.atrous import (
    batch_to_space,
    dilated_conv2d,
    dilated_conv2d_by_phases,
    path_counts,
    space_to_batch,
    stuff_kernel,
)
from seglab.ops.boxes import (
    box_area,
    box_iou,
    clip_boxes_to_image,
    decode_boxes,
    encode_boxes,
    masks_to_boxes,
    remove_small_boxes,
)
from seglab.ops.dense_crf import crf_energy, dense_crf
from seglab.ops.match_boxes import match_boxes
from seglab.ops.matching import match, sample
from seglab.ops.nms import batched_nms, nms
from seglab.ops.receptive_field import ReceptiveField, receptive_field, receptive_field_formula
from seglab.ops.roi_align import roi_align
from seglab.ops.roi_pool import roi_pool
from seglab.ops.separate_touching import separate_touching
from seglab.ops.weight_map import unet_weight_map

__all__ = [
    "ReceptiveField",
    "base_anchors",
    "batch_to_space",
    "batched_nms",
    "box_area",
    "box_iou",
    "clip_boxes_to_image",
    "crf_energy",
    "decode_boxes",
    "dense_crf",
    "dilated_conv2d",
    "dilated_conv2d_by_phases",
    "encode_boxes",
    "grid_anchors",
    "masks_to_boxes",
    "match",
    "match_boxes",
    "nms",
    "path_counts",
    "receptive_field",
    "receptive_field_formula",
    "remove_small_boxes",
    "roi_align",
    "roi_pool",
    "sample",
    "separate_touching",
    "space_to_batch",
    "stuff_kernel",
    "unet_weight_map",
]
