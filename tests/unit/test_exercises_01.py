"""Checks of notebook 01: the solution and right answers in other styles pass, the blank fails, slips are named."""

from collections import Counter

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab import metrics


def dice_by_loop(true, pred):
    both = either = 0
    for t, p in zip(true.ravel().tolist(), pred.ravel().tolist()):
        both += int(t and p)
        either += int(t) + int(p)
    if either == 0:
        return 1
    return 2 * both / either


def dice_from_iou(true, pred):
    t, p = true > 0, pred > 0
    if not np.logical_or(t, p).any():
        return np.float32(1)
    iou = np.float32(np.logical_and(t, p).sum()) / np.float32(np.logical_or(t, p).sum())
    return 2 * iou / (1 + iou)


def dice_in_torch(true, pred):
    t, p = torch.from_numpy(true).float(), torch.from_numpy(pred).float()
    total = t.sum() + p.sum()
    return torch.tensor(1.0) if total == 0 else 2 * (t * p).sum() / total


def dice_with_sets(true, pred):
    a, b = set(np.flatnonzero(true)), set(np.flatnonzero(pred))
    return 1.0 if not a and not b else 2 * len(a & b) / (len(a) + len(b))


def hinted_dice(true, pred):
    X, Y = true.astype(bool), pred.astype(bool)
    total = X.sum() + Y.sum()
    return 2 * (X & Y).sum() / total if total else 1.0


def union(n):
    return n.sum(0) + n.sum(1) - np.diag(n)


def mean_iou(n):
    counts = metrics.ConfusionMatrix(len(n))
    counts.counts[:] = n
    return counts.mean_iou()


def mean_iou_by_loop(n):
    scores = []
    for c in range(len(n)):
        right = int(n[c][c])
        total = int(sum(n[c])) + int(sum(n[:, c])) - right
        if total:
            scores.append(right / total)
    return sum(scores) / len(scores) if scores else 1


def mean_iou_with_nan(n):
    with np.errstate(invalid="ignore"):
        scores = np.diag(n) / union(n)
    return 1.0 if np.isnan(scores).all() else np.nanmean(scores)


def mean_iou_in_torch(n):
    n = torch.from_numpy(n).float()
    tp, fp, fn = n.diag(), n.sum(0) - n.diag(), n.sum(1) - n.diag()
    there = tp + fp + fn > 0
    return (tp / (tp + fp + fn))[there].mean() if there.any() else torch.ones(())


def hinted_mean_iou(n):
    right, union = np.diag(n), n.sum(0) + n.sum(1) - np.diag(n)
    occurs = union > 0
    return (right[occurs] / union[occurs]).mean() if occurs.any() else 1.0


def of_some(occurs):
    """Mean over a choice of the classes, with the all-zero matrix answered as asked."""
    def answer(n):
        scores = np.diag(n) / np.where(union(n) > 0, union(n), 1)
        return scores[occurs(n)].mean() if occurs(n).any() else 1.0
    return answer


def under(true, pred):
    """Predicted ids under each true object: (ids, pixels)."""
    return [np.unique(pred[true == k], return_counts=True) for k in np.unique(true[true > 0])]


def merges(true, pred, keep=lambda i, m, all, covered: i > 0 and 2 * m > all):
    homes = [i for ids, n in under(true, pred) for i, m in zip(ids, n) if keep(i, m, n.sum(), n[ids > 0].sum())]
    return len(homes) - len(set(homes))


def merges_by_pixels(true, pred):
    pairs, sizes = Counter(zip(true.ravel().tolist(), pred.ravel().tolist())), Counter(true.ravel().tolist())
    lies = Counter(p for (t, p), n in pairs.items() if t and p and n > sizes[t] / 2)
    return sum(n - 1 for n in lies.values())


def merges_by_majority(true, pred):
    """The one id that can cover more than half is the most frequent one."""
    homes = {}
    for k in set(true.ravel().tolist()) - {0}:
        inside = pred[true == k]
        values, counts = np.unique(inside, return_counts=True)
        best = counts.argmax()
        if values[best] != 0 and counts[best] > inside.size / 2:
            homes.setdefault(int(values[best]), []).append(k)
    return float(sum(len(objects) - 1 for objects in homes.values()))


def merges_from_table(true, pred):
    """The chapter's own table, on int64."""
    a, b = true.astype(np.int64), pred.astype(np.int64)
    n = np.bincount(a.ravel() * (b.max() + 1) + b.ravel(), minlength=(a.max() + 1) * (b.max() + 1))
    n = n.reshape(a.max() + 1, b.max() + 1)
    lies_in = 2 * n[1:, 1:] > n.sum(1)[1:, None]
    return int(np.maximum(lies_in.sum(0) - 1, 0).sum())


