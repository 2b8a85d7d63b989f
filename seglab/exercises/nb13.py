"""Checks of the exercises of notebook 13, RoIAlign against RoIPool."""

import math
from collections.abc import Iterator

import torch

from seglab.exercises import Case, exercise


@exercise("13.1", title="Rows that bins share", hints=[
    "Write down, for each bin p, its first row and one past its last. How many rows does it have?",
    "Bin p goes from floor(p * cells / bins) to ceil((p + 1) * cells / bins), exclusive. Sum the lengths over p.",
    "sum(math.ceil((p + 1) * cells / bins) - math.floor(p * cells / bins) for p in range(bins)) - cells",
], points=1, count=7)
def shared_rows(answer) -> Iterator[Case]:
    """``answer(cells, bins)``: rows of all bins together, less the rows there are."""
    for cells, bins in ((4, 2), (5, 2), (6, 7), (7, 7), (10, 4), (1, 7), (23, 7)):
        got, want = answer(cells, bins), bins - math.gcd(cells, bins)
        ends = [(p * cells / bins, (p + 1) * cells / bins) for p in range(bins)]
        inward = sum(max(math.floor(past) - math.ceil(first), 0) for first, past in ends) - cells
        slips = {want + cells: "this counts the rows of all bins: take off those there are",
                 -want: "the wrong way round: bins together have at least as many rows as the RoI",
                 0: "both ends rounded down: then no row is shared; the far end of a bin is rounded *up*",
                 inward: "rounded inwards: the first row is rounded down, the end up",
                 bins - 1: "not all neighbours share a row: where p * cells / bins is whole, they meet cleanly"}
        yield f"{cells} rows in {bins} bins: {want}", _close(got, want), _slip(got, want, slips)


