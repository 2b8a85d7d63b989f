"""Is a pixel called 70 % tumour tumour in 70 % of the cases?"""

from typing import Any, NamedTuple

import numpy as np

from seglab.inputs import IGNORE, checked_ignore, refuse_255, to_numpy, whole


class ReliabilityCurve(NamedTuple):
    """One value a bin, each (bins,) float64: mean probability, share of foreground (NaN where empty), pixels."""

    probability: np.ndarray
    frequency: np.ndarray
    count: np.ndarray


def reliability_curve(prob: Any, target: Any, bins: int = 15, ignore_index: int | None = IGNORE) -> ReliabilityCurve:
    """Share of foreground among the pixels of each bin of predicted probability.

    Parameters
    ----------
    prob : float array or tensor of any shape
        Predicted probability of foreground, 0..1 (not logits).
    target : bool or integer array or tensor of the same shape
        1 foreground, 0 background.
    bins : int >= 1
        Equal widths: [0, 1/bins), ..., the last one including 1.
    ignore_index : int or None
        Pixels with this target count for nothing, whatever `prob` is there. A target that holds 255 and never 1 is
        refused unless 255 is passed by name: a mask of 0 and 255 looks the same.

    Returns
    -------
    ReliabilityCurve
        (probability, frequency, count); an empty bin has count 0 and NaN in the other two.

    Raises
    ------
    TypeError, ValueError
        `prob` not floating, outside 0..1 or NaN; `target` not 0/1, or 0/255; other shapes; empty arrays; bad `bins`.

    References
    ----------
    Guo et al. (2017), On calibration of modern neural networks, section 2. Notebook 03.
    """
    position, prob, target, bins = _binned(prob, target, bins, ignore_index)
    count = np.bincount(position, minlength=bins)
    sums = (np.bincount(position, weights=values, minlength=bins) for values in (prob, target))
    mean = [np.divide(s, count, out=np.full(bins, np.nan), where=count > 0) for s in sums]
    return ReliabilityCurve(mean[0], mean[1], count)


def calibration_error(prob: Any, target: Any, bins: int = 15, ignore_index: int | None = IGNORE) -> float:
    """Expected calibration error: mean gap between predicted probability and observed share, weighted by pixels.

    Parameters, raises as :func:`reliability_curve`.

    Returns
    -------
    float in 0..1
        sum_b count_b / N |frequency_b - probability_b|; 0.0 if every pixel is ignored.

    Notes
    -----
    With a rare foreground almost every pixel falls into the first bin, and a constant prediction of the right
    share scores 0: look at the curve as well.

    References
    ----------
    Guo et al. (2017), equation 3. Notebook 03.

    Examples
    --------
    >>> round(calibration_error(np.array([0.9, 0.9, 0.9, 0.9]), np.array([1, 1, 1, 0])), 3)
    0.15
    """
    probability, frequency, count = reliability_curve(prob, target, bins, ignore_index)
    gap = np.nan_to_num(np.abs(frequency - probability))
    return float((count * gap).sum() / max(count.sum(), 1))


def _binned(prob: Any, target: Any, bins: int,
            ignore_index: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    prob, target = to_numpy(prob, "prob"), to_numpy(target, "target")
    if prob.dtype.kind != "f":
        raise TypeError(f"prob must be floating point, got {prob.dtype}")
    if target.dtype.kind not in "iub":
        raise TypeError(f"target must hold integers or bools, got {target.dtype}")
    if prob.shape != target.shape:
        raise ValueError(f"target must have the shape of prob, {prob.shape}, got {target.shape}")
    if prob.size == 0:
        raise ValueError(f"prob must have at least one pixel, got shape {prob.shape}")
    bins = whole(bins, "bins", 1)
    ignore_index = checked_ignore(ignore_index)
    refuse_255(target, ignore_index)
    if ignore_index is not None:
        prob, target = prob[target != ignore_index], target[target != ignore_index]
    prob, target = prob.ravel().astype(np.float64), target.ravel()
    if prob.size and not (prob.min() >= 0 and prob.max() <= 1):          # `not` catches NaN too
        raise ValueError(f"prob must be probabilities in 0..1, got {prob.min()}..{prob.max()}. Logits need a sigmoid")
    if prob.size and not (target.min() >= 0 and target.max() <= 1):
        raise ValueError(f"target must be 0 or 1, got {target.min()}..{target.max()}")
    edges = np.linspace(0, 1, bins + 1)
    position = np.clip(np.searchsorted(edges, prob, side="right") - 1, 0, bins - 1)
    return position, prob, target, int(bins)
