"""SLIC superpixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from seglab import classic


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 60), st.booleans())
def test_superpixels_cover_the_picture_and_each_is_one_piece(seed, n_segments, colour):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(8, 24, 2)) + ((3,) if colour else ())
    labels = classic.slic(rng.random(shape), n_segments, 10.0 if colour else 0.1)
    assert set(np.unique(labels)) == set(range(1, labels.max() + 1))
    for k in range(1, labels.max() + 1):
        assert ndimage.label(labels == k)[1] == 1
    sizes = np.bincount(labels.ravel())[1:]
    assert (sizes[1:] >= 0.5 * labels.size / n_segments).all()  # the first piece may be smaller


def test_no_information_gives_the_grid():
    labels = classic.slic(np.zeros((20, 20)), 16, compactness=1.0)
    assert labels.max() == 16 and set(np.bincount(labels.ravel())[1:]) <= {20, 25, 24, 30, 36, 16}


def test_a_strong_edge_is_followed():
    image = np.zeros((30, 30))
    image[:, 17:] = 1
    labels = classic.slic(image, 9, compactness=0.05)
    assert all(np.ptp(image[labels == k]) == 0 for k in np.unique(labels))


def test_low_compactness_follows_colour_more_than_high():
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 60)), 2)

    def residual(compactness):
        labels = classic.slic(image, 36, compactness)
        return np.mean([image[labels == k].var() for k in np.unique(labels)])

    assert residual(0.05) < residual(10.0)


def test_the_scale_of_the_picture_does_not_matter():
    image = np.random.default_rng(1).integers(0, 255, (20, 20), dtype=np.uint8)
    np.testing.assert_array_equal(classic.slic(image, 12, 0.1), classic.slic(image * 3.0 + 7, 12, 0.1))


def test_fragments_join_the_piece_before_them():
    labels = np.array([[1, 1, 2, 2], [1, 3, 2, 1], [1, 1, 2, 2]])
    out = classic.connect_segments(labels, min_size=2)
    assert out.tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [1, 1, 2, 2]]
    assert classic.connect_segments(labels, min_size=0).max() == 4


def test_any_integer_labels_can_be_connected():
    labels = np.array([[0, 0, -5], [70_000, 0, -5]])
    assert classic.connect_segments(labels, 0).tolist() == [[1, 1, 2], [3, 1, 2]]
    with pytest.raises(TypeError, match="labels"):
        classic.connect_segments(labels / 2, 0)
    with pytest.raises(ValueError, match="labels"):
        classic.connect_segments(labels[None], 0)


@pytest.mark.parametrize("argument", [{"n_segments": 0}, {"n_segments": 101}, {"compactness": 0}, {"max_num_iter": 0}])
def test_bad_numbers_are_named(argument):
    with pytest.raises(ValueError, match=next(iter(argument))):
        classic.slic(np.zeros((10, 10)), **argument)
