"""The course's networks. Every dense model maps images ``(N, C, H, W)`` to logits ``(N, K, h, w)``."""

from seglab.models.unet import UNet, legal_sizes, output_size

__all__ = ["UNet", "legal_sizes", "output_size"]
