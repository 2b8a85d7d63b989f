"""VGG-16 as a backbone: thirteen convolutions, and pooling that stops shrinking where a dense model asks for it.

Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015, table 1, column D.
Parameter names are those of torchvision's ``vgg16`` without its classifier, so that its ImageNet files load. Used in
notebook 09.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from seglab.models.arguments import check_counts
from seglab.models.backbone import Backbone, dilated_stages
from seglab.models.unet import init_he

BLOCKS = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))             # channels over width, convolutions


class DensePool(nn.Module):
    """2x2 max pooling of stride 1 whose taps lie ``dilation`` px apart. ``(N, C, H, W)`` -> the same size.

    What pooling of stride 2 computes at every other pixel, computed at every pixel: the taps are the pixel itself and
    those right of and below it. Beyond the picture there is nothing (-inf).
    """

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation

    def forward(self, x: Tensor) -> Tensor:
        """Maximum of each pixel and its three neighbours right and below."""
        x = F.pad(x, (0, self.dilation, 0, self.dilation), value=float("-inf"))
        return F.max_pool2d(x, 2, stride=1, dilation=self.dilation)

    def extra_repr(self) -> str:
        """Dilation, shown by print(model)."""
        return f"dilation={self.dilation}"


class VGG16(Backbone):
    """The convolutional part of VGG-16; the maps are those after each pooling, the first one among ``taps`` only.

    Parameters
    ----------
    width : int
        Channels of the first block; the five blocks have 1, 2, 4, 8 and 8 times as many.
    in_channels : int
        Channels of the pictures.
    output_stride : {8, 16, 32}
        Input size over size of the last map: 32 as published, 8 in DeepLab v1. A pooling that loses its stride keeps
        the size, and what follows it is dilated, see :func:`seglab.models.dilated_stages`.

    Raises
    ------
    ValueError
        For a width or in_channels that is no integer >= 1, or an output_stride other than 8, 16, 32.

    Notes
    -----
    The dense maps *contain* the sparse ones, exactly: with equal weights
    ``VGG16(output_stride=8)(x)[-1][..., ::4, ::4]`` is ``VGG16(output_stride=32)(x)[-1]``.

    Pooling rounds sizes up, as in Caffe where VGG was trained, so that any picture of at least 1 x 1 px has a map;
    torchvision rounds down, which differs for sizes that are no multiple of 32. The authors' released DeepLab v1 pools
    over 3x3 px throughout; the 2x2 of the VGG paper are kept here, because the identity above needs them.
    """

    def __init__(self, width: int = 64, in_channels: int = 3, output_stride: int = 32) -> None:
        check_counts(width=width)
        super().__init__(in_channels, output_stride, [width * times for times, _ in BLOCKS])
        layers, before = [], in_channels
        for channels, (_, count), stage in zip(self.tap_channels, BLOCKS, dilated_stages((2,) * 5, output_stride)):
            for _ in range(count):
                layers += [nn.Conv2d(before, channels, 3, padding=stage.first, dilation=stage.first), nn.ReLU()]
                before = channels
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True) if stage.stride == 2 else DensePool(stage.first))
        self.features = nn.Sequential(*layers)
        self.apply(init_he)

    def extract(self, images: Tensor) -> list[Tensor]:
        """The maps after each of the five poolings."""
        x, maps = images, []
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, (nn.MaxPool2d, DensePool)):
                maps.append(x)
        return maps
