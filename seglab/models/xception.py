"""Modified aligned Xception, the strong backbone of DeepLab v3+: no pooling, only separable convolutions.

Source: Chen, Zhu, Papandreou, Schroff, Adam, DeepLab v3+, ECCV 2018, section 3.2 and figure 4. Used in notebook 11.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from seglab.models.arguments import check_counts
from seglab.models.backbone import Backbone, dilated_stages
from seglab.models.separable import SeparableConv2d
from seglab.models.unet import init_he

ENTRY = (128, 256, 728)              # channels of the three entry blocks, each ends with a stride of 2
EXIT = ((728, 1024, 1024), (1536, 1536, 2048))


class XceptionBlock(nn.Module):
    """Three separable 3x3 convolutions, the last one with the block's stride, and a shortcut around them.

    Parameters
    ----------
    in_channels : int
    channels : sequence of 3 ints
        Output channels of the three convolutions.
    stride, dilation : int
    last : bool
        The network's last block: no shortcut, ReLU after every convolution in place of before it.
    project : bool
        A 1x1 convolution in the shortcut also where the shapes agree without: the block has lost its stride.

    Notes
    -----
    In a residual block ReLU comes first and nothing after the last batch norm, so that the sum stays linear; between
    depthwise and pointwise stands a batch norm. The last block has batch norm and ReLU after every convolution. That is
    the released network. The paper says "batch normalization and ReLU are added after each 3 x 3 depthwise
    convolution", which in the released one holds in the last block only.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], stride: int = 1, dilation: int = 1,
                 last: bool = False, project: bool = False) -> None:
        super().__init__()
        self.last = last
        self.shortcut = None
        if not last and (project or stride != 1 or in_channels != channels[-1]):
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels[-1], 1, stride, bias=False),
                                          nn.BatchNorm2d(channels[-1]))
        self.convs = nn.ModuleList()
        before = in_channels
        for k, after in enumerate(channels):
            self.convs.append(nn.Sequential(
                SeparableConv2d(before, after, 3, stride if k == 2 else 1, dilation, dilation, relu=last),
                nn.BatchNorm2d(after)))
            before = after

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(N, C, H, W)`` -> the block's output and what its last, strided convolution read, at full size."""
        residual = x
        for conv in self.convs:
            before = residual if self.last else F.relu(residual)
            residual = conv(before)
            if self.last:
                residual = F.relu(residual)
        if self.last:
            return residual, before
        return residual + (x if self.shortcut is None else self.shortcut(x)), before


class Xception(Backbone):
    """Xception-65 as a backbone.

    Parameters
    ----------
    width : float
        Factor on all channels, rounded to multiples of 8 (at least 8). 1.0 is the paper's network.
    middle : int
        Residual blocks of the middle flow, 16 in Xception-65.
    output_stride : {8, 16, 32}
        Input size over size of the last map, see :func:`seglab.models.dilated_stages`; here a block is a stage.
    in_channels : int
        Channels of the pictures.

    Raises
    ------
    ValueError
        For an ``output_stride`` other than 8, 16, 32, ``width`` <= 0 or ``middle`` < 0.

    Notes
    -----
    Maps are taken *before* the strided convolution of their block (the last one at the end), as the released model
    takes its low-level features. 37,867,312 parameters; equal to timm's ``xception65`` without its classifier, whose
    weights load by position (its batch norms have eps 1e-3, these PyTorch's 1e-5).

    References
    ----------
    Chen et al., ECCV 2018, figure 4. Qi et al.: Deformable ConvNets, COCO 2017 challenge entry ("aligned Xception").
    """

    def __init__(self, width: float = 1.0, middle: int = 16, output_stride: int = 16, in_channels: int = 3) -> None:
        if not width > 0:
            raise ValueError(f"width must be > 0, got {width!r}")
        check_counts(0, middle=middle)

        def scaled(channels: int) -> int:
            return max(8, round(channels * width / 8) * 8)

        super().__init__(in_channels, output_stride, [scaled(c) for c in (*ENTRY, EXIT[0][1], EXIT[1][2])])

        stem = (scaled(32), scaled(64))
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem[0], 3, 2, 1, bias=False), nn.BatchNorm2d(stem[0]), nn.ReLU(inplace=True),
            nn.Conv2d(stem[0], stem[1], 3, 1, 1, bias=False), nn.BatchNorm2d(stem[1]), nn.ReLU(inplace=True))
        plan = [((c, c, c), 2) for c in ENTRY] + [((ENTRY[-1],) * 3, 1)] * middle + [(EXIT[0], 2), (EXIT[1], 1)]
        stages = dilated_stages([2, *(stride for _, stride in plan)], output_stride)[1:]
        self.blocks, before = nn.ModuleList(), stem[1]
        for k, ((channels, stride), stage) in enumerate(zip(plan, stages)):
            channels = [scaled(c) for c in channels]
            last = k == len(plan) - 1
            self.blocks.append(XceptionBlock(before, channels, stage.stride, stage.first, last, project=stride > 1))
            before = channels[-1]
        self._taps = (0, 1, 2, len(plan) - 2)                # the strided blocks behind strides 2, 4, 8 and 16
        self.apply(init_he)

    def extract(self, images: Tensor) -> list[Tensor]:
        """What the four strided convolutions behind the stem read, and the output of the last block."""
        x, maps = self.stem(images), []
        for k, block in enumerate(self.blocks):
            x, before = block(x)
            if k in self._taps:
                maps.append(before)
        return [*maps, x]


def xception65(output_stride: int = 16, in_channels: int = 3) -> Xception:
    """The paper's Xception-65 backbone: channels 256, 728, 1024, 2048 at strides 4, 8, 16, ``output_stride``."""
    return Xception(output_stride=output_stride, in_channels=in_channels)
