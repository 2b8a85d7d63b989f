"""Checks of the exercises of notebook 10, pyramids."""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor, nn

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, differs, not_shaped, numbers, short, slip


def _cells(size: int, bins: int) -> list[range]:
    """The pixels of each cell of adaptive pooling along an axis."""
    return [range(i * size // bins, -(-(i + 1) * size // bins)) for i in range(bins)]


def _memberships(size: int, bins: int) -> np.ndarray:
    """In how many cells each pixel lies."""
    return np.array([sum(pixel in cell for cell in _cells(size, bins)) for pixel in range(size)])


@exercise("10.1", title="Pixels in two cells", hints=[
    "Write down the cells of 13 px in 6 cells: cell i covers floor(13 i / 6) up to, but without, ceil(13 (i + 1) / 6).",
    "List the cells as ranges: range(i * size // bins, math.ceil((i + 1) * size / bins)). A pixel is shared if it "
    "is in more than one.",
    "sum(sum(pixel in cell for cell in cells) > 1 for pixel in range(size))",
], points=1, count=9)
def shared(answer: Callable) -> Iterator[Case]:
    """``answer(size, bins)``: pixels of an axis that lie in two or more cells."""
    for size, bins in ((13, 6), (12, 6), (7, 3), (60, 1), (9, 6), (3, 6), (1, 6), (6, 6), (10, 4)):
        counts = _memberships(size, bins)
        want, got = int((counts > 1).sum()), answer(size, bins)
        borders = sum(1 for a, b in zip(_cells(size, bins), _cells(size, bins)[1:]) if set(a) & set(b))
        slips = [(int((counts - 1).sum()), "that counts a pixel in three cells twice; count pixels, not overlaps"),
                 (borders, "that counts the pairs of neighbouring cells that overlap; count pixels"),
                 (0, "cells do overlap here: a cell *ends* at ceil((i + 1) H / b), not at the next one's start"),
                 (size % bins, "the rest of the division is not the number of shared pixels; list the cells"),
                 (int((counts == 1).sum()), "these are the pixels of one cell only, the others are asked for"),
                 (bins - 1, "not every border between two cells cuts through a pixel: the exact ones share nothing")]
        yield f"{size} px in {bins} cells: {want}", close(got, want), slip(got, want, slips)


@exercise("10.2", title="Batch norm after global pooling", hints=[
    "First decide which mean and variance to use: the batch's only if training and len(x) > 1.",
    "The batch's mean over the axes 0, 2, 3 has shape (C,), and so has its variance with correction=0. "
    "Bring (C,) to (C, 1, 1) with [:, None, None].",
    "return (x - mean[:, None, None]) / (var[:, None, None] + eps).sqrt()",
], points=2, count=9)
def pooled_norm(answer: Callable) -> Iterator[Case]:
    """``answer(x, running_mean, running_var, training, eps=1e-5)``: normalised (N, C, 1, 1)."""
    generator = torch.Generator().manual_seed(10)
    mean, var = torch.randn(3, generator=generator), 0.5 + torch.rand(3, generator=generator)
    for count, training, dtype in ((5, True, torch.float32), (5, False, torch.float32), (2, True, torch.float32),
                                   (1, False, torch.float32), (1, True, torch.float32), (4, True, torch.float64)):
        x, m, v = (t.to(dtype) for t in (2 * torch.randn(count, 3, 1, 1, generator=generator) + 1, mean, var))
        own, want = training and count > 1, _normal(x, m, v, training)
        got = answer(x, m, v, training)
        mode, source = "training" if training else "evaluation", "batch's" if own else "running"
        case = f"batch of {count}, {mode}: by the {source} statistics"
        if form := not_shaped(got, x.shape, "a tensor"):
            yield case, False, form
            return
        came = torch.from_numpy(numbers(got)).to(dtype)
        yield case, close(got, want, 1e-5), _why_not_normal(x, came, m, v, own, training)
    x = torch.tensor([[[[1.0]], [[2.0]], [[3.0]]]] * 2)
    got = answer(x, mean, var, True)
    yield "two equal pictures: 0, not 0 / 0", close(got, 0 * x, 1e-3), "eps stands under the root, beside the variance"
    x, eps = torch.randn(3, 3, 1, 1, generator=generator), 0.3
    got = answer(x, mean, var, True, eps)
    yield "eps is an argument", close(got, _normal(x, mean, var, True, eps), 1e-5), \
        "the result does not depend on eps as it should: is 1e-5 written where eps belongs?"
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    got = answer(leaf, mean, var, True)
    flows = isinstance(got, Tensor) and got.requires_grad
    weights = torch.arange(9.0).view(3, 3, 1, 1)
    yield "the gradient flows, through the batch's mean and variance too", flows and close(
        torch.autograd.grad((got * weights).sum(), leaf)[0],
        torch.autograd.grad((_normal(other, mean, var, True) * weights).sum(), other)[0], 1e-4), \
        "no detach() and no no_grad(): the statistics of the batch are part of the function"


def _normal(x: Tensor, mean: Tensor, var: Tensor, training: bool, eps: float = 1e-5) -> Tensor:
    """PyTorch's own, in evaluation for a batch of one."""
    return nn.functional.batch_norm(x, mean.clone(), var.clone(), training=training and len(x) > 1, eps=eps)


def _why_not_normal(x: Tensor, got: Tensor, mean: Tensor, var: Tensor, own: bool, training: bool) -> str:
    m, v = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    running_m, running_v = mean[:, None, None], var[:, None, None]
    use_m, use_v = (m, v) if own else (running_m, running_v)

    def same(other: Tensor) -> bool:
        return close(got, other, 1e-4)
    if not got.isfinite().all():
        return "some values are not finite: the unbiased variance of one value is 0 / 0, and 0 needs eps under the root"
    if not own and same((x - m) / (v + 1e-5).sqrt()):
        return "a batch of one minus its own mean is 0 whatever the picture shows: use the running statistics" \
            if training else "evaluation must not depend on the batch: use the running statistics"
    if own and same((x - running_m) / (running_v + 1e-5).sqrt()):
        return "two values or more: training uses the mean and variance of the batch"
    if same((x - use_m) / (use_v + 1e-5)):
        return "divide by the square root of the variance"
    if own and len(x) > 1 and same((x - m) / (v * len(x) / (len(x) - 1) + 1e-5).sqrt()):
        return "batch norm divides by N, not by N - 1: correction=0"
    if same((x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + 1e-5).sqrt()):
        return "the mean runs over the batch, one for each channel; yours runs over the channels"
    return differs(got, (x - use_m) / (use_v + 1e-5).sqrt(), 1e-5)


@exercise("10.3", title="The largest rate that still reads the map", hints=[
    "Let q be the root of the share. For r <= n the formula says (n + 2 (n - r)) / (3 n) >= q.",
    "Solve for r: r <= 1.5 n (1 - q). Rates are integers, so round down; where the bound is a whole number floats may "
    "give 5.999999 for 6: a tiny 1e-9 guards against it.",
    "math.inf if share <= 1 / 9 else math.floor(1.5 * n * (1 - math.sqrt(share)) + 1e-9)",
], points=2, count=17)
def largest_rate(answer: Callable) -> Iterator[Case]:
    """``answer(n, share)``: the largest rate with at least that share of valid taps."""
    def share_of(n: int, r: int) -> float:
        return float(Fraction(3 * n - 2 * r, 3 * n) ** 2)

    exact = [(n, share_of(n, r)) for n, r in ((33, 18), (30, 10), (20, 5), (32, 8), (4, 1), (65, 64), (12, 12))]
    for n, share in ((33, 0.5), (65, 0.5), (65, 0.9), (20, 0.2), (7, 0.99), *exact):
        want = max(r for r in range(0, n + 1) if share_of(n, r) >= share - 1e-12)
        want = math.inf if share <= 1 / 9 else want
        got = answer(n, share)
        slips = [(1.5 * n * (1 - math.sqrt(share)), "rates are integers: round down"),
                 (math.floor(1.5 * n * (1 - share) + 1e-9),
                  "this is the share along one axis: a 3x3 kernel has two, take the root of the share first"),
                 (math.floor(n * (1 - math.sqrt(share)) + 1e-9),
                  "the central tap is always valid: of three taps along an axis only two can be lost"),
                 (want + 1, "one too many: at that rate the share is already below"),
                 (want - 1, "one too few: 'at least this share' includes equality, and a float just below a whole "
                            "number has to count as it")]
        yield f"{n} px, {100 * share:.4g} %: rate {want}", close(got, want, 1e-9), slip(got, want, slips, 1e-9)
    for share in (1 / 9, 0.05, 0.0):
        got = answer(33, share)
        yield f"33 px, {100 * share:.1f} %: every rate", close(got, math.inf), \
            f"you return {short(got)}; the central tap never leaves the map, so every rate has one ninth: math.inf"
    for n in (33, 1):
        got = answer(n, 1.0)
        yield f"{n} px, 100 %: not even rate 1", close(got, 0), \
            f"you return {short(got)}; at rate 1 the border already loses taps: 0"


@exercise("10.4", title="Multi-grid in px of the image", hints=[
    "The stage's own rate is 32 // output_stride: 1 at 32, 2 at 16, 4 at 8. Units multiply it.",
    "A 3x3 convolution at rate r reads r px to each side of the map; three in a row add up. From the first to the "
    "last: 2 * sum(rates) px of the map.",
    "A px of the map is output_stride px of the image: return rates, 2 * sum(rates) * output_stride",
], points=2, count=11)
def last_stage(answer: Callable) -> Iterator[Case]:
    """``answer(units, output_stride)``: the rates, and the distance of the outermost pixels read, px of the image."""
    for units, stride in (((1, 2, 4), 16), ((1, 2, 4), 8), ((1, 1, 1), 32), ((1, 2, 1), 16), ((2, 2, 2, 4), 8)):
        base = 32 // stride
        rates = [base * unit for unit in units]
        taps = torch.zeros(1)
        for rate in rates:
            taps = (taps[:, None] + rate * torch.tensor([-1.0, 0, 1])).flatten().unique()
        want = int(taps.max() - taps.min()) * stride
        got = answer(units, stride)
        if not isinstance(got, tuple | list) or len(got) != 2 or not_shaped(got[0], (len(units),)):
            yield f"{units} at stride {stride}: rates {rates}", False, \
                f"return two things, a list of {len(units)} rates and a number, not {short(got)}"
            return
        slips = [([base + u for u in units], "units *multiply* the stage's rate"),
                 (units, "these are the unit rates: multiply them by the stage's, 32 // output_stride"),
                 ([2 * u for u in units], "the stage's rate is 2 at stride 16 only: 32 // output_stride"),
                 ([stride // 8 * u for u in units], "the wrong way round: the *smaller* the stride, the larger")]
        yield f"{units} at stride {stride}: rates {rates}", close(got[0], rates), slip(got[0], rates, slips)
        slips = [(want / 2, "the kernel reaches to both sides"),
                 (want / stride, "this is in px of the map: times stride"),
                 (want + stride, "from centre to centre: the pixel in the middle does not add its own size"),
                 (want + 1, "from centre to centre: no + 1"),
                 (2 * max(rates) * stride, "one after the other, the fields add up: sum, not max")]
        yield f"{units} at stride {stride}: {want} px", close(got[1], want), slip(got[1], want, slips)
    yield "rates are integers, as nn.Conv2d takes them", all(_whole(rate) for rate in answer((1, 2, 4), 16)[0]), \
        "a rate that is a float stops nn.Conv2d: 32 // output_stride, not 32 / output_stride"


def _whole(rate: object) -> bool:
    return isinstance(rate, int | np.integer) or (isinstance(rate, Tensor) and not rate.is_floating_point())
