"""DeepLab v3+: atrous pyramid on top, a small decoder that brings the outlines back from stride 4.

Source: Chen, Zhu, Papandreou, Schroff, Adam, DeepLab v3+, ECCV 2018, section 3.1 and figure 2. Built in notebook 11.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seglab.models.arguments import check_counts, check_output_stride, check_rates
from seglab.models.aspp import ASPP, atrous3x3, conv_norm_relu
from seglab.models.backbone import Backbone
from seglab.models.dense import DenseModel, resize


def rates_at(output_stride: int, rates: Sequence[int] = (6, 12, 18)) -> tuple[int, ...]:
    """Rates given for output stride 16, doubled at 8 and halved (not below 1) at 32: the same reach in picture px."""
    check_output_stride(output_stride)
    return tuple(max(1, rate * 16 // output_stride) for rate in check_rates(rates))


class DeepLabV3Plus(DenseModel):
    """Images ``(N, C, H, W)`` -> logits ``(N, num_classes, H, W)`` for any H, W >= 1.

    Parameters
    ----------
    backbone : Backbone
        Built with the same ``output_stride``: ``xception65(output_stride=16)``, a ``mobilenet_v2``, ``resnet50``,
        ``VGG16``.
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
        For arguments out of range; for a backbone of another output stride; for images of another shape; in training
        also for one picture no larger than the output stride, where batch normalisation would see a single value a
        channel.
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

    def __init__(self, backbone: Backbone, num_classes: int, output_stride: int = 16,
                 rates: Sequence[int] = (6, 12, 18), channels: int = 256, low_level_channels: int = 48,
                 separable: bool = True, decoder: bool = True, dropout: float = 0.1) -> None:
        super().__init__(backbone, None)
        check_counts(num_classes=num_classes, channels=channels)
        check_counts(0, low_level_channels=low_level_channels)
        rates = rates_at(output_stride, rates)
        if backbone.output_stride != output_stride:
            raise ValueError(f"backbone must have output_stride {output_stride}, got {backbone.output_stride}")
        self.num_classes, self.output_stride, self.decoder = num_classes, output_stride, decoder
        self.aspp = ASPP(backbone.channels[-1], rates, channels, separable, dropout)
        if decoder:
            self.reduce = conv_norm_relu(nn.Conv2d(backbone.channels[0], low_level_channels, 1, bias=False),
                                         low_level_channels) if low_level_channels else None
            self.fuse = nn.Sequential(
                conv_norm_relu(atrous3x3(channels + low_level_channels, channels, 1, separable), channels),
                conv_norm_relu(atrous3x3(channels, channels, 1, separable), channels))
        self.head = nn.Conv2d(channels, num_classes, 1)

    def score(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, num_classes, h, w)``, at stride 4 with a decoder and at the output stride without."""
        low, *_, high = maps
        x = self.aspp(high)
        if self.decoder:
            x = resize(x, low.shape[-2:])
            x = self.fuse(x if self.reduce is None else torch.cat([x, self.reduce(low)], dim=1))
        return self.head(x)
