"""The checks of notebook 11: the solution passes, the stub fails, and each typical slip is named."""

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import find


def saving(c, k_out, k):
    return k * k * c * k_out / (k * k * c + c * k_out)


def full_kernel(depthwise, pointwise):
    return torch.einsum("oc,cuv->ocuv", pointwise[:, :, 0, 0], depthwise[:, 0])


def plan(strides, output_stride, *, whole=False, add=False, restart=False, always=False, late=False):
    result, reached, rate = [], 1, 1
    for stride in strides:
        first = 1 if restart else rate
        if always or reached * stride > output_stride or late and reached * stride >= output_stride > 8:
            rate, stride = rate + 1 if add else rate * stride, 1
        reached *= stride
        result.append((stride, rate if whole else first, rate))
    return result


def leftover_shift(trained, used):
    return (trained - used) / 2


def kernel_in_loops(depthwise, pointwise):
    """Into a float32 tensor, as one writes it by hand."""
    count, channels, k = len(pointwise), len(depthwise), depthwise.shape[-1]
    full = torch.zeros(count, channels, k, k)
    for o in range(count):
        for c in range(channels):
            full[o, c] = pointwise[o, c, 0, 0] * depthwise[c, 0]
    return full


def plan_forwards(strides, output_stride):
    """All the strides first, then the rates."""
    total = np.cumprod(strides)
    kept = [s if t <= output_stride else 1 for s, t in zip(strides, total)]
    after = np.cumprod([s // k for s, k in zip(strides, kept)])
    return np.stack([kept, [1, *after[:-1]], after], 1)


def pops(strides, output_stride):
    result, reached, rate = [], 1, 1
    while strides:
        stride, first = strides.pop(0), rate
        if reached * stride > output_stride:
            rate, stride = rate * stride, 1
        reached *= stride
        result.append((stride, first, rate))
    return result


SOLUTIONS = {"11.1": saving, "11.2": full_kernel, "11.3": plan, "11.4": leftover_shift}

OTHERS = [
    ("11.1", lambda c, o, k: 1 / (1 / o + 1 / k**2)), ("11.1", lambda c, o, k: np.float32(saving(c, o, k))),
    ("11.1", lambda c, o, k: torch.tensor(o * k * k / (o + k * k))),
    ("11.2", kernel_in_loops), ("11.2", lambda d, p: (p * d.transpose(0, 1)).numpy()),
    ("11.2", lambda d, p: torch.tensordot(p.squeeze(3), torch.eye(len(d)).double(), ([1], [0])).squeeze(1)[
        ..., None, None] * d[:, 0] if len(d) > 1 else p * d),
    ("11.3", plan_forwards), ("11.3", lambda s, o: [list(stage) for stage in plan(s, o)]),
    ("11.3", lambda s, o: tuple(plan(tuple(s), o))), ("11.3", lambda s, o: torch.tensor(plan(s, o))),
    ("11.4", lambda a, b: a / 2 - b / 2), ("11.4", lambda a, b: np.float32((a - b) * 0.5)),
    ("11.4", lambda a, b: torch.tensor((a - 1) / 2 - (b - 1) / 2)),
]
MUTANTS = [
    ("11.1", lambda c, o, k: float(round(saving(c, o, k))), "you return"),
    ("11.2", lambda d, p: full_kernel(d, p)[:1], "return one k x k kernel"),
    ("11.2", lambda d, p: full_kernel(d.flip(0), p) if len(d) > 1 else full_kernel(d, p), "as one convolution"),
    ("11.3", pops, "it changes `strides`"),
    ("11.3", lambda s, o: [(float(a), b, c) for a, b, c in plan(s, o)], "no floats"),
    ("11.3", lambda s, o: plan(s, max(o, 8)), "they must to"),
    ("11.4", lambda a, b: a // 2 - b // 2, "half pixels count"), ("11.4", lambda a, b: abs(a - b) / 2, "the other way"),
    ("11.4", lambda a, b: 4.0, "you return"), ("11.4", lambda a, b: (a / b - 1) / 2, "you return"),
    ("11.1", lambda c, o, k: k * k * c * o / (k * k * c), "the pointwise convolution costs as well"),
    ("11.1", lambda c, o, k: k * k * c * o / (c * o), "the depthwise convolution costs as well"),
    ("11.1", lambda c, o, k: 1 / saving(c, o, k), "upside down"),
    ("11.1", lambda c, o, k: k * k * c * o / (k * k * o + c * o), "before the mixing"),
    ("11.1", lambda c, o, k: k * k * c * o / (k * c + c * o), "k * k taps"),
    ("11.1", lambda c, o, k: max(1.0, saving(c, o, k)), "separating does not always save"),
    ("11.1", lambda c, o, k: None, "is there a `return`"),
    ("11.2", lambda d, p: full_kernel(d, p).transpose(0, 1), "output channels come first"),
    ("11.2", lambda d, p: full_kernel(d, p).sum(1, keepdim=True), "one k x k kernel for each pair"),
    ("11.2", lambda d, p: full_kernel(d, p).flip(-1, -2), "does not flip its kernel"),
    ("11.2", lambda d, p: d[:, 0].expand(len(p), -1, -1, -1), "the pointwise weights are missing"),
    ("11.2", lambda d, p: p + d[:, 0], "multiply them, do not add"),
    ("11.2", lambda d, p: 2 * full_kernel(d, p), "differs from the two by up to"),
    ("11.2", lambda d, p: None, "is there a `return`?"),
    ("11.3", lambda s, o: plan(s, o, whole=True), "it keeps the old rate"),
    ("11.3", lambda s, o: plan(s, o, add=True), "rates multiply"),
    ("11.3", lambda s, o: plan(s, o, restart=True), "not with 1 again"),
    ("11.3", lambda s, o: plan(s, o, always=True), "your strides multiply to 1"),
    ("11.3", lambda s, o: plan(s, o, late=True), "they must to"),
    ("11.3", lambda s, o: plan(s, o)[-1], "return a list of triples"),
    ("11.3", lambda s, o: plan(s, o)[1:], "for each of the 4 stages"),
    ("11.4", lambda a, b: (b - a) / 2, "the other way"),
    ("11.4", lambda a, b: a - b, "half of that"),
    ("11.4", lambda a, b: (a - 1) / 2, "the whole displacement of the trained stride"),
    ("11.4", lambda a, b: (b - 1) / 2, "displacement of the used stride"),
    ("11.4", lambda a, b: None, "is there a `return`"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, answer", OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_a_typical_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) == 3 and len(set(find(id).hints)) == 3
