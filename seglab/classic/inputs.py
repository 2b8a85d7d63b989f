"""What the classic methods accept: finite pictures and integer seed maps, checked once with one wording."""

from __future__ import annotations

import numpy as np


def as_gray(image, name: str = "image", infinity_allowed: bool = False) -> np.ndarray:
    """A 2-D, non-empty, real, finite picture as an array of its own dtype, shape ``(H, W)``.

    Raises
    ------
    TypeError
        If the dtype is neither integer, floating point nor boolean.
    ValueError
        If the picture is not 2-D, is empty or holds NaN, or infinity where that is not allowed.
    """
    image = np.asarray(image)
    _check_real(image, name)
    if image.ndim != 2:
        raise ValueError(f"{name}: expected a 2-D array (H, W), got shape {image.shape}")
    _check_finite(image, name, infinity_allowed)
    return image


def as_channels(image, name: str = "image") -> np.ndarray:
    """A grey ``(H, W)`` or colour ``(H, W, C)`` picture as ``(H, W, C)`` float64, integers scaled to 0..1.

    Integer values are divided by the largest value of their dtype, as `skimage.util.img_as_float` does, so
    that a parameter tuned on a float picture means the same on its 8-bit copy.

    Raises
    ------
    TypeError
        If the dtype is neither integer, floating point nor boolean.
    ValueError
        If the picture has another number of axes, is empty, or holds NaN or infinity.
    """
    image = np.asarray(image)
    _check_real(image, name)
    if image.ndim not in (2, 3):
        raise ValueError(f"{name}: expected (H, W) or (H, W, C), got shape {image.shape}")
    _check_finite(image, name)
    scale = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1.0
    image = image.astype(np.float64) / scale
    return image if image.ndim == 3 else image[..., None]


def as_labels(labels, shape: tuple[int, int], name: str) -> np.ndarray:
    """An integer label map of the picture's shape, as int64 ``(H, W)``.

    Raises
    ------
    TypeError
        If the dtype is not integer or boolean (float labels are nearly always a mistake).
    ValueError
        If the shape differs from `shape`.
    """
    labels = np.asarray(labels)
    if not (np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool):
        raise TypeError(f"{name}: expected an integer label map, got dtype {labels.dtype}")
    if labels.shape != tuple(shape):
        raise ValueError(f"{name}: expected the shape of the picture {tuple(shape)}, got {labels.shape}")
    return labels.astype(np.int64)


def as_mask(mask, shape: tuple[int, int] | None = None, name: str = "mask") -> np.ndarray:
    """A boolean mask ``(H, W)``; integer masks holding only 0 and 1 are accepted.

    Raises
    ------
    TypeError
        If the dtype is neither boolean nor integer.
    ValueError
        If it is not 2-D, is empty, holds other values than 0 and 1, or differs from `shape`.
    """
    mask = np.asarray(mask)
    if mask.dtype != bool and not np.issubdtype(mask.dtype, np.integer):
        raise TypeError(f"{name}: expected a boolean mask, got dtype {mask.dtype}")
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"{name}: expected a non-empty 2-D array (H, W), got shape {mask.shape}")
    if mask.dtype != bool and (mask.min() < 0 or mask.max() > 1):
        raise ValueError(f"{name}: expected only 0 and 1, got values {mask.min()}..{mask.max()}")
    if shape is not None and mask.shape != tuple(shape):
        raise ValueError(f"{name}: expected the shape of the picture {tuple(shape)}, got {mask.shape}")
    return mask.astype(bool)


def check_connectivity(connectivity: int) -> int:
    """1 (four neighbours) or 2 (eight neighbours); anything else is a ValueError."""
    if connectivity not in (1, 2):
        raise ValueError(f"connectivity: expected 1 (4 neighbours) or 2 (8 neighbours), got {connectivity!r}")
    return connectivity


def check_positive(value: float, name: str, zero_allowed: bool = False) -> float:
    """A finite number above zero (or not below it), else a ValueError that names the argument."""
    if not np.isfinite(value) or value < 0 or (value == 0 and not zero_allowed):
        bound = ">= 0" if zero_allowed else "> 0"
        raise ValueError(f"{name}: expected a finite number {bound}, got {value!r}")
    return float(value)


def _check_real(image: np.ndarray, name: str) -> None:
    if image.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got dtype {image.dtype}")


def _check_finite(image: np.ndarray, name: str, infinity_allowed: bool = False) -> None:
    if image.size == 0:
        raise ValueError(f"{name}: expected at least one pixel, got shape {image.shape}")
    if np.issubdtype(image.dtype, np.floating) and np.isnan(image).any():
        raise ValueError(f"{name}: expected numbers, got NaN in {int(np.isnan(image).sum())} places")
    if not infinity_allowed and np.isinf(image).any():
        raise ValueError(f"{name}: expected finite values, got infinity")
