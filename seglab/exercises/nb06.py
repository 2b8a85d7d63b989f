"""Checks of the exercises of notebook 06, the U-Net's weight map."""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.ndimage import distance_transform_edt, label
from scipy.spatial.distance import cdist

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, differs, not_shaped, numbers, short, slip


@exercise("06.1", title="How far the border term reaches", hints=[
    "Write the border term for s = d1 + d2 and divide by its value at s = 0. What has to equal `fraction`?",
    "exp(-s**2 / (2 * sigma**2)) = fraction. Take the logarithm of both sides; w0 is gone already.",
    "s**2 = -2 * sigma**2 * ln(fraction), so s = sigma * sqrt(2 * ln(1 / fraction)).",
], points=1, count=6)
def reach(answer: Callable) -> Iterator[Case]:
    """``answer(sigma, fraction)``: d1 + d2 in px at which the border term is that fraction of w0."""
    for sigma, fraction in ((5.0, 0.5), (5.0, 0.01), (2.0, 0.1), (10.0, 0.9), (5, np.exp(-0.5))):
        got, want = answer(sigma, fraction), sigma * np.sqrt(-2 * np.log(fraction))
        slips = {sigma * np.sqrt(np.log(1 / fraction)): "the formula divides by 2 sigma^2: the 2 is lost",
                 2 * sigma**2 * np.log(1 / fraction): "this is s squared: take the root",
                 -want: "a distance cannot be negative: the root has two signs",
                 want / 2: "d1 + d2 is asked for, not d1 alone",
                 sigma * np.sqrt(-2 * np.log10(fraction)): "the logarithm that undoes exp is the natural one"}
        yield f"sigma = {sigma:g}, fraction {fraction:.4g}: {want:.2f} px", close(got, want), slip(got, want, slips)
    got = answer(5.0, 1.0)
    yield "the whole of w0 is reached at distance 0", close(got, 0), f"{differs(got, 0)}; ln(1) is 0"


def _maps() -> dict[str, np.ndarray]:
    """Label maps that trip the usual shortcuts."""
    apart = np.zeros((7, 12), int)
    apart[1:4, 1:4], apart[2:6, 8:11] = 1, 2
    three = apart.copy()
    three[6, 5] = 3
    touching = np.zeros((6, 9), int)
    touching[1:4, 1:4], touching[1:4, 4:8] = 1, 2
    gaps = np.where(three == 2, 40, np.where(three == 1, 7, three))
    full = np.ones((5, 8), int)
    full[:, 3:6], full[:, 6:] = 2, 9
    parts = apart.copy()
    parts[6, 0:2] = 2
    return {"two cells": apart, "three cells, the nearest not always first": three, "cells that touch": touching,
            "ids with gaps between them": gaps, "no background at all": full, "a cell of two parts": parts}


def _sorted_distances(labels: np.ndarray) -> np.ndarray:
    """Distances to the cells at every pixel, nearest first, (N, H, W): pixel by pixel, without a transform."""
    pixels = np.stack(np.indices(labels.shape), -1).reshape(-1, 2)
    each = [cdist(pixels, np.argwhere(labels == k)).min(1) for k in np.unique(labels[labels > 0])]
    return np.sort(each, axis=0).reshape(-1, *labels.shape)


@exercise("06.2", title="The two nearest cells", hints=[
    "One distance transform a cell: distance_transform_edt(labels != k) is the distance to cell k. The ids are "
    "np.unique(labels[labels > 0]).",
    "Keep two arrays that start at infinity. A new distance d either beats d1, and then the old d1 becomes second, or "
    "it may still beat d2.",
    "For each k: d2 = np.minimum(d2, np.maximum(d1, d)), and only then d1 = np.minimum(d1, d).",
], points=3, count=9)
def two_nearest(answer: Callable) -> Iterator[Case]:
    """``answer(labels)``: the arrays d1, d2 of distances to the nearest and second nearest cell."""
    for name, labels in _maps().items():
        got = answer(labels)
        if form := _two_arrays(got, labels.shape):
            yield name, False, form
            return
        want = _sorted_distances(labels)
        right = close(got[0], want[0]) and close(got[1], want[1])
        yield name, right, "" if right else _why_not_nearest(labels, *map(numbers, got), want)
    one = np.zeros((4, 5), int)
    one[1:3, 1:3] = 6
    for name, labels in (("one cell only", one), ("no cell", one * 0)):
        got = answer(labels)
        form = _two_arrays(got, one.shape)
        if form:
            yield f"{name}: d2 is infinite everywhere", False, form
            return
        d1, d2 = map(numbers, got)
        lonely = np.isposinf(d2).all() and (labels.any() or np.isposinf(d1).all())
        yield f"{name}: d2 is infinite everywhere", bool(lonely), \
            "without any cell d1 is infinite as well" if np.isposinf(d2).all() else \
            f"d2 is {d2.ravel()[0]:g} at the corner: with no second cell nothing may lie near; start from np.inf"
        if labels.any():
            want = _sorted_distances(one)[0]
            yield "one cell only: d1 is right", close(d1, want), f"{differs(d1, want)}; is the only cell measured?"


