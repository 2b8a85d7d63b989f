"""Which proposals the heads learn from, and what each should become. Proposals -> training RoIs.

Girshick, "Fast R-CNN", ICCV 2015, section 2.3; Mask R-CNN, section 3.1: positives have IoU >= 0.5, at a ratio of 1:3.
Built in notebooks 12 and 14.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seglab.ops.boxes import encode_boxes
from seglab.ops.match_boxes import match_boxes
from seglab.ops.matching import BETWEEN, sample


class TrainingRoIs(NamedTuple):
    """The sampled RoIs of a batch; every list has one entry a picture, R_i RoIs in the order of the proposals."""

    boxes: list[Tensor]          # (R_i, 4) px
    labels: list[Tensor]         # (R_i,) int64, class of the object, 0 = background
    objects: list[Tensor]        # (R_i,) int64, row of the object in the targets, 0 where there is none
    box_targets: list[Tensor]    # (R_i, 4) offsets to the object's box; zeros for pictures without objects

    def positives(self) -> "TrainingRoIs":
        """Those that show an object: the ones that masks (and keypoints) are learnt from."""
        keep = [labels > 0 for labels in self.labels]
        return TrainingRoIs(*([value[k] for value, k in zip(column, keep)] for column in self))


@torch.no_grad()
def sample_rois(proposals: Sequence[Tensor], targets: Sequence[dict[str, Tensor]], fg_iou_thresh: float = 0.5,
                bg_iou_thresh: float = 0.5, batch_size_per_image: int = 512, positive_fraction: float = 0.25,
                weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)) -> TrainingRoIs:
    """Match proposals with objects, draw some of each kind, and encode what the box head should say.

    Parameters
    ----------
    proposals : list of N Tensors (P_i, 4)
        px. The true boxes are appended to them, so that every object has a RoI from the first step on.
    targets : list of N dicts
        ``"boxes"`` (G_i, 4) and ``"labels"`` (G_i,); G_i may be 0.
    fg_iou_thresh, bg_iou_thresh : float
        A proposal shows its best object from the first on and background below the second; between, it is not used.
    batch_size_per_image, positive_fraction
        RoIs drawn a picture, and the largest share of positives among them.
    weights : four floats
        Of :func:`seglab.ops.encode_boxes`.

    Returns
    -------
    TrainingRoIs

    Notes
    -----
    Draws what torchvision's ``RoIHeads.select_training_samples`` draws after the same seed.
    """
    columns = []
    for boxes, target in zip(proposals, targets, strict=True):
        truth = target["boxes"].to(boxes)
        boxes = torch.cat([boxes, truth])
        matched = match_boxes(truth, boxes, fg_iou_thresh, bg_iou_thresh)
        objects = matched.clamp(min=0)
        labels = torch.zeros_like(matched)
        if len(truth):
            labels = torch.where(matched >= 0, target["labels"][objects], labels)
        labels[matched == BETWEEN] = -1
        drawn = torch.cat(sample(labels, batch_size_per_image, positive_fraction)).sort()[0]
        boxes, labels, objects = boxes[drawn], labels[drawn], objects[drawn]
        offsets = encode_boxes(truth[objects], boxes, weights) if len(truth) else torch.zeros_like(boxes)
        columns.append((boxes, labels, objects, offsets))
    return TrainingRoIs(*(list(column) for column in zip(*columns)))
