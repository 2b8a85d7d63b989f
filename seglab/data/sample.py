"""The one form in which every loader and every synthetic scene hands out a picture and its labels."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from seglab import inputs

IGNORE = 255  # semantic value of a pixel that neither a loss nor a metric may count
ROUNDING = 1e-5  # an interpolated picture of ones reaches 1.00000024; so far beyond 0..1 a value is cut back
EDGE = 1e-2  # px by which a box may reach over the picture's edge, for the same reason


def check_samples(samples: Iterable["Sample"]) -> Iterator["Sample"]:
    """The samples one by one, each looked at; a TypeError names what is none."""
    try:
        samples = iter(samples)
    except TypeError:
        raise TypeError(f"samples must be a sequence of Samples, got {type(samples).__name__}") from None
    for sample in samples:
        if not isinstance(sample, Sample):
            raise TypeError(f"samples must be Samples, got {type(sample).__name__}")
        yield sample


def check_size(size: tuple[int, int], least: int = 1) -> tuple[int, int]:
    """Height and width as integers >= least, or an error that names `size`."""
    height, width = inputs.several(size, "size", 2)
    return inputs.whole(height, "size", least), inputs.whole(width, "size", least)


def clip_boxes(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, 4) boxes xyxy in px, cut at the edges of a picture of that size."""
    edge = torch.tensor([width, height, width, height], dtype=boxes.dtype, device=boxes.device)
    return boxes.clamp(min=0).minimum(edge)


