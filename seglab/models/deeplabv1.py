"""DeepLab v1: VGG-16 made dense by atrous convolution, with a large field of view.

Chen, Papandreou, Kokkinos, Murphy, Yuille, "Semantic image segmentation with deep convolutional nets and fully
connected CRFs", ICLR 2015, sections 3.1, 4 and table 1. Built in notebook 09.
"""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from seglab.models.arguments import check_counts
from seglab.models.backbone import Backbone
from seglab.models.dense import DenseModel
from seglab.models.unet import init_he
from seglab.models.vgg import VGG16


class DeepLabV1(DenseModel):
    """DeepLab v1 without its CRF: logits ``(N, num_classes, H, W)`` for images ``(N, in_channels, H, W)``.

    The default is DeepLab-LargeFOV, 20.5 million parameters at 21 classes. The 7x7 kernel of VGG's fc6 at rate 4 with
    4096 channels (``kernel_size=7, rate=4, hidden=4096``) has 134.3 million.

    Parameters
    ----------
    num_classes, in_channels : int
        Classes of the logits; channels of the pictures.
    width : int, float or None
        Of the backbone, in its own unit: for VGG-16 channels of the first block. None is its default, the paper's 64.
    output_stride : {8, 16, 32}
        Of the backbone; the paper's is 8.
    kernel_size, rate : int
        Taps a side of fc6 and their distance in px of the feature map *at output stride 8*; at 16 and 32 the distance
        shrinks along, so that the same weights see the same pixels. ``(kernel_size - 1) * rate`` must be even there.
    hidden : int
        Channels of fc6 and fc7.
    dropout : float
        After fc6 and fc7, in training only.
    backbone : callable
        As for :class:`seglab.models.fcn_resnet.FCNResNet`, called with ``width`` where one is given.

    Raises
    ------
    ValueError
        For classes, channels, kernel_size, rate or hidden that are no integers >= 1, an output stride other than 8, 16,
        32, or a rate that is no integer, or ``(kernel_size - 1) * rate`` odd, at this output stride.

    Notes
    -----
    The paper's VOC 2012 val scores, without and with the CRF of :func:`seglab.ops.dense_crf`: 7x7 at rate 4 64.38 and
    67.64, 4x4 at 4 59.80 and 63.74, 4x4 at 8 63.41 and 67.14, 3x3 at 12 (LargeFOV) 62.25 and 67.64. It trains on the
    truth subsampled by 8 and enlarges the scores at test time only; here logits have the input's size in training too.
    fc6 and fc7 start as He initialisation like VGG (the paper takes fc7 from ImageNet), fc8 as N(0, 0.01).
    """

    def __init__(self, num_classes: int = 21, in_channels: int = 3, width: float | None = None, output_stride: int = 8,
                 kernel_size: int = 3, rate: int = 12, hidden: int = 1024, dropout: float = 0.5,
                 backbone: Callable[..., Backbone] = VGG16) -> None:
        check_counts(num_classes=num_classes, kernel_size=kernel_size, rate=rate, hidden=hidden)
        options = {} if width is None else {"width": width}
        net = backbone(output_stride=output_stride, in_channels=in_channels, **options)
        dilation, rest = divmod(8 * rate, output_stride)
        if rest or (kernel_size - 1) * dilation % 2:
            raise ValueError(f"rate at output stride {output_stride} must be an integer and (kernel_size - 1) * rate "
                             f"even, got {rate} at 8, {8 * rate / output_stride:g} at {output_stride}, "
                             f"kernel_size {kernel_size}")
        fc6 = nn.Conv2d(net.channels[-1], hidden, kernel_size, dilation=dilation,
                        padding=(kernel_size - 1) * dilation // 2)
        super().__init__(net, nn.Sequential(OrderedDict(
            fc6=fc6, relu6=nn.ReLU(), drop6=nn.Dropout(dropout),
            fc7=nn.Conv2d(hidden, hidden, 1), relu7=nn.ReLU(), drop7=nn.Dropout(dropout),
            fc8=nn.Conv2d(hidden, num_classes, 1))))
        for layer in (fc6, self.classifier.fc7):
            init_he(layer)
        nn.init.normal_(self.classifier.fc8.weight, std=0.01)
        nn.init.zeros_(self.classifier.fc8.bias)
