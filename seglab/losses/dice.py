"""Soft Dice loss, plain and squared, per image and per batch; generalised Dice."""

import torch
from torch import Tensor

from seglab.inputs import IGNORE
from seglab.losses.inputs import mean_or_zero, prepare, probabilities_and_truth
from seglab.losses.tversky import not_negative, ratio_or_one


def dice_loss(logits: Tensor, target: Tensor, per_image: bool = True, squared: bool = False, smooth: float = 1e-5,
              ignore_index: int = IGNORE) -> Tensor:
    """1 - (2 sum(p g) + smooth) / (sum(p) + sum(g) + smooth), mean over classes (and images).

    Parameters
    ----------
    logits : (N, C, H, W) float tensor
        Raw scores. With C = 1 the foreground alone is scored (as in V-Net); with C > 1 every class,
        background included.
    target, ignore_index
        As in :func:`seglab.losses.cross_entropy`, soft labels and shares included.
    per_image : bool
        True: one Dice for each image and class, then the mean. False: sums run over the batch, one Dice a
        class.
    squared : bool
        True: sum(p^2) + sum(g^2) below the line, as in V-Net.
    smooth : float >= 0
        Added above and below, in pixels. It decides what an empty target costs; see Notes.

    Returns
    -------
    Scalar tensor in 0..1, float64 for float64 logits and float32 otherwise.

    Raises
    ------
    TypeError, ValueError
        As :func:`seglab.losses.cross_entropy`; and for negative `smooth`.

    Notes
    -----
    A class without a pixel in the target costs ``sum(p) / (sum(p) + smooth)``: nothing when nothing is
    predicted, up to 1 when anything is. With ``smooth = 0`` that is a step: 1 with zero gradient, and 0
    when sum(p) is 0 too. With a small `smooth` the gradient of an empty image is practically zero as well,
    so Dice alone teaches nothing on empty images; add cross entropy, or use ``per_image=False`` with at
    least one object in the batch. An all-ignored image costs 0 and counts in the mean.

    References
    ----------
    Milletari, Navab, Ahmadi (2016), V-Net, section 3. Notebook 03.
    """
    smooth, = not_negative(smooth=smooth)
    p, g = probabilities_and_truth(*prepare(logits, target, ignore_index, maps=True))
    axes = (2, 3) if per_image else (0, 2, 3)
    size = (p * p + g * g if squared else p + g).sum(axes)
    return mean_or_zero(1 - ratio_or_one(2 * (p * g).sum(axes) + smooth, size + smooth))


def generalized_dice_loss(logits: Tensor, target: Tensor, per_image: bool = True, ignore_index: int = IGNORE) -> Tensor:
    """1 - 2 sum_l w_l sum(p g) / sum_l w_l sum(p + g), each class weighted by 1 / (its pixels)^2.

    Parameters
    ----------
    logits : (N, C, H, W) float tensor
        With C = 1 the two classes are background (1 - p) and foreground (p), as in the paper.
    target, per_image, ignore_index
        As in :func:`dice_loss`.

    Returns
    -------
    Scalar tensor in 0..1.

    Raises
    ------
    TypeError, ValueError
        As :func:`seglab.losses.cross_entropy`.

    Notes
    -----
    A class absent from the target would have infinite weight. Here it has weight 0: predicting it still
    costs, because its probability is taken from a class that is present.

    References
    ----------
    Sudre, Li, Vercauteren, Ourselin, Cardoso (2017), section 2.1. Notebook 03.
    """
    logits, truth, valid = prepare(logits, target, ignore_index, maps=True)
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)        # softmax of (0, z) is sigmoid of z
        truth = torch.stack([1 - truth, truth], 1)
    p, g = probabilities_and_truth(logits, truth, valid)
    axes = (2, 3) if per_image else (0, 2, 3)
    pixels = g.sum(axes)
    weights = torch.where(pixels > 0, 1 / pixels.clamp_min(1) ** 2, 0.0)
    overlap = (weights * (p * g).sum(axes)).sum(-1)
    size = (weights * (p + g).sum(axes)).sum(-1)
    return mean_or_zero(1 - ratio_or_one(2 * overlap, size))
