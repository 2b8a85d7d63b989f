"""Boxes as four numbers: areas, overlaps, clipping, and the offsets that a network predicts instead of a box.

A box is ``(x1, y1, x2, y2)`` in px, right and bottom edge exclusive, so its width is ``x2 - x1``. Names and conventions
are torchvision's. Derived in notebook 12.
"""
import math

import torch
from torch import Tensor

LARGEST_STEP = math.log(1000 / 16)      # decoding multiplies a side by at most 62.5


def checked_boxes(boxes: Tensor, name: str = "boxes") -> Tensor:
    """Give boxes ``(..., 4)`` back after the checks that every function here makes.

    Raises
    ------
    TypeError
        Not a tensor of numbers.
    ValueError
        Not ``(..., 4)``, or NaN or infinite; the message names the first such row.
    """
    if not isinstance(boxes, Tensor) or boxes.dtype == torch.bool or boxes.is_complex():
        raise TypeError(f"{name} must be a tensor of numbers, shape (N, 4), got "
                        f"{boxes.dtype if isinstance(boxes, Tensor) else type(boxes).__name__}")
    if boxes.ndim < 1 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} must have shape (N, 4), x1 y1 x2 y2 in px, got {tuple(boxes.shape)}")
    if boxes.is_floating_point():
        bad = ~torch.isfinite(boxes)
        if bad.any():
            rows = bad.reshape(-1, 4).any(1).nonzero()[:, 0]
            first = boxes.detach().reshape(-1, 4)[rows[0]].tolist()
            raise ValueError(f"{name} must be finite, {len(rows)} of {bad[..., 0].numel()} are not; "
                             f"row {int(rows[0])} is {first}")
    return boxes


def _sized(boxes: Tensor, name: str) -> Tensor:
    """Checked boxes that all have a width and a height."""
    sides = checked_boxes(boxes, name)[..., 2:] - boxes[..., :2]
    if (sides <= 0).any():
        row = int((sides <= 0).any(-1).nonzero()[0, 0])
        raise ValueError(f"{name} must have x1 < x2 and y1 < y2: no offset leads from or to an empty box; "
                         f"row {row} is {boxes[row].tolist()}")
    return boxes


def _wide(boxes: Tensor) -> Tensor:
    """In a type whose products neither overflow nor round early: float32 or wider, int32 or wider."""
    if boxes.is_floating_point():
        return boxes if boxes.dtype in (torch.float32, torch.float64) else boxes.float()
    return boxes if boxes.dtype in (torch.int32, torch.int64) else boxes.int()


def box_area(boxes: Tensor) -> Tensor:
    """Area ``(x2 - x1)(y2 - y1)`` of boxes ``(..., 4)``, shape ``(...)``, px^2; negative if one side is reversed."""
    boxes = _wide(checked_boxes(boxes))
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
    a, b = _wide(checked_boxes(boxes1, "boxes1")), _wide(checked_boxes(boxes2, "boxes2"))
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"boxes1 and boxes2 must have shape (N, 4) and (M, 4), got {tuple(a.shape)}, {tuple(b.shape)}")
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
        Boxes of another form, NaN or infinite.
    """
    height, width = size
    x1, y1, x2, y2 = checked_boxes(boxes).unbind(-1)
    return torch.stack([x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height)], dim=-1)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """Indices ``(K,)`` int64 of the boxes ``(N, 4)`` whose width and height are both >= ``min_size`` px."""
    sides = checked_boxes(boxes)[..., 2:] - boxes[..., :2]
    return (sides >= min_size).all(-1).nonzero()[:, 0]


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
    ValueError
        Masks of another shape.
    """
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
    Tensor (N, 4)
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
    if boxes.shape != proposals.shape:
        raise ValueError(f"boxes and proposals must have the same shape, got {tuple(boxes.shape)} "
                         f"and {tuple(proposals.shape)}")
    x, y, w, h = _centres(_sized(boxes, "boxes"))
    px, py, pw, ph = _centres(_sized(proposals, "proposals"))
    wx, wy, ww, wh = weights
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
        Proposals of another form, NaN or infinite; deltas of another shape.
    """
    if deltas.ndim != 2 or deltas.shape[1] % 4 or checked_boxes(proposals, "proposals").ndim != 2 \
            or len(deltas) != len(proposals):
        raise ValueError(f"deltas and proposals must have shape (N, 4K) and (N, 4), got {tuple(deltas.shape)} "
                         f"and {tuple(proposals.shape)}")
    px, py, pw, ph = (side[:, None] for side in _centres(proposals.to(deltas.dtype)))
    wx, wy, ww, wh = weights
    x, y = deltas[:, 0::4] / wx * pw + px, deltas[:, 1::4] / wy * ph + py
    w = torch.exp((deltas[:, 2::4] / ww).clamp(max=LARGEST_STEP)) * pw
    h = torch.exp((deltas[:, 3::4] / wh).clamp(max=LARGEST_STEP)) * ph
    return torch.stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], dim=2).flatten(1)
