"""The checks of notebook 10: the solution passes, the stub fails, and each typical slip is named."""
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import _REGISTRY, find


def cells(size, bins):
    return [range(i * size // bins, math.ceil((i + 1) * size / bins)) for i in range(bins)]


def counts(size, bins):
    return np.array([sum(p in c for c in cells(size, bins)) for p in range(size)])


def shared(size, bins):
    return int((counts(size, bins) > 1).sum())


def pooled_norm(x, running_mean, running_var, training, eps=1e-5, correction=0,
                power=0.5, always=False, axes=(0, 2, 3)):
    mean, var = running_mean[:, None, None], running_var[:, None, None]
    if training and (always or len(x) > 1):
        mean = x.mean(axes, keepdim=True)
        var = x.var(axes, correction=correction, keepdim=True)
    return (x - mean) / (var + eps) ** power


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


def shared_by_bits(size, bins):
    seen, twice = set(), set()
    for i in range(bins):
        for pixel in range(size):
            if i * size < (pixel + 1) * bins and pixel * bins < (i + 1) * size:
                twice |= {pixel} & seen
                seen.add(pixel)
    return len(twice)


def norm_in_loops(x, running_mean, running_var, training, eps=1e-5):
    out = []
    for c in range(x.shape[1]):
        values = x[:, c, 0, 0]
        m, v = running_mean[c], running_var[c]
        if training and len(values) > 1:
            m = sum(values) / len(values)
            v = sum((value - m) ** 2 for value in values) / len(values)
        out.append((values - m) / (v + eps) ** 0.5)
    return torch.stack(out, 1)[..., None, None]


def rate_by_search(n, share):
    from fractions import Fraction
    if share <= 1 / 9:
        return float("inf")
    rate = 0
    while rate < n and float(Fraction(3 * n - 2 * rate - 2, 3 * n) ** 2) >= share - 1e-12:
        rate += 1
    return rate


def endless_rate(n, share):
    rate = 0
    while ((3 * n - 2 * min(rate + 1, n)) / (3 * n)) ** 2 >= share - 1e-12:
        rate += 1
    return rate


def centred_in_place(x, running_mean, running_var, training, eps=1e-5):
    want = pooled_norm(x, running_mean, running_var, training, eps)
    x -= x.mean((0, 2, 3), keepdim=True)
    return want


def updates_running(x, running_mean, running_var, training, eps=1e-5):
    want = pooled_norm(x, running_mean, running_var, training, eps)
    running_mean.mul_(0.9)
    return want


def without_grad(*a):
    with torch.no_grad():
        return pooled_norm(*a)


SOLUTIONS = {"10.1": shared, "10.2": pooled_norm, "10.3": largest_rate, "10.4": last_stage}
OTHERS = [
    ("10.1", shared_by_bits), ("10.1", lambda s, b: (counts(s, b) > 1).sum()),
    ("10.1", lambda s, b: torch.tensor(counts(s, b)).gt(1).sum()),
    ("10.2", norm_in_loops),
    ("10.2", lambda x, m, v, t, eps=1e-5: torch.nn.functional.batch_norm(x, m, v, training=t and len(x) > 1, eps=eps,
                                                                       momentum=0.0)),
    ("10.2", lambda x, m, v, t, eps=1e-5: pooled_norm(x.double(), m.double(), v.double(), t, eps)),
    ("10.3", rate_by_search), ("10.3", lambda n, s: float(largest_rate(n, s))),
    ("10.3", lambda n, s: np.inf if s <= 1 / 9 else int(np.floor(round(1.5 * n * (1 - s**0.5), 9)))),
    ("10.4", lambda u, o: [np.array(u) * (32 // o), 2 * sum(u) * 32]),
    ("10.4", lambda u, o: (torch.tensor(u) * 32 // o, torch.tensor(64 * sum(u)))),
    ("10.4", lambda u, o: (tuple(last_stage(u, o)[0]), float(last_stage(u, o)[1]))),
]
MUTANTS = [
    ("10.1", lambda s, b: shared(s, b) + 1, "you return"),
    ("10.2", centred_in_place, "it changes `x`"), ("10.2", updates_running, "it changes `running_mean`"),
    ("10.2", without_grad, "part of the function"),
    ("10.2", lambda x, m, v, t, eps=1e-5: pooled_norm(x, m, v, t, 1e-5), "is 1e-5 written where eps belongs"),
    ("10.2", lambda x, m, v, t, eps=1e-5: pooled_norm(x.detach(), m, v, t, eps), "part of the function"),
    ("10.3", lambda n, s: math.inf if s <= 1 / 9 else math.floor(1.5 * n * (1 - math.sqrt(s))), "has to count as it"),
    ("10.3", lambda n, s: math.inf if s <= 0 else largest_rate(n, max(s, 0.12)), "math.inf"),
    ("10.3", lambda n, s: largest_rate(33, s), "you return"),
    ("10.4", lambda u, o: ([32 / o * unit for unit in u], last_stage(u, o)[1]), "a float stops nn.Conv2d"),
    ("10.4", lambda u, o: last_stage(u[:3], o), "a list of 4 rates"),
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
    ("10.2", lambda *a: None, "is there a `return`?"),
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


@pytest.mark.parametrize("id, answer", OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


def test_a_search_that_never_ends_is_stopped(capsys, monkeypatch):
    monkeypatch.setitem(_REGISTRY, "10.3", replace(find("10.3"), seconds=0.5))
    slip_is_named("10.3", endless_rate, "does every loop end?", capsys)


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
