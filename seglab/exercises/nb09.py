"""Checks of the exercises of notebook 09, dilated convolution, the context module and the dense CRF."""

from collections.abc import Iterator

import numpy as np
import torch

from seglab.exercises import Case, exercise
from seglab.ops import path_counts


@exercise("09.1", title="The rate for a field", hints=[
    "k taps at rate r: how many steps of r lie between the first tap and the last? It is one fewer than the taps.",
    "The kernel spans (k - 1) r + 1 px. It has to be at least `field`: solve for r.",
    "r >= (field - 1) / (k - 1), rounded up: -(-(field - 1) // (k - 1)). A rate below 1 does not exist.",
], points=1, count=8)
def rate_for(answer) -> Iterator[Case]:
    """``answer(kernel, field)``: the smallest rate at which the kernel spans at least ``field`` px."""
    for kernel, field in ((3, 25), (7, 25), (4, 13), (3, 24), (5, 10), (2, 9)):
        want = -(-(field - 1) // (kernel - 1))
        got = answer(kernel, field)
        slips = [((field - 1) // (kernel - 1), "that spans a px too few: round up, the kernel must reach the field"),
                 (-(-field // (kernel - 1)), "the span is (k - 1) r + 1: the 1 is missing"),
                 (-(-field // kernel), "k taps have k - 1 gaps between them, not k"),
                 (want + 1, "this reaches too, but it is not the smallest")]
        yield (f"{kernel} taps for {field} px: rate {want}", _is(got, want), _slip(got, slips))
    got = answer(5, 3)
    yield "5 taps span 5 px already: rate 1", _is(got, 1), f"you return {got!r}: a rate is at least 1"
    yield "the answer is an integer", isinstance(answer(3, 24), int | np.integer), \
        f"you return {answer(3, 24)!r}: F.conv2d takes no fraction"


@exercise("09.2", title="Holes of a stack", hints=[
    "Which offsets does one layer of rate r reach? -r, 0 and r. And two layers? Every sum of one offset of each.",
    "Start with the set {0}; for each rate replace it by {p + s * r for p in the set for s in (-1, 0, 1)}.",
    "The field has 1 + 2 * sum(rates) positions along the axis; what is not in the set is a hole.",
], points=2, count=10)
def holes(answer) -> Iterator[Case]:
    """``answer(rates)``: positions along one axis of the field of 3-tap layers that no path reaches."""
    for rates in ([2], [1, 1], [2, 2, 2], [1, 2, 5], [2, 4, 8], [1, 2, 9], [4, 1, 12], [3, 3]):
        counts = path_counts(rates)
        want, got = int((counts == 0).sum()), answer(list(rates))
        reached = len(counts) - want
        slips = [(reached, "these are the positions that are reached: count the others"),
                 (len(counts) ** 2 - reached**2, "along one axis, please, not in the picture"),
                 (sum(2 * (r - 1) for r in rates), "holes of one layer are filled by the next: follow sums of offsets"),
                 (max(rates) * 2 - 2, "the largest rate alone does not decide: the other layers fill its holes"),
                 (want + 1, "one too many: the centre is reached, and the field has 1 + 2 sum(rates) positions"),
                 (want - 1, "one too few: the field has 1 + 2 sum(rates) positions")]
        yield f"rates {rates}: {want} of {len(counts)} positions", _is(got, want), _slip(got, slips)
    yield "the order of the layers does not matter", _is(answer([5, 2, 1]), 0) and _is(answer([9, 1, 2]), 4), \
        "sums do not depend on the order; does your loop?"
    rates = [1, 2]
    answer(rates)
    yield "the list is left as it was", rates == [1, 2], f"it has become {rates}"


@exercise("09.3", title="The identity in a wider layer", hints=[
    "Which input channels belong to group g of C? Those a with a * C // c_in == g. The outputs likewise.",
    "Every output sums its group's inputs: how many are these, and what should the sum be so that nothing grows over "
    "the whole module? Equation 5: weight C / c_out.",
    "w = torch.zeros(c_out, c_in, kernel, kernel); the middle tap, kernel // 2, is C / c_out where the groups agree: "
    "torch.arange(c_out)[:, None] * C // c_out == torch.arange(c_in) * C // c_in.",
], points=3, count=5)
def wide_identity(answer) -> Iterator[Case]:
    """``answer(c_in, c_out, C, kernel)``: weights (c_out, c_in, kernel, kernel) of equation 5 without noise."""
    for c_in, c_out, c, kernel in ((3, 3, 3, 3), (2, 4, 2, 3), (8, 4, 2, 1), (6, 6, 3, 5), (12, 3, 3, 3)):
        want = torch.zeros(c_out, c_in, kernel, kernel)
        same = torch.arange(c_out)[:, None] * c // c_out == torch.arange(c_in) * c // c_in
        want[:, :, kernel // 2, kernel // 2] = same * c / c_out
        got = answer(c_in, c_out, c, kernel)
        name = f"{c_in} -> {c_out} channels, C = {c}, kernel {kernel}"
        if not isinstance(got, torch.Tensor) or got.shape != want.shape:
            came = tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__
            yield name, False, f"return a tensor (c_out, c_in, kernel, kernel) = {tuple(want.shape)}, not {came}"
            return
        yield name, torch.allclose(got.float(), want), _why_not_identity(got.float(), want, c)


def _why_not_identity(got, want, c) -> str:
    middle = want.shape[-1] // 2
    taps = got[:, :, middle, middle]
    if not taps.any():
        return "the middle tap is all zero: t = 0 is the middle of the kernel, at kernel // 2"
    if got.abs().sum() > taps.abs().sum() + 1e-6:
        return "other taps than the middle one are not zero: the identity moves nothing"
    goal = want[:, :, middle, middle]
    a, b = torch.arange(want.shape[0])[:, None], torch.arange(want.shape[1])
    if torch.equal(taps != 0, goal != 0):
        ratio = (taps[goal != 0] / goal[goal != 0])
        return f"the right taps, but {ratio.mean():.3g} times too large: equation 5 says C / c_out"
    if torch.equal(taps != 0, a % c == b % c):
        return "groups are neighbours (floor), not every C-th channel (modulo)"
    if torch.equal(taps != 0, a == b):
        return "only equal indices are joined: with more channels a group has several, by floor(a C / c_in)"
    if taps.all():
        return "every input goes to every output: the class maps would be mixed"
    return f"{int((taps != 0).sum())} middle taps are not zero, {int((goal != 0).sum())} should be"


@exercise("09.4", title="One mean-field update", hints=[
    "Messages first: label l hears from pixel j how much j believes in l, times k_ij. As a matrix product?",
    "For Potts, agreement pays: the exponent is -psi + message. What makes the numbers of a pixel sum to 1?",
    "torch.softmax(q @ k - psi, dim=0): q and psi are (K, N), k is symmetric (N, N), labels are rows.",
], points=2, count=6)
def mean_field_step(answer) -> Iterator[Case]:
    """``answer(psi, k, q)``: all marginals after one parallel update; psi, q (K, N), k (N, N)."""
    g = torch.Generator().manual_seed(0)
    for labels, pixels in ((2, 5), (4, 3), (3, 3)):
        psi = torch.rand(labels, pixels, generator=g, dtype=torch.float64) * 2
        k = torch.rand(pixels, pixels, generator=g, dtype=torch.float64)
        k = (k + k.T) / 2
        q = torch.softmax(torch.randn(labels, pixels, generator=g, dtype=torch.float64), 0)
        want, kept = torch.softmax(q @ k - psi, 0), q.clone()
        got = answer(psi.clone(), k.clone(), q)
        name = f"{labels} labels, {pixels} pixels"
        if not isinstance(got, torch.Tensor) or got.shape != want.shape:
            came = tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__
            yield name, False, f"return a tensor (K, N) = {tuple(want.shape)}, not {came}"
            return
        slips = [(torch.softmax(-q @ k - psi, 0), "the sign of the message: agreeing neighbours must *raise* a label"),
                 (torch.softmax(q @ k + psi, 0), "the sign of psi: it is a cost, -log P"),
                 (torch.softmax(q @ k, 0), "the unary is forgotten: each update starts from psi again"),
                 (torch.softmax(q @ k - psi, 1), "the softmax runs over pixels: labels are rows, dim 0"),
                 (q @ k - psi, "these are scores: a softmax over labels makes them probabilities"),
                 (torch.softmax(q @ k - psi + q.log(), 0), "q itself is no factor: not a product of beliefs"),
                 (torch.exp(q @ k - psi), "not normalised: divide by the sum over labels")]
        advice = next((text for slip, text in slips if torch.allclose(got.double(), slip)),
                      f"at label 0, pixel 0 you have {float(got[0, 0]):.4f}, it should be {float(want[0, 0]):.4f}")
        yield name, torch.allclose(got.double(), want), advice
        yield f"{name}: every pixel updated from the old q, which is left as it was", torch.equal(q, kept), \
            "q was changed in place: parallel updates read the old beliefs"


def _is(got, want) -> bool:
    return got is not None and np.ndim(got) == 0 and not isinstance(got, bool) and float(got) == want


def _slip(got, slips) -> str:
    """The advice for the first known slip, or what came instead."""
    if got is None:
        return "the function returns None: is there a `return`?"
    return next((advice for value, advice in slips if _is(got, value)), f"you return {got!r}")
