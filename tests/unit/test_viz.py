"""The arrays behind the figures."""

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from seglab import viz
from seglab.train import History

LABELS = np.array([[0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 2, 0], [0, 0, 0, 0]])


def test_label_colors_are_stable_distinct_and_cover_any_id():
    colors = viz.label_colors(np.array([[0, 1, 7, 8, 255]]))[0]
    assert (colors[0] == 0).all() and (colors[1] == colors[3]).all() and (colors[4] == viz.LABEL_COLORS[-1]).all()
    assert len({tuple(c) for c in viz.LABEL_COLORS}) == len(viz.LABEL_COLORS)


def test_overlay_leaves_background_and_colours_objects():
    image = torch.full((1, 4, 4), 0.5)
    picture = viz.overlay(image, LABELS, outlines=False)
    assert picture.dtype == np.uint8 and picture.shape == (4, 4, 3)
    assert (picture[0] == 128).all()
    assert (picture[1, 1] == np.round(0.6 * 128 + 0.4 * viz.LABEL_COLORS[1])).all()
    with pytest.raises(ValueError, match=r"labels must have the image's size \(4, 4\), got \(3, 4\)"):
        viz.overlay(image, LABELS[:3])


@pytest.mark.parametrize("image", [torch.rand(4, 5), torch.rand(1, 4, 5), torch.rand(3, 4, 5),
                                   np.zeros((4, 5, 3), np.uint8)])
def test_to_rgb_accepts_every_form(image):
    assert viz.to_rgb(image).shape == (4, 5, 3)


def test_to_rgb_refuses_others_and_clips():
    assert (viz.to_rgb(np.array([[2.0, -1.0, np.nan]]))[0, :, 0] == [255, 0, 0]).all()
    with pytest.raises(ValueError, match="image must be"):
        viz.to_rgb(np.zeros((2, 4, 5)))


def test_error_map():
    picture = viz.error_map([[1, 0, 1, 0]], [[1, 1, 0, 0]])
    assert [tuple(p) for p in picture[0]] == [viz.CORRECT, viz.MISSED, viz.FALSE, (0, 0, 0)]
    with pytest.raises(ValueError, match="truth's size"):
        viz.error_map([[1]], [[1, 1]])


def test_feature_grid_stretches_each_channel_and_survives_a_constant_one():
    maps = torch.stack([torch.eye(3), torch.zeros(3, 3), 5 * torch.eye(3)])
    grid = viz.feature_grid(maps, columns=2)
    assert grid.shape == (7, 7) and grid.min() == 0 and grid.max() == 1
    assert (grid[:3, :3] == grid[4:, :3]).all() and (grid[:3, 4:] == 0).all()
    with pytest.raises(ValueError, match=r"features must have shape \(C, H, W\)"):
        viz.feature_grid(torch.zeros(3, 3))


def test_figures_draw():
    viz.style()
    axes = viz.show_row([torch.rand(1, 4, 5), np.zeros((4, 5, 3), np.uint8), LABELS], ["a", "b", "c"])
    assert [a.get_title() for a in axes] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="titles must be one a picture"):
        viz.show_row([LABELS], ["a", "b"])
    figure, axis = plt.subplots()
    viz.show_map(axis, LABELS, "labels", "id")
    assert figure.axes[1].get_ylabel() == "id"
    history = History(loss=[1.0, 0.5, 0.2], validation=[{"step": 3, "dice": 0.9}])
    assert len(viz.training_curves({"run": history}, "dice")) == 2
    plt.close("all")
