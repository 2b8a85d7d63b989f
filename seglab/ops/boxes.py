"""Boxes as four numbers: areas, overlaps, clipping, and the offsets that a network predicts instead of a box.

A box is ``(x1, y1, x2, y2)`` in px, right and bottom edge exclusive, so its width is ``x2 - x1``. Names and conventions
are torchvision's. Derived in notebook 12.
"""
import math
from typing import Any

import torch
from torch import Tensor

from seglab.inputs import positive, several
from seglab.ops.tensors import real_tensor

LARGEST_STEP = math.log(1000 / 16)      # decoding multiplies a side by at most 62.5
LARGEST_WHOLE, LARGEST = 2 ** 30, 1e18  # px: two areas and their sum stay within int64, and within float32


def checked_boxes(boxes: Any, name: str = "boxes", rows: bool = True) -> Tensor:
    """Give boxes ``(N, 4)`` back, or ``(..., 4)`` without ``rows``, after the checks that every function here makes.

    Raises
    ------
    TypeError
        Not a tensor of numbers.
    ValueError
        Of another shape; NaN, infinite or beyond 1e18 px (integers: 2**30 px); the message names the first such row.
    """
    boxes = real_tensor(boxes, name, "(N, 4)" if rows else "(..., 4)")
    if boxes.ndim < 1 or boxes.shape[-1] != 4 or rows and boxes.ndim != 2:
        raise ValueError(f"{name} must have shape (N, 4), x1 y1 x2 y2 in px, got {tuple(boxes.shape)}")
    if boxes.dtype in (torch.uint8, torch.int8, torch.int16):
        return boxes
    largest = min(LARGEST, torch.finfo(boxes.dtype).max) if boxes.is_floating_point() else LARGEST_WHOLE
    good = (boxes <= largest) & (boxes >= -largest)                     # NaN is neither
    if not good.all():
        bad = (~good).reshape(-1, 4).any(1).nonzero()[:, 0]
        first = boxes.detach().reshape(-1, 4)[bad[0]].tolist()
        what = "finite" if boxes.is_floating_point() else "below 2**30"
        raise ValueError(f"{name} must be {what}, {len(bad)} of {good[..., 0].numel()} are not; row {int(bad[0])} is "
                         f"{first}" + f", more than {largest:g} px" * all(map(math.isfinite, first)))
    return boxes


def _sized(boxes: Any, name: str) -> Tensor:
    """Checked boxes that all have a width and a height, in a type to compute in."""
    boxes = wide(checked_boxes(boxes, name))
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(1)
    if empty.any():
        row = int(empty.nonzero()[0, 0])
        raise ValueError(f"{name} must have x1 < x2 and y1 < y2: no offset leads from or to an empty box; "
                         f"row {row} is {boxes[row].tolist()}")
    return boxes


def _factors(weights: Any) -> list[float]:
    return [positive(weight, "weights") for weight in several(weights, "weights", 4)]


def wide(boxes: Tensor) -> Tensor:
    """In a type whose products neither overflow nor round early: float32 or wider, int64."""
    if boxes.is_floating_point():
        return boxes if boxes.dtype in (torch.float32, torch.float64) else boxes.float()
    return boxes.long()


