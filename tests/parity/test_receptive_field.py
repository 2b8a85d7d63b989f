"""The receptive field by NaN dependency, by the recurrences, and by gradients: three ways, one answer."""
import copy

import numpy as np
import pytest
import torch
from torch import nn

from seglab.ops import receptive_field, receptive_field_formula


def convs(*layers):
    """Chain of (k, s, d) convolutions with ReLU between."""
    return nn.Sequential(*[m for k, s, d in layers for m in (nn.Conv2d(1, 1, k, s, dilation=d), nn.ReLU())])


class SmallUNet(nn.Module):
    """Valid U-Net of two channels; pools by `pool`, so that the gradient witness can average instead."""

    def __init__(self, depth, pool=nn.MaxPool2d):
        super().__init__()
        double = lambda a: nn.Sequential(nn.Conv2d(a, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3), nn.ReLU())  # noqa: E731
        self.pool = pool(2)
        self.down = nn.ModuleList([double(1)] + [double(2) for _ in range(depth - 1)])
        self.up = nn.ModuleList([nn.ConvTranspose2d(2, 2, 2, 2) for _ in range(depth - 1)])
        self.merge = nn.ModuleList([double(4) for _ in range(depth - 1)])

    def forward(self, x):
        skips = []
        for step, down in enumerate(self.down):
            x = down(self.pool(x) if step else x)
            skips.append(x)
        for up, merge, skip in zip(self.up, self.merge, skips[-2::-1]):
            x = up(x)
            top, left = ((a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:]))
            x = merge(torch.cat([skip[:, :, top:top + x.shape[2], left:left + x.shape[3]], x], 1))
        return x


def unet_chain(depth):
    pair = [(3, 1, 1)] * 2
    return pair + ([(2, 2, 1)] + pair) * (depth - 1) + ([(2, 1 / 2, 1)] + pair) * (depth - 1)


VGG = [(3, 1, 1), (3, 1, 1), (2, 2, 1)] * 2 + [(3, 1, 1)] * 3
DILATED = [(3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 1, 8)]
STRIDED = [(7, 2, 1), (3, 2, 1), (5, 1, 3)]
EVEN = [(4, 2, 1), (2, 1, 3)]
CASES = {"VGG": (VGG, 80), "dilated": (DILATED, 64), "strided": (STRIDED, 96), "even kernel": (EVEN, 40)}
CASES |= {f"U-Net {depth}": (unet_chain(depth), size) for depth, size in ((2, 44), (3, 92), (4, 188))}


def build(name, layers, pool):
    if name.startswith("U-Net"):
        return SmallUNet(int(name[-1]), pool)
    return nn.Sequential(*[pool(2) if layer == (2, 2, 1) else convs(layer) for layer in layers])


def gradient_sizes(model, size, outputs):
    """Extent of the gradient of single outputs; positive weights and average pooling, so nothing cancels or hides."""
    model = copy.deepcopy(model).double()
    for p in model.parameters():
        p.data = torch.full_like(p, 1.0 / p[0].numel()) if p.ndim > 1 else torch.zeros_like(p)
    x = torch.ones(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    y, found = model(x), []
    for o in outputs:
        grad, = torch.autograd.grad(y[0, :, o, o].sum(), x, retain_graph=True)
        rows = grad[0, 0].abs().sum(1).nonzero()
        found.append(int(rows.max() - rows.min()) + 1)
    return tuple(found)


@pytest.mark.parametrize("name", CASES)
def test_three_ways_agree(name):
    layers, size = CASES[name]
    field = receptive_field(build(name, layers, nn.MaxPool2d), (1, size, size))
    formula = receptive_field_formula(layers)
    smooth = build(name, layers, nn.AvgPool2d)
    count = smooth(torch.zeros(1, 1, size, size)).shape[-1]
    first, period = max(0, (count - 32) // 2), len(field.sizes[0])
    # fields that start at the very first pixel are left out of the measurement, so ask for those after it
    by_gradient = gradient_sizes(smooth, size, range(first, min(count, first + 2 * period + 1)))
    print(f"\nreceptive field, {name}: dependency {np.mean(field.sizes[0]):g} (max {field.size[0]}), "
          f"formula {formula.size:g}, gradient max {max(by_gradient)}; "
          f"stride {field.stride[0]:g}, offset {field.offset[0]:g}")
    assert not any(field.clipped)
    assert np.mean(field.sizes[0]) == formula.size and field.sizes[0] == field.sizes[1]
    assert sorted(set(field.sizes[0])) == sorted(set(by_gradient))
    assert (field.stride[0], field.offset[0]) == (formula.stride, formula.offset)
    assert (field.stride[1], field.offset[1]) == (formula.stride, formula.offset)


def test_a_deep_unet_has_two_sizes_and_the_recurrence_is_their_mean():
    field = receptive_field(SmallUNet(4), (1, 188, 188))
    assert set(field.sizes[0]) == {92, 100} and receptive_field_formula(unet_chain(4)).size == 96
