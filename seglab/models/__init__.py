"""The course's networks. Every dense model maps images ``(N, C, H, W)`` to logits ``(N, K, h, w)``."""

from seglab.models.resnet import BasicBlock, Bottleneck, FrozenBatchNorm2d, ResNet, resnet18, resnet50
from seglab.models.unet import UNet, init_he, legal_sizes, output_size

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "FrozenBatchNorm2d",
    "ResNet",
    "UNet",
    "init_he",
    "legal_sizes",
    "output_size",
    "resnet18",
    "resnet50",
]
