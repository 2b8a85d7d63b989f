import time

import numpy as np
import pytest

from seglab.widgets.dilation import HOLE, ORANGE, SIDE, dilation_explorer, dilation_picture
from seglab.widgets.drawing import DENSITY

SHAPE = dilation_picture(3, (1,)).shape


@pytest.mark.parametrize("kernel", range(2, 6))
@pytest.mark.parametrize("rates", [(1,), (8,), (1, 1), (8, 1, 3), (1, 2, 4, 8), (8, 8, 8, 8), (1, 1, 1, 1)])
def test_every_corner_draws_a_picture_of_one_size(kernel, rates):
    picture = dilation_picture(kernel, rates)
    assert picture.dtype == np.uint8 and picture.shape == SHAPE
    np.testing.assert_array_equal(picture, dilation_picture(kernel, rates))


@pytest.mark.parametrize(("rates", "holes"), [((2, 2, 2, 2), True), ((1, 2, 5), False), ((1, 2, 4, 8), False)])
def test_holes_are_grey_and_only_where_there_are_some(rates, holes):
    left = dilation_picture(3, rates)[::DENSITY, ::DENSITY][22:, :SIDE]
    assert (left == HOLE).all(axis=2).any() == holes
    assert (left[SIDE // 2, SIDE // 2] == ORANGE).all()


def test_the_share_of_holes_is_the_one_drawn():
    left = dilation_picture(3, (3, 3))[::DENSITY, ::DENSITY][22:, :SIDE]  # 5 of 13 positions along an axis
    assert (left == HOLE).all(axis=2).mean() == pytest.approx(1 - (5 / 13) ** 2, abs=0.01)


def test_the_sliders_drive_the_panel():
    panel = dilation_explorer()
    assert set(panel.controls) == {"kernel", "depth", "rate1", "rate2", "rate3", "rate4"}
    for name, control in panel.controls.items():
        first, before = control.value, panel.image.value
        control.value = control.max if first != control.max else control.min
        assert panel.image.value != before and not panel.error.value, name
        control.value = first
        assert panel.image.value == before


@pytest.mark.parametrize(("kernel", "rates", "text"), [
    (1, (1,), "kernel must lie in 2..5, got 1"), (6, (1,), "kernel"), (3, (), "number of rates must lie in 1..4"),
    (3, (1,) * 5, "number of rates"), (3, (1, 0), "rates must lie in 1..8, got 0"), (3, (9,), "rates")])
def test_bad_input(kernel, rates, text):
    with pytest.raises(ValueError, match=text):
        dilation_picture(kernel, rates)


def test_a_repaint_takes_less_than_150_ms():
    times = []
    for rates in ((8, 7, 8, 5), (1, 2, 3, 4), (8, 8, 8, 8)):
        start = time.perf_counter()
        dilation_picture(5, rates)
        times.append(time.perf_counter() - start)
    print(f"\ndilation explorer: {1e3 * max(times):.0f} ms a repaint at most")
    assert min(times) < 0.15
