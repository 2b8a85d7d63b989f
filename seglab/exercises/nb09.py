"""Checks of the exercises of notebook 09, dilated convolution, the context module and the dense CRF."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, differs, not_shaped, numbers, short, slip


@exercise("09.1", title="The rate for a field", hints=[
    "k taps at rate r: how many steps of r lie between the first tap and the last? It is one fewer than the taps.",
    "The kernel spans (k - 1) r + 1 px. It has to be at least `field`: solve for r.",
    "r >= (field - 1) / (k - 1), rounded up: -(-(field - 1) // (k - 1)). A rate below 1 does not exist.",
], points=1, count=10)
def rate_for(answer: Callable) -> Iterator[Case]:
    """``answer(kernel, field)``: the smallest rate at which the kernel spans at least ``field`` px."""
    for kernel, field in ((3, 25), (7, 25), (4, 13), (3, 24), (5, 10), (2, 9)):
        want = next(r for r in range(1, field) if (kernel - 1) * r + 1 >= field)
        got = answer(kernel, field)
        slips = [((field - 1) // (kernel - 1), "that spans a px too few: round up, the kernel must reach the field"),
                 (-(-field // (kernel - 1)), "the span is (k - 1) r + 1: the 1 is missing"),
                 (-(-field // kernel), "k taps have k - 1 gaps between them, not k"),
                 (want + 1, "this reaches too, but it is not the smallest"),
                 ((field - 1) / (kernel - 1), "F.conv2d takes no fraction: round up to a whole number")]
        yield f"{kernel} taps for {field} px: rate {want}", close(got, want), slip(got, want, slips)
    for kernel, field in ((5, 5), (5, 3), (3, 1), (2, 1)):
        got = answer(kernel, field)
        yield f"{kernel} taps span {field} px already: rate 1", close(got, 1), \
            f"{differs(got, 1)}: a rate is at least 1"


@exercise("09.2", title="Holes of a stack", hints=[
    "Which offsets does one layer of rate r reach? -r, 0 and r. And two layers? Every sum of one offset of each.",
    "Start with the set {0}; for each rate replace it by {p + s * r for p in the set for s in (-1, 0, 1)}.",
    "The field has 1 + 2 * sum(rates) positions along the axis; what is not in the set is a hole.",
], points=2, count=12)
def holes(answer: Callable) -> Iterator[Case]:
    """``answer(rates)``: positions along one axis of the field of 3-tap layers that no path reaches."""
    for rates in ([2], [1, 1], [2, 2, 2], [1, 2, 5], [2, 4, 8], [1, 2, 9], [4, 1, 12], [3, 3], [1], [9, 1, 2],
                  [5, 2, 1], [7, 2, 2, 1]):
        counts = _paths(rates)
        want, got = int((counts == 0).sum()), answer(rates)
        reached = len(counts) - want
        slips = [(reached, "these are the positions that are reached: count the others"),
                 (len(counts) ** 2 - reached**2, "along one axis, please, not in the picture"),
                 (sum(2 * (r - 1) for r in rates), "holes of one layer are filled by the next: follow sums of offsets"),
                 (max(rates) * 2 - 2, "the largest rate alone does not decide: the other layers fill its holes"),
                 (want + 1, "one too many: the centre is reached, and the field has 1 + 2 sum(rates) positions"),
                 (want - 1, "one too few: the field has 1 + 2 sum(rates) positions"),
                 (want // 2, "that is one side of the centre: the field reaches to both")]
        yield f"rates {rates}: {want} of {len(counts)} positions", close(got, want), slip(got, want, slips)


def _paths(rates: list[int]) -> Tensor:
    """Gradient of a stack of all-one convolutions: how often each position of the field is read."""
    side = 1 + 2 * sum(rates)
    x = torch.zeros(1, 1, side, dtype=torch.float64, requires_grad=True)
    y, ones = x, torch.ones(1, 1, 3, dtype=torch.float64)
    for rate in rates:
        y = torch.nn.functional.conv1d(y, ones, dilation=rate)
    return torch.autograd.grad(y.sum(), x)[0].flatten()


@exercise("09.3", title="The identity in a wider layer", hints=[
    "Which input channels belong to group g of C? Those a with a * C // c_in == g. The outputs likewise.",
    "Every output sums its group's inputs: how many are these, and what should the sum be so that nothing grows over "
    "the whole module? Equation 5: weight C / c_out.",
    "w = torch.zeros(c_out, c_in, kernel, kernel); the middle tap, kernel // 2, is C / c_out where the groups agree: "
    "torch.arange(c_out)[:, None] * C // c_out == torch.arange(c_in) * C // c_in.",
], points=3, count=6)
def wide_identity(answer: Callable) -> Iterator[Case]:
    """``answer(c_in, c_out, C, kernel)``: weights (c_out, c_in, kernel, kernel) of equation 5 without noise."""
    for c_in, c_out, c, kernel in ((3, 3, 3, 3), (2, 4, 2, 3), (8, 4, 2, 1), (6, 6, 3, 5), (12, 3, 3, 3), (4, 8, 1, 3)):
        want = torch.zeros(c_out, c_in, kernel, kernel)
        for a, b in ((a, b) for a in range(c_out) for b in range(c_in) if a // (c_out // c) == b // (c_in // c)):
            want[a, b, kernel // 2, kernel // 2] = c / c_out
        got = answer(c_in, c_out, c, kernel)
        name = f"{c_in} -> {c_out} channels, C = {c}, kernel {kernel}"
        if form := not_shaped(got, want.shape, "a tensor (c_out, c_in, kernel, kernel)"):
            yield name, False, form
            return
        yield name, close(got, want), _why_not_identity(torch.from_numpy(numbers(got)).float(), want, c)


def _why_not_identity(got: Tensor, want: Tensor, c: int) -> str:
    middle = want.shape[-1] // 2
    taps = got[:, :, middle, middle]
    if not got.any():
        return f"all weights are zero: the middle taps are C / c_out, here {c} / {len(want)}" + (
            "; // rounds it down to 0" if c < len(want) else "")
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
def mean_field_step(answer: Callable) -> Iterator[Case]:
    """``answer(psi, k, q)``: all marginals after one parallel update; psi, q (K, N), k (N, N)."""
    g = torch.Generator().manual_seed(0)
    for labels, pixels, cost, weight in ((2, 5, 2, 1), (4, 3, 2, 1), (3, 3, 2, 1), (3, 8, 4, 6), (2, 1, 1, 1)):
        psi = torch.rand(labels, pixels, generator=g, dtype=torch.float64) * cost
        k = torch.rand(pixels, pixels, generator=g, dtype=torch.float64) * weight
        k = (k + k.T) / 2
        q = torch.softmax(torch.randn(labels, pixels, generator=g, dtype=torch.float64), 0)
        want = _updated(psi, k, q)
        got = answer(psi, k, q)
        name = f"{labels} labels, {pixels} {'pixel' if pixels == 1 else 'pixels'}, weights to {weight}"
        if form := not_shaped(got, want.shape, "a tensor (K, N)"):
            yield name, False, form
            return
        slips = [(_updated(psi, k, q, old=False),
                  "later pixels read beliefs that are new already: a parallel update reads the old q everywhere"),
                 (_updated(psi, k - k.diag().diag(), q),
                  "j = i is missing: in this matrix form a pixel hears itself too, with k_ii"),
                 (torch.softmax(-q @ k - psi, 0), "the sign of the message: agreeing neighbours must *raise* a label"),
                 (torch.softmax(q @ k + psi, 0), "the sign of psi: it is a cost, -log P"),
                 (torch.softmax(q @ k, 0), "the unary is forgotten: each update starts from psi again"),
                 (torch.softmax(q @ k - psi, 1), "the softmax runs over pixels: labels are rows, dim 0"),
                 (q @ k - psi, "these are scores: a softmax over labels makes them probabilities"),
                 (torch.softmax(q @ k - psi + q.log(), 0), "q itself is no factor: not a product of beliefs"),
                 (torch.exp(q @ k - psi), "not normalised: divide by the sum over labels")]
        yield name, close(got, want), slip(got, want, slips)
    psi = torch.tensor([[900.0, 0.0], [905.0, 2000.0]], dtype=torch.float64)
    got, want = answer(psi, torch.zeros(2, 2, dtype=torch.float64), torch.full((2, 2), 0.5, dtype=torch.float64)), \
        torch.tensor([[1 / (1 + torch.e**-5), 1.0], [1 / (1 + torch.e**5), 0.0]], dtype=torch.float64)
    yield "costs of a thousand", close(got, want), \
        f"{differs(got, want) if not short(got).count('nan') else 'you return NaN'}: exp(-900) is 0, and 0 / 0 is no " \
        "number; torch.softmax takes the largest score off first"


def _updated(psi: Tensor, k: Tensor, q: Tensor, old: bool = True) -> Tensor:
    """One update written out pixel by pixel; with ``old=False`` one after the other, each reading the new ones."""
    new = q.clone()
    for i in range(q.shape[1]):
        belief = q if old else new
        scores = [-float(psi[label, i]) + sum(float(k[i, j] * belief[label, j]) for j in range(q.shape[1]))
                  for label in range(len(q))]
        new[:, i] = torch.tensor(scores, dtype=q.dtype).softmax(0)
    return new
