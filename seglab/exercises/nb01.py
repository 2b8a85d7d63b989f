"""Checks of the exercises of notebook 01, tasks and metrics."""

from collections.abc import Iterator

import numpy as np

from seglab.exercises import Case, exercise
from seglab.metrics import merges_and_splits


@exercise("01.1", title="Dice of two masks", hints=[
    "How many pixels do the two masks share, and how many has each?",
    "`true & pred` is the shared part. Both may be uint8: turn them into bool first, then `.sum()` counts in int64.",
    "2 * (X & Y).sum() / (X.sum() + Y.sum()), and 1.0 if that sum is 0.",
], points=1, count=7)
def dice(answer) -> Iterator[Case]:
    """``answer(true, pred)``: Dice of two masks."""
    rng = np.random.default_rng(0)
    large = rng.random((30, 40)) < 0.6
    cases = {"4 and 3 pixels, 2 shared": (np.array([[1, 1, 1, 1, 0]], bool), np.array([[0, 0, 1, 1, 1]], bool)),
             "identical masks": (large, large),
             "no common pixel": (np.array([[1, 0]], bool), np.array([[0, 1]], bool)),
             "uint8 masks of 700 pixels": (large.astype(np.uint8), np.roll(large, 1, 1).astype(np.uint8)),
             "prediction empty": (large, large & False), "truth empty": (large & False, large)}
    for name, (true, pred) in cases.items():
        X, Y = true.astype(bool), pred.astype(bool)
        shared, union, total = (X & Y).sum(), (X | Y).sum(), X.sum() + Y.sum()
        got, want = answer(true.copy(), pred.copy()), 2 * shared / total
        slips = {shared / union: "this is IoU: the shared pixels count twice in Dice, above and below",
                 shared / total: "the shared pixels count twice: 2 |X ∩ Y|",
                 (X == Y).mean(): "this is pixel accuracy: pixels that are background in both do not count",
                 shared / max(X.sum(), 1): "this is recall: divide by the pixels of both masks",
                 1 - want: "this is the Dice *loss*"}
        yield f"{name}: {want:.3f}", _close(got, want), _slip(got, slips)
    empty = np.zeros((3, 4), bool)
    got = answer(empty, empty)
    yield "both empty: 1, nothing to find and nothing found", _close(got, 1), \
        f"you return {got!r}; 0/0 has no value of its own, the sum has to be asked first"


@exercise("01.2", title="Mean IoU from counts", hints=[
    "The diagonal holds what is right. A row sum is the true pixels of a class, a column sum the predicted ones.",
    "union = n.sum(0) + n.sum(1) - np.diag(n). A class with union 0 occurs nowhere: it must not enter the mean.",
    "occurs = union > 0; return (np.diag(n)[occurs] / union[occurs]).mean() if occurs.any() else 1.0",
], points=2, count=5)
def mean_iou(answer) -> Iterator[Case]:
    """``answer(n)``: mean IoU of a confusion matrix over the classes that occur."""
    toy = np.array([[7, 1, 1], [1, 3, 0], [1, 0, 2]])
    absent = np.zeros((4, 4), int)
    absent[:3, :3] = [[5, 2, 0], [1, 6, 0], [0, 0, 3]]
    only_predicted = np.array([[8, 0, 2], [0, 4, 0], [0, 0, 0]])
    cases = {"the chapter's toy": toy, "unequal errors": np.array([[50, 9], [1, 5]]),
             "a class that occurs nowhere": absent, "a class that is only predicted": only_predicted}
    for name, n in cases.items():
        right, t, p = np.diag(n), n.sum(1), n.sum(0)
        union = t + p - right
        occurs = union > 0
        scores = right[occurs] / union[occurs]
        got, want = answer(n.copy()), scores.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = np.nanmean(np.where(t > 0, right / t, np.nan))
        slips = {scores.sum() / len(n): "a class that occurs nowhere was counted as 0: leave it out of the mean",
                 (scores.sum() + (~occurs).sum()) / len(n): "a class that occurs nowhere was counted as 1: skip it",
                 recall: "this is the mean accuracy (recall): the union counts the wrongly predicted pixels too",
                 (right / np.where(union > 0, union, 1))[t > 0].mean():
                     "a class that is predicted but not there is an error, with IoU 0: ask for t + p > 0, not t > 0",
                 (right[occurs] / (t + p)[occurs]).mean(): "t + p counts the shared pixels twice: subtract n_ii once",
                 (2 * right[occurs] / (t + p)[occurs]).mean(): "this is the mean Dice",
                 right.sum() / n.sum(): "this is pixel accuracy",
                 right.sum() / union.sum(): "divide class by class, then take the mean",
                 scores[1:].mean(): "background is a class like the others here"}
        yield f"{name}: {want:.3f}", _close(got, want), _slip(got, slips)
    got = answer(np.zeros((3, 3), int))
    yield "nothing was counted: 1", _close(got, 1), \
        f"you return {got!r}; the mean of no number is NaN, decide what it means"


def _pair(true, pred):
    return np.array(true), np.array(pred)


