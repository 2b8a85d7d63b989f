"""Variation of information and the information score V^Info."""

from typing import Any, NamedTuple

import numpy as np

from seglab.metrics.rand_error import foreground_counts


class VariationOfInformation(NamedTuple):
    """Conditional entropies in bits, 0 at best: ``split`` = H(pred | true), ``merge`` = H(true | pred)."""

    split: float
    merge: float


def variation_of_information(labels_true: Any, labels_pred: Any, background: str = "segment") -> VariationOfInformation:
    """How many bits the prediction leaves open about the truth (merges), and the reverse (splits).

    Parameters
    ----------
    labels_true, labels_pred, background
        As :func:`rand_error`; only the true foreground is looked at.

    Returns
    -------
    VariationOfInformation
        (split, merge) in bits, in this order as in scikit-image. Both 0 for an empty truth.

    Raises
    ------
    TypeError, ValueError
        As :func:`rand_error`.

    Notes
    -----
    H(S|T) = H(S,T) - H(T) and H(T|S) = H(S,T) - H(S) with S predicted, T true object of a random pixel of the
    true foreground. Equals ``skimage.metrics.variation_of_information(..., ignore_labels=(0,))``.

    References
    ----------
    Meila (2007), J. Multivariate Analysis 98, section 3. Notebook 01.
    """
    joint, pred, true = _entropies(labels_true, labels_pred, background)
    return VariationOfInformation(max(joint - true, 0.0), max(joint - pred, 0.0))


def information_score(labels_true: Any, labels_pred: Any, background: str = "singletons") -> float:
    """V^Info = I(S; T) / (H(S)/2 + H(T)/2), in 0..1, 1 at best; the companion of 1 - :func:`rand_error`.

    Parameters, raises as :func:`rand_error`.

    Returns
    -------
    float
        1.0 where neither side holds information: empty truth, or one object predicted as one.

    References
    ----------
    Arganda-Carreras et al. (2015), Frontiers in Neuroanatomy 9:142, "Information theoretic scoring system".
    Notebook 01.
    """
    joint, pred, true = _entropies(labels_true, labels_pred, background)
    return max(pred + true - joint, 0.0) / (0.5 * pred + 0.5 * true) if pred + true else 1.0


def _entropies(labels_true: Any, labels_pred: Any, background: str) -> list[float]:
    """H(S,T), H(S), H(T) in bits."""
    return [_entropy(x) for x in foreground_counts(labels_true, labels_pred, background)]


def _entropy(pixels: np.ndarray) -> float:
    p = pixels / max(pixels.sum(), 1)
    return float(-(p * np.log2(p)).sum()) + 0.0
