"""The arrays behind the figures."""

import subprocess
import sys

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from seglab import viz
from seglab.train import History

LABELS = np.array([[0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 2, 0], [0, 0, 0, 0]])


def test_object_255_is_an_object_and_class_255_is_void():
    many = np.arange(300).reshape(15, 20)
    assert (viz.label_colors(many).reshape(-1, 3)[255] == viz.LABEL_COLORS[(255 - 1) % 7 + 1]).all()
    classes = np.array([[0, 1, 255]])
    assert tuple(viz.label_colors(classes)[0, 2]) == viz.VOID
    assert tuple(viz.label_colors(classes, ignore_index=None)[0, 2]) == tuple(viz.LABEL_COLORS[3])
    assert tuple(viz.label_colors(np.array([[0, 9]]), ignore_index=9)[0, 1]) == viz.VOID
    grey = np.zeros((1, 3))
    assert tuple(viz.overlay(grey, classes, 1.0, outlines=False)[0, 2]) == viz.VOID
    assert tuple(viz.overlay(grey, classes, 1.0, False, ignore_index=None)[0, 2]) == tuple(viz.LABEL_COLORS[3])


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


def test_outlines_have_a_dark_edge_beside_them_on_the_background_only():
    ground = np.full((7, 9), 0.5)
    labels = np.zeros((7, 9), int)
    labels[2:5, 2:4], labels[2:5, 4:7] = 1, 2                  # two objects that touch
    picture = viz.overlay(ground, labels, alpha=0.0)
    dark = (picture == 51).all(-1)                             # 0.4 of 128
    beside = np.zeros_like(dark)
    beside[[1, 5], 2:7] = beside[2:5, 1] = beside[2:5, 7] = True
    assert (dark == beside).all()
    assert (picture[2, 2] == viz.LABEL_COLORS[1]).all() and (picture[3, 4] == viz.LABEL_COLORS[2]).all()
    assert (picture[0] == 128).all() and (picture[3, 5] == 128).all()
    assert not (viz.overlay(ground, labels, outlines=False) == 51).all(-1).any()


@pytest.mark.parametrize("image", [torch.rand(4, 5), torch.rand(1, 4, 5), torch.rand(3, 4, 5),
                                   np.zeros((4, 5, 3), np.uint8)])
def test_to_rgb_accepts_every_form(image):
    assert viz.to_rgb(image).shape == (4, 5, 3)


def test_to_rgb_refuses_others_and_clips():
    assert (viz.to_rgb(np.array([[2.0, -1.0, np.nan]]))[0, :, 0] == [255, 0, 0]).all()
    with pytest.raises(ValueError, match="image must be"):
        viz.to_rgb(np.zeros((2, 4, 5)))


@pytest.mark.parametrize("image, says", [
    (np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16), "uint16 up to 65535"),
    (np.arange(64).reshape(8, 8) * 4, "int64 up to 252"), (np.linspace(0, 255, 64).reshape(8, 8), "float64 up to 255"),
    (torch.full((3, 4, 5), 200.0), "float32 up to 200"), (np.full((4, 5), 255, np.int32), "int32 up to 255"),
])
def test_to_rgb_does_not_turn_another_scale_white(image, says):
    with pytest.raises(ValueError, match=f"image must be floats in 0..1, a mask or uint8, got {says}; divide by"):
        viz.to_rgb(image)
    divided = image / (65535 if "uint16" in says else 255)
    assert np.ptp(viz.to_rgb(divided)) > 200 or viz.to_rgb(divided).min() >= 200


@pytest.mark.parametrize("mask", [np.eye(4, dtype=bool), np.eye(4, dtype=np.int64), torch.eye(4).int(),
                                  torch.eye(4).half(), np.asfortranarray(np.eye(4)), torch.eye(4).to(torch.bfloat16)])
def test_to_rgb_of_masks_in_every_dtype(mask):
    assert (viz.to_rgb(mask)[..., 0] == 255 * np.eye(4)).all()


