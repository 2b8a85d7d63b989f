"""Check of the exercise of notebook 00, start here."""

from collections.abc import Callable, Iterator

import torch

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, slip


@exercise("00.1", title="Pixel accuracy", hints=[
    "`prediction == truth` is a tensor of True and False.",
    "The mean of a tensor of 0 and 1 is the share of ones; booleans have to become floats first.",
    "return (prediction == truth).float().mean().item()",
], points=1, count=8)
def pixel_accuracy(answer: Callable) -> Iterator[Case]:
    """``answer(prediction, truth)``: share of equal pixels, as a Python float."""
    truth = [[1, 0, 0, 0], [0, 2, 2, 0], [0, 2, 2, 0]]
    cases = [("the same map twice", truth, truth),
             ("one of twelve pixels is wrong", [[0, 0, 0, 0], *truth[1:]], truth),
             ("background taken for an object", [[1, 0, 1, 1], *truth[1:]], truth),
             ("two pixels with the wrong label", [[2, 0, 0, 0], [0, 2, 1, 0], truth[2]], truth),
             ("labels far apart, 7 for 2", [*truth[:2], [0, 7, 7, 0]], truth),
             ("nothing is right", [[3] * 4] * 3, truth),
             ("a mask of True and False", [[True] * 3, [True, False, False]], [[1, 0, 1], [1, 0, 0]])]
    for name, *maps in cases:
        prediction, true = map(torch.tensor, maps)
        pairs = list(zip(prediction.flatten().tolist(), true.flatten().tolist(), strict=True))
        got, want = answer(prediction, true), sum(p == t for p, t in pairs) / len(pairs)
        objects = [(p, t) for p, t in pairs if t > 0]
        yield f"{name}: {want:.4g}", close(got, want), slip(got, want, [
            (want * len(pairs), "these are the pixels that agree: divide by the number of all pixels"),
            (100 * want, "this is in percent: a share lies between 0 and 1"),
            (1 - want, "this is the share of wrong pixels"),
            (sum(p == t for p, t in objects) / len(objects), "background pixels count like all others"),
            (sum((p > 0) == (t > 0) for p, t in pairs) / len(pairs), "a pixel of another object is wrong too: compare "
                                                                     "the labels themselves"),
            (1 - sum(abs(p - t) for p, t in pairs) / len(pairs), "labels are names: a wrong one is wrong by one pixel, "
                                                                 "however far apart the numbers are")])
    got = answer(torch.tensor(truth), torch.tensor(truth))
    yield "the answer is a Python float", isinstance(got, float), \
        f"you return a {type(got).__name__}; .item() takes the number out of a tensor"
