"""What notebook 10 builds is what the package holds."""
from functools import partial

import numpy as np
import pytest
import torch
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from seglab.models import ASPP, ASPPSum, DenseModel, PooledBatchNorm2d, PSPHead, PyramidPooling, valid_tap_share
from seglab.models.deeplabv3 import set_multi_grid
from seglab.models.resnet import BasicBlock, ResNet
from seglab.ops import receptive_field
from seglab.widgets.aspp_rates import valid_tap_map

NOTEBOOK = definitions("10_pyramids", [
    "adaptive_pool", "norm_relu", "pyramid", "pooled_norm", "aspp_sum", "valid_share", "counted_share", "aspp", "reads",
    "deeplab", "scenes", "patchwork", "rods", "Net", "HEADS", "STRIP", "GAP", "largest_rate"])


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def same(mine, wanted, x, tolerance=1e-9):
    """Two functions of x agree in value and in gradient."""
    results = []
    for function in (mine, wanted):
        leaf = x.clone().requires_grad_()
        value = function(leaf)
        results.append((value.detach(), torch.autograd.grad((value * random(*value.shape, seed=1)).sum(), leaf)[0]))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=tolerance)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 7))
def test_adaptive_pooling(height, width, bins):
    x = random(2, 3, height, width)
    same(partial(NOTEBOOK.adaptive_pool, bins=bins), partial(F.adaptive_avg_pool2d, output_size=bins), x)
    torch.testing.assert_close(NOTEBOOK.adaptive_pool(x, bins, torch.amax), F.adaptive_max_pool2d(x, bins))


@pytest.mark.parametrize("bins", [(1, 2, 3, 6), (2,), (1, 4)])
@pytest.mark.parametrize("size", [(13, 10), (3, 7)])
def test_pyramid(bins, size):
    torch.manual_seed(3)
    levels = PyramidPooling(8, bins).double().train()
    kernels = [level[1].weight for level in levels.levels]

    def package(x):
        return torch.cat([x, *(F.interpolate(y, size=size, mode="bilinear") for y in levels(x))], 1)
    same(partial(NOTEBOOK.pyramid, kernels=kernels, bins=bins), package, random(3, 8, *size), 1e-7)
    head = PSPHead(8, 2, bins, channels=4).double()
    assert head.conv.in_channels == NOTEBOOK.pyramid(
        random(3, 8, *size), [level[1].weight for level in head.pyramid.levels], bins).shape[1]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("training", [True, False])
def test_pooled_norm(count, training):
    norm = PooledBatchNorm2d(4).double().train()
    norm(random(6, 4, 2, 2) * 3)
    statistics = norm.running_mean.clone(), norm.running_var.clone()
    same(lambda x: NOTEBOOK.pooled_norm(x, *statistics, training), norm.train(training), random(count, 4, 1, 1, seed=4))


def test_both_pyramids_of_deeplab():
    torch.manual_seed(5)
    v2 = ASPPSum(6, 3, (1, 3, 9)).double()
    parts = [b.weight for b in v2.branches], [b.bias for b in v2.branches]
    same(lambda x: NOTEBOOK.aspp_sum(x, *parts, rates=(1, 3, 9)), v2, random(2, 6, 8, 5))
    v3 = ASPP(6, (2, 4), 5, dropout=0.0).double().train()
    parts = [conv[0].weight for conv in v3.convs[:3]], v3.convs[3][1].weight, v3.project[0].weight
    same(lambda x: NOTEBOOK.aspp(x, *parts, rates=(2, 4)), v3, random(3, 6, 8, 5), 1e-8)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 15))
def test_share_of_valid_taps(n, rate):
    wanted = valid_tap_share(n, n, rate)
    assert NOTEBOOK.valid_share(n, rate) == pytest.approx(wanted, abs=1e-12)
    assert NOTEBOOK.counted_share(n, rate) == pytest.approx(wanted, abs=1e-12)
    assert valid_tap_map(n, rate).mean() / 9 == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("n", [5, 33])
def test_largest_rate_inverts_the_share(n):
    for rate in range(1, n):
        assert NOTEBOOK.largest_rate(n, valid_tap_share(n, n, rate)) == rate


@pytest.mark.parametrize("units", [(1, 1, 1), (1, 2, 4)])
def test_what_a_multi_grid_reads(units):
    stage = ResNet(BasicBlock, (1, 1, 1, 3), width=2, output_stride=16).layer4
    set_multi_grid(stage, units)
    seen = torch.zeros(1, 1, 33, 33)
    seen[..., 16, 16] = 1
    for block in stage:
        seen = F.conv2d(seen, torch.ones(1, 1, 3, 3), padding=block.conv2.padding, dilation=block.conv2.dilation)
    np.testing.assert_array_equal(NOTEBOOK.reads([2 * u for u in units]).numpy(), seen[0, 0].numpy() > 0)


def test_one_state_dict_at_both_strides():
    at = {stride: NOTEBOOK.deeplab(stride).eval() for stride in (8, 16)}
    at[8].load_state_dict(at[16].state_dict())
    assert all(isinstance(net, DenseModel) for net in at.values())
    x = torch.randn(1, 1, 50, 41)
    torch.testing.assert_close(at[8].backbone(x)[-1][..., ::2, ::2], at[16].backbone(x)[-1], rtol=1e-4, atol=1e-5)


def test_nothing_near_a_disc_tells_its_name():
    """Boat and car of one draw differ in the strip alone, farther away than a pixel sees without context."""
    field = max(receptive_field(NOTEBOOK.Net(NOTEBOOK.HEADS["no context"]()), (1, 160, 160)).size)
    assert field // 2 < NOTEBOOK.GAP
    images, targets, gaps = NOTEBOOK.scenes(60, torch.Generator().manual_seed(1), 96)
    assert set(targets.unique().tolist()) == {0, 1, 2} and gaps.min() >= NOTEBOOK.GAP
    for image, target, gap in zip(images[:, 0], targets, gaps, strict=True):
        rows = target.any(1).nonzero()[:, 0]
        strip_above = image[:NOTEBOOK.STRIP].std() > image[-NOTEBOOK.STRIP:].std()
        distance = rows.min() - NOTEBOOK.STRIP if strip_above else 96 - NOTEBOOK.STRIP - 1 - rows.max()
        assert abs(distance - gap) <= 1.5 and set(target.unique().tolist()) in ({0, 1}, {0, 2})


def test_the_pictures_are_drawn_anew_and_alike():
    for draw in (NOTEBOOK.scenes, NOTEBOOK.patchwork, NOTEBOOK.rods):
        a, b, c = (draw(4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and not torch.equal(a[0], c[0])
        assert a[0].dtype == torch.float32 and a[1].dtype == torch.int64 and a[0].shape[2:] == a[1].shape[1:]
