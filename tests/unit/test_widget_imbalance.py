"""The imbalance lab: fitted optima against what theory says, pictures over the whole range of the controls."""

import time

import numpy as np
import pytest
import torch

import seglab.losses
from seglab.widgets.imbalance import (
    DISTANCE,
    FEATURE,
    LOSSES,
    SHARES,
    STEEPEST,
    densities,
    fitted,
    imbalance_lab,
    imbalance_picture,
    loss_and_force,
    scores,
)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("share", SHARES)
def test_bce_learns_the_true_probability(share):
    a, b = fitted("BCE", share)
    assert a == pytest.approx(DISTANCE, rel=0.02)
    assert -b / a == pytest.approx(DISTANCE / 2 + np.log(1 / share - 1) / DISTANCE, abs=0.03)
    assert scores(sigmoid(a * FEATURE + b), share, 0.5)["ECE"] < 1e-3


@pytest.mark.parametrize("share", SHARES)
def test_weighted_bce_learns_the_same_at_any_share(share):
    a, b = fitted("weighted BCE", share)
    assert (a, -b / a) == (pytest.approx(DISTANCE, rel=0.02), pytest.approx(DISTANCE / 2, abs=0.03))


@pytest.mark.parametrize("share", SHARES)
def test_dice_learns_a_step_at_half_the_best_dice(share):
    a, b = fitted("Dice", share)
    assert a == STEEPEST
    p_true = densities(share)[1] / densities(share).sum(0)
    best = max(scores(p_true, share, t)["Dice"] for t in np.linspace(0.01, 0.99, 197))
    at_step = np.interp(-b / a, FEATURE, p_true)
    assert at_step == pytest.approx(best / 2, abs=0.04)


@pytest.mark.parametrize("name", LOSSES)
def test_force_is_the_derivative_of_the_loss(name):
    rng = np.random.default_rng(0)
    z, direction = rng.normal(0, 2, FEATURE.size), rng.normal(size=FEATURE.size)
    up, down = (loss_and_force(name, z + e * direction, 0.07)[0] for e in (1e-5, -1e-5))
    force = (densities(0.07) * loss_and_force(name, z, 0.07)[1]).sum(0)
    assert force @ direction == pytest.approx((up - down) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("name, call", [
    ("BCE", lambda z, t: seglab.losses.bce_loss(z, t)),
    ("weighted BCE", lambda z, t: seglab.losses.bce_loss(z, t, class_weights=(1, 3.0))),
    ("focal", lambda z, t: seglab.losses.focal_loss(z, t)),
    ("Dice", lambda z, t: seglab.losses.dice_loss(z, t, smooth=0)),
    ("Tversky .3/.7", lambda z, t: seglab.losses.tversky_loss(z, t, smooth=0)),
    ("CE + Dice", lambda z, t: seglab.losses.cross_entropy_dice_loss(z, t)),
])
def test_population_loss_is_the_package_s_loss_of_a_large_sample(name, call):
    generator = np.random.default_rng(1)
    lesion = np.arange(200_000) < 50_000                                  # share 1/4
    x = generator.normal(lesion * DISTANCE)
    logits = torch.from_numpy(1.5 * x - 2.0).view(1, 1, 400, 500)
    target = torch.from_numpy(lesion).view(1, 400, 500)
    value, _ = loss_and_force(name, 1.5 * FEATURE - 2.0, 0.25)
    assert value == pytest.approx(call(logits, target).item(), rel=0.02)


def test_every_setting_has_its_own_picture_of_one_size():
    pictures = {(s, n): imbalance_picture(s, n, 0.5) for s in (0.5, 0.01, 0.002) for n in LOSSES}
    assert {(p.shape, p.dtype) for p in pictures.values()} == {((1000, 1200, 3), np.dtype(np.uint8))}
    assert len({p.tobytes() for p in pictures.values()}) == len(pictures)
    for threshold in (0.0, 0.3, 1.0):
        assert (imbalance_picture(0.01, "BCE", threshold) != pictures[0.01, "BCE"]).any()


def test_a_picture_takes_less_than_150_ms():
    imbalance_picture(0.01, "BCE", 0.5)
    spent = []
    for k in range(5):
        start = time.process_time()
        imbalance_picture(0.01, "BCE", 0.1 + 0.1 * k)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.15


@pytest.mark.parametrize("share, loss, threshold, named", [
    (0.0, "BCE", 0.5, "share"), (1.0, "BCE", 0.5, "share"), (0.1, "MSE", 0.5, "loss"), (0.1, "BCE", 1.5, "threshold"),
    (0.1, "BCE", float("nan"), "threshold"),
])
def test_wrong_state_is_named(share, loss, threshold, named):
    with pytest.raises(ValueError, match=f"^{named} must"):
        imbalance_picture(share, loss, threshold)


def test_moving_a_control_repaints_the_panel():
    panel = imbalance_lab()
    for name, value in (("share", 0.2), ("loss", "Dice"), ("threshold", 0.3)):
        before = panel.image.value
        panel.controls[name].value = value
        assert panel.image.value != before and not panel.error.value
