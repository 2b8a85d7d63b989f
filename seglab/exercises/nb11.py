"""Checks of the exercises of notebook 11, DeepLab v3+."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.nn import functional as F

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, not_shaped, numbers, short, slip


def _saving(in_channels: int, out_channels: int, kernel_size: int) -> float:
    """Both kinds cost per input channel: k * k for each output, or k * k once and 1 for each output."""
    return kernel_size**2 * out_channels / (kernel_size**2 + out_channels)


@exercise("11.1", title="What separating saves", hints=[
    "Count the weights that one output position needs. Full: every output channel looks at k x k values of every input "
    "channel.",
    "Depthwise: one k x k filter for each *input* channel. Pointwise: one weight for each pair of channels.",
    "full = k * k * C * K; separable = k * k * C + C * K; return full / separable.",
], points=1, count=6, course=_saving)
def saving(answer: Callable) -> Iterator[Case]:
    """``answer(in_channels, out_channels, kernel_size)``: multiply-adds of a full over those of a separable one."""
    for c, k_out, k in ((256, 256, 3), (32, 64, 3), (8, 128, 5), (64, 16, 7), (3, 1, 1), (1, 1, 3)):
        full, depthwise, pointwise = k * k * c * k_out, k * k * c, c * k_out
        got, want = answer(c, k_out, k), 1 / (1 / k_out + 1 / k**2)
        slips = [(max(want, 1), "the formula holds here too: separating does not always save"),
                 (full / depthwise, "the pointwise convolution costs as well, and most of it"),
                 (1 / want, "upside down: how many times *cheaper* is the separable one?"),
                 (full / (k * k * k_out + pointwise), "depthwise works on the *input* channels, before the mixing"),
                 (full / (k * c + pointwise), "a filter has k * k taps, not k"),
                 (full / pointwise, "k * k is only the limit: the depthwise convolution costs as well")]
        yield f"{c} -> {k_out} channels, {k}x{k}: {want:.2f} times", close(got, want), slip(got, want, slips)


@exercise("11.2", title="The kernel of a separable convolution", hints=[
    "Two linear maps in a row are one linear map. Which weight joins output channel o, input channel c and tap (u, v)?",
    "Channel c is filtered by depthwise[c, 0], and then enters output o with the factor pointwise[o, c, 0, 0].",
    "torch.einsum('oc,cuv->ocuv', pointwise[:, :, 0, 0], depthwise[:, 0]).",
], points=2, count=4)
def full_kernel(answer: Callable) -> Iterator[Case]:
    """``answer(depthwise, pointwise)``: (K, C, k, k) from (C, 1, k, k) and (K, C, 1, 1)."""
    for c, k_out, k in ((3, 5, 3), (4, 4, 3), (2, 1, 5), (1, 3, 1)):
        g = torch.Generator().manual_seed(c)
        depthwise = torch.randn(c, 1, k, k, generator=g, dtype=torch.float64)
        pointwise = torch.randn(k_out, c, 1, 1, generator=g, dtype=torch.float64)
        taps = torch.eye(c * k * k, dtype=torch.float64).view(-1, c, k, k)  # each tap alone, through both in a row
        want = F.conv2d(F.conv2d(taps, depthwise, groups=c), pointwise).view(c, k, k, k_out).permute(3, 0, 1, 2)
        got = answer(depthwise, pointwise)
        name = f"{c} -> {k_out} channels, {k}x{k}"
        if form := not_shaped(got, want.shape, "one k x k kernel for each pair (output, input), a tensor"):
            swapped = not not_shaped(got, want.transpose(0, 1).shape)
            yield name, False, form + ("; output channels come first" if swapped else "")
            return
        slips = [(want.flip(-1, -2), "F.conv2d does not flip its kernel (it correlates): leave the taps in place"),
                 (depthwise[:, 0].expand_as(want),
                  "the pointwise weights are missing: every output would get the same sum"),
                 (pointwise[:, :, 0, 0][..., None, None] + depthwise[:, 0],
                  "the weights act one after the other: multiply them, do not add")]
        if c == k_out:
            slips.append((want.transpose(0, 1), "the channels are swapped: output first, input second"))
        advice = slip(got, want, slips)
        if advice.startswith("at ("):
            x = torch.randn(1, c, 9, 9, generator=g, dtype=torch.float64)
            apart = F.conv2d(x, torch.from_numpy(numbers(got))) - F.conv2d(x, want)
            advice += f"; as one convolution it differs from the two by up to {apart.abs().max():.2g}"
        yield name, close(got, want), advice


def _plan(strides: list[int], output_stride: int) -> list[tuple[int, int, int]]:
    """(stride, rate of the first block, rate of the others) for every stage."""
    result, reached, rate = [], 1, 1
    for stride in strides:
        first = rate
        if reached * stride > output_stride:
            rate, stride = rate * stride, 1
        reached *= stride
        result.append((stride, first, rate))
    return result


def _whole(strides: list[int], output_stride: int) -> list[tuple[int, int, int]]:
    return [(s, rest, rest) for s, _, rest in _plan(strides, output_stride)]


@exercise("11.3", title="Dilation in place of stride", hints=[
    "Walk through the stages and keep two numbers: the stride reached so far and the rate in force.",
    "If the next stride would go beyond the output stride, leave it out, and multiply the rate by it from the next "
    "*block* on.",
    "The first block of such a stage reads the map at its old spacing, so it keeps the old rate; the others read the "
    "map that is now denser than they were made for.",
], points=3, count=10)
def dilation_plan(answer: Callable) -> Iterator[Case]:
    """``answer(strides, output_stride)``: list of (stride, rate of the first block, rate of the other blocks)."""
    cases = [([4, 2, 2, 2], 32), ([4, 2, 2, 2], 16), ([4, 2, 2, 2], 8), ([2, 1, 2, 2, 2, 1, 2, 1], 16),
             ([2, 1, 2, 2, 2, 1, 2, 1], 8), ([2, 2, 4, 2], 4), ([4, 2, 2, 2], 4), ([2, 2, 2, 2, 2], 2), ([1], 1)]
    for strides, output_stride in cases:
        want, got = _plan(strides, output_stride), answer(strides, output_stride)
        name = f"strides {strides} at output stride {output_stride}"
        came = numbers(got)
        if came is None or came.ndim != 2 or came.shape[1] != 3:
            yield name, False, f"return a list of triples (stride, first, others), not {short(got)}"
            return
        shown = [tuple(int(v) for v in stage) for stage in came]
        advice = f"expected {want}, you return {shown}"
        if len(shown) != len(want):
            advice = f"one triple (stride, first, others) for each of the {len(want)} stages, you return {shown}"
        elif shown == _whole(strides, output_stride):
            advice = "the first block of a stage that lost its stride reads the old spacing: it keeps the old rate"
        elif [s[0] for s in shown] != [s[0] for s in want]:
            total = int(np.prod([s[0] for s in shown]))
            advice = f"your strides multiply to {total}, they must to {int(np.prod([s[0] for s in want]))}"
        elif max(s[2] for s in shown) < max(s[2] for s in want):
            advice = "rates multiply: two strides of 2 left out make 4, and a stride of 4 counts as 4"
        elif [s[1] for s in shown] == [1] * len(want):
            advice = "a later stage starts with the rate that is in force, not with 1 again"
        yield name, close(came, want), advice
    whole = all(isinstance(v, int | np.integer) or getattr(v, "dtype", torch.float32) == torch.int64
                for stage in answer([4, 2, 2, 2], 8) for v in stage)
    yield "strides and rates are integers", whole, "nn.Conv2d takes no floats: multiply whole numbers"


def _leftover(trained: int, used: int) -> float:
    """Half a stride is what a map is drawn off; the network made up for that of its training."""
    return (trained - used) / 2


@exercise("11.4", title="How far the enlargement moves a map", hints=[
    "A strided network's value k stands on pixel k * stride. Where does `align_corners=False` draw it?",
    "Over the pixels k * stride ... (k + 1) * stride - 1, whose middle is k * stride + (stride - 1) / 2.",
    "A network trained at stride a has learnt to make up for (a - 1) / 2. Used at b it is drawn (b - 1) / 2 off: what "
    "is left over is the difference.",
], points=2, count=6, course=_leftover)
def leftover_shift(answer: Callable) -> Iterator[Case]:
    """``answer(trained, used)``: px by which the prediction has to be moved right and down."""
    for trained, used in ((16, 8), (16, 32), (8, 16), (4, 1), (16, 16), (1, 1)):
        drawn = torch.arange(0, 4 * used).view(4, used).double().mean(1) - torch.arange(0, 4 * used, used)
        learnt = (sum(range(trained)) / trained)
        got, want = answer(trained, used), learnt - float(drawn[0])
        slips = [(-want, "the other way: at the smaller stride the map is drawn too far left and up, move it right"),
                 (2 * want, "half of that: the middle of a cell is (stride - 1) / 2 from its first pixel"),
                 ((trained - 1) / 2, "this is the whole displacement of the trained stride; the used one has its own"),
                 ((used - 1) / 2,
                  "this is the displacement of the used stride; the network made up for the trained one"),
                 (trained // 2 - used // 2, "half pixels count: no //")]
        yield f"trained at {trained}, used at {used}: {want:+g} px", close(got, want), slip(got, want, slips)
