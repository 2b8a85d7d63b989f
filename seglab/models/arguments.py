"""What the networks ask of their arguments: counts, rates, strides and pictures, each refused in the same words."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from torch import Tensor

from seglab.inputs import finite_image

OUTPUT_STRIDES = (8, 16, 32)


def check_counts(least: int = 1, **values: Any) -> None:
    """Raise ValueError, which names the argument, unless each value is an integer >= ``least``; bool is none."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be an integer >= {least}, got {value!r}")


def check_rates(rates: Sequence[int], name: str = "rates") -> tuple[int, ...]:
    """The rates as a tuple; ValueError, which names the argument, unless they are integers >= 1, at least one."""
    rates = tuple(rates)
    if not rates or any(isinstance(r, bool) or not isinstance(r, Integral) or r < 1 for r in rates):
        raise ValueError(f"{name} must be integers >= 1, at least one, got {rates!r}")
    return rates


def check_output_stride(output_stride: int) -> None:
    """Raise ValueError unless ``output_stride`` is 8, 16 or 32."""
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(f"output_stride must be 8, 16 or 32, got {output_stride!r}")


def check_images(images: Tensor, channels: int) -> None:
    """Raise unless images are floating point of shape ``(N, channels, H, W)`` with no empty axis."""
    if images.ndim != 4 or images.shape[1] != channels or 0 in images.shape:
        raise ValueError(f"images must have shape (N, {channels}, H, W) with N, H, W >= 1, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point in 0..1 or normalised, got {images.dtype}")


def check_unit_range(image: Tensor, name: str) -> None:
    """Raise as :func:`seglab.inputs.finite_image` unless ``image`` is floating point, finite and in 0..1.

    The range is looked up where the tensor lies; only a wrong one goes through the gate, for its words.
    """
    if image.is_floating_point():
        low, high = image.detach().aminmax()
        if low >= 0 and high <= 1:                             # false for NaN
            return
    finite_image(image, name, dims=(image.ndim,))
