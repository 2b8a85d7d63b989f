"""The checks of notebook 10: the solution passes, the stub fails, and each typical slip is named."""
import math

import numpy as np
import pytest
import torch
from exercise_checks import slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import find


def cells(size, bins):
    return [range(i * size // bins, math.ceil((i + 1) * size / bins)) for i in range(bins)]


def counts(size, bins):
    return np.array([sum(p in c for c in cells(size, bins)) for p in range(size)])


def shared(size, bins):
    return int((counts(size, bins) > 1).sum())


def pooled_norm(x, running_mean, running_var, training, correction=0, power=0.5, always=False, axes=(0, 2, 3)):
    mean, var = running_mean[:, None, None], running_var[:, None, None]
    if training and (always or len(x) > 1):
        mean = x.mean(axes, keepdim=True)
        var = x.var(axes, correction=correction, keepdim=True)
    return (x - mean) / (var + 1e-5) ** power


def largest_rate(n, share):
    return math.inf if share <= 1 / 9 else math.floor(1.5 * n * (1 - math.sqrt(share)) + 1e-9)


def last_stage(units, output_stride):
    rates = [32 // output_stride * unit for unit in units]
    return rates, 2 * sum(rates) * output_stride


def stage(rates, field=lambda r, s: 2 * sum(r) * s):
    def answer(units, stride):
        chosen = [rates(u, stride) for u in units]
        return chosen, field(chosen, stride)
    return answer


def right(unit, stride):
    return 32 // stride * unit


SOLUTIONS = {"10.1": shared, "10.2": pooled_norm, "10.3": largest_rate, "10.4": last_stage}
MUTANTS = [
    ("10.1", lambda s, b: 0, "cells do overlap"),
    ("10.1", lambda s, b: s % b, "rest of the division"),
    ("10.1", lambda s, b: b - 1, "not every border"),
    ("10.1", lambda s, b: int((counts(s, b) - 1).sum()), "count pixels"),
    ("10.1", lambda s, b: int((counts(s, b) == 1).sum()), "one cell only"),
    ("10.1", lambda s, b: None, "return"),
    ("10.1", lambda s, b: [shared(s, b)], "you return"),
    ("10.2", lambda *a: pooled_norm(*a, always=True), "whatever the picture shows"),
    ("10.2", lambda x, m, v, t: pooled_norm(x, m, v, True, always=True), "must not depend on the batch"),
    ("10.2", lambda x, m, v, t: pooled_norm(x, m, v, False), "mean and variance of the batch"),
    ("10.2", lambda *a: pooled_norm(*a, correction=1), "correction=0"),
    ("10.2", lambda *a: pooled_norm(*a, power=1), "square root"),
    ("10.2", lambda *a: pooled_norm(*a, axes=(1, 2, 3)), "runs over the channels"),
    ("10.2", lambda *a: pooled_norm(*a, always=True, correction=1), "correction=0"),
    ("10.2", lambda *a: pooled_norm(*a).flatten(), "shape"),
    ("10.2", lambda *a: None, "return a tensor"),
    ("10.3", lambda n, s: math.inf if s <= 1 / 9 else math.floor(1.5 * n * (1 - s) + 1e-9), "take the root"),
    ("10.3", lambda n, s: math.inf if s <= 1 / 9 else 1.5 * n * (1 - math.sqrt(s)), "round down"),
    ("10.3", lambda n, s: math.inf if s <= 1 / 9 else math.floor(n * (1 - math.sqrt(s)) + 1e-9), "central tap"),
    ("10.3", lambda n, s: largest_rate(n, s) + 1, "one too many"),
    ("10.3", lambda n, s: max(r for r in range(n + 1) if ((3 * n - 2 * r) / (3 * n)) ** 2 > s + 1e-12 or r == 0),
     "includes equality"),
    ("10.3", lambda n, s: math.floor(1.5 * n * (1 - math.sqrt(s)) + 1e-9), "math.inf"),
    ("10.4", stage(lambda u, s: 32 // s + u), "multiply"),
    ("10.4", stage(lambda u, s: u), "unit rates"),
    ("10.4", stage(lambda u, s: 2 * u), "stride 16 only"),
    ("10.4", stage(lambda u, s: s // 8 * u), "wrong way round"),
    ("10.4", stage(right, lambda r, s: sum(r) * s), "both sides"),
    ("10.4", stage(right, lambda r, s: 2 * sum(r)), "px of the map"),
    ("10.4", stage(right, lambda r, s: (2 * sum(r) + 1) * s), "own size"),
    ("10.4", stage(right, lambda r, s: 2 * max(r) * s), "add up"),
    ("10.4", lambda units, stride: last_stage(units, stride)[0], "two things"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.filterwarnings("ignore:var:UserWarning")
@pytest.mark.parametrize("id, wrong, says", MUTANTS)
def test_a_typical_slip_is_named(id, wrong, says, capsys):
    slip_is_named(id, wrong, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3


def test_the_cells_are_those_of_adaptive_pooling():
    for size, bins in ((13, 6), (9, 6), (3, 6), (60, 1)):
        x = torch.eye(size)[None]
        member = torch.nn.functional.adaptive_avg_pool1d(x, bins)[0] > 0
        np.testing.assert_array_equal(member.sum(1).numpy(), counts(size, bins))
