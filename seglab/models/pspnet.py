"""PSPNet: the map pooled into grids of 1, 2, 3 and 6 cells a side, reduced, enlarged and laid beside itself.

Source: Zhao, Shi, Qi, Wang, Jia, Pyramid Scene Parsing Network, CVPR 2017, sections 3.2 and 3.3. Built in notebook 10.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.models.aspp import check_rates
from seglab.models.dense import DenseModel, check_num_classes
from seglab.models.fcn_resnet import FCNHead
from seglab.models.pooled_norm import PooledBatchNorm2d
from seglab.models.resnet import resnet50

POOLS = {"average": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}


class PyramidPooling(nn.Module):
    """The pooled and reduced maps of the pyramid, each still at its own size.

    ``(N, in_channels, h, w)`` -> list of ``(N, in_channels // len(bins), b, b)``, one for each b in ``bins``.

    Parameters
    ----------
    in_channels : int
        Channels C of the features; each level is reduced to C / (number of levels).
    bins : sequence of int
        Cells a side. Cells overlap where the map's side is not a multiple, and repeat pixels where it is smaller.
    pool : {"average", "max"}
        What a cell keeps of its pixels.
    """

    def __init__(self, in_channels: int, bins: Sequence[int] = (1, 2, 3, 6), pool: str = "average"):
        super().__init__()
        bins = check_rates(bins, "bins") if len(bins) else ()
        if pool not in POOLS:
            raise ValueError(f"pool must be one of {tuple(POOLS)}, got {pool!r}")
        self.bins, self.channels = bins, in_channels // max(len(bins), 1)
        if self.channels < 1:
            raise ValueError(f"in_channels must be at least the number of bins, got {in_channels} for {bins}")
        self.levels = nn.ModuleList(
            nn.Sequential(POOLS[pool](b), nn.Conv2d(in_channels, self.channels, 1, bias=False),
                          PooledBatchNorm2d(self.channels), nn.ReLU()) for b in bins)

    def forward(self, features: Tensor) -> list[Tensor]:
        """One map a level."""
        return [level(features) for level in self.levels]


def conv3x3_of_enlarged(small: Tensor, weight: Tensor, height: int, width: int) -> Tensor:
    """A zero-padded 3x3 convolution of a bilinearly enlarged map, without making the enlarged map.

    Parameters
    ----------
    small : Tensor (N, C, b, b')
        Map before the enlargement to height x width px (``align_corners=False``).
    weight : Tensor (K, C, 3, 3)
        Kernel.

    Returns
    -------
    Tensor (N, K, height, width)
        ``F.conv2d(F.interpolate(small, (height, width), mode="bilinear"), weight, padding=1)`` up to rounding.

    Notes
    -----
    Bilinear enlargement is ``A s B^T`` with one matrix an axis, and a tap that looks k rows further reads the same
    matrix k rows further. So the kernel can be applied to the few pixels of the small map first, for each of its nine
    taps, and three shifted copies of A and of B do the rest. For a 6x6 grid on a 60x60 map that is 36 positions for
    the channel sums where the plain form has 3600.
    """
    (n, c), (k, _, *taps), bins = small.shape[:2], weight.shape, small.shape[2:]
    rows, columns = (_shifted_copies(b, size, small) for b, size in zip(bins, (height, width), strict=True))
    by_tap = weight.permute(0, 2, 3, 1).reshape(-1, c) @ small.flatten(2)             # (N, K * 9, b * b')
    by_tap = by_tap.reshape(n, k, *taps, *bins).transpose(3, 4)                        # (N, K, 3, b, 3, b')
    by_tap = by_tap.reshape(n, k, taps[0] * bins[0], taps[1] * bins[1])
    return rows @ by_tap @ columns.mT


def _shifted_copies(bins: int, size: int, like: Tensor) -> Tensor:
    """``(size, 3 * bins)``: the matrix that enlarges ``bins`` px to ``size`` px, read a row before, at, a row after."""
    eye = torch.eye(bins, dtype=like.dtype, device=like.device)[None]
    matrix = F.pad(F.interpolate(eye, size=size, mode="linear", align_corners=False)[0].T, (0, 0, 1, 1))
    return torch.cat([matrix[k:k + size] for k in range(3)], dim=1)


class PSPHead(nn.Module):
    """Pyramid, 3x3 convolution over features and pyramid, 1x1 convolution to the classes.

    ``(N, in_channels, h, w)`` -> ``(N, num_classes, h, w)``.

    Parameters
    ----------
    in_channels, num_classes : int
        Channels of the features; classes of the logits.
    bins, pool
        As for :class:`PyramidPooling`; ``bins=()`` is the network without a pyramid.
    channels : int
        Width of the 3x3 convolution, 512 in the paper; batch norm, ReLU and dropout 0.1 follow it.
    """

    def __init__(self, in_channels: int, num_classes: int, bins: Sequence[int] = (1, 2, 3, 6), pool: str = "average",
                 channels: int = 512):
        super().__init__()
        self.pyramid = PyramidPooling(in_channels, bins, pool)
        wide = in_channels + len(self.pyramid.bins) * self.pyramid.channels
        self.conv = nn.Conv2d(wide, channels, 3, padding=1, bias=False)
        self.norm_relu = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Dropout(0.1))
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """The convolution of ``cat([features, *enlarged pyramid])``, summed part by part."""
        own, *parts = self.conv.weight.split(
            [features.shape[1]] + [self.pyramid.channels] * len(self.pyramid.bins), dim=1)
        x = F.conv2d(features, own, padding=1)
        for small, weight in zip(self.pyramid(features), parts, strict=True):
            x = x + conv3x3_of_enlarged(small, weight, *features.shape[-2:])
        return self.classifier(self.norm_relu(x))


class PSPNet(DenseModel):
    """PSPNet: logits ``(N, num_classes, H, W)`` for images ``(N, in_channels, H, W)``.

    Parameters
    ----------
    num_classes, backbone, output_stride, in_channels
        As for :class:`seglab.models.fcn_resnet.FCNResNet`.
    bins, pool, channels
        As for :class:`PSPHead`; the paper's best are average pooling into 1, 2, 3 and 6 cells a side.
    aux_loss : bool
        The auxiliary head of section 3.3; add 0.4 times its cross-entropy to the loss.

    Raises
    ------
    ValueError
        For illegal bins, pool, output stride or classes.

    Notes
    -----
    Where this differs from ``segmentation_models_pytorch.PSPNet``, with whose parts it is compared: there the level
    with one cell has no batch norm ("PyTorch does not support BatchNorm for 1x1 shape"; here it does, see
    :class:`~seglab.models.pooled_norm.PooledBatchNorm2d`), enlargements use ``align_corners=True`` (here False, as
    everywhere in this package), the convolution after the pyramid is 1x1 and the classifier 3x3 (the paper: 3x3 and
    1x1), dropout 0.2 drops whole channels, the default encoder stops at stride 8 after two stages, and a dilated stage
    dilates its first block too (here, as in torchvision, that block keeps the dilation before).

    References
    ----------
    Zhao, Shi, Qi, Wang, Jia: Pyramid Scene Parsing Network. CVPR 2017; ADE20K ablations in tables 1 to 3.
    """

    def __init__(self, num_classes: int = 21, backbone: Callable[..., nn.Module] = resnet50, output_stride: int = 8,
                 bins: Sequence[int] = (1, 2, 3, 6), pool: str = "average", channels: int = 512, aux_loss: bool = True,
                 in_channels: int = 3):
        check_num_classes(num_classes)
        net = backbone(output_stride=output_stride, in_channels=in_channels)
        super().__init__(net, PSPHead(net.channels[-1], num_classes, bins, pool, channels),
                         FCNHead(net.channels[-2], num_classes) if aux_loss else None)
