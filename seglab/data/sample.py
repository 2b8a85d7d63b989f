"""The one form in which every loader and every synthetic scene hands out a picture and its labels."""

from dataclasses import dataclass

import torch
from torch import Tensor

IGNORE = 255  # semantic value of a pixel that neither a loss nor a metric may count


def _expect(holds, argument, expected, got):
    if not holds:
        raise ValueError(f"{argument}: expected {expected}, got {got}")


def _tensor(value, name, dtype, shape):
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
    if value.dtype != dtype:
        raise TypeError(f"{name}: expected dtype {dtype}, got {value.dtype}")
    fits = value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape))
    want = "(" + ", ".join("*" if side is None else str(side) for side in shape) + ")"
    _expect(fits, name, f"shape {want}", tuple(value.shape))


@dataclass(repr=False)
class Sample:
    """One picture with everything that is known about it.

    Parameters
    ----------
    image : Tensor
        (C, H, W) float32 in 0..1.
    semantic : Tensor
        (H, W) int64 class ids, 0 = background, 255 = ignore.
    instances : Tensor, optional
        (H, W) int32, 0 = background, ids exactly 1..N.
    name : str
        Where the picture comes from.
    classes : Tensor, optional
        (N,) int64, class id of instances 1..N.
    boxes : Tensor, optional
        (N, 4) float32 xyxy in px, right and bottom edge exclusive: pixel i covers [i, i + 1).
    keypoints : Tensor, optional
        (N, K, 3) float32: x, y in px (same coordinates as the boxes) and visible (1) or not (0).
    scribbles : Tensor, optional
        (H, W) int64, class id on scribbled pixels, 255 elsewhere.

    Raises
    ------
    TypeError, ValueError
        Naming the field, what was expected and what came.
    """

    image: Tensor
    semantic: Tensor
    instances: Tensor | None = None
    name: str = ""
    classes: Tensor | None = None
    boxes: Tensor | None = None
    keypoints: Tensor | None = None
    scribbles: Tensor | None = None

    def __post_init__(self):
        _tensor(self.image, "image", torch.float32, (None, None, None))
        size = tuple(self.image.shape[-2:])
        _expect(self.image.numel() > 0, "image", "at least one pixel", tuple(self.image.shape))
        low, high = (value.item() for value in self.image.aminmax())
        _expect(0 <= low and high <= 1, "image", "values in 0..1", f"{low:g}..{high:g}")  # NaN fails as well
        for name in ("semantic", "scribbles"):
            if name == "semantic" or self.scribbles is not None:
                _tensor(getattr(self, name), name, torch.int64, size)
                low, high = (value.item() for value in getattr(self, name).aminmax())
                _expect(0 <= low and high <= IGNORE, name, "class ids in 0..255", f"{low}..{high}")
        count = None
        if self.instances is not None:
            _tensor(self.instances, "instances", torch.int32, size)
            ids = torch.unique(self.instances)
            ids = ids[ids != 0]
            count = len(ids)
            _expect(count == 0 or (ids[0] == 1 and ids[-1] == count), "instances",
                    "ids exactly 1..N", f"{count} ids between {ids[:1].tolist()} and {ids[-1:].tolist()}")
        for name, dtype, shape in (("classes", torch.int64, ()), ("boxes", torch.float32, (4,)),
                                   ("keypoints", torch.float32, (None, 3))):
            value = getattr(self, name)
            if value is not None:
                _tensor(value, name, dtype, (count, *shape))
                count = len(value)
        if self.boxes is not None:
            good = (self.boxes[:, :2] < self.boxes[:, 2:]).all().item()  # NaN fails as well
            _expect(good, "boxes", "x0 < x1 and y0 < y1", self.boxes.tolist())

    def __len__(self):
        """Number of objects: instances, or boxes where there are no masks."""
        for known in (self.classes, self.boxes, self.keypoints):
            if known is not None:
                return len(known)
        return 0 if self.instances is None else int(self.instances.max())

    def __bool__(self):
        return True  # a picture without objects is still a picture

    def __repr__(self):
        channels, height, width = self.image.shape
        return f"Sample({self.name!r}, {channels} x {height} x {width} px, {len(self)} objects)"
