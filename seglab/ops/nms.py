"""Non-maximum suppression: of boxes that cover one another keep the one with the best score."""
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab.inputs import positive
from seglab.ops.boxes import checked_boxes, wide
from seglab.ops.tensors import real_tensor

BLOCK = 128
CALL = 10_000               # overlaps that could be computed while NumPy is called for one window


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
    The same boxes as the greedy loop, in blocks of 128: one is decided from the matrix of its own overlaps, and what
    its kept boxes suppress is never looked at again. Many boxes of which few are near one another (more than 20,000, on
    the CPU) are decided one by one, each compared only with those that begin near enough to its left edge, or to its
    upper one, to overlap it so much. The threshold is compared as the float64 it is, as torchvision's CPU kernel does.

    References
    ----------
    Girshick et al., "R-CNN", CVPR 2014, section 2.3. Derived in notebook 12.
    """
    return _nms(*_checked(boxes, scores, iou_threshold), iou_threshold)


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
        As :func:`nms`, and for idxs of another length or no integers.

    Notes
    -----
    torchvision shifts small sets of boxes by ``idxs * (largest coordinate + 1)`` and suppresses once. Boxes with
    negative coordinates then reach into the neighbouring class, and large shifts round the coordinates. Here each
    class is suppressed by itself.
    """
    boxes, scores = _checked(boxes, scores, iou_threshold)
    idxs = real_tensor(idxs, "idxs", "(N,)")
    if idxs.is_floating_point():
        raise TypeError(f"idxs must be integers, got {idxs.dtype}")
    if idxs.shape != scores.shape:
        raise ValueError(f"idxs must hold one class a box, shape {tuple(scores.shape)}, got {tuple(idxs.shape)}")
    kept = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    for group in idxs.unique():
        members = (idxs == group).nonzero()[:, 0]
        kept[members[_nms(boxes[members], scores[members], iou_threshold)]] = True
    kept = kept.nonzero()[:, 0]
    return kept[scores[kept].sort(descending=True, stable=True)[1]]


def _checked(boxes: Any, scores: Any, iou_threshold: float) -> tuple[Tensor, Tensor]:
    """Boxes in float32 or float64, and scores."""
    boxes, scores = wide(checked_boxes(boxes)).detach(), real_tensor(scores, "scores", "(N,)").detach()
    if scores.shape != boxes.shape[:1]:
        raise ValueError(f"boxes and scores must have shape (N, 4) and (N,), got {tuple(boxes.shape)} "
                         f"and {tuple(scores.shape)}")
    if scores.isnan().any():
        raise ValueError(f"scores must be numbers, {int(scores.isnan().sum())} of {len(scores)} are NaN")
    if positive(iou_threshold, "iou_threshold", zero=True) > 1:
        raise ValueError(f"iou_threshold must be in 0..1, got {iou_threshold}")
    return boxes if boxes.is_floating_point() else boxes.double(), scores


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    kind = np.float32 if boxes.dtype == torch.float32 else np.float64
    limit = kind(iou_threshold)
    if float(limit) > iou_threshold:                                    # float32(0.3) > 0.3: the next one below
        limit = np.nextafter(limit, kind(0))
    limit = float(limit)
    order = scores.sort(descending=True, stable=True)[1]
    sides = boxes[order].T
    area = (sides[2:] - sides[:2]).prod(0).clamp_(min=0)                # below 0 where one side is reversed
    boxes = torch.cat([sides, area[None]])                              # (5, N), best first
    if len(order) > 2 * CALL and not boxes.is_cuda:
        places, first, past = _windows(boxes[:4].numpy(), limit)
        tiny = (area > 0) & (area < 1e-30)                              # whose IoU would be rounded coarsely
        if CALL * len(order) + (past - first).sum() < len(order) ** 2 / 2 and not tiny.any():
            return order[torch.tensor(_one_by_one(boxes.numpy(), places, first, past, limit))]
    kept = []
    while len(order):
        block, boxes = boxes[:, :BLOCK], boxes[:, BLOCK:]
        keep = _greedy(_overlaps(block, block) > limit)
        kept.append(order[keep])
        free = (~(_overlaps(block[:, keep], boxes).amax(0) > limit)).nonzero()[:, 0]     # 0 / 0, no area: not above
        order, boxes = order[BLOCK:][free], boxes.index_select(1, free)
    return torch.cat(kept) if kept else order


def _overlaps(a: Tensor, b: Tensor) -> Tensor:
    """IoU (A, B) of (5, A) and (5, B): box_iou in place, which halves the time."""
    (left, top, right, bottom, area), (x1, y1, x2, y2, other) = a[:, :, None], b
    width = torch.minimum(right, x2).sub_(torch.maximum(left, x1)).clamp_(min=0)
    height = torch.minimum(bottom, y2).sub_(torch.maximum(top, y1)).clamp_(min=0)
    inter = width.mul_(height)
    union = torch.add(area, other, out=height).sub_(inter)
    return inter.div_(union)


def _greedy(above: Tensor) -> Tensor:
    """Of (B, B) bool, whether two boxes overlap too much, the indices of those that no kept earlier one overlaps."""
    rows = np.packbits(above.cpu().numpy(), axis=1, bitorder="little")
    left, kept = (1 << len(rows)) - 1, []                               # a row as the bits of one integer
    while left:
        lowest = left & -left
        kept.append(lowest.bit_length() - 1)
        left &= ~(int.from_bytes(rows[kept[-1]].tobytes(), "little") | lowest)
    return torch.tensor(kept, device=above.device)


def _windows(sides: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An order of the boxes (4, N), and for each box the range in it outside which no IoU is above the limit.

    IoU > t needs an overlap of more than t times the wider width, so the other box begins after x1 - (1 - t) / t times
    the width, and before x1 + (1 - t) times it. The same holds down the picture; the axis with fewer pairs is taken.
    """
    found = []
    share, slack = limit * (1 - 1e-4), 1e-9 * np.abs(sides).max().astype(np.float64)     # the IoU is a rounded number
    for axis in (0, 1):
        begin = sides[axis].astype(np.float64)
        reach = (sides[axis + 2] - begin) * (1 - share)
        places = begin.argsort(kind="stable")
        past = np.searchsorted(begin[places], begin + reach + slack, side="right")
        first = np.searchsorted(begin[places], begin - reach / share - slack) if share else np.zeros_like(past)
        found.append((places, np.minimum(first, past), past))
    return min(found, key=lambda window: (window[2] - window[1]).sum())


def _one_by_one(boxes: np.ndarray, places: np.ndarray, first: np.ndarray, past: np.ndarray,
                limit: float) -> list[int]:
    """Indices of the boxes (5, N), best first, that greedy suppression keeps; each looks at its window only."""
    x1, y1, x2, y2, area = boxes[:, places]
    free, kept = np.ones(len(places), bool), []
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        windows = zip(places.argsort().tolist(), first.tolist(), past.tolist(), strict=True)
        for k, (at, start, stop) in enumerate(windows):
            if free[at]:
                kept.append(k)
                near = slice(start, stop)
                inter = np.minimum(x2[near], x2[at])
                inter -= np.maximum(x1[near], x1[at])
                np.maximum(inter, 0, out=inter)
                height = np.minimum(y2[near], y2[at])
                height -= np.maximum(y1[near], y1[at])
                inter *= np.maximum(height, 0, out=height)
                union = area[near] + area[at]
                union -= inter
                inter /= union
                free[near] &= ~(inter > limit)
    return kept
