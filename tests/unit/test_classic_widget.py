"""The marker playground: its pictures over the whole range of the controls, and its panel."""

import itertools
import time

import numpy as np
import pytest

from seglab.viz import LABEL_COLORS
from seglab.widgets.classic import SIDE, ZOOM, blobs, marker_picture, marker_playground
from seglab.widgets.drawing import DENSITY

HEADER, ZOOM, GAP = 22 * DENSITY, ZOOM * DENSITY, 8 * DENSITY


def basins_shown(picture):
    right = picture[HEADER:, SIDE * ZOOM + GAP:].reshape(-1, 3)
    return len({tuple(c) for c in np.unique(right, axis=0)} - {(0, 0, 0)})


@pytest.mark.parametrize("state", list(itertools.product((0.4, 0.8, 1.2), (0.0, 0.4), (0.0, 6.0), (0.1, 5.0))))
def test_every_corner_of_the_controls_gives_a_picture(state):
    picture = marker_picture(*state)
    assert picture.dtype == np.uint8 and picture.shape == (HEADER + SIDE * ZOOM, 2 * SIDE * ZOOM + GAP, 3)
    assert picture[HEADER:].any()


def test_smoothing_turns_too_many_markers_into_three():
    assert basins_shown(marker_picture(0.8, 0.15, 0.0, 0.1)) > 3
    assert basins_shown(marker_picture(0.8, 0.15, 2.0, 0.5)) == 3
    assert basins_shown(marker_picture(0.8, 0.15, 2.0, 5.0)) < 3


def test_the_basins_cover_the_blobs_in_label_colours():
    picture = marker_picture(0.8, 0.1, 1.5, 0.5)
    right = picture[HEADER::ZOOM, SIDE * ZOOM + GAP::ZOOM]
    np.testing.assert_array_equal(right.any(axis=2), blobs(0.8, 0.1))
    assert {tuple(c) for c in np.unique(right.reshape(-1, 3), axis=0)} <= {tuple(c) for c in LABEL_COLORS}


def test_a_picture_is_drawn_within_150_ms():
    states = [(0.7, 0.2, 1.0, 0.5), (0.9, 0.3, 0.5, 1.0), (0.5, 0.0, 3.0, 2.0)]
    taken = []
    for state in states:
        begun = time.perf_counter()
        marker_picture(*state)
        taken.append(time.perf_counter() - begun)
    assert min(taken) < 0.15


def test_moving_a_slider_redraws():
    panel = marker_playground()
    before = panel.image.value
    panel.controls["sigma"].value = 3.0
    assert panel.image.value != before and panel.error.value == ""


@pytest.mark.parametrize("state, name", [((2.0, 0.1, 1, 1), "distance"), ((0.8, 0.9, 1, 1), "roughness"),
                                         ((0.8, 0.1, -1, 1), "sigma"), ((0.8, 0.1, 1, 0), "h must be")])
def test_states_out_of_range_are_named(state, name):
    with pytest.raises(ValueError, match=name):
        marker_picture(*state)
