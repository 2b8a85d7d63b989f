"""The context module: the paper's table, identity initialisation and where it ends, sizes, gradients, errors."""
import pytest
import torch
from torch import nn

from seglab.models import DilatedContext, init_identity
from seglab.ops import receptive_field, receptive_field_formula

FIELDS = [3, 5, 9, 17, 33, 65, 67, 67]


def weights(net):
    return sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(("size", "factor"), [("basic", 64), ("large", 15_422)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_number_of_weights(size, factor, channels):
    assert weights(DilatedContext(channels, size)) == factor * channels**2


def test_fields_layer_by_layer():
    convs = list(DilatedContext(1).layers[::2])
    for depth, field in enumerate(FIELDS, 1):
        layers = [(conv.kernel_size[0], conv.stride[0], conv.dilation[0]) for conv in convs[:depth]]
        assert receptive_field_formula(layers).size == field
        if depth in (4, 8):
            measured = receptive_field(nn.Sequential(*convs[:depth]), (1, field + 3, field), outputs=4)
            assert measured.size[0] == field
    assert receptive_field(DilatedContext(1), (1, 80, 3), outputs=4).size[0] == 67      # padded: the same field


@pytest.mark.parametrize("size", [(1, 1), (9, 1), (20, 31), (70, 40)])
def test_basic_is_born_the_identity_on_what_is_not_negative(size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    assert torch.equal(DilatedContext(3).double()(x), x)


def test_large_is_born_nearly_the_identity():
    torch.manual_seed(0)
    x = torch.softmax(3 * torch.randn(1, 4, 40, 30), 1)
    assert (DilatedContext(4, "large")(x) - x).abs().max() < 0.1


def test_large_without_noise_is_exactly_the_identity_and_its_gains_are_those_of_the_paper():
    net = DilatedContext(3, "large").double()
    gains = []
    for conv in net.layers[::2]:
        init_identity(conv, 3)
        ones = torch.ones(1, conv.in_channels, 70, 70, dtype=torch.float64)
        gains.append(conv(ones).mean().item())
    assert gains == pytest.approx([1 / 2, 1, 1 / 2, 1 / 2, 1 / 2, 1 / 2, 1, 32])
    x = torch.rand(1, 3, 12, 9, dtype=torch.float64)
    torch.testing.assert_close(net(x), x, rtol=0, atol=1e-14)


def test_noise_breaks_the_symmetry_of_equal_channels():
    conv = DilatedContext(2, "large").layers[0]
    spread = conv.weight[:, :, 0, 0].std().item()
    assert 0 < spread < 0.05 and not torch.equal(conv.weight[0], conv.weight[1])
    basic = DilatedContext(2).layers[0].weight
    assert basic.count_nonzero() == 2


def test_the_relu_trap_negative_inputs_are_cut():
    x = torch.randn(1, 3, 10, 10)
    assert torch.equal(DilatedContext(3)(x), x.clamp(min=0))


def test_no_relu_after_the_last_layer():
    net = DilatedContext(2)
    nn.init.constant_(net.layers[-1].bias, -3.0)
    x = torch.rand(1, 2, 4, 5)
    torch.testing.assert_close(net(x), x - 3)


@pytest.mark.parametrize("size", ["basic", "large"])
@pytest.mark.parametrize("shape", [(1, 2, 1, 1), (2, 2, 17, 40)])
def test_every_parameter_gets_a_gradient(size, shape):
    torch.manual_seed(0)
    net = DilatedContext(2, size)
    x = torch.rand(shape) + 0.1 if shape[2] > 1 else torch.rand(1, 2, 35, 36) + 0.1
    out = net(x)
    (out * torch.randn_like(out)).sum().backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


def test_an_object_33_px_away_is_seen_and_one_34_px_away_is_not():
    torch.manual_seed(0)
    net = DilatedContext(1)
    for conv in net.layers[::2]:
        nn.init.constant_(conv.weight, 0.1)
    x = torch.zeros(1, 1, 1, 80)
    x[..., 40] = 1
    seen = net(x)[0, 0, 0].nonzero().flatten()
    assert seen.min() == 7 and seen.max() == 73


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(dtype):
    x = torch.rand(1, 2, 5, 6).to(dtype)
    assert torch.equal(DilatedContext(2).to(dtype)(x), x)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: DilatedContext(0), ValueError, "channels must be an integer >= 1, got 0"),
    (lambda: DilatedContext(True), ValueError, "channels"), (lambda: DilatedContext(2.0), ValueError, "channels"),
    (lambda: DilatedContext(2, "huge"), ValueError, "size must be one of"),
    (lambda: DilatedContext(3)(torch.rand(1, 2, 4, 4)), ValueError, r"maps must have shape \(N, 3, H, W\)"),
    (lambda: DilatedContext(3)(torch.rand(3, 4, 4)), ValueError, "maps must have shape"),
    (lambda: DilatedContext(3)(torch.rand(1, 3, 0, 4)), ValueError, "maps must have shape"),
    (lambda: DilatedContext(3)(torch.zeros(1, 3, 4, 4).long()), TypeError, "maps must be floating point"),
    (lambda: init_identity(nn.Conv2d(4, 6, 3), 4), ValueError, "channels must divide 4 and 6"),
    (lambda: init_identity(nn.Conv2d(4, 4, 2), 4), ValueError, "odd kernel")])
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()
