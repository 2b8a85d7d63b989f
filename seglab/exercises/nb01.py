"""Checks of the exercises of notebook 01, tasks and metrics."""

from collections.abc import Callable, Iterator

import numpy as np

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, slip
from seglab.metrics import merges_and_splits


@exercise("01.1", title="Dice of two masks", hints=[
    "How many pixels do the two masks share, and how many has each?",
    "`true & pred` is the shared part. Both may be uint8: turn them into bool first, then `.sum()` counts in int64.",
    "X, Y = true.astype(bool), pred.astype(bool); total = X.sum() + Y.sum(); "
    "return 2 * (X & Y).sum() / total if total else 1.0",
], points=1, count=10)
def dice(answer: Callable) -> Iterator[Case]:
    """``answer(true, pred)``: Dice of two masks."""
    rng = np.random.default_rng(0)
    large, few = rng.random((30, 40)) < 0.6, rng.random((5, 7)) < 0.3
    byte = large.astype(np.uint8)
    cases = {"4 and 3 pixels, 2 shared": (np.array([[1, 1, 1, 1, 0]], bool), np.array([[0, 0, 1, 1, 1]], bool)),
             "identical masks": (large, large),
             "no common pixel": (np.array([[1, 0]], bool), np.array([[0, 1]], bool)),
             "uint8 masks of 700 pixels": (byte, np.roll(byte, 1, 1)),
             "a bool and a uint8 mask": (large, np.roll(byte, 1, 0)),
             "far more found than there is": (few, np.ones_like(few)),
             "prediction empty": (large, large & False), "truth empty": (large & False, large)}
    for name, (true, pred) in cases.items():
        X, Y = {p for p in zip(*true.nonzero())}, {p for p in zip(*pred.nonzero())}
        shared, union, total = len(X & Y), len(X | Y), len(X) + len(Y)
        got, want = answer(true, pred), 2 * shared / total
        yield f"{name}: {want:.3f}", close(got, want), slip(got, want, [
            (shared / union, "this is IoU: the shared pixels count twice in Dice, above and below"),
            (shared / total, "the shared pixels count twice: 2 |X ∩ Y|"),
            ((true == pred).mean(), "this is pixel accuracy: pixels that are background in both do not count"),
            (shared / max(len(X), 1), "this is recall: divide by the pixels of both masks"),
            (shared / max(len(Y), 1), "this is precision: divide by the pixels of both masks"),
            (1 - want if X and Y else np.nan, "this is the Dice *loss*" if X and Y else "NaN: is there a 0/0?"),
            (1, "only where *both* are empty the answer is 1: here all of the other mask is wrong")])
    for kind in (bool, np.uint8):
        got = answer(np.zeros((3, 4), kind), np.zeros((3, 4), kind))
        yield f"both empty ({kind.__name__}): 1, nothing to find and nothing found", close(got, 1), \
            slip(got, 1, [(np.nan, "0/0 has no value of its own, the sum has to be asked first")])


@exercise("01.2", title="Mean IoU from counts", hints=[
    "The diagonal holds what is right. A row sum is the true pixels of a class, a column sum the predicted ones.",
    "union = n.sum(0) + n.sum(1) - np.diag(n). A class with union 0 occurs nowhere: it must not enter the mean.",
    "right, union = np.diag(n), n.sum(0) + n.sum(1) - np.diag(n); occurs = union > 0; "
    "return (right[occurs] / union[occurs]).mean() if occurs.any() else 1.0",
], points=2, count=9)
def mean_iou(answer: Callable) -> Iterator[Case]:
    """``answer(n)``: mean IoU of a confusion matrix over the classes that occur."""
    cases = {"the chapter's toy": [[7, 1, 1], [1, 3, 0], [1, 0, 2]], "unequal errors": [[50, 9], [1, 5]],
             "the last class occurs nowhere": [[5, 2, 0, 0], [1, 6, 0, 0], [0, 0, 3, 0], [0, 0, 0, 0]],
             "background occurs nowhere": [[0, 0, 0], [0, 6, 3], [0, 1, 4]],
             "a class that is only predicted": [[8, 0, 2], [0, 4, 0], [0, 0, 0]],
             "a class that is never predicted": [[8, 0, 0], [0, 4, 0], [3, 1, 0]],
             "a class that is there, predicted, and never right": [[9, 0, 2], [0, 5, 0], [3, 0, 0]],
             "everything is wrong": [[0, 3], [2, 0]]}
    for name, rows in cases.items():
        n, classes = np.array(rows), range(len(rows))
        right, t = [rows[c][c] for c in classes], [sum(rows[c]) for c in classes]
        p = [sum(row[c] for row in rows) for c in classes]
        iou = {c: right[c] / (t[c] + p[c] - right[c]) for c in classes if t[c] + p[c] > 0}
        got, want = answer(n), sum(iou.values()) / len(iou)

        def mean(scores: list[float]) -> float:
            return float(np.mean(scores)) if scores else np.nan

        yield f"{name}: {want:.3f}", close(got, want), slip(got, want, [
            (want * len(iou) / len(rows), "a class that occurs nowhere was counted as 0: leave it out of the mean"),
            ((sum(iou.values()) + len(rows) - len(iou)) / len(rows),
             "a class that occurs nowhere was counted as 1: leave it out of the mean"),
            (mean([iou[c] for c in iou if t[c]]),
             "a class that is predicted but not there is an error, with IoU 0: ask for t + p > 0, not t > 0"),
            (mean([iou[c] for c in iou if p[c]]),
             "a class that is there but never predicted is an error, with IoU 0: ask for t + p > 0, not p > 0"),
            (mean([iou[c] for c in iou if right[c]]),
             "a class of which no pixel is right has IoU 0: it occurs, so it enters the mean"),
            (mean([right[c] / t[c] for c in classes if t[c]]),
             "this is the mean accuracy (recall): the union counts the wrongly predicted pixels too"),
            (mean([right[c] / (t[c] + p[c]) for c in iou]), "t + p counts the shared pixels twice: subtract n_ii once"),
            (mean([2 * right[c] / (t[c] + p[c]) for c in iou]), "this is the mean Dice"),
            (sum(right) / sum(t), "this is pixel accuracy"),
            (sum(right) / sum(t[c] + p[c] - right[c] for c in classes), "divide class by class, then take the mean"),
            (mean([iou[c] for c in iou if c > 0]), "background is a class like the others here"),
            (np.nan, "the mean has met 0/0: leave out the classes that occur nowhere")])
    got = answer(np.zeros((3, 3), int))
    yield "nothing was counted: 1", close(got, 1), \
        slip(got, 1, [(np.nan, "the mean of no number is NaN, decide what it means")])


