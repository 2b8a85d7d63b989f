"""Checks of the exercises of notebook 06, the U-Net's weight map."""

from collections.abc import Iterator

import numpy as np
from scipy.ndimage import distance_transform_edt, label

from seglab.exercises import Case, exercise


@exercise("06.1", title="How far the border term reaches", hints=[
    "Write the border term for s = d1 + d2 and divide by its value at s = 0. What has to equal `fraction`?",
    "exp(-s**2 / (2 * sigma**2)) = fraction. Take the logarithm of both sides; w0 is gone already.",
    "s**2 = -2 * sigma**2 * ln(fraction), so s = sigma * sqrt(2 * ln(1 / fraction)).",
], points=1, count=5)
def reach(answer) -> Iterator[Case]:
    """``answer(sigma, fraction)``: d1 + d2 in px at which the border term is that fraction of w0."""
    for sigma, fraction in ((5.0, 0.5), (5.0, 0.01), (2.0, 0.1), (10.0, 0.9)):
        got, want = answer(sigma, fraction), sigma * np.sqrt(2 * np.log(1 / fraction))
        slips = {sigma * np.sqrt(np.log(1 / fraction)): "the formula divides by 2 sigma^2: the 2 is lost",
                 sigma ** 2 * 2 * np.log(1 / fraction): "this is s squared: take the root",
                 -want: "a distance cannot be negative: the root has two signs",
                 want / 2: "d1 + d2 is asked for, not d1 alone"}
        yield f"sigma = {sigma:g}, fraction {fraction:g}: {want:.2f} px", _close(got, want), _slip(got, slips)
    yield "the whole of w0 is reached at distance 0", _close(answer(5.0, 1.0), 0), "ln(1) is 0"


def _maps() -> dict[str, np.ndarray]:
    """Label maps that trip the usual shortcuts."""
    apart = np.zeros((7, 12), int)
    apart[1:4, 1:4], apart[2:6, 8:11] = 1, 2
    three = apart.copy()
    three[6, 5] = 3
    touching = np.zeros((6, 9), int)
    touching[1:4, 1:4], touching[1:4, 4:8] = 1, 2
    gaps = np.where(three == 2, 40, np.where(three == 1, 7, three))
    return {"two cells": apart, "three cells, the nearest not always first": three, "cells that touch": touching,
            "ids with gaps between them": gaps}


def _sorted_distances(labels: np.ndarray) -> np.ndarray:
    return np.sort([distance_transform_edt(labels != k) for k in np.unique(labels[labels > 0])], axis=0)


@exercise("06.2", title="The two nearest cells", hints=[
    "One distance transform a cell: distance_transform_edt(labels != k) is the distance to cell k. The ids are "
    "np.unique(labels[labels > 0]).",
    "Keep two arrays that start at infinity. A new distance d either beats d1, and then the old d1 becomes second, or "
    "it may still beat d2.",
    "For each k: d2 = np.minimum(d2, np.maximum(d1, d)), and only then d1 = np.minimum(d1, d).",
], points=3, count=6)
def two_nearest(answer) -> Iterator[Case]:
    """``answer(labels)``: the arrays d1, d2 of distances to the nearest and second nearest cell."""
    for name, labels in _maps().items():
        got = answer(labels.copy())
        shaped = isinstance(got, tuple | list | np.ndarray) and len(got) == 2 and all(
            np.shape(d) == labels.shape for d in got)
        if not shaped:
            yield name, False, f"return two arrays of shape {labels.shape}, d1 and d2"
            return
        d1, d2 = (np.asarray(d, float) for d in got)
        want = _sorted_distances(labels)
        right = np.allclose(d1, want[0]) and np.allclose(d2, want[1])
        yield name, right, "" if right else _why_not_nearest(labels, d1, d2, want)
    one = np.zeros((4, 5), int)
    one[1:3, 1:3] = 6
    d1, d2 = (np.asarray(d, float) for d in answer(one))
    yield "one cell only: d2 is infinite everywhere", bool(np.isinf(d2).all()), \
        f"d2 is {d2.ravel()[0]:g} at the corner: with no second cell nothing may lie near; start from np.inf"
    yield "one cell only: d1 is right", np.allclose(d1, distance_transform_edt(one != 6)), "is the only cell measured?"


def _why_not_nearest(labels, d1, d2, want) -> str:
    ids = np.unique(labels[labels > 0])
    inside = labels > 0
    components = label(labels > 0)[0]
    if components.max() < len(ids):
        return "touching cells were taken for one: number nothing anew, use the ids of the label map"
    if np.allclose(d1, want[0]) and np.allclose(d2, distance_transform_edt(labels != ids[1])):
        return "d2 is the distance to the *second id*, whichever cell is nearer: sort at every pixel"
    if np.allclose(d1[~inside], 0):
        return "d1 is 0 on the background: distance_transform_edt measures to the nearest False; pass labels != k"
    if np.allclose(d1, want[0]) and (d2 < want[1] - 1e-9).any():
        return "d2 is too small in places: does a cell count twice? Update d2 before d1"
    if np.allclose(d1, want[0]) and (d2 > want[1] + 1e-9).any():
        return "d2 is too large in places: when a new cell becomes nearest, the old nearest becomes second"
    y, x = np.unravel_index(np.argmax(np.abs(d1 - want[0]) + np.abs(d2 - want[1])), labels.shape)
    return f"at ({y}, {x}) you have {d1[y, x]:.2f} and {d2[y, x]:.2f}, " \
           f"the nearest two cells are {want[0][y, x]:.2f} and {want[1][y, x]:.2f} px away"


