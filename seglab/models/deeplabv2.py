"""DeepLab v2: the first ASPP, a sum of four atrous classifiers without batch norm.

Source: Chen, Papandreou, Kokkinos, Murphy, Yuille, DeepLab, PAMI 2018, section 3.2 and figure 7. Built in notebook 10.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from seglab.models.arguments import check_counts, check_rates
from seglab.models.backbone import Backbone
from seglab.models.dense import DenseModel
from seglab.models.resnet import resnet101


class ASPPSum(nn.Module):
    """DeepLab v2's pyramid: one classifier a rate, their scores added.

    ``(N, in_channels, h, w)`` -> ``(N, num_classes, h, w)``.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the features; classes of the scores.
    rates : sequence of int
        In px of the feature map at output stride 8: (6, 12, 18, 24) is ASPP-L, (2, 4, 8, 12) ASPP-S; (12,) is LargeFOV.
    hidden : int or None
        Width of the paper's branches fc6 (3x3 at the rate), fc7 (1x1), fc8 (1x1), each but the last with ReLU and
        dropout 0.5: 1024 on VGG-16. None: one 3x3 convolution a branch, as in the released ResNet-101 network.

    Raises
    ------
    ValueError
        For rates, classes or channels that are no integers >= 1.

    Notes
    -----
    Version 3 shares the name and little else: it concatenates features, normalises them, and adds a 1x1 and an
    image-pooling branch (:class:`seglab.models.aspp.ASPP`). Weights start as N(0, 0.01), biases at zero.
    """

    def __init__(self, in_channels: int, num_classes: int, rates: Sequence[int] = (6, 12, 18, 24),
                 hidden: int | None = None) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, num_classes=num_classes)
        self.branches = nn.ModuleList(_branch(in_channels, num_classes, rate, hidden) for rate in check_rates(rates))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """The branches' scores, added."""
        return torch.stack([branch(features) for branch in self.branches]).sum(dim=0)


def _branch(in_channels: int, num_classes: int, rate: int, hidden: int | None) -> nn.Module:
    if hidden is None:
        return nn.Conv2d(in_channels, num_classes, 3, padding=rate, dilation=rate)
    return nn.Sequential(
        nn.Conv2d(in_channels, hidden, 3, padding=rate, dilation=rate), nn.ReLU(), nn.Dropout(0.5),
        nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(hidden, num_classes, 1))


class DeepLabV2(DenseModel):
    """DeepLab v2 without its CRF: logits ``(N, num_classes, H, W)`` for images ``(N, in_channels, H, W)``.

    Parameters
    ----------
    num_classes, backbone, output_stride, in_channels
        As for :class:`seglab.models.fcn_resnet.FCNResNet`; the default backbone is ResNet-101.
    rates, hidden
        As for :class:`ASPPSum`, in px of the feature map whatever the output stride is.

    Raises
    ------
    ValueError
        For illegal rates, output stride or classes.

    Notes
    -----
    The paper's score (VOC 2012 val, ResNet-101) is 76.35 mIoU with ASPP-L before the CRF and 77.69 after it; the CRF is
    ``seglab.ops.dense_crf``.
    """

    def __init__(self, num_classes: int = 21, backbone: Callable[..., Backbone] = resnet101, output_stride: int = 8,
                 rates: Sequence[int] = (6, 12, 18, 24), hidden: int | None = None, in_channels: int = 3) -> None:
        net = backbone(output_stride=output_stride, in_channels=in_channels)
        super().__init__(net, ASPPSum(net.channels[-1], num_classes, rates, hidden))
