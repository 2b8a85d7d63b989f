"""The confusion matrix, counted in a stream, and the scores that are read off it."""

from typing import Any, Self

import numpy as np

from seglab.inputs import IGNORE, checked_ignore, refuse_255, to_numpy, whole
from seglab.metrics.inputs import class_maps


class ConfusionMatrix:
    """Counts n_ij = pixels of class i predicted as j, over as many pictures as are fed to it.

    Sums over the whole data set come first and ratios last: the mean of per-picture ratios is another
    number, which jumps with every picture in which a class has three pixels.

    Parameters
    ----------
    num_classes : int
        C >= 2; class ids are 0..C-1.
    ignore_index : int or None
        Pixels with this *true* id count for nothing, neither in rows nor in unions. None: every pixel counts.

    Attributes
    ----------
    counts : (C, C) int64
        Rows are true classes, columns predicted ones. Exact up to 2^63 pixels.

    Raises
    ------
    TypeError, ValueError
        If `num_classes` is not an integer >= 2.

    Notes
    -----
    Conventions. A class absent from both truth and prediction has no score: NaN in a vector, left out of
    a mean. A class absent from the truth but predicted somewhere scores 0 and counts. Where nothing was
    counted at all (everything ignored) there is no disagreement: accuracies and means are 1.

    References
    ----------
    Long, Shelhamer, Darrell (2015), section 5. Notebook 01.

    Examples
    --------
    >>> cm = ConfusionMatrix(2)
    >>> cm.update(np.array([[0, 1, 1, 255]]), np.array([[0, 1, 0, 1]]))
    >>> cm.counts.tolist(), round(cm.mean_iou(), 3)
    ([[1, 0], [1, 1]], 0.5)
    """

    def __init__(self, num_classes: int, ignore_index: int | None = IGNORE) -> None:
        num_classes = whole(num_classes, "num_classes", 2)                # background is a class
        ignore_index = checked_ignore(ignore_index)
        self.num_classes, self.ignore_index = num_classes, ignore_index
        self.counts = np.zeros((num_classes, num_classes), dtype=np.int64)

    def update(self, true: Any, pred: Any) -> None:
        """Add the pixels of one picture or batch.

        Parameters
        ----------
        true, pred : (H, W) or (N, H, W) array or tensor of integer or bool class ids
            `pred` may hold anything where `true` is ignored. With two classes a truth that holds 255 and never 1 is
            refused while `ignore_index` is the default: it could be a mask of 0 and 255 as files store them.

        Raises
        ------
        TypeError, ValueError
            Float maps, other shapes, empty arrays, ids outside 0..C-1, a mask of 0 and 255.
        """
        true, pred = class_maps(true, pred)
        true, pred = true.ravel(), pred.ravel()
        C = self.num_classes
        if C == 2:
            refuse_255(true, self.ignore_index, "true")
        if self.ignore_index is not None and (ignored := true == self.ignore_index).any():
            true, pred = true[~ignored], pred[~ignored]
            if not true.size:
                return
        for value, name in ((true, "true"), (pred, "pred")):
            low, high = int(value.min()), int(value.max())
            if low < 0 or high >= C:
                ignore = "" if name == "pred" or self.ignore_index is None else f" or ignore_index={self.ignore_index}"
                raise ValueError(f"{name} must hold class ids 0..{C - 1}{ignore}, got {low}..{high}")
        joint = true * C + pred                        # in int64: 20 * 21 + 20 does not fit into a stored map's uint8
        self.counts += np.bincount(joint, minlength=C * C).reshape(C, C)

    def __add__(self, other: Self) -> Self:
        """The matrix of both streams together, for workers that count apart."""
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        if (self.num_classes, self.ignore_index) != (other.num_classes, other.ignore_index):
            raise ValueError(f"other must count {self.num_classes} classes with ignore_index={self.ignore_index}, "
                             f"got {other.num_classes} and {other.ignore_index}")
        total = ConfusionMatrix(self.num_classes, self.ignore_index)
        total.counts = self.counts + other.counts
        return total

    @property
    def _correct(self) -> np.ndarray:
        return np.diag(self.counts)

    @property
    def _true(self) -> np.ndarray:
        return self.counts.sum(1)

    @property
    def _pred(self) -> np.ndarray:
        return self.counts.sum(0)

    def iou(self) -> np.ndarray:
        """(C,) float64, IoU_i = n_ii / (t_i + p_i - n_ii) in 0..1; NaN for a class absent from both maps."""
        return _ratio(self._correct, self._true + self._pred - self._correct)

    def dice(self) -> np.ndarray:
        """(C,) float64, Dice_i = 2 n_ii / (t_i + p_i) = 2 TP / (2 TP + FP + FN); NaN for a class absent from both."""
        return _ratio(2 * self._correct, self._true + self._pred)

    def recall(self) -> np.ndarray:
        """(C,) float64, n_ii / t_i, the accuracy of each class; NaN for a class absent from the truth."""
        return _ratio(self._correct, self._true)

    def precision(self) -> np.ndarray:
        """(C,) float64, n_ii / p_i; NaN for a class that is never predicted."""
        return _ratio(self._correct, self._pred)

    def mean_iou(self) -> float:
        """Mean of :meth:`iou` over the classes that occur in truth or prediction; 1.0 if nothing was counted."""
        return mean_of_present(self.iou())

    def mean_dice(self) -> float:
        """Mean of :meth:`dice` over the classes that occur in truth or prediction; 1.0 if nothing was counted."""
        return mean_of_present(self.dice())

    def mean_accuracy(self) -> float:
        """Mean of :meth:`recall` over the classes that occur in the truth; 1.0 if nothing was counted."""
        return mean_of_present(self.recall())

    def pixel_accuracy(self) -> float:
        """Share of counted pixels with the right class, sum n_ii / sum t_i; 1.0 if nothing was counted."""
        total = self.counts.sum()
        return float(self._correct.sum() / total) if total else 1.0

    def frequency_weighted_iou(self) -> float:
        """Mean of IoU with weights t_i: common classes count more; 1.0 if nothing was counted."""
        total = self.counts.sum()
        return float(np.nansum(self._true * self.iou()) / total) if total else 1.0


def mean_of_present(scores: np.ndarray) -> float:
    """Mean over the classes whose score is defined (not NaN); 1.0 if none is: no pixel, no disagreement."""
    scores = to_numpy(scores, "scores")
    present = scores[~np.isnan(scores)]
    return float(present.mean()) if present.size else 1.0


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
