"""Cells: the gap is what it says, measured by distance transforms that the renderer does not use."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from seglab.data import Cells
from seglab.data.cells import carve


def nearest(labels):
    """Least distance between the pixels of any two cells, (pairs,) px, centre to centre."""
    found = []
    for one in range(1, labels.max() + 1):
        away = ndimage.distance_transform_edt(labels != one)
        found += [away[labels == other].min() for other in range(one + 1, labels.max() + 1)]
    return np.array(found)


@settings(deadline=None, max_examples=25)
@given(gap=st.integers(0, 8), index=st.integers(0, 9999), size=st.sampled_from([(128, 128), (96, 64)]))
def test_no_two_cells_are_nearer_than_the_gap(gap, index, size):
    labels = Cells(size=size, count=12, gap=gap)[index].instances.numpy()
    distances = nearest(labels)
    assert len(distances) == 0 or distances.min() >= gap + 1


@pytest.mark.parametrize("gap", [0, 1, 2, 3, 4, 6])
def test_crowded_neighbours_stand_at_just_that_gap(gap):
    cells = Cells(gap=gap, seed=1)
    distances = np.concatenate([nearest(cells[index].instances.numpy()) for index in range(4)])
    close = distances[distances < gap + 3]
    assert distances.min() == gap + 1 and len(close) >= 4 * 12
    assert (close <= gap + 1.5).mean() > 0.75


@settings(deadline=None, max_examples=25)
@given(index=st.integers(0, 9999), gap=st.integers(0, 5))
def test_cells_are_whole_and_near_the_asked_size(index, gap):
    sample = Cells(count=15, gap=gap)[index]
    labels = sample.instances.numpy()
    assert 10 <= len(sample) <= 15
    for cell in range(1, labels.max() + 1):
        assert ndimage.label(labels == cell)[1] == 1
    area = np.bincount(labels.ravel())[1:]
    assert area.min() >= 0.3 * np.pi * 7**2 and area.max() <= 1.6 * np.pi * 12**2


def test_same_index_same_picture():
    one, again = Cells(seed=3)[5], Cells(seed=3)[5]
    assert torch.equal(one.image, again.image) and torch.equal(one.instances, again.instances)
    assert not torch.equal(one.image, Cells(seed=3)[6].image)
    assert torch.equal(one.semantic, (one.instances > 0).long()) and one.classes.tolist() == [1] * len(one)


def test_blur_hides_small_gaps_but_not_wide_ones():
    def contrast(gap, blur):
        """Brightness in the gaps between cells over that in the cells."""
        dark, light = [], []
        for index in range(4):
            sample = Cells(gap=gap, blur=blur, noise=0, seed=2)[index]
            labels = sample.instances.numpy()
            near = [np.sort(ndimage.distance_transform_edt(labels != k)[None], 0)
                    for k in range(1, labels.max() + 1)]
            two = np.sort(np.concatenate(near), axis=0)[:2].sum(0)
            image = sample.image[0].numpy()
            dark.append(image[(labels == 0) & (two <= gap + 1.01)])
            light.append(image[labels > 0])
        return np.concatenate(dark).mean() / np.concatenate(light).mean()

    assert contrast(1, 1.5) > 0.6 > contrast(6, 1.5)
    assert contrast(1, 0) < 0.3


def test_carving_takes_from_both_sides():
    territory = np.repeat(np.array([[1] * 10 + [2] * 10], dtype=np.int32), 12, axis=0)
    for gap in range(7):
        labels = carve(territory.copy(), territory, gap, np.random.default_rng(0))
        taken = [10 - (labels == cell).sum(1) for cell in (1, 2)]
        assert (taken[0] + taken[1] == gap).all() and np.abs(taken[0] - taken[1]).max() <= 1


@pytest.mark.parametrize(("name", "value"), [
    ("size", (16, 64)), ("count", 0), ("radius", (2, 9)), ("radius", (12, 7)), ("radius", (7, 90)),
    ("gap", -1), ("gap", 1.5), ("gap", 40), ("blur", -1), ("noise", 2), ("length", 0), ("seed", -1),
])
def test_wrong_argument_is_named(name, value):
    with pytest.raises((TypeError, ValueError), match=name):
        Cells(**{name: value})


def test_index_beyond_the_end():
    for index in (-10_001, 10_000):
        with pytest.raises(IndexError):
            Cells()[index]


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), -float("inf")])
@pytest.mark.parametrize("name", ["count", "gap", "blur", "noise", "length", "seed"])
def test_numbers_that_are_none_are_refused(name, bad):
    with pytest.raises((TypeError, ValueError), match=name):
        Cells(**{name: bad})
    for pair in ((bad, 64), (64, bad)):
        with pytest.raises((TypeError, ValueError), match="size"):
            Cells(size=pair)
        with pytest.raises((TypeError, ValueError), match="radius"):
            Cells(radius=pair)