def box_area(boxes: Tensor) -> Tensor:
    """Area ``(x2 - x1)(y2 - y1)`` of boxes ``(..., 4)``, shape ``(...)``, px^2; negative if one side is reversed.

    Of whole boxes an int64, of half precision a float32: no area overflows.
    """
    boxes = wide(checked_boxes(boxes, rows=False))
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every pair of two sets of boxes.

    Parameters
    ----------
    boxes1, boxes2 : Tensor (N, 4), (M, 4)
        Either may be empty. Boxes may be empty or reversed, and overlap nothing then.

    Returns
    -------
    Tensor (N, M), floating
        In 0..1, differentiable.

    Raises
    ------
    TypeError, ValueError
        Boxes of another form, NaN or infinite.

    Notes
    -----
    Equal to ``torchvision.ops.box_iou`` bit for bit, but 0 where that has NaN (two boxes without area): an overlap
    with nothing is no overlap, and one NaN would spoil the matching of a whole image.

    Examples
    --------
    >>> box_iou(torch.tensor([[0, 0, 2, 2]]), torch.tensor([[1, 0, 3, 2], [5, 5, 5, 9]]))
    tensor([[0.3333, 0.0000]])
    """
    return overlaps(wide(checked_boxes(boxes1, "boxes1")), wide(checked_boxes(boxes2, "boxes2")))


def overlaps(a: Tensor, b: Tensor) -> Tensor:
    """:func:`box_iou` of boxes that are checked and wide."""
    # one axis at a time: half the memory of all corners at once
    left, top, right, bottom = a[:, :, None].unbind(1)
    width = (torch.minimum(right, b[:, 2]) - torch.maximum(left, b[:, 0])).clamp(min=0)
    height = (torch.minimum(bottom, b[:, 3]) - torch.maximum(top, b[:, 1])).clamp(min=0)
    inter = width * height
    area = ((right - left) * (bottom - top), (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]))
    union = area[0] + area[1] - inter
    return inter / torch.where(inter > 0, union, 1)          # where they overlap, the union is positive


def clip_boxes_to_image(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes ``(..., 4)`` cut at the borders of an image of ``size`` (height, width) px; one outside becomes empty.

    Raises
    ------
    TypeError, ValueError
        Boxes of another form, NaN or infinite; a size that is negative or no number.
    """
    height, width = several(size, "size", 2)
    for side in (height, width):
        positive(side, "size", zero=True)
    x1, y1, x2, y2 = checked_boxes(boxes, rows=False).unbind(-1)
    return torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], dim=-1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Indices ``(K,)`` int64 of the boxes ``(N, 4)`` whose width and height are both >= ``min_size`` px, >= 0."""
    boxes = wide(checked_boxes(boxes))
    return (boxes[:, 2:] - boxes[:, :2] >= positive(min_size, "min_size", zero=True)).all(1).nonzero()[:, 0]


def masks_to_boxes(masks: Tensor) -> Tensor:
    """Box of the non-zero pixels of each mask.

    Parameters
    ----------
    masks : Tensor (N, H, W)
        Bool or any number.

    Returns
    -------
    Tensor (N, 4), float32
        First and last pixel, **inclusive**, as torchvision has it: one pixel gives x1 == x2, an empty mask zeros.
        Add 1 to x2 and y2 for boxes as everything else here (and ``Sample.boxes``) means them.

    Raises
    ------
    TypeError
        Masks that are no tensor.
    ValueError
        Masks of another shape, or with NaN.
    """
    bools = isinstance(masks, Tensor) and masks.dtype == torch.bool
    masks = masks if bools else real_tensor(masks, "masks", "(N, H, W)")
    if masks.is_floating_point() and masks.isnan().any():
        raise ValueError("masks must be numbers, got NaN")
    if masks.ndim != 3:
        raise ValueError(f"masks must have shape (N, H, W), got {tuple(masks.shape)}")
    if masks.numel() == 0:
        return torch.zeros((len(masks), 4), device=masks.device)
    inside = masks != 0
    edges = []
    for line in (inside.any(1).int(), inside.any(2).int()):                # columns that hold a pixel, then rows
        edges.append((line.argmax(1), line.shape[1] - 1 - line.flip(1).argmax(1)))
    (x1, x2), (y1, y2) = edges
    return torch.stack([x1, y1, x2, y2], dim=1) * inside.flatten(1).any(1, keepdim=True).float()


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(-1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height


def encode_boxes(boxes: Tensor, proposals: Tensor,
                 weights: tuple[float, float, float, float] = (1, 1, 1, 1)) -> Tensor:
    """Offsets that lead from proposals (or anchors) to boxes: what the regressor has to predict.

    Parameters
    ----------
    boxes, proposals : Tensor (N, 4)
        Row i of one belongs to row i of the other. All sides positive.
    weights : four floats
        Factors of dx, dy, dw, dh: (1, 1, 1, 1) in the RPN, (10, 10, 5, 5) in the box head.

    Returns
    -------
    Tensor (N, 4), float32 or float64
        ``dx = wx (x - x_p) / w_p``, ``dw = ww log(w / w_p)`` with centres x and widths w; y and heights alike.

    Raises
    ------
    TypeError, ValueError
        Boxes of another form, NaN, infinite, of different number, or without width or height (an infinite offset).

    References
    ----------
    Ren et al., "Faster R-CNN", NIPS 2015, equation 2. Derived in notebook 12.

    Examples
    --------
    >>> encode_boxes(torch.tensor([[1., 0, 5, 4]]), torch.tensor([[0., 0, 4, 4]]))
    tensor([[0.2500, 0.0000, 0.0000, 0.0000]])
    """
    objects, places = _sized(boxes, "boxes"), _sized(proposals, "proposals")
    if objects.shape != places.shape:
        raise ValueError(f"boxes and proposals must have the same shape, got {tuple(objects.shape)} "
                         f"and {tuple(places.shape)}")
    x, y, w, h = _centres(objects)
    px, py, pw, ph = _centres(places)
    wx, wy, ww, wh = _factors(weights)
    return torch.stack([wx * (x - px) / pw, wy * (y - py) / ph,
                        ww * torch.log(w / pw), wh * torch.log(h / ph)], dim=-1)


def decode_boxes(deltas: Tensor, proposals: Tensor,
                 weights: tuple[float, float, float, float] = (1, 1, 1, 1)) -> Tensor:
    """Boxes that predicted offsets lead to: the inverse of :func:`encode_boxes`.

    Parameters
    ----------
    deltas : Tensor (N, 4) or (N, 4K)
        Four offsets a class, dx dy dw dh.
    proposals : Tensor (N, 4)
    weights : four floats
        Those of the encoding.

    Returns
    -------
    Tensor, shape of deltas
        One box a class. dw and dh are cut at log(1000 / 16) before the exponential, above only: an untrained
        regressor cannot overflow.

    Raises
    ------
    TypeError, ValueError
        Proposals of another form, NaN or infinite; deltas that are no floats, NaN, infinite or of another shape.
    """
    proposals, deltas = checked_boxes(proposals, "proposals"), real_tensor(deltas, "deltas", "(N, 4K)")
    if not deltas.is_floating_point():
        raise TypeError(f"deltas must be floats, got {deltas.dtype}")
    if deltas.ndim != 2 or deltas.shape[1] % 4 or len(deltas) != len(proposals):
        raise ValueError(f"deltas and proposals must have shape (N, 4K) and (N, 4), got {tuple(deltas.shape)} "
                         f"and {tuple(proposals.shape)}")
    if not deltas.isfinite().all():
        raise ValueError(f"deltas must be finite, {int((~deltas.isfinite()).sum())} of {deltas.numel()} are not")
    px, py, pw, ph = (side[:, None] for side in _centres(proposals.to(deltas.dtype)))
    wx, wy, ww, wh = _factors(weights)
    x, y = deltas[:, 0::4] / wx * pw + px, deltas[:, 1::4] / wy * ph + py
    w = torch.exp((deltas[:, 2::4] / ww).clamp(max=LARGEST_STEP)) * pw
    h = torch.exp((deltas[:, 3::4] / wh).clamp(max=LARGEST_STEP)) * ph
    return torch.stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], dim=2).flatten(1)
