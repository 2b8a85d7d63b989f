"""Checks of notebook 12: the solution and right answers in other styles pass, the blank fails, slips are named."""

import numpy as np
import pytest
import torch
import torchvision
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab import ops
from seglab.exercises import find


def allowed_shift(side, t):
    return side * (1 - t) / (1 + t)


def shift_by_bisection(side, t):
    low, high = 0.0, side
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (side - middle) / (side + middle) > t else (low, middle)
    return low


def shift_by_boxes(side, t):
    """On a fine ruler, between two marks of it linearly; the IoU comes from torchvision, in float32 at the end."""
    d = torch.linspace(0, side, 20_001, dtype=torch.float64)
    square = torch.tensor([[0.0, 0, side, side]], dtype=torch.float64)
    iou = torchvision.ops.box_iou(square, square + d[:, None] * torch.tensor([1.0, 0, 1, 0]))[0]
    return np.interp(-t, -iou.numpy(), d.numpy())


def matching(trap=False, ties=True, caller=False, rescue=True, strict=False, between=-2, over_between=True, above=0.0,
             fixed=False, near=0.0, alive=False, one_dead_stops_all=False):
    """The solution of 12.2, or one of its slips."""
    def assign(iou, high=0.7, low=0.3):
        if fixed:
            high, low = 0.7, 0.3
        if len(iou) == 0:
            return torch.full(iou.shape[1:], -1)
        if alive:
            iou = iou[iou.sum(1) > 0]
            if len(iou) == 0:
                return torch.full(iou.shape[1:], -1)
        best, index = iou.max(dim=0)
        matched = torch.where(best > high if strict else best >= high, index,
                              torch.where(best <= low if strict else best < low, -1, between))
        most, first = iou.max(dim=1, keepdim=True)
        if not rescue or (one_dead_stops_all and (most == 0).any()):
            return matched
        calls = iou >= most - near
        if not ties:
            calls = torch.zeros_like(calls).scatter(1, first, True) & calls
        if not trap:
            calls = calls & (most > above)
        rescued = calls.any(dim=0)
        if not over_between:
            rescued &= matched == -1
        matched[rescued] = (calls.int().argmax(dim=0) if caller else index)[rescued]
        return matched
    return assign


def matching_in_loops(iou, high=0.7, low=0.3):
    """Python numbers throughout."""
    rows, result = iou.tolist(), []
    for k in range(iou.shape[1]):
        column = [row[k] for row in rows]
        best = max(column, default=0.0)
        called = any(value > 0 and value == max(row) for value, row in zip(column, rows))
        result.append(column.index(best) if column and (best >= high or called) else -1 if best < low else -2)
    return torch.tensor(result)


def matching_in_numpy(iou, high=0.7, low=0.3):
    values = iou.numpy().astype(np.float64)
    if not len(values):
        return np.full(values.shape[1], -1)
    most = values.max(1, keepdims=True)
    called = ((values == most) & (most > 0)).any(0)
    best = values.max(0)
    result = np.full(len(best), -2)
    result[best < low] = -1
    return np.where((best >= high) | called, values.argmax(0), result)


def matching_object_by_object(iou, high=0.7, low=0.3):
    matched = torch.full(iou.shape[1:], -1)
    if not len(iou):
        return matched
    best, index = iou.double().max(0)
    matched[best >= low] = -2
    matched[best >= high] = index[best >= high]
    for row in iou.double():
        if row.max() > 0:
            mine = row == row.max()
            matched[mine] = index[mine]
    return matched


def crashes_without_objects(iou, high=0.7, low=0.3):
    iou.max(dim=0)
    return matching()(iou, high, low)


def rounds_in_place(iou, high=0.7, low=0.3):
    matched = matching()(iou, high, low)
    iou.clamp_(min=0.5)
    return matched


def shifted(room, both=True, dtype=torch.float64, sign=lambda classes: classes):
    """12.3 with a room (a function of the boxes) for each class."""
    def nms_by_class(boxes, scores, classes, threshold):
        if len(boxes) == 0:
            return torch.zeros(0, dtype=torch.int64)
        shift = (sign(classes).to(dtype) * room(boxes))[:, None] * torch.tensor([1.0, 1, both, both])
        return ops.nms(boxes.to(dtype) + shift, scores, threshold)
    return nms_by_class


def extent(boxes):
    return boxes.max() - boxes.min() + 1


nms_by_class = shifted(extent)


def numbered_anew(boxes, scores, classes, threshold):
    """In float32, the classes 0, 1, 2, ..."""
    if not len(boxes):
        return classes
    rank = classes.unique(return_inverse=True)[1]
    return ops.nms(boxes + (rank * (boxes.max() - boxes.min() + 10))[:, None], scores, threshold)


