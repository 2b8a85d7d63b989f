"""Gradients against finite differences, occlusion against a loop, completeness, and the effective field."""

import math

import pytest
import torch
from torch import nn

from seglab.models import UNet
from seglab.ops import receptive_field
from seglab.viz.attribution import (
    effective_receptive_field,
    input_gradient,
    integrated_gradients,
    log_odds,
    mass_side,
    occlusion,
)

PIXEL = (5, 7)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return UNet(in_channels=2, num_classes=3, base_channels=4, depth=2, padding="same").double().eval()


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 16, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_log_odds_are_those_of_the_probability():
    logits = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    p = logits.softmax(1)[:, 2, 1, 0]
    torch.testing.assert_close(log_odds(logits, (1, 0), 2), (p / (1 - p)).log())
    torch.testing.assert_close(log_odds(logits + 5, (1, 0), 2), log_odds(logits, (1, 0), 2))
    one = torch.randn(2, 1, 3, 3)
    assert torch.equal(log_odds(one, (1, 0), 1), one[:, 0, 1, 0])
    assert torch.equal(log_odds(one, (1, 0), 0), -one[:, 0, 1, 0])
    for call, says in (((logits[0], (1, 0), 2), "shape"), ((logits, (1, 0), 4), r"0\.\.3"),
                       ((one, (1, 0), 2), r"0\.\.1"), ((logits, (0, -1), 2), "pixel"),
                       ((logits, (3, 0), 2), "pixel must lie in the output of 3 x 3 px")):
        with pytest.raises(ValueError, match=says):
            log_odds(*call)


def test_gradient_against_finite_differences(net, image):
    gradient = input_gradient(net, image, PIXEL, 1)
    assert gradient.shape == image.shape and not any(p.grad is not None for p in net.parameters())
    step = 1e-6
    for place in [(0, 5, 7), (1, 4, 6), (0, 8, 9), (1, 7, 5)]:
        moved = [image.clone() for _ in range(2)]
        moved[0][place] += step
        moved[1][place] -= step
        with torch.no_grad():
            high, low = (log_odds(net(m[None]), PIXEL, 1).item() for m in moved)
        assert gradient[place].item() == pytest.approx((high - low) / (2 * step), abs=1e-6)
    with torch.no_grad():
        assert torch.equal(input_gradient(net, image, PIXEL, 1), gradient)


def test_integrated_gradients_are_complete(net, image):
    baseline = torch.full_like(image, 0.3)
    shares = integrated_gradients(net, image, PIXEL, 2, baseline, steps=400)
    with torch.no_grad():
        whole = log_odds(net(image[None]), PIXEL, 2) - log_odds(net(baseline[None]), PIXEL, 2)
    assert shares.sum().item() == pytest.approx(whole.item(), abs=2e-3) and abs(whole) > 0.05
    linear = nn.Conv2d(2, 1, 3, padding=1).double()
    exact = integrated_gradients(linear, image, PIXEL, 1, 0.0, steps=1)
    torch.testing.assert_close(exact, image * input_gradient(linear, image, PIXEL, 1))
    with pytest.raises(ValueError, match="steps must be >= 1"):
        integrated_gradients(net, image, PIXEL, 1, steps=0)


@pytest.mark.parametrize("patch, stride, fill", [(4, 4, None), (5, 3, 0.0), (16, 1, None), (1, 7, 1.0)])
def test_occlusion_against_a_loop(net, image, patch, stride, fill):
    got = occlusion(net, image, PIXEL, 1, patch, stride, fill, batch=3)
    tops, lefts = range(0, 16 - patch + 1, stride), range(0, 20 - patch + 1, stride)
    expected = torch.empty(len(tops), len(lefts), dtype=torch.float64)
    with torch.no_grad():
        whole = log_odds(net(image[None]), PIXEL, 1)
        for r, top in enumerate(tops):
            for c, left in enumerate(lefts):
                covered = image.clone()
                for channel in range(2):
                    cover = image[channel].mean() if fill is None else fill
                    covered[channel, top:top + patch, left:left + patch] = cover
                expected[r, c] = whole - log_odds(net(covered[None]), PIXEL, 1)
    torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)
    assert expected.abs().max() > 0


def test_occlusion_leaves_the_image_and_refuses_what_does_not_fit(net, image):
    before = image.clone()
    occlusion(net, image, PIXEL, 1, 8, 8)
    assert torch.equal(image, before)
    for wrong in ({"patch": 17}, {"patch": 0}, {"stride": 0}, {"batch": 0}):
        with pytest.raises(ValueError, match="patch must fit into 16 x 20 px"):
            occlusion(net, image, PIXEL, 1, **wrong)


def test_the_effective_field_lies_inside_the_theoretical_one():
    torch.manual_seed(0)
    net = UNet(base_channels=4, depth=2).double()
    field = effective_receptive_field(net, [torch.rand(1, 60, 60, dtype=torch.float64) for _ in range(4)])
    size = receptive_field(net, (1, 60, 60)).size[0]
    rows, columns = torch.nonzero(field, as_tuple=True)
    assert rows.max() - rows.min() + 1 <= size and columns.max() - columns.min() + 1 <= size
    assert 3 < mass_side(field, 0.9) < size <= mass_side(field, 1.0) + 2
    images = [torch.rand(1, 60, 60, dtype=torch.float64) for _ in range(2)]
    pixel = tuple(side // 2 for side in net(images[0][None]).shape[-2:])
    both = [input_gradient(net, image, pixel, 1).abs()[0] for image in images]
    torch.testing.assert_close(effective_receptive_field(net, images), (both[0] + both[1]) / 2)
    with pytest.raises(ValueError, match="images must hold at least one"):
        effective_receptive_field(net, [])


def test_mass_side():
    y, x = torch.meshgrid(torch.arange(61.0), torch.arange(61.0), indexing="ij")
    gauss = torch.exp(-((y - 30) ** 2 + (x - 30) ** 2) / (2 * 5.0**2))
    reach = 1.954 * 5                                       # erf(t / sqrt 2) ** 2 = 0.90 at t = 1.949
    assert mass_side(gauss, 0.9) == pytest.approx(2 * reach, abs=1.5)
    assert mass_side(torch.eye(3)[1:2, 1:2]) == 1 and mass_side(torch.ones(5, 5), 1.0) == 5
    assert math.isclose(mass_side(torch.ones(9, 9), 0.3), 5)
    for wrong in (torch.zeros(3, 3), -torch.ones(3, 3), torch.ones(3), torch.full((3, 3), torch.nan)):
        with pytest.raises(ValueError, match="field must be a map"):
            mass_side(wrong)
