"""Objects of one picture as the COCO evaluator sees them: class, area, score, flags, and IoU with others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import ndimage

from seglab.inputs import label_map, to_numpy

_SYNONYMS = {"labels": "classes", "iscrowd": "crowd"}                     # torchvision's and torchmetrics' names
_BESIDES = {"image_id", "keypoints", "keypoints_scores"}                  # torchvision's, of no use here
_KEYS = {"boxes", "masks", "instances", "classes", "scores", "crowd", "ignore", "area"}
_ROWS = 256           # boxes compared at a time with those near them: bounds the memory


@dataclass
class Objects:
    """N objects; ``windows`` are None without masks, otherwise (top, left, bool crop) of each mask."""

    classes: np.ndarray         # (N,) int64
    area: np.ndarray            # (N,) float64, px^2
    boxes: np.ndarray           # (N, 4) float64 x, y, width, height
    windows: list | None
    scores: np.ndarray          # (N,) float64, zeros for truth
    crowd: np.ndarray           # (N,) bool
    ignore: np.ndarray          # (N,) bool
    size: tuple[int, int] | None = None      # (H, W) of the picture, known from masks only

    def take(self, index: np.ndarray) -> Self:
        """The objects at these positions, in this order."""
        windows = None if self.windows is None else [self.windows[i] for i in index]
        return Objects(self.classes[index], self.area[index], self.boxes[index], windows, self.scores[index],
                       self.crowd[index], self.ignore[index], self.size)


def read_objects(value: Mapping[str, Any], name: str, iou_type: str, scored: bool) -> Objects:
    """Check one dictionary of :meth:`COCOEvaluator.update` and bring it into one form."""
    value = _named(value, name)
    windows, size = _windows(value, name, scored)
    if iou_type == "segm" and windows is None:
        raise ValueError(f"{name} must hold 'masks' or 'instances' for iou_type='segm', got {sorted(value)}")
    if "boxes" in value:
        boxes = _boxes(value["boxes"], name)
    elif windows is not None:
        boxes = _extents(windows)
    else:
        raise ValueError(f"{name} must hold 'boxes', 'masks' or 'instances', got {sorted(value)}")
    count = len(boxes)
    if windows is not None and len(windows) != count:
        raise ValueError(f"{name}['boxes'] must hold one box a mask, {len(windows)}, got {count}")
    if scored and "scores" not in value:
        raise ValueError(f"{name} must hold 'scores', got {sorted(value)}")
    # A detection is measured by what is scored; a truth by its mask if there is one, as in COCO's files.
    area = boxes[:, 2] * boxes[:, 3] if windows is None or (scored and iou_type == "bbox") else _pixels(windows)
    column = lambda key, kinds, default: _column(value, name, key, kinds, count, default)
    return Objects(column("classes", "iu", 0).astype(np.int64), column("area", "iuf", area).astype(float), boxes,
                   windows, column("scores", "iuf", 0.0).astype(float), column("crowd", "iub", False).astype(bool),
                   column("ignore", "iub", False).astype(bool), size)


def overlapping(detections: Objects, truth: Objects, iou_type: str,
                at_least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detection, truth and IoU, (K,) each, of the pairs with that IoU, by detection and then by truth.

    With a crowd it is intersection over the detection's area. Of masks only those pairs are counted pixel by pixel
    whose boxes and sizes leave the chance of such an IoU.
    """
    boxes = [o.boxes if iou_type == "bbox" else _extents(o.windows) for o in (detections, truth)]
    d, g = _meeting(*boxes)
    low, high = _common(boxes[0][d], boxes[1][g])
    size_d, size_g = (b[:, 2] * b[:, 3] if iou_type == "bbox" else _pixels(o.windows)
                      for o, b in zip((detections, truth), boxes))
    inter = (high - low).prod(1)
    if iou_type == "segm":
        inter = np.minimum(inter, np.minimum(size_d[d], size_g[g]))       # a bound, so far

    def iou() -> np.ndarray:
        union = np.where(truth.crowd[g], size_d[d], size_d[d] + size_g[g] - inter)
        return np.divide(inter, union, out=np.zeros(len(inter)), where=inter > 0)

    if iou_type == "segm":
        keep = iou() >= at_least
        d, g, inter, low, high = d[keep], g[keep], inter[keep], low[keep].astype(int), high[keep].astype(int)
        for k, (i, j, (x0, y0), (x1, y1)) in enumerate(zip(d.tolist(), g.tolist(), low.tolist(), high.tolist())):
            (y, x, a), (top, left, b) = detections.windows[i], truth.windows[j]
            inter[k] = np.count_nonzero(a[y0 - y:y1 - y, x0 - x:x1 - x] & b[y0 - top:y1 - top, x0 - left:x1 - left])
    value = iou()
    keep = value >= at_least
    return d[keep], g[keep], value[keep]


