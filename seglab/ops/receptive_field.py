"""Which input pixels an output pixel can see: measured on any network, and by the textbook recurrences."""
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch

from seglab.inputs import several, whole


class AxisField(NamedTuple):
    """Receptive field along one axis, in input px; `centre(output i) = offset + i * stride`."""

    size: float
    stride: float
    offset: float


@dataclass(frozen=True)
class ReceptiveField:
    """Measured receptive field of a network's central output pixels, (y, x) tuples in input px.

    Attributes
    ----------
    size : (int, int)
        Largest extent over the measured output pixels.
    stride : (float, float)
        Input px between the centres of neighbouring output pixels ("jump"), the mean over a period.
    offset : (float, float)
        Input coordinate (pixel centres at 0, 1, ...) of the centre of output pixel 0's field.
    sizes : (tuple, tuple)
        The extents of one period of output pixels. A plain convolution stack has one; a U-Net of depth >= 4 has
        several, because a field depends on the phase of its pixel in the pooling grid. Their mean is what the
        recurrences give.
    clipped : (bool, bool)
        True where every measured field reaches the border of the input: the true one may be larger (padded
        convolutions, global pooling), and stride and offset are NaN. Measure again with a larger input.
    """

    size: tuple
    stride: tuple
    offset: tuple
    sizes: tuple
    clipped: tuple


