"""One gate for what a detector trains on: boxes, labels and masks of every picture, checked before any kernel runs.

Used by ``FasterRCNN`` and ``MaskRCNN`` (notebooks 12, 14).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def check_targets(targets: Sequence[Mapping[str, Tensor]], sizes: Sequence[tuple[int, int]], num_classes: int,
                  masks: bool = True) -> list[dict[str, Tensor]]:
    """Check the truth of a batch and give back copies of the dictionaries; the tensors are not copied.

    Parameters
    ----------
    targets : list of dicts, one a picture
        ``"boxes"`` (N, 4) float, x1, y1, x2, y2 in px with x1 < x2 and y1 < y2; ``"labels"`` (N,) integers in
        1..num_classes - 1; and, for masks, either ``"masks"`` (N, H, W) bool, or 0 and 1, or ``"instances"``
        (H, W) integers in 0..N, where row i - 1 of the boxes belongs to id i. N may be 0. Other keys pass unchanged.
    sizes : list of (int, int)
        Height and width of every picture, px.
    num_classes : int
        Classes with the background, which is class 0.
    masks : bool
        Whether masks are needed.

    Returns
    -------
    list of dicts
        Labels as int64, empty boxes as (0, 4), masks of floats as bool.

    Raises
    ------
    TypeError, ValueError
        Naming the picture and the entry.
    """
    if isinstance(targets, Mapping) or not isinstance(targets, Sequence):
        raise TypeError(f"targets must be a list of dictionaries, one a picture, got {type(targets).__name__}")
    if len(targets) != len(sizes):
        raise ValueError(f"targets must hold one dictionary a picture, {len(sizes)}, got {len(targets)}")
    return [_check(dict(target), f"targets[{i}]", size, num_classes, masks)
            for i, (target, size) in enumerate(zip(targets, sizes))]


def _check(target: dict[str, Tensor], name: str, size: tuple[int, int], num_classes: int, masks: bool
           ) -> dict[str, Tensor]:
    for key in ("boxes", "labels"):
        if key not in target:
            raise ValueError(f"{name} must hold {key!r}, got {sorted(target)}")
        if not isinstance(target[key], Tensor):
            raise TypeError(f"{name}[{key!r}] must be a tensor, got {type(target[key]).__name__}")
    boxes, labels = target["boxes"], target["labels"]
    if boxes.numel() == 0:
        boxes = boxes.new_zeros((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}['boxes'] must have shape (N, 4), got {tuple(boxes.shape)}")
    if not boxes.is_floating_point():
        if len(boxes):
            raise TypeError(f"{name}['boxes'] must be floating point, got {boxes.dtype}")
        boxes = boxes.float()
    wrong = ~torch.isfinite(boxes).all(1) | (boxes[:, 2:] <= boxes[:, :2]).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(f"{name}['boxes'] must be finite x1, y1, x2, y2 with x1 < x2 and y1 < y2, "
                         f"got {boxes[row].tolist()} in row {row}")
    if labels.shape != boxes.shape[:1]:
        raise ValueError(f"{name}['labels'] must have shape ({len(boxes)},), one a box, got {tuple(labels.shape)}")
    if len(labels) and (labels.is_floating_point() or labels.dtype == torch.bool):
        raise TypeError(f"{name}['labels'] must be integers, got {labels.dtype}")
    labels = labels.long()                                       # PyTorch has no minimum of uint16, uint32, uint64
    if len(labels) and not 1 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(f"{name}['labels'] must lie in 1..{num_classes - 1} (0 is the background), "
                         f"got {int(labels.min())}..{int(labels.max())}")
    target |= {"boxes": boxes, "labels": labels}
    if masks:
        _check_masks(target, name, tuple(size), len(boxes))
    return target


def _check_masks(target: dict[str, Tensor], name: str, size: tuple[int, int], count: int) -> None:
    if ("masks" in target) == ("instances" in target):
        raise ValueError(f"{name} must hold either 'masks' or 'instances', got {sorted(target)}")
    key = "masks" if "masks" in target else "instances"
    value = target[key]
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}[{key!r}] must be a tensor, got {type(value).__name__}")
    if key == "masks" and count == 0 and value.numel() == 0:     # whatever form an empty array happens to have
        target["masks"] = torch.zeros((0, *size), dtype=torch.uint8, device=value.device)
        return
    expected = (count, *size) if key == "masks" else size
    if tuple(value.shape) != expected:
        raise ValueError(f"{name}[{key!r}] must have shape {expected}, got {tuple(value.shape)}")
    if key == "instances" and (value.is_floating_point() or value.dtype == torch.bool):
        raise TypeError(f"{name}['instances'] must be integers, got {value.dtype}")
    if value.dtype in (torch.uint16, torch.uint32, torch.uint64):
        value = value.long()
    if value.dtype != torch.bool and value.numel():
        low, high = (v.item() for v in value.aminmax())
        most = 1 if key == "masks" else count
        if not 0 <= low <= high <= most:
            raise ValueError(f"{name}[{key!r}] must lie in 0..{most}, got {low:g}..{high:g}"
                             + (": divide by 255" if key == "masks" and high == 255 else ""))
    if value.is_floating_point():
        inside = value == 1
        if not (inside | (value == 0)).all():
            raise ValueError(f"{name}['masks'] must hold 0 and 1, got values between; compare them with a threshold")
        value = inside
    target[key] = value
