"""What every head asks of the network below it: feature maps at five strides, the last ones held where it says.

ResNet, VGG-16, Xception and MobileNetV2 are backbones, so that every dense head and every detector takes each of them.
The rule that trades a stride for a dilation is built in notebook 09 and again, block by block, in notebook 11.
"""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from seglab.models.arguments import check_counts, check_images, check_output_stride

STRIDES = (2, 4, 8, 16, 32)


class Stage(NamedTuple):
    """How a stage is built: its stride, the dilation of its first (strided) layer, and that of the layers behind."""

    stride: int
    first: int
    dilation: int


def dilated_stages(strides: Sequence[int], output_stride: int) -> list[Stage]:
    """Stages of a network that stops at ``output_stride``: where a stride is left out, dilation takes its place.

    Parameters
    ----------
    strides : sequence of int
        As published, from the picture on.
    output_stride : {8, 16, 32}
        Largest product of strides that is kept.

    Returns
    -------
    list of Stage
        One a stride. The layer that loses its stride reads a map of the old spacing, so it keeps the dilation before;
        all layers behind it read a map that is denser than the one they were made for, and dilate by the lost stride.

    Raises
    ------
    ValueError
        For another output stride.

    Notes
    -----
    With equal weights the map at 16 (8) then holds the map at 32, exactly, at every second (fourth) pixel.
    torchvision's ``replace_stride_with_dilation`` and DeepLab's ``stack_blocks_dense`` do the same;
    ``segmentation_models_pytorch`` dilates the layer that loses its stride too, and holds no coarser map.

    Examples
    --------
    >>> [tuple(stage) for stage in dilated_stages((4, 1, 2, 2, 2), output_stride=8)]
    [(4, 1, 1), (1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)]
    """
    check_output_stride(output_stride)
    stages, reached, dilation = [], 1, 1
    for stride in strides:
        first = dilation
        if reached * stride > output_stride:
            dilation, stride = dilation * stride, 1
        reached *= stride
        stages.append(Stage(stride, first, dilation))
    return stages


class Backbone(nn.Module):
    """Base of the backbones, which are all made by ``backbone(output_stride=..., in_channels=...)``.

    A subclass builds its layers and gives five maps in ``extract``.

    Parameters
    ----------
    in_channels : int
        Channels of the pictures.
    output_stride : {8, 16, 32}
        Input px per px of the last map. The parameters are the same for all three.
    tap_channels : sequence of 5 ints
        Channels of the maps that ``taps`` gives; kept as ``tap_channels``, and with their strides 2, 4, 8, 16, 32 (none
        above ``output_stride``) as ``tap_strides``. ``channels`` and ``strides`` are those of the last four.

    Raises
    ------
    ValueError
        For ``in_channels`` < 1 or another output stride.
    """

    def __init__(self, in_channels: int, output_stride: int, tap_channels: Sequence[int]) -> None:
        super().__init__()
        check_counts(in_channels=in_channels)
        check_output_stride(output_stride)
        self.in_channels, self.output_stride = in_channels, output_stride
        self.tap_channels, self.tap_strides = tuple(tap_channels), tuple(min(s, output_stride) for s in STRIDES)
        self.channels, self.strides = self.tap_channels[1:], self.tap_strides[1:]

    def extract(self, images: Tensor) -> list[Tensor]:
        """The five maps of checked images; what a subclass has to say."""
        raise NotImplementedError

    def taps(self, images: Tensor) -> list[Tensor]:
        """Five maps of images ``(N, in_channels, H, W)`` of any size, for networks with skips.

        Each has its ``tap_channels``, and sides of ceil(side / stride) for its ``tap_strides``. TypeError or ValueError
        for integer images, another shape or number of channels.
        """
        check_images(images, self.in_channels)
        return self.extract(images)

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps C2 to C5: ``taps`` without the one of stride 2."""
        return self.taps(images)[1:]