def merges_in_torch(true, pred):
    true, pred = torch.from_numpy(true), torch.from_numpy(pred)
    total = 0
    for p in pred.unique():
        if p == 0:
            continue
        inside = [k for k in true.unique() if k != 0 and (pred[true == k] == p).double().mean() > 0.5]
        total += max(len(inside) - 1, 0)
    return torch.tensor(total)


def hinted_merges(labels_true, labels_pred):
    homes = []
    for k in np.unique(labels_true[labels_true > 0]):
        ids, pixels = np.unique(labels_pred[labels_true == k], return_counts=True)
        homes += [i for i, n in zip(ids, pixels) if i > 0 and 2 * n > pixels.sum()]
    return len(homes) - len(set(homes))


def merges_without_the_first_id(true, pred):
    """np.unique(...)[1:] for "all objects": wrong where there is no background."""
    homes = []
    for k in np.unique(true)[1:]:
        ids, n = np.unique(pred[true == k], return_counts=True)
        homes += [i for i, m in zip(ids, n) if i > 0 and 2 * m > n.sum()]
    return len(homes) - len(set(homes))


def merges_by_largest_part(true, pred, ids=lambda labels: np.unique(labels[labels > 0])):
    homes = [np.bincount(pred[true == k]).argmax() for k in ids(true)]
    homes = [i for i in homes if i > 0]
    return len(homes) - len(set(homes))


def merges_with_background(true, pred):
    homes = [i for k in np.unique(true) for i, m in zip(*np.unique(pred[true == k], return_counts=True))
             if i > 0 and 2 * m > (true == k).sum()]
    return len(homes) - len(set(homes))


def merges_in_bytes(true, pred):
    """The chapter's table without a cast: ids multiply, and a byte wraps round."""
    with np.errstate(over="ignore"):
        pairs, n = np.unique(true.ravel() * np.array(251, true.dtype) + pred.ravel(), return_counts=True)
    homes = [p % 251 for p, m in zip(pairs.tolist(), n) if p // 251 and p % 251 and 2 * m > (true == p // 251).sum()]
    return len(homes) - len(set(homes))


def ap(right, positives, recalls=None, envelope=True, reached=None, reads=np.mean, side="left"):
    tp = np.cumsum(right)
    precision = tp / np.arange(1, len(right) + 1)
    recall = tp / (positives if reached is None else max(right.sum(), 1))
    best = np.maximum.accumulate(precision[::-1])[::-1] if envelope else precision
    recalls = np.linspace(0, 1, 101) if recalls is None else recalls
    return reads(np.append(best, 0)[np.searchsorted(recall, recalls, side)])


def ap_in_whole_numbers(right, positives):
    """Recalls compared without a division: tp / P >= i / 100."""
    tp, total = np.cumsum(right).tolist(), 0.0
    for i in range(101):
        total += max((hits / d for d, hits in enumerate(tp, 1) if hits * 100 >= i * positives), default=0)
    return total / 101


def ap_with_arange(right, positives):
    tp = right.cumsum()
    precision, recall = tp / (np.arange(len(tp)) + 1), tp / positives
    return sum(precision[recall >= r].max() if (recall >= r).any() else 0 for r in np.arange(101) / 100) / 101


def ap_in_torch(right, positives):
    tp = torch.from_numpy(right).cumsum(0)
    precision, recall = tp / torch.arange(1, len(tp) + 1), tp / positives
    reads = [precision[recall >= r].max() if (recall >= r).any() else torch.tensor(0.0)
             for r in torch.linspace(0, 1, 101)]
    return torch.stack(reads).mean()


def ap_in_single(right, positives):
    return np.float32(ap(right, positives))


def hinted_ap(right, positives):
    tp = np.cumsum(right)
    precision, recall = tp / np.arange(1, len(right) + 1), tp / positives
    return np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)])


def ap_from_the_left(right, positives):
    tp = np.cumsum(right)
    precision = np.maximum.accumulate(tp / np.arange(1, len(right) + 1))
    return np.append(precision, 0)[np.searchsorted(tp / positives, np.linspace(0, 1, 101))].mean()


def ap_interpolated(right, positives):
    tp = np.cumsum(right)
    if not len(tp):
        return 0.0
    return np.interp(np.linspace(0, 1, 101), tp / positives, tp / np.arange(1, len(right) + 1), right=0).mean()