def to_the_right_only(boxes, scores, classes, threshold):
    if not len(boxes):
        return np.zeros(0, int)
    wide = boxes.double().numpy()
    wide[:, [0, 2]] += (classes.numpy() * 2.0 * (np.abs(wide).max() + 1))[:, None]
    return ops.nms(torch.from_numpy(wide), scores, threshold).numpy()


def class_after_class(boxes, scores, classes, threshold):
    parts = [(classes == c).nonzero()[:, 0] for c in classes.unique()]
    return torch.cat([p[ops.nms(boxes[p], scores[p], threshold)] for p in [*parts, classes[:0]]])


def classes_sorted_together(boxes, scores, classes, threshold):
    kept = class_after_class(boxes, scores, classes, threshold)
    return kept[scores[kept].argsort(descending=True)].tolist()


def moves_the_boxes(boxes, scores, classes, threshold):
    if not len(boxes):
        return torch.zeros(0, dtype=torch.int64)
    boxes -= boxes.min()
    return ops.nms(boxes.double() + (classes * (boxes.max() + 1).double())[:, None], scores, threshold)


def without_a_guard(boxes, scores, classes, threshold):
    return ops.nms(boxes.double() + (classes * extent(boxes).double())[:, None], scores, threshold)


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


def soft_in_double(boxes, scores, sigma=0.5):
    return soft()(boxes.double(), scores.double(), sigma)


def soft_in_loops(boxes, scores, sigma=0.5):
    values, rest = scores.tolist(), set(range(len(scores)))
    while rest:
        top = max(rest, key=lambda k: values[k])
        rest -= {top}
        for k in rest:
            a, b = boxes[top].tolist(), boxes[k].tolist()
            w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
            h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
            union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
            values[k] *= 2.718281828459045 ** (-((w * h / union) ** 2) / sigma)
    return values


def soft_recursive(boxes, scores, sigma=0.5):
    """Boxes that are done are taken out of the list."""
    if len(boxes) < 2:
        return scores.numpy()
    best = int(scores.argmax())
    rest = torch.tensor([k for k in range(len(boxes)) if k != best])
    overlap = torchvision.ops.box_iou(boxes[best:best + 1], boxes[rest])[0]
    result = scores.numpy().copy()
    result[rest.numpy()] = soft_recursive(boxes[rest], scores[rest] * torch.exp(-overlap.square() / sigma), sigma)
    return result


