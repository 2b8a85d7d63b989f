"""The dilated networks: logits of the input's size, one state dict for every output stride, no idle parameter."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seglab.models import (
    VGG16,
    BasicBlock,
    Bottleneck,
    DeepLabV2,
    DeepLabV3,
    FCNResNet,
    PSPHead,
    PSPNet,
    PyramidPooling,
    ResNet,
    deeplabv3_resnet50,
    fcn_resnet50,
)

NARROW = partial(ResNet, Bottleneck, (1, 1, 1, 2), width=4)
MODELS = {"fcn": partial(FCNResNet, aux_loss=True), "v2": partial(DeepLabV2, rates=(1, 2)),
          "v2 wide": partial(DeepLabV2, hidden=6), "v3": partial(DeepLabV3, rates=(1, 2, 3), aux_loss=True),
          "psp": partial(PSPNet, channels=8), "psp max": partial(PSPNet, channels=8, pool="max")}


def build(name, num_classes=3, **options):
    torch.manual_seed(0)
    return MODELS[name](num_classes, **dict(backbone=NARROW) | options)


def no_dropout(model):
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def first(output):
    return output[0] if isinstance(output, tuple) else output


@pytest.mark.parametrize("name", MODELS)
def test_logits_at_input_size(name):
    for stride in (8, 16, 32):
        model = build(name, output_stride=stride).eval()
        for size in ((1, 1), (1, 9), (37, 23), (64, 64)):
            logits = model(torch.randn(2, 3, *size))
            assert logits.shape == (2, 3, *size) and logits.isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_one_state_dict_for_every_output_stride(name):
    at = {stride: build(name, output_stride=stride).eval() for stride in (8, 16, 32)}
    images = torch.randn(1, 3, 65, 50)
    logits = {}
    for stride, model in at.items():
        model.load_state_dict(at[32].state_dict(), strict=True)
        logits[stride] = model(images)
    assert not torch.equal(logits[8], logits[32])
    coarse, fine = at[32].backbone(images)[-1], at[8].backbone(images)[-1]
    torch.testing.assert_close(fine[:, :, ::4, ::4], coarse, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_gets_a_gradient(name):
    model = no_dropout(build(name)).double().train()
    output = model(torch.randn(2, 3, 48, 40, dtype=torch.float64))
    sum(o.square().mean() for o in (output if isinstance(output, tuple) else (output,))).backward()
    idle = [key for key, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert idle == []


@pytest.mark.parametrize("name", MODELS)
def test_batch_1_trains(name):
    model = build(name).train()
    target = torch.randint(0, 3, (1, 33, 33))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        loss = F.cross_entropy(first(model(torch.randn(1, 3, 33, 33))), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_one_pixel_of_map_cannot_train_and_says_so(name):
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        build(name).train()(torch.randn(1, 3, 8, 8))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.02)])
def test_other_dtypes_and_one_class(name, dtype, tolerance):
    model = build(name, num_classes=1).eval()
    images = torch.randn(1, 3, 40, 33)
    wanted = model(images)
    logits = model.to(dtype)(images.to(dtype))
    assert logits.dtype == dtype and logits.shape == (1, 1, 40, 33)
    assert (logits.float() - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("name", MODELS)
def test_autocast(name):
    model = build(name).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = first(model(torch.randn(2, 3, 40, 33)))
    logits.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for key, p in model.named_parameters() if not key.startswith("aux"))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("images, error, says", [
    (torch.zeros(1, 1, 32, 32), ValueError, r"\(N, 3, H, W\).*\(1, 1, 32, 32\)"),
    (torch.zeros(3, 32, 32), ValueError, r"\(N, 3, H, W\)"),
    (torch.zeros(1, 3, 0, 32), ValueError, "H, W >= 1"),
    (torch.zeros(0, 3, 32, 32), ValueError, "N, H, W >= 1"),
    (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError, "uint8")])
def test_bad_images(name, images, error, says):
    with pytest.raises(error, match=says):
        build(name).eval()(images)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("wrong, says", [(dict(num_classes=0), "num_classes"), (dict(output_stride=4), "output_stride"),
                                         (dict(num_classes=2.0), "num_classes")])
def test_bad_arguments(name, wrong, says):
    with pytest.raises(ValueError, match=says):
        build(name, **wrong)


@pytest.mark.parametrize("name", ["fcn", "v3", "psp"])
def test_the_auxiliary_head(name):
    model = no_dropout(build(name))
    images = torch.randn(2, 3, 40, 33)
    logits, auxiliary = model.train()(images)
    assert logits.shape == auxiliary.shape == (2, 3, 40, 33) and not torch.equal(logits, auxiliary)
    assert isinstance(model.eval()(images), torch.Tensor)
    both = model.logits_and_auxiliary(images)
    assert torch.equal(both[0], model(images))
    sees = torch.autograd.grad(both[1].sum(), list(model.backbone.parameters()), allow_unused=True)
    unused = {key for (key, _), g in zip(model.backbone.named_parameters(), sees, strict=True) if g is None}
    assert unused == {key for key, _ in model.backbone.named_parameters() if key.startswith("layer4")}
    without = build(name, aux_loss=False)
    assert without.aux_classifier is None and isinstance(without.train()(images), torch.Tensor)
    with pytest.raises(ValueError, match="aux_loss=True"):
        without.logits_and_auxiliary(images)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_a_dilated_backbone_contains_the_strided_one(block):
    nets = {s: ResNet(block, (1, 1, 2, 2), width=4, output_stride=s).double().eval() for s in (32, 16, 8)}
    images = torch.randn(1, 3, 97, 70, dtype=torch.float64)
    for net in nets.values():
        net.load_state_dict(nets[32].state_dict(), strict=True)
    for coarse, fine in ((32, 16), (16, 8)):
        for k in (2, 3):
            maps = nets[coarse](images)[k], nets[fine](images)[k]
            step = 2 if maps[0].shape[-1] < maps[1].shape[-1] else 1
            torch.testing.assert_close(maps[1][..., ::step, ::step], maps[0], rtol=1e-10, atol=1e-12)


def test_other_channels():
    assert build("v3", in_channels=1).eval()(torch.randn(1, 1, 20, 20)).shape == (1, 3, 20, 20)


# ---------------------------------------------------------------- DeepLab v3: rates and multi-grid

def test_rates_follow_the_output_stride():
    for stride, rates in {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}.items():
        assert DeepLabV3(2, NARROW, stride).classifier[0].rates == rates


@pytest.mark.parametrize("block, rates", [
    (Bottleneck, {32: [1, 2, 4], 16: [1, 4, 8], 8: [2, 8, 16]}),
    (BasicBlock, {32: [1, 1, 2, 2, 4, 4], 16: [1, 2, 4, 4, 8, 8], 8: [2, 4, 8, 8, 16, 16]})])
def test_multi_grid_multiplies_the_rates_of_the_stage(block, rates):
    """The first convolution of the stage lost its stride: it reads the old spacing, with a multi-grid as without."""
    backbone = partial(ResNet, block, (1, 1, 1, 3), width=4)
    for stride, wanted in rates.items():
        model = DeepLabV3(2, backbone, stride, multi_grid=(1, 2, 4)).eval()
        wide = [m for m in model.backbone.layer4.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert [m.dilation for m in wide] == [m.padding for m in wide] == [(rate, rate) for rate in wanted]
        assert model(torch.randn(1, 3, 41, 33)).shape == (1, 2, 41, 33)
        plain = DeepLabV3(2, backbone, stride)
        model.load_state_dict(plain.state_dict(), strict=True)


@pytest.mark.parametrize("units", [(1, 1, 1), (1, 2, 4), (2, 1, 3)])
@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_with_a_multi_grid_too_a_dilated_stage_contains_the_strided_one(block, units):
    nets = {s: DeepLabV3(2, partial(ResNet, block, (1, 1, 1, 3), width=4), s, multi_grid=units).double().eval()
            for s in (32, 16, 8)}
    images = torch.randn(1, 3, 97, 130, dtype=torch.float64)
    for net in nets.values():
        net.load_state_dict(nets[32].state_dict(), strict=True)
    coarse = nets[32].backbone(images)[-1]
    for stride, step in ((16, 2), (8, 4)):
        fine = nets[stride].backbone(images)[-1]
        torch.testing.assert_close(fine[..., ::step, ::step], coarse, rtol=1e-10, atol=1e-12)


def test_multi_grid_needs_residual_stages():
    with pytest.raises(ValueError, match="multi_grid must be None for a backbone that is no ResNet"):
        DeepLabV3(2, partial(VGG16, width=2), multi_grid=(1, 2, 4))


@pytest.mark.parametrize("units", [(1, 2), (1, 2, 0), ()])
def test_multi_grid_needs_a_unit_a_block(units):
    with pytest.raises(ValueError, match="multi_grid"):
        DeepLabV3(2, partial(ResNet, Bottleneck, (1, 1, 1, 3), width=4), multi_grid=units)


@pytest.mark.parametrize("make", [fcn_resnet50, deeplabv3_resnet50])
def test_the_named_networks_pass_their_arguments_on(make):
    with torch.device("meta"):
        model = make(num_classes=7, output_stride=16, aux_loss=True, in_channels=1)
    assert model.backbone.channels == (256, 512, 1024, 2048) and model.backbone.in_channels == 1
    assert model.classifier[-1].out_channels == model.aux_classifier[-1].out_channels == 7
    assert model.backbone.layer3[1].conv2.dilation == (1, 1) and model.backbone.layer4[1].conv2.dilation == (2, 2)


# ---------------------------------------------------------------- PSPNet: the pyramid

@pytest.mark.parametrize("size", [(1, 1), (2, 7), (6, 6), (13, 10)])
@pytest.mark.parametrize("pool", ["average", "max"])
def test_the_head_is_a_convolution_over_features_and_enlarged_pyramid(size, pool):
    torch.manual_seed(1)
    head = no_dropout(PSPHead(8, 3, pool=pool, channels=5)).double().train()
    x = torch.randn(2, 8, *size, dtype=torch.float64)
    pooled = [F.interpolate(level(x), size=size, mode="bilinear", align_corners=False) for level in head.pyramid.levels]
    wanted = head.classifier(head.norm_relu(head.conv(torch.cat([x, *pooled], 1))))
    got = head(x)
    torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-9)
    for a, b in zip(torch.autograd.grad(got.square().sum(), list(head.parameters())),
                    torch.autograd.grad(wanted.square().sum(), list(head.parameters())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def test_the_levels_of_the_pyramid():
    pyramid = PyramidPooling(8, (1, 2, 6)).eval()
    levels = pyramid(torch.randn(2, 8, 9, 12))
    assert [tuple(level.shape) for level in levels] == [(2, 2, 1, 1), (2, 2, 2, 2), (2, 2, 6, 6)]
    spike = torch.zeros(1, 8, 12, 12)
    spike[:, :, 3, 3] = 1.0
    assert PyramidPooling(8, (1,), "max").levels[0][0](spike).max() == 1
    assert PyramidPooling(8, (1,), "average").levels[0][0](spike).max() == pytest.approx(1 / 144)


def test_without_a_pyramid_it_is_a_plain_head():
    head = no_dropout(PSPHead(8, 3, bins=(), channels=5)).eval()
    x = torch.randn(1, 8, 6, 5)
    assert head.conv.in_channels == 8
    torch.testing.assert_close(head(x), head.classifier(head.norm_relu(head.conv(x))))


@pytest.mark.parametrize("wrong, says", [(dict(pool="median"), "pool"), (dict(bins=(0, 2)), "bins"),
                                         (dict(bins=tuple(range(1, 10))), "in_channels")])
def test_bad_pyramids(wrong, says):
    with pytest.raises(ValueError, match=says):
        PSPHead(8, 2, **wrong)
