"""Profile, seeds, progress, and the panel that every widget uses."""

import io

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from seglab.runtime import device, profile, progress, seed_everything, seeds, smoke
from seglab.widgets import Panel
from seglab.widgets.panel import to_png


def test_profile_follows_the_device_and_the_environment(monkeypatch):
    monkeypatch.delenv("SEGLAB_PROFILE", raising=False)
    assert profile().name == ("gpu" if torch.cuda.is_available() else "laptop") and profile().device == device()
    monkeypatch.setenv("SEGLAB_PROFILE", "gpu")
    assert profile().pick(laptop=1, gpu=2) == 2 and profile().device == device()
    assert profile().steps(laptop=1, gpu=2) == 2
    monkeypatch.setenv("SEGLAB_PROFILE", "smoke")
    assert smoke() and seeds(5) == range(2) and profile().pick(laptop=1, gpu=2) == 1
    assert profile().pick(laptop=9, gpu=2, smoke=3) == 3
    assert [profile().steps(laptop=n, gpu=900, least=10) for n in (140, 5)] == [10, 5]
    monkeypatch.setenv("SEGLAB_PROFILE", "phone")
    with pytest.raises(ValueError, match="SEGLAB_PROFILE must be one of laptop, gpu, smoke, got 'phone'"):
        profile()


def test_seeds(monkeypatch):
    first = (seed_everything(3).initial_seed(), torch.rand(1), np.random.rand())
    assert first == (seed_everything(3).initial_seed(), torch.rand(1), np.random.rand())
    with pytest.raises(ValueError, match="seed must be an integer >= 0, got -1"):
        seed_everything(-1)
    monkeypatch.delenv("SEGLAB_SEEDS", raising=False)
    assert list(seeds(3)) == [0, 1, 2]
    monkeypatch.setenv("SEGLAB_SEEDS", "5")
    assert len(seeds(3)) == 5
    monkeypatch.setenv("SEGLAB_SEEDS", "1")
    with pytest.raises(ValueError, match="SEGLAB_SEEDS must be an integer >= 2"):
        seeds(3)


def test_progress_is_silent_when_asked(monkeypatch, capsys):
    monkeypatch.setenv("SEGLAB_QUIET", "1")
    items = range(3)
    assert progress(items) is items
    monkeypatch.delenv("SEGLAB_QUIET")
    assert list(progress(items)) == [0, 1, 2]


def picture(level):
    if level > 250:
        raise ValueError("too bright")
    return np.full((4, 6, 3), level, np.uint8)


def test_panel_redraws_shows_errors_and_carries_a_still():
    slider = ipywidgets.IntSlider(value=100, max=255, description="level")
    panel = Panel(picture, level=slider)
    before = panel.image.value
    slider.value = 200
    assert panel.image.value != before
    slider.value = 255
    assert "too bright" in panel.error.value
    slider.value = 100
    assert panel.image.value == before and panel.error.value == ""
    bundle, metadata = panel._repr_mimebundle_()
    assert bundle["text/plain"] == "Panel(level)" and bundle["image/png"].startswith("iVBOR")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert metadata == {"image/png": {"width": 640, "height": 427}}, "shown at its width, however many pixels it has"


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (40, 60)])
def test_a_panels_png_holds_the_very_pixels(shape):
    rgb = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for array in (rgb, rgb[::-1, ::-1], np.asfortranarray(rgb)):
        assert (np.asarray(Image.open(io.BytesIO(to_png(array)))) == array).all()


@pytest.mark.parametrize("wrong", [None, np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_panel_refuses_what_is_no_picture(wrong):
    with pytest.raises(TypeError, match=r"rgb must be a uint8 array of shape \(H, W, 3\)"):
        Panel(lambda level: wrong, level=ipywidgets.IntSlider(description="level"))
