"""MobileNetV2: inverted residuals, thin at the ends and wide in the middle, for phones and for impatient readers.

Source: Sandler, Howard, Zhu, Zhmoginov, Chen, CVPR 2018, table 2. Parameter names are torchvision's, whose ImageNet
file loads strictly. Used in notebook 11.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from seglab.models.arguments import check_counts
from seglab.models.backbone import Backbone, dilated_stages

SETTING = (                          # expansion, channels, repeats, stride of the first
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
MAPS = (1, 3, 6, 13, 17)             # features whose output is the last one at strides 2, 4, 8, 16, 32


def conv_norm_relu6(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1,
                    groups: int = 1) -> nn.Sequential:
    """Convolution that keeps the size at stride 1, batch norm, ReLU cut off at 6."""
    padding = (kernel_size - 1) // 2 * dilation
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(out_channels), nn.ReLU6(inplace=True))


class InvertedResidual(nn.Module):
    """1x1 up to ``expansion`` times the channels, 3x3 depthwise, 1x1 down *without* ReLU; a shortcut where it fits.

    ``(N, in_channels, H, W)`` -> ``(N, out_channels, ceil(H / stride), ceil(W / stride))``.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int, dilation: int = 1) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = [conv_norm_relu6(in_channels, hidden, 1)] if expansion != 1 else []
        self.conv = nn.Sequential(*layers, conv_norm_relu6(hidden, hidden, 3, stride, dilation, groups=hidden),
                                  nn.Conv2d(hidden, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """The linear bottleneck, plus its input where the shapes agree."""
        return x + self.conv(x) if self.shortcut else self.conv(x)


def _divisible(channels: float) -> int:
    """The nearest multiple of 8, at least 8 and never below 90 % of ``channels``."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def inverted_residuals(width: float, output_stride: int, in_channels: int) -> tuple[list[nn.Module], list[int]]:
    """The stem and the 17 blocks, and the channels after each of them."""
    check_counts(in_channels=in_channels)
    stages = dilated_stages([2, *(stride for *_, stride in SETTING)], output_stride)[1:]
    if not width > 0:
        raise ValueError(f"width must be > 0, got {width!r}")
    channels = [_divisible(32 * width)]
    layers: list[nn.Module] = [conv_norm_relu6(in_channels, channels[0], 3, 2)]
    for (expansion, base, repeats, stride), stage in zip(SETTING, stages):
        for k in range(repeats):
            block = InvertedResidual(channels[-1], _divisible(base * width), stage.stride if k == 0 else 1, expansion,
                                     stage.dilation if k else stage.first)
            block.shortcut &= k > 0 or stride == 1          # where a stride was left out, no shortcut comes in
            layers.append(block)
            channels.append(_divisible(base * width))
    return layers, channels


def _initialise(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, 0.01)
            nn.init.zeros_(module.bias)


class MobileNetV2(nn.Module):
    """torchvision's classifier, key for key: ``(N, 3, H, W)`` -> class scores ``(N, num_classes)``.

    Parameters
    ----------
    num_classes : int
    width : float
        Factor on all channels, rounded to multiples of 8.
    dropout : float
        Before the linear layer, in training.

    Notes
    -----
    3,504,872 parameters, about 0.3 G multiply-adds at 224 px. ``imagenet_normalize`` the pictures for the published
    weights. :class:`MobileNetV2Backbone` is what a segmentation network takes of it.

    References
    ----------
    Sandler et al.: MobileNetV2: Inverted Residuals and Linear Bottlenecks. CVPR 2018, table 2.
    """

    def __init__(self, num_classes: int = 1000, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        layers, channels = inverted_residuals(width, 32, 3)
        last = _divisible(1280 * max(1.0, width))
        self.features = nn.Sequential(*layers, conv_norm_relu6(channels[-1], last, 1))
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores ``(N, num_classes)``."""
        return self.classifier(self.features(images).mean((2, 3)))


class MobileNetV2Backbone(Backbone):
    """Stem and inverted residuals as a backbone.

    Parameters
    ----------
    width : float
        Factor on all channels, rounded to multiples of 8.
    output_stride : {8, 16, 32}
        Input size over size of the last map, see :func:`seglab.models.dilated_stages`.
    in_channels : int
        Channels of the pictures.

    Raises
    ------
    ValueError
        For an ``output_stride`` other than 8, 16, 32 or ``width`` <= 0.

    Notes
    -----
    Ends with the 320 channels of the last bottleneck, as in the released DeepLab models; the 1x1 convolution to 1280
    belongs to the classifier (``segmentation_models_pytorch`` keeps it). Channels 24, 32, 96, 320, and 16 before them.
    """

    def __init__(self, width: float = 1.0, output_stride: int = 32, in_channels: int = 3) -> None:
        layers, channels = inverted_residuals(width, output_stride, in_channels)
        super().__init__(in_channels, output_stride, [channels[k] for k in MAPS])
        self.features = nn.Sequential(*layers)
        _initialise(self)

    def extract(self, images: Tensor) -> list[Tensor]:
        """The last output at each of the five strides."""
        x, maps = images, []
        for k, layer in enumerate(self.features):
            x = layer(x)
            if k in MAPS:
                maps.append(x)
        return maps


def mobilenet_v2(weights: str | Path | None = None, output_stride: int = 32, width: float = 1.0,
                 in_channels: int = 3) -> MobileNetV2Backbone:
    """The backbone, with the weights of torchvision's ImageNet file where one is given.

    Parameters
    ----------
    weights : path
        A file for ``torchvision.models.mobilenet_v2``, such as ``seglab.data.mobilenet_v2_weights_path()``. It must fit
        the whole classifier strictly, key by key; its last 1x1 convolution and linear layer are then left behind.
        None starts at random.
    output_stride, width, in_channels
        As for :class:`MobileNetV2Backbone`; the file is for 3 channels.

    Raises
    ------
    RuntimeError
        From ``load_state_dict``, naming the keys that do not fit.
    """
    backbone = MobileNetV2Backbone(width, output_stride, in_channels)
    if weights is not None:
        classifier = MobileNetV2(width=width)
        classifier.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        backbone.features.load_state_dict(classifier.features[:len(backbone.features)].state_dict())
    return backbone
