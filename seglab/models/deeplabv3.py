"""DeepLab v3: a dilated ResNet, ASPP with batch norm and image pooling, multi-grid.

Source: Chen, Papandreou, Schroff, Adam, Rethinking Atrous Convolution, arXiv 2017. Built in notebook 10.
"""

from collections.abc import Callable, Sequence

from torch import nn

from seglab.models.arguments import check_counts, check_rates
from seglab.models.aspp import ASPP, conv_norm_relu
from seglab.models.backbone import Backbone
from seglab.models.dense import DenseModel
from seglab.models.fcn_resnet import FCNHead
from seglab.models.resnet import ResNet, resnet50


class DeepLabHead(nn.Sequential):
    """ASPP, a 3x3 convolution with batch norm and ReLU, a 1x1 convolution to the classes.

    ``(N, in_channels, h, w)`` -> ``(N, num_classes, h, w)``. The 3x3 convolution is torchvision's; the paper classifies
    the projection itself.
    """

    def __init__(self, in_channels: int, num_classes: int, rates: Sequence[int], channels: int = 256) -> None:
        super().__init__(
            ASPP(in_channels, rates, channels),
            *conv_norm_relu(nn.Conv2d(channels, channels, 3, padding=1, bias=False), channels),
            nn.Conv2d(channels, num_classes, 1))


class DeepLabV3(DenseModel):
    """DeepLab v3: logits ``(N, num_classes, H, W)`` for images ``(N, in_channels, H, W)``.

    Parameters
    ----------
    num_classes, backbone, output_stride, aux_loss, in_channels
        As for :class:`seglab.models.fcn_resnet.FCNResNet`.
    rates : sequence of int or None
        Rates of the ASPP in px of the feature map. None takes (12, 24, 36) at output stride 8, half of that at 16, a
        quarter at 32: the same distances in px of the image.
    multi_grid : sequence of int or None
        Unit rates of the blocks of the last stage of a ResNet, (1, 2, 4) in the paper's best model; see
        :func:`set_multi_grid`. None leaves the stage as torchvision has it.

    Raises
    ------
    ValueError
        For illegal rates, output stride or classes, a multi-grid that does not have one unit a block, or one for a
        backbone without residual stages.

    Notes
    -----
    Neither output stride nor rates nor multi-grid has parameters: one ``state_dict`` fits all of them. The paper trains
    at stride 16 and evaluates at 8 (VOC 2012 val, ResNet-101: 77.21 -> 78.51 mIoU, table 6).
    """

    def __init__(self, num_classes: int = 21, backbone: Callable[..., Backbone] = resnet50, output_stride: int = 8,
                 rates: Sequence[int] | None = None, multi_grid: Sequence[int] | None = None, aux_loss: bool = False,
                 in_channels: int = 3) -> None:
        check_counts(num_classes=num_classes)
        net = backbone(output_stride=output_stride, in_channels=in_channels)
        if rates is None:
            rates = [96 * k // output_stride for k in (1, 2, 3)]
        super().__init__(net, DeepLabHead(net.channels[-1], num_classes, rates),
                         FCNHead(net.channels[-2], num_classes) if aux_loss else None)
        if multi_grid is not None:
            if not isinstance(net, ResNet):
                raise ValueError(f"multi_grid must be None for a backbone that is no ResNet, got {multi_grid}")
            set_multi_grid(net.layer4, multi_grid)


def set_multi_grid(stage: nn.Sequential, units: Sequence[int]) -> None:
    """Multiply the dilation of the 3x3 convolutions of block i of a residual stage by ``units[i]``, in place.

    Raises
    ------
    ValueError
        If there is not one unit >= 1 a block.

    Notes
    -----
    The paper's "2 * (1, 2, 4) = (2, 4, 8)" at output stride 16 holds for its own ResNet, where the stride of 2 stands
    in the last block *before* the stage. Here, as in torchvision, it is the stage's first block that loses its stride:
    its strided convolution reads the old spacing and has rate 1, the blocks behind it have 2, and with the units that
    becomes 1, 4, 8. So the rule of :func:`seglab.models.dilated_stages` goes on to hold: with equal weights and units
    the maps at stride 16 and 8 contain those at 32.

    References
    ----------
    Chen et al., 2017, section 3.2.1 (multi-grid) and figure 3.
    """
    units = check_rates(units, "multi_grid")
    if len(units) != len(stage):
        raise ValueError(f"multi_grid must have one unit for each of the {len(stage)} blocks, got {units}")
    for block, unit in zip(stage, units, strict=True):
        for module in block.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.dilation = module.padding = (module.dilation[0] * unit, module.dilation[1] * unit)


def deeplabv3_resnet50(num_classes: int = 21, output_stride: int = 8, aux_loss: bool = False,
                       multi_grid: Sequence[int] | None = None, in_channels: int = 3) -> DeepLabV3:
    """DeepLab v3 on ResNet-50, arguments as for :class:`DeepLabV3`.

    Keys, shapes and (at output stride 8 without multi-grid) outputs are those of
    ``torchvision.models.segmentation.deeplabv3_resnet50``, whose ``state_dict`` loads strictly. Its published file was
    trained with the auxiliary head: ``aux_loss=True``.
    """
    return DeepLabV3(num_classes, resnet50, output_stride, None, multi_grid, aux_loss, in_channels)
