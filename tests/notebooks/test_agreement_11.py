"""What notebook 11 builds is what the package holds."""

import numpy as np
import pytest
import torch
from definitions import definitions
from torch import nn
from torch.nn import functional as F

from seglab import models
from seglab.data import Shapes, data_folder
from seglab.metrics import trimap_iou
from seglab.models.mobilenet_v2 import InvertedResidual
from seglab.train import load_weights
from seglab.widgets.decoder import trimap_band

NB = definitions("11_deeplabv3plus", [
    "depthwise", "pointwise", "saving", "full_kernel", "count", "SeparableConv2d", "XceptionBlock", "InvertedResidual",
    "dilation_plan", "DeepLabV3Plus", "trimap", "band_iou", "stacked", "moved", "leftover_shift", "enlarge"])


def same(mine, package, *inputs, pick=lambda out: out):
    """Outputs and all gradients of two modules with the same tensors in the same order, in float64."""
    mine.load_state_dict(dict(zip(mine.state_dict(), package.state_dict().values(), strict=True)))
    results = []
    for net in (mine.double(), package.double()):
        xs = [x.double().requires_grad_() for x in inputs]
        out = net(*xs)
        out = pick(out) if isinstance(out, tuple) else out
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)
        results.append((out.detach(), torch.autograd.grad((out * weights).sum(), [*xs, *net.parameters()])))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_depthwise_and_pointwise(rate):
    g = torch.Generator().manual_seed(rate)
    x, d, p = (torch.randn(s, generator=g, dtype=torch.float64) for s in ((2, 5, 12, 10), (5, 3, 3), (7, 5)))
    conv = models.SeparableConv2d(5, 7, dilation=rate, norm=False, relu=False).double()
    conv.depthwise.weight.data, conv.pointwise.weight.data = d[:, None], p[:, :, None, None]
    torch.testing.assert_close(NB.pointwise(NB.depthwise(x, d, rate), p), conv(x), rtol=0, atol=1e-12)
    kernel = NB.full_kernel(conv.depthwise.weight, conv.pointwise.weight)
    torch.testing.assert_close(F.conv2d(x, kernel, dilation=rate), conv(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("stride, rate, relu", [(1, 1, True), (2, 1, False), (1, 3, True)])
def test_separable_convolution(stride, rate, relu):
    same(NB.SeparableConv2d(6, 8, stride, rate, relu), models.SeparableConv2d(6, 8, 3, stride, rate, rate, relu=relu),
         torch.randn(2, 6, 11, 9))


@pytest.mark.parametrize("stride, rate", [(2, 1), (1, 2)])
def test_xception_block(stride, rate):
    same(NB.XceptionBlock(8, 12, stride, rate), models.xception.XceptionBlock(8, (12,) * 3, stride, rate),
         torch.randn(2, 8, 13, 10), pick=lambda out: out[0])


@pytest.mark.parametrize("out_channels, stride, rate", [(8, 1, 1), (8, 1, 2), (12, 2, 1)])
def test_inverted_residual(out_channels, stride, rate):
    same(NB.InvertedResidual(8, out_channels, stride, 6, rate),
         InvertedResidual(8, out_channels, stride, 6, rate), torch.randn(2, 8, 13, 10))


@pytest.mark.parametrize("decoder", [True, False])
@pytest.mark.parametrize("kind", [models.Xception, models.mobilenet_v2])
def test_deeplabv3plus(decoder, kind):
    options = {"middle": 1} if kind is models.Xception else {}
    backbones = [kind(output_stride=16, width=0.125, **options) for _ in range(2)]
    same(NB.DeepLabV3Plus(backbones[0], 3, (1, 2, 3), 16, decoder).eval(),
         models.DeepLabV3Plus(backbones[1], 3, rates=(1, 2, 3), channels=16, decoder=decoder).eval(),
         torch.rand(2, 3, 45, 50))


def test_counting():
    for net in (models.mobilenet_v2(output_stride=8, width=0.25), nn.Conv2d(3, 6, 5, 2, groups=3)):
        if isinstance(net, nn.Conv2d):
            net = nn.Sequential(net)
        assert NB.count(net, (2, 3, 33, 40)) == models.mult_adds(net, (2, 3, 33, 40))
    ratio = models.mult_adds(nn.Conv2d(16, 24, 3), (1, 16, 8, 8)) / models.mult_adds(
        models.SeparableConv2d(16, 24, 3), (1, 16, 8, 8))
    assert NB.saving(16, 24, 3) == pytest.approx(ratio)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_the_dilation_plan_is_that_of_the_backbones(output_stride):
    net = models.Xception(middle=2, width=0.125, output_stride=output_stride)
    plan = NB.dilation_plan([2, 2, 2, 2, 1, 1, 2, 1], output_stride)[1:]          # behind the stem
    for block, (stride, first, _) in zip(net.blocks, plan, strict=True):
        last = block.convs[2][0].depthwise
        assert last.stride == (stride, stride) and last.dilation == (first, first)
    mobile = models.mobilenet_v2(width=0.25, output_stride=output_stride)
    stages = [[1], [2, 3], [4, 5, 6], [7, 8, 9, 10], [11, 12, 13], [14, 15, 16], [17]]
    for stage, (stride, first, others) in zip(stages, NB.dilation_plan([2, 1, 2, 2, 2, 1, 2, 1], output_stride)[1:],
                                              strict=True):
        convs = [m for k in stage for m in mobile.features[k].modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
        assert [c.dilation[0] for c in convs] == [first] + [others] * (len(convs) - 1)
        assert convs[0].stride == (stride, stride)


def test_trimaps():
    for seed in range(3):
        shapes = Shapes(size=(48, 64), num_classes=6, seed=9)
        truth, guess = ((shapes[k].semantic > 0).long().numpy() for k in (seed, seed + 5))
        for width in (1, 2, 5, 9):
            assert np.array_equal(NB.trimap(truth, width), trimap_band(truth, width))
            assert NB.band_iou(truth, guess, width) == pytest.approx(trimap_iou(truth, guess, width, 2).mean())


def test_stacked_pictures_are_judged_one_by_one():
    shapes = Shapes(size=(32, 40), num_classes=6, seed=4)
    truth = torch.stack([(shapes[k].semantic > 0).long() for k in range(3)])
    tall = NB.stacked(truth).numpy()
    assert tall.shape == (3 * 48, 40)
    guess = NB.stacked(torch.ones_like(truth), void=0).numpy()
    width = 16
    hits = sum((trimap_band(t, width) & (t.numpy() == 1)).sum() for t in truth)
    either = sum(trimap_band(t, width).sum() for t in truth)
    assert trimap_iou(tall, guess, width, 2)[1] == pytest.approx(hits / either)


def test_moving_and_the_shift_that_is_left_over():
    maps = torch.zeros(1, 9, 9)
    maps[0, 2, 3] = 1
    assert NB.moved(maps, 4).nonzero().tolist() == [[0, 6, 7]]
    assert NB.leftover_shift(16, 8) == 4


def test_the_stored_network_scores_what_its_file_says():
    namespace = {"__name__": "recipe", "__file__": str(data_folder() / "weights" / "deeplabv3plus_shapes.py")}
    path = data_folder() / "weights" / "deeplabv3plus_shapes.py"
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    net = namespace["build"]()
    facts = load_weights(path.with_suffix(".safetensors"), net)
    assert path.with_suffix(".safetensors").stat().st_size < 4e6
    score = namespace["mean_iou"](net, *namespace["scenes"](seed=2, count=100))
    assert score == pytest.approx(facts["mean_iou"], abs=0.002)
