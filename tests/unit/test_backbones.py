"""One protocol for every backbone, and the whole product: each dense head and each detector on each of them."""

import doctest
from functools import partial

import pytest
import torch
from torch import nn

from seglab.models import (
    VGG16,
    BasicBlock,
    Bottleneck,
    DeepLabV1,
    DeepLabV2,
    DeepLabV3,
    DeepLabV3Plus,
    FasterRCNN,
    FCNResNet,
    MaskHead,
    MaskPredictor,
    MaskRCNN,
    PSPNet,
    ResNet,
    ResNetFPN,
    TwoMLPHead,
    Xception,
    backbone,
    dilated_stages,
    mobilenet_v2,
    resnet50,
    resnet101,
    xception65,
)

BACKBONES = {
    "ResNet, basic": partial(ResNet, BasicBlock, (1, 1, 1, 1), width=4),
    "ResNet, bottleneck": partial(ResNet, Bottleneck, (1, 1, 1, 2), width=4),
    "VGG16": partial(VGG16, width=4),
    "Xception": partial(Xception, width=0.02, middle=1),
    "MobileNetV2": partial(mobilenet_v2, width=0.1)}


def v3plus(num_classes, backbone, output_stride, in_channels, **options):
    return DeepLabV3Plus(backbone(output_stride=output_stride, in_channels=in_channels), num_classes, output_stride,
                         channels=8, **options)


