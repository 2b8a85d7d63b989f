"""The feature explorer: recorded maps are the network's own, and every state draws."""

import time

import numpy as np
import pytest
import torch

from seglab.models import UNet
from seglab.widgets.feature_maps import feature_explorer, feature_picture, record_features

LAYERS = ["down.0", "down.1", "ups.0.up", "ups.0.conv", "head"]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet(base_channels=5, depth=2)


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 44, 36, generator=torch.Generator().manual_seed(0))


def test_recorded_maps_are_what_the_layers_give_and_nothing_is_left_behind(net, image):
    net.train()
    features = record_features(net, image, LAYERS)
    assert list(features) == LAYERS and net.training
    assert torch.equal(features["down.0"], net.down[0](image[None])[0])
    assert torch.equal(features["head"], net(image[None])[0])
    assert not any(m._forward_hooks for m in net.modules())


def test_every_state_draws_fast_and_differently(net, image):
    features = record_features(net, image, LAYERS)
    seen = set()
    for layer in range(len(LAYERS)):
        for channel in range(10):
            picture = feature_picture(image, features, layer, channel)
            assert picture.dtype == np.uint8 and picture.shape == (318, 920, 3)
            if channel < len(features[LAYERS[layer]]):
                seen.add(picture.tobytes())
    assert len(seen) == sum(map(len, features.values()))
    start = time.perf_counter()
    for _ in range(5):
        feature_picture(image, features, 1, 3)
    assert time.perf_counter() - start < 5 * 0.15


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
    with pytest.raises(ValueError, match="these do not: down"):
        record_features(net, image, ["down"])
