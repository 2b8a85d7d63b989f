"""Recorded maps are the network's own; layers, cuts and patches are where they say."""

import pytest
import torch
from torch import nn

from seglab.models import UNet
from seglab.ops import receptive_field
from seglab.viz.features import (
    Layer,
    UpTo,
    activating_patches,
    look_inside,
    maps_of,
    record_features,
    recording,
    run_recorded,
    strength,
)

LAYERS = ["down.0", "down.1", "ups.0.up", "ups.0.conv", "head"]


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet(base_channels=5, depth=2)


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 44, 36, generator=torch.Generator().manual_seed(0))


def hooks(net):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def test_recorded_maps_are_what_the_layers_give_and_nothing_is_left_behind(net, image):
    net.train()
    net.head.eval()
    features = record_features(net, image, LAYERS)
    assert list(features) == LAYERS and net.training and not net.head.training
    skip = net.down[0](image[None])
    assert torch.equal(features["down.0"], skip[0])
    assert torch.equal(features["head"], net(image[None])[0])
    assert hooks(net) == 0
    below = net.ups[0].up(net.down[1](net.pool(skip)))
    joined = {name: maps_of(run_recorded(net, image, ["ups.0.conv"]), Layer("ups.0.conv", argument=0, channels=part))
              for name, part in (("all", None), ("skip", (0, 5)), ("below", (5, 10)))}
    assert torch.equal(joined["below"], below[0].detach())
    assert torch.equal(joined["skip"], skip[0, :, 4:-4, 4:-4]) and len(joined["all"]) == 10


def test_recording_copies_before_anything_writes_in_place():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
    image = torch.randn(1, 6, 6)
    assert torch.equal(record_features(net, image, ["0"])["0"], net[0](image[None])[0].detach())
    seen = run_recorded(net, image, ["1"])
    assert seen["1"][0].inputs[0].min() < 0 <= seen["1"][0].output.min()


def test_recording_leaves_the_mode_and_removes_its_hooks_after_an_error(image):
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Linear(7, 3)).train()
    with pytest.raises(RuntimeError), recording(net, ["0"]) as seen:
        net(image[None])
    assert len(seen["0"]) == 1 and net[0].training and hooks(net) == 0
    with pytest.raises(RuntimeError):
        run_recorded(net.eval(), image, ["0"])
    assert hooks(net) == 0 and not net.training


def test_runs_items_and_nested_outputs_are_told_apart():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pair = nn.Conv2d(1, 2, 1), nn.Identity()

        def forward(self, images):
            small = images[:, :, ::2, ::2]
            self.pair([{"a": images}, (small, 3)])
            return self.conv(torch.cat([images, 2 * images])), self.conv(small)

    net, image = Twice(), torch.rand(1, 6, 8)
    layers = [Layer("conv", title="first"), Layer("conv", title="second", call=1), Layer("conv", title="item", item=1),
              Layer("conv", title="third", call=2), Layer("conv", title="beyond", item=2), Layer("pair", argument=1),
              Layer("pair"), Layer("conv", title="nothing", channels=(2, 4)), Layer("nowhere")]
    found = {layer.name: maps for layer, maps in look_inside(net, image, layers).items()}
    assert found["first"].shape == (2, 6, 8) and found["second"].shape == (2, 3, 4)
    assert torch.equal(found["item"], net.conv(2 * image[None])[0].detach())
    assert found["third"] == "third did not run 3 times" and "beyond is empty: item 2" in found["beyond"]
    assert found["nothing"].startswith("nothing is empty") and found["nowhere"] == "the model has no layer nowhere"
    assert found["pair"] == "pair gives a tuple, and maps need (N, C, h, w)"
    assert "pair has no input 1" in str(look_inside(net, image, [layers[5]]))


def test_errors_name_what_is_wrong(net, image):
    with pytest.raises(ValueError, match="layers must name modules of the model, got down.9; there are: down, down.0"):
        record_features(net, image, ["down.9"])
    with pytest.raises(ValueError, match="got none"):
        record_features(net, image, [])
    with pytest.raises(ValueError, match="down did not run"):
        record_features(net, image, ["down"])
    with pytest.raises(ValueError, match=r"0 gives a tensor of shape \(1, 1, 44, 3\)|1 gives a tensor of shape \(1, 3"):
        record_features(nn.Sequential(nn.Flatten(), nn.Linear(44 * 36, 3)), image, ["1"])