def _meeting(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the pairs of boxes x, y, width, height that share area, by the first and then the second."""
    if len(a) <= _ROWS:
        low, high = _common(a[:, None], b)
        return np.nonzero((high > low).all(-1))
    order = np.argsort(a[:, 0], kind="stable")                            # neighbours in x have few others near them
    rows, cols = [], []
    for some in np.split(order, range(_ROWS, len(order), _ROWS)):
        left, right = a[some, 0].min(), a[some, :3:2].sum(1).max()
        near = np.flatnonzero((b[:, 0] < right) & (b[:, 0] + b[:, 2] > left))
        i, j = _meeting(a[some], b[near])
        rows.append(some[i])
        cols.append(near[j])
    rows, cols = np.concatenate(rows), np.concatenate(cols)
    order = np.lexsort((cols, rows))
    return rows[order], cols[order]


def _common(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper left and lower right corner, (..., 2) each, of what two boxes x, y, width, height share."""
    return np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])


def _extents(windows: list) -> np.ndarray:
    """(N, 4) float64 x, y, width, height of the crops."""
    return np.array([(x, y, crop.shape[1], crop.shape[0]) for y, x, crop in windows], float).reshape(-1, 4)


def _pixels(windows: list) -> np.ndarray:
    """(N,) float64 pixels of each mask."""
    return np.array([np.count_nonzero(crop) for _, _, crop in windows], float)


def _named(value: Any, name: str) -> dict[str, Any]:
    """The dictionary under the names of this module."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dictionary of arrays, got {type(value).__name__}")
    if unknown := set(value) - _KEYS - _SYNONYMS.keys() - _BESIDES:
        known = sorted(_KEYS | _SYNONYMS.keys())
        raise ValueError(f"{name} must have keys out of {known}, got {sorted(map(str, unknown))}")
    for other, ours in _SYNONYMS.items():
        if other in value and ours in value:
            raise ValueError(f"{name} must hold either '{ours}' or '{other}', which mean the same, got both")
    return {_SYNONYMS.get(key, key): entry for key, entry in value.items() if key not in _BESIDES}


def _windows(value: Mapping[str, Any], name: str, scored: bool) -> tuple[list | None, tuple[int, int] | None]:
    """Each mask cut to its bounding box, and (H, W) of the picture; None where they are not known."""
    if "masks" in value and "instances" in value:
        raise ValueError(f"{name} must hold either 'masks' or 'instances', got both")
    if "instances" in value:
        labels = label_map(value["instances"], f"{name}['instances']", contiguous=True)
        return [(rows.start, cols.start, labels[rows, cols] == i)
                for i, (rows, cols) in enumerate(ndimage.find_objects(labels), 1)], labels.shape
    if "masks" not in value:
        return None, None
    masks = to_numpy(value["masks"], f"{name}['masks']")
    if masks.ndim == 4 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.ndim and not len(masks):                        # no object: whatever dtype and form an empty array has
        return [], masks.shape[1:] if masks.ndim == 3 and all(masks.shape[1:]) else None
    if masks.ndim != 3 or masks.dtype.kind == "c":
        raise ValueError(f"{name}['masks'] must be bool, integer or float (N, H, W) or (N, 1, H, W), got {masks.dtype} "
                         f"{masks.shape}")
    if masks.dtype != bool:
        masks = _binary(masks, f"{name}['masks']", scored)
    return [_crop(mask) for mask in masks], masks.shape[1:]


def _binary(masks: np.ndarray, name: str, scored: bool) -> np.ndarray:
    """Masks of 0 and 1, or of a detector's probabilities, as bool: inside is above 1/2, as in Mask R-CNN."""
    low, high = masks.min(initial=0), masks.max(initial=0)
    if not 0 <= low <= high <= 1:                            # `not` catches NaN too
        reason = ": divide by 255" if high == 255 else ""
        raise ValueError(f"{name} must hold 0 and 1, got {low}..{high}{reason}")
    inside = masks > 0.5
    if not scored and (masks != inside).any():
        raise ValueError(f"{name} must hold 0 and 1, got values between them, which only detections may have")
    return inside


def _crop(mask: np.ndarray) -> tuple[int, int, np.ndarray]:
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return 0, 0, mask[:0, :0]
    strip = mask[rows[0]:rows[-1] + 1]
    cols = np.flatnonzero(strip.any(0))
    return int(rows[0]), int(cols[0]), strip[:, cols[0]:cols[-1] + 1].copy()


def _boxes(value: Any, name: str) -> np.ndarray:
    boxes = to_numpy(value, f"{name}['boxes']").astype(float)
    if boxes.shape[:1] == (0,):
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}['boxes'] must have shape (N, 4), got {boxes.shape}")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(f"{name}['boxes'] must be finite x1, y1, x2, y2 with x1 <= x2 and y1 <= y2")
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)


def _column(value: Mapping[str, Any], name: str, key: str, kinds: str, count: int, default: Any) -> np.ndarray:
    if key not in value:
        return np.broadcast_to(default, (count,))
    column = to_numpy(value[key], f"{name}['{key}']")
    if column.shape != (count,):
        raise ValueError(f"{name}['{key}'] must have shape ({count},), one value an object, got {column.shape}")
    if column.size and column.dtype.kind not in kinds:
        raise TypeError(f"{name}['{key}'] must be {'numbers' if 'f' in kinds else 'integers or bools'}, "
                        f"got {column.dtype}")
    if not np.isfinite(column).all():
        raise ValueError(f"{name}['{key}'] must be finite, got NaN or infinity")
    return column
