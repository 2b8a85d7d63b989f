"""Tversky loss, and the soft overlap counts that Dice shares with it."""

import torch
from torch import Tensor

from seglab.inputs import IGNORE, positive
from seglab.losses.inputs import mean_or_zero, prepare, probabilities_and_truth


def tversky_loss(logits: Tensor, target: Tensor, alpha: float = 0.3, beta: float = 0.7, per_image: bool = True,
                 smooth: float = 1e-5, ignore_index: int = IGNORE) -> Tensor:
    """1 - TP / (TP + alpha FP + beta FN) with soft counts, mean over classes (and images).

    Parameters
    ----------
    logits : (N, C, H, W) float tensor
        With C = 1 the foreground alone is scored; with C > 1 every class, background included.
    target
        As in :func:`seglab.losses.cross_entropy`, soft labels and shares included.
    alpha : float >= 0
        Weight of false positives (some code bases swap the two).
    beta : float >= 0
        Weight of false negatives; beta > alpha asks for recall. 0.5 / 0.5 is Dice, 1 / 1 Jaccard.
    per_image, smooth, ignore_index
        As in :func:`seglab.losses.dice_loss`, which this is at 0.5 / 0.5 for any `smooth`.

    Returns
    -------
    Scalar tensor in 0..1.

    Raises
    ------
    TypeError, ValueError
        As :func:`seglab.losses.cross_entropy`; and for negative `alpha`, `beta` or `smooth`.

    References
    ----------
    Salehi, Erdogmus, Gholipour (2017), Tversky loss for lesion segmentation, equation 3. Notebook 03.
    """
    alpha, beta, smooth = not_negative(alpha=alpha, beta=beta, smooth=smooth)
    p, g = probabilities_and_truth(*prepare(logits, target, ignore_index, maps=True))
    axes = (2, 3) if per_image else (0, 2, 3)
    tp = (p * g).sum(axes)
    fp = p.sum(axes) - tp
    fn = g.sum(axes) - tp
    return mean_or_zero(1 - ratio_or_one(tp + smooth / 2, tp + alpha * fp + beta * fn + smooth / 2))


def ratio_or_one(numerator: Tensor, denominator: Tensor) -> Tensor:
    """numerator / denominator, and 1 with zero gradient where the denominator is 0 (nothing there, none said)."""
    empty = denominator <= 0
    return torch.where(empty, 1.0, numerator / denominator.masked_fill(empty, 1.0))


def not_negative(**numbers: float) -> tuple[float, ...]:
    """The arguments as floats; a ValueError names the first below 0, above 1e30 (float32 ends soon) or no number."""
    for name, value in numbers.items():
        if positive(value, name, zero=True) > 1e30:
            raise ValueError(f"{name} must be at most 1e30, got {value}")
    return tuple(map(float, numbers.values()))
