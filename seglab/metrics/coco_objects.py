"""Objects of one picture as the COCO evaluator sees them: class, area, score, flags, and IoU with others."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from seglab.metrics.inputs import to_numpy

_KEYS = {"boxes", "masks", "instances", "classes", "scores", "crowd", "ignore", "area"}


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

    def take(self, index):
        """The objects at these positions, in this order."""
        windows = None if self.windows is None else [self.windows[i] for i in index]
        return Objects(self.classes[index], self.area[index], self.boxes[index], windows, self.scores[index],
                       self.crowd[index], self.ignore[index])


def read_objects(value, name, iou_type, scored):
    """Check one dictionary of :meth:`COCOEvaluator.update` and bring it into one form."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dictionary of arrays, got {type(value).__name__}")
    if unknown := set(value) - _KEYS:
        raise ValueError(f"{name} must have keys out of {sorted(_KEYS)}, got {sorted(map(str, unknown))}")
    windows = _windows(value, name)
    if iou_type == "segm" and windows is None:
        raise ValueError(f"{name} must hold 'masks' or 'instances' for iou_type='segm', got {sorted(value)}")
    if "boxes" in value:
        boxes = _boxes(value["boxes"], name)
    elif windows is not None:
        boxes = np.array([(x, y, crop.shape[1], crop.shape[0]) for y, x, crop in windows], float).reshape(-1, 4)
    else:
        raise ValueError(f"{name} must hold 'boxes', 'masks' or 'instances', got {sorted(value)}")
    count = len(boxes)
    if windows is not None and len(windows) != count:
        raise ValueError(f"{name}['boxes'] must hold one box a mask, {len(windows)}, got {count}")
    if scored and "scores" not in value:
        raise ValueError(f"{name} must hold 'scores', got {sorted(value)}")
    mask_area = None if windows is None else np.array([np.count_nonzero(crop) for _, _, crop in windows], float)
    # A detection is measured by what is scored; a truth by its mask if there is one, as in COCO's files.
    area = boxes[:, 2] * boxes[:, 3] if mask_area is None or (scored and iou_type == "bbox") else mask_area
    column = lambda key, kinds, default: _column(value, name, key, kinds, count, default)
    return Objects(column("classes", "iu", 0).astype(np.int64), column("area", "iuf", area).astype(float), boxes,
                   windows, column("scores", "iuf", 0.0).astype(float), column("crowd", "iub", False).astype(bool),
                   column("ignore", "iub", False).astype(bool))


def pairwise_iou(detections, truth, iou_type):
    """(D, G) float64 IoU; with a crowd it is intersection over the detection's area."""
    if not len(detections.area) or not len(truth.area):
        return np.zeros((len(detections.area), len(truth.area)))
    if iou_type == "bbox":
        low, high = _common(detections.boxes, truth.boxes)
        inter = np.clip(high - low, 0, None).prod(-1)
        size_d, size_g = (o.boxes[:, 2] * o.boxes[:, 3] for o in (detections, truth))
    else:
        extents = [np.array([(x, y, crop.shape[1], crop.shape[0]) for y, x, crop in o.windows])
                   for o in (detections, truth)]
        low, high = _common(*extents)
        inter = np.zeros(low.shape[:2])
        for i, j in zip(*np.nonzero((high > low).all(-1))):
            crops = [crop[low[i, j, 1] - y:high[i, j, 1] - y, low[i, j, 0] - x:high[i, j, 0] - x]
                     for y, x, crop in (detections.windows[i], truth.windows[j])]
            inter[i, j] = np.count_nonzero(crops[0] & crops[1])
        size_d, size_g = (np.array([np.count_nonzero(crop) for _, _, crop in o.windows]) for o in (detections, truth))
    union = np.where(truth.crowd, size_d[:, None], size_d[:, None] + size_g - inter)
    return np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)


def _common(a, b):
    """Upper left and lower right corner, (A, B, 2) each, of what two boxes x, y, width, height share."""
    a, b = a[:, None], b[None]
    return np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])


def _windows(value, name):
    """Each mask cut to its bounding box."""
    if "masks" in value and "instances" in value:
        raise ValueError(f"{name} must hold either 'masks' or 'instances', got both")
    if "instances" in value:
        labels = to_numpy(value["instances"], f"{name}['instances']")
        if labels.dtype.kind not in "iu" or labels.ndim != 2 or not labels.size or labels.min() < 0:
            raise ValueError(f"{name}['instances'] must be an integer (H, W) map of ids >= 0, got {labels.dtype} "
                             f"{labels.shape}")
        ids, labels = np.unique(labels, return_inverse=True)
        labels = labels.reshape(value["instances"].shape) + (ids[0] != 0)
        return [(rows.start, cols.start, labels[rows, cols] == i)
                for i, (rows, cols) in enumerate(ndimage.find_objects(labels), 1)]
    if "masks" not in value:
        return None
    masks = to_numpy(value["masks"], f"{name}['masks']")
    if not len(masks):                                       # no object: whatever dtype an empty array happens to have
        return []
    if masks.dtype.kind not in "iub" or masks.ndim != 3:
        raise ValueError(f"{name}['masks'] must be bool or integer (N, H, W), got {masks.dtype} {masks.shape}")
    if masks.dtype != bool:
        if masks.size and not 0 <= masks.min() <= masks.max() <= 1:
            raise ValueError(f"{name}['masks'] must hold 0 and 1, got {masks.min()}..{masks.max()}")
        masks = masks.astype(bool)
    return [_crop(mask) for mask in masks]


def _crop(mask):
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return 0, 0, mask[:0, :0]
    strip = mask[rows[0]:rows[-1] + 1]
    cols = np.flatnonzero(strip.any(0))
    return int(rows[0]), int(cols[0]), strip[:, cols[0]:cols[-1] + 1].copy()


def _boxes(value, name):
    boxes = to_numpy(value, f"{name}['boxes']").astype(float)
    if boxes.shape[:1] == (0,):
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}['boxes'] must have shape (N, 4), got {boxes.shape}")
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(f"{name}['boxes'] must be finite x1, y1, x2, y2 with x1 <= x2 and y1 <= y2")
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)


def _column(value, name, key, kinds, count, default):
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