@exercise("01.3", title="Count the merges", hints=[
    "Take the true objects one by one: `labels_pred[labels_true == k]` are the predicted ids under object k. "
    "np.unique(..., return_counts=True) counts them.",
    "Object k lies in predicted id i if i > 0 and its count is more than half of *all* pixels of object k. Collect "
    "these i.",
    "With `homes` the collected ids: each of them needs one object to exist, every further one is a merge: "
    "len(homes) - len(set(homes)).",
], points=3, count=9)
def merges(answer) -> Iterator[Case]:
    """``answer(labels_true, labels_pred)``: number of merges."""
    row = [[1, 1, 1, 2, 2, 2, 0, 5, 5, 5, 9, 9, 9]]
    cases = {
        "nothing merged": (*_pair(row, row), "each object lies in one of its own"),
        "two objects in one": (*_pair(row, [[4, 4, 4, 4, 4, 4, 0, 5, 5, 5, 9, 9, 9]]),
                               "one border was lost: one merge"),
        "three in one: two merges": (*_pair(row, [[4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 9, 9, 9]]),
                                     "k objects in one are k - 1 merges: each lost border counts"),
        "two pairs": (*_pair(row, [[4, 4, 4, 4, 4, 4, 0, 7, 7, 7, 7, 7, 7]]), "each pair is a merge of its own"),
        "two missed objects are no merge": (*_pair(row, [[0, 0, 0, 0, 0, 0, 0, 5, 5, 5, 9, 9, 9]]),
                                            "predicted background is no object in which others could lie: skip id 0"),
        "a border that moved is no merge": (*_pair(row, [[1, 1, 1, 1, 2, 2, 0, 5, 5, 9, 9, 9, 9]]),
                                            "touching is not enough: more than half of the pixels must lie in it"),
        "a split is no merge": (*_pair([[3, 3, 3, 3, 3, 3]], [[1, 1, 1, 2, 2, 2]]),
                                "two predicted objects lie in one true one: that is the other way round"),
        "exactly half is not more than half": (*_pair([[1, 1, 1, 1, 2, 2]], [[7, 7, 8, 8, 7, 7]]),
                                               "the rule says *more* than half"),
        "half of what is covered is not half of the object": (
            *_pair([[1, 1, 1, 1, 1, 2, 2]], [[7, 7, 0, 0, 0, 7, 7]]),
            "count the uncovered pixels of the object too: 2 of 5 are not more than half"),
    }
    for name, (true, pred, advice) in cases.items():
        want = merges_and_splits(true, pred).merges
        got = answer(true.copy(), pred.copy())
        if got is None:
            advice = "the function returns None: is there a `return`?"
        yield f"{name}: {want}", _close(got, want), f"{advice} (you return {got!r})"


@exercise("01.4", title="Average precision", hints=[
    "np.cumsum(right) are the hits so far. Precision divides them by the detections so far, recall by the positives.",
    "For each r in np.linspace(0, 1, 101): the *best* precision among all places with recall >= r, and 0 if there is "
    "none.",
    "precision[recall >= r].max(initial=0) does both, and works for no detection at all. The mean over the 101 is AP.",
], points=3, count=7)
def average_precision(answer) -> Iterator[Case]:
    """``answer(right, positives)``: AP with 101 recall points."""
    rng = np.random.default_rng(3)
    cases = {"right, wrong, right; 2 objects": ([1, 0, 1], 2), "all right": ([1, 1, 1], 3), "all wrong": ([0, 0], 2),
             "right, but 1 of 4 objects": ([1], 4), "wrong first": ([0, 1, 1, 1], 3),
             "50 detections": (rng.random(50) < 0.6, 40)}
    for name, (right, positives) in cases.items():
        right = np.array(right, bool)
        tp = np.cumsum(right)
        precision, recall = tp / np.arange(1, len(right) + 1), tp / positives
        points = np.linspace(0, 1, 101)
        best = lambda points: [precision[recall >= r].max(initial=0) for r in points]                    # noqa: B023
        raw = np.append(precision, 0)[np.searchsorted(recall, points)]
        got, want = answer(right.copy(), positives), np.mean(best(points))
        slips = {np.mean(best(np.linspace(0, 1, 11))): "these are the 11 points of the older VOC score: COCO reads 101",
                 raw.mean(): "the precision was read as it is: at each recall take the best precision from there *on*",
                 np.mean([p for p in best(points) if p > 0] or [0]):
                     "recalls that are never reached count 0: divide by 101",
                 precision[right].sum() / positives: "this is the area without interpolation: read 101 recalls",
                 precision.mean(): "this is the mean precision: recall does not enter",
                 np.mean([precision[tp / max(right.sum(), 1) >= r].max(initial=0) for r in points]):
                     "recall is hits / positives, and not / hits in all: missed objects must cost"}
        yield f"{name}: {want:.3f}", _close(got, want), _slip(got, slips)
    got = answer(np.zeros(0, bool), 5)
    yield "no detection at all: 0", _close(got, 0), f"you return {got!r}"


def _close(got, want) -> bool:
    return got is not None and np.ndim(got) == 0 and bool(np.isclose(float(got), want, atol=1e-9))


def _slip(got, slips: dict) -> str:
    """The advice for a known slip, or what came instead."""
    if got is None:
        return "the function returns None: is there a `return`?"
    for value, advice in slips.items():
        if _close(got, value):
            return advice
    return f"you return {got!r}"
