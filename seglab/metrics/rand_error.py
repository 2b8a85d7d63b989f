"""Foreground-restricted Rand error, with its merge and split scores."""

from typing import Any, NamedTuple

import numpy as np

from seglab.metrics.joint_counts import joint_counts


class RandScores(NamedTuple):
    """``error`` = 1 - F-score; ``merge_score`` falls with merges, ``split_score`` with splits. All in 0..1."""

    error: float
    merge_score: float
    split_score: float


def rand_error(labels_true: Any, labels_pred: Any, background: str = "singletons") -> float:
    """One minus the foreground-restricted Rand F-score: do pairs of pixels stay together, stay apart?

    Parameters
    ----------
    labels_true, labels_pred : (H, W) array or tensor of integer object ids
        0 is background. True background is left out of the score altogether.
    background : {"singletons", "segment"}
        What predicted background inside a true object is. "singletons" (SNEMI3D, CREMI): every such pixel is
        an object of its own, so missing pixels count as splits. "segment" (scikit-image): all of them
        together are one object, which therefore merges the true objects it touches.

    Returns
    -------
    float in 0..1, 0 for a perfect prediction.

    Raises
    ------
    TypeError, ValueError
        Float, negative, empty, 3-D maps or two shapes; unknown `background`.

    Notes
    -----
    Over ordered pairs of two different pixels, with n_ij the pixels of predicted object i in true object j:
    V = sum n_ij (n_ij - 1) / (1/2 sum s_i (s_i - 1) + 1/2 sum t_j (t_j - 1)), error = 1 - V.
    Without a pair on either side (empty truth; every object one pixel) nothing can be merged or split:
    error 0, where scikit-image gives NaN. An empty prediction has error 1 under "singletons". A thicker
    wall between objects costs a lot here, so thin borders before comparing.

    References
    ----------
    Arganda-Carreras et al. (2015), Frontiers in Neuroanatomy 9:142, "Rand scoring system". Notebooks 01, 06.

    Examples
    --------
    >>> rand_error(np.array([[1, 1, 0, 2, 2]]), np.array([[7, 7, 7, 7, 7]]))
    0.5
    """
    return rand_scores(labels_true, labels_pred, background).error


def rand_scores(labels_true: Any, labels_pred: Any, background: str = "singletons") -> RandScores:
    """Rand error with its merge score (precision), pairs / pairs of the prediction, and split score (recall).

    Parameters, raises as :func:`rand_error`.

    Returns
    -------
    RandScores
        ``merge_score`` = sum n(n-1) / sum s(s-1), ``split_score`` = sum n(n-1) / sum t(t-1); 1 where there is
        no pair to judge.

    Notes
    -----
    scikit-image returns the same two under swapped names (scikit-image issue 6485): its "precision" divides
    by the pairs of the truth.
    """
    n, s, t = foreground_counts(labels_true, labels_pred, background)
    together, in_pred, in_true = (float((x * (x - 1.0)).sum()) for x in (n, s, t))     # float: squares pass 2^63
    pairs = 0.5 * in_pred + 0.5 * in_true
    return RandScores(1 - together / pairs if pairs else 0.0,
                      together / in_pred if in_pred else 1.0,
                      together / in_true if in_true else 1.0)


def foreground_counts(labels_true: Any, labels_pred: Any,
                      background: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joint counts on the true foreground, which Rand and information scores are made of.

    Returns
    -------
    n : (K,) int64
        Pixels of each pair (predicted object, true object) that meets.
    s, t : (S,), (T,) int64
        Pixels of each predicted object within the true foreground, and of each true object.
    """
    if background not in ("singletons", "segment"):
        raise ValueError(f"background must be 'singletons' or 'segment', got {background!r}")
    joint = joint_counts(labels_true, labels_pred, ("labels_true", "labels_pred"))
    inside = joint.ids_a[joint.rows] != 0
    n, cols = joint.pixels[inside], joint.cols[inside]
    s = np.zeros(len(joint.ids_b), dtype=np.int64)
    np.add.at(s, cols, n)
    t = joint.sizes_a[joint.ids_a != 0]
    if background == "singletons" and joint.ids_b[0] == 0:
        alone = np.ones(s[0], dtype=np.int64)
        n, s = np.concatenate([n[cols != 0], alone]), np.concatenate([s[1:], alone])
    return n, s[s > 0], t
