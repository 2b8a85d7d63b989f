"""Focal loss and the prior bias that goes with it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.inputs import IGNORE, positive
from seglab.losses.inputs import prepare
from seglab.losses.tversky import not_negative


def focal_loss(logits: Tensor, target: Tensor, gamma: float = 2.0, alpha: float | None = 0.25,
               ignore_index: int = IGNORE) -> Tensor:
    """Mean over the valid pixels of -alpha_t (1 - p_t)^gamma log p_t.

    Parameters
    ----------
    logits : (N, C, H, W) float tensor
        With C = 1 sigmoid, with C > 1 softmax probabilities.
    target : (N, H, W) or (N, 1, H, W) integer or bool tensor; with C = 1 also of floats 0..1
        As in :func:`seglab.losses.cross_entropy`. Soft labels g are scored as in torchvision: cross entropy times
        (1 - p_t)^gamma with p_t = g p + (1 - g)(1 - p), times alpha g + (1 - alpha)(1 - g).
    gamma : float >= 0
        How fast the weight of an easy pixel falls; 0 is (alpha-weighted) cross entropy.
    alpha : float in 0..1, or None
        Weight of foreground pixels; background pixels (label 0) weigh 1 - alpha. None: all weigh 1.
    ignore_index : int

    Returns
    -------
    Scalar tensor, float64 for float64 logits and float32 otherwise. 0 when every pixel is ignored.

    Raises
    ------
    TypeError, ValueError
        As :func:`seglab.losses.cross_entropy`; and for negative `gamma` or `alpha` outside 0..1.

    Notes
    -----
    The divisor is the number of valid pixels, as ``torchvision.ops.sigmoid_focal_loss(reduction="mean")``,
    not the sum of the alphas. (1 - p_t)^gamma is formed as exp(gamma log(1 - p_t)) from log-probabilities,
    so value and gradient stay finite for gamma < 1 and any logit, where torchvision's gradient is NaN.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollar (2017), Focal loss, equation 5. Notebook 03.
    """
    gamma, = not_negative(gamma=gamma)
    if alpha is not None and (alpha := positive(alpha, "alpha", zero=True)) > 1:
        raise ValueError(f"alpha must be in 0..1 or None, got {alpha}")
    logits, truth, valid = prepare(logits, target, ignore_index)
    if logits.shape[1] > 1:
        log_all = logits.log_softmax(1)
        log_p = log_all.gather(1, truth[:, None])[:, 0]
        log_rest = log_all.scatter(1, truth[:, None], -math.inf).logsumexp(1)
    else:
        z, g = logits[:, 0], truth.to(logits.dtype)
        if truth.is_floating_point():
            sure, unsure = F.logsigmoid(z), F.logsigmoid(-z)
            log_p = g * sure + (1 - g) * unsure
            log_rest = torch.logaddexp(g.log() + unsure, (1 - g).log() + sure)
        else:
            score = z * (2 * g - 1)                                      # of the true class against the other
            log_p = F.logsigmoid(score)
            log_rest = log_p - score                                     # log(1 - p): a pass less than logsigmoid
    loss = torch.exp(gamma * log_rest) * log_p
    if alpha is not None:
        share = (truth > 0).to(loss.dtype) if logits.shape[1] > 1 else g
        loss = loss * (share * (2 * alpha - 1) + (1 - alpha))
    if valid is not None:
        loss = loss * valid
    return -loss.sum() / (max(loss.numel(), 1) if valid is None else valid.sum().clamp_min(1))


def prior_bias(foreground_share: float) -> float:
    """Bias of the last layer that makes the untrained net predict `foreground_share` everywhere: log(pi / (1 - pi)).

    Parameters
    ----------
    foreground_share : float strictly between 0 and 1

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If `foreground_share` is not strictly between 0 and 1.

    References
    ----------
    Lin et al. (2017), Focal loss, section 4.1 (pi = 0.01). Notebook 03.
    """
    if positive(foreground_share, "foreground_share", zero=True) in (0, 1) or foreground_share > 1:
        raise ValueError(f"foreground_share must be strictly between 0 and 1, got {foreground_share}")
    return math.log(foreground_share / (1 - foreground_share))
