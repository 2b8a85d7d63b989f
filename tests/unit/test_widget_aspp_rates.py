"""The ASPP rate explorer over the range of its controls."""

import time

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from seglab.data import Shapes
from seglab.models import valid_tap_share
from seglab.widgets.aspp_rates import aspp_rates_explorer, aspp_rates_picture, valid_tap_map
from seglab.widgets.drawing import DENSITY

IMAGE = Shapes(size=(96, 96), seed=1)[0].image
STATE = dict(rate=12, size=33, x=0.5, y=0.5)


@pytest.mark.parametrize("rate", [1, 12, 40])
@pytest.mark.parametrize("size", [1, 5, 33, 65])
@pytest.mark.parametrize("x, y", [(0, 0), (0.5, 1), (1, 0.3)])
def test_every_corner_of_the_controls_draws_a_picture_of_one_size(rate, size, x, y):
    picture = aspp_rates_picture(IMAGE, rate, size, x, y)
    assert picture.dtype == np.uint8 and picture.shape == aspp_rates_picture(IMAGE, **STATE).shape
    assert picture.ndim == 3 and picture.shape[2] == 3


@pytest.mark.parametrize("change", [dict(rate=11), dict(size=34), dict(x=0.3), dict(y=0.8)])
def test_every_control_changes_the_picture(change):
    assert (aspp_rates_picture(IMAGE, **STATE) != aspp_rates_picture(IMAGE, **STATE | change)).any()


def test_it_is_a_pure_function():
    before = IMAGE.clone()
    first = aspp_rates_picture(IMAGE, **STATE)
    np.testing.assert_array_equal(first, aspp_rates_picture(IMAGE.numpy(), **STATE))
    assert torch.equal(IMAGE, before)


@pytest.mark.parametrize("size, rate", [(1, 1), (5, 2), (5, 5), (9, 4), (33, 40)])
def test_the_map_counts_what_a_convolution_counts(size, rate):
    counted = F.conv2d(torch.ones(1, 1, size, size), torch.ones(1, 1, 3, 3), padding=rate, dilation=rate)[0, 0]
    np.testing.assert_array_equal(valid_tap_map(size, rate), counted.numpy())
    assert valid_tap_map(size, rate).mean() / 9 == pytest.approx(valid_tap_share(size, size, rate))


def test_blue_taps_are_the_valid_ones():
    def blue(picture):
        return int((picture[22 * DENSITY:, :396 * DENSITY] == (0, 114, 178)).all(axis=2).sum())
    black = np.zeros((8, 8, 3), np.uint8)
    centre, corner, far = (blue(aspp_rates_picture(black, rate, 21, place, place))
                           for rate, place in ((5, 0.5), (5, 0.0), (30, 0.5)))
    assert centre == pytest.approx(9 / 4 * corner, rel=0.1)
    alone = blue(aspp_rates_picture(black, 20, 20, 0.5, 0.5))
    assert alone > 0 and far == pytest.approx(alone, rel=0.3)


def test_the_controls_drive_the_panel():
    panel = aspp_rates_explorer(IMAGE)
    assert bytes(panel.image.value).startswith(b"\x89PNG") and set(panel.controls) == {"rate", "size", "x", "y"}
    for name, control in panel.controls.items():
        control.value = control.min
        low = bytes(panel.image.value)
        control.value = control.max
        assert low != bytes(panel.image.value) and not panel.error.value, name


@pytest.mark.parametrize("wrong", [dict(rate=0), dict(rate=41), dict(size=0), dict(size=66), dict(x=-0.1), dict(y=2)])
def test_bad_input(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        aspp_rates_picture(IMAGE, **STATE | wrong)


def test_a_repaint_takes_less_than_150_ms():
    panel = aspp_rates_explorer(IMAGE)
    times = []
    for rate in (40, 1, 36, 6, 18):
        start = time.perf_counter()
        panel.controls["rate"].value = rate
        times.append(time.perf_counter() - start)
    print(f"\nASPP rate explorer: {1e3 * min(times):.0f} ms a repaint")
    assert min(times) < 0.15
