"""What notebook 09 builds is what the package holds."""
import numpy as np
import pytest
import torch
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seglab.models import VGG16, DilatedContext, init_identity
from seglab.ops import (
    batch_to_space,
    crf_energy,
    dense_crf,
    dilated_conv2d,
    dilated_conv2d_by_phases,
    path_counts,
    space_to_batch,
    stuff_kernel,
)

NOTEBOOK = definitions("09_dilated_convolution", [
    "atrous_1d", "atrous", "stuffed", "deal", "collect", "by_phases", "ways", "context_module", "make_identity",
    "LARGE", "wide_identity", "vgg_features", "pair_costs", "mean_field", "mean_field_step", "energy", "holes"])
SMALL = st.integers(1, 4)


def both(mine, theirs, inputs):
    """Values and gradients of two functions on the same inputs."""
    results = []
    for function in (mine, theirs):
        leaves = [x.clone().requires_grad_() for x in inputs]
        y = function(*leaves)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        results.append((y.detach(), *torch.autograd.grad((y * weights).sum(), leaves)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31), SMALL, SMALL, st.integers(0, 4))
def test_atrous_convolution_in_every_form(seed, k, r, padding):
    g = torch.Generator().manual_seed(seed)
    size = [max(1, r * (k - 1) + 1 - 2 * padding) + int(torch.randint(0, 6, (), generator=g)) for _ in range(2)]
    x = torch.randn(2, 2, *size, generator=g, dtype=torch.float64)
    w = torch.randn(3, 2, k, k, generator=g, dtype=torch.float64)
    both(lambda x, w: NOTEBOOK.atrous(x, w, r, padding), lambda x, w: dilated_conv2d(x, w, None, padding, r), (x, w))
    both(lambda x, w: NOTEBOOK.by_phases(x, w, r, padding),
         lambda x, w: dilated_conv2d_by_phases(x, w, None, padding, r), (x, w))
    assert torch.equal(NOTEBOOK.stuffed(w, r), stuff_kernel(w, r))
    dealt = space_to_batch(x, r)
    assert torch.equal(NOTEBOOK.deal(x, r), dealt)
    assert torch.equal(NOTEBOOK.collect(dealt, r, size), batch_to_space(dealt, r, size))
    line = NOTEBOOK.atrous_1d(x[0, 0, 0], w[0, 0, 0], r) if size[1] > r * (k - 1) else None
    if line is not None:
        expected = dilated_conv2d(x[:1, :1, :1], w[:1, :1, :1], dilation=(1, r))[0, 0, 0]
        torch.testing.assert_close(line.double(), expected, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_paths_and_holes(rates):
    counts = path_counts(rates)
    np.testing.assert_array_equal(NOTEBOOK.ways(rates), counts)
    assert NOTEBOOK.holes(rates) == (counts == 0).sum()


@pytest.mark.parametrize("size", ["basic", "large"])
def test_context_module(size):
    torch.manual_seed(0)
    package = DilatedContext(2, size).double()
    for p in package.parameters():
        nn.init.normal_(p, std=0.1)
    module = NOTEBOOK.context_module(2, NOTEBOOK.LARGE if size == "large" else (1,) * 8).double()
    state = {tuple(name.split(".")): value for name, value in package.layers.state_dict().items()}
    module.load_state_dict({f"{int(index) + 1}.{name}": value for (index, name), value in state.items()})
    both(module, package, [torch.rand(1, 2, 9, 12, dtype=torch.float64)])


def test_identity_initialisation():
    born = NOTEBOOK.make_identity(NOTEBOOK.context_module(3))
    for mine, theirs in zip(born.parameters(), DilatedContext(3).parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for c_in, c_out, c in ((2, 4, 2), (12, 6, 3), (6, 6, 1)):
        conv = nn.Conv2d(c_in, c_out, 3)
        init_identity(conv, c)
        torch.testing.assert_close(NOTEBOOK.wide_identity(c_in, c_out, c, 3), conv.weight.detach())


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(64, 32), (37, 51)])
def test_vgg(stride, size):
    torch.manual_seed(0)
    mine, package = NOTEBOOK.vgg_features(2, stride).double(), VGG16(2, output_stride=stride).double()
    mine.load_state_dict(package.features.state_dict(), strict=True)
    both(mine, lambda x: package(x)[-1], [torch.randn(1, 3, *size, dtype=torch.float64)])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31), st.tuples(st.integers(1, 6), st.integers(1, 6)), st.integers(1, 4), st.integers(0, 4))
def test_dense_crf(seed, size, labels, iterations):
    g = torch.Generator().manual_seed(seed)
    unary = -torch.randn(labels, *size, generator=g, dtype=torch.float64).log_softmax(0)
    image = torch.rand(3, *size, generator=g, dtype=torch.float64)
    w1, theta_alpha, theta_beta, w2, theta_gamma = (0.5 + 20 * torch.rand(5, generator=g)).tolist()
    arguments = dict(w1=w1, theta_alpha=theta_alpha, theta_beta=theta_beta, w2=w2, theta_gamma=theta_gamma)
    k = NOTEBOOK.pair_costs(image, **arguments)
    both(lambda u: NOTEBOOK.mean_field(u, k, iterations),
         lambda u: dense_crf(u, image, **arguments, iterations=iterations), [unary])
    psi, q = unary.flatten(1), torch.softmax(-unary.flatten(1), 0)
    torch.testing.assert_close(NOTEBOOK.mean_field_step(psi, k, q).reshape(unary.shape),
                               dense_crf(unary, image, **arguments, iterations=1), rtol=0, atol=1e-12)
    x = torch.randint(labels, size, generator=g)
    assert float(NOTEBOOK.energy(x, unary, k)) == pytest.approx(crf_energy(x, unary, image, **arguments), abs=1e-9)