def receptive_field(model: torch.nn.Module, input_shape: tuple[int, int, int], outputs: int = 32) -> ReceptiveField:
    """Measure the receptive field of a network by following a NaN through it.

    Parameters
    ----------
    model : torch.nn.Module
        Maps (1, C, H, W) to (1, K, h, w), or to a mapping with that tensor under "out". It is copied, and left
        exactly as it was: parameters, buffers, training mode, random state.
    input_shape : (C, H, W)
        Size of the input in px, large enough that the field of a central pixel does not reach the border.
    outputs : int
        How many central output pixels an axis are measured; two periods are needed, so 32 serves four poolings.

    Returns
    -------
    ReceptiveField
        Exact; see its attributes.

    Raises
    ------
    TypeError
        The model is no torch module, or does not return a tensor; a size is no integer.
    ValueError
        input_shape is not three positive integers, outputs < 1, the output is not (1, K, h, w) or not finite, the
        output does not depend on the input, or no period fits into the measured outputs.

    Notes
    -----
    Anything computed from NaN is NaN: convolutions (a zero weight too), ReLU, max pooling, normalisation, crops and
    concatenations pass it on to exactly those outputs that read it, so nothing has to be replaced and nothing can
    cancel, as it can with gradients, where max pooling hides all inputs but one. With columns 0 ... j set to NaN, an
    output pixel turns NaN if its field begins at or before j; bisection over j finds where. The copy runs in float64
    and in evaluation mode, so batch normalisation uses its running statistics.

    References
    ----------
    Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019. Notebook 05.

    Examples
    --------
    >>> receptive_field(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.MaxPool2d(2)), (1, 32, 32)).size
    (4, 4)
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    shape = tuple(whole(n, "input_shape", 1) for n in several(input_shape, "input_shape", 3))
    outputs = whole(outputs, "outputs", 1)
    model = copy.deepcopy(model).to("cpu", torch.float64).eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        y, x = (_measure_axis(model, shape, axis, outputs) for axis in (2, 3))
    return ReceptiveField(*zip(y, x, strict=True))


def receptive_field_formula(layers: Sequence[tuple[float, ...]]) -> AxisField:
    """Receptive field of a chain of layers by the recurrences `r += (k - 1) d j`, `j *= s`.

    Parameters
    ----------
    layers : sequence of (k, s, d) or (k, s, d, p)
        Kernel, stride, dilation and padding (default 0) in px of each layer's own input, first layer first. An
        up-convolution has a fractional stride: (2, 1/2, 1) doubles the size. Element-wise layers are left out.

    Returns
    -------
    AxisField
        size, stride (jump j) and offset along one axis, in input px.

    Raises
    ------
    ValueError
        Layers that are no sequence of them; a layer has another number of entries or other things than finite numbers,
        k, s or d is not positive, or p is negative.

    Notes
    -----
    A convolution or pooling adds (k - 1) d steps of the jump before it, and moves the centre by
    ((k - 1) d / 2 - p) j. An up-convolution of stride 1/u first makes the jump u times smaller, adds k - u of the new
    steps (a 2x2 up-convolution of stride 2 reads one pixel only: nothing) and moves the centre by
    -((k - 1) d / 2 - p) of them. A chain with up-convolutions has fields of several sizes; this is their mean.

    References
    ----------
    Araujo, Norris, Sim, Distill 2019, equations 2 to 4. Derived in notebook 05.

    Examples
    --------
    >>> receptive_field_formula([(3, 1, 1), (3, 1, 1), (2, 2, 1)])
    AxisField(size=6.0, stride=2.0, offset=2.5)
    """
    size, jump, offset = Fraction(1), Fraction(1), Fraction(0)
    if not isinstance(layers, Sequence):
        raise ValueError(f"layers must be a sequence of (kernel, stride, dilation), got {layers!r}")
    for layer in layers:
        if not isinstance(layer, Sequence) or isinstance(layer, str) or len(layer) not in (3, 4):
            raise ValueError(f"layers must hold (kernel, stride, dilation), or with padding, got {layer!r}")
        try:
            kernel, stride, dilation, padding = (Fraction(n).limit_denominator(1024) for n in (*layer, 0)[:4])
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"layers must hold finite numbers: kernel, stride, dilation; got {layer!r}") from None
        if min(kernel, stride, dilation) <= 0 or padding < 0:
            raise ValueError(f"layers must have kernel, stride and dilation > 0 and padding >= 0, got {layer!r}")
        reach = (kernel - 1) * dilation
        if stride >= 1:
            size += reach * jump
            offset += (reach / 2 - padding) * jump
            jump *= stride
        else:
            jump *= stride
            size += (reach + 1 - 1 / stride) * jump
            offset -= (reach / 2 - padding) * jump
    return AxisField(float(size), float(jump), float(offset))


def _measure_axis(model: torch.nn.Module, shape: tuple[int, ...], axis: int, outputs: int) -> tuple:
    """(size, stride, offset, sizes, clipped) along one axis of (1, C, H, W)."""
    length = shape[axis - 1]
    affected = _nan_probe(model, shape, axis)
    count = affected(0, length).size                          # everything NaN; also says how many outputs there are
    if affected(0, 0).any():
        raise ValueError("model must give a finite output for a finite input, got NaN or infinity")
    if not affected(0, length).all():
        raise ValueError("model must give outputs that depend on the input, got some that do not depend on it at all")
    first = max(0, (count - outputs) // 2)
    chosen = range(first, min(count, first + outputs))
    starts = np.array([_bisect(lambda j, o=o: affected(0, j + 1)[o], length) for o in chosen])
    stops = np.array([length - _bisect(lambda j, o=o: affected(length - 1 - j, length)[o], length) for o in chosen])
    inside = (starts > 0) & (stops < length)
    if not inside.any():
        return int((stops - starts).max()), float("nan"), float("nan"), tuple((stops - starts).tolist()), True
    first += int(inside.argmax())
    starts, stops = starts[inside], stops[inside]
    period, advance = _period(starts, stops)
    sizes = stops - starts
    stride = advance / period
    centres = (starts + stops - 1) / 2 - stride * (first + np.arange(len(starts)))
    return int(sizes.max()), stride, float(centres[:period].mean()), tuple(sizes[:period].tolist()), False


def _period(starts: np.ndarray, stops: np.ndarray) -> tuple[int, float]:
    """Smallest number of outputs after which the fields repeat, and by how many px they have moved."""
    if len(starts) == 1:
        return 1, float("nan")
    for period in range(1, len(starts) // 2 + 1):
        moves = np.concatenate([starts[period:] - starts[:-period], stops[period:] - stops[:-period]])
        if (moves == moves[0]).all():
            return period, float(moves[0])
    raise ValueError("outputs and input_shape must be large enough for two periods, got fields of "
                     f"{len(starts)} outputs that show none")


def _nan_probe(model: torch.nn.Module, shape: tuple[int, ...], axis: int) -> Callable[[int, int], np.ndarray]:
    """affected(a, b): which outputs along the axis turn NaN when the inputs a <= i < b do; every answer is kept."""
    known = {}

    def affected(a: int, b: int) -> np.ndarray:
        if (a, b) not in known:
            image = torch.full((1, *shape), 0.5, dtype=torch.float64)
            image.narrow(axis, a, b - a).fill_(float("nan"))
            out = model(image)
            out = out["out"] if isinstance(out, Mapping) else out
            if not isinstance(out, torch.Tensor):
                raise TypeError(f'model must return a tensor or a mapping with "out", got {type(out).__name__}')
            if out.ndim != 4 or len(out) != 1 or not out.numel():
                raise ValueError(f"model must return (1, K, h, w) for one image, got {tuple(out.shape)}")
            bad = ~out.isfinite()[0]
            known[a, b] = bad.any(0).any(3 - axis).numpy() if b > a else bad.flatten()[None].any(1).numpy()
        return known[a, b]

    return affected


def _bisect(holds: Callable[[int], bool], length: int) -> int:
    """Smallest j in 0 ... length - 1 for which holds(j); holds is monotone and true at the end."""
    low, high = 0, length - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
