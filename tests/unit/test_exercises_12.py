"""The checks of notebook 12: the solution passes, the stub fails, and each typical slip is named."""
import pytest
import torch
from exercise_checks import slip_is_named, solution_passes_and_blank_fails

from seglab import ops
from seglab.exercises import find


def allowed_shift(side, t):
    return side * (1 - t) / (1 + t)


def matching(trap=False, ties=True, caller=False, rescue=True, strict=False, between=-2, over_between=True):
    """The solution of 12.2, or one of its slips."""
    def assign(iou, high=0.7, low=0.3):
        if len(iou) == 0:
            return torch.full(iou.shape[1:], -1)
        best, index = iou.max(dim=0)
        matched = torch.where(best > high if strict else best >= high, index,
                              torch.where(best <= low if strict else best < low, -1, between))
        if not rescue:
            return matched
        most, first = iou.max(dim=1, keepdim=True)
        calls = iou == most
        if not ties:
            calls = torch.zeros_like(calls).scatter(1, first, True) & calls
        if not trap:
            calls = calls & (most > 0)
        rescued = calls.any(dim=0)
        if not over_between:
            rescued &= matched == -1
        matched[rescued] = (calls.int().argmax(dim=0) if caller else index)[rescued]
        return matched
    return assign


def crashes_without_objects(iou, high=0.7, low=0.3):
    iou.max(dim=0)
    return matching()(iou, high, low)


def shifted(room, both=True):
    """12.3 with a room (a function of boxes and classes) for each class."""
    def nms_by_class(boxes, scores, classes, threshold):
        if len(boxes) == 0:
            return torch.zeros(0, dtype=torch.int64)
        shift = (classes * room(boxes))[:, None] * (torch.ones(4) if both else torch.tensor([1.0, 1, 0, 0]))
        return ops.nms(boxes + shift, scores, threshold)
    return nms_by_class


nms_by_class = shifted(lambda boxes: boxes.max() - boxes.min() + 1)


def class_after_class(boxes, scores, classes, threshold):
    parts = [(classes == c).nonzero()[:, 0] for c in classes.unique()]
    return torch.cat([p[ops.nms(boxes[p], scores[p], threshold)] for p in parts])


def soft(weight=lambda o, sigma: torch.exp(-o ** 2 / sigma), again=True, everyone=False, clone=True, after=lambda s: s):
    def soft_nms(boxes, scores, sigma=0.5):
        scores = scores.clone() if clone else scores
        order, left = scores.clone(), torch.ones(len(boxes), dtype=torch.bool)
        overlaps = ops.box_iou(boxes, boxes)
        while left.any():
            best = torch.where(left, scores if again else order, -1).argmax()
            left[best] = False
            others = torch.arange(len(boxes)) != best if everyone else left
            scores[others] *= weight(overlaps[best, others], sigma)
        return after(scores)
    return soft_nms


SOLUTIONS = {"12.1": allowed_shift, "12.2": matching(), "12.3": nms_by_class, "12.4": soft()}
MUTANTS = [
    ("12.1", lambda s, t: s * (1 - t), "the union grows"),
    ("12.1", lambda s, t: s * (1 - t) / 2, "side + d wide"),
    ("12.1", lambda s, t: s * t, "smaller* shift"),
    ("12.1", lambda s, t: (1 - t) / (1 + t), "multiply by side"),
    ("12.1", lambda s, t: -s * (1 - t) / (1 + t), "the sign"),
    ("12.1", lambda s, t: None, "return"),
    ("12.2", matching(trap=True), "the trap: every anchor is positive"),
    ("12.2", matching(ties=False), "all of them count"),
    ("12.2", matching(caller=True), "not to the one that called"),
    ("12.2", matching(rescue=False), "the second rule is missing"),
    ("12.2", matching(strict=True), "exactly on a threshold"),
    ("12.2", matching(between=-1), "-2, not -1"),
    ("12.2", matching(over_between=False), "it becomes positive as well"),
    ("12.2", crashes_without_objects, "your code stopped with IndexError"),
    ("12.2", lambda iou, high, low: matching()(iou, high, low) if len(iou) else torch.zeros(4), "you return tensor"),
    ("12.2", lambda iou, high, low: None, "return one integer an anchor"),
    ("12.3", shifted(lambda boxes: 0), "nothing keeps them apart"),
    ("12.3", shifted(lambda boxes: boxes.max() + 1), "negative coordinates"),
    ("12.3", shifted(lambda boxes: 1.0), "expected"),
    ("12.3", shifted(lambda boxes: boxes.max() - boxes.min() + 1, both=False), "expected"),
    ("12.3", class_after_class, "wrong order"),
    ("12.3", lambda b, s, c, t: b[nms_by_class(b, s, c, t)], "indices of the kept boxes"),
    ("12.3", lambda b, s, c, t: ops.nms(b + (c * (b.max() - b.min() + 1))[:, None], s, t), "RuntimeError"),
    ("12.4", soft(lambda o, sigma: torch.exp(-o / sigma)), "the square is missing"),
    ("12.4", soft(lambda o, sigma: torch.exp(-o ** 2 / (2 * sigma))), "without a factor 2"),
    ("12.4", soft(lambda o, sigma: 1 - o), "linear form"),
    ("12.4", soft(again=False), "look for the best one *left* again"),
    ("12.4", soft(everyone=True), "only those still left"),
    ("12.4", soft(clone=False), "scores.clone()"),
    ("12.4", soft(after=lambda s: s.sort(descending=True)[0]), "in the order of the boxes"),
    ("12.4", lambda boxes, scores, sigma: scores.clone(), "no score has changed"),
    ("12.4", lambda boxes, scores, sigma: ops.nms(boxes, scores, sigma), "one score a box"),
    ("12.4", soft(lambda o, sigma: (o <= 0.3).float()), "throws nothing away"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    hints = find(id).hints
    assert len(hints) >= 3 and len(set(hints)) == len(hints)
