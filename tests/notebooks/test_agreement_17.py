"""What notebook 17 builds and what the package ships are the same functions, in value and gradient."""

import pytest
import torch
from definitions import definitions
from torch import nn

from seglab.exercises.suspects import port
from seglab.models import UNet
from seglab.ops import receptive_field
from seglab.viz import attribution
from seglab.viz.features import UpTo, activating_patches, recording

NB = definitions("17_feature_maps", ["watch", "by_hand", "log_odds", "gradient_of", "shares", "occlude",
                                     "strongest_units", "patch_of", "record", "unit_window", "muted", "diagnose",
                                     "without_skip"])


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet(num_classes=3, base_channels=3, depth=3, padding="same").double().eval()


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 24, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_recorders_hear_the_same(net, image):
    names = ["down.0", "down.2", "ups.0.up", "ups.1.conv", "head"]
    with torch.no_grad(), NB.watch(net, names) as mine, recording(net, names) as ours:
        net(image[None])
    byhand = NB.by_hand(net, image[None])
    for name in names:
        assert torch.equal(mine[name][0], ours[name][0].output) and torch.equal(mine[name][0], byhand[name])
        assert torch.equal(NB.record(net, image[None], names)[name], mine[name][0])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    toy = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True)).double()
    with NB.watch(toy, ["0"]) as seen:
        toy(image[None])
    assert torch.equal(seen["0"][0], toy[0](image[None]))


def test_log_odds_and_their_gradient(net, image):
    logits = torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    both = [f(logits, (2, 3), 1) for f in (NB.log_odds, attribution.log_odds)]
    grads = [torch.autograd.grad(value.sum(), logits)[0] for value in both]
    torch.testing.assert_close(*both, atol=1e-14, rtol=0)
    torch.testing.assert_close(*grads, atol=1e-14, rtol=0)
    torch.testing.assert_close(NB.gradient_of(net, image, (5, 9), 2), attribution.input_gradient(net, image, (5, 9), 2),
                               atol=1e-14, rtol=0)


def test_integrated_gradients_and_occlusion(net, image):
    grey = torch.full_like(image, 0.4)
    torch.testing.assert_close(NB.shares(net, image, grey, (5, 9), 2, 7),
                               attribution.integrated_gradients(net, image, (5, 9), 2, grey, 7), atol=1e-12, rtol=0)
    for patch, stride in ((5, 3), (24, 1), (4, 4)):
        torch.testing.assert_close(NB.occlude(net, image, (5, 9), 2, patch, stride),
                                   attribution.occlusion(net, image, (5, 9), 2, patch, stride), atol=1e-12, rtol=0)


def test_patches():
    torch.manual_seed(1)
    net, image = UNet(base_channels=3, depth=2), torch.rand(1, 60, 52)
    field = receptive_field(UpTo(net, "down.1"), (1, 60, 60))
    heat = UpTo(net, "down.1")(image[None])[0, 2].detach()
    mine = NB.strongest_units(heat, round(field.size[0] / 2 / field.stride[0]), 5)
    ours = activating_patches(net, [image], "down.1", 2, field, count=5)
    assert [unit[0] for unit in mine] == [patch.value for patch in ours]
    for (_, y, x), patch in zip(mine, ours, strict=True):
        assert torch.equal(NB.patch_of(image, y, x, field), patch.image)
        assert NB.unit_window(y, field.size[0], field.stride[0], field.offset[0])[0] == patch.top


def test_a_cut_skip_carries_nothing_and_grows_back(net, image):
    whole = net(image[None])
    with NB.without_skip(net, 0), recording(net, ["ups.1.conv", "ups.0.conv"]) as seen:
        assert not torch.equal(net(image[None]), whole)
    joined = seen["ups.1.conv"][0].inputs[0]
    assert not joined[:, :3].any() and joined[:, 3:].any() and seen["ups.0.conv"][0].inputs[0][:, :6].any()
    assert torch.equal(net(image[None]), whole)
    with NB.without_skip(net, 1, torch.arange(6.0).reshape(1, 6, 1, 1)), recording(net, ["ups.0.conv"]) as seen:
        net(image[None])
    assert (seen["ups.0.conv"][0].inputs[0][:, 5] == 5).all()


def test_the_detective_acquits_and_convicts():
    image = torch.rand(1, 48, 40, generator=torch.Generator().manual_seed(3))
    assert NB.diagnose(port("no skip"), image) == "no skip"
    assert NB.diagnose(port("crossed channels"), image) == "crossed channels"
    muted = NB.muted(port("healthy"), image[None], "head", 0)
    assert (muted == 0.5).all()
