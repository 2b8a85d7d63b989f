import itertools
import time

import numpy as np
import pytest
import torch

from seglab.ops import roi_align, roi_pool
from seglab.widgets import roi_playground as module
from seglab.widgets.roi_playground import pictures, roi_picture, roi_playground

START = {"x": 40, "y": 27, "w": 91, "h": 105, "bins": 3, "samples": 2, "aligned": True}


def draw(picture="scene", stride=16, **change):
    return roi_picture(pictures()[picture], **(START | change), stride=stride)


@pytest.mark.parametrize("box", [(0, 0, 4, 4), (150, 150, 190, 190), (0, 150, 190, 4), (40, 27, 91, 105)])
def test_every_corner_of_the_sliders_draws_a_picture_of_one_size(box):
    expected = draw().shape
    for bins, samples, aligned, picture in itertools.product((1, 4, 7), (0, 1, 4), (False, True), ("scene", "ramp")):
        drawn = draw(picture, **dict(zip("xywh", box)), bins=bins, samples=samples, aligned=aligned)
        assert drawn.dtype == np.uint8 and drawn.shape == expected


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_every_stride_has_the_same_size(stride):
    assert draw(stride=stride).shape == draw().shape


@pytest.mark.parametrize("change", [{"x": 41}, {"y": 26}, {"w": 92}, {"h": 104}, {"bins": 4}, {"samples": 3},
                                    {"aligned": False}, {"picture": "ramp"}])
def test_every_control_changes_the_picture(change):
    assert (draw() != draw(**change)).any()


def test_the_values_shown_are_the_operators(monkeypatch):
    shown = []
    monkeypatch.setattr(module, "_values", lambda values, title: shown.append(values) or np.zeros((9, 9, 3), np.uint8))
    draw(bins=5, samples=0, aligned=False)
    cells = torch.from_numpy(pictures()["scene"]).double().reshape(1, 1, 12, 16, 12, 16).mean((3, 5))
    box = torch.tensor([[0, 40.0, 27.0, 131.0, 132.0]], dtype=torch.float64)
    np.testing.assert_allclose(shown[0], roi_pool(cells, box, 5, 1 / 16)[0, 0])
    np.testing.assert_allclose(shown[1], roi_align(cells, box, 5, 1 / 16)[0, 0])


def test_the_exact_mean():
    """Whole pixels are plain means; halves count half; beyond the rim it goes on."""
    fine = np.random.default_rng(0).random((8, 8))
    expected = fine[2:6, 1:7].reshape(2, 2, 2, 3).mean((1, 3))
    np.testing.assert_allclose(module._exact_means(fine, 1, 2, 6, 4, 2), expected)
    np.testing.assert_allclose(module._exact_means(fine, 1.5, 0, 1, 1, 1), [[(fine[0, 1] + fine[0, 2]) / 2]])
    np.testing.assert_allclose(module._exact_means(fine, 8, 8, 5, 5, 1), fine[-1:, -1:])


def test_roi_align_is_exact_on_the_ramp():
    """What the notebook tells the reader to look for."""
    fine = pictures()["ramp"]
    cells = torch.from_numpy(fine).reshape(1, 1, 12, 16, 12, 16).mean((3, 5))
    box = torch.tensor([[0, 40.0, 27.0, 131.0, 132.0]], dtype=torch.float64)
    exact = module._exact_means(fine, 40, 27, 91, 105, 3)
    np.testing.assert_allclose(roi_align(cells, box, 3, 1 / 16, 2, True)[0, 0], exact, atol=2e-5)        # it has steps
    assert np.abs(roi_pool(cells, box, 3, 1 / 16)[0, 0].numpy() - exact).mean() > 0.03


def test_it_is_a_pure_function():
    picture = pictures()["scene"].copy()
    np.testing.assert_array_equal(draw(), draw())
    np.testing.assert_array_equal(picture, pictures()["scene"])
    np.testing.assert_array_equal(draw(), roi_picture(torch.from_numpy(picture), **START))


def test_the_controls_drive_the_panel():
    panel = roi_playground()
    assert bytes(panel.image.value).startswith(b"\x89PNG")
    assert set(panel.controls) == {"x", "y", "w", "h", "bins", "samples", "pixels", "picture"}
    for name, control in panel.controls.items():
        before, old = panel.image.value, control.value
        values = (control.min, control.max) if hasattr(control, "min") else [v for _, v in control._options_full]
        for value in values:
            control.value = value
            assert not panel.error.value, (name, value)
            assert value == old or panel.image.value != before, (name, value)
        control.value = old
        assert panel.image.value == before


@pytest.mark.parametrize("change, message", [
    ({"w": 0}, "w and h"), ({"bins": 0}, "bins"), ({"bins": 8}, "bins"), ({"samples": -1}, "samples")])
def test_bad_controls(change, message):
    with pytest.raises(ValueError, match=message):
        draw(**change)


@pytest.mark.parametrize("picture", [np.zeros((10, 16)), np.zeros((3, 16, 16)), np.full((16, 16), 2.0),
                                     np.full((16, 16), np.nan)])
def test_bad_pictures(picture):
    with pytest.raises(ValueError, match="picture must"):
        roi_picture(picture, **START)
    with pytest.raises(ValueError, match="stride must be 8, 16 or 32"):
        roi_playground(7)


def test_a_repaint_takes_less_than_150_ms():
    times = []
    for bins in (7, 3, 7, 3, 7):
        start = time.perf_counter()
        draw(w=190, h=190, bins=bins, samples=4)
        times.append(time.perf_counter() - start)
    print(f"\nRoI playground: {1e3 * min(times):.0f} ms a repaint")
    assert min(times) < 0.15
