"""The decoder explorer: what it computes, every state of its controls, its speed, its errors."""

import time

import numpy as np
import pytest
import torch

from seglab.data import Shapes
from seglab.metrics import iou
from seglab.viz import CORRECT
from seglab.widgets.decoder import (
    BAND_MAX,
    SAMPLING,
    STRIDES,
    decoder_explorer,
    decoder_picture,
    through_grid,
    trimap_band,
)
from seglab.widgets.drawing import DENSITY

SCENE = Shapes(size=(112, 128), num_classes=4, objects=(2, 3), radius=(16, 30), seed=3)[1]
TRUTH = SCENE.semantic


@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("stride", STRIDES)
def test_every_state_draws_a_picture_of_one_size(stride, sampling):
    for band in (1, 5, BAND_MAX):
        picture = decoder_picture(SCENE.image, TRUTH, stride, band, sampling)
        assert picture.dtype == np.uint8 and picture.shape == decoder_picture(SCENE.image, TRUTH, 16, 4).shape
        assert np.array_equal(picture, decoder_picture(SCENE.image, TRUTH.numpy(), stride, band, sampling))


@pytest.mark.parametrize("change", [{"stride": 4}, {"band": 9}, {"sampling": SAMPLING[1]}])
def test_every_control_changes_the_picture(change):
    state = {"stride": 16, "band": 4, "sampling": SAMPLING[0]}
    assert (decoder_picture(SCENE.image, TRUTH, **state)
            != decoder_picture(SCENE.image, TRUTH, **state | change)).any()


def test_a_finer_grid_says_more():
    scores = [np.nanmean(iou(TRUTH, through_grid(TRUTH, s), 4)) for s in STRIDES]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.97
    assert all(np.nanmean(iou(TRUTH, through_grid(TRUTH, s, SAMPLING[1]), 4)) < mean
               for s, mean in zip(STRIDES[:-1], scores, strict=False))


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_taps_are_drawn_half_a_cell_too_far(stride):
    """A straight vertical edge moves right by (stride - 1) / 2 on the average over its places."""
    moved = []
    for edge in range(3 * stride, 5 * stride):
        labels = torch.zeros(8 * stride, 8 * stride, dtype=torch.int64)
        labels[:, :edge] = 1
        moved.append(through_grid(labels, stride, SAMPLING[1])[0].sum() - edge)
        assert abs(through_grid(labels, stride)[0].sum() - edge) <= stride // 2, "cell means keep the edge in its cell"
    assert np.mean(moved) == pytest.approx((stride - 1) / 2, abs=0.51)


def test_the_band_has_its_width_on_both_sides():
    labels = np.zeros((20, 30), int)
    labels[:, 15:] = 1
    for width in (1, 3, 7):
        assert trimap_band(labels, width)[5].nonzero()[0].tolist() == list(range(15 - width, 15 + width))
    assert not trimap_band(np.ones((5, 5)), 4).any()


def test_a_perfect_grid_is_all_right():
    labels = np.zeros((64, 64), int)
    labels[16:48, 16:32] = 1
    picture = decoder_picture(torch.zeros(3, 64, 64), labels, 2, 3)
    shown = {tuple(c) for c in picture[22 * DENSITY:, -320 * DENSITY:].reshape(-1, 3)}
    assert tuple(CORRECT) in shown


def test_odd_sizes_and_pictures_without_objects():
    assert through_grid(np.zeros((37, 53), int), 16).shape == (37, 53)
    assert decoder_picture(torch.rand(3, 37, 53), np.zeros((37, 53), int), 32, 16).ndim == 3


def test_the_controls_drive_the_panel_in_time():
    panel = decoder_explorer(SCENE.image, TRUTH)
    assert set(panel.controls) == {"stride", "band", "sampling"}
    times = []
    for control, value in (("stride", 32), ("stride", 2), ("band", 16), ("sampling", SAMPLING[1])):
        before, start = panel.image.value, time.perf_counter()
        panel.controls[control].value = value
        times.append(time.perf_counter() - start)
        assert panel.image.value != before and not panel.error.value
    assert min(times) < 0.15


@pytest.mark.parametrize("state", [(3, 4, SAMPLING[0]), (16, 0, SAMPLING[0]), (16, 17, SAMPLING[0]),
                                   (16, 4, "nearest")])
def test_states_that_no_control_offers(state):
    with pytest.raises(ValueError, match="must be one of"):
        decoder_picture(SCENE.image, TRUTH, *state)
