"""The mask head: pooled features -> K masks of m x m for every RoI, and the loss on the one of the true class.

He et al., "Mask R-CNN", ICCV 2017, section 3 ("Mask Representation") and Fig. 4 right; Tables 2b and 2e for the
alternatives. Built in notebook 14.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskHead(nn.Sequential):
    """3x3 convolutions with ReLU that keep the size: (P, C, h, w) -> (P, channels[-1], h, w)."""

    def __init__(self, in_channels: int, channels: Sequence[int] = (256, 256, 256, 256)) -> None:
        widths = [in_channels, *channels]
        super().__init__(*(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(inplace=True))
                           for a, b in zip(widths, widths[1:])))
        self.out_channels = widths[-1]
        for block in self:
            nn.init.kaiming_normal_(block[0].weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(block[0].bias)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for kind in ("weight", "bias"):
            for i in range(len(self)):                           # the names in the published files count from 1
                if f"{prefix}mask_fcn{i + 1}.{kind}" in state_dict:
                    state_dict[f"{prefix}{i}.0.{kind}"] = state_dict.pop(f"{prefix}mask_fcn{i + 1}.{kind}")
        super()._load_from_state_dict(state_dict, prefix, *args)


class MaskPredictor(nn.Sequential):
    """A 2x2 transposed convolution doubles the size, a 1x1 gives the logits: (P, C, h, w) -> (P, K, 2h, 2w).

    ``num_classes=1`` makes the masks class-agnostic: one mask a RoI, whatever its class.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__(OrderedDict(conv5_mask=nn.ConvTranspose2d(in_channels, channels, 2, 2),
                                     relu=nn.ReLU(inplace=True),
                                     mask_fcn_logits=nn.Conv2d(channels, num_classes, 1)))
        for module in (self.conv5_mask, self.mask_fcn_logits):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class MLPMaskPredictor(nn.Sequential):
    """The alternative without convolutions (Table 2e): two hidden layers see the RoI as a vector, its layout is lost.

    (P, C, h, w) with ``in_features = C * h * w`` -> (P, K, size, size). Takes the place of head and predictor
    together: pass ``nn.Identity()`` as the head.
    """

    def __init__(self, in_features: int, width: int, num_classes: int, size: int = 28) -> None:
        super().__init__(nn.Flatten(), nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                         nn.Linear(width, num_classes * size * size), nn.Unflatten(1, (num_classes, size, size)))


def own_channel(logits: Tensor, labels: Tensor) -> Tensor:
    """Of masks (P, K, m, m) the one of each RoI's class, (P, m, m); of class-agnostic ones (K = 1) the only one."""
    if logits.shape[1] == 1:
        return logits[:, 0]
    return logits[torch.arange(len(labels), device=labels.device), labels]


def sigmoid_mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """L_mask: mean binary cross entropy on the mask of the true class; the other K - 1 masks get no gradient.

    Parameters
    ----------
    logits : Tensor (P, K, m, m), or (P, 1, m, m) for class-agnostic masks
        Of the positive RoIs.
    labels : Tensor (P,) int64
        True classes, 1..K - 1.
    targets : Tensor (P, m, m), 0..1
        From :func:`mask_targets`; pixels on an edge are fractions, and stay so.

    Returns
    -------
    Tensor, scalar
        0 (with zero gradients) for P = 0.

    References
    ----------
    Mask R-CNN, section 3. Notebook 14.
    """
    if not len(labels):
        return logits.sum() * 0
    return F.binary_cross_entropy_with_logits(own_channel(logits, labels), targets.to(logits))


def sigmoid_mask_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Masks (P, K, m, m) -> probability (P, 1, m, m) of each RoI's class, independent of all other classes."""
    return own_channel(logits, labels).sigmoid()[:, None]


def softmax_mask_loss(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The alternative of Table 2b: classes compete in every pixel.

    Arguments as in :func:`sigmoid_mask_loss`. Cross entropy of the softmax over K with the share ``targets`` for the
    true class and the rest for the background, class 0. Class-agnostic masks have nothing to compete with: ValueError.
    """
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have shape (P, K, m, m) with K >= 2, got {tuple(logits.shape)}")
    if not len(labels):
        return logits.sum() * 0
    log_p = logits.log_softmax(1)
    inside = own_channel(log_p, labels)
    return -(targets.to(logits) * inside + (1 - targets.to(logits)) * log_p[:, 0]).mean()


def softmax_mask_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Masks (P, K, m, m) -> softmax probability (P, 1, m, m) of each RoI's class."""
    return own_channel(logits.softmax(1), labels)[:, None]
