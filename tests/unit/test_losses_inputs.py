"""Every loss takes a target in every layout, dtype and form, and says so where it cannot know what is meant."""

import inspect

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

import seglab.losses
from seglab.losses import (
    bce_loss,
    cross_entropy,
    cross_entropy_dice_loss,
    dice_loss,
    focal_loss,
    generalized_dice_loss,
    lovasz_softmax,
    tversky_loss,
)

EVERY = [getattr(seglab.losses, name) for name in seglab.losses.__all__ if name != "prior_bias"]
CASES = [(loss, channels) for loss in EVERY for channels in (1, 2, 3) if channels == 1 or loss is not bce_loss]
OF_SHARES = [cross_entropy, cross_entropy_dice_loss, dice_loss, generalized_dice_loss, tversky_loss]
every_case = pytest.mark.parametrize("loss, channels", CASES, ids=lambda v: getattr(v, "__name__", str(v)))
every_loss = pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)


def case(channels, dtype=torch.float64):
    generator = torch.Generator().manual_seed(channels)
    logits = torch.randn(2, channels, 5, 6, dtype=dtype, generator=generator)
    return logits, torch.randint(0, max(channels, 2), (2, 5, 6), generator=generator)


def value_and_gradient(loss, logits, target, **options):
    leaf = logits.clone(memory_format=torch.preserve_format).requires_grad_()
    value = loss(leaf, target, **options)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


def same(results, expected, tolerance=1e-12):
    for a, b in zip(results, expected):
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance)


LAYOUTS = {
    "transposed": lambda t: t.transpose(-1, -2).contiguous().transpose(-1, -2),
    "batch last": lambda t: t.movedim(0, -1).contiguous().movedim(-1, 0),
    "every second": lambda t: t.repeat_interleave(2, -1)[..., ::2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@every_case
def test_every_layout(loss, channels, layout):
    logits, target = case(channels)
    moved = LAYOUTS[layout]
    same(value_and_gradient(loss, moved(logits), moved(target)), value_and_gradient(loss, logits, target))
    last = logits.contiguous(memory_format=torch.channels_last)
    same(value_and_gradient(loss, last, target), value_and_gradient(loss, logits, target))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32,
                                   torch.uint32, torch.int64, torch.uint64], ids=str)