@exercise("01.3", title="Count the merges", hints=[
    "Take the true objects one by one, without 0: `labels_pred[labels_true == k]` are the predicted ids under object "
    "k. np.unique(..., return_counts=True) counts them.",
    "Object k lies in predicted id i if i > 0 and its count is more than half of *all* pixels of object k. Collect "
    "these i.",
    "homes = []; for k in np.unique(labels_true[labels_true > 0]): ids, pixels = np.unique(labels_pred[labels_true == "
    "k], return_counts=True); homes += [i for i, n in zip(ids, pixels) if i > 0 and 2 * n > pixels.sum()]. Each home "
    "needs one object to exist, every further one is a merge: return len(homes) - len(set(homes))",
], points=3, count=17)
def merges(answer: Callable) -> Iterator[Case]:
    """``answer(labels_true, labels_pred)``: number of merges."""
    row = [1, 1, 1, 2, 2, 2, 0, 5, 5, 5, 9, 9, 9]
    cases = [
        ("nothing merged", row, row, 0, "each object lies in one of its own"),
        ("two objects in one", row, [4, 4, 4, 4, 4, 4, 0, 5, 5, 5, 9, 9, 9], 1, "one border was lost: one merge"),
        ("three in one: two merges", row, [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 9, 9, 9], 2,
         "k objects in one are k - 1 merges: each lost border counts"),
        ("two pairs", row, [4, 4, 4, 4, 4, 4, 0, 7, 7, 7, 7, 7, 7], 2, "each pair is a merge of its own"),
        ("two missed objects are no merge", row, [0, 0, 0, 0, 0, 0, 0, 5, 5, 5, 9, 9, 9], 0,
         "predicted background is no object in which others could lie: skip id 0"),
        ("a border that moved is no merge", row, [1, 1, 1, 1, 2, 2, 0, 5, 5, 9, 9, 9, 9], 0,
         "touching is not enough: more than half of the pixels must lie in it"),
        ("a split is no merge", [3] * 6, [1, 1, 1, 2, 2, 2], 0,
         "two predicted objects lie in one true one: that is the other way round"),
        ("exactly half is not more than half", [1, 1, 1, 1, 2, 2], [7, 7, 8, 8, 7, 7], 0, "the rule says *more* than "
                                                                                           "half"),
        ("half of what is covered is not half of the object", [1, 1, 1, 1, 1, 2, 2], [7, 7, 0, 0, 0, 7, 7], 0,
         "count the uncovered pixels of the object too: 2 of 5 are not more than half"),
        ("the largest part need not be more than half", [1, 1, 1, 1, 1, 2, 2], [7, 7, 8, 9, 6, 7, 7], 0,
         "2 of 5 pixels are the largest part of object 1, and less than half of it"),
        ("background in neither map", [[1, 1, 2], [1, 1, 2]], [[3, 3, 3], [3, 3, 3]], 1,
         "the smallest id need not be background: take out 0 by its value, not by its place"),
        ("background joins no merge", [[0, 0, 2], [0, 0, 2]], [[3, 3, 3], [3, 3, 3]], 0,
         "true background is no object: object 2 is alone in predicted object 3"),
        ("a predicted object much larger than what lies in it", [0, 1, 0, 0, 0, 0, 2, 0], [7] * 8, 1,
         "more than half of the *true* object must lie in the predicted one, whatever else that one covers"),
        ("objects of several rows", [[1, 2, 3], [1, 2, 3], [1, 2, 3]], [[0, 0, 0], [4, 4, 4], [4, 4, 4]], 2,
         "objects run over all rows of a map"),
        ("no object at all", [[0, 0], [0, 0]], [[0, 1], [0, 1]], 0, "without objects there is nothing to merge"),
        ("uint8 ids up to 250", np.array([[200, 200, 0, 250, 250, 90]], np.uint8),
         np.array([[240, 240, 240, 240, 240, 240]], np.uint8), 2,
         "is an id multiplied? 200 * 250 does not fit into a byte: turn the maps into int64 first"),
    ]
    for name, true, pred, want, advice in cases:
        true, pred = (np.array([m] if np.ndim(m) == 1 else m) for m in (true, pred))
        got = answer(true, pred)
        yield f"{name}: {want}", close(got, want, 0), slip(got, want, [(got, f"{advice} (you return {got!r})")], 0)
    rng, wrong = np.random.default_rng(6), ""
    for _ in range(60):
        true, pred = rng.integers(0, 4, (2, 2, 5))
        got, want = answer(true, pred), merges_and_splits(true, pred).merges
        if not close(got, want, 0):
            wrong = f"truth {true.tolist()}, prediction {pred.tolist()}: you return {got!r}, it should be {want}"
            break
    yield "sixty small random maps", not wrong, wrong


