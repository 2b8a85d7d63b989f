"""Losses on cases small enough to compute by hand, and the conventions the docstrings promise."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.losses import (
    bce_loss,
    cross_entropy,
    cross_entropy_dice_loss,
    dice_loss,
    focal_loss,
    generalized_dice_loss,
    lovasz_softmax,
    prior_bias,
    tversky_loss,
)

OVERLAP = [dice_loss, generalized_dice_loss, tversky_loss, lovasz_softmax]
EVERY = [cross_entropy, cross_entropy_dice_loss, focal_loss, *OVERLAP]


def logit(p):
    return torch.as_tensor(p, dtype=torch.float64).logit()


def one_row(p, g):
    """Foreground probabilities and labels of one image of one row: logits (1, 1, 1, W) and target (1, 1, W)."""
    return logit(p).view(1, 1, 1, -1), torch.as_tensor(g).view(1, 1, -1)


def random_case(channels, n=3, h=5, w=7, ignored=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, channels, h, w, dtype=torch.float64, generator=generator)
    target = torch.randint(0, max(channels, 2), (n, h, w), generator=generator)
    if ignored:
        target[torch.rand(n, h, w, generator=generator) < 0.2] = 255
    return logits, target


def test_bce_is_the_mean_of_minus_log_p():
    logits, target = one_row([0.9, 0.2, 0.4], [1, 0, 1])
    expected = -(math.log(0.9) + math.log(0.8) + math.log(0.4)) / 3
    assert bce_loss(logits, target).item() == pytest.approx(expected, abs=1e-14)


def test_weights_divide_by_their_sum():
    logits, target = one_row([0.9, 0.2, 0.4], [1, 0, 1])
    expected = -(3 * math.log(0.9) + 1 * math.log(0.8) + 3 * math.log(0.4)) / 7
    assert bce_loss(logits, target, class_weights=(1, 3)).item() == pytest.approx(expected, abs=1e-14)
    weight_map = torch.tensor([[[3.0, 1.0, 3.0]]])
    assert bce_loss(logits, target, weight_map=weight_map).item() == pytest.approx(expected, abs=1e-14)


def test_an_ignored_pixel_is_in_neither_sum():
    logits, target = one_row([0.9, 0.2, 0.4], [1, 0, 255])
    expected = -(math.log(0.9) + math.log(0.8)) / 2
    assert cross_entropy(logits, target).item() == pytest.approx(expected, abs=1e-14)


@settings(deadline=None, max_examples=25)
@given(st.floats(1e-3, 1e3), st.integers(0, 99))
def test_scaling_all_weights_changes_nothing(factor, seed):
    logits, target = random_case(3, seed=seed)
    weight_map = torch.rand(target.shape, dtype=torch.float64)
    base = cross_entropy(logits, target, weight_map, (1.0, 2.0, 0.5))
    assert torch.allclose(cross_entropy(logits, target, factor * weight_map, (1.0, 2.0, 0.5)), base, atol=1e-12)
    assert torch.allclose(cross_entropy(logits, target, weight_map, [factor, 2 * factor, 0.5 * factor]), base,
                          atol=1e-12)


def test_dice_by_hand():
    p, g = [0.8, 0.5, 0.1], [1, 0, 0]
    logits, target = one_row(p, g)
    assert dice_loss(logits, target, smooth=0).item() == pytest.approx(1 - 2 * 0.8 / (1.4 + 1), abs=1e-14)
    assert dice_loss(logits, target, squared=True, smooth=0).item() == pytest.approx(
        1 - 2 * 0.8 / (0.64 + 0.25 + 0.01 + 1), abs=1e-14)
    assert dice_loss(logits, target, smooth=1).item() == pytest.approx(1 - 2.6 / 3.4, abs=1e-14)


def test_dice_per_image_and_per_batch_differ_as_they_should():
    logits = logit([0.8, 0.5, 0.1, 0.9, 0.9, 0.2]).view(2, 1, 1, 3)
    target = torch.tensor([1, 0, 0, 1, 1, 0]).view(2, 1, 3)
    first, second = 1 - 1.6 / 2.4, 1 - 3.6 / 4.0
    assert dice_loss(logits, target, smooth=0).item() == pytest.approx((first + second) / 2, abs=1e-14)
    assert dice_loss(logits, target, per_image=False, smooth=0).item() == pytest.approx(1 - 5.2 / 6.4, abs=1e-14)


@pytest.mark.parametrize("loss", OVERLAP, ids=lambda f: f.__name__)
@pytest.mark.parametrize("channels", [1, 4])
def test_a_batch_of_copies_is_the_same_per_image_and_per_batch(loss, channels):
    logits, target = random_case(channels, n=1)
    logits, target = logits.repeat(3, 1, 1, 1), target.repeat(3, 1, 1)
    assert torch.allclose(loss(logits, target, per_image=True), loss(logits, target, per_image=False), atol=1e-5)


def test_generalised_dice_by_hand():
    logits, target = one_row([0.8, 0.5, 0.1, 0.1], [1, 0, 0, 0])
    # foreground: 1 pixel, weight 1; background: 3 pixels, weight 1/9
    overlap = 0.8 + (0.5 + 0.9 + 0.9) / 9
    size = (1.5 + 1) + (2.5 + 3) / 9
    assert generalized_dice_loss(logits, target).item() == pytest.approx(1 - 2 * overlap / size, abs=1e-14)


def test_generalised_dice_leaves_out_an_absent_class_but_predicting_it_costs():
    target = torch.zeros(1, 2, 2, dtype=torch.long)
    scores = torch.zeros(1, 3, 2, 2)
    scores[:, 0] = 9
    wrong = scores.clone()
    wrong[:, 2] = 9
    assert generalized_dice_loss(scores, target) < 1e-3
    assert generalized_dice_loss(wrong, target) > 0.3


def test_tversky_alpha_weighs_false_positives_and_beta_false_negatives():
    only_fp = one_row([1 - 1e-12, 1 - 1e-12], [1, 0])           # TP 1, FP 1, FN 0
    only_fn = one_row([1 - 1e-12, 1e-12], [1, 1])               # TP 1, FP 0, FN 1
    assert tversky_loss(*only_fp, alpha=0.3, beta=0.7).item() == pytest.approx(1 - 1 / 1.3, abs=1e-5)
    assert tversky_loss(*only_fn, alpha=0.3, beta=0.7).item() == pytest.approx(1 - 1 / 1.7, abs=1e-5)


def test_tversky_at_one_half_is_dice_and_at_one_is_jaccard():
    logits, target = random_case(3)
    assert torch.allclose(tversky_loss(logits, target, 0.5, 0.5), dice_loss(logits, target), atol=1e-14)
    p, g = one_row([0.8, 0.5], [1, 0])
    assert tversky_loss(p, g, 1, 1, smooth=0).item() == pytest.approx(1 - 0.8 / 1.5, abs=1e-14)


def test_focal_by_hand_and_its_two_limits():
    logits, target = one_row([0.9, 0.2], [1, 0])
    expected = -(0.25 * 0.1**2 * math.log(0.9) + 0.75 * 0.2**2 * math.log(0.8)) / 2
    assert focal_loss(logits, target).item() == pytest.approx(expected, abs=1e-15)
    for channels in (1, 3):
        logits, target = random_case(channels)
        assert torch.allclose(focal_loss(logits, target, 0, None), cross_entropy(logits, target), atol=1e-12)
        assert torch.allclose(focal_loss(logits, target, 0, 0.5), cross_entropy(logits, target) / 2, atol=1e-12)


def test_prior_bias_predicts_the_share():
    assert torch.sigmoid(torch.tensor(prior_bias(0.01), dtype=torch.float64)).item() == pytest.approx(0.01)
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="foreground_share"):
            prior_bias(share)


def test_lovasz_of_a_hard_prediction_is_the_jaccard_loss():
    prediction = torch.tensor([1, 1, 0, 0, 1]).view(1, 1, -1)
    target = torch.tensor([1, 0, 1, 0, 1]).view(1, 1, -1)
    logits = (prediction.double()[:, None] * 2 - 1) * 1e3
    assert lovasz_softmax(logits, target).item() == pytest.approx(1 - 2 / 4, abs=1e-12)


def test_lovasz_without_foreground_is_the_largest_false_probability():
    logits, target = one_row([0.1, 0.7, 0.3], [0, 0, 0])
    assert lovasz_softmax(logits, target).item() == pytest.approx(0.7, abs=1e-14)


def test_sum_of_cross_entropy_and_dice():
    logits, target = random_case(4)
    weight_map = torch.rand(target.shape)
    assert torch.equal(cross_entropy_dice_loss(logits, target, weight_map),
                       cross_entropy(logits, target, weight_map) + dice_loss(logits, target))


@pytest.mark.parametrize("loss", [cross_entropy, focal_loss, generalized_dice_loss], ids=lambda f: f.__name__)
def test_one_foreground_logit_is_two_classes_with_a_background_score_of_zero(loss):
    """The other losses score the foreground alone when C = 1, but both classes when C = 2."""
    logits, target = random_case(1)
    two = torch.cat([torch.zeros_like(logits), logits], 1)
    assert torch.allclose(loss(logits, target), loss(two, target), atol=1e-12)


@pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_good_is_better_than_bad_is_better_than_wrong(loss, channels):
    _, target = random_case(channels, n=2, h=9, w=8, ignored=False)
    classes = max(channels, 2)
    truth = torch.nn.functional.one_hot(target, classes).movedim(-1, 1).double()
    truth = truth if channels > 1 else truth[:, 1:]
    sure = 2 * truth - 1
    perfect, unsure, wrong = loss(50 * sure, target), loss(0.5 * sure, target), loss(-5 * sure, target)
    assert 0 <= perfect < 1e-6 < unsure < wrong


@pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_predicted_at_ignored_pixels_does_not_matter(loss, channels):
    logits, target = random_case(channels)
    logits.requires_grad_()
    value = loss(logits, target)
    grad, = torch.autograd.grad(value, logits)
    ignored = (target == 255)[:, None].expand_as(logits)
    assert ignored.any() and not grad[ignored].any() and grad[~ignored].any()
    assert torch.allclose(loss(torch.where(ignored, -logits * 3, logits), target), value, atol=1e-12)


@pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_is_that_of_the_value(loss, channels):
    logits, target = random_case(channels, n=2, h=3, w=4)
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


@pytest.mark.parametrize("smooth, share", [(0, 1.0), (1e-5, 1.0), (1.0, 8 / 9)])
def test_dice_of_an_empty_target_follows_smooth(smooth, share):
    """Half probability on 16 pixels: sum(p) = 8, loss = 8 / (8 + smooth). Nothing predicted: no loss."""
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    assert dice_loss(torch.zeros(1, 1, 4, 4), target, smooth=smooth).item() == pytest.approx(share, abs=1e-5)
    assert dice_loss(torch.full((1, 1, 4, 4), -1e4), target, smooth=smooth).item() == 0


def test_one_missed_pixel_keeps_its_gradient_under_any_smooth():
    target = torch.zeros(1, 64, 64, dtype=torch.long)
    target[0, 5, 5] = 1
    for smooth in (0, 1e-5, 1.0):
        logits = torch.full((1, 1, 64, 64), -8.0, requires_grad=True)
        grad, = torch.autograd.grad(dice_loss(logits, target, smooth=smooth), logits)
        assert grad[0, 0, 5, 5] < -1e-5
