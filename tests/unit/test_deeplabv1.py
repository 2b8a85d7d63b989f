"""DeepLab v1 and VGG-16: any size, gradients everywhere, dtypes, and errors that name the argument."""
import pytest
import torch
import torch.nn.functional as F

from seglab.models import VGG16, DeepLabV1


def small(**options):
    torch.manual_seed(0)
    return DeepLabV1(**{"num_classes": 4, "width": 2, "hidden": 5} | options)


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (8, 8), (33, 50), (65, 47)])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_logits_have_the_input_s_size(size, output_stride):
    for n, training in ((1, True), (2, False)):
        net = small(output_stride=output_stride).train(training)
        logits = net(torch.rand(n, 3, *size))
        assert logits.shape == (n, 4, *size) and logits.isfinite().all()


def test_every_parameter_gets_a_gradient():
    net = small(width=8, hidden=16).train()
    F.cross_entropy(net(torch.rand(1, 3, 64, 72)), torch.randint(0, 4, (1, 64, 72))).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("options", [dict(kernel_size=7, rate=4), dict(kernel_size=4, rate=8), dict(kernel_size=1),
                                     dict(in_channels=1), dict(num_classes=1)])
def test_other_heads(options):
    net = small(**options).eval()
    assert net(torch.rand(1, net.backbone.in_channels, 40, 56)).shape == (1, options.get("num_classes", 4), 40, 56)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(dtype):
    net, x = small().eval(), torch.rand(1, 3, 24, 24)
    expected = net(x)
    logits = net.to(dtype)(x.to(dtype))
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), expected, rtol=0.1, atol=2e-2)


def test_dropout_is_active_in_training_only():
    net, x = small(hidden=64), torch.rand(1, 3, 16, 16)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


def test_maps_of_the_backbone():
    net = VGG16(width=2, output_stride=8)
    maps = net.taps(torch.rand(1, 3, 50, 33))
    assert [tuple(m.shape[1:]) for m in maps] == [(2, 25, 17), (4, 13, 9), (8, 7, 5), (16, 7, 5), (16, 7, 5)]
    assert net.tap_channels == (2, 4, 8, 16, 16) and net.tap_strides == (2, 4, 8, 8, 8)


def test_the_paper_s_learning_starts_from_small_scores():
    logits = small(width=16, hidden=64).eval()(torch.rand(1, 3, 64, 64))
    assert 0 < logits.abs().max() < 1


@pytest.mark.parametrize(("options", "text"), [
    (dict(num_classes=0), "num_classes must be an integer >= 1, got 0"),
    (dict(width=0), "width must be an integer >= 1, got 0"), (dict(in_channels=1.5), "in_channels must be"),
    (dict(output_stride=4), "output_stride must be 8, 16 or 32, got 4"), (dict(rate=0), "rate must be an integer >= 1"),
    (dict(hidden=True), "hidden must be"), (dict(kernel_size=2.0), "kernel_size must be"),
    (dict(kernel_size=4, rate=3), "rate at output stride 8 must be an integer and .* even, got 3 at 8"),
    (dict(rate=3, output_stride=16), "got 3 at 8, 1.5 at 16, kernel_size 3")])
def test_bad_options(options, text):
    with pytest.raises(ValueError, match=text):
        small(**options)


@pytest.mark.parametrize(("images", "error"), [
    (torch.rand(1, 1, 16, 16), ValueError), (torch.rand(3, 16, 16), ValueError), (torch.rand(1, 3, 0, 16), ValueError),
    (torch.zeros(1, 3, 16, 16, dtype=torch.uint8), TypeError)])
def test_bad_images(images, error):
    for net in (small(), small().backbone):
        with pytest.raises(error, match="images must"):
            net(images)
