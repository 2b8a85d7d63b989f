"""Losses with awkward numbers stay finite in value and gradient; wrong arguments are named."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import seglab.losses
from seglab.losses import bce_loss, cross_entropy, dice_loss, focal_loss, lovasz_softmax, tversky_loss

EVERY = [getattr(seglab.losses, name) for name in seglab.losses.__all__ if name != "prior_bias"]
MANY = [loss for loss in EVERY if loss is not bce_loss]
TARGETS = {
    "bool": lambda n, h, w: torch.rand(n, h, w) < 0.5,
    "uint8": lambda n, h, w: torch.randint(0, 2, (n, h, w), dtype=torch.uint8),
    "int8": lambda n, h, w: torch.randint(0, 2, (n, h, w), dtype=torch.int8),
    "int64": lambda n, h, w: torch.randint(0, 2, (n, h, w)),
    "empty": lambda n, h, w: torch.zeros(n, h, w, dtype=torch.long),
    "full": lambda n, h, w: torch.ones(n, h, w, dtype=torch.uint8),
    "ignored": lambda n, h, w: torch.full((n, h, w), 255),
    "ignored uint8": lambda n, h, w: torch.full((n, h, w), 255, dtype=torch.uint8),
}


@pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
@settings(deadline=None, max_examples=50)
@given(st.sampled_from(sorted(TARGETS)), st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
       st.sampled_from([1e-6, 1.0, 60.0, 1e4]), st.sampled_from([1, 2, 5]),
       st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(0, 6)), st.integers(0, 2**31))
def test_finite_value_and_gradient(loss, target_kind, dtype, scale, channels, shape, seed):
    torch.manual_seed(seed)
    channels = 1 if loss is bce_loss else channels
    signs = torch.randint(0, 2, (shape[0], channels, *shape[1:])) * 2 - 1
    logits = (signs * scale).to(dtype).requires_grad_()
    target = TARGETS[target_kind](*shape)
    value = loss(logits, target, ignore_index=255)
    value.backward()
    assert value.shape == () and value.dtype == (dtype if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(value) and value >= -1e-6
    assert logits.grad.dtype == dtype and torch.isfinite(logits.grad).all()
    if target_kind.startswith("ignored") or not target.numel():
        assert value == 0 and not logits.grad.any()


@pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_large_half_precision_image_agrees_with_float32(loss, dtype):
    torch.manual_seed(0)
    logits = torch.randn(1, 1 if loss is bce_loss else 2, 512, 512).to(dtype)
    target = torch.rand(1, 512, 512) < 0.3
    assert abs(loss(logits, target) - loss(logits.float(), target)) < 1e-3


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_focal_gradient_is_finite_where_the_net_is_sure(gamma, channels):
    for score in (-1e4, -200.0, -17.0, 0.0, 17.0, 200.0, 1e4):
        logits = torch.full((1, channels, 1, 2), score)
        logits[:, -1] = -score
        logits.requires_grad_()
        grad, = torch.autograd.grad(focal_loss(logits, torch.tensor([[[0, 1]]]), gamma=gamma), logits)
        assert torch.isfinite(grad).all()


def test_zero_weights_cost_nothing_and_stay_finite():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 4))
    for value in (cross_entropy(logits, target, torch.zeros(2, 4, 4)),
                  cross_entropy(logits, target, class_weights=[0, 0, 0])):
        grad, = torch.autograd.grad(value, logits)
        assert value == 0 and not grad.any()


def test_integer_and_half_weight_maps_are_accepted():
    logits, target = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    expected = cross_entropy(logits, target, torch.full((2, 4, 4), 3.0))
    assert torch.allclose(cross_entropy(logits, target, torch.full((2, 4, 4), 3)), expected)
    assert torch.allclose(cross_entropy(logits, target, torch.full((2, 4, 4), 3.0).half()), expected)


@pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
def test_a_label_out_of_range_is_named(loss):
    logits = torch.randn(1, 1 if loss is bce_loss else 3, 4, 4)
    for label in (3, -1, 254):
        target = torch.zeros(1, 4, 4, dtype=torch.long)
        target[0, 0, 0] = label
        with pytest.raises(ValueError, match=r"target must hold class ids 0\.\.[12] .*got"):
            loss(logits, target)


def test_255_is_a_label_like_any_other_when_it_is_not_the_ignored_one():
    target = torch.full((1, 4, 4), 255, dtype=torch.uint8)
    with pytest.raises(ValueError, match="target must hold class ids"):
        cross_entropy(torch.randn(1, 3, 4, 4), target, ignore_index=-1)


@pytest.mark.parametrize("loss", EVERY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("logits, target, error, message", [
    (torch.randn(1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long), ValueError, r"logits must have .*\(N, C, H, W\)"),
    (torch.randn(2, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.long), ValueError, r"target must have shape"),
    (torch.randn(1, 1, 4, 4), torch.zeros(1, 2, 4, 4, dtype=torch.long), ValueError, r"target must have shape"),
    (torch.randn(2, 1, 4, 5), torch.zeros(2, 5, 4, dtype=torch.long), ValueError, r"target must have .*\(2, 4, 5\)"),
    (torch.randn(2, 1, 4, 5), torch.zeros(1, 4, 5, dtype=torch.long), ValueError, r"target must have shape"),
    (torch.randn(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.cfloat), TypeError, r"target must be .*complex64"),
    (torch.randn(1, 1, 4, 4), [[0]], TypeError, r"target must be .*list"),
    (torch.zeros(1, 1, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4, dtype=torch.long), TypeError, r"logits .*int64"),
    ([[0.0]], torch.zeros(1, 4, 4, dtype=torch.long), TypeError, r"logits .*list"),
    (torch.randn(1, 0, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long), ValueError, r"logits .*C >= 1"),
])
def test_wrong_shape_or_dtype_is_named(loss, logits, target, error, message):
    with pytest.raises(error, match=message):
        loss(logits, target)


@pytest.mark.parametrize("loss", MANY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_softmax_output_is_refused(loss, dtype):
    probabilities = torch.randn(2, 3, 8, 8).softmax(1).to(dtype)
    with pytest.raises(ValueError, match="logits must be raw scores, got probabilities"):
        loss(probabilities, torch.zeros(2, 8, 8, dtype=torch.long))


def test_honest_scores_that_resemble_probabilities_pass():
    target = torch.zeros(2, 8, 8, dtype=torch.long)
    cross_entropy(torch.zeros(2, 3, 8, 8), target)                       # an untrained head without bias
    cross_entropy(torch.full((2, 2, 8, 8), 0.5), target)                 # ... and with one
    cross_entropy(torch.rand(2, 2, 8, 8), target)
    bce_loss(torch.rand(2, 1, 8, 8), target)                             # one sigmoid channel cannot be told


@pytest.mark.parametrize("weight_map, message", [
    (torch.ones(1, 4, 5), r"weight_map must have shape \(N, H, W\) = \(1, 4, 4\), got \(1, 4, 5\)"),
    (torch.ones(4, 4), r"weight_map must have shape"),
    (torch.full((1, 4, 4), float("nan")), r"weight_map must be finite, got 16"),
    (torch.full((1, 4, 4), float("inf")), r"weight_map must be finite"),
    (torch.full((1, 4, 4), -1.0), r"weight_map must not be negative"),
])
def test_a_wrong_weight_map_is_named(weight_map, message):
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    for channels in (1, 3):
        with pytest.raises(ValueError, match=message):
            cross_entropy(torch.randn(1, channels, 4, 4), target, weight_map)


@pytest.mark.parametrize("weights, message", [
    ((1, 2), r"class_weights must have shape \(K,\) = \(3,\), got \(2,\)"),
    ((1, 2, float("nan")), "class_weights must be finite"),
    ((1, 2, -3), "class_weights must not be negative"),
])
def test_wrong_class_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        cross_entropy(torch.randn(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long), class_weights=weights)


@pytest.mark.parametrize("call, name", [
    (lambda z, t: dice_loss(z, t, smooth=-1), "smooth"),
    (lambda z, t: tversky_loss(z, t, alpha=-0.1), "alpha"),
    (lambda z, t: tversky_loss(z, t, beta=float("nan")), "beta"),
    (lambda z, t: focal_loss(z, t, gamma=-1), "gamma"),
    (lambda z, t: focal_loss(z, t, alpha=1.5), "alpha"),
    (lambda z, t: bce_loss(torch.cat([z, z], 1), t), "logits"),
])
def test_wrong_parameters_are_named(call, name):
    with pytest.raises(ValueError, match=f"^{name} must"):
        call(torch.randn(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))


def test_lovasz_gradient_reaches_the_logits_of_a_transposed_batch():
    """per_image=False reorders (N, C, H, W); non-contiguous input must give the same gradient."""
    logits = torch.randn(3, 2, 4, 5, dtype=torch.float64)
    target = torch.randint(0, 2, (3, 4, 5))
    results = []
    for source in (logits, logits.to(memory_format=torch.channels_last)):
        source = source.clone(memory_format=torch.preserve_format).requires_grad_()
        results.append(torch.autograd.grad(lovasz_softmax(source, target, per_image=False), source)[0])
    assert torch.allclose(*results, atol=1e-14)
