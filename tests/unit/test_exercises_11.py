"""The checks of notebook 11: the solution passes, the stub fails, and each typical slip is named."""

import pytest
import torch
from exercise_checks import slip_is_named, solution_passes_and_blank_fails

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


SOLUTIONS = {"11.1": saving, "11.2": full_kernel, "11.3": plan, "11.4": leftover_shift}

MUTANTS = [
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
    ("11.2", lambda d, p: None, "you return None"),
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


@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_a_typical_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) == 3 and len(set(find(id).hints)) == 3
