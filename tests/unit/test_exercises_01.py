"""The checks of notebook 01: the solution passes, the empty stub fails, typical wrong answers are told why."""

import warnings

import numpy as np
import pytest

from seglab.check import check
from seglab.exercises import find
from seglab.metrics import ConfusionMatrix, dice, merges_and_splits


def verdict(id, answer, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)                # wrong answers divide by zero
        good = check(id, answer)
    return good, capsys.readouterr().out


def union(n):
    return n.sum(0) + n.sum(1) - np.diag(n)


def under(true, pred):
    """Predicted ids under each true object: (ids, pixels)."""
    return [np.unique(pred[true == k], return_counts=True) for k in np.unique(true[true > 0])]


def merges(true, pred, keep):
    homes = [i for ids, n in under(true, pred) for i, m in zip(ids, n) if keep(i, m, n.sum(), n[ids > 0].sum())]
    return len(homes) - len(set(homes))


def ap(right, positives, points=101, envelope=True, reached=None, reads=np.mean):
    tp = np.cumsum(right)
    precision = tp / np.arange(1, len(right) + 1)
    recall = tp / (positives if reached is None else max(right.sum(), 1))
    best = np.maximum.accumulate(precision[::-1])[::-1] if envelope else precision
    return reads(np.append(best, 0)[np.searchsorted(recall, np.linspace(0, 1, points))])


def mean_iou(n):
    counts = ConfusionMatrix(len(n))
    counts.counts[:] = n
    return counts.mean_iou()


SOLUTIONS = {"01.1": dice, "01.2": mean_iou, "01.3": lambda t, p: merges_and_splits(t, p).merges, "01.4": ap}


@pytest.mark.parametrize("id", SOLUTIONS)
def test_a_solution_passes_and_the_stub_fails(id, capsys):
    good, text = verdict(id, SOLUTIONS[id], capsys)
    assert good, text

    def stub(*arguments):
        raise NotImplementedError

    good, text = verdict(id, stub, capsys)
    assert not good and "not written yet" in text
    assert not verdict(id, lambda *arguments: None, capsys)[0]
    assert len(find(id).hints) >= 3


MUTANTS = [
    ("01.1", lambda t, p: (t & p).sum() / (t | p).sum(), "IoU"),
    ("01.1", lambda t, p: (t & p).sum() / (t.sum() + p.sum()), "count twice"),
    ("01.1", lambda t, p: (t == p).mean(), "pixel accuracy"),
    ("01.1", lambda t, p: 2 * (t & p).sum() / (t.sum() + p.sum()), "0/0 has no value of its own"),
    ("01.1", lambda t, p: 1 - dice(t, p), "Dice *loss*"),
    ("01.1", lambda t, p: (t & p).sum() / max(t.sum(), 1), "recall"),
    ("01.1", lambda t, p: 0.0 if not t.any() else dice(t, p), "you return 0.0"),
    ("01.2", lambda n: np.nan_to_num(np.diag(n) / union(n)).mean(), "counted as 0"),
    ("01.2", lambda n: np.nan_to_num(np.diag(n) / union(n), nan=1.0).mean(), "counted as 1"),
    ("01.2", lambda n: np.nanmean(np.diag(n) / union(n)), "the mean of no number is NaN"),
    ("01.2", lambda n: np.nanmean(np.diag(n) / n.sum(1)), "mean accuracy"),
    ("01.2", lambda n: np.nanmean((np.diag(n) / union(n))[n.sum(1) > 0]), "predicted but not there"),
    ("01.2", lambda n: np.nanmean(np.diag(n) / (n.sum(0) + n.sum(1))), "subtract n_ii once"),
    ("01.2", lambda n: np.nanmean(2 * np.diag(n) / (n.sum(0) + n.sum(1))), "mean Dice"),
    ("01.2", lambda n: np.diag(n).sum() / n.sum(), "pixel accuracy"),
    ("01.2", lambda n: np.diag(n).sum() / union(n).sum(), "class by class"),
    ("01.2", lambda n: np.nanmean((np.diag(n) / union(n))[1:]), "background is a class"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: 2 * m > all), "skip id 0"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: i > 0), "touching is not enough"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: i > 0 and 2 * m >= all), "*more* than half"),
    ("01.3", lambda t, p: merges(t, p, lambda i, m, all, covered: i > 0 and 2 * m > covered), "uncovered pixels"),
    ("01.3", lambda t, p: merges_and_splits(t, p).splits, "the other way round"),
    ("01.3", lambda t, p: int(merges_and_splits(t, p).merges > 0), "each lost border counts"),
    ("01.3", lambda t, p: max(len(np.unique(t[t > 0])) - len(np.unique(p[p > 0])), 0), "skip id 0"),
    ("01.4", lambda r, n: ap(r, n, points=11), "11 points"),
    ("01.4", lambda r, n: ap(r, n, envelope=False), "best precision from there *on*"),
    ("01.4", lambda r, n: ap(r, n, reads=lambda x: x[x > 0].mean() if x.any() else 0.0), "divide by 101"),
    ("01.4", lambda r, n: ap(r, n, reached="hits"), "missed objects must cost"),
    ("01.4", lambda r, n: (np.cumsum(r) / np.arange(1, len(r) + 1))[r].sum() / n, "without interpolation"),
    ("01.4", lambda r, n: (np.cumsum(r) / np.arange(1, len(r) + 1)).mean(), "mean precision"),
    ("01.4", lambda r, n: ap(r, n) if len(r) else 1.0, "you return 1.0"),
]


@pytest.mark.parametrize("id, mutant, advice", MUTANTS)
def test_a_wrong_answer_fails_and_is_told_why(id, mutant, advice, capsys):
    good, text = verdict(id, mutant, capsys)
    assert not good
    assert advice in text, text
