"""U-Net: a contracting path, an expanding path, and skips that carry detail from one to the other.

Source: Ronneberger, Fischer, Brox, MICCAI 2015, section 2 and figure 1. Built in notebook 05.
"""

import math

import torch
from torch import Tensor, nn

from seglab.models.arguments import check_counts, check_images

PADDINGS = ("valid", "same")
NORMS = (None, "batch")


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each followed by ReLU (with batch normalisation before it when ``norm="batch"``).

    ``(N, in_channels, H, W)`` -> ``(N, out_channels, H - 4, W - 4)`` for ``"valid"``, ``(..., H, W)`` for ``"same"``.
    """

    def __init__(self, in_channels: int, out_channels: int, padding: str = "valid", norm: str | None = None) -> None:
        layers: list[nn.Module] = []
        for channels in (in_channels, out_channels):
            layers.append(nn.Conv2d(channels, out_channels, 3, padding=1 if padding == "same" else 0))
            if norm == "batch":
                layers.append(nn.BatchNorm2d(out_channels))
            layers.append(nn.ReLU())
        super().__init__(*layers)


def center_crop(features: Tensor, height: int, width: int) -> Tensor:
    """The central ``height`` x ``width`` px of features ``(N, C, H, W)``; an odd rest is cut at bottom and right."""
    top, left = (features.shape[-2] - height) // 2, (features.shape[-1] - width) // 2
    return features[..., top:top + height, left:left + width]


class Up(nn.Module):
    """One step up: a 2x2 transposed convolution that halves the channels, the skip beside it, a double convolution."""

    def __init__(self, in_channels: int, out_channels: int, padding: str = "valid", norm: str | None = None) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        self.conv = DoubleConv(2 * out_channels, out_channels, padding, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """``(N, 2C, h, w)`` and skip ``(N, C, H, W)`` -> ``(N, C, 2h - 4, 2w - 4)`` for ``"valid"``."""
        x = self.up(x)
        return self.conv(torch.cat([center_crop(skip, *x.shape[-2:]), x], dim=1))


def output_size(size: int, depth: int = 5, padding: str = "valid") -> int:
    """Side of the output in px for an input side of ``size`` px; 572 -> 388 for the paper's network.

    Raises
    ------
    ValueError
        If ``size`` is illegal: some level would be odd before its pooling, or nothing would be left. The message
        names the nearest legal sizes.
    """
    low, high = legal_sizes(size, depth, padding)
    if size not in (low, high):
        legal = f"smallest legal size is {high}" if low is None else f"nearest legal sizes are {low} and {high}"
        raise ValueError(f"size must be legal for depth={depth}, padding={padding!r}, got {size} px; the {legal} px")
    return size - lost_border(depth, padding)


def lost_border(depth: int = 5, padding: str = "valid") -> int:
    """How many px a side loses on its way through the network: 184 for the paper's, 92 at each end."""
    if padding == "same":
        return 0
    down = 4 * (2 ** (depth - 1) - 1)  # double convolutions of the levels that are pooled, in input px
    bottom = 4 * 2 ** (depth - 1)
    return 2 * down + bottom


def legal_sizes(size: int, depth: int = 5, padding: str = "valid") -> tuple[int | None, int]:
    """The largest legal input side <= ``size`` (None if there is none) and the smallest one >= ``size``, px.

    With bottom side b, a valid network of depth 5 takes 16 b + 60 px, where b >= 8 leaves one output pixel block.
    """
    step = 2 ** (depth - 1)
    rest = 4 * (step - 1) % step if padding == "valid" else 0
    smallest = lost_border(depth, padding) + 1 if padding == "valid" else step
    first = smallest + (rest - smallest) % step
    if size < first:
        return None, first
    low = size - (size - rest) % step
    return low, low if low == size else low + step


class UNet(nn.Module):
    """The U-Net of the paper by default: 31,030,658 parameters, 572 x 572 px -> 388 x 388 px.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the image; classes of the logits.
    base_channels : int
        Channels of the first level; each level down doubles them.
    depth : int
        Levels, the bottom one included (5 in the paper).
    padding : {"valid", "same"}
        Unpadded 3x3 convolutions as in the paper, or zero-padded ones that keep the size.
    norm : {None, "batch"}
        Batch normalisation after each 3x3 convolution; the paper has none.

    Notes
    -----
    Weights start as N(0, sqrt(2 / fan_in)), section 3 of the paper, biases at zero. The paper also mentions drop-out
    at the end of the contracting path without giving a rate; it is left out. Its "up-convolution" is read as a 2x2
    transposed convolution with stride 2, as in its figure 1.

    References
    ----------
    Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image Segmentation. MICCAI 2015.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 2, base_channels: int = 64, depth: int = 5,
                 padding: str = "valid", norm: str | None = None) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, num_classes=num_classes, base_channels=base_channels, depth=depth)
        if padding not in PADDINGS:
            raise ValueError(f"padding must be one of {PADDINGS}, got {padding!r}")
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {NORMS}, got {norm!r}")
        self.in_channels, self.num_classes, self.depth, self.padding = in_channels, num_classes, depth, padding
        widths = [base_channels * 2**level for level in range(depth)]
        self.down = nn.ModuleList(
            DoubleConv(before, after, padding, norm)
            for before, after in zip([in_channels, *widths[:-1]], widths, strict=True))
        self.pool = nn.MaxPool2d(2)
        self.ups = nn.ModuleList(Up(2 * width, width, padding, norm) for width in reversed(widths[:-1]))
        self.head = nn.Conv2d(base_channels, num_classes, 1)
        self.apply(init_he)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, num_classes, H - lost, W - lost)`` for images ``(N, in_channels, H, W)``.

        Raises
        ------
        TypeError
            For integer images.
        ValueError
            If the image is not 4-D, has other channels, or an illegal height or width; the message names the nearest
            legal sizes.
        """
        check_images(images, self.in_channels)
        for axis, size in zip(("height", "width"), images.shape[-2:], strict=True):
            try:
                output_size(size, self.depth, self.padding)
            except ValueError as err:
                raise ValueError(f"images must have a legal {axis}: {err}") from None
        skips, x = [], images
        for level, conv in enumerate(self.down):
            x = conv(self.pool(x) if level else x)
            skips.append(x)
        for up, skip in zip(self.ups, reversed(skips[:-1]), strict=True):
            x = up(x, skip)
        return self.head(x)

    def margin(self) -> int:
        """How many px the output is smaller than the input at each side: 92 for the paper's network."""
        return lost_border(self.depth, self.padding) // 2


def init_he(module: nn.Module) -> None:
    """Draw a convolution's weights from N(0, sqrt(2 / fan_in)) and zero its bias; leave other modules alone.

    For a 3x3 convolution on 64 channels fan_in is 9 * 64 = 576 (the paper's example). A 2x2 transposed convolution with
    stride 2 reaches each output pixel once from every input channel, so its fan_in is the number of input channels.
    """
    if isinstance(module, nn.ConvTranspose2d):
        taps = math.prod(k / s for k, s in zip(module.kernel_size, module.stride, strict=True))
        fan_in = module.in_channels * taps
    elif isinstance(module, nn.Conv2d):
        fan_in = module.in_channels // module.groups * math.prod(module.kernel_size)
    else:
        return
    nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_in))
    if module.bias is not None:
        nn.init.zeros_(module.bias)
