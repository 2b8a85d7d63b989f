"""DeepLab v3+ and its parts: sizes, one state for every output stride, gradients everywhere, costs, errors."""

import pytest
import torch
from torch import nn

from seglab.models import (
    DeepLabV3Plus,
    MobileNetV2,
    SeparableConv2d,
    Xception,
    count_parameters,
    imagenet_normalize,
    latency,
    mobilenet_v2,
    mult_adds,
    resnet18,
    xception65,
)
from seglab.models.deeplabv3plus import rates_at


def backbone(name, output_stride=16):
    """A small one of each kind."""
    return {"xception": lambda: Xception(width=0.125, middle=2, output_stride=output_stride),
            "mobilenet": lambda: mobilenet_v2(output_stride=output_stride, width=0.25),
            "resnet": lambda: resnet18(output_stride=output_stride, width=8)}[name]()


def network(name, output_stride=16, classes=3, **options):
    return DeepLabV3Plus(backbone(name, output_stride), classes, output_stride, channels=16, **options)


NAMES = ["xception", "mobilenet", "resnet"]


# ---------------------------------------------------------------- sizes

@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_logits_have_the_size_of_the_pictures(name, output_stride):
    net = network(name, output_stride).eval()
    for size in [(1, 1), (1, 7), (3, 2), (16, 16), (31, 33), (65, 40), (100, 36)]:
        with torch.no_grad():
            assert net(torch.rand(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("name", NAMES)
def test_output_strides_share_one_state_and_differ_in_the_maps(name):
    torch.manual_seed(0)
    nets = {s: network(name, s).eval() for s in (8, 16, 32)}
    for part in nets[16].modules():
        if isinstance(part, nn.BatchNorm2d):                             # values that do not fade from layer to layer
            nn.init.constant_(part.running_var, 0.1)
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for stride, net in nets.items():
            net.load_state_dict(nets[16].state_dict())
            maps = net.backbone(x)
            assert [m.shape[-1] for m in maps] == [96 // min(s, stride) for s in (4, 8, 16, 32)]
            assert [m.shape[1] for m in maps] == list(net.backbone.channels)
        outs = [net(x) for net in nets.values()]
    assert not torch.equal(outs[0], outs[1]) and not torch.equal(outs[1], outs[2])


@pytest.mark.parametrize("name", ["xception", "mobilenet"])
def test_dilated_features_are_the_strided_ones_with_the_gaps_filled(name):
    """At stride 16 every second feature was computed at stride 32 already, from the same input values."""
    nets = {s: backbone(name, s).double().eval() for s in (8, 16, 32)}
    for net in nets.values():
        net.load_state_dict(nets[32].state_dict())
    x = torch.rand(1, 3, 65, 97, dtype=torch.float64)
    maps = {s: net(x)[-1] for s, net in nets.items()}
    torch.testing.assert_close(maps[16][..., ::2, ::2], maps[32], rtol=0, atol=1e-12)
    torch.testing.assert_close(maps[8][..., ::4, ::4], maps[32], rtol=0, atol=1e-12)


def test_rates_reach_equally_far_in_the_picture():
    assert [rates_at(s) for s in (8, 16, 32)] == [(12, 24, 36), (6, 12, 18), (3, 6, 9)]
    for stride in (8, 16, 32):
        assert network("mobilenet", stride).aspp.rates == rates_at(stride)
    assert network("mobilenet", 8, rates=(1, 2, 3)).aspp.rates == (2, 4, 6)
    assert network("mobilenet", 32, rates=(1, 2, 3)).aspp.rates == (1, 1, 1)


# ---------------------------------------------------------------- training

@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{}, {"separable": False}, {"decoder": False}, {"low_level_channels": 0}], ids=str)
def test_training_at_batch_1_and_every_parameter_gets_a_gradient(name, options):
    torch.manual_seed(0)
    net = network(name, **options).train()
    net(torch.rand(1, 3, 66, 49)).square().sum().backward()
    assert [k for k, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_every_parameter_of_the_classifier_gets_a_gradient():
    net = MobileNetV2(5, width=0.25)
    net(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_what_the_options_build():
    full, naive, blind = (network("xception", **o) for o in ({}, {"decoder": False}, {"low_level_channels": 0}))
    assert not [k for k in naive.state_dict() if k.startswith(("reduce", "fuse"))]
    assert not [k for k in blind.state_dict() if k.startswith("reduce")]
    assert full.reduce[0].out_channels == 48 and full.fuse[0][0].depthwise.in_channels == 16 + 48
    kinds = [m.groups > 1 for m in full.aspp.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert kinds == [True] * 3


def test_the_decoder_sees_the_low_level_features_and_the_naive_one_does_not():
    x = torch.rand(1, 3, 64, 64)
    for options, sees in (({}, True), ({"low_level_channels": 0}, False), ({"decoder": False}, False)):
        net = network("mobilenet", **options).eval()
        before = net(x)
        net.backbone.register_forward_hook(lambda _, __, maps: [maps[0] + 1, *maps[1:]])
        assert torch.equal(net(x), before) != sees


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype):
    net = network("mobilenet").eval().to(dtype)
    with torch.no_grad():
        out = net(torch.rand(1, 3, 40, 56).to(dtype))
    assert out.dtype == dtype and out.isfinite().all()


def test_mobilenet_s_activations_end_at_six():
    net = mobilenet_v2(width=0.25).eval()
    for block in net.features:
        block.register_forward_hook(lambda _, __, out: out * 100)
    seen = []
    for part in net.modules():
        if isinstance(part, nn.ReLU6):
            part.register_forward_hook(lambda _, __, out: seen.append(out.max().item()))
    net(torch.rand(1, 3, 64, 64))
    assert len(seen) == 1 + 16 * 2 + 1 and max(seen) == 6


def test_one_class_and_rates_far_larger_than_the_map():
    net = network("resnet", 8, classes=1).eval()
    assert net(torch.rand(2, 3, 9, 17)).shape == (2, 1, 9, 17)


# ---------------------------------------------------------------- costs

def test_multiply_adds_by_hand():
    cases = [
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 10, 12), 2 * 10 * 12 * 9 * 3 * 8),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (1, 8, 10, 12), 10 * 12 * 9 * 8),
        (nn.Conv2d(8, 4, 3, stride=2, padding=2, dilation=2), (1, 8, 11, 11), 6 * 6 * 9 * 8 * 4),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 7), 5 * 7 * 4 * 4 * 6),
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 5)), (3, 3, 2, 2), 3 * 12 * 5),
        (SeparableConv2d(16, 24, padding=1), (1, 16, 8, 8), 8 * 8 * (9 * 16 + 16 * 24)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (1, 3, 8, 8), 0)]
    for model, shape, expected in cases:
        assert mult_adds(model, shape) == expected


