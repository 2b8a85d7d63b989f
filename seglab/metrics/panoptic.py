"""Panoptic quality: one number for amorphous regions (stuff) and countable objects (things)."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from seglab.inputs import to_numpy, whole
from seglab.metrics.confusion import mean_of_present
from seglab.metrics.joint_counts import joint_counts


class PanopticQuality(NamedTuple):
    """Means over classes, then one value a class (in the order of ``classes``), NaN for absent ones."""

    pq: float
    sq: float
    rq: float
    classes: tuple
    pq_per_class: np.ndarray
    sq_per_class: np.ndarray
    rq_per_class: np.ndarray
    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray


def panoptic_quality(true: Any, pred: Any, things: Collection[int], stuffs: Collection[int],
                     void: int = 255) -> PanopticQuality:
    """PQ = sum of IoU over TP / (TP + FP/2 + FN/2) = segmentation quality x recognition quality.

    Parameters
    ----------
    true, pred : (H, W, 2) or (N, H, W, 2) integer array or tensor, or a list of (H, W, 2) of any sizes
        Class id and instance id of each pixel. The instance id of a stuff class counts for nothing.
    things, stuffs : sets of int
        Class ids of countable objects and of regions.
    void : int
        Class id of unlabelled pixels; any other id outside `things` and `stuffs` is an error.

    Returns
    -------
    PanopticQuality
        Floats and arrays in 0..1, counts int64. Counts are summed over all pictures first. A class without
        any segment in truth and prediction has NaN and is left out of the means; no segment at all: 1.0.
        The SQ of a class that occurs but is never matched is 0.

    Raises
    ------
    TypeError, ValueError
        Float or negative ids, unknown class ids, other shapes, a class that is both thing and stuff.

    Notes
    -----
    A predicted and a true segment of one class match if IoU > 0.5, strictly: then there is no choice. Pixels
    that are void in the truth leave the union, segment by segment; a predicted segment of which more than
    half lies in them is no false positive. Void in the prediction is a pixel not found, as in panopticapi;
    torchmetrics takes it out of the union too, which flatters. Crowd regions are not handled: give them void.

    References
    ----------
    Kirillov et al. (2019), Panoptic segmentation, section 4. Notebook 01.

    Examples
    --------
    >>> true = np.array([[[0, 0], [0, 0], [1, 1], [1, 1], [1, 2]]])         # grass, grass, two sheep
    >>> pred = np.array([[[0, 0], [0, 0], [1, 7], [1, 7], [1, 7]]])
    >>> panoptic_quality(true, pred, things={1}, stuffs={0}).pq_per_class.round(3).tolist()
    [1.0, 0.444]
    """
    things, stuffs = _classes(things, "things"), _classes(stuffs, "stuffs")
    void = whole(void, "void", None)
    if not things | stuffs or things & stuffs or void in things | stuffs or min(things | stuffs) < 0:
        raise ValueError(f"things, stuffs and void must be different class ids >= 0, got {sorted(things)}, "
                         f"{sorted(stuffs)} and {void}")
    classes = tuple(sorted(things | stuffs))
    overlap, tp, fp, fn = np.zeros((4, len(classes)))
    for a, b in zip(*_pictures(true, pred)):
        a, b = (_segments(m, name, classes, stuffs, void) for m, name in ((a, "true"), (b, "pred")))
        for total, part in zip((overlap, tp, fp, fn), _match(a, b, len(classes))):
            total += part
    found, counted = tp > 0, tp + fp + fn > 0
    blank = lambda: np.where(counted, 0.0, np.nan)
    sq = np.divide(overlap, tp, out=blank(), where=found)
    rq = np.divide(tp, tp + fp / 2 + fn / 2, out=blank(), where=counted)
    means = (mean_of_present(x) for x in (sq * rq, sq, rq))
    return PanopticQuality(*means, classes, sq * rq, sq, rq, *(x.astype(np.int64) for x in (tp, fp, fn)))


def _classes(ids: Collection[int], name: str) -> set[int]:
    try:
        ids = list(ids)
    except TypeError:
        raise TypeError(f"{name} must be a set of class ids, got {ids!r}") from None
    return {whole(c, name) for c in ids}


def _pictures(true: Any, pred: Any) -> list[Sequence[np.ndarray]]:
    """Both arguments as lists of (H, W, 2) arrays of the same shapes."""
    both = []
    for value, name in ((true, "true"), (pred, "pred")):
        value = [to_numpy(v, name) for v in value] if isinstance(value, (list, tuple)) else to_numpy(value, name)
        if not isinstance(value, list):
            value = list(value) if value.ndim == 4 else [value]
        for v in value:
            if v.ndim != 3 or v.shape[2] != 2 or not v.size:
                raise ValueError(f"{name} must hold (H, W, 2) maps of class and instance id, got shape {v.shape}")
            if v.dtype.kind not in "iu":
                raise TypeError(f"{name} must hold integers, got {v.dtype}")
            if v.min() < 0:
                raise ValueError(f"{name} must hold ids >= 0, got {v.min()}")
        both.append(value)
    shapes = [[v.shape for v in value] for value in both]
    if shapes[0] != shapes[1]:
        raise ValueError(f"pred must have the shapes of true, {shapes[0]}, got {shapes[1]}")
    return both


def _segments(panoptic: np.ndarray, name: str, classes: tuple[int, ...], stuffs: Collection[int],
              void: int) -> tuple[np.ndarray, np.ndarray]:
    """Label map of the segments (0 = void) and the position in `classes` of each."""
    category, instance = panoptic[..., 0].astype(np.int64), panoptic[..., 1].astype(np.int64)
    if unknown := set(np.unique(category).tolist()) - set(classes) - {void}:
        raise ValueError(f"{name} must hold class ids out of {list(classes)} or void={void}, got {sorted(unknown)}")
    instance = np.where(np.isin(category, list(stuffs)), 0, instance)
    ids, instance = np.unique(instance.ravel(), return_inverse=True)       # small numbers: the product cannot overflow
    segments, labels = np.unique(category.ravel() * len(ids) + instance, return_inverse=True)
    segments //= len(ids)                                                   # now the class of each segment
    kept = segments != void
    number = np.where(kept, np.cumsum(kept), 0)
    return number[labels].reshape(category.shape), np.searchsorted(classes, segments[kept])


def _match(true: tuple[np.ndarray, np.ndarray], pred: tuple[np.ndarray, np.ndarray],
           count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sum of IoU, TP, FP, FN, each (C,), of one picture."""
    (true, class_true), (pred, class_pred) = true, pred
    joint = joint_counts(true, pred)
    in_void = np.zeros(len(class_pred) + 1)                       # pixels of each predicted segment in true void
    over_void = joint.ids_a[joint.rows] == 0
    in_void[joint.ids_b[joint.cols[over_void]]] = joint.pixels[over_void]
    i, j = joint.ids_a[joint.rows], joint.ids_b[joint.cols]
    both = (i > 0) & (j > 0)
    i, j, inter = i[both], j[both], joint.pixels[both]
    size_true, size_pred = (np.bincount(m.ravel(), minlength=len(c) + 1)
                            for m, c in ((true, class_true), (pred, class_pred)))
    iou = inter / (size_true[i] + size_pred[j] - in_void[j] - inter)
    match = (iou > 0.5) & (class_true[i - 1] == class_pred[j - 1])
    missed, invented = np.ones(len(class_true), dtype=bool), in_void[1:] <= 0.5 * size_pred[1:]
    missed[i[match] - 1] = False
    invented[j[match] - 1] = False
    per_class = lambda c, weights=None: np.bincount(c, weights, count)
    return (per_class(class_true[i[match] - 1], iou[match]), per_class(class_true[i[match] - 1]),
            per_class(class_pred[invented]), per_class(class_true[missed]))
