"""Otsu's threshold, region growing, and what every classic method says about bad pictures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seglab import classic


def between(image, t):
    low, high = image[image <= t], image[image > t]
    return low.size * high.size / image.size**2 * (low.mean() - high.mean()) ** 2


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 40)))
def test_otsu_maximises_the_between_class_variance(image):
    if image.min() == image.max():
        assert classic.threshold_otsu(image) == image.min()
    else:
        best = max(between(image, t) for t in np.unique(image)[:-1])
        assert between(image, classic.threshold_otsu(image)) == pytest.approx(best, rel=1e-9)


def test_otsu_between_two_values():
    assert classic.threshold_otsu(np.array([[1, 1, 9], [1, 9, 9]])) == 1


@pytest.mark.parametrize("value", [0, 7, 3.5, -2.0])
def test_otsu_of_a_constant_picture_is_its_value_and_nothing_is_foreground(value):
    image = np.full((4, 5), value)
    assert classic.threshold_otsu(image) == value
    assert not (image > classic.threshold_otsu(image)).any()


def test_otsu_needs_no_bin_for_each_of_four_billion_values():
    image = np.array([[0, 1, 2**31 - 1], [2**31 - 2, 0, -(2**31)]], dtype=np.int32)
    assert (image > classic.threshold_otsu(image)).sum() == 2


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(-100, 100))
def test_otsu_follows_a_change_of_scale_and_offset(seed, gain, offset):
    image = np.random.default_rng(seed).integers(0, 50, (9, 9))
    np.testing.assert_array_equal(image > classic.threshold_otsu(image),
                                  image * gain + offset > classic.threshold_otsu(image * gain + offset))


def test_region_growing_stops_at_the_tolerance_and_at_gaps():
    image = np.array([[0, 1, 2, 9, 1]])
    assert classic.region_growing(image, (0, 0), 1).tolist() == [[True, True, False, False, False]]
    assert classic.region_growing(image, (0, 0), 2).tolist() == [[True, True, True, False, False]]
    assert classic.region_growing(image, (0, -1), 1).tolist() == [[False, False, False, False, True]]


def test_region_growing_diagonals_need_connectivity_two():
    image = np.eye(4)
    assert classic.region_growing(image, (0, 0), 0).sum() == 1
    assert classic.region_growing(image, (0, 0), 0, connectivity=2).sum() == 4


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 2))
def test_a_grown_region_holds_its_seed_and_is_connected(seed, connectivity):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 10, (8, 9))
    start = tuple(int(rng.integers(n)) for n in image.shape)
    region = classic.region_growing(image, start, 3, connectivity)
    assert region[start] and (np.abs(image[region] - image[start]) <= 3).all()
    np.testing.assert_array_equal(classic.region_growing(region.astype(int), start, 0, connectivity), region)


METHODS = {
    "threshold_otsu": lambda image: classic.threshold_otsu(image),
    "region_growing": lambda image: classic.region_growing(image, (0, 0), 1),
    "watershed": lambda image: classic.watershed(image, np.ones((6, 6), int)),
    "h_maxima": lambda image: classic.h_maxima(image, 1.0),
    "random_walker": lambda image: classic.random_walker(image, np.eye(6, dtype=int)),
    "graph_cut": lambda image: classic.graph_cut(image, np.diag([1, 2, 0, 0, 0, 0])),
    "grabcut": lambda image: classic.grabcut(image, (1, 1, 4, 4)),
    "slic": lambda image: classic.slic(image, 4),
}


@pytest.mark.parametrize("name", METHODS)
def test_nan_is_refused_by_name(name):
    image = np.zeros((6, 6))
    image[2, 3] = np.nan
    with pytest.raises(ValueError, match="image.*NaN"):
        METHODS[name](image)


@pytest.mark.parametrize("name", METHODS)
def test_infinity_is_refused_by_name_and_a_wall_only_in_a_relief(name):
    image = np.zeros((6, 6))
    image[0, 0] = np.inf
    if name == "watershed":
        assert METHODS[name](image).all()
    else:
        with pytest.raises(ValueError, match="image.*infinity"):
            METHODS[name](image)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(6,), (2, 3, 6, 6), (0, 6)])
def test_a_picture_of_another_shape_is_refused_by_name(name, shape):
    with pytest.raises(ValueError, match="image"):
        METHODS[name](np.zeros(shape))


@pytest.mark.parametrize("name", ["threshold_otsu", "region_growing", "watershed", "h_maxima", "graph_cut"])
def test_a_colour_picture_is_refused_where_grey_is_needed(name):
    with pytest.raises(ValueError, match="image"):
        METHODS[name](np.zeros((6, 6, 3)))


@pytest.mark.parametrize("name", METHODS)
def test_complex_and_object_pictures_are_type_errors(name):
    for dtype in (complex, object):
        with pytest.raises(TypeError, match="image"):
            METHODS[name](np.zeros((6, 6), dtype))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float32, np.float64])
def test_a_constant_picture_is_no_trouble(name, dtype):
    result = METHODS[name](np.full((6, 6), 3, dtype))
    assert result is not None


def test_what_else_is_refused():
    with pytest.raises(TypeError, match="image.*boolean"):
        classic.threshold_otsu(np.eye(3, dtype=bool))
    with pytest.raises(ValueError, match="image.*infinity"):
        classic.threshold_otsu(np.array([[0.0, np.inf]]))
    with pytest.raises(ValueError, match="nbins"):
        classic.threshold_otsu(np.random.default_rng(0).random((3, 3)), nbins=1)
    image = np.zeros((4, 4))
    with pytest.raises(ValueError, match="seed.*inside"):
        classic.region_growing(image, (4, 0), 1)
    with pytest.raises(ValueError, match="seed"):
        classic.region_growing(image, 3, 1)
    with pytest.raises(ValueError, match="tolerance"):
        classic.region_growing(image, (0, 0), -1)
    with pytest.raises(ValueError, match="connectivity"):
        classic.region_growing(image, (0, 0), 1, connectivity=8)