@exercise("06.3", title="A class term for the whole training set", hints=[
    "Count pixels over *all* maps before dividing. A rare class gets a large weight: inverse frequency.",
    "Two classes should weigh the same in total, and the mean over all pixels should be 1: with share f of the "
    "foreground, its total is f * weight.",
    "Each class may have half of the total: background 0.5 / (1 - f), foreground 0.5 / f. If f is 0 or 1, return "
    "(1.0, 1.0).",
], points=2, count=3)
def class_term(answer) -> Iterator[Case]:
    """``answer(label_maps)``: the weights (background, foreground)."""
    small, large = np.zeros((4, 4), int), np.zeros((10, 20), int)
    small[:2], large[2:6, 3:8], large[8, 10:15] = 5, 1, 2
    for name, maps in {"one map": [large], "two maps of different size": [small, large]}.items():
        f = sum((m > 0).sum() for m in maps) / sum(m.size for m in maps)
        got, want = answer([m.copy() for m in maps]), (0.5 / (1 - f), 0.5 / f)
        if np.shape(got) != (2,):
            yield name, False, f"return two numbers (background, foreground), not {got!r}"
            return
        each = np.mean([(0.5 / (m == 0).mean(), 0.5 / (m > 0).mean()) for m in maps], axis=0)
        slips = {want[::-1]: "swapped: the *rare* class is the heavy one, and background comes first",
                 (1 / (1 - f), 1 / f): "the mean over all pixels is 2: each class may have half of the total",
                 (1 - f, f): "this is the frequency itself: the frequent class would get heavier still",
                 (f, 1 - f): "right ratio, but the mean weight is not 1, so the border term's w0 = 10 would mean "
                             "something else in every data set",
                 tuple(each): "the mean of one balance a map is not the balance of all maps: count first, divide once"}
        yield f"{name}: ({want[0]:.2f}, {want[1]:.2f})", np.allclose(got, want), _slip(got, slips)
    empty = answer([np.zeros((3, 3), int)])
    yield "no cell anywhere: (1, 1), not a division by zero", np.allclose(empty, (1, 1)), f"got {empty!r}"


def _borders() -> tuple[np.ndarray, np.ndarray]:
    """Three cells in a row, 1 and 3 px apart; a prediction that bridges half of the first gap."""
    labels = np.zeros((10, 20), int)
    labels[2:8, 1:6], labels[2:8, 7:12], labels[2:8, 15:19] = 3, 1, 2
    predicted = labels > 0
    predicted[2:5, 6] = True
    return labels, predicted


@exercise("06.4", title="A score for the borders alone", hints=[
    "Which pixels are meant? Background of the truth, with d1 + d2 at most `within` px.",
    "You need both distances: sort the distance transforms of all cells at each pixel, and take the first two.",
    "border = (labels == 0) & (d1 + d2 <= within); return (~predicted[border]).mean(), and 1.0 if no pixel is border.",
], points=3, count=5)
def border_recall(answer) -> Iterator[Case]:
    """``answer(labels, predicted, within)``: share of the thin background that was predicted as background."""
    labels, predicted = _borders()
    d1, d2 = _sorted_distances(labels)[:2]
    background = labels == 0
    for within in (2, 4):
        border = background & (d1 + d2 <= within)
        want = 1 - predicted[border].mean()
        got = answer(labels.copy(), predicted.copy(), within)
        if border[predicted & background].all() and _close(got, 1 - predicted[background].mean()):
            advice = "this is the recall of the *whole* background, which the wide empty parts make look good"
        elif _close(got, 1 - want):
            advice = "this is the share that was lost: count the pixels predicted as background"
        elif _close(got, 1 - predicted[d1 + d2 <= within].mean()):
            advice = "pixels inside the cells count too: d1 is 0 there; keep to labels == 0"
        elif _close(got, 1 - predicted[background & (d1 <= within)].mean()):
            advice = "every rim counts here, also where no second cell is near: use d1 + d2"
        else:
            advice = f"you return {got!r}; the border has {border.sum()} pixels, " \
                     f"{(~predicted)[border].sum()} of them predicted as background"
        yield f"within {within} px: {want:.3f}", _close(got, want), advice
    yield "a perfect prediction has 1", _close(answer(labels, labels > 0, 4), 1), "the truth itself must be perfect"
    yield "everything foreground has 0", _close(answer(labels, np.ones_like(predicted), 4), 0), \
        "no border pixel is background in this prediction"
    alone = np.where(labels == 1, 1, 0)
    got = answer(alone, alone > 0, 4)
    yield "a single cell has no border: nothing to miss, 1", _close(got, 1), \
        f"you return {got!r}; the mean of no pixel is NaN, decide what it means"


def _close(got, want) -> bool:
    return got is not None and np.ndim(got) == 0 and bool(np.isclose(float(got), want, atol=1e-6))


def _slip(got, slips: dict) -> str:
    """The advice for a known slip, or what came instead."""
    if got is None:
        return "the function returns None: is there a `return`?"
    for value, advice in slips.items():
        if np.shape(got) == np.shape(value) and np.allclose(got, value):
            return advice
    return f"you return {got!r}"
