"""ResNet as a backbone: four feature maps, dilation instead of stride where a dense model asks for it.

He et al., "Deep Residual Learning for Image Recognition", 2016, Table 1 and Fig. 5. Parameter names are those of
torchvision's ResNet without its classifier (``fc``), so that its ImageNet files load.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seglab.models.arguments import check_counts
from seglab.models.backbone import Backbone, dilated_stages


class FrozenBatchNorm2d(nn.Module):
    """Batch normalisation whose statistics and affine part are constants, as detectors use it.

    Detection trains with one or two pictures a device, too few for batch statistics (Mask R-CNN, section 3.1: "we
    use the frozen BN").

    Parameters
    ----------
    channels : int
        Number of channels C of the input ``(N, C, H, W)``.
    eps : float
        Added to the variance. torchvision's published COCO_V1 detectors were trained with 0.0.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)   # BatchNorm2d files have it, a constant has no use for it
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def extra_repr(self) -> str:
        """Channels and eps, shown by print(model)."""
        return f"{len(self.weight)}, eps={self.eps}"


def conv3x3(channels_in: int, channels_out: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """3x3 convolution without bias that keeps the size at stride 1: the padding is the dilation."""
    return nn.Conv2d(channels_in, channels_out, 3, stride, dilation, dilation, bias=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and -34). (N, Cin, H, W) -> (N, C, H/stride, W/stride).

    ``dilation`` is that of the convolution with the stride, ``later_dilation`` that of the one behind it: where a
    stride was taken out, everything behind it has to dilate to read the positions it read before.
    """

    expansion = 1

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int, later_dilation: int,
                 norm: Callable[[int], nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels, stride, dilation)
        self.bn1 = norm(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(channels, channels, 1, later_dilation)
        self.bn2 = norm(channels)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(F(x) + shortcut(x))."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn2(self.conv2(residual))
        return self.relu(residual + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1 down to ``channels``, 3x3, 1x1 up to ``4 * channels`` (ResNet-50 and deeper).

    The stride sits on the 3x3 convolution (torchvision's "v1.5"), not on the first 1x1 as in the paper; no wide
    convolution stands behind it, so ``later_dilation`` has nothing to set.
    """

    expansion = 4

    def __init__(self, channels_in: int, channels: int, stride: int, dilation: int, later_dilation: int,
                 norm: Callable[[int], nn.Module], shortcut: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = conv3x3(channels, channels, stride, dilation)
        self.bn2 = norm(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = norm(4 * channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """ReLU(F(x) + shortcut(x))."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        return self.relu(residual + (x if self.downsample is None else self.downsample(x)))


class ResNet(Backbone):
    """The convolutional part of ResNet: maps C2..C5, and the stem (``width`` channels, stride 2) among its ``taps``.

    Parameters
    ----------
    block : type
        ``BasicBlock`` or ``Bottleneck``.
    layers : sequence of 4 ints
        Blocks a stage: (2, 2, 2, 2) for ResNet-18, (3, 4, 6, 3) for ResNet-50.
    width : int
        Channels of the stem; stage i has ``width * 2**i * block.expansion`` channels out.
    in_channels : int
        Channels of the pictures.
    output_stride : {8, 16, 32}
        Input size over size of C5; below 32 dilation replaces strides as in :func:`seglab.models.dilated_stages`.
    norm : callable
        ``norm(channels) -> module``: ``nn.BatchNorm2d``, ``FrozenBatchNorm2d``, a group norm.

    Raises
    ------
    ValueError
        For ``layers`` that are not four positive counts, ``width`` < 1 or an ``output_stride`` other than 8, 16, 32.
    """

    def __init__(self, block: type, layers: Sequence[int], width: int = 64, in_channels: int = 3,
                 output_stride: int = 32, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        check_counts(width=width)
        widths = [width * 2 ** stage for stage in range(4)]
        super().__init__(in_channels, output_stride, (width, *(w * block.expansion for w in widths)))
        if len(layers) != 4 or min(layers) < 1:
            raise ValueError(f"layers must be four counts >= 1, got {tuple(layers)}")
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels, stages = width, dilated_stages((4, 1, 2, 2, 2), output_stride)[1:]
        for number, (count, inner, out, stage) in enumerate(zip(layers, widths, self.channels, stages), start=1):
            shortcut = None
            if stage.stride != 1 or channels != out:
                shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stage.stride, bias=False), norm(out))
            blocks = [block(channels, inner, stage.stride, stage.first, stage.dilation, norm, shortcut)]
            blocks += [block(out, inner, 1, stage.dilation, stage.dilation, norm, None) for _ in range(count - 1)]
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
            channels = out
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def extract(self, images: Tensor) -> list[Tensor]:
        """The stem before its pooling, then C2, C3, C4, C5."""
        maps = [self.relu(self.bn1(self.conv1(images)))]
        x = self.maxpool(maps[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


def resnet18(**options: Any) -> ResNet:
    """ResNet-18: channels 64, 128, 256, 512. ``options`` as for ``ResNet``."""
    return ResNet(BasicBlock, (2, 2, 2, 2), **options)


def resnet50(**options: Any) -> ResNet:
    """ResNet-50: channels 256, 512, 1024, 2048. ``options`` as for ``ResNet``."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **options)


def resnet101(**options: Any) -> ResNet:
    """ResNet-101, the backbone of DeepLab v2: channels as for ResNet-50. ``options`` as for ``ResNet``."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **options)
