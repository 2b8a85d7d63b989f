"""Scores of the outline: boundary F1, IoU in a band around the true boundary, Hausdorff distance."""

import math
from typing import Any

import numpy as np
from scipy import ndimage

from seglab.inputs import IGNORE, positive
from seglab.metrics.confusion import ConfusionMatrix
from seglab.metrics.inputs import class_maps, masks
from seglab.metrics.overlap import iou


def boundary_f1(true: Any, pred: Any, num_classes: int | None = None, tolerance: float = 0.0075,
                ignore_index: int | None = IGNORE) -> float | np.ndarray:
    """F1 of boundary pixels: is there a boundary of the other map within the tolerance?

    Parameters
    ----------
    true, pred : (H, W) array or tensor
        Binary masks, or with `num_classes` maps of class ids 0..C-1.
    num_classes : int, optional
        None scores the foreground of two masks; C gives one score a class.
    tolerance : float >= 0
        Share of the picture's diagonal; 0.0075 of a 512x512 picture is 5.4 px.
    ignore_index : int or None
        Pixels with this true id are no part of any boundary. A truth of two classes that holds 255 and no foreground
        is refused unless 255 is passed by name: a mask of 0 and 255 looks the same.

    Returns
    -------
    float in 0..1, or (C,) float64 array with `num_classes`.
        2PR / (P + R). No boundary in both: 1.0; in one of them only: 0.0. In the array, a class absent from
        both maps is NaN.

    Raises
    ------
    TypeError, ValueError
        Float maps, other shapes, empty arrays, ids out of range, a mask of 0 and 255, negative `tolerance`.

    Notes
    -----
    The boundary of a class are its pixels with an edge neighbour of another class. Beyond the edge of the
    picture and in ignored pixels there is no other class, so a class cut by them has no boundary there.

    References
    ----------
    Csurka, Larlus, Perronnin (2013), What is a good evaluation measure for semantic segmentation?,
    section 3. Notebook 01.
    """
    tolerance = positive(tolerance, "tolerance", zero=True)               # a share of the diagonal
    true, pred, valid = _valid_maps(true, pred, num_classes, ignore_index)
    reach = tolerance * math.hypot(*true.shape)
    scores = [_f1_of_class(true == c, pred == c, valid, reach) for c in range(num_classes or 2)]
    return np.array(scores) if num_classes else (1.0 if math.isnan(scores[1]) else scores[1])


def trimap_iou(true: Any, pred: Any, radius: float, num_classes: int | None = None,
               ignore_index: int | None = IGNORE) -> float | np.ndarray:
    """IoU of only those pixels that lie within `radius` of a true boundary.

    Parameters
    ----------
    true, pred, num_classes, ignore_index
        As :func:`boundary_f1`.
    radius : float >= 1
        Pixels; distance to the nearest pixel of another true class. 1 keeps the two rows along the boundary.

    Returns
    -------
    float in 0..1, or (C,) float64 array with `num_classes`.
        As :func:`iou`. A truth without boundary leaves no pixel to judge: 1.0, or NaN in the array.

    Raises
    ------
    TypeError, ValueError
        As :func:`boundary_f1`; `radius` below 1.

    References
    ----------
    Kohli, Ladicky, Torr (2009); Chen et al. (2018), DeepLabv3+, section 4.4. Notebooks 01, 11.
    """
    radius = positive(radius, "radius")
    if radius < 1:
        raise ValueError(f"radius must be >= 1 px, got {radius!r}")
    true, pred, valid = _valid_maps(true, pred, num_classes, ignore_index)
    edge = _boundary(true, valid)
    band = ndimage.distance_transform_edt(~edge) <= radius - 1 if edge.any() else edge
    judged = np.where(band & valid, true, -1)
    return iou(judged, np.where(band & valid, pred, 0), num_classes, ignore_index=-1)


def hausdorff(true: Any, pred: Any, percentile: float = 100) -> float:
    """Largest distance from a pixel of one mask to the other mask, px.

    Parameters
    ----------
    true, pred : (H, W) binary mask (bool, or 0 and 1), array or tensor; 0 and 255 are refused
    percentile : float in 0..100
        100 is the Hausdorff distance, which one stray pixel can set; 95 is the usual robust form, the larger
        of the two directed percentiles.

    Returns
    -------
    float >= 0
        Both masks empty: 0.0. One of them empty: inf, there is no distance to nothing.

    Raises
    ------
    TypeError, ValueError
        Other values than 0 and 1, empty arrays, other shapes, `percentile` outside 0..100.

    Notes
    -----
    Masks are sets of pixel centres, as in ``skimage.metrics.hausdorff_distance``. Distances come from two
    exact distance transforms.

    References
    ----------
    Huttenlocher, Klanderman, Rucklidge (1993), section 2. Notebook 01.
    """
    percentile = positive(percentile, "percentile", zero=True)
    if percentile > 100:
        raise ValueError(f"percentile must be in 0..100, got {percentile!r}")
    true, pred = masks(true, pred)
    if not true.any() or not pred.any():
        return 0.0 if true.any() == pred.any() else math.inf
    directed = (ndimage.distance_transform_edt(~b)[a] for a, b in ((true, pred), (pred, true)))
    return max(float(np.percentile(distances, percentile)) for distances in directed)


def _valid_maps(true: Any, pred: Any, num_classes: int | None,
                ignore_index: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Checked (H, W) class maps and the mask of pixels that count."""
    true, pred = class_maps(true, pred, dims=(2,))
    counts = ConfusionMatrix(2 if num_classes is None else num_classes, ignore_index)
    counts.update(true, pred)                                            # ids in range
    ignore_index = counts.ignore_index
    valid = np.ones(true.shape, dtype=bool) if ignore_index is None else true != ignore_index
    return true, pred, valid


def _f1_of_class(true: np.ndarray, pred: np.ndarray, valid: np.ndarray, reach: float) -> float:
    true, pred = true & valid, pred & valid
    if not true.any() and not pred.any():
        return math.nan
    true, pred = _boundary(true, valid) & true, _boundary(pred, valid) & pred
    if not true.any() or not pred.any():
        return float(true.any() == pred.any())
    precision = (ndimage.distance_transform_edt(~true)[pred] <= reach).mean()
    recall = (ndimage.distance_transform_edt(~pred)[true] <= reach).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _boundary(labels: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Valid pixels with a valid edge neighbour of another label, on both sides of each boundary."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        here, there = (np.s_[:-1], np.s_[1:]) if axis == 0 else (np.s_[:, :-1], np.s_[:, 1:])
        differs = (labels[here] != labels[there]) & valid[here] & valid[there]
        edge[here] |= differs
        edge[there] |= differs
    return edge
