"""What notebook 02 builds agrees with what seglab.classic does."""

import numpy as np
import pytest
import skimage.data
from definitions import definitions
from scipy import ndimage

from seglab import classic

BUILT = ["variance_at", "between_class_variance", "otsu", "grow", "flood", "h_maxima", "distance_markers",
         "neighbour_pairs", "walk", "energy", "min_cut", "regional", "eight_pairs", "boundary", "graph_cut",
         "fit_gaussians", "colour_costs", "grabcut", "slic", "otsu_within", "otsu_tiles", "terminal_links",
         "contrast_beta", "largest_object", "overlap", "touching_pairs"]


@pytest.fixture(scope="module")
def built():
    return definitions("02_classic_methods", BUILT)


def test_otsu(built):
    rng = np.random.default_rng(0)
    for image in (skimage.data.coins(), rng.random((20, 30)), rng.integers(0, 9, (5, 7))):
        assert built.otsu(image) == classic.threshold_otsu(image)
        assert image.dtype.kind == "f" or built.otsu_within(image) == classic.threshold_otsu(image)
    counts = np.array([4, 2, 0, 7, 1])
    np.testing.assert_array_equal(built.between_class_variance(np.arange(5), counts),
                                  classic.between_class_variance(np.arange(5), counts))


def test_region_growing(built):
    image = skimage.data.coins()[60:120, 20:90]
    for seed, tolerance in (((5, 5), 10), ((40, 40), 60), ((59, 69), 0)):
        theirs = classic.region_growing(image, seed, tolerance)
        np.testing.assert_array_equal(built.grow(image, seed, tolerance), theirs)


def test_watershed_and_markers(built):
    rng = np.random.default_rng(1)
    for _ in range(5):
        relief, markers, mask = rng.integers(0, 5, (20, 25)), np.zeros((20, 25), int), rng.random((20, 25)) < 0.9
        markers.flat[rng.choice(500, 5, replace=False)] = range(1, 6)
        np.testing.assert_array_equal(built.flood(relief, markers, mask), classic.watershed(relief, markers, mask))
    mask = built.touching_pairs(3)
    depth = ndimage.distance_transform_edt(mask)
    np.testing.assert_array_equal(built.h_maxima(depth, 0.5), classic.h_maxima(depth, 0.5))
    np.testing.assert_array_equal(built.distance_markers(mask), classic.distance_markers(mask))


def test_random_walker(built):
    rng = np.random.default_rng(2)
    image, labels = ndimage.gaussian_filter(rng.random((15, 18)), 1), np.zeros((15, 18), int)
    labels.flat[rng.choice(labels.size, 6, replace=False)] = [1, 2, 3, 1, 2, 3]
    np.testing.assert_allclose(built.walk(image, labels), classic.random_walker(image, labels, return_full_prob=True),
                               atol=1e-10)


def test_minimum_cut(built):
    rng = np.random.default_rng(3)
    pairs, length = built.eight_pairs((7, 9))
    edges, distance = classic.grid_edges((7, 9), 2)
    np.testing.assert_array_equal(pairs, edges)
    np.testing.assert_allclose(length, distance)
    np.testing.assert_array_equal(np.stack(built.neighbour_pairs((7, 9)), axis=1), classic.grid_edges((7, 9))[0])
    costs, prices = rng.integers(0, 90, (2, 7, 9)), rng.integers(0, 50, len(pairs))
    labels, value = built.min_cut(costs.reshape(2, -1), pairs, prices)
    cut, energy = classic.min_cut(costs, edges, prices)
    assert value == energy == built.energy(labels, costs.reshape(2, -1), pairs, prices)
    np.testing.assert_array_equal(labels.reshape(7, 9) == 1, cut)


def test_graph_cut_costs_and_result(built):
    image = ndimage.gaussian_filter(skimage.data.coins()[82:162, 15:132] / 255, 1)
    seeds = np.zeros(image.shape, int)
    seeds[[2, 77], 8:110], seeds[41:45, 24:38], seeds[41:45, 82:94] = 1, 2, 2
    pairs, length = built.eight_pairs(image.shape)
    np.testing.assert_allclose(built.regional(image, seeds), classic.regional_costs(image, seeds).reshape(2, -1))
    np.testing.assert_allclose(built.boundary(image.reshape(-1, 1), pairs, length),
                               classic.boundary_weights(image[..., None], pairs, length))
    for lam in (0.1, 1.0):
        same = built.graph_cut(image, seeds, lam) == (classic.graph_cut(image, seeds, lam) == 2)
        assert same.mean() > 0.999  # capacities are rounded differently


def test_gaussians_and_grabcut(built):
    rng = np.random.default_rng(4)
    points, assigned = rng.random((80, 3)), rng.integers(0, 4, 80)
    mine = built.colour_costs(points, built.fit_gaussians(points, assigned, 4))
    theirs = classic.GaussianMixture.fit(points, assigned, 4, noise=1e-4).component_costs(points)
    np.testing.assert_allclose(mine, theirs, rtol=1e-9)
    image, _, box = built.largest_object(1)
    masks, energies = built.grabcut(image, box)
    assert built.overlap(masks[-1], classic.grabcut(image, box).mask) > 0.98
    assert (np.diff(energies) < 1).all()


def test_slic(built):
    image = skimage.data.coins()[:60, :80] / 255
    image = (image - image.min()) / np.ptp(image)
    labels = built.slic(image[..., None] / 0.1, range(5, 60, 10), range(5, 80, 10), 10)
    np.testing.assert_array_equal(labels, classic.slic(image, 48, 0.1, enforce_connectivity=False))


def test_exercise_solutions(built):
    rng = np.random.default_rng(5)
    image = rng.random((6, 9, 3))
    edges, length = classic.grid_edges((6, 9), 2)
    squared = -np.log(classic.boundary_weights(image, edges, length) * length)
    step = ((image.reshape(-1, 3)[edges[:, 0]] - image.reshape(-1, 3)[edges[:, 1]]) ** 2).sum(axis=1)
    np.testing.assert_allclose(built.contrast_beta(image) * step, squared)
    R, labels = rng.random((2, 54)), rng.integers(0, 3, 54)
    links = built.terminal_links(R, labels, 1e3)
    pairs, prices = edges, classic.boundary_weights(image, edges, length)
    costs = R.copy()
    costs[1, labels == 1], costs[0, labels == 2] = np.inf, np.inf
    cut, _ = classic.min_cut(costs.reshape(2, 6, 9), pairs, prices)
    from_links, _ = classic.min_cut(links.reshape(2, 6, 9), pairs, prices)
    np.testing.assert_array_equal(from_links, cut)
