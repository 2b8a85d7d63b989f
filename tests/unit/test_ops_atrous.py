"""Atrous convolution: what a reader can check by hand, gridding, and errors that name the argument."""
import numpy as np
import pytest
import torch

from seglab.ops import (
    batch_to_space,
    dilated_conv2d,
    dilated_conv2d_by_phases,
    path_counts,
    receptive_field,
    space_to_batch,
    stuff_kernel,
)

X, W = torch.zeros(1, 2, 6, 7), torch.zeros(3, 2, 3, 3)


def test_an_impulse_shows_the_kernel_mirrored_and_spread():
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4] = 1
    kernel = torch.arange(1.0, 10).reshape(1, 1, 3, 3)
    answer = dilated_conv2d(image, kernel, padding=3, dilation=3)[0, 0]
    assert torch.equal(answer[1::3, 1::3], kernel[0, 0].flip(0, 1)) and answer.sum() == 45


def test_the_stuffed_kernel():
    kernel = torch.tensor([[1.0, 2], [3, 4]])[None, None]
    expected = torch.tensor([[1.0, 0, 0, 2], [0, 0, 0, 0], [3, 0, 0, 4]])
    assert torch.equal(stuff_kernel(kernel, (2, 3))[0, 0], expected)
    assert stuff_kernel(torch.ones(5, 4, 1, 1), 7).shape == (5, 4, 1, 1)


def test_a_rate_larger_than_the_map_leaves_the_centre_tap():
    x, w = torch.randn(1, 2, 5, 4), torch.randn(3, 2, 3, 3)
    for form in (dilated_conv2d, dilated_conv2d_by_phases):
        torch.testing.assert_close(form(x, w, padding=9, dilation=9),
                                   torch.einsum("nchw,kc->nkhw", x, w[:, :, 1, 1]))


def test_gradcheck():
    x, w, b = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((1, 2, 5, 6), (2, 2, 2, 3), (2,)))
    for form in (dilated_conv2d, dilated_conv2d_by_phases):
        assert torch.autograd.gradcheck(lambda x, w, b, f=form: f(x, w, b, (1, 2), (2, 2)), (x, w, b))


@pytest.mark.parametrize(("rates", "holes"), [([2, 2, 2], 6), ([1, 2, 5], 0), ([1, 2, 3], 0), ([1, 1, 1], 0),
                                              ([2, 4, 8], 14), ([1, 2, 4, 8], 0), ([1, 2, 9], 4)])
def test_holes_of_a_stack(rates, holes):
    counts = path_counts(rates)
    assert len(counts) == 1 + 2 * sum(rates) and counts.sum() == 3 ** len(rates)
    assert (counts == 0).sum() == holes
    np.testing.assert_array_equal(counts, counts[::-1])
    np.testing.assert_array_equal(counts, path_counts(rates[::-1]))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_path_counts_are_what_convolutions_of_ones_give(kernel):
    rates = [1, 3, 2]
    layers = [torch.nn.Conv1d(1, 1, kernel, dilation=r, bias=False, dtype=torch.float64) for r in rates]
    for layer in layers:
        torch.nn.init.ones_(layer.weight)
    counts = path_counts(rates, kernel)
    x = torch.randn(1, 1, len(counts), dtype=torch.float64, requires_grad=True)
    torch.nn.Sequential(*layers)(x).sum().backward()
    np.testing.assert_allclose(x.grad[0, 0], counts, rtol=1e-12)


def test_the_field_is_the_measured_one():
    rates = [1, 1, 2, 4, 8, 16]
    net = torch.nn.Sequential(*[torch.nn.Conv2d(1, 1, 3, dilation=r) for r in rates])
    assert receptive_field(net, (1, 90, 90)).size == (len(path_counts(rates)),) * 2 == (65, 65)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: dilated_conv2d(X.long(), W), TypeError, "input must be a floating tensor, got torch.int64"),
    (lambda: dilated_conv2d(X.numpy(), W), TypeError, "input must be a floating tensor, got ndarray"),
    (lambda: dilated_conv2d(X[0], W), ValueError, r"input must have four dimensions.*\(2, 6, 7\)"),
    (lambda: dilated_conv2d(X, W[0]), ValueError, "weight must have four dimensions"),
    (lambda: dilated_conv2d(X[:0], W), ValueError, "input must have four dimensions, none of them 0"),
    (lambda: dilated_conv2d(X, W[:, :1]), ValueError, "weight must have 2 input channels"),
    (lambda: dilated_conv2d(X, W, torch.zeros(2)), ValueError, r"bias must have shape \(3,\), got \(2,\)"),
    (lambda: dilated_conv2d(X, W, dilation=0), ValueError, "dilation must be an integer >= 1"),
    (lambda: dilated_conv2d(X, W, dilation=1.5), TypeError, "dilation must be an integer"),
    (lambda: dilated_conv2d(X, W, dilation=(1, 2, 3)), ValueError, "dilation must be"),
    (lambda: dilated_conv2d(X, W, padding=-1), ValueError, "padding must be an integer >= 0"),
    (lambda: dilated_conv2d(X, W, dilation=3), ValueError, r"span \(7, 7\) px after padding, got \(6, 7\)"),
    (lambda: dilated_conv2d_by_phases(X, W, dilation=4), ValueError, r"span \(9, 9\) px"),
    (lambda: stuff_kernel(W, 0), ValueError, "dilation"), (lambda: stuff_kernel(W[0], 2), ValueError, "weight"),
    (lambda: space_to_batch(X, 0), ValueError, "rate"), (lambda: space_to_batch(X[0], 2), ValueError, "input"),
    (lambda: batch_to_space(X, 2, (4, 4)), ValueError, "2 x 2 phases, its batch of 1"),
    (lambda: batch_to_space(X, 1, (7, 7)), ValueError, "size must be within"),
    (lambda: path_counts([1, 0]), ValueError, "rates"), (lambda: path_counts([1], 0), ValueError, "kernel"),
    (lambda: path_counts([1.5]), TypeError, "rates")])
def test_bad_input(call, error, text):
    with pytest.raises(error, match=text):
        call()
