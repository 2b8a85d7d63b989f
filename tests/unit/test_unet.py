"""The U-Net of the paper: its parameter count, sizes, initialisation, and errors that name legal sizes."""

import pytest
import torch
from torch import nn

from seglab.models import UNet, legal_sizes, output_size


def walk(size, depth, padding):
    """The size after every layer, step by step; None where a level is odd or empty."""
    lost = 4 if padding == "valid" else 0
    for level in range(depth):
        size -= lost
        if size < 1 or level < depth - 1 and size % 2:
            return None
        size = size // 2 if level < depth - 1 else size
    for _ in range(depth - 1):
        size = 2 * size - lost
        if size < 1:
            return None
    return size


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_legal_sizes_are_those_that_pass_every_layer(depth, padding):
    legal = {size: out for size in range(1, 300) if (out := walk(size, depth, padding)) is not None}
    for size in range(1, 280):
        low, high = legal_sizes(size, depth, padding)
        assert low == max((s for s in legal if s <= size), default=None)
        assert high == min(s for s in legal if s >= size)
        if size in legal:
            assert output_size(size, depth, padding) == legal[size]


def test_the_paper_s_network():
    assert sum(p.numel() for p in UNet().parameters()) == 31_030_658
    assert output_size(572) == 388 and output_size(188) == 4
    assert sum(isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)) for m in UNet().modules()) == 23


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_output_shape_for_a_rectangle_and_every_parameter_gets_a_gradient(padding, norm):
    net = UNet(3, 5, base_channels=2, depth=3, padding=padding, norm=norm)
    height, width = (44, 60) if padding == "valid" else (32, 48)
    out = net(torch.randn(2, 3, height, width))
    assert out.shape == (2, 5, height - 2 * net.margin(), width - 2 * net.margin())
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_output_is_centred_on_the_input():
    """An impulse in the middle of the input answers symmetrically round the middle of the output."""
    net = UNet(base_channels=2, depth=3).double()
    for p in net.parameters():
        nn.init.constant_(p, 0.1 if p.ndim > 1 else 0.0)
    image = torch.zeros(1, 1, 60, 60, dtype=torch.float64)
    image[..., 28:32, 28:32] = 1  # a block on the pooling grid, so that pooling keeps it centred
    out = net(image)[0, 0]
    torch.testing.assert_close(out, out.flip(0), atol=1e-12, rtol=0)
    torch.testing.assert_close(out, out.flip(1), atol=1e-12, rtol=0)


def test_he_initialisation_keeps_the_scale_of_activations():
    torch.manual_seed(0)
    net = UNet(base_channels=32, depth=3)
    conv = net.down[1][2]
    assert conv.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)
    assert net.ups[0].up.weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.03)
    assert all(m.bias.abs().sum() == 0 for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)))
    x = net.down[0](torch.randn(1, 1, 64, 64))
    deep = net.down[2](net.pool(net.down[1](net.pool(x))))
    assert 0.3 < (deep.square().mean() / x.square().mean()).item() < 6


@pytest.mark.parametrize(("shape", "message"), [
    ((1, 1, 570, 572), "legal height: .* got 570 px; the nearest legal sizes are 556 and 572 px"),
    ((1, 1, 572, 576), "legal width: .* got 576 px; the nearest legal sizes are 572 and 588 px"),
    ((1, 1, 100, 572), "got 100 px; the smallest legal size is 188 px"),
    ((1, 3, 572, 572), r"images must have shape \(N, 1, H, W\) .*, got \(1, 3, 572, 572\)"),
    ((572, 572), r"images must have shape \(N, 1, H, W\) .*, got \(572, 572\)"),
])
def test_illegal_images_get_an_error_that_says_what_would_be_legal(shape, message):
    with pytest.raises(ValueError, match=message):
        UNet(base_channels=1)(torch.zeros(shape))


@pytest.mark.parametrize(("arguments", "message"), [
    ({"depth": 0}, "depth must be an integer >= 1, got 0"),
    ({"base_channels": 2.5}, "base_channels must be an integer"),
    ({"padding": "reflect"}, "padding must be one of"), ({"norm": "layer"}, "norm must be one of"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        UNet(**arguments)
