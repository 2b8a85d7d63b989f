"""Atrous (dilated) convolution in its three equal forms, and the gridding of a stack of them."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.inputs import whole

Pair = int | tuple[int, int]


def dilated_conv2d(input: Tensor, weight: Tensor, bias: Tensor | None = None, padding: Pair = 0,
                   dilation: Pair = 1) -> Tensor:
    """Convolve by the index formula `y[i, j] = sum_{a, b} x[i + r a, j + r b] w[a, b]`, r the dilation.

    Parameters
    ----------
    input : tensor (N, C, H, W), floating
    weight : tensor (K, C, kh, kw), same dtype
    bias : tensor (K,) or None
    padding, dilation : int or (int, int)
        Zero rows and columns at each side, and the step between taps, both in px of the input. As in
        `torch.nn.functional.conv2d`, whose stride is 1 here.

    Returns
    -------
    tensor (N, K, H + 2 p - (kh - 1) r, W + 2 p - (kw - 1) r)
        Differentiable; equal to `F.conv2d(input, weight, bias, padding=p, dilation=r)`.

    Raises
    ------
    TypeError
        `input` or `weight` is no floating tensor, or of another dtype; padding or dilation is no integer.
    ValueError
        Another number of dimensions or channels, dilation < 1, padding < 0, or a kernel that spans more than the
        padded input; the message says how much it spans.

    Notes
    -----
    One shifted view of the input a tap: nothing is multiplied by a zero, and the number of weights does not depend on
    the dilation. "Atrous" is French for "with holes"; k taps at rate r span k + (k - 1)(r - 1) px.

    References
    ----------
    Holschneider et al. (1989), the algorithme à trous. Chen et al., DeepLab v2 (2018), section 3.1, equation 1;
    Yu, Koltun (2016), equation 2, which writes the same sum with the kernel mirrored. Derived in notebook 09.

    Examples
    --------
    >>> x, w = torch.arange(5.).view(1, 1, 1, 5), torch.ones(1, 1, 1, 2)
    >>> dilated_conv2d(x, w, dilation=(1, 3)).flatten().tolist()
    [3.0, 5.0]
    """
    (down, right), (height, width) = _checked(input, weight, bias, padding, dilation)
    x = _padded(input, padding)
    y = 0
    for a in range(weight.shape[2]):
        for b in range(weight.shape[3]):
            shifted = x[:, :, a * down:a * down + height, b * right:b * right + width]
            y = y + torch.einsum("nchw,kc->nkhw", shifted, weight[:, :, a, b])
    return y if bias is None else y + bias[:, None, None]


def stuff_kernel(weight: Tensor, dilation: Pair) -> Tensor:
    """Put `dilation - 1` zeros between the taps of a kernel: dilated convolution is convolution with this one.

    Parameters
    ----------
    weight : tensor (K, C, kh, kw)
    dilation : int or (int, int)

    Returns
    -------
    tensor (K, C, kh + (kh - 1)(r - 1), kw + (kw - 1)(r - 1))
        `F.conv2d(x, stuff_kernel(w, r))` equals `F.conv2d(x, w, dilation=r)`, with r^2 times the multiplications.

    Raises
    ------
    TypeError, ValueError
        As `dilated_conv2d`.

    References
    ----------
    Chen et al., DeepLab v2 (2018), section 3.1: "introducing r - 1 zeros between two consecutive filter values".
    Notebook 09.
    """
    _four("weight", weight)
    down, right = _pair("dilation", dilation, 1)
    kh, kw = weight.shape[2:]
    stuffed = weight.new_zeros(*weight.shape[:2], (kh - 1) * down + 1, (kw - 1) * right + 1)
    stuffed[:, :, ::down, ::right] = weight
    return stuffed


def space_to_batch(input: Tensor, rate: Pair) -> Tensor:
    """Deal the pixels out into rate^2 subsampled pictures, one a phase, stacked along the batch.

    Parameters
    ----------
    input : tensor (N, C, H, W)
    rate : int or (int, int)
        H and W are filled up with zeros at the bottom and right to a multiple of it.

    Returns
    -------
    tensor (ry rx N, C, ceil(H / ry), ceil(W / rx))
        Picture `(py rx + px) N + n` holds `input[n, :, py::ry, px::rx]`.

    Raises
    ------
    TypeError, ValueError
        `input` has other dimensions; rate < 1 or no integer.

    References
    ----------
    Chen et al., DeepLab v1 (2015), section 3.1 and v2 (2018), section 3.1: "deinterlaced" maps. Notebook 09.
    """
    _four("input", input)
    down, right = _pair("rate", rate, 1)
    n, c, height, width = input.shape
    x = F.pad(input, (0, -width % right, 0, -height % down))
    x = x.reshape(n, c, x.shape[2] // down, down, x.shape[3] // right, right)
    return x.permute(3, 5, 0, 1, 2, 4).reshape(down * right * n, c, x.shape[2], x.shape[4])


def batch_to_space(input: Tensor, rate: Pair, size: tuple[int, int]) -> Tensor:
    """Undo `space_to_batch`: interlace rate^2 pictures, crop to `size`.

    Parameters
    ----------
    input : tensor (ry rx N, C, h, w)
    rate : int or (int, int)
    size : (H, W)
        At most (ry h, rx w).

    Returns
    -------
    tensor (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        `input` has other dimensions or its batch is no multiple of ry rx; `size` is larger than the phases give.
    """
    _four("input", input)
    down, right = _pair("rate", rate, 1)
    m, c, h, w = input.shape
    if m % (down * right):
        raise ValueError(f"input must hold {down} x {right} phases, its batch of {m} is no multiple")
    size = _pair("size", size, 1)
    if size[0] > down * h or size[1] > right * w:
        raise ValueError(f"size must be within (1, 1) and {(down * h, right * w)}, got {size}")
    x = input.reshape(down, right, m // (down * right), c, h, w).permute(2, 3, 4, 0, 5, 1)
    return x.reshape(m // (down * right), c, down * h, right * w)[:, :, :size[0], :size[1]]


def dilated_conv2d_by_phases(input: Tensor, weight: Tensor, bias: Tensor | None = None, padding: Pair = 0,
                             dilation: Pair = 1) -> Tensor:
    """Dilated convolution as space-to-batch, an ordinary dense convolution, and back; as `dilated_conv2d`.

    Taps r px apart only ever meet pixels of one phase of an r x r grid, and there they are neighbours. So any fast
    dense convolution will do; this is how dilation runs on hardware that has none.

    Parameters, Returns, Raises
        As `dilated_conv2d`.

    References
    ----------
    Chen et al., DeepLab v2 (2018), section 3.1, "the second method ... subsample the input feature map". Notebook 09.
    """
    rate, size = _checked(input, weight, bias, padding, dilation)
    y = F.conv2d(space_to_batch(_padded(input, padding), rate), weight, bias)
    return batch_to_space(y, rate, size)


def path_counts(rates: Sequence[int], kernel: int = 3) -> np.ndarray:
    """How many ways lead from each input position to one output of a stack of dilated convolutions, along one axis.

    Parameters
    ----------
    rates : sequence of int
        Dilation of each layer, in any order; every layer has stride 1.
    kernel : int
        Taps of each layer, >= 1.

    Returns
    -------
    array (field,), float64
        field = 1 + (kernel - 1) sum(rates) positions, the middle one at the output's place. A zero inside is a hole:
        an input that no choice of weights can reach (gridding). The sum is kernel ** layers; the share of the field
        that is reached is `(path_counts(rates) > 0).mean()` along an axis, its square in a picture.

    Raises
    ------
    TypeError, ValueError
        kernel or a rate is < 1 or no integer.

    References
    ----------
    Wang et al., Understanding convolution for semantic segmentation (2018), section 3.2 (gridding, hybrid dilated
    convolution). Notebook 09.

    Examples
    --------
    >>> path_counts([2, 2]).astype(int).tolist()
    [1, 0, 2, 0, 3, 0, 2, 0, 1]
    >>> path_counts([1, 2]).astype(int).tolist()
    [1, 1, 2, 1, 2, 1, 1]
    """
    kernel = whole(kernel, "kernel", 1)
    try:
        rates = list(rates)
    except TypeError:
        raise TypeError(f"rates must be a sequence of integers, got {rates!r}") from None
    counts = np.ones(1)
    for rate in [whole(rate, "rates", 1) for rate in rates]:
        taps = np.zeros((kernel - 1) * rate + 1)
        taps[::rate] = 1
        counts = np.convolve(counts, taps)
    return counts


def _checked(input: Any, weight: Any, bias: Any, padding: Pair, dilation: Pair) -> tuple[tuple[int, int], list[int]]:
    """((ry, rx), [height, width] of the output), or an error that names the argument."""
    _four("input", input)
    _four("weight", weight)
    if weight.dtype != input.dtype:
        raise TypeError(f"weight must have the input's dtype {input.dtype}, got {weight.dtype}")
    if weight.shape[1] != input.shape[1]:
        raise ValueError(f"weight must have {input.shape[1]} input channels as the input, got {tuple(weight.shape)}")
    if bias is not None and (not isinstance(bias, Tensor) or bias.dtype != input.dtype):
        raise TypeError(f"bias must be a tensor of the input's dtype {input.dtype} or None, got {_kind(bias)}")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"bias must have shape ({weight.shape[0]},), got {tuple(bias.shape)}")
    pads, rates = _pair("padding", padding, 0), _pair("dilation", dilation, 1)
    spans = [(k - 1) * r + 1 for k, r in zip(weight.shape[2:], rates, strict=True)]
    sizes = [n + 2 * p - span + 1 for n, p, span in zip(input.shape[2:], pads, spans, strict=True)]
    if min(sizes) < 1:
        raise ValueError(f"input must be at least as large as the kernel's span {tuple(spans)} px after padding, "
                         f"got {tuple(input.shape[2:])} px with padding {pads}")
    return rates, sizes


def _padded(input: Tensor, padding: Pair) -> Tensor:
    down, right = _pair("padding", padding, 0)
    return F.pad(input, (right, right, down, down))


def _four(name: str, value: Any) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(f"{name} must be a floating tensor, got {_kind(value)}")
    if value.ndim != 4 or not value.numel():
        raise ValueError(f"{name} must have four dimensions, none of them 0, got {tuple(value.shape)}")


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def _pair(name: str, value: Any, least: int) -> tuple[int, int]:
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be an integer >= {least} or a pair of them, got {value!r}")
    return whole(pair[0], name, least), whole(pair[1], name, least)
