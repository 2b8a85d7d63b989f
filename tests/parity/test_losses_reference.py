"""Losses against PyTorch, torchvision and segmentation_models_pytorch: value and gradient in float64.

Each test prints one line: reference, cases, worst difference of value and of gradient.
"""

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from seglab.losses import (
    bce_loss,
    cross_entropy,
    dice_loss,
    focal_loss,
    generalized_dice_loss,
    lovasz_softmax,
    tversky_loss,
)

smp = pytest.importorskip("segmentation_models_pytorch.losses", reason="smp is a reference of the test extra")
SEEDS = range(8)


def case(seed, channels, every_class=False, ignored=True):
    """Random logits (N, C, H, W) and target (N, H, W) with a tenth of the pixels ignored."""
    generator = torch.Generator().manual_seed(seed)
    n, h, w = (1, 7, 5) if seed == 0 else (2 + seed % 3, 6 + seed, 9)
    logits = 3 * torch.randn(n, channels, h, w, dtype=torch.float64, generator=generator)
    target = torch.randint(0, max(channels, 2), (n, h, w), generator=generator)
    if ignored:
        target[torch.rand(n, h, w, generator=generator) < 0.1] = 255
    if every_class:                                                     # absent classes: conventions differ
        target.flatten(1)[:, :max(channels, 2)] = torch.arange(max(channels, 2))
    return logits, target


def compare(name, mine, reference, cases, tolerance):
    """Assert equal value and gradient over all cases; print the worst of each."""
    worst = [0.0, 0.0]
    for logits, *rest in cases:
        results = []
        for function in (mine, reference):
            leaf = logits.clone().requires_grad_()
            value = function(leaf, *rest)
            results.append((value.detach(), torch.autograd.grad(value, leaf)[0]))
        (a, grad_a), (b, grad_b) = results
        assert grad_b.any(), "a reference without gradient proves nothing"
        worst = [max(worst[0], (a - b).abs().item()), max(worst[1], (grad_a - grad_b).abs().max().item())]
    print(f"\n{name}: {len(cases)} cases, worst difference: value {worst[0]:.1e}, gradient {worst[1]:.1e}")
    assert max(worst) <= tolerance


def test_cross_entropy_is_torch():
    cases = [(*case(seed, 4), torch.rand(4, dtype=torch.float64) + 0.1) for seed in SEEDS]
    compare("cross_entropy(class_weights, ignore_index) = F.cross_entropy",
            lambda z, t, w: cross_entropy(z, t, class_weights=w),
            lambda z, t, w: F.cross_entropy(z, t, w, ignore_index=255), cases, 1e-14)


def test_weight_map_is_torch_s_weighted_average():
    cases = []
    for seed in SEEDS:
        logits, target = case(seed, 3)
        cases.append((logits, target, torch.rand(target.shape, dtype=torch.float64)))

    def reference(z, t, w):
        loss = F.cross_entropy(z, t, ignore_index=255, reduction="none")
        return (w * loss)[t != 255].sum() / w[t != 255].sum()

    compare("cross_entropy(weight_map) = F.cross_entropy(none), weighted mean", cross_entropy, reference, cases, 1e-14)


def test_bce_is_torch():
    cases = [case(seed, 1, ignored=False) for seed in SEEDS]
    compare("bce_loss = F.binary_cross_entropy_with_logits", bce_loss,
            lambda z, t: F.binary_cross_entropy_with_logits(z[:, 0], t.double()), cases, 1e-15)


def test_foreground_weight_is_torch_s_pos_weight_but_for_the_divisor():
    """torch divides by the number of pixels, seglab by the sum of weights: the same direction, another length."""
    cases = [case(seed, 1, ignored=False) for seed in SEEDS]

    def reference(z, t):
        loss = F.binary_cross_entropy_with_logits(z[:, 0], t.double(), pos_weight=torch.tensor(7.0))
        return loss * t.numel() / torch.where(t == 1, 7.0, 1.0).sum()

    compare("bce_loss(class_weights=(1, 7)) = pos_weight 7, rescaled",
            lambda z, t: bce_loss(z, t, class_weights=(1, 7)), reference, cases, 1e-14)


@pytest.mark.parametrize("gamma, alpha", [(2.0, 0.25), (0.0, 0.25), (1.0, None), (5.0, 0.75), (0.5, 0.5)])
def test_focal_is_torchvision(gamma, alpha):
    cases = [case(seed, 1, ignored=False) for seed in SEEDS]
    compare(f"focal_loss(gamma={gamma}, alpha={alpha}) = torchvision.ops.sigmoid_focal_loss",
            lambda z, t: focal_loss(z, t, gamma, alpha),
            lambda z, t: sigmoid_focal_loss(z[:, 0], t.double(), -1 if alpha is None else alpha, gamma, "mean"),
            cases, 1e-14)


