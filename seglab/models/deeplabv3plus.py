"""DeepLab v3+: atrous pyramid on top, a small decoder that brings the outlines back from stride 4.

Source: Chen, Zhu, Papandreou, Schroff, Adam, DeepLab v3+, ECCV 2018, section 3.1 and figure 2. Built in notebook 11.
"""

from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.models.aspp import ASPP, atrous3x3, check_rates, conv_norm_relu
from seglab.models.dense import check_images, check_num_classes


def rates_at(output_stride: int, rates: Sequence[int] = (6, 12, 18)) -> tuple[int, ...]:
    """Rates given for output stride 16, doubled at 8 and halved (not below 1) at 32: the same reach in picture px."""
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride!r}")
    return tuple(max(1, rate * 16 // output_stride) for rate in check_rates(rates))


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps ``(N, C, h, w)`` at ``size`` (H, W) px, bilinear; pixels are areas (``align_corners=False``)."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


class DeepLabV3Plus(nn.Module):
    """Images ``(N, C, H, W)`` -> logits ``(N, num_classes, H, W)`` for any H, W >= 1.

    Parameters
    ----------
    backbone : Module
        Maps images to a list of feature maps, the first at stride 4 and the last at ``output_stride``, with their
        channel counts in ``backbone.channels`` and the pictures' in ``backbone.in_channels``: ``Xception``,
        ``mobilenet_v2``, ``resnet50``, each built with the same ``output_stride``.
    num_classes : int
    output_stride : int
        Of the backbone. Networks that differ only in it have the same ``state_dict``: train at 16, predict at 8.
    rates : sequence of int
        Of the pyramid at output stride 16, in px of the feature map; doubled at 8, halved at 32. The paper's 6, 12, 18
        are made for 513 px: on a picture of 96 px they reach past every edge, and smaller ones serve better.
    channels : int
        Of the pyramid and the decoder.
    low_level_channels : int
        To which a 1x1 convolution reduces the stride-4 features; 0 for a decoder that never sees them.
    separable : bool
        Depthwise separable 3x3 convolutions in pyramid and decoder, with batch norm and ReLU after the depthwise one.
    decoder : bool
        False is the paper's naive decoder, DeepLab v3's: the pyramid's logits, enlarged in one go.
    dropout : float
        After the pyramid's projection, in training.

    Raises
    ------
    ValueError
        For arguments out of range; for images of another shape; for a backbone whose last map has another stride
        than ``output_stride``, or its first one another stride than 4; in training also for one picture no larger than
        the output stride, where batch normalisation would see a single value a channel.
    TypeError
        For integer images.

    Notes
    -----
    Decoder: pyramid enlarged to stride 4, concatenated with the reduced low-level features, two 3x3 convolutions, 1x1
    to classes, enlarged to the picture. Enlargement goes to the *size* of the target, so odd pictures fit as well.

    Conventions that others choose differently: bilinear with ``align_corners=False`` throughout
    (``segmentation_models_pytorch``: True); a dilated stage's first block keeps the rate before it (there: the whole
    stage is dilated); batch norm and ReLU inside a separable convolution (there: none); two 3x3 convolutions after the
    concatenation (there: one before and one after); rates 6, 12, 18 at stride 16 (there: 12, 24, 36, also at 16). With
    these five changed, its weights load by position and give its logits; see
    tests/parity/test_deeplabv3plus_reference.py.

    Training works at batch 1: the image-level branch then normalises by its running statistics, see
    :class:`~seglab.models.pooled_norm.PooledBatchNorm2d`.

    References
    ----------
    Chen et al., ECCV 2018: figure 2 (architecture), tables 1 and 2 (48 channels, two 3x3 of 256), section 4.4 and
    figure 5 (trimaps).
    """

    def __init__(self, backbone: nn.Module, num_classes: int, output_stride: int = 16,
                 rates: Sequence[int] = (6, 12, 18), channels: int = 256, low_level_channels: int = 48,
                 separable: bool = True, decoder: bool = True, dropout: float = 0.1):
        super().__init__()
        check_num_classes(num_classes)
        for name, value, least in [("channels", channels, 1), ("low_level_channels", low_level_channels, 0)]:
            if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")
        self.num_classes, self.output_stride, self.decoder = num_classes, output_stride, decoder
        self.backbone = backbone
        self.aspp = ASPP(backbone.channels[-1], rates_at(output_stride, rates), channels, separable, dropout)
        if decoder:
            self.reduce = conv_norm_relu(nn.Conv2d(backbone.channels[0], low_level_channels, 1, bias=False),
                                         low_level_channels) if low_level_channels else None
            self.fuse = nn.Sequential(
                conv_norm_relu(atrous3x3(channels + low_level_channels, channels, 1, separable), channels),
                conv_norm_relu(atrous3x3(channels, channels, 1, separable), channels))
        self.head = nn.Conv2d(channels, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, num_classes, H, W)``."""
        check_images(images, self.backbone.in_channels)
        low, *_, high = self.backbone(images)
        for name, features, stride in (("last", high, self.output_stride), ("first", low, 4)):
            expected = tuple(-(-side // stride) for side in images.shape[-2:])
            if tuple(features.shape[-2:]) != expected:
                raise ValueError(f"backbone must give a {name} map of stride {stride}, {expected} px, for images of "
                                 f"{tuple(images.shape[-2:])} px, got {tuple(features.shape[-2:])} px; build it with "
                                 f"output_stride={self.output_stride}")
        x = self.aspp(high)
        if self.decoder:
            x = resize(x, low.shape[-2:])
            x = self.fuse(x if self.reduce is None else torch.cat([x, self.reduce(low)], dim=1))
        return resize(self.head(x), images.shape[-2:])
