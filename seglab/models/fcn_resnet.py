"""The simplest dilated network: a backbone whose last stages dilate instead of striding, and a small head.

Source: the fully convolutional network of Long et al., CVPR 2015, on the backbone of Chen et al., 2017, in the form
that torchvision publishes. Met in notebook 10.
"""

from collections.abc import Callable

from torch import nn

from seglab.models.arguments import check_counts
from seglab.models.backbone import Backbone
from seglab.models.dense import DenseModel
from seglab.models.resnet import resnet50


class FCNHead(nn.Sequential):
    """3x3 convolution to a quarter of the channels, batch norm, ReLU, dropout 0.1, 1x1 convolution to the classes.

    ``(N, in_channels, h, w)`` -> ``(N, num_classes, h, w)``; also the auxiliary head of every network here.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        channels = max(1, in_channels // 4)
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Dropout(0.1), nn.Conv2d(channels, num_classes, 1))


class FCNResNet(DenseModel):
    """A dilated backbone under an FCN head: logits ``(N, num_classes, H, W)`` for images ``(N, in_channels, H, W)``.

    Parameters
    ----------
    num_classes : int
        Classes of the logits.
    backbone : callable
        ``backbone(output_stride=..., in_channels=...)`` builds a :class:`seglab.models.Backbone`: ``resnet50``,
        ``VGG16``, ``xception65``, ``mobilenet_v2``, or ``functools.partial`` of one with further arguments.
    output_stride : {8, 16, 32}
        Input px per px of the last map. The parameters are the same for all three.
    aux_loss : bool
        Add an auxiliary head on the last map but one; in training the model then returns a pair.
    in_channels : int
        Channels of the images.

    Raises
    ------
    ValueError
        For ``num_classes`` < 1 or an illegal output stride.
    """

    def __init__(self, num_classes: int = 21, backbone: Callable[..., Backbone] = resnet50, output_stride: int = 8,
                 aux_loss: bool = False, in_channels: int = 3) -> None:
        check_counts(num_classes=num_classes)
        net = backbone(output_stride=output_stride, in_channels=in_channels)
        super().__init__(net, FCNHead(net.channels[-1], num_classes),
                         FCNHead(net.channels[-2], num_classes) if aux_loss else None)


def fcn_resnet50(num_classes: int = 21, output_stride: int = 8, aux_loss: bool = False,
                 in_channels: int = 3) -> FCNResNet:
    """FCN on ResNet-50, arguments as for :class:`FCNResNet`.

    Keys, shapes and outputs are those of ``torchvision.models.segmentation.fcn_resnet50``, whose ``state_dict`` loads
    strictly. Its published file (COCO with the 21 VOC classes) was trained with the auxiliary head: ``aux_loss=True``.
    torchvision returns a dictionary with "out" and "aux"; here they are the logits and the auxiliary logits.
    """
    return FCNResNet(num_classes, resnet50, output_stride, aux_loss, in_channels)