def test_error_map():
    picture = viz.error_map([[1, 0, 1, 0]], [[1, 1, 0, 0]])
    assert [tuple(p) for p in picture[0]] == [viz.CORRECT, viz.MISSED, viz.FALSE, (0, 0, 0)]
    with pytest.raises(ValueError, match="truth's size"):
        viz.error_map([[1]], [[1, 1]])


def test_error_map_leaves_void_grey():
    void = np.array([[255, 255, 1, 0]])
    shown = viz.error_map([[1, 0, 1, 0]], void)[0]
    assert [tuple(p) for p in shown] == [viz.VOID, viz.VOID, viz.CORRECT, (0, 0, 0)]
    assert tuple(viz.error_map([[1, 0, 1, 0]], void, ignore_index=None)[0, 1]) == viz.MISSED
    assert tuple(viz.error_map([[0, 0]], np.array([[255, 256]]))[0, 0]) == viz.MISSED, "a map of 256 objects"
    file = np.array([[255, 255, 0, 0]])                        # a mask as PNG files hold it, or a row of void?
    with pytest.raises(ValueError, match="truth must hold 0 and 1, got 255 and never 1"):
        viz.error_map([[1, 0, 1, 0]], file)
    assert tuple(viz.error_map([[1, 0, 1, 0]], file, ignore_index=255)[0, 0]) == viz.VOID
    assert tuple(viz.error_map([[1, 0, 1, 0]], file, ignore_index=None)[0, 0]) == viz.CORRECT


def test_every_colour_has_one_role():
    roles = [viz.CORRECT, viz.MISSED, viz.FALSE, viz.VOID, viz.TRUTH, viz.PREDICTION]
    assert len(set(roles)) == len(roles) and tuple(viz.LABEL_COLORS[-1]) == viz.VOID
    assert len({viz.OBJECT, viz.BACKGROUND, viz.VOID, viz.TRUTH}) == 4


def test_feature_grid_stretches_each_channel_and_survives_a_constant_one():
    maps = torch.stack([torch.eye(3), torch.zeros(3, 3), 5 * torch.eye(3)])
    grid = viz.feature_grid(maps, columns=2)
    assert grid.shape == (7, 7) and grid.min() == 0 and grid.max() == 1
    assert (grid[:3, :3] == grid[4:, :3]).all() and (grid[:3, 4:] == 0).all()
    with pytest.raises(ValueError, match=r"features must have shape \(C, H, W\)"):
        viz.feature_grid(torch.zeros(3, 3))


def test_figures_are_stored_sharp_and_shown_at_half_their_pixels():
    """In a real shell, as a notebook has one: 180 pixels an inch, 90 CSS px an inch, and the same text as ever."""
    code = """
import matplotlib.pyplot as plt, base64, io
from PIL import Image
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%matplotlib inline")
from seglab import viz
viz.style()
figure = plt.figure(figsize=(4, 2)); figure.add_axes([0, 0, 1, 1]).set(xticks=[], yticks=[])
data, metadata = shell.display_formatter.format(figure)
width, height = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size
print(width, height, metadata["image/png"], data["text/plain"], sep="|")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    width, height, shown, text = done.stdout.strip().splitlines()[-1].split("|")
    assert abs(int(width) - 4 * 180) < 45 and abs(int(height) - 2 * 180) < 45          # "tight" trims or pads a little
    assert shown == str({"width": int(width) // 2, "height": int(height) // 2})
    assert text == "<Figure size 288x144 with 1 Axes>"


def test_figures_draw():
    viz.style()
    axes = viz.show_row([torch.rand(1, 4, 5), np.zeros((4, 5, 3), np.uint8), LABELS], ["a", "b", "c"])
    assert [a.get_title() for a in axes] == ["a", "b", "c"]
    with pytest.raises(ValueError, match="titles must be one a picture"):
        viz.show_row([LABELS], ["a", "b"])
    figure, axis = plt.subplots()
    axis.plot([0, 1], [0, 1], path_effects=viz.halo())
    viz.show_map(axis, LABELS, "labels", "id")
    assert figure.axes[1].get_ylabel() == "id"
    history = History(loss=[1.0, 0.5, 0.2], validation=[{"step": 3, "dice": 0.9}])
    assert len(viz.training_curves({"run": history}, "dice")) == 2
    plt.close("all")
