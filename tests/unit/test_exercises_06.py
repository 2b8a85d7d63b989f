"""The checks of notebook 06: the solution passes, the stub fails, and each typical slip is named."""
import math

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails
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


def first_id_dropped(labels):
    d = [edt(labels != k) for k in np.unique(labels)[1:]] + [np.full(labels.shape, np.inf)] * 2
    d = np.sort(d, axis=0)
    return d[0], d[1]


def all_at_once(labels):
    d = np.stack([edt(labels != k) for k in ids(labels)] + [np.full(labels.shape, np.inf)] * 2)
    return list(torch.from_numpy(np.partition(d, 1, axis=0)[:2]))


def pixel_by_pixel(labels):
    d1, d2 = np.full((2, *labels.shape), np.inf, np.float32)
    places = [np.argwhere(labels == k) for k in sorted(set(labels.ravel().tolist()) - {0})]
    for y, x in np.ndindex(labels.shape):
        near = sorted(min(math.hypot(y - a, x - b) for a, b in cell) for cell in places) + [math.inf] * 2
        d1[y, x], d2[y, x] = near[:2]
    return d1, d2


def balanced_by_concatenating(label_maps):
    f = torch.cat([torch.from_numpy(m).flatten() > 0 for m in label_maps]).double().mean()
    return torch.stack([0.5 / (1 - f), 0.5 / f]) if 0 < f < 1 else np.ones(2)


def counted_in_loops(label_maps):
    cells = pixels = 0
    for m in label_maps:
        for value in m.ravel().tolist():
            cells, pixels = cells + (value > 0), pixels + 1
    if cells in (0, pixels):
        return [1, 1]
    return [pixels / 2 / (pixels - cells), pixels / 2 / cells]


def recall_in_loops(labels, predicted, within):
    d1, d2 = pixel_by_pixel(labels)
    seen = [not predicted[p] for p in np.ndindex(labels.shape) if labels[p] == 0 and d1[p] + d2[p] <= within]
    return sum(seen) / len(seen) if seen else 1


def inverts_in_place(labels, predicted, within):
    np.logical_not(predicted, out=predicted)
    return border_recall(labels, ~predicted, within)


def components_as_cells(labels, predicted, within):
    return border_recall(np.where(labels > 0, label(labels > 0)[0], 0), predicted, within)


def nan_when_far(labels, predicted, within):
    if len(ids(labels)) < 2:
        return 1.0
    chosen = border(labels, *two_nearest(labels), within)
    return (~predicted[chosen]).sum() / np.float64(chosen.sum())


def each_map(maps):
    rows = [class_term([m]) for m in maps if 0 < (m > 0).mean() < 1]
    return tuple(np.mean(rows, axis=0)) if rows else (1.0, 1.0)


def one_lacking_map_is_enough(maps):
    return (1.0, 1.0) if any(not 0 < (m > 0).mean() < 1 for m in maps) else class_term(maps)


def skips_lacking_maps(maps):
    kept = [m for m in maps if 0 < (m > 0).mean() < 1]
    return class_term(kept) if kept else (1.0, 1.0)


SOLUTIONS = {"06.1": reach, "06.2": two_nearest, "06.3": class_term, "06.4": border_recall}
OTHERS = [
    ("06.1", lambda s, f: math.sqrt(-2 * math.log(f)) * s), ("06.1", lambda s, f: np.float32(reach(s, f))),
    ("06.1", lambda s, f: torch.tensor(-2.0 * s * s * math.log(f)).sqrt()),
    ("06.2", all_at_once), ("06.2", pixel_by_pixel), ("06.2", lambda labels: np.stack(two_nearest(labels))),
    ("06.3", balanced_by_concatenating), ("06.3", counted_in_loops), ("06.3", lambda m: np.float32(class_term(m))),
    ("06.4", recall_in_loops), ("06.4", lambda *a: torch.tensor(border_recall(*a))),
    ("06.4", lambda labels, predicted, within: border_recall(labels, predicted.astype(bool), float(within))),
]
MUTANTS = [
    ("06.1", lambda s, f: s * np.sqrt(-2 * np.log10(f)), "the natural one"),
    ("06.1", lambda s, f: 5 * np.sqrt(-2 * np.log(f)), "you return"),
    ("06.1", lambda s, f: s * np.sqrt(2 * np.log(f)), "you return nan"),
    ("06.2", lambda labels: (two_nearest(labels)[0] if labels.any() else 0.0 * labels, two_nearest(labels)[1]),
     "d1 is infinite"),
    ("06.2", first_id_dropped, "drops a real cell"),
    ("06.2", lambda labels: two_nearest(labels)[::-1], "at ("),
    ("06.2", lambda labels: tuple(d * (labels == 0) + 1 for d in two_nearest(labels)), "at ("),
    ("06.2", lambda labels: tuple(d.round() for d in two_nearest(labels)), "at ("),
    ("06.3", each_map, "count first, divide once"),
    ("06.3", one_lacking_map_is_enough, "no* map has the class"),
    ("06.3", skips_lacking_maps, "have pixels of the other"),
    ("06.3", lambda maps: class_term(maps) if any(m.any() for m in maps) and any((m == 0).any() for m in maps)
     else (1.0, 0.5), "cannot be balanced"),
    ("06.3", lambda maps: class_term([(m > 1).astype(int) for m in maps]), "you"),
    ("06.4", inverts_in_place, "it changes `predicted`"),
    ("06.4", components_as_cells, "cells that touch are two cells"),
    ("06.4", nan_when_far, "mean of no pixel"),
    ("06.4", recall_of(lambda labels, d1, d2, within: (labels == 0) & (d1 + d2 < within)), "<="),
    ("06.4", lambda labels, predicted, within: border_recall(labels, predicted, 3), "the border has"),
    ("06.4", lambda labels, predicted, within: border_recall(labels, predicted, within) * 100, "you return 50"),
    ("06.1", lambda s, f: s * np.sqrt(np.log(1 / f)), "the 2 is lost"),
    ("06.1", lambda s, f: 2 * s**2 * np.log(1 / f), "take the root"),
    ("06.1", lambda s, f: -s * np.sqrt(2 * np.log(1 / f)), "cannot be negative"),
    ("06.1", lambda s, f: s * np.sqrt(2 * np.log(1 / f)) / 2, "not d1 alone"),
    ("06.1", lambda s, f: None, "return"),
    ("06.1", lambda s, f: s, "you return"),
    ("06.2", unsorted_second, "second id"),
    ("06.2", renumbered, "touching cells are two"),
    ("06.2", inside_out, "labels != k"),
    ("06.2", forgets_the_old_nearest, "too large in places"),
    ("06.2", updates_first_too_early, "too small in places"),
    ("06.2", zeros_for_no_second, "np.inf"),
    ("06.2", lambda labels: two_nearest(labels)[0], "two arrays"),
    ("06.2", lambda labels: None, "is there a `return`?"),
    ("06.3", lambda maps: class_term(maps)[::-1], "swapped"),
    ("06.3", lambda maps: tuple(2 * w for w in class_term(maps)), "the mean over all pixels is 2"),
    ("06.3", lambda maps: tuple(np.mean([class_term([m]) for m in maps], axis=0)), "count first, divide once"),
    ("06.3", lambda maps: tuple(0.5 / w for w in class_term(maps)), "the frequency itself"),
    ("06.3", lambda maps: tuple(0.5 / w for w in class_term(maps)[::-1]), "mean weight is not 1"),
    ("06.3", lambda maps: (1.0, 1.0), "here one has"),
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


@pytest.mark.parametrize("id, answer", OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(find(id).hints[0]) > 20
