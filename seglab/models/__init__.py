"""The course's networks. Every dense model maps images ``(N, C, H, W)`` to logits ``(N, K, h, w)``."""

from seglab.models.unet import UNet, init_he, legal_sizes, output_size

__all__ = ["UNet", "init_he", "legal_sizes", "output_size"]
