"""Segmentation losses: ``loss(logits, target, ...) -> scalar``.

``logits`` is (N, C, H, W) float, ``target`` (N, H, W) class ids of any integer type or bool.
``C = 1`` means one sigmoid per pixel with labels 0 / 1; ``C > 1`` means a softmax over classes.
Pixels labelled ``ignore_index`` count for nothing. float16 and bfloat16 are computed in float32.
All of them are derived in notebook 03.
"""

from seglab.losses.combined import cross_entropy_dice_loss
from seglab.losses.cross_entropy import bce_loss, cross_entropy
from seglab.losses.dice import dice_loss, generalized_dice_loss
from seglab.losses.focal import focal_loss, prior_bias
from seglab.losses.lovasz import lovasz_softmax
from seglab.losses.tversky import tversky_loss

__all__ = [
    "bce_loss", "cross_entropy", "cross_entropy_dice_loss", "dice_loss", "focal_loss",
    "generalized_dice_loss", "lovasz_softmax", "prior_bias", "tversky_loss",
]