def test_a_count_leaves_the_model_alone():
    net = network("mobilenet").train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    assert mult_adds(net, (1, 3, 4096, 4096)) > 1e9
    assert net.training and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_parameters_shared_by_two_modules_count_once():
    conv = nn.Conv2d(2, 3, 1)
    assert count_parameters(nn.Sequential(conv, conv)) == 9
    assert count_parameters(nn.BatchNorm2d(4)) == 8


def test_the_published_networks_and_the_paper_s_multiply_adds():
    """DeepLab v3+, table 5: Xception-65, output stride 16: 54.17 B with separable convolutions, 89.76 B without."""
    with torch.device("meta"):
        backbone = xception65()
        assert count_parameters(backbone) == 37_867_312
        assert count_parameters(MobileNetV2()) == 3_504_872
        separable, plain = (DeepLabV3Plus(backbone, 21, separable=s) for s in (True, False))
    assert mult_adds(MobileNetV2(), (1, 3, 224, 224)) == 300_774_272
    assert mult_adds(separable, (1, 3, 513, 513)) == pytest.approx(54.17e9, rel=0.01)
    assert mult_adds(plain, (1, 3, 513, 513)) == pytest.approx(89.76e9, rel=0.05)


def test_latency_restores_the_mode_and_orders_its_numbers():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    seconds = latency(net, torch.rand(2, 3, 16, 16), repeats=5)
    assert 0 < seconds.low <= seconds.median <= seconds.high and net.training
    assert seconds.per_second == 1 / seconds.median
    assert net[1].num_batches_tracked == 0, "timed in evaluation mode"
    once = latency(net, torch.rand(1, 3, 8, 8), repeats=1)
    assert once.low == once.median == once.high


def test_latency_counts_repeats_after_the_warm_up():
    calls = []
    net = nn.Identity()
    net.register_forward_hook(lambda *_: calls.append(1))
    latency(net, torch.rand(1), repeats=4, warm_up=3)
    assert len(calls) == 7


