"""Dense CRF: limits that can be worked out by hand, invariances, and errors that name the argument."""
import time

import pytest
import torch

from seglab.ops import crf_energy, dense_crf

G = torch.Generator().manual_seed(0)
UNARY = -torch.randn(3, 6, 7, generator=G, dtype=torch.float64).log_softmax(0)
IMAGE = torch.rand(3, 6, 7, generator=G, dtype=torch.float64)


def test_no_iteration_and_no_weight_give_the_softmax_of_the_unary():
    expected = torch.softmax(-UNARY, 0)
    torch.testing.assert_close(dense_crf(UNARY, IMAGE, iterations=0), expected)
    torch.testing.assert_close(dense_crf(UNARY, IMAGE, w1=0, w2=0), expected)


@pytest.mark.parametrize("normalization", ["symmetric", None])
def test_two_pixels_by_hand(normalization):
    unary, image = torch.tensor([[[1.0, 0.2]], [[0.1, 0.3]]]).double(), torch.tensor([[[0.0, 0.5]]]).double()
    k1 = torch.tensor(-1 / (2 * 4.0**2) - 127.5**2 / (2 * 60.0**2)).exp().double()
    k2 = torch.tensor(-1 / (2 * 2.0**2)).exp().double()
    q = torch.softmax(-unary[:, 0], 0)
    if normalization is None:
        message = (5 * k1 + 3 * k2) * q.flip(1)
    else:                                                     # both rows sum to 1 + k, so D^-1/2 k D^-1/2 = k / (1 + k)
        message = sum(w * (q + k * q.flip(1)) / (1 + k) for w, k in ((5, k1), (3, k2)))
    expected = torch.softmax(-unary[:, 0] + message, 0)[:, None]
    torch.testing.assert_close(dense_crf(unary, image, 5, 4, 60, 3, 2, 1, normalization), expected, rtol=0, atol=1e-7)


def test_energy_of_two_pixels():
    unary, image = torch.tensor([[[1.0, 0.2]], [[0.1, 0.3]]]).double(), torch.zeros(1, 1, 2)
    k = 2 * torch.tensor(-1 / 18.0).exp() + 3 * torch.tensor(-1 / 8.0).exp()
    arguments = dict(w1=2.0, theta_alpha=3.0, theta_beta=9.0, w2=3.0, theta_gamma=2.0, normalization=None)
    for labels, expected in (([[0, 0]], 1.2), ([[1, 0]], 0.3 + k), ([[0, 1]], 1.3 + k), ([[1, 1]], 0.4)):
        assert crf_energy(torch.tensor(labels), unary, image, **arguments) == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("normalization", ["symmetric", None])
def test_a_distribution_whatever_the_input(normalization):
    for k, h, w in ((1, 4, 5), (2, 1, 1), (4, 1, 9), (2, 9, 1)):
        q = dense_crf(torch.rand(k, h, w) * 50, torch.rand(1, h, w), normalization=normalization)
        assert q.shape == (k, h, w) and (q >= 0).all()
        torch.testing.assert_close(q.sum(0), torch.ones(h, w))


@pytest.mark.parametrize("normalization", ["symmetric", None])
def test_it_commutes_with_what_does_not_matter(normalization):
    def run(unary, image):
        return dense_crf(unary, image, theta_alpha=4.0, iterations=4, normalization=normalization)
    q = run(UNARY, IMAGE)
    for change in (lambda t: t.flip(2), lambda t: t.flip(1), lambda t: t.transpose(1, 2)):
        torch.testing.assert_close(run(change(UNARY), change(IMAGE)), change(q), rtol=0, atol=1e-12)
    torch.testing.assert_close(run(UNARY[[2, 0, 1]], IMAGE), q[[2, 0, 1]], rtol=0, atol=1e-12)
    torch.testing.assert_close(run(UNARY + 7, IMAGE[[1, 2, 0]]), q, rtol=0, atol=1e-12)