def test_other_types_come_as_float32(image):
    net = nn.Conv2d(1, 2, 3).to(torch.bfloat16)
    seen = run_recorded(nn.Sequential(net), image.bfloat16(), ["0"])
    assert maps_of(seen, Layer("0")).dtype == torch.float32
    counts = nn.Sequential(nn.MaxPool2d(2, return_indices=True))
    assert look_inside(counts, image, [Layer("0")])[Layer("0")] == "0 gives a tuple, and maps need (N, C, h, w)"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_a_model_on_the_gpu_gives_maps_on_the_cpu(net, image):
    expected = record_features(net, image, LAYERS)
    found = record_features(net.cuda(), image, LAYERS)
    net.cpu()
    for name in LAYERS:
        torch.testing.assert_close(found[name], expected[name], atol=1e-3, rtol=1e-3)


def test_maps_that_cannot_be_brought_to_the_cpu_say_so(image):
    """Without a GPU: "meta" stands for the other device, where there are shapes and no values."""
    net = nn.Sequential(nn.Conv2d(1, 2, 3)).to("meta")
    found = look_inside(net, image, [Layer("0")])[Layer("0")]
    assert isinstance(found, str) and len(found) > 20 and hooks(net) == 0


def test_strength_is_the_spread_and_never_nan():
    maps = torch.stack([torch.full((4, 4), 9.0), torch.arange(16.0).reshape(4, 4), torch.full((4, 4), torch.nan)])
    assert strength(maps).tolist() == pytest.approx([0, 4.609772, 0])
    maps[1, 0, 0] = torch.inf
    assert strength(maps).tolist() == [0, 0, 0]
    assert strength(torch.tensor([-3.0, 2.0, torch.inf]).reshape(3, 1, 1)).tolist() == [3, 2, 0]
    assert strength(torch.tensor([-3.0, 2.0]).reshape(2, 1, 1)).tolist() == [3, 2]


def test_a_network_cut_at_a_layer(net, image):
    assert torch.equal(UpTo(net, "down.1")(image[None]), net.down[1](net.pool(net.down[0](image[None]))))
    assert hooks(net) == 0
    assert receptive_field(UpTo(net, "down.0"), (1, 44, 44)).size == (5, 5)
    with pytest.raises(ValueError, match="module must name a module of the model, got 'up'"):
        UpTo(net, "up")
    with pytest.raises(ValueError, match="down did not run"):
        UpTo(net, "down")(image[None])
    assert hooks(net) == 0


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_patches_hold_all_that_their_unit_sees(padding):
    torch.manual_seed(1)
    net = UNet(base_channels=3, depth=2, padding=padding)
    images = [torch.rand(1, 60, 44) for _ in range(3)]
    field = receptive_field(UpTo(net, "down.1"), (1, 92, 92))
    patches = activating_patches(net, images, "down.1", 1, field, count=6)
    values = [p.value for p in patches]
    assert len(patches) == 6 and values == sorted(values, reverse=True)
    heats = [UpTo(net, "down.1")(image[None])[0, 1] for image in images]
    assert values[0] == pytest.approx(max(h.max().item() for h in heats))
    for value, number, top, left, patch in patches:
        assert patch.shape == (1, *field.size)
        blank = torch.full((1, 60, 44), 0.5)
        y0, x0, y1, x1 = max(top, 0), max(left, 0), min(top + field.size[0], 60), min(left + field.size[1], 44)
        blank[:, y0:y1, x0:x1] = images[number][:, y0:y1, x0:x1]
        assert torch.equal(patch[:, y0 - top:y1 - top, x0 - left:x1 - left], images[number][:, y0:y1, x0:x1])
        alone = UpTo(net, "down.1")(blank[None])[0, 1]
        assert (alone - value).abs().min() < 1e-5          # the unit sees no pixel outside its patch


def test_patches_keep_apart_and_skip_what_is_not_finite():
    net = nn.Sequential(nn.Conv2d(1, 1, 3, bias=False))
    nn.init.constant_(net[0].weight, 1.0)
    image = torch.zeros(1, 20, 20)
    image[0, 5:9, 5:9] = 1.0
    field = receptive_field(UpTo(net, "0"), (1, 20, 20))
    patches = activating_patches(net, [image], "0", 0, field, count=50)
    places = [(p.top, p.left) for p in patches]
    assert patches[0].value == 9 and len(set(places)) == len(places)
    assert places[0] == (5, 5) and torch.equal(patches[0].image, torch.ones(1, 3, 3))
    assert all(max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= 2 for a in places for b in places if a != b)
    assert activating_patches(net, [image * torch.nan], "0", 0, field) == []
