"""Check of the exercise of notebook 00, start here."""

from collections.abc import Iterator

import torch

from seglab.exercises import Case, exercise


@exercise("00.1", title="Pixel accuracy", hints=[
    "`prediction == truth` is a tensor of True and False.",
    "The mean of a tensor of 0 and 1 is the share of ones; booleans have to become floats first.",
    "(prediction == truth).float().mean().item()",
], points=1, count=3)
def pixel_accuracy(answer) -> Iterator[Case]:
    """``answer(prediction, truth)``: share of equal pixels."""
    truth = torch.tensor([[1, 0, 0], [0, 2, 2]])
    other = torch.tensor([[0, 0, 0], [0, 2, 2]])
    yield "the same map twice gives 1", answer(truth, truth) == 1, \
        f"you return {answer(truth, truth)!r}; did you count pixels instead of taking their share?"
    got = answer(other, truth)
    yield "one of six pixels wrong gives 5/6", abs(float(got) - 5 / 6) < 1e-6, \
        f"you return {float(got):.4f}: " + ("that is the share of wrong pixels" if abs(float(got) - 1 / 6) < 1e-6
                                            else "background pixels count like all others")
    yield "the answer is a Python float", isinstance(got, float), \
        f"you return a {type(got).__name__}; .item() takes the number out of a tensor"
