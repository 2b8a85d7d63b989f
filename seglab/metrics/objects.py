"""Whole objects: IoU of every pair, matched-object F1, and what was merged or split."""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from seglab.inputs import positive
from seglab.metrics.joint_counts import joint_counts

_DENSE = 1 << 27       # cells, 1 GiB of float64


def mask_iou(labels_a: Any, labels_b: Any, sparse_output: bool = False) -> np.ndarray | sparse.csr_array:
    """IoU of every object of one label map with every object of the other, from one joint count.

    Parameters
    ----------
    labels_a, labels_b : (H, W) integer array or tensor
        Object ids >= 0 with any gaps, 0 = background.
    sparse_output : bool
        True gives a ``scipy.sparse.csr_array``: for tens of thousands of objects, of which few pairs meet.

    Returns
    -------
    (A, B) float64 in 0..1
        Row i is the i-th smallest id of `labels_a`, column j that of `labels_b`. (0, B) or (A, 0) where a map
        holds no object.

    Raises
    ------
    TypeError, ValueError
        Float, negative, empty, 3-D maps or two shapes; a dense matrix of more than 2^27 cells (1 GiB).

    References
    ----------
    Notebook 01.

    Examples
    --------
    >>> mask_iou(np.array([[1, 1, 9, 9]]), np.array([[4, 4, 4, 0]])).round(3).tolist()
    [[0.667], [0.25]]
    """
    joint = joint_counts(labels_a, labels_b).objects()
    shape = len(joint.ids_a), len(joint.ids_b)
    if sparse_output:
        return sparse.csr_array((joint.iou(), (joint.rows, joint.cols)), shape=shape)
    if shape[0] * shape[1] > _DENSE:
        raise ValueError(f"labels_a and labels_b hold {shape[0]} and {shape[1]} objects, too many for a dense matrix: "
                         f"pass sparse_output=True")
    iou = np.zeros(shape)
    iou[joint.rows, joint.cols] = joint.iou()
    return iou


class ObjectScores(NamedTuple):
    """Matched-object scores; ``f1`` = 2 tp / (2 tp + fp + fn)."""

    f1: float
    precision: float
    recall: float
    tp: int
    fp: int
    fn: int


def object_f1(labels_true: Any, labels_pred: Any, iou: float = 0.5) -> ObjectScores:
    """F1 of whole objects: a predicted object is right if its IoU with a true one is above the threshold.

    Parameters
    ----------
    labels_true, labels_pred : (H, W) array or tensor of integer object ids, 0 = background
    iou : float in 0..1 (1 excluded)
        A pair matches if its IoU is strictly greater, as in panoptic quality. From 0.5 on no object can have
        two partners. Below, the pairing with the most matches is taken.

    Returns
    -------
    ObjectScores
        (f1, precision, recall, tp, fp, fn). No object in both maps: all three 1.0. No object in one of
        them: 0.0, and the precision of no prediction, or the recall of no truth, is 1.0.

    Raises
    ------
    TypeError, ValueError
        Float, negative, empty, 3-D maps, two shapes, or `iou` outside 0..1.

    References
    ----------
    Caicedo et al. (2019), Nature Methods 16:1247, "Evaluation metric". Notebooks 01, 06.

    Examples
    --------
    >>> object_f1(np.array([[1, 1, 0, 2, 2]]), np.array([[1, 1, 1, 0, 2]]))[3:]    # 1/2 is not above 1/2
    (1, 1, 1)
    """
    iou = positive(iou, "iou", zero=True)
    if iou >= 1:
        raise ValueError(f"iou must be in 0..1 with 1 excluded, got {iou!r}")
    joint = joint_counts(labels_true, labels_pred, ("labels_true", "labels_pred")).objects()
    true, pred = len(joint.ids_a), len(joint.ids_b)
    above = joint.iou() > iou
    if iou >= 0.5:
        tp = int(above.sum())
    else:
        places = joint.rows[above].astype(np.int32), joint.cols[above].astype(np.int32)    # SciPy < 1.15 takes no other
        pairs = sparse.csr_array((np.ones(above.sum()), places), shape=(true, pred))
        tp = int((sparse.csgraph.maximum_bipartite_matching(pairs) >= 0).sum()) if pairs.nnz else 0
    fp, fn = pred - tp, true - tp
    f1 = 2 * tp / (true + pred) if true + pred else 1.0
    return ObjectScores(f1, tp / pred if pred else 1.0, tp / true if true else 1.0, tp, fp, fn)


class MergesAndSplits(NamedTuple):
    """Borders between objects that were lost (``merges``) and invented (``splits``)."""

    merges: int
    splits: int


def merges_and_splits(labels_true: Any, labels_pred: Any) -> MergesAndSplits:
    """How many times true objects ended in one predicted object, and one true object in several.

    Parameters
    ----------
    labels_true, labels_pred : (H, W) array or tensor of integer object ids, 0 = background

    Returns
    -------
    MergesAndSplits
        (merges, splits). An object lies in that object of the other map which covers *more than half of its
        pixels*, if there is one. A predicted object in which k >= 2 true objects lie is k - 1 merges; a true
        object in which k >= 2 predicted ones lie is k - 1 splits. An empty map has neither.

    Raises
    ------
    TypeError, ValueError
        Float, negative, empty, 3-D maps or two shapes.

    Notes
    -----
    Missed objects, invented ones and inexact outlines count for nothing here. A speck of one pixel inside a
    true object is a split like any other: remove small objects first if that is not meant.

    References
    ----------
    Definition of this course; notebooks 01, 06.

    Examples
    --------
    >>> merges_and_splits(np.array([[1, 1, 0, 2, 2, 0, 3]]), np.array([[5, 5, 5, 5, 5, 5, 5]]))
    MergesAndSplits(merges=2, splits=0)
    """
    joint = joint_counts(labels_true, labels_pred, ("labels_true", "labels_pred")).objects()
    merged = joint.cols[2 * joint.pixels > joint.sizes_a[joint.rows]]      # where each true object lies
    split = joint.rows[2 * joint.pixels > joint.sizes_b[joint.cols]]
    return MergesAndSplits(*(len(homes) - len(np.unique(homes)) for homes in (merged, split)))
