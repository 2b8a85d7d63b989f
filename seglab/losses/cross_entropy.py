"""Cross entropy with pixel and class weights, for C classes and for one foreground logit."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.inputs import IGNORE, to_numpy
from seglab.losses.inputs import prepare


def cross_entropy(logits: Tensor, target: Tensor, weight_map: Tensor | None = None,
                  class_weights: Tensor | Sequence[float] | None = None, ignore_index: int = IGNORE) -> Tensor:
    """Weighted mean of -log p(target) over the pixels that count.

    ``sum_i w_i * -log p_i[t_i] / sum_i w_i``, with ``w_i = weight_map[i] * class_weights[t_i]`` and ignored
    pixels left out of both sums.

    Parameters
    ----------
    logits : (N, C, H, W) float tensor
        Raw scores. With C = 1 the score of the foreground against 0, the same as :func:`bce_loss`.
    target : (N, H, W) or (N, 1, H, W) integer or bool tensor, or (N, C, H, W) tensor of shares
        Class ids 0..C-1 (0..1 when C = 1), or `ignore_index`; with C = 1 also floats 0..1 (soft labels). Shares say
        how much of a pixel belongs to each class and sum to 1; of them no pixel is ignored but by ``weight_map=0``.
    weight_map : (N, H, W) tensor or array, optional
        Non-negative weight of each pixel.
    class_weights : (K,) tensor or sequence, optional
        Non-negative weight of each class, K = max(C, 2).
    ignore_index : int
        Label of pixels that count for nothing, whatever their logits are, NaN included. In a target of two classes
        that holds the default 255 and no foreground, 255 must be passed by name: a mask of 0 and 255 looks the same.

    Returns
    -------
    Scalar tensor, float64 for float64 logits and float32 otherwise. 0 with zero gradient when no pixel has
    weight.

    Raises
    ------
    TypeError, ValueError
        Wrong dtype or shape, label out of range, weights negative or not finite, softmax output as `logits`.

    Notes
    -----
    Division is by the sum of the weights, not by the number of pixels. So multiplying all weights by a
    constant changes nothing, the loss keeps the scale of an unweighted one, and the learning rate need not
    follow the weights. It also means that a map counts only *relative* to the other pixels of its batch: a
    batch with many heavy pixels is not louder than one without.
    ``torch.nn.functional.cross_entropy(weight=...)`` has the same rule. With shares t_ik it is
    ``sum_ik w_ik t_ik * -log p_i[k] / sum_ik w_ik t_ik``, where PyTorch divides by the number of pixels.

    References
    ----------
    Ronneberger, Fischer, Brox (2015), U-Net, equation 1 (pixel weights). Notebook 03, used from 05 on.
    """
    if torch.is_tensor(logits) and logits.ndim == 4 and logits.shape[1] == 1:
        return bce_loss(logits, target, weight_map, class_weights, ignore_index)
    logits, truth, valid = prepare(logits, target, ignore_index, maps=True)
    per_class = _checked(class_weights, "class_weights", (logits.shape[1],), "(K,)", logits)
    by_class = None
    if per_class is not None:
        by_class = per_class[truth] if truth.ndim == 3 else (truth * per_class.view(1, -1, 1, 1)).sum(1)
    logits, pixels, total = _weigh(logits, valid, weight_map, by_class)
    if pixels is None:
        return F.cross_entropy(logits, truth, per_class, reduction="sum") / total
    return (pixels * F.cross_entropy(logits, truth, per_class, reduction="none")).sum() / total


def bce_loss(logits: Tensor, target: Tensor, weight_map: Tensor | None = None,
             class_weights: Tensor | Sequence[float] | None = None, ignore_index: int = IGNORE) -> Tensor:
    """Binary cross entropy of one foreground logit a pixel, computed without ever forming log(0).

    ``-[g log p + (1 - g) log(1 - p)]`` with ``p = sigmoid(logit)``, evaluated as ``softplus(z) - z g``.

    Parameters
    ----------
    logits : (N, 1, H, W) float tensor
    target : (N, H, W) or (N, 1, H, W) integer, bool or float tensor
        0, 1 or `ignore_index`; floats may lie between 0 and 1 (soft labels).
    weight_map, class_weights, ignore_index
        As in :func:`cross_entropy`; `class_weights` is (background, foreground).

    Returns
    -------
    Scalar tensor: the weighted mean, divided by the sum of the weights.

    Raises
    ------
    TypeError, ValueError
        As :func:`cross_entropy`; and when C is not 1.

    Notes
    -----
    ``torch.nn.functional.binary_cross_entropy_with_logits(pos_weight=...)`` divides by the number of pixels
    instead: its loss grows with the weight.

    References
    ----------
    Notebook 03.
    """
    logits, truth, valid = prepare(logits, target, ignore_index)
    if logits.shape[1] != 1:
        raise ValueError(f"logits must have shape (N, 1, H, W) for bce_loss, got {tuple(logits.shape)}; "
                         "use cross_entropy for several classes")
    truth = truth.to(logits.dtype)
    per_class = _checked(class_weights, "class_weights", (2,), "(K,)", logits)
    by_class = None if per_class is None else per_class[0] * (1 - truth) + per_class[1] * truth
    logits, pixels, total = _weigh(logits, valid, weight_map, by_class)
    z = logits[:, 0]
    if per_class is not None:
        loss = -(per_class[1] * truth * F.logsigmoid(z) + per_class[0] * (1 - truth) * F.logsigmoid(-z))
    elif pixels is not None:
        loss = F.binary_cross_entropy_with_logits(z, truth, reduction="none")
    else:
        return F.binary_cross_entropy_with_logits(z, truth, reduction="sum") / total
    return (loss if pixels is None else pixels * loss).sum() / total


def _weigh(logits: Tensor, valid: Tensor | None, weight_map: Any,
           by_class: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | float]:
    """Logits, set to 0 where a pixel has no weight; the pixels' weights without those of the classes; their divisor."""
    N, _, H, W = logits.shape
    pixels = _checked(weight_map, "weight_map", (N, H, W), "(N, H, W)", logits)
    if valid is not None:
        pixels = valid.to(logits.dtype) if pixels is None else pixels * valid
    weights = by_class if pixels is None else pixels if by_class is None else pixels * by_class
    if weights is None:
        return logits, None, max(N * H * W, 1)
    if not (weights > 0).all():                                    # a NaN there would come through as 0 * NaN
        logits = logits.masked_fill(weights[:, None] <= 0, 0)
    total = weights.sum()
    return logits, pixels, torch.where(total > 0, total, torch.ones_like(total))


def _checked(weights: Any, name: str, shape: tuple[int, ...], meaning: str, like: Tensor) -> Tensor | None:
    """Weights as a tensor of the dtype and device of `like`, or None."""
    if weights is None:
        return None
    if not torch.is_tensor(weights):
        weights = torch.tensor(to_numpy(weights, name))            # a copy: tensors take no negative strides
    if len(shape) == 3 and tuple(weights.shape) == (shape[0], 1, *shape[1:]):
        weights = weights[:, 0]
    if tuple(weights.shape) != shape:
        raise ValueError(f"{name} must have shape {meaning} = {shape}, got {tuple(weights.shape)}")
    if weights.is_floating_point() and not torch.isfinite(weights).all():
        raise ValueError(f"{name} must be finite, got {int((~torch.isfinite(weights)).sum())} values NaN or inf")
    weights = weights.to(like)
    if weights.numel() and weights.min() < 0:
        raise ValueError(f"{name} must not be negative, got a minimum of {float(weights.min())}")
    return weights
