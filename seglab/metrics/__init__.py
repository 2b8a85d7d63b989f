"""Metrics of masks, outlines, objects, detections and probabilities.

The truth comes first everywhere: ``metric(true, pred)``. Arrays and tensors are both taken; results are floats
and float64 arrays. One rule for nothing: where nothing was to be found and nothing was found, a score is 1 and
an error 0. The one NaN there is stands in per-class vectors for a class absent from both maps.
"""

from seglab.metrics.boundary import boundary_f1, hausdorff, trimap_iou
from seglab.metrics.calibration import calibration_error, reliability_curve
from seglab.metrics.coco import COCOEvaluator
from seglab.metrics.confusion import ConfusionMatrix, mean_of_present
from seglab.metrics.joint_counts import joint_counts
from seglab.metrics.objects import mask_iou, merges_and_splits, object_f1
from seglab.metrics.overlap import dice, iou, pixel_accuracy, pixel_error
from seglab.metrics.panoptic import PanopticQuality, panoptic_quality
from seglab.metrics.rand_error import rand_error, rand_scores
from seglab.metrics.variation_of_information import information_score, variation_of_information
from seglab.metrics.warping_error import simple_points, warp, warping_error

__all__ = [
    "COCOEvaluator", "ConfusionMatrix", "PanopticQuality", "boundary_f1", "calibration_error", "dice",
    "hausdorff", "information_score", "iou", "joint_counts", "mask_iou", "mean_of_present",
    "merges_and_splits", "object_f1", "panoptic_quality", "pixel_accuracy", "pixel_error", "rand_error",
    "rand_scores", "reliability_curve", "simple_points", "trimap_iou",
    "variation_of_information", "warp", "warping_error",
]
