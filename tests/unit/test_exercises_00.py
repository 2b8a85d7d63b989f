"""Check of notebook 00: the solution and right answers in other styles pass, the blank fails, slips are named."""

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails


def pixel_accuracy(prediction, truth):
    return (prediction == truth).float().mean().item()


def loop(prediction, truth):
    equal = 0
    for y in range(truth.shape[0]):
        for x in range(truth.shape[1]):
            if prediction[y, x] == truth[y, x]:
                equal += 1
    return equal / (truth.shape[0] * truth.shape[1])


def forgotten_return(prediction, truth):
    (prediction == truth).float().mean().item()


OTHERS = [
    loop,
    lambda p, t: (p == t).sum().item() / t.numel(),
    lambda p, t: np.mean(p.numpy() == t.numpy()),
    lambda p, t: float((p == t).double().mean()),
    lambda p, t: 1 - (p != t).sum().item() / len(t.flatten()),
    lambda prediction, truth: (prediction == truth).float().mean().item(),  # the last hint
]
MUTANTS = [
    (lambda p, t: (p == t).sum().item(), "divide by the number of all pixels"),
    (lambda p, t: (p == t).float().mean(), ".item() takes the number out"),
    (lambda p, t: np.float32((p == t).float().mean()), "you return a float32"),
    (lambda p, t: (p != t).float().mean().item(), "share of wrong pixels"),
    (lambda p, t: (p == t)[t > 0].float().mean().item(), "background pixels count like all others"),
    (lambda p, t: 1 - (p.float() - t).abs().mean().item(), "labels are names"),
    (lambda p, t: 1 - (p.float() - t).pow(2).mean().item(), "you return -3.167, it should be 0.8333"),
    (lambda p, t: ((p > 0) == (t > 0)).float().mean().item(), "compare the labels themselves"),
    (lambda p, t: 100 * pixel_accuracy(p, t), "in percent"),
    (lambda p, t: pixel_accuracy(p[:1], t[:1]), "you return 0.75, it should be 0.9167"),
    (lambda p, t: pixel_accuracy(p, t) if (p == t).any() else None, "is there a `return`?"),
    (lambda p, t: float(torch.equal(p, t)), "you return 0, it should be 0.9167"),
    (lambda p, t: 1.0 * p.eq_(t).sum().item() / t.numel(), "it changes `p`"),
    (forgotten_return, "is there a `return`?"),
]


def test_solution_passes_and_stub_fails(capsys):
    solution_passes_and_blank_fails("00.1", pixel_accuracy, capsys)


@pytest.mark.parametrize("answer", OTHERS)
def test_a_right_answer_in_another_style_passes(answer, capsys):
    other_style_passes("00.1", answer, capsys)


@pytest.mark.parametrize(("mutant", "says"), MUTANTS)
def test_a_wrong_answer_is_told_what_is_wrong(mutant, says, capsys):
    slip_is_named("00.1", mutant, says, capsys)
