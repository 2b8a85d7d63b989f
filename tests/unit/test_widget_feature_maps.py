"""The feature explorers: every state draws, and what cannot be drawn says why in the picture."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from seglab.models import UNet
from seglab.viz import MISSED, OBJECT
from seglab.viz.features import Layer, look_inside
from seglab.widgets import feature_maps
from seglab.widgets.feature_maps import (
    VIEWS,
    feature_explorer,
    feature_picture,
    message_picture,
    model_explorer,
    record_features,
)
from seglab.widgets.trained_models import TRAINED, load_trained

LAYERS = ["down.0", "down.1", "ups.0.up", "ups.0.conv", "head"]
SHAPE = (676, 1840, 3)
MIDDLE = np.s_[36:636:2, 620:1220:2]      # every second pixel: the middle pane in CSS px


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet(base_channels=5, depth=2)


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 44, 36, generator=torch.Generator().manual_seed(0))


def features_of(net, image):
    return {Layer(name): maps for name, maps in record_features(net, image, LAYERS).items()}


def test_every_state_draws_fast_and_differently(net, image):
    features = features_of(net, image)
    seen = set()
    for layer in range(len(LAYERS)):
        for channel in range(10):
            picture = feature_picture(image, features, layer, channel)
            assert picture.dtype == np.uint8 and picture.shape == SHAPE
            if channel < len(features[Layer(LAYERS[layer])]):
                seen.add(picture.tobytes())
    assert len(seen) == sum(map(len, features.values()))
    start = time.perf_counter()
    for _ in range(5):
        feature_picture(image, features, 1, 3)
    assert time.perf_counter() - start < 5 * 0.15


def test_every_view_shows_something_else_and_none_other_is_taken(net, image):
    features = features_of(net, image)
    pictures = {view: feature_picture(image, features, 1, 2, view) for view in VIEWS}
    assert all(p.shape == SHAPE and p.dtype == np.uint8 for p in pictures.values())
    assert len({p.tobytes() for p in pictures.values()}) == len(VIEWS)
    with pytest.raises(ValueError, match="view must be one of .*, got 'middle'"):
        feature_picture(image, features, 1, 2, "middle")


def test_mean_and_overlay_show_what_they_say():
    maps = torch.zeros(3, 30, 30)
    maps[0, :15] = 3.0
    picture = feature_picture(torch.zeros(1, 60, 60), {Layer("a", stride=1): maps}, 0, 0, "mean")[MIDDLE]
    assert (picture[:150] == 255).all() and (picture[150:] == 0).all()
    over = feature_picture(torch.zeros(1, 60, 60), {Layer("a", stride=1): maps}, 0, 0, "overlay")[MIDDLE]
    bright = over.sum(2) > 200
    rows, columns = np.nonzero(bright)
    assert rows.min() == columns.min() == 75 and rows.max() == 149 and columns.max() == 224
    whole = feature_picture(torch.zeros(1, 60, 60), {Layer("a"): maps}, 0, 0, "overlay")[MIDDLE]
    assert (whole.sum(2) > 200).sum() == 300 * 150


def test_the_strongest_come_first():
    maps = torch.rand(20, 8, 8) * torch.arange(20)[:, None, None]
    maps[7] = 1000.0                                      # large, but the same everywhere
    picture = feature_picture(torch.rand(3, 16, 16), {Layer("a"): maps}, 0, 19, "strongest")
    framed = np.argwhere((picture == OBJECT).all(2))
    assert framed[:, 0].min() < 50 and framed[:, 1].min() < 630


@pytest.mark.parametrize("maps, where", [
    (torch.full((4, 6, 6), torch.nan), "all NaN"), (torch.zeros(2048, 2, 2), "2048 channels"),
    (torch.randn(7, 1, 1), "1x1"), (torch.randn(3, 1, 40), "one row"), (torch.randn(2, 700, 3), "one column"),
    (torch.tensor([[[1.0, torch.inf], [-torch.inf, torch.nan]]]), "infinite"), (torch.zeros(1, 5, 5), "constant"),
    (torch.randn(1, 1, 1), "a single number"), (torch.randn(3, 9, 9) * 1e38, "huge"),
])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.filterwarnings("error")
def test_odd_maps_draw(maps, where, view):
    features = {Layer("odd", stride=4): maps, Layer("broken", "decoder"): "broken did not run"}
    for channel in (0, 5, 2047):
        picture = feature_picture(torch.rand(3, 20, 20), features, 0, channel, view)
        assert picture.shape == SHAPE and picture.dtype == np.uint8, where
    assert feature_picture(torch.rand(3, 20, 20), features, 1, 0, view).std() > 1


def test_what_is_not_finite_is_marked_and_told():
    maps = torch.rand(4, 10, 10)
    maps[1, 2, 3] = torch.nan
    marked = (feature_picture(torch.rand(1, 20, 20), {Layer("a"): maps}, 0, 1) == MISSED).all(2)
    assert marked[36:636, 1240:].sum() == 60 * 60 and marked[636:].any()
    clean = (feature_picture(torch.rand(1, 20, 20), {Layer("a"): maps.nan_to_num()}, 0, 1) == MISSED).all(2)
    assert not clean.any()


def test_a_grid_of_2048_channels_turns_its_pages():
    maps = torch.randn(2048, 4, 4, generator=torch.Generator().manual_seed(0))
    features, image = {Layer("a"): maps}, torch.rand(3, 16, 16)
    start = time.perf_counter()
    pages = {feature_picture(image, features, 0, channel)[MIDDLE].tobytes() for channel in range(0, 2048, 144)}
    seconds = time.perf_counter() - start
    second = feature_picture(image, {Layer("a"): maps[144:288]}, 0, 56)[MIDDLE]
    assert (feature_picture(image, features, 0, 200)[MIDDLE] == second).all()
    assert len(pages) == 15 and seconds / 15 < 0.15


def test_the_panel_moves(net, image):
    panel = feature_explorer(net, image, LAYERS)
    before = panel.image.value
    panel.controls["layer"].value = 2
    after = panel.image.value
    assert after != before
    panel.controls["channel"].value = 4
    assert panel.image.value != after and panel.error.value == ""


def test_clear_errors(net, image):
    with pytest.raises(ValueError, match="layers must name modules of the model, got down.9; there are: down, down.0"):
        record_features(net, image, ["down.9"])
    with pytest.raises(ValueError, match="down did not run"):
        record_features(net, image, ["down"])


@pytest.fixture(scope="module")
def explorer():
    return model_explorer()


@pytest.mark.parametrize("entry", TRAINED, ids=lambda e: e.file)
def test_every_layer_of_every_trained_model_gives_maps(entry):
    model, note = load_trained(entry)
    assert note == f"weights of {entry.file}" and not model.training
    pictures = entry.pictures()
    assert len(pictures) == 3
    for picture in pictures:
        for layer, maps in look_inside(model, picture, entry.layers, entry.run).items():
            assert not isinstance(maps, str), f"{layer.name}: {maps}"
            assert maps.isfinite().all() and maps.std() > 0, layer.name
    names = [layer.name for layer in entry.layers]
    assert len(set(names)) == len(names) and len({layer.group for layer in entry.layers}) >= 3


def test_the_explorer_follows_its_menus(explorer):
    frames = []
    explorer.image.observe(lambda change: frames.append(change.new), "value")
    layer, channel = explorer.controls["layer"], explorer.controls["channel"]
    assert channel.max == 15
    channel.value = 15
    layer.value = "logits"
    assert channel.max == 1 and channel.value == 1 and len(frames) == 2
    for view in VIEWS[1:]:
        explorer.controls["view"].value = view
    assert len(set(frames)) == len(frames) == 2 + len(VIEWS) - 1 and explorer.error.value == ""
    explorer.controls["picture"].value = 2
    assert len(frames) == 3 + len(VIEWS) - 1
    assert explorer.draw("U-Net, nuclei", 0, "logits", "grid", 1).tobytes() == \
        explorer.draw("U-Net, nuclei", 0, "logits", "grid", 1).tobytes()


def test_another_model_brings_its_own_layers():
    first = TRAINED[0]
    other = replace(first, title="other", layers=first.layers[2:5])
    panel = model_explorer([first, other])
    frames = []
    panel.image.observe(lambda change: frames.append(change.new), "value")
    panel.controls["model"].value = "other"
    assert panel.controls["layer"].options == tuple(layer.name for layer in other.layers) and len(frames) == 1
    picture = panel.draw("other", 0, first.layers[0].name, "grid", 0)
    assert (picture == message_picture(f"other has no layer {first.layers[0].name}; it has "
                                       f"{', '.join(panel.controls['layer'].options)}")).all()


def test_a_model_that_cannot_be_loaded_or_run_shows_a_message(tmp_path, monkeypatch):
    bad = replace(TRAINED[0], title="bad", file="bad.safetensors")
    (tmp_path / bad.file).write_bytes(b"not safetensors")
    monkeypatch.setattr(feature_maps, "load_trained", lambda entry: load_trained(entry, tmp_path))
    panel = model_explorer([bad])
    assert (panel.draw("bad", 0, "encoder 0", "grid", 0)[:, :, 0] == 255).mean() > 0.9 and panel.error.value == ""
    small = replace(TRAINED[0], pictures=lambda: [torch.rand(1, 7, 7)] * 3)
    maps = look_inside(load_trained(small)[0], small.pictures()[0], small.layers)
    assert all("the network stopped with ValueError: images must have a legal height" in why for why in maps.values())


def test_a_missing_checkpoint_trains_a_stand_in_and_says_so(tmp_path):
    entry = replace(TRAINED[0], build=lambda: UNet(base_channels=2, depth=4), steps=3)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model, note = load_trained(entry, tmp_path)
    assert torch.equal(torch.rand(1), expected)
    assert note.startswith("unet_nuclei.safetensors is missing: a stand-in, trained for 3 steps")
    torch.manual_seed(0)
    assert not torch.equal(model.head.weight, entry.build().head.weight) and not model.training
    assert isinstance(model, nn.Module) and not list(tmp_path.iterdir())


def test_every_entry_can_train_its_stand_in(tmp_path):
    for entry in TRAINED:
        model, note = load_trained(replace(entry, steps=1), tmp_path)
        assert "trained for 1 steps" in note
        maps = look_inside(model, entry.pictures()[0], entry.layers[:2], entry.run)
        assert not any(isinstance(m, str) for m in maps.values())
