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


IN_UNITS = ("random_walker", "grabcut")


@pytest.mark.parametrize("name", METHODS)
def test_nan_is_refused_by_name(name):
    image = np.zeros((6, 6))
    image[2, 3] = np.nan
    with pytest.raises(ValueError, match="image.*NaN"):
        METHODS[name](image)


@pytest.mark.parametrize("name", METHODS)
def test_infinity_is_refused_by_name_and_a_wall_only_in_a_relief(name):
    for dtype in (np.float64, np.float32, np.float16):
        image = np.zeros((6, 6), dtype)
        image[0, 0] = np.inf
        if name == "watershed":
            assert METHODS[name](image).all()
        else:
            with pytest.raises(ValueError, match="image must be finite"):
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
    image = np.full((6, 6), 3, dtype)
    assert METHODS[name](image if dtype == np.uint8 or name not in IN_UNITS else image / 4) is not None


@pytest.mark.parametrize("name", METHODS)
def test_values_of_0_to_255_are_refused_where_a_parameter_counts_in_0_to_1(name):
    """As floats and as integers of unknown scale; elsewhere they give what the picture in 0..1 gives."""
    image = np.random.default_rng(0).integers(0, 256, (6, 6))
    for wide in (image, image.astype(np.int32), image.astype(float), image.astype(np.float32)):
        if name in IN_UNITS:
            with pytest.raises(ValueError, match="image must lie in 0..1, got .*; divide by .*255"):
                METHODS[name](wide)
        elif name in ("graph_cut", "slic"):
            np.testing.assert_array_equal(METHODS[name](wide), METHODS[name](image / 255))


@pytest.mark.parametrize("call", [
    lambda mask: classic.watershed(np.zeros((4, 4)), np.eye(4, dtype=int), mask), classic.distance_markers,
    lambda mask: classic.cut_energy(mask, np.zeros((2, 4, 4)), np.zeros((0, 2), int), np.zeros(0))])
def test_masks_are_0_and_1(call):
    square = np.zeros((4, 4), bool)
    square[1:3, 1:3] = True
    for dtype in (np.uint8, np.int64, np.float32, float):
        np.testing.assert_array_equal(call(square.astype(dtype)), call(square))
        with pytest.raises(ValueError, match="^(mask|in_object) must hold 0 and 1, got 0 and 255: divide by 255"):
            call(255 * square.astype(dtype))


def test_half_precision_and_values_side_by_side():
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(100, 3, 500), rng.normal(3000, 50, 500)]).astype(np.float16)[None]
    assert classic.threshold_otsu(image) == classic.threshold_otsu(image.astype(float))
    low, high = 1.0, np.nextafter(1.0, 2)                                  # no room for 256 bins between the two
    assert classic.threshold_otsu(np.array([[low, high, high]])) == low


def test_splits_of_a_histogram_are_checked():
    for values, counts, name in (([1, 2], [1], "counts"), ([1, 2], [0, 1], "counts"), ([1, 2], [-1, 1], "counts"),
                                 ([1, np.nan], [1, 1], "values"), ([], [], "values"), ([[1]], [[1]], "values")):
        with pytest.raises(ValueError, match=f"^{name} must"):
            classic.between_class_variance(values, counts)


def test_what_else_is_refused():
    with pytest.raises(TypeError, match="image.*boolean"):
        classic.threshold_otsu(np.eye(3, dtype=bool))
    with pytest.raises(ValueError, match="image must be finite"):
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
    for beyond in (1e155, -1e155):
        with pytest.raises(ValueError, match=r"image must be finite and within ±1e100"):
            classic.random_walker(np.array([[0.0, beyond]]), np.array([[1, 2]]))
