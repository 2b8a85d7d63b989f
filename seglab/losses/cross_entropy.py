"""Cross entropy with pixel and class weights, for C classes and for one foreground logit."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.losses.inputs import prepare


def cross_entropy(logits: Tensor, target: Tensor, weight_map: Tensor | None = None,
                  class_weights: Tensor | Sequence[float] | None = None, ignore_index: int = 255) -> Tensor:
    """Weighted mean of -log p(target) over the pixels that count.

    ``sum_i w_i * -log p_i[t_i] / sum_i w_i``, with ``w_i = weight_map[i] * class_weights[t_i]`` and ignored
    pixels left out of both sums.

    Parameters
    ----------
    logits : (N, C, H, W) float tensor
        Raw scores. With C = 1 the score of the foreground against 0, the same as :func:`bce_loss`.
    target : (N, H, W) integer or bool tensor
        Class ids 0..C-1 (0..1 when C = 1), or `ignore_index`.
    weight_map : (N, H, W) tensor, optional
        Non-negative weight of each pixel.
    class_weights : (K,) tensor or sequence, optional
        Non-negative weight of each class, K = max(C, 2).
    ignore_index : int
        Label of pixels that count for nothing.

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
    ``torch.nn.functional.cross_entropy(weight=...)`` has the same rule.

    References
    ----------
    Ronneberger, Fischer, Brox (2015), U-Net, equation 1 (pixel weights). Notebook 03, used from 05 on.
    """
    if torch.is_tensor(logits) and logits.ndim == 4 and logits.shape[1] == 1:
        return bce_loss(logits, target, weight_map, class_weights, ignore_index)
    logits, labels, valid = prepare(logits, target, ignore_index)
    return _weighted_mean(F.cross_entropy(logits, labels, reduction="none"), labels, valid, weight_map,
                          class_weights, classes=logits.shape[1])


def bce_loss(logits: Tensor, target: Tensor, weight_map: Tensor | None = None,
             class_weights: Tensor | Sequence[float] | None = None, ignore_index: int = 255) -> Tensor:
    """Binary cross entropy of one foreground logit a pixel, computed without ever forming log(0).

    ``-[g log p + (1 - g) log(1 - p)]`` with ``p = sigmoid(logit)``, evaluated as ``softplus(z) - z g``.

    Parameters
    ----------
    logits : (N, 1, H, W) float tensor
    target : (N, H, W) integer or bool tensor, 0, 1 or `ignore_index`
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
    logits, labels, valid = prepare(logits, target, ignore_index)
    if logits.shape[1] != 1:
        raise ValueError(f"logits must have shape (N, 1, H, W) for bce_loss, got {tuple(logits.shape)}; "
                         "use cross_entropy for several classes")
    z = logits[:, 0]
    loss = F.binary_cross_entropy_with_logits(z, labels.to(z.dtype), reduction="none")
    return _weighted_mean(loss, labels, valid, weight_map, class_weights, classes=2)


def _weighted_mean(loss, labels, valid, weight_map, class_weights, classes):
    weights = valid.to(loss.dtype)
    if weight_map is not None:
        weights = weights * _checked(weight_map, "weight_map", tuple(loss.shape), "(N, H, W)").to(weights)
    if class_weights is not None:
        per_class = _checked(class_weights, "class_weights", (classes,), "(K,)").to(weights)
        weights = weights * per_class[labels]
    total = weights.sum()
    return (weights * loss).sum() / torch.where(total > 0, total, torch.ones_like(total))


def _checked(weights, name, shape, meaning):
    weights = torch.as_tensor(weights)
    if tuple(weights.shape) != shape:
        raise ValueError(f"{name} must have shape {meaning} = {shape}, got {tuple(weights.shape)}")
    if weights.is_floating_point() and not torch.isfinite(weights).all():
        raise ValueError(f"{name} must be finite, got {int((~torch.isfinite(weights)).sum())} values NaN or inf")
    if weights.numel() and weights.min() < 0:
        raise ValueError(f"{name} must not be negative, got a minimum of {float(weights.min())}")
    return weights
