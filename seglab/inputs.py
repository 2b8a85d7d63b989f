"""The gate for arrays that readers pass: label maps, masks and pictures, checked once with one wording.

Every function here takes tensors (on any device), arrays and lists, in every memory layout (C, Fortran, transposed,
negative strides, read-only, foreign byte order), and gives back a C-ordered NumPy array of its own kind. A wrong value
is a ``TypeError`` or ``ValueError`` that names the argument, what was expected and what came.
"""

import operator
from typing import Any

import numpy as np
import torch


class _Unsaid(int):
    """A default: an equal number that somebody passes by name is no instance of this class: it is meant."""


IGNORE = _Unsaid(255)  # the label that no loss and no metric counts


def to_numpy(value: Any, name: str = "values") -> np.ndarray:
    """``value`` as a C-ordered NumPy array in native byte order; a copy only where it has to be one.

    Raises
    ------
    TypeError
        If it is not made of numbers: None, a string, a dict, a ragged list.
    """
    if torch.is_tensor(value):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    else:
        try:
            array = np.asarray(value)
        except ValueError as err:  # a ragged list
            raise TypeError(f"{name} must be an array or a tensor, got a {type(value).__name__} with rows of different "
                            "lengths") from err
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} must be an array or a tensor of numbers, got {_kind(value)}")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)


def label_map(labels: Any, name: str = "labels", dims: tuple[int, ...] = (2,), contiguous: bool = False,
              allow_bool: bool = False) -> np.ndarray:
    """A map of object ids, 0 = background, as int64; with ``contiguous`` renumbered 0, 1, ..., N in order of the ids.

    Parameters
    ----------
    labels : array of any integer dtype, (H, W) or with the numbers of axes in ``dims``
    allow_bool : bool
        Take a mask as one object; refused by default, because touching objects are one in it.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        Another number of axes, no pixel, negative ids, or ids above 2**63 - 1.
    """
    array = _integers(labels, name, dims, allow_bool)
    if array.min() < 0:
        raise ValueError(f"{name} must hold object ids >= 0 (0 = background), got {array.min()}")
    if not contiguous:
        return array
    ids, renumbered = np.unique(array, return_inverse=True)
    return renumbered.reshape(array.shape).astype(np.int64) + int(ids[0] != 0)


def class_map(classes: Any, name: str = "classes", dims: tuple[int, ...] = (2, 3)) -> np.ndarray:
    """A map of class ids, (H, W) or (N, H, W), as int64; bool counts as 0 and 1.

    Raises
    ------
    TypeError
        Not integers or bools.
    ValueError
        Another number of axes, or no pixel.
    """
    return _integers(classes, name, dims, allow_bool=True)


def mask(value: Any, name: str = "mask", shape: tuple[int, ...] | None = None) -> np.ndarray:
    """A binary mask (H, W) as bool, from bools or from integers or floats that are 0 and 1 only.

    A file's 0 and 255 are refused, because 255 also means "ignore" in this field: divide by 255, or compare with 0.

    Raises
    ------
    TypeError
        Not real numbers.
    ValueError
        Other values than 0 and 1, another number of axes, no pixel, or another ``shape``.
    """
    array = to_numpy(value, name)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} must be a mask of bools or of 0 and 1, got {array.dtype}")
    _shaped(array, name, (2,))
    if shape is not None and array.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {tuple(shape)}, got {array.shape}")
    if array.dtype == bool:
        return array
    inside = array == 1
    if not (inside | (array == 0)).all():
        if ((array == 0) | (array == 255)).all():
            raise ValueError(f"{name} must hold 0 and 1, got 0 and 255: divide by 255")
        raise ValueError(f"{name} must be a binary mask (bool, or 0 and 1), got values {array.min()}..{array.max()}. "
                         f"Of a label map pass `labels == id` or, if no two objects touch, `labels > 0`")
    return inside


def finite_image(image: Any, name: str = "image", dims: tuple[int, ...] = (2, 3), unit: bool = True) -> np.ndarray:
    """A picture of finite floats, on the scale 0..1 unless ``unit`` is False, of its own floating dtype.

    Noise and interpolation may leave 0..1; what reaches below -1 or above 2 is on another scale.

    Raises
    ------
    TypeError
        Integers (their scale is not stated: divide by 255 or 65535) or no real numbers.
    ValueError
        Another number of axes, no pixel, NaN or infinity, or another scale.
    """
    array = to_numpy(image, name)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} must be floats in 0..1, got {array.dtype}; divide by the largest value of the scale, "
                        "255 for 8 bit")
    _shaped(array, name, dims)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"{name} must be finite, got {count} values that are NaN or infinite")
    if unit:
        refuse_other_scale(array, name)
    return array


