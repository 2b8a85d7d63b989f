"""Watershed and its markers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from seglab import classic


def test_two_valleys_meet_on_the_ridge():
    relief = np.array([[0, 1, 2, 3, 2, 1, 0]])
    markers = np.array([[1, 0, 0, 0, 0, 0, 2]])
    assert classic.watershed(relief, markers).tolist() == [[1, 1, 1, 1, 2, 2, 2]]


def test_a_plateau_is_shared_by_distance():
    markers = np.zeros((1, 8), int)
    markers[0, 0], markers[0, 7] = 1, 2
    assert classic.watershed(np.zeros((1, 8)), markers).tolist() == [[1, 1, 1, 1, 2, 2, 2, 2]]


def test_a_basin_behind_two_walls_is_shared():
    # once over its wall a flood may not rush through the low ground behind it: the keys carry the wall's 5
    relief = np.array([[0, 5, 0, 1, 0, 5, 0]])
    markers = np.array([[1, 0, 0, 0, 0, 0, 2]])
    assert classic.watershed(relief, markers).tolist() == [[1, 1, 1, 1, 2, 2, 2]]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]))
def test_basins_keep_their_markers_fill_the_mask_and_are_connected(seed, connectivity):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 2))
    markers = np.zeros(shape, int)
    count = int(rng.integers(1, 4))
    for k in range(1, count + 1):
        markers[tuple(rng.integers(n) for n in shape)] = 5 * k
    mask = rng.random(shape) < 0.8
    out = classic.watershed(rng.integers(0, 5, shape), markers, mask, connectivity)
    kept = np.where(mask, markers, 0)
    np.testing.assert_array_equal(out[kept > 0], kept[kept > 0])
    assert not out[~mask].any() and set(np.unique(out)) <= {0, *np.unique(kept)}
    structure = ndimage.generate_binary_structure(2, connectivity)
    parts, _ = ndimage.label(mask, structure)
    reached = np.isin(parts, np.unique(parts[kept > 0])) & mask
    np.testing.assert_array_equal(out > 0, reached)
    for label in np.unique(kept[kept > 0]):
        pieces, n = ndimage.label(out == label, structure)
        assert set(np.unique(pieces[kept == label])) == set(range(1, n + 1)), "a piece without a marker"


def test_without_markers_nothing_is_flooded():
    assert not classic.watershed(np.zeros((3, 4)), np.zeros((3, 4), int)).any()
    outside = np.zeros((3, 4), int)
    outside[0, 0] = 1
    assert not classic.watershed(np.zeros((3, 4)), outside, np.arange(12).reshape(3, 4) > 3).any()


def test_labels_beyond_16_bits_survive():
    markers = np.array([[70_000, 0, 70_001]])
    assert classic.watershed(np.zeros((1, 3)), markers).tolist() == [[70_000, 70_000, 70_001]]
    for top in (2 ** 31 - 1, 2 ** 31, 2 ** 32 + 5, 2 ** 63 - 1):
        basins = classic.watershed(np.zeros((1, 3)), np.array([[top, 0, 1]], np.uint64))
        assert basins.tolist() == [[top, top, 1]] and basins.dtype == (np.int32 if top < 2 ** 31 else np.int64)
    with pytest.raises(ValueError, match=r"markers must .*2\*\*63"):
        classic.watershed(np.zeros((1, 3)), np.array([[2 ** 63, 0, 1]], np.uint64))


def test_bad_arguments_are_named():
    relief = np.zeros((3, 3))
    with pytest.raises(TypeError, match="markers.*float"):
        classic.watershed(relief, np.ones((3, 3)))
    with pytest.raises(ValueError, match="markers.*shape"):
        classic.watershed(relief, np.ones((3, 4), int))
    with pytest.raises(ValueError, match="markers.*>= 0"):
        classic.watershed(relief, -np.ones((3, 3), int))
    with pytest.raises(ValueError, match="mask.*shape"):
        classic.watershed(relief, np.ones((3, 3), int), np.ones((2, 3), bool))
    with pytest.raises(ValueError, match="mask"):
        classic.watershed(relief, np.ones((3, 3), int), np.full((3, 3), 0.5))
    with pytest.raises(ValueError, match="connectivity"):
        classic.watershed(relief, np.ones((3, 3), int), connectivity=4)
    with pytest.raises(ValueError, match="h must be a finite number > 0"):
        classic.h_maxima(relief, 0)
    with pytest.raises(ValueError, match="sigma"):
        classic.distance_markers(relief > 1, sigma=-1)
    assert classic.distance_markers(relief < 1, sigma=1e300).max() == 1          # no filter of 10^300 px
    with pytest.raises(ValueError, match="mask.*0 and 1"):
        classic.distance_markers(np.full((3, 3), 2))


def discs(*circles, size=64):
    y, x = np.mgrid[:size, :size]
    return np.any([(y - cy) ** 2 + (x - cx) ** 2 <= r * r for cy, cx, r in circles], axis=0)


def test_one_marker_a_disc_where_discs_touch():
    for circles in ([(30, 20, 12), (30, 42, 12)], [(20, 20, 10), (20, 38, 10), (36, 29, 10)], [(30, 30, 15)]):
        markers = classic.distance_markers(discs(*circles))
        assert markers.max() == len(circles)
        for cy, cx, _ in circles:
            assert markers[cy - 3 : cy + 4, cx - 3 : cx + 4].any()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.floats(0, 4), st.floats(0.1, 30))
def test_no_component_is_left_without_a_marker(seed, sigma, h):
    mask = np.random.default_rng(seed).random((12, 14)) < 0.4
    markers = classic.distance_markers(mask, sigma, h)
    components, count = ndimage.label(mask, np.ones((3, 3)))
    assert not markers[~mask].any()
    assert set(np.unique(components[markers > 0])) == set(range(1, count + 1))


def test_markers_of_nothing_and_of_everything():
    assert classic.distance_markers(np.zeros((5, 5), bool)).max() == 0
    assert classic.distance_markers(np.ones((5, 5), bool)).max() == 1
    assert classic.distance_markers(np.ones((1, 1), bool)).tolist() == [[1]]


def test_an_object_cut_by_the_border_gets_one_marker():
    assert classic.distance_markers(discs((0, 30, 12))).max() == 1


def test_h_maxima_by_hand():
    row = np.array([[0, 3, 2, 5, 0, 1, 0]], float)
    assert classic.h_maxima(row, 1).tolist() == [[False, True, False, True, False, True, False]]
    assert classic.h_maxima(row, 1.5).tolist() == [[False, False, False, True, False, False, False]]
    assert not classic.h_maxima(np.ones((3, 3)), 0.5).any()
