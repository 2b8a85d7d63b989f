"""DeepLab v3+, its backbones and its convolution against PyTorch, torchvision, timm and segmentation_models_pytorch."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seglab.data import DataUnavailable, mobilenet_v2_weights_path
from seglab.models import deeplabv3plus, dense
from seglab.models.aspp import conv_norm_relu
from seglab.models.deeplabv3plus import DeepLabV3Plus
from seglab.models.mobilenet_v2 import MobileNetV2, mobilenet_v2
from seglab.models.resnet import resnet18
from seglab.models.separable import SeparableConv2d
from seglab.models.xception import Xception, xception65

smp = pytest.importorskip("segmentation_models_pytorch")
timm = pytest.importorskip("timm")
torchvision = pytest.importorskip("torchvision")


def shaken(module, seed=0):
    """The module in float64 with statistics and affine parts of every batch norm away from 0 and 1."""
    g = torch.Generator().manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values, low in ((part.weight, 0.5), (part.bias, -0.3), (part.running_mean, -0.3),
                                (part.running_var, 0.7)):
                values.data = low + 0.6 * torch.rand(values.shape, generator=g)
    return module.double()


def worst(mine, reference, images, pick=lambda out: out):
    """Largest difference of values and of all parameter gradients, relative to the largest one of each."""
    results = []
    for model in (mine, reference):
        x = images.clone().requires_grad_()
        out = pick(model(x))
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=out.dtype)
        parts = [p for p in model.parameters() if p.requires_grad]
        grads = torch.autograd.grad((out * weights).sum(), [x, *parts], allow_unused=True)
        results.append((out.detach(), [g for g in grads if g is not None]))
    (a, da), (b, db) = results
    assert len(da) == len(db) and a.shape == b.shape and a.abs().max() > 0
    return max(((u - v).abs().max() / v.abs().max().clamp(min=1e-3)).item() for u, v in zip([a, *da], [b, *db]))


def copy_by_position(mine, reference):
    """Load the reference's tensors in their order; the shapes must agree one by one."""
    values = list(reference.state_dict().values())
    names = list(mine.state_dict())
    assert len(names) == len(values)
    mine.load_state_dict(dict(zip(names, values)))


# ---------------------------------------------------------------- the convolution

@pytest.mark.parametrize("stride, padding, dilation", [(1, 1, 1), (2, 1, 1), (1, 3, 3), (2, 4, 4)])
def test_separable_convolution_is_a_grouped_one_and_a_1x1(stride, padding, dilation):
    torch.manual_seed(0)
    conv = SeparableConv2d(6, 5, 3, stride, padding, dilation, norm=False, relu=False).double()
    x = torch.randn(2, 6, 11, 9, dtype=torch.float64)
    expected = F.conv2d(F.conv2d(x, conv.depthwise.weight, None, stride, padding, dilation, groups=6),
                        conv.pointwise.weight)
    assert torch.equal(conv(x), expected)
    full = torch.einsum("ok,kuv->okuv", conv.pointwise.weight[:, :, 0, 0], conv.depthwise.weight[:, 0])
    torch.testing.assert_close(conv(x), F.conv2d(x, full, None, stride, padding, dilation), rtol=0, atol=1e-12)


def test_norm_and_relu_stand_between():
    torch.manual_seed(0)
    conv = shaken(SeparableConv2d(4, 3, padding=1)).eval()
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    between = F.relu(conv.norm(F.conv2d(x, conv.depthwise.weight, padding=1, groups=4)))
    assert torch.equal(conv(x), F.conv2d(between, conv.pointwise.weight))


# ---------------------------------------------------------------- MobileNetV2

@pytest.mark.parametrize("width", [1.0, 0.35])
def test_mobilenet_v2_against_torchvision(width):
    torch.manual_seed(0)
    reference = shaken(torchvision.models.mobilenet_v2(width_mult=width, num_classes=7)).eval()
    mine = MobileNetV2(7, width).double().eval()
    mine.load_state_dict(reference.state_dict())
    difference = worst(mine, reference, torch.rand(2, 3, 50, 37, dtype=torch.float64))
    print(f"\nMobileNetV2 x{width} against torchvision, values and gradients: {difference:.1e} relative")
    assert difference < 1e-10