@exercise("01.4", title="Average precision", hints=[
    "np.cumsum(right) are the hits so far. Precision divides them by the detections so far, recall by the positives.",
    "For each r in np.linspace(0, 1, 101): the *best* precision among all places with recall >= r, and 0 if there is "
    "none.",
    "tp = np.cumsum(right); precision, recall = tp / np.arange(1, len(right) + 1), tp / positives; return "
    "np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)])",
], points=3, count=10)
def average_precision(answer: Callable) -> Iterator[Case]:
    """``answer(right, positives)``: AP with 101 recall points.

    Hits / positives is never one of the 101 recalls but for 0, 1/4, 1/2, 3/4 and 1, which every way of writing the
    recalls meets exactly.
    """
    rng = np.random.default_rng(3)
    cases = {"right, wrong, right; 2 objects": ([1, 0, 1], 2), "all right": ([1, 1, 1], 3), "all wrong": ([0, 0], 2),
             "right, but 1 of 4 objects": ([1], 4), "wrong first": ([0, 1, 1, 1], 3), "the only object, found last":
             ([0, 0, 0, 0, 1], 1), "wrong after the last object": ([1, 0, 1, 0, 0, 0], 2),
             "50 detections of 41 objects": (rng.random(50) < 0.6, 41),
             "500 detections of 397 objects": (rng.random(500) < 0.7, 397)}
    for name, (right, positives) in cases.items():
        right = np.array(right, bool)
        hits = np.add.accumulate(right.astype(int))
        precision, recall = hits / (1 + np.arange(len(right))), hits / positives

        def reads(points: int = 101, recall: np.ndarray = recall, precision: np.ndarray = precision) -> np.ndarray:
            """The best precision from each recall on: the running maximum, counted from the right."""
            best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0)
            return best[np.searchsorted(recall, np.arange(points) / (points - 1))]

        at = np.searchsorted(recall, np.arange(101) / 100)
        here, reached = np.append(precision, 0)[at], at < len(right)
        got, want = answer(right, positives), reads().mean()
        yield f"{name}: {want:.3f}", close(got, want), slip(got, want, [
            (reads(11).mean(), "these are the 11 points of the older VOC score: COCO reads 101"),
            (here.mean(), "the precision was read as it is: at each recall take the best precision from there *on*"),
            (reads()[reached].mean(), "recalls that are never reached count 0: divide by 101"),
            ((reached * precision.max()).mean(), "the best precision from this recall on, not of all places"),
            (reads()[1:].mean(), "these are 100 recalls: 0.00 is one of the 101"),
            (reads()[:-1].mean(), "these are 100 recalls: 1.00 is one of the 101"),
            (precision[right].sum() / positives, "this is the area without interpolation: read 101 recalls"),
            (precision.mean(), "this is the mean precision: recall does not enter"),
            (reads(recall=hits / max(right.sum(), 1)).mean(),
             "recall is hits / positives, and not / hits in all: missed objects must cost"),
            (np.nan, "NaN: is there a division by 0, or the maximum of nothing?")])
    got = answer(np.zeros(0, bool), 5)
    yield "no detection at all: 0", close(got, 0), slip(got, 0, [(np.nan, "the mean of no number is NaN: no detection "
                                                                          "finds nothing, AP 0")])