# ---------------------------------------------------------------- wrong input

@pytest.mark.parametrize("call, says", [
    (lambda: SeparableConv2d(0, 3), "in_channels must be an integer >= 1, got 0"),
    (lambda: SeparableConv2d(3, 3, padding=-1), "padding must be an integer >= 0"),
    (lambda: SeparableConv2d(3, 3, dilation=1.5), "dilation must be an integer >= 1"),
    (lambda: SeparableConv2d(3, 3)(torch.rand(1, 4, 5, 5)), r"x must have shape \(N, 3, H, W\), got \(1, 4, 5, 5\)"),
    (lambda: Xception(output_stride=4), "output_stride must be 8, 16 or 32, got 4"),
    (lambda: Xception(width=0), "width must be > 0"),
    (lambda: Xception(middle=-1), "middle must be an integer >= 0"),
    (lambda: backbone("xception")(torch.rand(1, 1, 8, 8)), r"images must have shape \(N, 3, H, W\)"),
    (lambda: mobilenet_v2(output_stride=64), "output_stride must be 8, 16 or 32"),
    (lambda: mobilenet_v2(width=-1), "width must be > 0"),
    (lambda: backbone("mobilenet")(torch.rand(3, 8, 8)), r"images must have shape \(N, 3, H, W\) .*, got \(3, 8, 8\)"),
    (lambda: imagenet_normalize(torch.rand(1, 8, 8)), r"images must have shape \(N, 3, H, W\)"),
    (lambda: network("resnet", classes=0), "num_classes must be an integer >= 1, got 0"),
    (lambda: network("resnet", low_level_channels=-1), "low_level_channels must be an integer >= 0"),
    (lambda: DeepLabV3Plus(backbone("resnet"), 3, 12), "output_stride must be 8, 16 or 32, got 12"),
    (lambda: network("resnet", rates=(1, 0)), "rates must be integers >= 1"),
    (lambda: network("mobilenet")(torch.rand(1, 3, 0, 8)), "with N, H, W >= 1"),
    (lambda: network("mobilenet")(torch.rand(3, 8, 8)), r"images must have shape \(N, 3, H, W\)"),
    (lambda: network("mobilenet")(torch.rand(1, 4, 8, 8)), r"images must have shape \(N, 3, H, W\) .* got \(1, 4"),
    (lambda: DeepLabV3Plus(backbone("resnet", 32), 3, 16), "backbone must have output_stride 16, got 32"),
    (lambda: latency(nn.Identity(), torch.rand(1), repeats=0), "repeats must be an integer >= 1, got 0"),
])
def test_errors_say_what_was_expected(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_integer_pictures_are_refused():
    with pytest.raises(TypeError, match="floating point"):
        network("mobilenet")(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_a_weights_file_of_another_network_is_refused(tmp_path):
    torch.save({"features.0.0.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "other.pth")
    with pytest.raises(RuntimeError, match="Missing key"):
        mobilenet_v2(tmp_path / "other.pth")


@pytest.mark.parametrize("images, error, says", [
    (torch.full((3, 1, 1), 128, dtype=torch.uint8), TypeError, "images must be floats in 0..1, got uint8; divide"),
    (torch.full((3, 1, 1), 128.0), ValueError, r"images must lie in 0..1, got 128..128; divide"),
    (torch.full((1, 3, 2, 2), float("nan")), ValueError, "images must be finite"),
    (torch.zeros(3, 0, 2), ValueError, "images must have shape")])
def test_pictures_of_another_scale_are_not_normalised(images, error, says):
    with pytest.raises(error, match=says):
        imagenet_normalize(images)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_normalising_keeps_the_dtype_and_the_gradient(dtype):
    images = torch.rand(1, 3, 2, 2).to(dtype).requires_grad_()
    values = imagenet_normalize(images)
    assert values.dtype == dtype
    values.sum().backward()
    assert float(images.grad[0, 0, 0, 0]) == pytest.approx(1 / 0.229, rel=0.01)


def test_normalised_pictures_have_imagenet_s_mean_at_zero():
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None].expand(3, 4, 5)
    assert imagenet_normalize(mean).abs().max() < 1e-6
    torch.testing.assert_close(imagenet_normalize(torch.ones(1, 3, 2, 2))[0, :, 0, 0],
                               torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]))
