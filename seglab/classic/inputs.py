"""What the classic methods accept beyond the common gate of `seglab.inputs`.

One rule for pictures: integers of 8 or 16 bits are divided by the largest value of their dtype, as
`skimage.util.img_as_float` does. Floats, and wider integers, whose scale is unknown, are taken in any unit where the
method scales them itself; where a parameter counts in grey values of 0..1 (`random_walker`, `grabcut`), values outside
0..1 are refused and the error says "divide by 255". Masks are bools or 0 and 1; 0 and 255 are refused with the same
words.
"""

from typing import Any

import numpy as np

from seglab.inputs import class_map, refuse_other_scale, to_numpy

LARGEST = 1e100  # squares of differences, and sums of them, stay finite


def as_gray(image: Any, name: str = "image", infinity_allowed: bool = False) -> np.ndarray:
    """A 2-D, non-empty, real, finite picture as a C-ordered array of its own dtype, shape ``(H, W)``.

    Raises
    ------
    TypeError
        If the dtype is neither integer, floating point nor boolean.
    ValueError
        If the picture is not 2-D, is empty or holds NaN, or infinity or numbers beyond 1e100 where that is not allowed.
    """
    return _picture(image, name, "(H, W)", (2,), infinity_allowed)


def as_channels(image: Any, name: str = "image", unit: bool = False) -> np.ndarray:
    """A grey ``(H, W)`` or colour ``(H, W, C)`` picture as ``(H, W, C)`` float64, 8 and 16 bits scaled to 0..1.

    With `unit` floats and wider integers have to be on the scale 0..1, which noise may overstep.

    Raises
    ------
    TypeError
        If the dtype is neither boolean, floating point nor integer.
    ValueError
        If the picture has another number of axes, is empty, or holds NaN, infinity or numbers beyond 1e100, or is
        on another scale with `unit`.
    """
    image = _picture(image, name, "(H, W) or (H, W, C)", (2, 3), False)
    if image.dtype.kind in "iu" and image.dtype.itemsize <= 2:
        image = image.astype(np.float64) / np.iinfo(image.dtype).max
    elif unit:
        refuse_other_scale(image, name)
    return image.astype(np.float64).reshape(*image.shape[:2], -1)


def as_labels(labels: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """An integer label map of the picture's shape, as int64 ``(H, W)``; negative labels are allowed.

    Raises
    ------
    TypeError
        If the dtype is not integer or boolean (float labels are nearly always a mistake).
    ValueError
        If the shape differs from `shape`.
    """
    labels = class_map(labels, name, (2,))
    if labels.shape != tuple(shape):
        raise ValueError(f"{name} must have the shape of the picture {tuple(shape)}, got {labels.shape}")
    return labels


def check_connectivity(connectivity: int) -> int:
    """1 (four neighbours) or 2 (eight neighbours); anything else is a ValueError."""
    if not isinstance(connectivity, int | np.integer) or connectivity not in (1, 2):
        raise ValueError(f"connectivity must be 1 (4 neighbours) or 2 (8 neighbours), got {connectivity!r}")
    return int(connectivity)


def numbers(value: Any, name: str, form: str, dims: int) -> np.ndarray:
    """Finite real numbers with `dims` axes as float64, in memory of their own.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    return _picture(value, name, form, (dims,), False).astype(np.float64)


def _picture(image: Any, name: str, form: str, dims: tuple[int, ...], infinity_allowed: bool) -> np.ndarray:
    image = to_numpy(image, name)
    if image.dtype.kind == "c":
        raise TypeError(f"{name} must hold real numbers, got {image.dtype}")
    if image.ndim not in dims:
        raise ValueError(f"{name} must have shape {form}, got {image.shape}")
    if image.size == 0:
        raise ValueError(f"{name} must have at least one element, got shape {image.shape}")
    if image.dtype.kind == "f":
        if np.isnan(image).any():
            raise ValueError(f"{name} must hold numbers, got NaN in {int(np.isnan(image).sum())} places")
        # as Python's numbers: in half precision 1e100 is infinity
        if not infinity_allowed and not -LARGEST <= float(image.min()) <= float(image.max()) <= LARGEST:
            raise ValueError(f"{name} must be finite and within ±1e100, got {image.min():g}..{image.max():g}")
    return image
