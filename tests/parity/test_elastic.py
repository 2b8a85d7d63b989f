"""Elastic deformation against SciPy's map_coordinates and torch's grid_sample on the same field."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import map_coordinates

from seglab.data import displacement_field, warp

CASES = [(7, 9, 4.0), (31, 20, 10.0), (16, 48, 60.0), (1, 12, 5.0), (64, 64, 10.0)]


def case(height, width, sigma, seed):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(3, height, width, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 9, (height, width), generator=generator)
    return image, labels, displacement_field((height, width), 3, sigma, generator, torch.float64)


def places(field):
    """Sampled coordinates, (2, H, W), px."""
    return np.indices(field.shape[1:]) + field.numpy()


def test_bilinear_and_nearest_equal_scipy():
    worst, wrong, pixels = 0.0, 0, 0
    for seed, (height, width, sigma) in enumerate(CASES):
        image, labels, field = case(height, width, sigma, seed)
        for mine, plane in zip(warp(image, field), image):
            theirs = map_coordinates(plane.numpy(), places(field), order=1, mode="mirror")
            worst = max(worst, np.abs(mine.numpy() - theirs).max())
        theirs = map_coordinates(labels.numpy(), places(field), order=0, mode="mirror")
        wrong += int((warp(labels, field, "nearest").numpy() != theirs).sum())
        pixels += labels.numel()
    print(f"scipy.ndimage.map_coordinates(mode='mirror'): {len(CASES)} fields, order 1 "
          f"max |diff| = {worst:.1e}, order 0 {wrong} of {pixels} labels differ")
    assert worst < 1e-13 and wrong == 0


def test_nearest_at_exact_half_pixels_equals_scipy():
    labels = torch.randint(0, 9, (20, 30), generator=torch.Generator().manual_seed(0))
    # half pixels within the picture: on the far side SciPy folds 19.5 to 18 and 18.5 to 19
    y = (torch.arange(20.0)[:, None] / 2 + 0.5).expand(20, 30)
    x = (torch.arange(30.0) / 2 + 0.5).expand(20, 30)
    field = torch.stack([y - torch.arange(20.0)[:, None], x - torch.arange(30.0)]).double()
    theirs = map_coordinates(labels.numpy(), places(field), order=0, mode="mirror")
    assert np.array_equal(warp(labels, field, "nearest").numpy(), theirs)


def test_value_and_gradient_equal_grid_sample():
    worst = 0.0
    for seed, (height, width, sigma) in enumerate(CASES):
        if height == 1:
            continue  # grid_sample has no coordinate for the only row of a picture
        image, _, field = case(height, width, sigma, seed)
        y = torch.arange(height)[:, None] + field[0]
        x = torch.arange(width) + field[1]
        grid = torch.stack([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)[None]
        gradients, values = [], []
        for sample in (lambda i: warp(i, field),  # noqa: B023 (used at once)
                       lambda i: F.grid_sample(i[None], grid, padding_mode="reflection",  # noqa: B023
                                               align_corners=True)[0]):
            leaf = image.clone().requires_grad_()
            values.append(sample(leaf))
            (values[-1] ** 2).sum().backward()
            gradients.append(leaf.grad)
        worst = max(worst, *((a - b).abs().max().item() for a, b in (values, gradients)))
    print(f"torch grid_sample(reflection, align_corners=True): value and gradient, max |diff| = {worst:.1e}")
    assert worst < 1e-11


def test_field_equals_cubic_convolution_written_out():
    """The paper's bicubic: Keys' kernel (a = -3/4) over the nodes, edge nodes repeated."""
    def kernel(t):
        t = np.abs(t)
        near = 1.25 * t**3 - 2.25 * t**2 + 1
        far = -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
        return np.where(t <= 1, near, np.where(t < 2, far, 0))

    def matrix(size, nodes):
        place = np.linspace(0, nodes - 1, size)
        weights = np.zeros((size, nodes))
        for node in range(-2, nodes + 2):
            weights[:, min(max(node, 0), nodes - 1)] += kernel(place - node)
        return weights

    worst = 0.0
    for height, width, grid in ((40, 57, 3), (33, 20, 5), (12, 12, 2)):
        one, same = (torch.Generator().manual_seed(1) for _ in range(2))
        mine = displacement_field((height, width), grid, 10.0, one, torch.float64)
        nodes = 10 * torch.randn(2, grid, grid, generator=same, dtype=torch.float64)
        theirs = matrix(height, grid) @ nodes.numpy() @ matrix(width, grid).T
        worst = max(worst, np.abs(mine.numpy() - theirs).max())
    print(f"cubic convolution of the nodes: 3 grids, max |diff| = {worst:.1e} px")
    assert worst < 1e-12