def _matrices() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A_y and A_x that trip the usual shortcuts."""
    a_y = torch.tensor([[0.5, 0.5, 0, 0, 0, 0], [0, 0.25, 0.75, 0, 0, 0]], dtype=torch.float64)
    a_x = torch.tensor([[0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 1]], dtype=torch.float64)
    return {"bins that share rows": (a_y, a_x),
            "a bin off the map": (torch.cat([a_y, torch.zeros(1, 6, dtype=torch.float64)]), a_x[:2]),
            "a box off the map": (torch.zeros(2, 6, dtype=torch.float64), a_x)}


@exercise("13.2", title="The share of cells that are read", hints=[
    "Cell (r, c) has the weight A_y[p, r] * A_x[q, c] in bin (p, q). When is it read by *no* bin?",
    "Row r is read if any bin p has A_y[p, r] != 0: `(a_y != 0).any(0)`, one bool a row of the map.",
    "rows, columns = (a_y != 0).any(0), (a_x != 0).any(0); answer: rows.double().mean() * columns.double().mean()",
], points=2, count=3)
def share_read(answer) -> Iterator[Case]:
    """``answer(a_y, a_x)``: share of the cells of the map that the pooled RoI depends on."""
    for name, (a_y, a_x) in _matrices().items():
        got = answer(a_y.clone(), a_x.clone())
        rows, columns = (a_y != 0).any(0), (a_x != 0).any(0)
        r, c = (float(v.double().mean()) for v in (rows, columns))
        slips = {(r + c) / 2: "a cell is read if its row *and* its column are: multiply the shares",
                 1 - (1 - r) * (1 - c): "this is row *or* column: a cell needs both",
                 float((a_y != 0).double().mean() * (a_x != 0).double().mean()):
                     "this is the share of non-zero weights; a row that one bin reads is read",
                 float((a_y != 0).any(1).double().mean() * (a_x != 0).any(1).double().mean()):
                     "any(1) asks which *bins* read something; the rows of the map are the columns of A_y: any(0)",
                 float(rows.sum() * columns.sum()): "this is the number of cells: divide by H * W"}
        want = r * c
        yield f"{name}: {want:.3f}", _close(got, want), _slip(got, want, slips)


@exercise("13.3", title="RoIAlign backwards", hints=[
    "In one channel, L changes by G[p, q] for a unit of pooled[p, q], and that by A_y[p, r] * A_x[q, c] for a unit of "
    "F[r, c]. Sum over p and q.",
    "dL/dF[r, c] = sum over p, q of A_y[p, r] G[p, q] A_x[q, c]. Which of the matrices is transposed?",
    "a_y.T @ g @ a_x: shapes (H, P) (C, P, Q) (Q, W); matmul keeps the channel in front.",
], points=2, count=3)
def roi_align_backward(answer) -> Iterator[Case]:
    """``answer(g, a_y, a_x)``: the gradient at the features."""
    generator = torch.Generator().manual_seed(0)
    for channels, p, q, height, width in ((1, 2, 2, 2, 2), (3, 2, 4, 5, 7), (2, 3, 3, 6, 6)):
        a_y, a_x, g = (torch.rand(shape, generator=generator, dtype=torch.float64)
                       for shape in ((p, height), (q, width), (channels, p, q)))
        got = answer(g.clone(), a_y.clone(), a_x.clone())
        statement = f"{channels} channels, {p} x {q} bins, {height} x {width} cells"
        if not isinstance(got, torch.Tensor) or got.shape != (channels, height, width):
            yield statement, False, _shape(got, (channels, height, width))
            return
        leaf = torch.zeros(channels, height, width, dtype=torch.float64, requires_grad=True)
        want = torch.autograd.grad(a_y @ leaf @ a_x.T, leaf, g)[0]
        slips = [("this is the pseudo-inverse: a gradient undoes nothing, it is the transpose",
                  torch.linalg.pinv(a_y) @ g @ torch.linalg.pinv(a_x).T),
                 ("normalised: the gradient is not a weighted mean, what many bins read gets more",
                  want / (a_y.sum(0)[:, None] * a_x.sum(0))),
                 ("the two axes of g are swapped: rows of g go with A_y", want.new_tensor(math.nan) if p != q else
                  a_y.T @ g.transpose(1, 2) @ a_x)]
        if p == height and q == width:
            slips += [("this is the forward pass again: transpose the other matrix", a_y @ g @ a_x.T),
                      ("A_x is transposed once too often", a_y.T @ g @ a_x.T)]
        advice = next((text for text, value in slips if value.shape == want.shape and torch.allclose(got, value)),
                      f"at (0, 0, 0) you have {float(got[0, 0, 0]):.4f}, it should be {float(want[0, 0, 0]):.4f}")
        yield statement, torch.allclose(got, want, rtol=0, atol=1e-9), advice


def _sampled(features, box, bins, stride, samples):
    """Values of all samples, (C, bins, bins, samples^2), by interpolation along one axis after the other."""
    def along(start, end, values, axis):
        side, length = max(end - start, 1.0), values.shape[axis]
        place = start + (torch.arange(bins * samples, dtype=torch.float64) + 0.5) * side / (bins * samples)
        counts = (place >= -1) & (place <= length)
        place = place.clamp(0, length - 1)
        hats = (1 - (place[:, None] - torch.arange(length)).abs()).clamp(min=0) * counts[:, None]
        return torch.movedim(torch.movedim(values, axis, -1) @ hats.T, -1, axis)
    x1, y1, x2, y2 = (v / stride for v in box)
    grid = along(x1, x2, along(y1, y2, features, 1), 2)
    return grid.reshape(-1, bins, samples, bins, samples).permute(0, 1, 3, 2, 4).flatten(3)


@exercise("13.4", title="RoIAlign with the maximum", hints=[
    "Start from roi_align_loop: only the last line of the inner loop changes. What does `sum(...) / count` become?",
    "Collect bilinear(features, y, x), each (C,), for all y in rows and x in columns, stack to (samples^2, C) and "
    "take the maximum over the first axis.",
    "torch.stack([bilinear(features, y, x) for y in rows for x in columns]).amax(0) is the value of one bin.",
], points=3, count=5)
def roi_align_max(answer) -> Iterator[Case]:
    """``answer(features, box, bins, stride, samples)``: the largest sample of each bin."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    for name, f, box, bins, samples in (("2 x 2 samples", features, (11.0, 5.0, 100.0, 70.0), 3, 2),
                                        ("3 x 3 samples, other bins", features, (3.0, 20.0, 90.0, 66.0), 2, 3),
                                        ("negative features", features - 20, (11.0, 5.0, 100.0, 70.0), 3, 2),
                                        ("a box smaller than a cell", features, (40.0, 40.0, 44.0, 43.0), 2, 2),
                                        ("a box that leaves the map", features, (90.0, 60.0, 190.0, 140.0), 2, 2)):
        got = answer(f.clone(), box, bins, 16, samples)
        if not isinstance(got, torch.Tensor) or got.shape != (2, bins, bins):
            yield name, False, _shape(got, (2, bins, bins))
            return
        sampled = _sampled(f, box, bins, 16, samples)
        want, stepped = sampled.amax(3), [16 * math.floor(v / 16 + 0.5) for v in box]
        slips = [("this is the mean of the samples", sampled.mean(3)),
                 ("the maximum starts at 0, and these features are negative: start from the first sample",
                  want.clamp(min=0)),
                 ("the box was rounded to cells: divide by the stride, and leave it there",
                  _sampled(f, stepped, bins, 16, samples).amax(3)),
                 ("this is one sample in the middle of each bin", _sampled(f, box, bins, 16, 1).amax(3)),
                 ("rows and columns are swapped", want.transpose(1, 2)),
                 ("this is the smallest sample", sampled.amin(3))]
        advice = next((text for text, value in slips if torch.allclose(got.double(), value) and
                       not torch.allclose(value, want)),
                      f"bin (0, 0) of channel 0 is {float(got[0, 0, 0]):.4f}, it should be {float(want[0, 0, 0]):.4f}")
        yield name, torch.allclose(got.double(), want, rtol=0, atol=1e-9), advice


def _close(got, want) -> bool:
    return got is not None and not isinstance(got, str) and torch.as_tensor(got).ndim == 0 and \
        math.isclose(float(got), want, abs_tol=1e-9)


def _slip(got, want, slips: dict) -> str:
    """The advice for a known slip, or what came instead."""
    if got is None:
        return "the function returns None: is there a `return`?"
    known = (advice for value, advice in slips.items() if _close(got, value) and not _close(value, want))
    return next(known, f"you return {got!r}")


def _shape(got, wanted) -> str:
    if got is None:
        return "the function returns None: is there a `return`?"
    return f"return a tensor {wanted}, not {tuple(got.shape) if isinstance(got, torch.Tensor) else got!r}"
