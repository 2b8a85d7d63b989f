"""PSPNet: the map pooled into grids of 1, 2, 3 and 6 cells a side, reduced, enlarged and laid beside itself.

Source: Zhao, Shi, Qi, Wang, Jia, Pyramid Scene Parsing Network, CVPR 2017, sections 3.2 and 3.3. Built in notebook 10.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from seglab.models.arguments import check_counts, check_rates
from seglab.models.backbone import Backbone
from seglab.models.dense import DenseModel, resize
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

    def __init__(self, in_channels: int, bins: Sequence[int] = (1, 2, 3, 6), pool: str = "average") -> None:
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
                 channels: int = 512) -> None:
        super().__init__()
        self.pyramid = PyramidPooling(in_channels, bins, pool)
        wide = in_channels + len(self.pyramid.bins) * self.pyramid.channels
        self.conv = nn.Conv2d(wide, channels, 3, padding=1, bias=False)
        self.norm_relu = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Dropout(0.1))
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Class scores from the features and, beside them, the pyramid's levels enlarged to their size."""
        levels = [resize(level, features.shape[-2:]) for level in self.pyramid(features)]
        return self.classifier(self.norm_relu(self.conv(torch.cat([features, *levels], dim=1))))


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

    def __init__(self, num_classes: int = 21, backbone: Callable[..., Backbone] = resnet50, output_stride: int = 8,
                 bins: Sequence[int] = (1, 2, 3, 6), pool: str = "average", channels: int = 512, aux_loss: bool = True,
                 in_channels: int = 3) -> None:
        check_counts(num_classes=num_classes, channels=channels)
        net = backbone(output_stride=output_stride, in_channels=in_channels)
        super().__init__(net, PSPHead(net.channels[-1], num_classes, bins, pool, channels),
                         FCNHead(net.channels[-2], num_classes) if aux_loss else None)
