"""ASPP, its share of valid taps, and the batch norm of pooled features."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from seglab.models import ASPP, ASPPSum, PooledBatchNorm2d, valid_tap_share


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 14), st.sampled_from([1, 3, 5]))
@settings(deadline=None, max_examples=50)
def test_valid_taps_are_those_a_convolution_counts(height, width, rate, kernel):
    ones = torch.ones(1, 1, height, width, dtype=torch.float64)
    counted = F.conv2d(ones, torch.ones(1, 1, kernel, kernel).double(), padding=rate * (kernel // 2), dilation=rate)
    assert valid_tap_share(height, width, rate, kernel) == pytest.approx(counted.mean().item() / kernel**2, rel=1e-12)


def test_the_shares_that_the_paper_draws():
    shares = [valid_tap_share(65, 65, rate) for rate in (1, 6, 12, 18, 24, 36, 64, 65, 1000)]
    assert shares == sorted(shares, reverse=True) and shares[-1] == shares[-2] == 1 / 9
    assert [round(s, 2) for s in shares[1:7]] == [0.88, 0.77, 0.66, 0.57, 0.40, 0.12]


@pytest.mark.parametrize("wrong", [dict(rate=0), dict(height=0), dict(width=2.5), dict(kernel_size=2), dict(rate=True)])
def test_shares_of_nonsense_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        valid_tap_share(**dict(height=5, width=5, rate=1) | wrong)


def test_a_rate_beyond_the_map_is_a_1x1_convolution():
    torch.manual_seed(0)
    aspp = ASPP(4, (7, 40), 3).double().eval()
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    for branch in aspp.convs[1:3]:
        central = F.conv2d(x, branch[0].weight[:, :, 1:2, 1:2])
        torch.testing.assert_close(branch[0](x), central, rtol=0, atol=1e-14)
    before = aspp(x)
    aspp.convs[2][0].weight.data[:, :, 0] = 99.0                       # an outer tap: nobody can tell
    torch.testing.assert_close(aspp(x), before, rtol=0, atol=1e-12)


def test_aspp_of_its_parts():
    torch.manual_seed(1)
    aspp = ASPP(4, (1, 2), 3, dropout=0.0).double().train()
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    kernels = [branch[0].weight for branch in aspp.convs[:3]] + [aspp.convs[3][1].weight]

    def norm_relu(y):
        return F.relu(F.batch_norm(y, None, None, training=True))
    parts = [norm_relu(F.conv2d(x, kernels[0])), norm_relu(F.conv2d(x, kernels[1], padding=1)),
             norm_relu(F.conv2d(x, kernels[2], padding=2, dilation=2)),
             norm_relu(F.conv2d(x.mean((2, 3), keepdim=True), kernels[3])).expand(-1, -1, 6, 5)]
    wanted = norm_relu(F.conv2d(torch.cat(parts, 1), aspp.project[0].weight))
    torch.testing.assert_close(aspp(x), wanted, rtol=1e-10, atol=1e-12)


def test_the_image_branch_is_blind_to_place():
    aspp = ASPP(4, (1,), 3).double().eval()
    x = torch.randn(1, 4, 6, 5, dtype=torch.float64)
    shuffled = x.flatten(2)[:, :, torch.randperm(30)].reshape(x.shape)
    torch.testing.assert_close(aspp.convs[-1](x), aspp.convs[-1](shuffled))
    assert aspp.convs[-1](x).flatten(2).std(dim=2).max() == 0


@pytest.mark.parametrize("dropout, zeros", [(0.0, False), (1.0, True)])
def test_dropout_after_the_projection(dropout, zeros):
    out = ASPP(4, (1,), 3, dropout=dropout).train()(torch.randn(2, 4, 9, 9))
    assert (out == 0).all() == zeros


# ---------------------------------------------------------------- batch 1

def test_batch_1_trains_where_plain_batch_norm_refuses():
    torch.manual_seed(2)
    aspp = ASPP(4, (2,), 3, dropout=0.0).train()
    x = torch.randn(1, 4, 5, 5)
    pooled = aspp.convs[-1]
    kept = {key: value.clone() for key, value in pooled.state_dict().items()}
    aspp(x).square().sum().backward()
    assert all(torch.equal(value, kept[key]) for key, value in pooled.state_dict().items())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in aspp.parameters())
    assert pooled[1].weight.grad.abs().max() > 0
    pooled[2] = nn.BatchNorm2d(3)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        aspp(x)


def test_one_value_a_channel_is_normalised_as_in_evaluation():
    torch.manual_seed(3)
    norm = PooledBatchNorm2d(5).double()
    norm(torch.randn(8, 5, 2, 2, dtype=torch.float64) * 3 + 1)
    x = torch.randn(1, 5, 1, 1, dtype=torch.float64, requires_grad=True)
    in_training = norm.train()(x)
    assert torch.equal(in_training, norm.eval()(x))
    assert torch.autograd.grad(in_training.sum(), x)[0].abs().min() > 0


@pytest.mark.parametrize("shape", [(2, 5, 1, 1), (1, 5, 2, 1), (4, 5, 3, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_with_more_values_it_is_batch_norm(shape, training):
    torch.manual_seed(4)
    mine, theirs = PooledBatchNorm2d(5).train(training), nn.BatchNorm2d(5).train(training)
    x = torch.randn(shape)
    assert torch.equal(mine(x), theirs(x))
    assert all(torch.equal(a, b) for a, b in zip(mine.buffers(), theirs.buffers(), strict=True))
    assert mine.state_dict().keys() == theirs.state_dict().keys()


def test_batch_2_leaves_only_a_sign():
    pooled = torch.tensor([0.3, 0.9, 5.0, 4.0]).reshape(2, 2, 1, 1)
    out = PooledBatchNorm2d(2).train()(pooled)
    torch.testing.assert_close(out.flatten(), torch.tensor([-1.0, -1.0, 1.0, 1.0]), atol=1e-4, rtol=0)


# ---------------------------------------------------------------- bad input, version 2's sum

@pytest.mark.parametrize("wrong, says", [(dict(rates=()), "rates"), (dict(rates=(0,)), "rates"),
                                         (dict(rates=(1.5,)), "rates"), (dict(in_channels=0), "in_channels"),
                                         (dict(out_channels=-1), "out_channels"), (dict(dropout=1.5), "dropout")])
def test_bad_arguments(wrong, says):
    with pytest.raises(ValueError, match=says):
        ASPP(**dict(in_channels=4) | wrong)


@pytest.mark.parametrize("shape", [(1, 3, 5, 5), (4, 5, 5)])
def test_bad_features(shape):
    with pytest.raises(ValueError, match=r"\(N, 4, H, W\)"):
        ASPP(4, (1,), 3)(torch.zeros(shape))


@pytest.mark.parametrize("hidden", [None, 5])
def test_version_2_adds_its_branches(hidden):
    torch.manual_seed(5)
    pyramid = ASPPSum(4, 3, (1, 3), hidden).double().eval()
    x = torch.randn(2, 4, 6, 5, dtype=torch.float64)
    scores = pyramid(x)
    assert scores.shape == (2, 3, 6, 5)
    total = torch.zeros_like(scores)
    for rate, branch in zip((1, 3), pyramid.branches, strict=True):
        layers = list(branch) if hidden else [branch]
        first = layers[0]
        y = F.conv2d(x, first.weight, first.bias, padding=rate, dilation=rate)
        for layer in layers[1:]:
            y = layer(y)
        total = total + y
    torch.testing.assert_close(scores, total, rtol=1e-10, atol=1e-12)
    assert all(p.std() < 0.02 for p in pyramid.parameters())


def test_separable_branches_dilate_their_depthwise_half():
    torch.manual_seed(6)
    aspp = ASPP(4, (2, 5), 3, separable=True).eval()
    for rate, branch in zip((2, 5), aspp.convs[1:3], strict=True):
        depthwise, pointwise = [m for m in branch.modules() if isinstance(m, nn.Conv2d)]
        assert depthwise.groups == 4 and depthwise.dilation == depthwise.padding == (rate, rate)
        assert pointwise.kernel_size == (1, 1) and pointwise.out_channels == 3
    assert aspp(torch.randn(1, 4, 7, 6)).shape == (1, 3, 7, 6)
    assert sum(p.numel() for p in aspp.parameters()) < sum(p.numel() for p in ASPP(4, (2, 5), 3).parameters())
