"""How a check compares what a reader's function returned with what it should be, and says what differs.

Everything is compared in float64, whatever dtype came; Python numbers, NumPy arrays and tensors count alike. A check
that must tell them apart asks for the type in a case of its own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

TOLERANCE = 1e-6  # float32 answers are right answers
MISSING = "the function returns None: is there a `return`?"


def numbers(value: Any) -> np.ndarray | None:
    """``value`` as a float64 array (complex stays complex), or None if it is not made of numbers.

    Tensors are detached. Lists and tuples may hold numbers, arrays or tensors of equal shape.
    """
    if isinstance(value, torch.Tensor):
        if value.is_meta:
            return None
        value = value.detach().cpu().to_dense()
        return (value if value.is_complex() else value.double()).numpy()
    if isinstance(value, list | tuple):
        parts = [numbers(part) for part in value]
        if any(part is None for part in parts) or len({part.shape for part in parts}) > 1:
            return None
        return np.stack(parts) if parts else np.zeros(0)
    if value is None or isinstance(value, str | bytes | Mapping | set):
        return None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    if array.dtype.kind not in "biufc":
        return None
    return array if array.dtype.kind == "c" else array.astype(np.float64)


def close(got: Any, want: Any, tolerance: float = TOLERANCE) -> bool:
    """Do both hold the same numbers in the same shape? NaN equals NaN, infinity only the same infinity.

    The difference allowed is ``tolerance`` times the largest magnitude expected, and at least ``tolerance``.
    """
    a, b = numbers(got), numbers(want)
    if a is None or b is None or a.shape != b.shape:
        return False
    return not _wrong(a, b, tolerance).any()


def slip(got: Any, want: Any, slips: Mapping[Any, str] | Iterable[tuple[Any, str]],
         tolerance: float = TOLERANCE) -> str:
    """The advice of the first known slip that ``got`` equals, or what differs.

    Parameters
    ----------
    slips : mapping or pairs
        What a typical mistake would give -> advice. One that happens to equal ``want`` is skipped.
    """
    if got is None:
        return MISSING
    pairs = slips.items() if isinstance(slips, Mapping) else slips
    known = (advice for value, advice in pairs if close(got, value, tolerance) and not close(value, want, tolerance))
    return next(known, None) or differs(got, want, tolerance)


def differs(got: Any, want: Any, tolerance: float = TOLERANCE) -> str:
    """What came instead of ``want``, in words: another type or shape, or the place where the values differ most."""
    if got is None:
        return MISSING
    a, b = numbers(got), numbers(want)
    if a is None or b is None:
        return f"you return {short(got)}"
    if a.shape != b.shape:
        return f"you return shape {a.shape}, it should be {b.shape}"
    wrong = _wrong(a, b, tolerance)
    if not wrong.any():
        return ""
    if a.ndim == 0:
        return f"you return {_pair(a[()], b[()])}"
    with np.errstate(invalid="ignore"):
        distance = np.where(wrong, np.nan_to_num(np.abs(a - b), nan=np.inf), -1)
    place = np.unravel_index(int(np.argmax(distance)), a.shape)
    where = ", ".join(str(int(i)) for i in place)
    count = f"; {int(wrong.sum())} of {a.size} values differ" if a.size > 1 else ""
    return f"at ({where}) you have {_pair(a[place], b[place])}{count}"


def not_shaped(got: Any, shape: tuple[int, ...], what: str = "an array") -> str:
    """What is wrong with the form of an answer, in words; empty when it is made of numbers in this shape."""
    if got is None:
        return MISSING
    array = numbers(got)
    if array is None:
        return f"return {what} of shape {tuple(shape)}, not {short(got)}"
    return "" if array.shape == tuple(shape) else f"return {what} of shape {tuple(shape)}, not {array.shape}"


def short(value: Any, length: int = 80) -> str:
    """``value`` on one line, cut; an array by its shape when it is large."""
    if isinstance(value, torch.Tensor | np.ndarray):
        kind = "a tensor" if isinstance(value, torch.Tensor) else "an array"
        held = numbers(value)
        if held is None or held.size > 12:
            return f"{kind} of shape {tuple(value.shape)}"
        value = value.to_dense().tolist() if isinstance(value, torch.Tensor) else value.tolist()
    text = " ".join(repr(value).split())
    return text if len(text) <= length else text[:length - 3] + "..."


def _wrong(a: np.ndarray, b: np.ndarray, tolerance: float) -> np.ndarray:
    finite = np.abs(b[np.isfinite(b)])
    allowed = tolerance * max(1.0, float(finite.max()) if finite.size else 1.0)
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(a - b) <= allowed
    return ~(near | (a == b) | (np.isnan(a) & np.isnan(b)))


def _pair(a: Any, b: Any) -> str:
    """Both numbers with as many digits as it takes to tell them apart."""
    for digits in (4, 6, 9, 12, 17):
        one, other = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if one != other:
            break
    return f"{one}, it should be {other}"