def _two_arrays(got: object, shape: tuple[int, ...]) -> str:
    """What is wrong with the form of (d1, d2), in words; empty when it is right."""
    if not isinstance(got, tuple | list | np.ndarray) or len(got) != 2:
        return f"return two arrays of shape {shape}, d1 and d2, not {short(got)}"
    return next((form for form in (not_shaped(d, shape, "two arrays") for d in got) if form), "")


def _why_not_nearest(labels: np.ndarray, d1: np.ndarray, d2: np.ndarray, want: np.ndarray) -> str:
    ids = np.unique(labels[labels > 0])
    inside = labels > 0
    components = _sorted_distances(label(labels > 0)[0])
    if len(components) != len(ids) and close(d1, components[0]) and (len(components) < 2 or close(d2, components[1])):
        return "the ids of the label map say what a cell is: touching cells are two, parts of one id are one"
    if not inside.all() and len(ids) > 1 and close(d1, _sorted_distances(np.where(labels == ids[0], 0, labels))[0]):
        return "the first id is never measured: it is a cell like the others"
    if inside.all() and close(d2, _sorted_distances(np.where(labels == ids[0], 0, labels))[1]):
        return "without background np.unique(labels)[1:] drops a real cell: take np.unique(labels[labels > 0])"
    if close(d1, want[0]) and close(d2, distance_transform_edt(labels != ids[1])):
        return "d2 is the distance to the *second id*, whichever cell is nearer: sort at every pixel"
    if (~inside).any() and close(d1[~inside], 0 * d1[~inside]):
        return "d1 is 0 on the background: distance_transform_edt measures to the nearest False; pass labels != k"
    if close(d1, want[0]) and (d2 < want[1] - 1e-9).any():
        return "d2 is too small in places: does a cell count twice? Update d2 before d1"
    if close(d1, want[0]) and (d2 > want[1] + 1e-9).any():
        return "d2 is too large in places: when a new cell becomes nearest, the old nearest becomes second"
    return f"d1: {differs(d1, want[0]) or 'right'}; d2: {differs(d2, want[1]) or 'right'}"


@exercise("06.3", title="A class term for the whole training set", hints=[
    "Count pixels over *all* maps before dividing. A rare class gets a large weight: inverse frequency.",
    "Two classes should weigh the same in total, and the mean over all pixels should be 1: with share f of the "
    "foreground, its total is f * weight.",
    "Each class may have half of the total: background 0.5 / (1 - f), foreground 0.5 / f. If f is 0 or 1, return "
    "(1.0, 1.0).",
], points=2, count=6)
def class_term(answer: Callable) -> Iterator[Case]:
    """``answer(label_maps)``: the weights (background, foreground)."""
    small, large = np.zeros((4, 4), int), np.zeros((10, 20), int)
    small[:2], large[2:6, 3:8], large[8, 10:15] = 5, 1, 2
    empty, full = np.zeros((3, 3), int), np.full((2, 5), 7)
    for name, maps in {"one map": [large], "two maps of different size": [small, large],
                       "a map without a cell counts too": [large, empty], "and one without background": [full, small]
                       }.items():
        pixels = np.concatenate([m.ravel() for m in maps]) > 0
        got, want = answer(maps), (0.5 * len(pixels) / (~pixels).sum(), 0.5 * len(pixels) / pixels.sum())
        if form := not_shaped(got, (2,), "two numbers (background, foreground), an array or tuple"):
            yield name, False, form
            return
        f = pixels.mean()
        each = np.mean([(0.5 / (m == 0).mean(), 0.5 / (m > 0).mean()) for m in maps if 0 < (m > 0).mean() < 1], axis=0)
        shares = np.mean([(m > 0).mean() for m in maps])
        mixed = [m for m in maps if 0 < (m > 0).mean() < 1]
        some = np.concatenate([m.ravel() for m in mixed]) > 0
        slips = [(want[::-1], "swapped: the *rare* class is the heavy one, and background comes first"),
                 ((1 / (1 - f), 1 / f), "the mean over all pixels is 2: each class may have half of the total"),
                 ((1 - f, f), "this is the frequency itself: the frequent class would get heavier still"),
                 ((f, 1 - f), "right ratio, but the mean weight is not 1, so the border term's w0 = 10 would mean "
                              "something else in every data set"),
                 ((0.5 / (1 - shares), 0.5 / shares), "the mean of the maps' shares weighs a small map like a large "
                                                      "one: count pixels over all maps"),
                 ((0.5 / (~some).mean(), 0.5 / some.mean()), "maps that lack a class have pixels of the other: count "
                                                             "them too"),
                 (tuple(each), "the mean of one balance a map is not the balance of all maps: count first, divide "
                               "once"),
                 ((1, 1), "(1, 1) is for a list in which *no* map has the class; here one has")]
        yield f"{name}: ({want[0]:.2f}, {want[1]:.2f})", close(got, want), slip(got, want, slips)
    for name, maps in (("no cell anywhere", [empty]), ("no background anywhere", [full, full])):
        got = answer(maps)
        yield f"{name}: (1, 1), not a division by zero", close(got, (1, 1)), \
            f"you return {short(got)}; a class that never occurs cannot be balanced"


