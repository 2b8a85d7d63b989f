import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from seglab.ops import separate_touching

SHAPES = st.tuples(st.integers(1, 16), st.integers(1, 16))
LABELS = arrays(np.int32, SHAPES, elements=st.sampled_from([0, 1, 1, 2, 2, 3, 8]))
GAP = st.integers(0, 5)


def blocks(seed, size=24):
    """Random label map of large, touching regions, as cells are."""
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, size, (6, 2))
    y, x = np.mgrid[:size, :size]
    return np.argmin([(y - a) ** 2 + (x - b) ** 2 for a, b in seeds], axis=0) + 1


def smallest_distance(labels):
    """Chessboard distance of the closest two pixels of different instances, by brute force."""
    place = np.argwhere(labels)
    ids = labels[tuple(place.T)]
    far = np.abs(place[:, None] - place[None]).max(-1)
    different = ids[:, None] != ids[None]
    return far[different].min() if different.any() else np.inf


@pytest.mark.parametrize("gap, row", [
    (0, [1, 1, 1, 1, 2, 2, 2, 2]), (1, [1, 1, 1, 0, 2, 2, 2, 2]), (2, [1, 1, 1, 0, 0, 2, 2, 2]),
    (3, [1, 1, 0, 0, 0, 2, 2, 2]), (4, [1, 1, 0, 0, 0, 0, 2, 2])])
def test_straight_edges_end_with_exactly_the_gap(gap, row):
    labels = np.tile([1, 1, 1, 1, 2, 2, 2, 2], (5, 1))
    np.testing.assert_array_equal(separate_touching(labels, gap), np.tile(row, (5, 1)))
    np.testing.assert_array_equal(separate_touching(labels.T, gap), np.tile(row, (5, 1)).T)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_large_cells_are_apart_afterwards_and_lose_only_near_the_border(seed, gap):
    labels = blocks(seed)
    apart = separate_touching(labels, gap)
    if all((labels == n).sum() > 80 for n in np.unique(labels)):
        assert smallest_distance(apart) > gap
    place, lost = np.argwhere(labels), np.argwhere(apart != labels)
    for p in lost:
        others = place[labels[tuple(place.T)] != labels[tuple(p)]]
        assert np.abs(others - p).max(1).min() <= gap


@settings(deadline=None, max_examples=50)
@given(LABELS, GAP)
def test_no_instance_is_lost_and_nothing_is_added(labels, gap):
    apart = separate_touching(labels, gap)
    assert set(np.unique(apart)) - {0} == set(np.unique(labels)) - {0}
    np.testing.assert_array_equal(apart[apart > 0], labels[apart > 0])


@settings(deadline=None, max_examples=50)
@given(LABELS, GAP)
def test_idempotent(labels, gap):
    apart = separate_touching(labels, gap)
    np.testing.assert_array_equal(separate_touching(apart, gap), apart)


@settings(deadline=None, max_examples=50)
@given(LABELS, GAP, st.permutations([1, 2, 3, 8]))
def test_renumbering_renumbers_the_result(labels, gap, order):
    renumber = np.zeros(9, np.int64)
    renumber[[1, 2, 3, 8]] = order
    np.testing.assert_array_equal(separate_touching(renumber[labels], gap), renumber[separate_touching(labels, gap)])


def test_one_round_may_open_the_way_for_another():
    # found by search: here a single sweep over the distances leaves work for a second one
    labels = np.array([[2, 1, 0, 2, 1]]).T
    apart = separate_touching(labels, 2)
    np.testing.assert_array_equal(separate_touching(apart, 2), apart)


def test_a_cell_that_would_vanish_stays_and_its_neighbour_gives_way():
    np.testing.assert_array_equal(separate_touching(np.array([[1, 2, 2, 2, 2]]), 3), [[1, 0, 0, 0, 2]])
    np.testing.assert_array_equal(separate_touching(np.array([[1, 2]]), 3), [[1, 2]])


def test_connected_components_find_the_instances_again():
    labels = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((8, 8), int))
    assert label(labels > 0, connectivity=2).max() == 1
    assert label(separate_touching(labels, 1) > 0, connectivity=2).max() == 9


def test_cells_far_apart_and_single_cells_are_untouched():
    labels = np.array([[1, 1, 0, 0, 0, 2], [1, 1, 0, 0, 0, 2]])
    np.testing.assert_array_equal(separate_touching(labels, 3), labels)
    np.testing.assert_array_equal(separate_touching(np.full((5, 5), 7), 2), 7)
    np.testing.assert_array_equal(separate_touching(np.zeros((5, 5), int), 2), 0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "uint64"])
def test_kind_and_dtype_are_kept(dtype):
    labels = np.array([[7, 7, 200 if dtype == "uint8" else 30_000]]).astype(dtype)
    apart = separate_touching(labels, 1)
    assert apart.dtype == labels.dtype and apart.tolist()[0][::2] == labels.tolist()[0][::2] and apart[0, 1] == 0
    tensor = torch.tensor([[7, 7, 9]], dtype=torch.int32)
    assert separate_touching(tensor, 1).dtype == torch.int32 and separate_touching(tensor, 1).tolist() == [[7, 0, 9]]


@pytest.mark.parametrize("labels, gap, error, name", [
    (np.zeros((3, 3)), 1, TypeError, "labels"), (np.ones((3, 3), bool), 1, TypeError, "labels"),
    (np.full((3, 3), -2), 1, ValueError, "labels"), (np.ones((1, 3, 3), int), 1, ValueError, "labels"),
    (np.ones((3, 0), int), 1, ValueError, "labels"), (np.ones((3, 3), int), -1, ValueError, "gap"),
    (np.ones((3, 3), int), 1.5, TypeError, "gap"), (np.ones((3, 3), int), True, TypeError, "gap")])
def test_bad_input(labels, gap, error, name):
    with pytest.raises(error, match=name):
        separate_touching(labels, gap)