def test_where_torchvision_s_focal_gradient_is_nan_ours_is_finite():
    """The reason for the other form of (1 - p_t)^gamma; a fixed torchvision would let the test say so."""
    logits = torch.full((1, 1, 1, 1), 200.0, requires_grad=True)
    target = torch.ones(1, 1, 1, dtype=torch.long)
    theirs, = torch.autograd.grad(sigmoid_focal_loss(logits[:, 0], target.float(), -1, 0.5, "mean"), logits)
    ours, = torch.autograd.grad(focal_loss(logits, target, 0.5, None), logits)
    assert theirs.isnan().all() and ours.isfinite().all()


@pytest.mark.parametrize("channels, mode", [(1, "binary"), (4, "multiclass")])
def test_dice_and_tversky_are_smp(channels, mode):
    cases = [case(seed, channels, every_class=True) for seed in SEEDS]
    dice = smp.DiceLoss(mode, ignore_index=255, eps=1e-12)
    compare(f"dice_loss(per_image=False) = smp.DiceLoss({mode!r})",
            lambda z, t: dice_loss(z, t, per_image=False, smooth=0), dice, cases, 1e-12)
    for alpha, beta in ((0.3, 0.7), (1.0, 0.2)):
        tversky = smp.TverskyLoss(mode, ignore_index=255, eps=1e-12, alpha=alpha, beta=beta)
        compare(f"tversky_loss({alpha}, {beta}, per_image=False) = smp.TverskyLoss({mode!r})",
                lambda z, t, a=alpha, b=beta: tversky_loss(z, t, a, b, per_image=False, smooth=0),
                tversky, cases, 1e-12)
    compare(f"dice_loss(per_image=True) = mean of smp.DiceLoss({mode!r}) over single images",
            lambda z, t: dice_loss(z, t, smooth=0),
            lambda z, t: torch.stack([dice(z[i:i + 1], t[i:i + 1]) for i in range(len(z))]).mean(), cases, 1e-12)
    smooth = smp.DiceLoss(mode, ignore_index=255, eps=1e-12, smooth=1.0)
    compare(f"dice_loss(smooth=2) = smp.DiceLoss({mode!r}, smooth=1): smp adds it to TP, so twice",
            lambda z, t: dice_loss(z, t, per_image=False, smooth=2.0), smooth, cases, 1e-12)


@pytest.mark.parametrize("per_image", [True, False])
def test_lovasz_is_smp(per_image):
    """Classes may be absent here: both leave them out. smp mixes dtypes and runs in float32 only."""
    loss = smp.LovaszLoss("multiclass", per_image=per_image, ignore_index=255)
    cases = [case(seed, 5) for seed in SEEDS] + [(logits, target.clamp(max=2)) for logits, target in
                                                 (case(seed, 5, ignored=False) for seed in SEEDS)]
    compare(f"lovasz_softmax(per_image={per_image}) = smp.LovaszLoss('multiclass')",
            lambda z, t: lovasz_softmax(z, t, per_image),
            lambda z, t: loss(z.float(), t), cases, 1e-6)


def test_lovasz_is_its_definition_with_sets_of_pixels():
    """Equation 8 in float64: walk down the errors, and ask the Jaccard loss of the growing set of wrong pixels."""
    cases = [case(seed, channels, every_class=True) for seed in SEEDS for channels in (1, 3)]

    def jaccard_loss(wrong, truth):
        return len(wrong) / len(truth | wrong) if truth | wrong else 0.0

    def reference(z, t):
        images = []
        for scores, labels in zip(z, t):
            p = scores.sigmoid() if len(z[0]) == 1 else scores.softmax(0)
            classes = []
            for c in [1] if len(p) == 1 else range(len(p)):
                inside, q = (labels == c)[labels != 255], p[0 if len(p) == 1 else c][labels != 255]
                if len(p) > 1 and not inside.any():
                    continue
                errors = torch.where(inside, 1 - q, q)
                truth = set(inside.nonzero()[:, 0].tolist())
                wrong, loss = set(), 0.0
                for i in errors.argsort(descending=True).tolist():
                    step = jaccard_loss(wrong | {i}, truth) - jaccard_loss(wrong, truth)
                    wrong, loss = wrong | {i}, loss + errors[i] * step
                classes.append(loss)
            images.append(sum(classes) / len(classes))
        return sum(images) / len(images)

    compare("lovasz_softmax = set definition", lovasz_softmax, reference, cases, 1e-13)


@pytest.mark.parametrize("channels", [2, 4])
def test_generalised_dice_is_its_formula_in_loops(channels):
    """No reference in the test extra has it; the formula pixel by pixel in plain Python is the witness."""
    cases = [case(seed, channels, every_class=True) for seed in SEEDS]

    def reference(z, t):
        losses = []
        for scores, labels in zip(z, t):
            above = below = 0.0
            for c in range(channels):
                p = scores.softmax(0)[c][labels != 255]
                g = (labels == c)[labels != 255]
                weight = 1 / g.sum().item() ** 2
                above = above + weight * sum(a for a, inside in zip(p, g) if inside)
                below = below + weight * (sum(p) + int(g.sum()))
            losses.append(1 - 2 * above / below)
        return sum(losses) / len(losses)

    compare(f"generalized_dice_loss, {channels} classes = loops", generalized_dice_loss, reference, cases, 1e-13)
