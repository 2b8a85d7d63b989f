"""Non-maximum suppression: of boxes that cover one another keep the one with the best score."""
import torch
from torch import Tensor

from seglab.ops.boxes import _wide, checked_boxes

BLOCK = 128


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Indices of the boxes that greedy suppression keeps, best score first.

    Parameters
    ----------
    boxes : Tensor (N, 4)
        Any coordinates, also negative. Empty and reversed boxes overlap nothing and stay.
    scores : Tensor (N,)
        Any order; of equal scores the lower index comes first.
    iou_threshold : float
        0..1. A box is dropped if its IoU with a *kept* better one is **above** it; equal stays.

    Returns
    -------
    Tensor (K,), int64

    Raises
    ------
    TypeError, ValueError
        Boxes of another form, NaN or infinite; a score is NaN; numbers differ; threshold outside 0..1.

    Notes
    -----
    The same boxes as the greedy loop. In order of the scores, ``keep`` is the only solution of "a box is kept if no
    kept better one overlaps it", so iterating that rule on the matrix of overlaps ends there. Blocks of 128 are solved
    one after another, and what a solved block suppresses is never looked at again. The threshold is compared as the
    float64 it is, as torchvision's CPU kernel does.

    References
    ----------
    Girshick et al., "R-CNN", CVPR 2014, section 2.3. Derived in notebook 12.
    """
    _check(boxes, scores, iou_threshold)
    return _nms(boxes.detach(), scores.detach(), iou_threshold)


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """Suppression within each class (or level, or image) only: :func:`nms` where ``idxs`` are equal.

    Parameters
    ----------
    boxes, scores, iou_threshold
        As in :func:`nms`.
    idxs : Tensor (N,), integer
        Class of each box.

    Returns
    -------
    Tensor (K,), int64
        Best score first, over all classes; of equal scores the lower index.

    Raises
    ------
    TypeError, ValueError
        As :func:`nms`, and for idxs of another length.

    Notes
    -----
    torchvision shifts small sets of boxes by ``idxs * (largest coordinate + 1)`` and suppresses once. Boxes with
    negative coordinates then reach into the neighbouring class, and large shifts round the coordinates. Here each
    class is suppressed by itself.
    """
    _check(boxes, scores, iou_threshold)
    if idxs.shape != scores.shape:
        raise ValueError(f"idxs must hold one class a box, shape {tuple(scores.shape)}, got {tuple(idxs.shape)}")
    boxes, scores = boxes.detach(), scores.detach()
    kept = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for group in idxs.unique():
        members = (idxs == group).nonzero()[:, 0]
        kept[members[_nms(boxes[members], scores[members], iou_threshold)]] = True
    kept = kept.nonzero()[:, 0]
    return kept[scores[kept].sort(descending=True, stable=True)[1]]


def _check(boxes, scores, iou_threshold):
    checked_boxes(boxes)
    if boxes.ndim != 2 or scores.shape != boxes.shape[:1]:
        raise ValueError(f"boxes and scores must have shape (N, 4) and (N,), got {tuple(boxes.shape)} "
                         f"and {tuple(scores.shape)}")
    if scores.isnan().any():
        raise ValueError(f"scores must be numbers, {int(scores.isnan().sum())} of {len(scores)} are NaN")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold must be in 0..1, got {iou_threshold}")


def _nms(boxes, scores, iou_threshold):
    boxes = _wide(boxes)
    boxes = boxes if boxes.is_floating_point() else boxes.float()
    limit = torch.tensor(iou_threshold, dtype=boxes.dtype)
    if float(limit) > iou_threshold:                                    # float32(0.3) > 0.3: the next one below
        limit = torch.nextafter(limit, torch.zeros_like(limit))
    left = scores.sort(descending=True, stable=True)[1]                 # not decided yet, best first
    kept = []
    while len(left):
        block = left[:BLOCK]
        overlaps = _overlaps(boxes[block], boxes[left], limit.item())
        keep = _fixed_point(overlaps[:, :len(block)])
        kept.append(block[keep])
        left = left[BLOCK:][~overlaps[keep, len(block):].any(0)]
    return torch.cat(kept) if kept else torch.zeros(0, dtype=torch.int64, device=boxes.device)


def _overlaps(a, b, limit):
    """Whether the IoU is above the limit, (B, M) bool: box_iou in place, which halves the time."""
    left, top, right, bottom = a[:, :, None].unbind(1)
    x1, y1, x2, y2 = b.T.contiguous().unbind(0)
    width = torch.minimum(right, x2).sub_(torch.maximum(left, x1)).clamp_(min=0)
    height = torch.minimum(bottom, y2).sub_(torch.maximum(top, y1)).clamp_(min=0)
    inter = width.mul_(height)
    union = torch.add((right - left) * (bottom - top), (x2 - x1) * (y2 - y1), out=height).sub_(inter)
    return inter.div_(union) > limit                                    # 0 / 0, boxes without area: not above


def _fixed_point(overlaps):
    """The boxes that no kept earlier one overlaps, (B,) bool from (B, B) bool."""
    earlier = overlaps.triu(1).float()                                  # [i, j]: i < j, and i would suppress j
    keep = torch.ones(len(earlier), device=earlier.device)
    while True:
        suppressed = keep @ earlier > 0
        if torch.equal(suppressed, keep == 0):
            return keep > 0
        keep = (~suppressed).float()
