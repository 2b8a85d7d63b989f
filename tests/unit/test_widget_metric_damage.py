"""The metric-damage lab over its whole range: what is damaged, what each metric sees, what is drawn."""

import time

import numpy as np
import pytest
from scipy import ndimage

from seglab.metrics import merges_and_splits, object_f1, warping_error
from seglab.widgets.metric_damage import (
    DAMAGES,
    close_pairs,
    damage,
    errors,
    metric_damage_lab,
    metric_damage_picture,
)


def discs(size=96):
    """Six discs of different radius; 1 and 2, 3 and 4 have one px between them."""
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), int)
    places = [(20, 14, 9), (20, 35, 10), (50, 20, 8), (50, 39, 9), (75, 20, 11), (70, 70, 12)]
    for k, (cy, cx, r) in enumerate(places, 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= r * r] = k
    return labels, np.array([0, 1, 2, 1, 1, 2, 2])


@pytest.mark.parametrize("kind", DAMAGES)
def test_no_damage_is_perfect_and_every_damage_is_seen_by_some_metric(kind):
    labels, classes = discs()
    untouched = labels.copy()
    assert set(errors(labels, classes, *damage(labels, classes, kind, 0)).values()) == {0.0}
    last = None
    for amount in (1, 2, 5):
        seen = errors(labels, classes, *damage(labels, classes, kind, amount))
        assert all(0 <= value <= 1 for value in seen.values()) and any(seen.values())
        assert last is None or sum(seen.values()) >= sum(last.values())
        last = seen
    assert (labels == untouched).all()


def test_each_damage_is_what_its_name_says():
    labels, classes = discs()
    assert close_pairs(labels) == [(1, 2), (3, 4)]
    assert object_f1(labels, damage(labels, classes, "missed objects", 2)[0])[3:] == (4, 0, 2)
    for amount in (1, 2, 5):
        merged, _ = damage(labels, classes, "merges", amount)
        assert merges_and_splits(labels, merged) == (min(amount, 2), 0)
        assert ndimage.label(merged)[1] == 6 - min(amount, 2)
    cut, kinds = damage(labels, classes, "splits", 3)
    assert merges_and_splits(labels, cut) == (0, 3) and ndimage.label(cut)[1] == 9 and len(kinds) == 10
    hole, _ = damage(labels, classes, "holes", 4)
    assert (labels != hole).sum() == 4 * 9 and ndimage.label(hole == 0)[1] == 5
    assert warping_error(labels > 0, hole > 0) == pytest.approx(36 / labels.size)
    same, swapped = damage(labels, classes, "class swaps", 2)
    assert (same == labels).all() and (swapped != classes).sum() == 2 and set(swapped[1:]) == {1, 2}
    moved, _ = damage(labels, classes, "shift", 2)
    assert (moved[:, 2:] == labels[:, :-2]).all() and not moved[:, :2].any()
    thick, _ = damage(labels, classes, "thicker borders", 1)
    assert (thick == np.where(ndimage.binary_erosion(labels > 0, np.ones((3, 3))), labels, 0)).all()


@pytest.mark.parametrize("gap, pairs", [(1, [(1, 2)]), (2, [])])
def test_pairs_are_close_with_one_pixel_between_them(gap, pairs):
    labels = np.zeros((6, 14), int)
    labels[1:5, 1:5] = 1
    labels[1:5, 5 + gap:9 + gap] = 2
    assert close_pairs(labels) == pairs


def test_what_a_metric_cannot_see():
    labels, classes = discs()
    seen = {kind: errors(labels, classes, *damage(labels, classes, kind, 1)) for kind in DAMAGES}
    assert seen["shift"]["warping error"] == seen["shift"]["1 - object F1"] == 0 < seen["shift"]["pixel error"]
    assert seen["holes"]["1 - object F1"] == 0 < seen["holes"]["warping error"]
    blind = ("1 - Dice", "1 - boundary F1", "Rand error", "warping error", "1 - object F1")
    assert all(seen["class swaps"][metric] == 0 for metric in blind) and seen["class swaps"]["1 - PQ"] > 0.05
    classes = np.minimum(classes, 1)                          # one class: a merge makes no class error
    shift, merge = (errors(labels, classes, *damage(labels, classes, kind, 1)) for kind in ("shift", "merges"))
    assert shift["pixel error"] > 5 * merge["pixel error"] and merge["Rand error"] > shift["Rand error"]
    assert merge["warping error"] > shift["warping error"] == 0


def test_pictures_have_one_size_differ_and_are_quick():
    labels, classes = discs(128)
    pictures, times = {}, []
    for kind in DAMAGES:
        for amount in range(6):
            begun = time.process_time()
            pictures[kind, amount] = metric_damage_picture(labels, classes, kind, amount)
            times.append(time.process_time() - begun)
    assert len({p.shape for p in pictures.values()}) == 1 and pictures["shift", 1].dtype == np.uint8
    ones = [pictures[kind, 1].tobytes() for kind in DAMAGES]
    assert len(set(ones)) == len(DAMAGES)
    assert np.median(times) < 0.15


@pytest.mark.parametrize("kind, amount, names", [("noise", 1, "kind"), ("merges", -1, "amount")])
def test_bad_input(kind, amount, names):
    with pytest.raises(ValueError, match=names):
        damage(*discs(), kind, amount)


def test_panel_redraws_and_holds_a_still():
    panel = metric_damage_lab(*discs())
    before = panel.image.value
    panel.controls["kind"].value = "shift"
    after = panel.image.value
    panel.controls["amount"].value = 3
    assert len({before, after, panel.image.value}) == 3 and "image/png" in panel._repr_mimebundle_()[0]