DENSE = {
    "FCN": FCNResNet, "FCN, auxiliary": partial(FCNResNet, aux_loss=True), "DeepLab v1": partial(DeepLabV1, hidden=8),
    "DeepLab v2": partial(DeepLabV2, rates=(1, 2)), "DeepLab v3": partial(DeepLabV3, rates=(1, 2)),
    "DeepLab v3+": v3plus, "DeepLab v3+, naive": partial(v3plus, decoder=False),
    "PSPNet": partial(PSPNet, bins=(1, 2), channels=8)}


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", BACKBONES)
def test_the_protocol(name, output_stride):
    net = BACKBONES[name](output_stride=output_stride, in_channels=2).eval()
    assert isinstance(net, backbone.Backbone)
    assert (net.in_channels, net.output_stride) == (2, output_stride)
    assert net.tap_strides == tuple(min(s, output_stride) for s in (2, 4, 8, 16, 32))
    assert net.channels == net.tap_channels[1:] and net.strides == net.tap_strides[1:]
    for size in ((64, 96), (37, 51), (1, 1)):
        images = torch.randn(2, 2, *size)
        taps = net.taps(images)
        assert [tuple(m.shape) for m in taps] == [
            (2, c, *(-(-side // stride) for side in size))
            for c, stride in zip(net.tap_channels, net.tap_strides, strict=True)]
        assert all(torch.equal(a, b) for a, b in zip(net(images), taps[1:], strict=True))


NARROWEST = {"Xception, 8 channels everywhere": partial(Xception, width=0.004, middle=1),
             "MobileNetV2, 8 channels everywhere": partial(mobilenet_v2, width=0.01)}


@pytest.mark.parametrize("name", BACKBONES | NARROWEST)
def test_one_state_dict_and_the_coarse_map_inside_the_fine_one(name):
    """Also where a block that lost its stride has as many channels out as in, and could take a shortcut."""
    torch.manual_seed(0)
    nets = {stride: (BACKBONES | NARROWEST)[name](output_stride=stride).double().eval() for stride in (32, 16, 8)}
    for part in nets[32].modules():
        if isinstance(part, nn.BatchNorm2d):                              # values that do not fade from layer to layer
            nn.init.constant_(part.running_var, 0.1)
    for net in nets.values():
        net.load_state_dict(nets[32].state_dict(), strict=True)
    images = torch.randn(1, 3, 97, 70, dtype=torch.float64)
    maps = {stride: net.taps(images)[-1] for stride, net in nets.items()}
    assert maps[32].abs().max() > 1e-4
    for stride in (16, 8):
        step = 32 // stride
        torch.testing.assert_close(maps[stride][..., ::step, ::step], maps[32], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("head", DENSE)
def test_every_dense_head_takes_every_backbone(head, name, output_stride):
    torch.manual_seed(0)
    model = DENSE[head](num_classes=3, backbone=BACKBONES[name], output_stride=output_stride, in_channels=2).train()
    output = model(torch.randn(2, 2, 65, 48))
    outputs = output if isinstance(output, tuple) else (output,)
    assert len(outputs) == 1 + (model.aux_classifier is not None)
    for logits in outputs:
        assert logits.shape == (2, 3, 65, 48) and logits.isfinite().all()
    sum(logits.square().mean() for logits in outputs).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert isinstance(model.eval()(torch.randn(1, 2, 33, 20)), torch.Tensor)


def detector(kind, name):
    torch.manual_seed(0)
    body = BACKBONES[name](output_stride=32)
    options = dict(min_size=64, max_size=64, anchor_sizes=((8,), (16,), (32,), (48,), (64,)),
                   rpn_pre_nms_top_n_train=40, rpn_post_nms_top_n_train=20, rpn_pre_nms_top_n_test=40,
                   rpn_post_nms_top_n_test=20, box_batch_size_per_image=16, box_head=TwoMLPHead(8 * 49, 16))
    if kind is MaskRCNN:
        options |= dict(mask_head=MaskHead(8, (8,)), mask_predictor=MaskPredictor(8, 8, 4))
    return kind(ResNetFPN(body, 8), 4, **options)


def scene(with_object):
    instances = torch.zeros(64, 64, dtype=torch.int64)
    boxes = torch.tensor([[10.0, 12.0, 40.0, 50.0]])[:with_object]
    instances[12:50, 10:40] = with_object
    return {"boxes": boxes, "labels": torch.ones(with_object, dtype=torch.int64), "instances": instances}


@pytest.mark.parametrize("objects", [(1, 1), (1, 0), (0, 0)])
@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("kind", [FasterRCNN, MaskRCNN])
def test_every_detector_takes_every_backbone_and_trains_without_objects_too(kind, name, objects):
    model = detector(kind, name).train()
    losses = model(list(torch.rand(2, 3, 64, 64)), [scene(count) for count in objects])
    assert len(losses) == (5 if kind is MaskRCNN else 4)
    assert all(loss.isfinite() for loss in losses.values()), losses
    sum(losses.values()).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    if not any(objects):
        assert losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == losses.get("loss_mask", 0) == 0
    found = model.eval()(list(torch.rand(2, 3, 64, 64)))
    assert len(found) == 2 and all(f["boxes"].shape == (len(f["labels"]), 4) for f in found)


def test_a_pyramid_needs_a_stride_a_level():
    body = BACKBONES["Xception"](output_stride=16)
    with pytest.raises(ValueError, match=r"body must have another stride .* got \[4, 8, 16, 16\]; .*output_stride=32"):
        ResNetFPN(body, 8)
    assert len(ResNetFPN(body, 8, levels=(0, 1, 2))(torch.rand(1, 3, 64, 64))) == 4


@pytest.mark.parametrize("build", [resnet50, resnet101, VGG16, xception65, mobilenet_v2])
def test_the_published_ones_are_made_the_same_way(build):
    with torch.device("meta"):
        net = build(output_stride=16, in_channels=5)
        assert [m.shape[1:] for m in net.taps(torch.empty(1, 5, 64, 96))] == [
            (c, 64 // s, 96 // s) for c, s in zip(net.tap_channels, (2, 4, 8, 16, 16), strict=True)]


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("wrong, says", [(dict(output_stride=4), "output_stride must be 8, 16 or 32, got 4"),
                                         (dict(in_channels=0), "in_channels must be an integer >= 1, got 0")])
def test_wrong_arguments(name, wrong, says):
    with pytest.raises(ValueError, match=says):
        BACKBONES[name](**wrong)


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("images, error", [
    (torch.zeros(1, 1, 32, 32), ValueError), (torch.zeros(3, 32, 32), ValueError),
    (torch.zeros(1, 3, 0, 32), ValueError), (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), TypeError)])
def test_wrong_images(name, images, error):
    net = BACKBONES[name]()
    for call in (net, net.taps):
        with pytest.raises(error, match="images must"):
            call(images)


def test_the_plan_of_stages_by_hand():
    assert doctest.testmod(backbone) == (0, 1)
    assert dilated_stages((2,) * 5, 32) == [(2, 1, 1)] * 5
    assert dilated_stages((2,) * 5, 8) == [(2, 1, 1)] * 3 + [(1, 1, 2), (1, 2, 4)]
    assert dilated_stages((2, 2, 4, 2), 8) == [(2, 1, 1), (2, 1, 1), (1, 1, 4), (2, 4, 4)]
    with pytest.raises(ValueError, match="output_stride"):
        dilated_stages((2, 2), 3)


def test_a_batch_norm_frozen_in_a_backbone_stays_so():
    net = BACKBONES["MobileNetV2"]().train()
    net.features[0].eval()
    assert isinstance(net.features[0][1], nn.BatchNorm2d)
    before = net.features[0][1].running_mean.clone()
    net(torch.randn(2, 3, 32, 32))
    assert torch.equal(net.features[0][1].running_mean, before)
