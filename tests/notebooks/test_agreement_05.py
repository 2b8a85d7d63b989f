"""What notebook 05 builds and what the package ships are the same functions, in value and gradient."""

import pytest
import torch
from definitions import definitions
from scipy import ndimage
from torch.nn import functional as F

from seglab.data import displacement_field, load_nuclei, mirror_indices, predict_tiled, warp
from seglab.losses import cross_entropy
from seglab.metrics import dice
from seglab.models import UNet, init_he, legal_sizes, output_size
from seglab.ops import receptive_field, receptive_field_formula
from seglab.train import load_weights

NB = definitions("05_unet", ["UNet", "center_crop", "sizes", "init_he", "mirror", "predict_tiles", "field_by_formula",
                             "elastic_field", "warp", "pixel_loss", "conv3x3", "max_pool", "up_conv"])


def test_unet_has_the_same_parameters_outputs_and_gradients():
    torch.manual_seed(0)
    mine, ours = NB.UNet(2, 3, 4, 3).double(), UNet(2, 3, 4, 3).double()
    weights = dict(zip(mine.state_dict(), ours.state_dict().values(), strict=True))
    mine.load_state_dict(weights)
    images = torch.randn(2, 2, 44, 52, dtype=torch.float64)
    for net in (mine, ours):
        net(images).square().sum().backward()
    assert torch.equal(mine(images), ours(images))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(mine.parameters(), ours.parameters(), strict=True))


def test_initialisation_draws_the_same_weights():
    nets = []
    for init in (NB.init_he, init_he):
        net = UNet(base_channels=4, depth=3)
        torch.manual_seed(5)
        nets.append(net.apply(init))
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_sizes():
    for depth in (1, 2, 3, 4, 5):
        for size in range(1, 300):
            path = NB.sizes(size, depth)
            assert (path is not None) == (size in legal_sizes(size, depth))
            assert path is None or path[-1] == output_size(size, depth)


def test_mirror_and_tiles():
    for size in (2, 5, 9):
        assert NB.mirror(-7, 20, size).tolist() == mirror_indices(-7, 20, size).tolist()
    torch.manual_seed(0)
    net = UNet(base_channels=2, depth=3).double().eval()
    image = torch.rand(1, 61, 50, dtype=torch.float64)
    with torch.no_grad():
        mine = NB.predict_tiles(net, image, tile=84, margin=20, step=44)
    torch.testing.assert_close(mine, predict_tiled(net, image, tile=84, margin=20, multiple=4), atol=1e-12, rtol=0)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_receptive_field(depth):
    layers = ([(3, 1, 1)] * 2 + [(2, 2, 1)]) * (depth - 1) + [(3, 1, 1)] * 2 + \
        ([(2, 0.5, 1)] + [(3, 1, 1)] * 2) * (depth - 1)
    assert NB.field_by_formula(depth) == receptive_field_formula(layers).size
    assert NB.field_by_formula(depth) == receptive_field(UNet(base_channels=1, depth=depth), (1, 108, 108)).size[0]


def test_elastic_deformation():
    field = NB.elastic_field(40, 56, generator=torch.Generator().manual_seed(2))
    assert torch.equal(field, displacement_field((40, 56), generator=torch.Generator().manual_seed(2)))
    image = torch.rand(1, 40, 56, dtype=torch.float64)
    torch.testing.assert_close(NB.warp(image, field.double()), warp(image, field.double()), atol=1e-12, rtol=0)


def test_loss_and_layers():
    logits = torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)
    target = torch.randint(0, 3, (2, 5, 6))
    grads = [torch.autograd.grad(f(logits, target), logits)[0] for f in (NB.pixel_loss, cross_entropy)]
    torch.testing.assert_close(*grads, atol=1e-14, rtol=0)
    x = torch.randn(1, 2, 6, 6)
    assert torch.equal(NB.max_pool(x), F.max_pool2d(x, 2))
    w, b = torch.randn(2, 3, 2, 2), torch.randn(3)
    torch.testing.assert_close(NB.up_conv(x, w, b), F.conv_transpose2d(x, w, b, stride=2))


def test_the_stored_network_has_the_score_stored_with_it(pytestconfig):
    net = UNet(base_channels=16, depth=4)
    facts = load_weights(pytestconfig.rootpath / "data" / "weights" / "unet_nuclei.safetensors", net)
    test = load_nuclei("test")
    labels = predict_tiled(net, test.image, tile=140, margin=44, multiple=8).argmax(0)
    assert dice(test.semantic, labels) == pytest.approx(facts["dice"]["test"], abs=2e-3)
    assert facts["dice"]["test"] > 0.93 and ndimage.label(labels.numpy())[1] > 15