SOLUTIONS = {"12.1": allowed_shift, "12.2": matching(), "12.3": nms_by_class, "12.4": soft()}
OTHERS = [
    ("12.1", shift_by_bisection),
    ("12.1", shift_by_boxes),
    ("12.1", lambda side, t: side - 2 * side * t / (1 + t)),
    ("12.1", lambda side, t: torch.tensor(side, dtype=torch.float32) * (1 - t) / (1 + t)),
    ("12.1", lambda side, t: np.float32(side) * np.divide(1 - t, 1 + t)),
    ("12.2", matching_in_loops),
    ("12.2", matching_in_numpy),
    ("12.2", matching_object_by_object),
    ("12.2", lambda iou, high=0.7, low=0.3: matching()(iou.double(), high, low)),
    ("12.2", lambda iou, high=0.7, low=0.3: ops.match(iou, high, low, allow_low_quality=True)),
    ("12.3", numbered_anew),
    ("12.3", to_the_right_only),
    ("12.3", classes_sorted_together),
    ("12.3", ops.batched_nms),
    ("12.3", shifted(lambda boxes: 3 * boxes.abs().max().double() + 7)),
    ("12.4", soft_in_double),
    ("12.4", soft_in_loops),
    ("12.4", soft_recursive),
]
MUTANTS = [
    ("12.1", lambda s, t: s * (1 - t), "the union grows"),
    ("12.1", lambda s, t: s * (1 - t) / 2, "side + d wide"),
    ("12.1", lambda s, t: s * (1 - t) / (2 - t), "it is side + d"),
    ("12.1", lambda s, t: s * (1 - t ** 0.5), "nothing is squared"),
    ("12.1", lambda s, t: s * t, "smaller* shift"),
    ("12.1", lambda s, t: (1 - t) / (1 + t), "multiply by side"),
    ("12.1", lambda s, t: -s * (1 - t) / (1 + t), "the sign"),
    ("12.1", lambda s, t: round(s * (1 - t) / (1 + t)), "you return 8, it should be 8.471"),
    ("12.1", lambda s, t: s / 3, "you return 16, it should be 8.471"),
    ("12.1", lambda s, t: None, "return"),
    ("12.2", matching(trap=True), "the trap: every anchor is positive"),
    ("12.2", matching(ties=False), "all of them count"),
    ("12.2", matching(caller=True), "not to the one that called"),
    ("12.2", matching(rescue=False), "the second rule is missing"),
    ("12.2", matching(strict=True), "exactly on a threshold"),
    ("12.2", matching(between=-1), "-2, not -1"),
    ("12.2", matching(over_between=False), "it becomes positive as well"),
    ("12.2", matching(alive=True), "the numbers of the objects have shifted"),
    ("12.2", matching(one_dead_stops_all=True), "must not switch the second rule off for the others"),
    ("12.2", matching(fixed=True), "where `high` and `low` belong"),
    ("12.2", matching(above=0.1), "more than an overlap above 0"),
    ("12.2", matching(above=1e-3), "more than an overlap above 0"),
    ("12.2", matching(near=1e-2), "only equal overlaps tie"),
    ("12.2", lambda iou, high=0.7, low=0.3: iou.argmax(0), "is below `high` and no object's best"),
    ("12.2", rounds_in_place, "it changes `iou`"),
    ("12.2", lambda iou, high=0.7, low=0.3: matching()(iou, high, low).float(), "int64"),
    ("12.2", lambda iou, high=0.7, low=0.3: matching()(iou, high, low).int(), "int64"),
    ("12.2", crashes_without_objects, "your code stopped with IndexError"),
    ("12.2", lambda iou, high=0.7, low=0.3: matching()(iou, high, low) if len(iou) else torch.zeros(4), "you have 0"),
    ("12.2", lambda iou, high=0.7, low=0.3: matching()(iou, high, low) >= 0, "you return"),
    ("12.2", lambda iou, high=0.7, low=0.3: matching()(iou, high, low)[:1], "one integer an anchor"),
    ("12.2", lambda iou, high=0.7, low=0.3: None, "is there a `return`?"),
    ("12.3", shifted(lambda boxes: 0), "nothing keeps them apart"),
    ("12.3", shifted(lambda boxes: boxes.max().double() + 1), "negative coordinates"),
    ("12.3", shifted(lambda boxes: 1.0), "neither a constant"),
    ("12.3", shifted(lambda boxes: 1000), "neither a constant"),
    ("12.3", shifted(extent, sign=torch.abs), "do not take the absolute value"),
    ("12.3", shifted(extent, dtype=torch.float32), "costs float32 the digits"),
    ("12.3", shifted(extent, both=False), "nothing but shifted"),
    ("12.3", moves_the_boxes, "it changes `boxes`"),
    ("12.3", class_after_class, "wrong order"),
    ("12.3", lambda b, s, c, t: b[nms_by_class(b, s, c, t)], "indices of the kept boxes"),
    ("12.3", lambda b, s, c, t: torch.isin(torch.arange(len(b)), nms_by_class(b, s, c, t)), "indices of the kept"),
    ("12.3", lambda b, s, c, t: nms_by_class(b, s, c, t).float(), "of integers"),
    ("12.3", lambda b, s, c, t: nms_by_class(b, s, c, 0.3), "where `threshold` belongs"),
    ("12.3", without_a_guard, "RuntimeError"),
    ("12.3", lambda b, s, c, t: nms_by_class(b, s, c, t) if len(b) else b, "you return shape (0, 4)"),
    ("12.3", lambda b, s, c, t: None, "is there a `return`?"),
    ("12.4", soft(lambda o, sigma: torch.exp(-o / sigma)), "the square is missing"),
    ("12.4", soft(lambda o, sigma: torch.exp(-o ** 2 / (2 * sigma))), "without a factor 2"),
    ("12.4", soft(lambda o, sigma: torch.exp(-(o / sigma) ** 2)), "not to sigma"),
    ("12.4", soft(lambda o, sigma: torch.exp(-o ** 2 / 0.5)), "where sigma belongs"),
    ("12.4", soft(lambda o, sigma: 1 - o), "linear form"),
    ("12.4", soft(again=False), "look for the best one *left* again"),
    ("12.4", soft(everyone=True), "only those still left"),
    ("12.4", soft(clone=False), "it changes `scores`"),
    ("12.4", soft(after=lambda s: s.sort(descending=True)[0]), "in the order of the boxes"),
    ("12.4", lambda boxes, scores, sigma=0.5: scores.clone(), "no score has changed"),
    ("12.4", lambda boxes, scores, sigma=0.5: ops.nms(boxes, scores, sigma), "one score a box"),
    ("12.4", soft(lambda o, sigma: (o <= 0.3).float()), "throws nothing away"),
    ("12.4", lambda boxes, scores, sigma: soft()(boxes, scores, sigma), "missing 1 required positional argument"),
    ("12.4", lambda boxes, scores, sigma=0.5: print(end=""), "is there a `return`?"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize(("id", "answer"), OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize(("id", "mutant", "says"), MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    hints = find(id).hints
    assert len(hints) >= 3 and len(set(hints)) == len(hints)
