"""What notebook 03 builds is what the package does: values and gradients in float64."""

import pytest
import torch
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab import losses
from seglab.losses.lovasz import jaccard_steps

NOTEBOOK = "03_losses_under_imbalance"
built = definitions(NOTEBOOK, ["bce", "softmax_ce", "weighted_mean", "soft_dice", "tversky", "generalised_dice",
                               "focal", "prior_bias", "lovasz", "lovasz_loop", "lovasz_hinge", "entropy", "lesions",
                               "dice_by_threshold", "counts", "THRESHOLDS"])


def both(mine, package, logits):
    """Largest difference of value and gradient of two functions of the logits."""
    results = []
    for function in (mine, package):
        leaf = logits.clone().requires_grad_()
        value = function(leaf)
        results.append((value.detach(), torch.autograd.grad(value, leaf)[0]))
    (a, grad_a), (b, grad_b) = results
    assert grad_b.any()
    return max((a - b).abs().item(), (grad_a - grad_b).abs().max().item())


def case(seed, channels=1):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, channels, 5, 6, dtype=torch.float64, generator=generator)
    target = torch.randint(0, max(channels, 2), (2, 5, 6), generator=generator)
    target[:, 0, 0], target[:, 0, 1] = 0, 1
    return logits, target


PAIRS = {
    "bce": (lambda z, t: built.bce(z[:, 0], t), lambda z, t: losses.bce_loss(z, t)),
    "weighted": (lambda z, t: built.weighted_mean(torch.nn.functional.softplus(z[:, 0]) - t * z[:, 0], 1.0 + 6 * t),
                 lambda z, t: losses.bce_loss(z, t, class_weights=(1, 7))),
    "dice": (lambda z, t: built.soft_dice(z[:, 0].sigmoid(), t, smooth=1e-5).mean(), losses.dice_loss),
    "squared dice": (lambda z, t: built.soft_dice(z[:, 0].sigmoid(), t, squared=True, smooth=1e-5).mean(),
                     lambda z, t: losses.dice_loss(z, t, squared=True)),
    "tversky": (lambda z, t: built.tversky(z[:, 0].sigmoid(), t, 0.3, 0.7).mean(),
                lambda z, t: losses.tversky_loss(z, t, smooth=0)),
    "focal": (lambda z, t: built.focal(z[:, 0], t, 1.5, 0.3), lambda z, t: losses.focal_loss(z, t, 1.5, 0.3)),
    "lovasz": (lambda z, t: (built.lovasz(z[0, 0].sigmoid(), t[0]) + built.lovasz(z[1, 0].sigmoid(), t[1])) / 2,
               losses.lovasz_softmax),
}


@pytest.mark.parametrize("name", PAIRS)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_binary_losses_agree(name, seed):
    logits, target = case(seed)
    mine, package = PAIRS[name]
    assert both(lambda z: mine(z, target), lambda z: package(z, target), logits) < 1e-12


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_softmax_losses_agree(seed):
    logits, target = case(seed, channels=4)
    weights = torch.tensor([1.0, 3.0, 0.5, 2.0], dtype=torch.float64)
    assert both(lambda z: built.softmax_ce(z, target).mean(), lambda z: losses.cross_entropy(z, target), logits) < 1e-12
    assert both(lambda z: built.weighted_mean(built.softmax_ce(z, target), weights[target]),
                lambda z: losses.cross_entropy(z, target, class_weights=weights), logits) < 1e-12
    assert both(lambda z: built.generalised_dice(z.softmax(1), target),
                lambda z: losses.generalized_dice_loss(z, target), logits) < 1e-12


def test_hinge_and_loop_use_the_package_s_jaccard_steps():
    logits, target = case(3)
    z, g = logits[0, 0], target[0]
    errors, order = torch.relu(1 - torch.where(g == 1, z, -z)).flatten().sort(descending=True)
    expected = errors @ jaccard_steps(g.flatten()[order].double())
    assert built.lovasz_hinge(z, g).item() == pytest.approx(expected.item(), abs=1e-6)
    p = z.sigmoid().flatten()
    assert built.lovasz_loop(p, g.flatten()) == pytest.approx(losses.lovasz_softmax(logits[:1], target[:1]).item())


def test_dice_by_threshold_is_counting_at_each_threshold():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(4, 9, 9, generator=generator) ** 3
    g = torch.rand(4, 9, 9, generator=generator) < p
    fast = built.dice_by_threshold(p, g)
    for k in (0, 10, 49, 98):
        tp, fp, fn = built.counts(p, g, built.THRESHOLDS[k])
        assert fast[k].item() == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-12)


def test_prior_bias_and_entropy():
    for share in (0.3, 0.01, 0.002):
        assert built.prior_bias(share) == losses.prior_bias(share)
        constant = torch.full((1, 1, 10, 100), losses.prior_bias(share), dtype=torch.float64)
        target = (torch.arange(1000) < 1000 * share).view(1, 10, 100)
        assert built.entropy(share) == pytest.approx(losses.bce_loss(constant, target).item(), abs=1e-12)


@pytest.mark.parametrize("share", [0.2, 0.01])
def test_lesions_have_the_share_that_was_asked_for(share):
    images, masks = built.lesions(3000, share, torch.Generator().manual_seed(0))
    assert images.shape == (3000, 1, 48, 48) and masks.shape == (3000, 48, 48) and masks.dtype == torch.bool
    assert masks.float().mean().item() == pytest.approx(share, rel=0.05)
    again, _ = built.lesions(3000, share, torch.Generator().manual_seed(0))
    assert torch.equal(images, again)
    assert images[:, 0][masks].mean() - images[:, 0][~masks].mean() == pytest.approx(2.0, abs=0.1)
