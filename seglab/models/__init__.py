"""The course's networks. Every dense model maps images ``(N, C, H, W)`` to logits ``(N, K, h, w)``."""

from seglab.models.aspp import ASPP, valid_tap_share
from seglab.models.deeplabv2 import ASPPSum, DeepLabV2
from seglab.models.deeplabv3 import DeepLabV3, deeplabv3_resnet50
from seglab.models.dense import DenseModel
from seglab.models.fcn_resnet import FCNHead, FCNResNet, fcn_resnet50
from seglab.models.fpn import FPN, assign_levels
from seglab.models.pooled_norm import PooledBatchNorm2d
from seglab.models.pspnet import PSPHead, PSPNet, PyramidPooling
from seglab.models.resnet import BasicBlock, Bottleneck, FrozenBatchNorm2d, ResNet, resnet18, resnet50
from seglab.models.rpn import RPN, RPNHead
from seglab.models.unet import UNet, init_he, legal_sizes, output_size

__all__ = [
    "ASPP",
    "ASPPSum",
    "BasicBlock",
    "Bottleneck",
    "DeepLabV2",
    "DeepLabV3",
    "DenseModel",
    "FCNHead",
    "FCNResNet",
    "FPN",
    "FrozenBatchNorm2d",
    "PSPHead",
    "PSPNet",
    "PooledBatchNorm2d",
    "PyramidPooling",
    "RPN",
    "RPNHead",
    "ResNet",
    "UNet",
    "assign_levels",
    "deeplabv3_resnet50",
    "fcn_resnet50",
    "init_he",
    "legal_sizes",
    "output_size",
    "resnet18",
    "resnet50",
    "valid_tap_share",
]
