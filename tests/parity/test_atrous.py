"""The three forms of atrous convolution against F.conv2d(dilation=), value and gradient."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.ops import batch_to_space, dilated_conv2d, dilated_conv2d_by_phases, space_to_batch, stuff_kernel


def by_stuffed_kernel(x, w, b, padding, dilation):
    return F.conv2d(x, stuff_kernel(w, dilation), b, padding=padding)


FORMS = [dilated_conv2d, by_stuffed_kernel, dilated_conv2d_by_phases]
PAIR = st.tuples(st.integers(1, 5), st.integers(1, 5))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(FORMS), st.integers(0, 2**31), PAIR, PAIR, st.tuples(st.integers(0, 6), st.integers(0, 6)),
       st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)), st.booleans())
def test_every_form_is_conv2d(form, seed, kernel, rate, padding, counts, with_bias):
    g = torch.Generator().manual_seed(seed)
    n, c, k = counts
    least = [max(1, (a - 1) * r + 1 - 2 * p) for a, r, p in zip(kernel, rate, padding, strict=True)]
    size = [low + int(torch.randint(0, 7, (), generator=g)) for low in least]
    x = torch.randn(n, c, *size, generator=g, dtype=torch.float64)
    w = torch.randn(k, c, *kernel, generator=g, dtype=torch.float64)
    b = torch.randn(k, generator=g, dtype=torch.float64) if with_bias else None
    results = []
    for function in (form, lambda x, w, b, p, r: F.conv2d(x, w, b, padding=p, dilation=r)):
        leaves = [t.clone().requires_grad_() for t in (x, w, b) if t is not None]
        y = function(*leaves, *([None] if b is None else []), padding, rate)
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        results.append((y.detach(), *torch.autograd.grad((y * weights).sum(), leaves)))
    for mine, reference in zip(*results, strict=True):
        torch.testing.assert_close(mine, reference, rtol=0, atol=1e-12)


def test_worst_difference():
    g, worst, cases = torch.Generator().manual_seed(0), 0.0, 0
    for rate in (1, 2, 3, 6, 12, 18):
        x = torch.randn(2, 8, 33, 41, generator=g, dtype=torch.float64)
        w = torch.randn(8, 8, 3, 3, generator=g, dtype=torch.float64)
        reference = F.conv2d(x, w, padding=rate, dilation=rate)
        for form in FORMS:
            worst = max(worst, (form(x, w, None, rate, rate) - reference).abs().max().item())
            cases += 1
    print(f"\natrous convolution: reference F.conv2d(dilation=), {cases} cases, worst difference {worst:.1e}")
    assert worst < 1e-12


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 3), PAIR, st.tuples(st.integers(1, 11), st.integers(1, 11)))
def test_batch_to_space_undoes_space_to_batch(n, c, rate, size):
    x = torch.arange(n * c * size[0] * size[1], dtype=torch.float64).reshape(n, c, *size) + 1
    phases = space_to_batch(x, rate)
    assert phases.shape == (rate[0] * rate[1] * n, c, -(-size[0] // rate[0]), -(-size[1] // rate[1]))
    assert torch.equal(batch_to_space(phases, rate, size), x)
    for py in range(min(rate[0], size[0])):
        for px in range(min(rate[1], size[1])):
            phase = phases[(py * rate[1] + px) * n:][:n]
            part = x[:, :, py::rate[0], px::rate[1]]
            assert torch.equal(phase[:, :, :part.shape[2], :part.shape[3]], part)
    assert phases.sum() == x.sum()                            # what was filled in is zero


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes(dtype):
    g = torch.Generator().manual_seed(0)
    x, w = torch.randn(1, 2, 9, 7, generator=g), torch.randn(3, 2, 3, 3, generator=g)
    reference = F.conv2d(x, w, padding=2, dilation=2)
    for form in FORMS:
        y = form(x.to(dtype), w.to(dtype), None, 2, 2)
        assert y.dtype == dtype
        torch.testing.assert_close(y.float(), reference, rtol=0, atol=200 * torch.finfo(dtype).eps)