def test_uint8_and_float_pictures_are_the_same():
    image = torch.randint(0, 256, (3, 6, 7), generator=G, dtype=torch.uint8)
    torch.testing.assert_close(dense_crf(UNARY, image), dense_crf(UNARY, image.double() / 255), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_dtype_of_the_unary(dtype):
    q = dense_crf(UNARY.to(dtype), IMAGE.float())
    assert q.dtype == dtype
    torch.testing.assert_close(q.double(), dense_crf(UNARY, IMAGE), rtol=0, atol=0.1)


def test_gradient_with_respect_to_the_unary():
    unary = UNARY[:, :3, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda u: dense_crf(u, IMAGE[:, :3, :3], iterations=3), unary)


def test_a_colour_edge_stops_the_message_and_a_large_theta_beta_does_not():
    """The left half says nothing; it takes the label of its own colour only."""
    image = torch.zeros(1, 8, 12)
    image[..., 6:] = 1
    unary = torch.zeros(2, 8, 12)
    unary[0, :, 6:] = 4                                       # label 1 on the right
    sharp = dense_crf(unary, image, w2=0, theta_beta=10)
    blind = dense_crf(unary, image, w2=0, theta_beta=1e4)
    assert (sharp[1, :, :6] - 0.5).abs().max() < 1e-6 and blind[1, :, :6].min() > 0.9


def test_the_unnormalised_sums_grow_with_the_picture_and_the_normalised_ones_do_not():
    def push(size, normalization):
        """By how much one iteration moves the log odds of the central pixel; everybody believes label 1 a little."""
        unary, image = torch.zeros(2, size, size), torch.zeros(1, size, size)
        unary[0] = 0.5
        q = dense_crf(unary, image, w1=0.02, theta_alpha=10.0, w2=0, iterations=1, normalization=normalization)
        return torch.logit(q[1])[size // 2, size // 2].item() - 0.5
    assert push(24, None) > 2 * push(12, None)
    assert push(24, "symmetric") < 1.3 * push(12, "symmetric")


def test_48_by_48_in_less_than_a_second():
    unary, image = torch.rand(4, 48, 48), torch.rand(3, 48, 48)
    start = time.perf_counter()
    dense_crf(unary, image)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(("change", "error", "text"), [
    (dict(unary=UNARY.numpy()), TypeError, "unary must be a floating tensor, got ndarray"),
    (dict(unary=UNARY.long()), TypeError, "unary must be a floating tensor, got torch.int64"),
    (dict(image=IMAGE.long()), TypeError, "image must be a floating tensor or uint8, got torch.int64"),
    (dict(unary=UNARY[None]), ValueError, r"unary must have shape \(K, H, W\)"),
    (dict(image=IMAGE[0]), ValueError, r"image must have shape \(C, H, W\)"),
    (dict(unary=UNARY[:, :, :5]), ValueError, r"image must have the unary's size \(6, 5\), got \(6, 7\)"),
    (dict(unary=UNARY / 0), ValueError, "unary must be finite, got NaN or infinity; clamp"),
    (dict(image=IMAGE * float("nan")), ValueError, "image must be finite"),
    (dict(image=IMAGE * 255), ValueError, "image must be in 0..1 if it is float"),
    (dict(unary=torch.zeros(2, 97, 96), image=torch.zeros(1, 97, 96)), ValueError,
     r"at most 9216 px.* 1\.39 GB for 97 x 96 px\. 48 x 48 is sensible"),
    (dict(theta_alpha=0), ValueError, "theta_alpha must be a finite number > 0, got 0"),
    (dict(theta_beta=-1.0), ValueError, "theta_beta must be a finite number > 0"),
    (dict(theta_gamma=float("inf")), ValueError, "theta_gamma must be a finite"),
    (dict(w1=-1), ValueError, "w1 must be a finite number >= 0"),
    (dict(w2="w"), ValueError, "w2 must be a finite number"),
    (dict(iterations=-1), ValueError, "iterations must be an integer >= 0"),
    (dict(iterations=2.5), TypeError, "iterations"),
    (dict(normalization="before"), ValueError, "normalization must be one of")])
def test_bad_input(change, error, text):
    with pytest.raises(error, match=text):
        dense_crf(**dict(unary=UNARY, image=IMAGE) | change)


@pytest.mark.parametrize(("labels", "error", "text"), [
    (torch.zeros(6, 7), TypeError, "labels must be an integer tensor, got torch.float32"),
    (torch.zeros(6, 6, dtype=torch.long), ValueError, r"labels must have shape \(6, 7\)"),
    (torch.full((6, 7), 3), ValueError, r"labels must be in 0\.\.2, got 3\.\.3"),
    (torch.full((6, 7), -1), ValueError, "labels must be in")])
def test_bad_labels(labels, error, text):
    with pytest.raises(error, match=text):
        crf_energy(labels, UNARY, IMAGE)
