"""What torchvision's published weights were trained on: RGB in 0..1, shifted and scaled by ImageNet's statistics."""

from torch import Tensor

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_normalize(images: Tensor) -> Tensor:
    """``(N, 3, H, W)`` or ``(3, H, W)`` RGB in 0..1, shifted and scaled as for torchvision's ImageNet weights."""
    if images.ndim not in (3, 4) or images.shape[-3] != 3:
        raise ValueError(f"images must have shape (N, 3, H, W) or (3, H, W), got {tuple(images.shape)}")
    mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std
