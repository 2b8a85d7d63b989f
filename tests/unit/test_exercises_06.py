"""The checks of notebook 06: the solution passes, the stub fails, and each typical slip is named."""
import numpy as np
import pytest
from exercise_checks import slip_is_named, solution_passes_and_blank_fails
from scipy.ndimage import distance_transform_edt, label

from seglab.exercises import find

edt = distance_transform_edt


def ids(labels):
    return np.unique(labels[labels > 0])


def reach(sigma, fraction):
    return sigma * np.sqrt(2 * np.log(1 / fraction))


def two_nearest(labels):
    d1, d2 = np.full((2, *labels.shape), np.inf)
    for k in ids(labels):
        d = edt(labels != k)
        d2, d1 = np.minimum(d2, np.maximum(d1, d)), np.minimum(d1, d)
    return d1, d2


def class_term(label_maps):
    f = sum((m > 0).sum() for m in label_maps) / sum(m.size for m in label_maps)
    return (0.5 / (1 - f), 0.5 / f) if 0 < f < 1 else (1.0, 1.0)


def border_recall(labels, predicted, within):
    d1, d2 = two_nearest(labels)
    border = (labels == 0) & (d1 + d2 <= within)
    return (~predicted[border]).mean() if border.any() else 1.0


def unsorted_second(labels):
    d = [edt(labels != k) for k in ids(labels)] + [np.full(labels.shape, np.inf)]
    return np.min(d, axis=0), d[1]


def renumbered(labels):
    return two_nearest(label(labels > 0)[0])


def inside_out(labels):
    d = np.sort([edt(labels == k) for k in ids(labels)] + [np.full(labels.shape, np.inf)], axis=0)
    return d[0], d[1]


def forgets_the_old_nearest(labels):
    d1, d2 = np.full((2, *labels.shape), np.inf)
    for k in ids(labels):
        d = edt(labels != k)
        d2 = np.where((d >= d1) & (d < d2), d, d2)
        d1 = np.minimum(d1, d)
    return d1, d2


def updates_first_too_early(labels):
    d1, d2 = np.full((2, *labels.shape), np.inf)
    for k in ids(labels):
        d = edt(labels != k)
        d1 = np.minimum(d1, d)
        d2 = np.minimum(d2, np.maximum(d1, d))
    return d1, d2


def zeros_for_no_second(labels):
    d1, d2 = two_nearest(labels)
    return d1, np.where(np.isinf(d2), 0, d2)


def recall_of(region):
    def answer(labels, predicted, within):
        chosen = region(labels, *two_nearest(labels), within)
        return (~predicted[chosen]).mean() if chosen.any() else 1.0
    return answer


def border(labels, d1, d2, within):
    return (labels == 0) & (d1 + d2 <= within)


SOLUTIONS = {"06.1": reach, "06.2": two_nearest, "06.3": class_term, "06.4": border_recall}
MUTANTS = [
    ("06.1", lambda s, f: s * np.sqrt(np.log(1 / f)), "the 2 is lost"),
    ("06.1", lambda s, f: 2 * s**2 * np.log(1 / f), "take the root"),
    ("06.1", lambda s, f: -s * np.sqrt(2 * np.log(1 / f)), "cannot be negative"),
    ("06.1", lambda s, f: s * np.sqrt(2 * np.log(1 / f)) / 2, "not d1 alone"),
    ("06.1", lambda s, f: None, "return"),
    ("06.1", lambda s, f: s, "you return"),
    ("06.2", unsorted_second, "second id"),
    ("06.2", renumbered, "touching cells were taken for one"),
    ("06.2", inside_out, "labels != k"),
    ("06.2", forgets_the_old_nearest, "too large in places"),
    ("06.2", updates_first_too_early, "too small in places"),
    ("06.2", zeros_for_no_second, "np.inf"),
    ("06.2", lambda labels: two_nearest(labels)[0], "two arrays"),
    ("06.2", lambda labels: None, "two arrays"),
    ("06.3", lambda maps: class_term(maps)[::-1], "swapped"),
    ("06.3", lambda maps: tuple(2 * w for w in class_term(maps)), "the mean over all pixels is 2"),
    ("06.3", lambda maps: tuple(np.mean([class_term([m]) for m in maps], axis=0)), "count first, divide once"),
    ("06.3", lambda maps: tuple(0.5 / w for w in class_term(maps)), "the frequency itself"),
    ("06.3", lambda maps: tuple(0.5 / w for w in class_term(maps)[::-1]), "mean weight is not 1"),
    ("06.3", lambda maps: (1.0, 1.0), "you return"),
    ("06.3", lambda maps: class_term(maps)[1], "two numbers"),
    ("06.3", lambda maps: 1 / 0, "ZeroDivisionError"),
    ("06.4", recall_of(lambda labels, d1, d2, within: labels == 0), "whole"),
    ("06.4", lambda *a: 1 - border_recall(*a), "share that was lost"),
    ("06.4", recall_of(lambda labels, d1, d2, within: d1 + d2 <= within), "inside the cells"),
    ("06.4", recall_of(lambda labels, d1, d2, within: (labels == 0) & (d1 <= within)), "every rim"),
    ("06.4", recall_of(lambda labels, d1, d2, within: border(labels, d1, d2, within - 1)), "the border has"),
    ("06.4", lambda labels, p, within: (~p[border(labels, *two_nearest(labels), within)]).sum() /
     border(labels, *two_nearest(labels), within).sum(), "mean of no pixel"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(find(id).hints[0]) > 20