@dataclass(repr=False)
class Sample:
    """One picture with everything that is known about it.

    Parameters
    ----------
    image : Tensor
        (C, H, W) float32 in 0..1; what rounding puts up to 1e-5 beyond is cut back.
    semantic : Tensor
        (H, W) int64 class ids, 0 = background, 255 = ignore.
    instances : Tensor, optional
        (H, W) int32, 0 = background, ids exactly 1..N.
    name : str
        Where the picture comes from.
    classes : Tensor, optional
        (N,) int64 in 0..254, class id of instances 1..N.
    boxes : Tensor, optional
        (N, 4) float32 xyxy in px, right and bottom edge exclusive: pixel i covers [i, i + 1). Inside the picture; up
        to 0.01 px beyond is cut back.
    keypoints : Tensor, optional
        (N, K, 3) float32: x, y in px (same coordinates as the boxes) and visible (1) or not (0).
    scribbles : Tensor, optional
        (H, W) int64, class id on scribbled pixels, 255 elsewhere.
    masks : Tensor, optional
        (M, H, W) bool, M >= N: every annotated thing, whole. Here objects overlap, where ``instances`` knows one a
        pixel; the first N belong to instances 1..N, then come objects that others cover entirely, then crowds. For
        evaluation, see `truth`.
    mask_classes, mask_boxes, crowd : Tensor, optional
        (M,) int64, (M, 4) float32 and (M,) bool, one entry a mask, where ``masks`` are given: its class, its box as
        annotated, and whether it is a crowd, in which objects were not told apart.

    Raises
    ------
    TypeError, ValueError
        Naming the field, what it must be, what came, and the sample.
    """

    image: Tensor
    semantic: Tensor
    instances: Tensor | None = None
    name: str = ""
    classes: Tensor | None = None
    boxes: Tensor | None = None
    keypoints: Tensor | None = None
    scribbles: Tensor | None = None
    masks: Tensor | None = None
    mask_classes: Tensor | None = None
    mask_boxes: Tensor | None = None
    crowd: Tensor | None = None

    def __post_init__(self) -> None:
        self._tensor("image", torch.float32, (None, None, None))
        size = tuple(self.image.shape[-2:])
        self._expect(self.image.numel() > 0, "image", "have at least one pixel", tuple(self.image.shape))
        low, high = self._range("image")
        self._expect(-ROUNDING <= low and high <= 1 + ROUNDING, "image", "be in 0..1",
                     f"{low:g}..{high:g}")  # NaN fails as well
        if low < 0 or high > 1:
            self.image = self.image.clamp(0, 1)
        for name in ("semantic", "scribbles"):
            if name == "semantic" or self.scribbles is not None:
                self._tensor(name, torch.int64, size)
                low, high = self._range(name)
                self._expect(0 <= low and high <= IGNORE, name, "be class ids in 0..255", f"{low}..{high}")
        count = None
        if self.instances is not None:
            self._tensor("instances", torch.int32, size)
            ids = torch.unique(self.instances)
            ids = ids[ids != 0]
            count = len(ids)
            self._expect(count == 0 or (ids[0] == 1 and ids[-1] == count), "instances", "have ids exactly 1..N",
                         f"{count} ids between {ids[:1].tolist()} and {ids[-1:].tolist()}")
        count = self._objects(count, {"classes": (torch.int64, ()), "boxes": (torch.float32, (4,)),
                                      "keypoints": (torch.float32, (None, 3))})
        if self.keypoints is not None and len(self.keypoints):
            shown = self.keypoints[..., 2]
            self._expect(self.keypoints.isfinite().all() and ((shown == 0) | (shown == 1)).all(), "keypoints",
                         "be finite, and visible 0 or 1", self.keypoints.flatten(0, 1).tolist()[:4])
        parts = {"masks": (torch.bool, size), "mask_classes": (torch.int64, ()), "mask_boxes": (torch.float32, (4,)),
                 "crowd": (torch.bool, ())}
        given = [name for name in parts if getattr(self, name) is not None]
        self._expect(len(given) in (0, len(parts)), "masks", f"come with {', '.join(parts)}", given)
        if given:
            number = self._objects(None, parts)
            self._expect(count is None or number >= count, "masks", f"be at least the {count} objects", number)

    def __len__(self) -> int:
        """Number of objects: instances, or boxes where there are no masks."""
        for known in (self.classes, self.boxes, self.keypoints):
            if known is not None:
                return len(known)
        return 0 if self.instances is None else int(self.instances.max())

    def __bool__(self) -> bool:
        return True  # a picture without objects is still a picture

    def __repr__(self) -> str:
        channels, height, width = self.image.shape
        return f"Sample({self.name!r}, {channels} x {height} x {width} px, {len(self)} objects)"

    def truth(self) -> dict[str, Tensor]:
        """What is known of the objects, as an evaluation of objects takes it.

        Returns
        -------
        dict of str to Tensor
            masks (M, H, W), classes, boxes and crowd where the sample has ``masks``; otherwise instances, classes and
            boxes as far as it has them. `seglab.metrics.COCOEvaluator.update` takes it as its first argument.
        """
        if self.masks is not None:
            return {"masks": self.masks, "classes": self.mask_classes, "boxes": self.mask_boxes, "crowd": self.crowd}
        known = {name: getattr(self, name) for name in ("instances", "classes", "boxes")}
        return {name: value for name, value in known.items() if value is not None}

    def _expect(self, holds: bool | Tensor, field: str, must: str, got: object) -> None:
        if not holds:
            of = f" in sample {self.name!r}" if self.name else ""
            raise ValueError(f"{field}{of} must {must}, got {got}")

    def _tensor(self, field: str, dtype: torch.dtype, shape: tuple[int | None, ...]) -> None:
        value = getattr(self, field)
        of = f" in sample {self.name!r}" if self.name else ""
        if not isinstance(value, Tensor):
            raise TypeError(f"{field}{of} must be a torch.Tensor, got {type(value).__name__}")
        if value.dtype != dtype:
            raise TypeError(f"{field}{of} must be of {dtype}, got {value.dtype}")
        fits = value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape))
        want = "(" + ", ".join("*" if side is None else str(side) for side in shape) + ")"
        self._expect(fits, field, f"have shape {want}", tuple(value.shape))

    def _range(self, field: str) -> tuple[float, float]:
        low, high = getattr(self, field).aminmax()
        return low.item(), high.item()

    def _objects(self, count: int | None, fields: dict[str, tuple[torch.dtype, tuple[int | None, ...]]]) -> int | None:
        """Check fields with one entry an object, of which there are `count` if that is known."""
        for field, (dtype, shape) in fields.items():
            value = getattr(self, field)
            if value is None:
                continue
            self._tensor(field, dtype, (count, *shape))
            count = len(value)
            if field.endswith("classes") and count:
                low, high = self._range(field)
                self._expect(0 <= low and high < IGNORE, field, "be class ids in 0..254", f"{low}..{high}")
            if field.endswith("boxes") and count:
                height, width = self.image.shape[-2:]
                cut = clip_boxes(value, height, width)
                good = ((value - cut).abs() <= EDGE).all(1) & (cut[:, :2] < cut[:, 2:]).all(1)  # NaN fails as well
                self._expect(good.all(), field, f"have 0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height}",
                             value[~good][:1].tolist())
                if not torch.equal(cut, value):
                    setattr(self, field, cut)
        return count