def ap_trapezoid(right, positives):
    tp = np.cumsum(right)
    precision, recall = tp / np.arange(1, len(right) + 1), tp / positives
    return float(((recall[1:] - recall[:-1]) * (precision[1:] + precision[:-1]) / 2).sum())


def forgotten_return(*arguments):
    hinted_dice(np.ones((2, 2)), np.ones((2, 2)))


SOLUTIONS = {"01.1": metrics.dice, "01.2": mean_iou, "01.3": lambda t, p: metrics.merges_and_splits(t, p).merges,
             "01.4": ap}
OTHERS = [
    *[("01.1", f) for f in (dice_by_loop, dice_from_iou, dice_in_torch, dice_with_sets, hinted_dice)],
    *[("01.2", f) for f in (mean_iou_by_loop, mean_iou_with_nan, mean_iou_in_torch, hinted_mean_iou)],
    ("01.2", lambda n: np.float32(mean_iou(n))),
    *[("01.3", f) for f in (merges_by_pixels, merges_by_majority, merges_from_table, merges_in_torch, hinted_merges)],
    *[("01.4", f) for f in (ap_in_whole_numbers, ap_with_arange, ap_in_torch, ap_in_single, hinted_ap)],
]
MUTANTS = [
    ("01.1", lambda t, p: (t & p).sum() / (t | p).sum(), "IoU"),
    ("01.1", lambda t, p: (t & p).sum() / (t.sum() + p.sum()), "count twice"),
    ("01.1", lambda t, p: (t == p).mean(), "pixel accuracy"),
    ("01.1", lambda t, p: 2 * (t & p).sum() / (t.sum() + p.sum()), "0/0 has no value of its own"),
    ("01.1", lambda t, p: 1 - metrics.dice(t, p), "Dice *loss*"),
    ("01.1", lambda t, p: (t & p).sum() / max(t.sum(), 1), "recall"),
    ("01.1", lambda t, p: (t & p).sum() / max(p.sum(), 1), "precision"),
    ("01.1", lambda t, p: 0.0 if not t.any() else metrics.dice(t, p), "you return 0, it should be 1"),
    ("01.1", lambda t, p: 1.0 if not t.any() else metrics.dice(t, p), "all of the other mask is wrong"),
    ("01.1", lambda t, p: 2 * t[p].sum() / (t.sum() + p.sum()) if t.any() or p.any() else 1.0, "you return"),
    ("01.1", lambda t, p: 2 * (t & p).sum(dtype=np.uint8) / (t.sum() + p.sum()) if t.any() or p.any() else 1, "uint8"),
    ("01.1", lambda t, p: metrics.dice(t[:1], p[:1]), "you return"),
    ("01.1", lambda t, p: 2 * (t & p).sum() / (t.sum() + p.sum() + 1e-4) if t.any() else 1, "you return"),
    ("01.1", lambda t, p: metrics.dice(t, np.logical_or(p, t, out=p)), "it changes `p`"),
    ("01.1", lambda t, p: np.array([metrics.dice(t, p)]), "you return shape (1,), it should be ()"),
    ("01.1", forgotten_return, "is there a `return`?"),

    ("01.2", lambda n: np.nan_to_num(np.diag(n) / union(n)).mean(), "counted as 0"),
    ("01.2", lambda n: np.nan_to_num(np.diag(n) / union(n), nan=1.0).mean(), "counted as 1"),
    ("01.2", lambda n: np.nanmean(np.diag(n) / union(n)), "the mean of no number is NaN"),
    ("01.2", lambda n: (np.diag(n) / union(n)).mean(), "the mean has met 0/0"),
    ("01.2", lambda n: np.nanmean(np.diag(n) / n.sum(1)), "mean accuracy"),
    ("01.2", lambda n: np.nanmean((np.diag(n) / union(n))[n.sum(1) > 0]), "predicted but not there"),
    ("01.2", lambda n: np.nanmean((np.diag(n) / union(n))[n.sum(0) > 0]), "there but never predicted"),
    ("01.2", lambda n: np.nanmean((np.diag(n) / union(n))[np.diag(n) > 0]), "no pixel is right"),
    ("01.2", lambda n: np.nanmean(np.diag(n) / (n.sum(0) + n.sum(1))), "subtract n_ii once"),
    ("01.2", lambda n: np.nanmean(2 * np.diag(n) / (n.sum(0) + n.sum(1))), "mean Dice"),
    ("01.2", lambda n: np.diag(n).sum() / n.sum(), "pixel accuracy"),
    ("01.2", lambda n: np.diag(n).sum() / union(n).sum(), "class by class"),
    ("01.2", lambda n: np.nanmean((np.diag(n) / union(n))[1:]), "background is a class"),
    ("01.2", of_some(lambda n: n.sum(0) > 0), "there but never predicted"),
    ("01.2", of_some(lambda n: n.sum(1) > 0), "predicted but not there"),
    ("01.2", of_some(lambda n: np.diag(n) > 0), "no pixel is right"),
    ("01.2", of_some(lambda n: np.arange(len(n)) > 0), "background is a class"),
    ("01.2", of_some(lambda n: np.arange(len(n)) >= 0), "counted as 0"),
    ("01.2", lambda n: mean_iou(n) if n.any() else 0.0, "you return 0, it should be 1"),
    ("01.2", lambda n: np.where(union(n) > 0, np.diag(n) / union(n), 0), "you return shape"),
    ("01.2", forgotten_return, "is there a `return`?"),

    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: 2 * m > all), "skip id 0"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: i > 0), "touching is not enough"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: i > 0 and 2 * m >= all), "*more* than half"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: i > 0 and 2 * m > covered), "uncovered pixels"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: i > 0 and 2 * m > (p == i).sum()),
     "whatever else that one covers"),
    ("01.3", lambda t, p: metrics.merges_and_splits(t, p).splits, "the other way round"),
    ("01.3", lambda t, p: int(metrics.merges_and_splits(t, p).merges > 0), "each lost border counts"),
    ("01.3", lambda t, p: max(len(np.unique(t[t > 0])) - len(np.unique(p[p > 0])), 0), "skip id 0"),
    ("01.3", merges_without_the_first_id, "take out 0 by its value"),
    ("01.3", merges_by_largest_part, "the largest part of object 1"),
    ("01.3", lambda t, p: merges_by_largest_part(t, p, lambda t: np.unique(t)[1:]), "take out 0 by its value"),
    ("01.3", lambda t, p: merges(t[:1], p[:1]), "objects run over all rows"),
    ("01.3", lambda t, p: merges(t.T[:1], p.T[:1]), "one border was lost"),
    ("01.3", merges_with_background, "true background is no object"),
    ("01.3", merges_in_bytes, "does not fit into a byte"),
    ("01.3", lambda t, p: merges(t, p) if t.any() else 1, "without objects there is nothing to merge"),
    ("01.3", lambda t, p: [merges(t, p)], "one border was lost"),
    ("01.3", forgotten_return, "is there a `return`?"),

    ("01.4", lambda r, n: ap(r, n, recalls=np.linspace(0, 1, 11)), "11 points"),
    ("01.4", lambda r, n: ap(r, n, envelope=False), "best precision from there *on*"),
    ("01.4", lambda r, n: ap(r, n, reads=lambda x: x[x > 0].mean() if x.any() else 0.0), "divide by 101"),
    ("01.4", lambda r, n: ap(r, n, reached="hits"), "missed objects must cost"),
    ("01.4", lambda r, n: ap(r, n, recalls=np.arange(1, 101) / 100), "0.00 is one of the 101"),
    ("01.4", lambda r, n: ap(r, n, recalls=np.arange(100) / 100), "1.00 is one of the 101"),
    ("01.4", lambda r, n: ap(r, n, side="right"), "you return"),
    ("01.4", lambda r, n: (np.cumsum(r) / np.arange(1, len(r) + 1))[r].sum() / n, "without interpolation"),
    ("01.4", lambda r, n: (np.cumsum(r) / np.arange(1, len(r) + 1)).mean(), "mean precision"),
    ("01.4", lambda r, n: (np.cumsum(r) / np.arange(1, len(r) + 1)).mean() if len(r) else np.mean(r), "is NaN"),
    ("01.4", lambda r, n: ap(r, n) if len(r) else 1.0, "you return 1, it should be 0"),
    ("01.4", ap_from_the_left, "not of all places"),
    ("01.4", ap_interpolated, "you return"),
    ("01.4", ap_trapezoid, "you return"),
    ("01.4", lambda r, n: max(hinted_ap(r[:k], n) for k in range(len(r) + 1)) / 2, "you return"),
    ("01.4", lambda r, n: (lambda t, q: np.mean([q[t / n >= x].max() for x in np.linspace(0, 1, 101)]))(
        np.cumsum(r), np.cumsum(r) / np.arange(1, len(r) + 1)), "your code stopped with ValueError"),
    ("01.4", forgotten_return, "is there a `return`?"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_solution_passes_and_stub_fails(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize(("id", "answer"), OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize(("id", "mutant", "says"), MUTANTS)
def test_a_wrong_answer_is_told_what_is_wrong(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)
