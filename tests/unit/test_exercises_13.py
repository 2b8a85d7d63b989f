"""The checks of notebook 13: the solution passes, the stub fails, and each typical slip is named."""
import math

import pytest
import torch
from exercise_checks import slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import find
from seglab.ops import roi_align, roi_pool


def shared_rows(cells, bins):
    return sum(math.ceil((p + 1) * cells / bins) - math.floor(p * cells / bins) for p in range(bins)) - cells


def share_read(a_y, a_x):
    rows, columns = (a_y != 0).any(0), (a_x != 0).any(0)
    return float(rows.double().mean() * columns.double().mean())


def backward(g, a_y, a_x):
    return a_y.T @ g @ a_x


def samples_of(features, box, bins, stride, samples):
    """Each sample a bin of its own: (C, bins, samples, bins, samples)."""
    boxes = torch.tensor([[0, *box]], dtype=features.dtype)
    grid = roi_align(features[None], boxes, bins * samples, 1 / stride, 1)[0]
    return grid.unflatten(2, (bins, samples)).unflatten(1, (bins, samples))


def largest(features, box, bins, stride, samples):
    return samples_of(features, box, bins, stride, samples).amax((2, 4))


def rounds_first(features, box, bins, stride, samples):
    return largest(features, [stride * math.floor(v / stride + 0.5) for v in box], bins, stride, samples)


def pools(features, box, bins, stride, samples):
    return roi_pool(features[None], torch.tensor([[0, *box]], dtype=features.dtype), bins, 1 / stride)[0]


def counts_rounded_inwards(cells, bins):
    return sum(max(math.floor((p + 1) * cells / bins) - math.ceil(p * cells / bins), 0) for p in range(bins)) - cells


SOLUTIONS = {"13.1": shared_rows, "13.2": share_read, "13.3": backward, "13.4": largest}
MUTANTS = [
    ("13.1", lambda c, b: shared_rows(c, b) + c, "take off those there are"),
    ("13.1", lambda c, b: -shared_rows(c, b), "wrong way round"),
    ("13.1", lambda c, b: 0, "rounded *up*"),
    ("13.1", lambda c, b: b - 1, "meet cleanly"),
    ("13.1", counts_rounded_inwards, "inwards"),
    ("13.1", lambda c, b: None, "return"),
    ("13.2", lambda y, x: float(((y != 0).any(0).double().mean() + (x != 0).any(0).double().mean()) / 2), "multiply"),
    ("13.2", lambda y, x: float(1 - (y == 0).all(0).double().mean() * (x == 0).all(0).double().mean()), "needs both"),
    ("13.2", lambda y, x: float((y != 0).double().mean() * (x != 0).double().mean()), "non-zero weights"),
    ("13.2", lambda y, x: float((y != 0).any(1).double().mean() * (x != 0).any(1).double().mean()), "any(0)"),
    ("13.2", lambda y, x: float((y != 0).any(0).sum() * (x != 0).any(0).sum()), "divide by H * W"),
    ("13.2", lambda y, x: None, "return"),
    ("13.3", lambda g, y, x: torch.linalg.pinv(y) @ g @ torch.linalg.pinv(x).T, "undoes nothing"),
    ("13.3", lambda g, y, x: backward(g, y, x) / (y.sum(0)[:, None] * x.sum(0)), "normalised"),
    ("13.3", lambda g, y, x: y @ g @ x.T, "forward pass"),
    ("13.3", lambda g, y, x: y.T @ g @ x.T, "once too often"),
    ("13.3", lambda g, y, x: y.T @ g.transpose(1, 2) @ x, "swapped"),
    ("13.3", lambda g, y, x: backward(g, y, x)[0], "return a tensor"),
    ("13.3", lambda g, y, x: 2 * backward(g, y, x), "it should be"),
    ("13.3", lambda g, y, x: None, "return"),
    ("13.4", lambda *a: samples_of(*a).mean((2, 4)), "the mean"),
    ("13.4", lambda *a: largest(*a).clamp(min=0), "negative"),
    ("13.4", rounds_first, "rounded to cells"),
    ("13.4", lambda f, box, bins, s, n: largest(f, box, bins, s, 1), "one sample"),
    ("13.4", lambda *a: largest(*a).transpose(1, 2), "swapped"),
    ("13.4", lambda *a: samples_of(*a).amin((2, 4)), "smallest"),
    ("13.4", pools, "it should be"),
    ("13.4", lambda *a: largest(*a).sum(), "return a tensor"),
    ("13.4", lambda *a: None, "return"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(find(id).hints[0]) > 20
