"""IoU, Dice and pixel accuracy of one pair of maps (or of one batch, pooled)."""

from typing import Any

import numpy as np

from seglab.inputs import IGNORE, checked_ignore, refuse_255
from seglab.metrics.confusion import ConfusionMatrix
from seglab.metrics.inputs import class_maps


def iou(true: Any, pred: Any, num_classes: int | None = None,
        ignore_index: int | None = IGNORE) -> float | np.ndarray:
    """Intersection over union, |X and Y| / |X or Y| = TP / (TP + FP + FN).

    Parameters
    ----------
    true, pred : (H, W) or (N, H, W) array or tensor
        Binary masks (bool, or 0 and 1), or with `num_classes` maps of class ids 0..C-1. All pixels of a
        batch are pooled.
    num_classes : int, optional
        None scores the foreground of two masks; C gives one score a class.
    ignore_index : int or None
        Pixels with this true id count for nothing. A truth of two classes that holds 255 and no foreground is
        refused unless 255 is passed by name: a mask of 0 and 255 looks the same.

    Returns
    -------
    float in 0..1, or (C,) float64 array with `num_classes`.
        Both masks empty: 1.0 (nothing to find, nothing found); one of them empty: 0.0. In the array, a class
        absent from both maps is NaN, and :func:`mean_of_present` takes the mean of the rest.

    Raises
    ------
    TypeError, ValueError
        Float maps, other shapes, empty arrays, ids out of range, a mask of 0 and 255.

    References
    ----------
    Jaccard (1912). Notebook 01.

    Examples
    --------
    >>> iou(np.array([[1, 1, 0, 0]]), np.array([[0, 1, 1, 0]]))
    0.3333333333333333
    """
    return _score("iou", true, pred, num_classes, ignore_index)


def dice(true: Any, pred: Any, num_classes: int | None = None,
         ignore_index: int | None = IGNORE) -> float | np.ndarray:
    """Dice coefficient, 2|X and Y| / (|X| + |Y|) = 2 TP / (2 TP + FP + FN) = 2 IoU / (1 + IoU).

    Parameters, returns, raises and conventions as :func:`iou`.

    References
    ----------
    Dice (1945). Notebook 01.
    """
    return _score("dice", true, pred, num_classes, ignore_index)


def pixel_accuracy(true: Any, pred: Any, ignore_index: int | None = IGNORE) -> float:
    """Share of pixels with the right label, in 0..1; 1.0 if every pixel is ignored.

    Parameters
    ----------
    true, pred : (H, W) or (N, H, W) array or tensor of integers or bools
        Masks or class maps. Ids of objects are arbitrary names: for instance maps it means nothing.
    ignore_index : int or None
        Pixels with this true id count for nothing. A truth of 0 and 255 is refused unless 255 is passed by name or
        `pred` holds a third class; a truth of 255 alone is void.

    Raises
    ------
    TypeError, ValueError
        Float maps, other shapes, empty arrays, a mask of 0 and 255.

    References
    ----------
    Long, Shelhamer, Darrell (2015), section 5. Notebook 01.
    """
    return 1.0 - pixel_error(true, pred, ignore_index)


def pixel_error(true: Any, pred: Any, ignore_index: int | None = IGNORE) -> float:
    """Share of pixels with the wrong label, 1 - :func:`pixel_accuracy`; 0.0 if every pixel is ignored."""
    true, pred = class_maps(true, pred)
    ignore_index = checked_ignore(ignore_index)
    void = true == 255
    if void.any() and not void.all() and np.isin(pred, (0, 1, 255)).all():   # no sign of more than two classes
        refuse_255(true, ignore_index, "true")
    wrong = true != pred
    if ignore_index is not None:
        wrong = wrong[true != ignore_index]
    return float(wrong.mean()) if wrong.size else 0.0


def _score(name: str, true: Any, pred: Any, num_classes: int | None,
           ignore_index: int | None) -> float | np.ndarray:
    counts = ConfusionMatrix(2 if num_classes is None else num_classes, ignore_index)
    counts.update(true, pred)
    scores = getattr(counts, name)()
    if num_classes is not None:
        return scores
    TP_FP_FN = counts.counts.sum() - counts.counts[0, 0]
    return float(scores[1]) if TP_FP_FN else 1.0