@every_case
def test_every_integer_dtype_with_and_without_a_channel(loss, channels, dtype):
    logits, target = case(channels)
    target = target.clamp(max=1) if dtype == torch.bool else target
    expected = value_and_gradient(loss, logits, target)
    same(value_and_gradient(loss, logits, target.to(dtype)), expected)
    same(value_and_gradient(loss, logits, target[:, None].to(dtype)), expected)
    if dtype not in (torch.bool, torch.int8):
        target[0, 0] = 255
        expected = value_and_gradient(loss, logits, target)
        same(value_and_gradient(loss, logits, target.to(dtype)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@every_loss
def test_a_float_mask_is_the_mask(loss, dtype):
    logits, target = case(1)
    target[0, 0, :2] = 255
    expected = value_and_gradient(loss, logits, target)
    same(value_and_gradient(loss, logits, target.to(dtype)), expected)
    same(value_and_gradient(loss, logits, target[:, None].to(dtype)), expected)


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
@every_case
def test_what_is_no_number_at_an_ignored_pixel_counts_for_nothing(loss, channels, broken):
    logits, target = case(channels)
    target[0, :, 3] = 255
    target[1] = 255                                             # a picture that is ignored altogether
    expected = value_and_gradient(loss, logits, target)
    logits[(target == 255)[:, None].expand_as(logits)] = broken
    results = value_and_gradient(loss, logits, target)
    same(results, expected)
    assert results[1].isfinite().all() and results[1].any()
    if channels == 1:
        same(value_and_gradient(loss, logits, target.double()), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_nor_does_it_at_a_pixel_of_weight_0(channels):
    logits, target = case(channels)
    weight_map = torch.rand(target.shape)
    weight_map[:, 2] = 0
    broken = logits.clone()
    broken[:, :, 2] = float("nan")
    same(value_and_gradient(cross_entropy, broken, target, weight_map=weight_map),
         value_and_gradient(cross_entropy, logits, target, weight_map=weight_map))
    broken = torch.where((target == 1)[:, None], float("nan"), logits)
    weights = [1.0, 0.0, 2.0][:max(channels, 2)]
    same(value_and_gradient(cross_entropy, broken, target, class_weights=weights),
         value_and_gradient(cross_entropy, logits, target, class_weights=weights))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32], ids=str)
@pytest.mark.parametrize("channels", [1, 2])
@every_loss
def test_a_mask_of_0_and_255_is_refused_unless_255_is_said_to_be_void(loss, channels, dtype):
    if (loss is bce_loss or dtype.is_floating_point) and channels == 2:
        return
    logits, mask = case(channels)
    for target in ((mask * 255).to(dtype), torch.full_like(mask, 255).to(dtype)):
        with pytest.raises(ValueError, match=r"^target must .*divide by 255; .*pass ignore_index=255 by name"):
            loss(logits, target)
        assert loss(logits, target, ignore_index=255).isfinite()
    mask[0, 0, 0], mask[0, 0, 1] = 255, 1
    assert loss(logits, mask.to(dtype)).isfinite()              # 1 is the foreground, so 255 is void


@pytest.mark.parametrize("loss", [loss for loss in EVERY if loss is not bce_loss], ids=lambda f: f.__name__)
def test_void_of_many_classes_stays_void(loss):
    logits, target = case(3)
    for void in (torch.where(target > 0, 255, 0), torch.full_like(target, 255)):
        assert torch.equal(loss(logits, void), loss(logits, void, ignore_index=255))
    assert loss(logits, torch.full_like(target, 255)) == 0


@every_loss
def test_the_default_is_printed_as_255(loss):
    assert "ignore_index: int = 255" in str(inspect.signature(loss))


@every_loss
def test_wrong_floats_are_named(loss):
    logits, target = case(1)
    for bad in (-0.5, 1.5, float("nan"), 254.0):
        soft = target.double()
        soft[0, 0, 0] = bad
        with pytest.raises(ValueError, match=r"^target must hold values 0\.\.1 or ignore_index=255 .* got"):
            loss(logits, soft)
    if loss is not bce_loss:
        with pytest.raises(TypeError, match=r"^target must hold integer class ids for C=3 .*float32"):
            loss(case(3)[0], torch.zeros(2, 5, 6))
    for bad in (None, 1.5, "255"):
        with pytest.raises(TypeError, match="^ignore_index must be an integer"):
            loss(logits, target, ignore_index=bad)


def soft_case():
    generator = torch.Generator().manual_seed(5)
    soft = torch.rand(2, 5, 6, dtype=torch.float64, generator=generator)
    soft[0, 0, :2] = torch.tensor([0.0, 1.0])
    return case(1)[0], soft


def test_soft_labels_of_one_foreground():
    logits, soft = soft_case()
    z, p = logits[:, 0], logits[:, 0].sigmoid()
    same(value_and_gradient(bce_loss, logits, soft),
         value_and_gradient(lambda z, t: F.binary_cross_entropy_with_logits(z[:, 0], t), logits, soft))
    same([dice_loss(logits, soft, per_image=False, smooth=0)], [1 - 2 * (p * soft).sum() / (p + soft).sum()])
    tp, fp, fn = (p * soft).sum(), (p * (1 - soft)).sum(), ((1 - p) * soft).sum()
    same([tversky_loss(logits, soft, 0.2, 0.9, per_image=False, smooth=0)], [1 - tp / (tp + 0.2 * fp + 0.9 * fn)])
    weights = 1 / torch.stack([(1 - soft).sum(), soft.sum()]) ** 2
    overlap = weights @ torch.stack([((1 - p) * (1 - soft)).sum(), tp])
    size = weights @ torch.stack([(2 - p - soft).sum(), (p + soft).sum()])
    same([generalized_dice_loss(logits, soft, per_image=False)], [1 - 2 * overlap / size])
    same([cross_entropy_dice_loss(logits, soft)], [bce_loss(logits, soft) + dice_loss(logits, soft)])
    assert torch.autograd.gradcheck(lambda z: focal_loss(z, soft), logits.requires_grad_())
    assert z.shape == soft.shape


@pytest.mark.parametrize("gamma, alpha", [(2.0, 0.25), (0.0, 0.6), (1.5, None)])
def test_soft_focal_is_torchvision(gamma, alpha):
    logits, soft = soft_case()
    reference = lambda z, t: sigmoid_focal_loss(z[:, 0], t, -1 if alpha is None else alpha, gamma, "mean")
    same(value_and_gradient(focal_loss, logits, soft, gamma=gamma, alpha=alpha),
         value_and_gradient(reference, logits, soft), 1e-14)


def test_focal_alpha_keeps_double_precision():
    """0.1 in float32 is wrong by 1.5e-9, which a loss in float64 must not show."""
    logits = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    for target, weight in ((1, 0.1), (0, 0.9)):
        for C in (1, 2):
            value = focal_loss(logits.expand(1, C, 1, 1), torch.full((1, 1, 1), target), gamma=0, alpha=0.1)
            assert value.item() == pytest.approx(weight * np.log(2), abs=1e-16)


def test_lovasz_refuses_soft_labels():
    logits, soft = soft_case()
    with pytest.raises(ValueError, match="^target must hold 0 and 1 for lovasz_softmax, which has no value for soft"):
        lovasz_softmax(logits, soft)


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("loss", OF_SHARES, ids=lambda f: f.__name__)
def test_shares_that_are_one_hot_are_the_class_ids(loss, dtype):
    for channels in (2, 3):
        logits, target = case(channels)
        shares = F.one_hot(target, channels).movedim(-1, 1).to(dtype)
        same(value_and_gradient(loss, logits, shares), value_and_gradient(loss, logits, target))
    if "class_weights" in inspect.signature(loss).parameters:
        weights = {"class_weights": [0.0, 1.0, 3.0], "weight_map": torch.rand(2, 5, 6)}
        same(value_and_gradient(loss, logits, shares, **weights), value_and_gradient(loss, logits, target, **weights))


def test_shares_of_cross_entropy_are_torch_s_but_for_the_divisor():
    logits, _ = case(3)
    shares = torch.rand(2, 3, 5, 6, dtype=torch.float64).softmax(1)
    same(value_and_gradient(cross_entropy, logits, shares),
         value_and_gradient(lambda z, t: F.cross_entropy(z, t, reduction="sum") / 60, logits, shares))
    weights = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    reference = lambda z, t: (F.cross_entropy(z, t, weights, reduction="sum") / torch.einsum("nkhw,k->", t, weights))
    same(value_and_gradient(cross_entropy, logits, shares, class_weights=weights),
         value_and_gradient(reference, logits, shares))


def test_two_classes_of_shares_are_one_soft_foreground():
    logits, soft = soft_case()
    two, shares = torch.cat([torch.zeros_like(logits), logits], 1), torch.stack([1 - soft, soft], 1)
    for options in ({}, {"class_weights": [1.0, 4.0]}, {"class_weights": [0.0, 1.0]}, {"weight_map": soft}):
        same([cross_entropy(two, shares, **options)], [bce_loss(logits, soft, **options)])
    same([generalized_dice_loss(two, shares)], [generalized_dice_loss(logits, soft)])


@pytest.mark.parametrize("loss", OF_SHARES, ids=lambda f: f.__name__)
def test_wrong_shares_are_named(loss):
    logits, _ = case(3)
    shares = torch.full((2, 3, 5, 6), 1 / 3)
    for bad, says in ((shares * 2, r"sum to 1 .* got sums 2\.\.2"), (shares - 0.5, r"0\.\.1, got -0\.1"),
                      (shares * float("nan"), "got nan"), (shares * 255, "got 85")):
        with pytest.raises(ValueError, match=f"^target of shape .*{says}"):
            loss(logits, bad)
    with pytest.raises(ValueError, match=r"^target must have shape .*\(N, C, H, W\) of shares"):
        loss(logits, shares[:, :2])


@pytest.mark.parametrize("loss", [focal_loss, lovasz_softmax], ids=lambda f: f.__name__)
def test_losses_without_shares_say_which_shape_they_take(loss):
    with pytest.raises(ValueError, match=r"^target must have shape \(N, H, W\) = \(2, 5, 6\) or \(N, 1, H, W\) to"):
        loss(case(3)[0], torch.full((2, 3, 5, 6), 1 / 3))


@pytest.mark.parametrize("form", ["array", "read-only", "negative strides", "Fortran", "list", "with a channel",
                                  "uint16"])
def test_weight_maps_of_every_form(form):
    logits, target = case(3)
    weights = np.random.default_rng(0).integers(0, 9, (2, 5, 6)).astype(np.float64)
    expected = value_and_gradient(cross_entropy, logits, target, weight_map=torch.from_numpy(weights))
    frozen = weights.copy()
    frozen.setflags(write=False)
    given = {"array": weights, "read-only": frozen, "Fortran": np.asfortranarray(weights), "list": weights.tolist(),
             "negative strides": weights[:, ::-1].copy()[:, ::-1], "uint16": weights.astype(np.uint16),
             "with a channel": torch.from_numpy(weights)[:, None]}[form]
    same(value_and_gradient(cross_entropy, logits, target, weight_map=given), expected)
