import time

import numpy as np
import pytest
import torch

from seglab.data import Cells, load_nuclei
from seglab.widgets.weight_map import weight_map_picture, weight_map_playground

LABELS = Cells(size=(96, 96), gap=0, count=12, seed=4)[0].instances


@pytest.mark.parametrize("w0", [0.0, 0.5, 10.0, 20.0])
@pytest.mark.parametrize("sigma", [0.5, 5.0, 15.0])
@pytest.mark.parametrize("gap", range(7))
def test_every_corner_of_the_sliders_draws_a_picture_of_one_size(w0, sigma, gap):
    picture = weight_map_picture(LABELS, w0, sigma, gap)
    assert picture.dtype == np.uint8 and picture.shape == weight_map_picture(LABELS, 10.0, 5.0, 0).shape
    assert picture.ndim == 3 and picture.shape[2] == 3


@pytest.mark.parametrize("change", [{"w0": 5.0}, {"sigma": 2.0}, {"gap": 3}])
def test_every_slider_changes_the_picture(change):
    values = {"w0": 10.0, "sigma": 5.0, "gap": 1}
    assert (weight_map_picture(LABELS, **values) != weight_map_picture(LABELS, **values | change)).any()


def test_it_is_a_pure_function():
    before = LABELS.clone()
    first = weight_map_picture(LABELS, 10.0, 5.0, 2)
    np.testing.assert_array_equal(first, weight_map_picture(LABELS.numpy(), 10.0, 5.0, 2))
    assert torch.equal(LABELS, before)


def test_the_sliders_drive_the_panel():
    panel = weight_map_playground(LABELS)
    still = bytes(panel.image.value)
    for name, control in panel.controls.items():
        before = panel.image.value
        control.value = control.min
        low = panel.image.value
        control.value = control.max
        assert low != panel.image.value, name
        assert panel.image.value != before and not panel.error.value, name
    assert still.startswith(b"\x89PNG") and set(panel.controls) == {"w0", "sigma", "gap"}


@pytest.mark.parametrize("labels", [np.zeros((40, 50), int), np.full((40, 50), 2), np.array([[1, 2], [3, 0]])])
def test_few_and_tiny_objects(labels):
    assert weight_map_picture(labels, 10.0, 5.0, 2).ndim == 3


def test_bad_input():
    for labels, values in ((np.zeros((4, 4)), (10.0, 5.0, 1)), (LABELS, (21.0, 5.0, 1)), (LABELS, (1.0, 0.0, 1)),
                           (LABELS, (1.0, 1.0, -1))):
        with pytest.raises((TypeError, ValueError)):
            weight_map_picture(labels, *values)


def test_a_repaint_takes_less_than_150_ms():
    labels = load_nuclei("test").instances[:192, :192]
    times = []
    for gap in (6, 1, 6, 1, 6):
        start = time.perf_counter()
        weight_map_picture(labels, 10.0, 15.0, gap)
        times.append(time.perf_counter() - start)
    print(f"\nweight-map playground: {1e3 * min(times):.0f} ms a repaint at 192 px")
    assert min(times) < 0.15