def refuse_other_scale(array: np.ndarray, name: str = "image") -> None:
    """Raise ValueError for numbers below -1 or above 2: a picture on the scale 0..1, however noisy, has none."""
    low, high = float(array.min()), float(array.max())
    if low < -1 or high > 2:
        raise ValueError(f"{name} must lie in 0..1, got {low:g}..{high:g}; divide by the largest value of the scale, "
                         "255 for 8 bit")


def positive(value: Any, name: str = "value", zero: bool = False) -> float:
    """A finite number above zero (with ``zero`` also zero itself) as a float.

    Raises
    ------
    ValueError
        It is none.
    """
    bound = ">= 0" if zero else "> 0"
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{name} must be a finite number {bound}, got {value!r}") from None
    if isinstance(value, (bool, np.bool_, str)) or not np.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be a finite number {bound}, got {value!r}")
    return number


def whole(value: Any, name: str = "value", least: int | None = 0) -> int:
    """An integer of 64 bits that is not below ``least``, from any integer type.

    Raises
    ------
    TypeError
        It is none: a float (2.0 too), a bool, None.
    ValueError
        It is below ``least``, or beyond 64 bits.
    """
    wanted = "an integer" if least is None else f"an integer >= {least}"
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be {wanted}, got {value!r}")
    if least is not None and number < least:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    if not -2 ** 63 <= number < 2 ** 63:
        raise ValueError(f"{name} must be {wanted} of 64 bits, got {value!r}")
    return number


def several(values: Any, name: str, count: int | None = None) -> tuple:
    """A sequence as a tuple, of ``count`` elements or of at least one.

    Raises
    ------
    ValueError
        No sequence, empty, or of another length.
    """
    try:
        items = tuple(values)
    except TypeError:
        items = ()
    if not items or count not in (None, len(items)):
        raise ValueError(f"{name} must be {count or 'one or more'} numbers, got {values!r}")
    return items


def checked_ignore(ignore_index: Any) -> int | None:
    """The label to ignore as an integer, or None; a TypeError for anything else."""
    number = None if ignore_index is None else whole(ignore_index, "ignore_index", None)
    return ignore_index if isinstance(ignore_index, _Unsaid) else number


def refuse_255(target: Any, ignore_index: int | None, name: str = "target") -> None:
    """Refuse a truth of one foreground that holds 255 and nothing else above 0 while ``ignore_index`` is the default.

    Such a 255 is the foreground of a mask as files store it, or void where no foreground is in sight: nobody can tell.
    ``target`` is an array or a tensor. For the caller of a metric or loss, the default is ``IGNORE``.

    Raises
    ------
    ValueError
        Saying both ways out: divide by 255, or pass ``ignore_index=255`` by name.
    """
    if isinstance(ignore_index, _Unsaid):
        void = target == int(ignore_index)
        if void.any() and not ((target > 0) & ~void).any():
            raise ValueError(f"{name} must hold 0 and 1, got 255 and never 1: if 255 is the foreground, divide by 255; "
                             "if it marks pixels to ignore, pass ignore_index=255 by name")


def _integers(value: Any, name: str, dims: tuple[int, ...], allow_bool: bool) -> np.ndarray:
    array = to_numpy(value, name)
    if array.dtype == bool and not allow_bool:
        raise TypeError(f"{name} must hold object ids, got a bool mask, in which touching objects are one; number them "
                        "first (skimage.measure.label)")
    if array.dtype.kind not in "iub":
        raise TypeError(f"{name} must hold integers, got {array.dtype}. Scores and probabilities become labels by "
                        "argmax or a threshold")
    _shaped(array, name, dims)
    if array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must hold ids below 2**63, got {array.max()}")
    return array.astype(np.int64)


def _shaped(array: np.ndarray, name: str, dims: tuple[int, ...]) -> None:
    if array.ndim not in dims:
        forms = {1: "(N,)", 2: "(H, W)", 3: "(N, H, W)", 4: "(N, C, H, W)"}
        raise ValueError(f"{name} must have shape {' or '.join(forms[d] for d in dims)}, got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must have at least one pixel, got shape {array.shape}")


def _kind(value: Any) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + (f" of {dtype}" if dtype is not None else "")