def _borders() -> tuple[np.ndarray, np.ndarray]:
    """Cells in a row, 1 and 3 px apart, and two that touch; a prediction that bridges half of the first gap."""
    labels = np.zeros((10, 24), int)
    labels[2:8, 1:6], labels[2:8, 7:12], labels[2:8, 15:19], labels[2:8, 19:23] = 3, 1, 2, 8
    predicted = labels > 0
    predicted[2:5, 6] = True
    return labels, predicted


@exercise("06.4", title="A score for the borders alone", hints=[
    "Which pixels are meant? Background of the truth, with d1 + d2 at most `within` px.",
    "You need both distances: sort the distance transforms of all cells at each pixel, and take the first two.",
    "border = (labels == 0) & (d1 + d2 <= within); return (~predicted[border]).mean(), and 1.0 if no pixel is border.",
], points=3, count=7)
def border_recall(answer: Callable) -> Iterator[Case]:
    """``answer(labels, predicted, within)``: share of the thin background that was predicted as background."""
    labels, predicted = _borders()
    d1, d2 = _sorted_distances(labels)[:2]
    background = labels == 0
    merged = _sorted_distances(label(labels > 0)[0])[:2]
    for within in (2, 4):
        border = background & (d1 + d2 <= within)
        got, want = answer(labels, predicted, within), 1 - predicted[border].mean()
        slips = [(1 - predicted[background].mean(),
                  "this is the recall of the *whole* background, which the wide empty parts make look good"),
                 (1 - want, "this is the share that was lost: count the pixels predicted as background"),
                 (1 - predicted[d1 + d2 <= within].mean(),
                  "pixels inside the cells count too: d1 is 0 there; keep to labels == 0"),
                 (1 - predicted[background & (d1 <= within)].mean(),
                  "every rim counts here, also where no second cell is near: use d1 + d2"),
                 (1 - predicted[background & (merged.sum(0) <= within)].mean(),
                  "cells that touch are two cells: use the ids of `labels`, not the components of labels > 0"),
                 (1 - predicted[background & (d1 + d2 < within)].mean(), "d1 + d2 = within belongs to the border: <=")]
        advice = f"; the border has {border.sum()} pixels, {(~predicted)[border].sum()} of them predicted as background"
        yield f"within {within} px: {want:.3f}", close(got, want), slip(got, want, slips) + advice
    cells = labels > 0
    for name, guess, want, why in (
            ("a perfect prediction has 1", cells, 1, "the truth itself must be perfect"),
            ("everything foreground has 0", np.ones_like(cells), 0, "no border pixel is background here")):
        got = answer(labels, guess, 4)
        yield name, close(got, want), f"{differs(got, want)}; {why}"
    alone, far = np.where(labels == 1, 1, 0), np.where((labels == 3) | (labels == 8), labels, 0)
    for name, truth in (("a single cell has no border", alone), ("two cells too far apart", far),
                        ("no cell at all", alone * 0)):
        got = answer(truth, truth > 0, 4)
        yield f"{name}: nothing to miss, 1", close(got, 1), \
            f"you return {short(got)}; the mean of no pixel is NaN, decide what it means"