def test_mobilenet_v2_maps_against_torchvision(tmp_path):
    torch.manual_seed(0)
    reference = shaken(torchvision.models.mobilenet_v2()).eval()
    torch.save(reference.float().state_dict(), tmp_path / "weights.pth")
    mine = mobilenet_v2(tmp_path / "weights.pth").double().eval()
    x, expected = torch.rand(1, 3, 65, 40, dtype=torch.float64), []
    images = x
    for k, layer in enumerate(reference.double().features[:18]):
        x = layer(x)
        if k in (1, 3, 6, 13, 17):
            expected.append(x)
    for got, want, stride in zip(mine.taps(images), expected, (2, 4, 8, 16, 32), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
        assert got.shape[-2:] == (-(-65 // stride), -(-40 // stride))


def test_the_published_mobilenet_v2_file_loads_strictly():
    try:
        path = mobilenet_v2_weights_path()
    except DataUnavailable as why:
        pytest.skip(str(why))
    reference = torchvision.models.mobilenet_v2().double().eval()
    mine = MobileNetV2().double().eval()
    state = torch.load(path, weights_only=True)
    reference.load_state_dict(state)
    mine.load_state_dict(state)
    x = torch.rand(1, 3, 96, 96, dtype=torch.float64)
    torch.testing.assert_close(mine(x), reference(x), rtol=0, atol=1e-10)
    assert torch.equal(mobilenet_v2(path).features[17].conv[2].weight, state["features.17.conv.2.weight"])


@pytest.mark.parametrize("output_stride", [8, 16])
def test_mobilenet_v2_dilated_against_smp(output_stride):
    torch.manual_seed(0)
    reference = shaken(smp.encoders.get_encoder("mobilenet_v2", weights=None, output_stride=output_stride)).eval()
    mine = mobilenet_v2(output_stride=output_stride).double().eval()
    mine.load_state_dict({k: v for k, v in reference.state_dict().items() if not k.startswith("features.18.")})
    dilate_whole_stages(mine)
    images, x = torch.rand(1, 3, 64, 96, dtype=torch.float64), None
    for layer in reference.features[:18]:
        x = layer(images if x is None else x)
    torch.testing.assert_close(mine(images)[-1], x, rtol=0, atol=1e-10)


# ---------------------------------------------------------------- Xception

@pytest.mark.parametrize("output_stride", [8, 16])
def test_xception_65_against_timm(output_stride):
    torch.manual_seed(0)
    reference = shaken(timm.create_model("xception65", num_classes=0, output_stride=output_stride)).eval()
    mine = xception65(output_stride).double().eval()
    copy_by_position(mine, reference)
    for part in mine.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 1e-3                                   # timm and the released network; PyTorch's 1e-5 here
    x = torch.rand(1, 3, 51, 40, dtype=torch.float64)
    with torch.no_grad():
        taps = reference.forward_intermediates(x, intermediates_only=True)
        maps = mine.taps(x)
    assert [m.shape[1] for m in maps] == list(mine.tap_channels) == [128, 256, 728, 1024, 2048]
    difference = max(((a - b).abs().max() / b.abs().max()).item() for a, b in zip(maps, taps, strict=True))
    print(f"\nXception-65 at stride {output_stride} against timm, five maps: {difference:.1e} relative")
    assert difference < 1e-10


def test_xception_gradients_against_timm():
    from timm.models.xception_aligned import XceptionAligned

    torch.manual_seed(0)
    plan = [dict(in_chs=i, out_chs=o, stride=s) for i, o, s in
            [(64, 128, 2), (128, 256, 2), (256, 728, 2), (728, 728, 1), (728, (728, 1024, 1024), 2)]]
    plan.append(dict(in_chs=1024, out_chs=(1536, 1536, 2048), stride=1, no_skip=True, start_with_relu=False))
    reference = shaken(XceptionAligned(plan, num_classes=0, output_stride=16, norm_layer=nn.BatchNorm2d)).eval()
    mine = Xception(middle=1, output_stride=16).double().eval()
    copy_by_position(mine, reference)
    x = torch.rand(1, 3, 33, 35, dtype=torch.float64)
    difference = worst(_Last(mine), _Last(reference, "forward_features"), x)
    print(f"\nXception with one middle block against timm, values and gradients: {difference:.1e} relative")
    assert difference < 1e-10


class _Last(nn.Module):
    """The last feature map alone."""

    def __init__(self, net, call="forward"):
        super().__init__()
        self.net, self.call = net, call

    def forward(self, x):
        out = getattr(self.net, self.call)(x)
        return out[-1] if isinstance(out, list) else out


# ---------------------------------------------------------------- the whole network

def dilate_whole_stages(backbone):
    """smp's convention: the first block of a dilated stage is dilated like the others of its stage."""
    convs = [m for m in backbone.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    stage_of = {}
    if hasattr(backbone, "layer1"):
        stages = [backbone.layer3, backbone.layer4]
    else:
        stages = [backbone.features[7:14], backbone.features[14:]]
    for stage in stages:
        rates = [m.dilation for m in stage.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        for conv in stage.modules():
            if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
                stage_of[conv] = max(rates)
    for conv in convs:
        if conv in stage_of and conv.stride == (1, 1):
            conv.dilation = conv.padding = stage_of[conv]
    return backbone


def as_smp(net, change=("dilation", "norm", "order")):
    """Change a DeepLabV3Plus into smp's: the conventions that are modules; align_corners is :func:`aligned`."""
    net = copy.deepcopy(net)
    channels = net.head.in_channels
    if "dilation" in change:
        dilate_whole_stages(net.backbone)
    if "order" in change:                                     # one 3x3 behind the pyramid, one behind the concatenation
        net.aspp = nn.Sequential(net.aspp, conv_norm_relu(SeparableConv2d(channels, channels, padding=1), channels))
        net.fuse = net.fuse[0]
    for part in list(net.modules()):
        for name, conv in part.named_children():
            if isinstance(conv, SeparableConv2d) and "norm" in change:
                conv = SeparableConv2d(conv.depthwise.in_channels, conv.pointwise.out_channels, 3, 1,
                                       conv.depthwise.padding[0], conv.depthwise.dilation[0], norm=False, relu=False)
                part[int(name)] = conv
    return net


def aligned(maps, size):
    """smp's enlargement: corner pixels onto corner pixels."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


def enlarge_as_smp(monkeypatch):
    """Inside the decoder and at the end."""
    for module in (dense, deeplabv3plus):
        monkeypatch.setattr(module, "resize", aligned)


def pair(output_stride=16, rates=(12, 24, 36)):
    torch.manual_seed(0)
    reference = shaken(smp.DeepLabV3Plus("resnet18", encoder_weights=None, encoder_output_stride=output_stride,
                                         classes=5, decoder_channels=32, decoder_atrous_rates=(12, 24, 36),
                                         decoder_aspp_dropout=0.0))
    net = DeepLabV3Plus(resnet18(output_stride=output_stride), 5, output_stride, rates, channels=32, dropout=0.0)
    return net, reference


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("shape", [(2, 3, 64, 96), (2, 3, 80, 48)])
def test_whole_network_against_smp(monkeypatch, mode, shape):
    enlarge_as_smp(monkeypatch)
    net, reference = pair()
    mine = as_smp(net).double()
    copy_by_position(mine, reference)
    for model in (mine, reference):
        model.train(mode == "train")
    difference = worst(mine, reference, torch.rand(*shape, dtype=torch.float64))
    print(f"\nDeepLabV3Plus against smp, {mode}, {shape}, values and all gradients: {difference:.1e} relative")
    assert difference < 1e-9


@pytest.mark.parametrize("kept", ["dilation", "rates", "align_corners"])
def test_each_convention_named_in_the_docstring_makes_a_difference(monkeypatch, kept):
    """Without the change the weights still load, and the logits differ: that is why it must be named."""
    if kept != "align_corners":
        enlarge_as_smp(monkeypatch)
    net, reference = pair(rates=(6, 12, 18) if kept == "rates" else (12, 24, 36))
    mine = as_smp(net, {"dilation", "norm", "order"} - {kept}).double()
    copy_by_position(mine, reference)
    x = torch.rand(1, 3, 128, 128, dtype=torch.float64)
    with torch.no_grad():
        difference = (mine.eval()(x) - reference.eval()(x)).abs().max().item()
    assert difference > 1e-4


@pytest.mark.parametrize("kept", ["norm", "order"])
def test_the_other_two_conventions_show_in_the_weights(kept):
    net, reference = pair()
    with pytest.raises((AssertionError, RuntimeError)):
        copy_by_position(as_smp(net, {"dilation", "norm", "order"} - {kept}), reference)
