"""What torchvision's published weights were trained on: RGB in 0..1, shifted and scaled by ImageNet's statistics."""

from torch import Tensor

from seglab.models.arguments import check_unit_range

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_normalize(images: Tensor) -> Tensor:
    """Pictures shifted and scaled as for torchvision's ImageNet weights.

    Parameters
    ----------
    images : Tensor (N, 3, H, W) or (3, H, W), float, 0..1
        RGB.

    Returns
    -------
    Tensor of the same shape and dtype

    Raises
    ------
    TypeError, ValueError
        For integers, another shape, NaN, or values outside 0..1, such as floats in 0..255.
    """
    if images.ndim not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape:
        raise ValueError(f"images must have shape (N, 3, H, W) or (3, H, W), got {tuple(images.shape)}")
    check_unit_range(images, "images")
    mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std
