"""The classic methods against scikit-image and PyMaxflow. Each test prints reference, cases, worst difference."""

import numpy as np
import pytest
import skimage.data
from scipy import ndimage
from skimage import filters, morphology, segmentation

from seglab import classic


def report(reference, cases, worst):
    print(f"{reference}: {cases} cases, worst difference {worst:.3g}")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int64, np.float32, np.float64])
def test_otsu_equals_scikit_image(dtype):
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(80):
        shape = rng.integers(1, 30, 2)
        if np.issubdtype(dtype, np.integer):
            low = -50 if np.issubdtype(dtype, np.signedinteger) else 0
            image = rng.integers(low, rng.integers(2, 250), shape).astype(dtype)
        else:
            image = rng.normal(size=shape).astype(dtype)
        mine, theirs = classic.threshold_otsu(image), filters.threshold_otsu(image)
        worst = max(worst, abs(float(mine) - float(theirs)))
        np.testing.assert_array_equal(image > mine, image > theirs)
    report(f"skimage.filters.threshold_otsu, {np.dtype(dtype).name}", 80, worst)
    assert worst <= (1e-6 if dtype == np.float32 else 0)


def test_otsu_on_pictures():
    pictures = {name: getattr(skimage.data, name)() for name in ("coins", "camera", "page", "moon", "brick")}
    for name, image in pictures.items():
        assert classic.threshold_otsu(image) == filters.threshold_otsu(image), name
    report("skimage.filters.threshold_otsu, pictures", len(pictures), 0)


@pytest.mark.parametrize("connectivity", [1, 2])
def test_region_growing_from_the_seed_value_equals_flood(connectivity):
    rng, wrong = np.random.default_rng(1), 0
    for case in range(100):
        image = rng.integers(0, 6, rng.integers(1, 25, 2)) if case % 2 else rng.random(rng.integers(1, 25, 2))
        seed = tuple(int(rng.integers(n)) for n in image.shape)
        tolerance = int(rng.integers(0, 4)) if case % 2 else rng.random() / 2
        theirs = segmentation.flood(image, seed, tolerance=tolerance, connectivity=connectivity)
        wrong += (classic.region_growing(image, seed, tolerance, connectivity=connectivity) != theirs).sum()
    report(f"skimage.segmentation.flood, connectivity {connectivity}", 100, wrong)
    assert wrong == 0


def markers_with_unique_values(rng, image, shape, count):
    """Markers whose seed pixels all differ in value: only then is the reference's order of equal seeds defined."""
    places = rng.choice(image.size, min(count, image.size), replace=False)
    markers = np.zeros(image.size, int)
    markers[places] = np.arange(1, len(places) + 1)
    image = image.astype(float).ravel()
    image[places] = image.min() - 1 - rng.permutation(len(places))
    return image.reshape(shape), markers.reshape(shape)


@pytest.mark.parametrize("connectivity", [1, 2])
def test_watershed_equals_scikit_image_with_unique_seeds(connectivity):
    rng, wrong = np.random.default_rng(2), 0
    for case in range(120):
        shape = tuple(rng.integers(1, 40, 2))
        image = rng.permutation(np.prod(shape)) if case % 2 else rng.integers(0, 4, np.prod(shape))  # plateaus
        image, markers = markers_with_unique_values(rng, image, shape, int(rng.integers(1, 7)))
        mask = rng.random(shape) < 0.8 if case % 3 else None
        theirs = segmentation.watershed(image, markers, connectivity=connectivity, mask=mask)
        wrong += (classic.watershed(image, markers, mask, connectivity) != theirs).sum()
    report(f"skimage.segmentation.watershed, unique seeds, connectivity {connectivity}", 120, wrong)
    assert wrong == 0


def test_watershed_on_coins_differs_at_most_where_seeds_tie():
    image = skimage.data.coins()
    markers = np.where(image < 30, 1, np.where(image > 150, 2, 0))
    relief = filters.sobel(image)
    different = (classic.watershed(relief, markers) != segmentation.watershed(relief, markers)).mean()
    report("skimage.segmentation.watershed, coins, tied seeds, share of pixels", 1, different)
    assert different < 0.01


def test_h_maxima_equals_scikit_image():
    rng, wrong = np.random.default_rng(3), 0
    for case in range(60):
        image = rng.random(rng.integers(3, 30, 2)) * 10
        if case % 2:
            image = ndimage.distance_transform_edt(image > 3)
        h = float(rng.uniform(0.1, 3))
        wrong += (classic.h_maxima(image, h) != (morphology.h_maxima(image, h) > 0)).sum()
    report("skimage.morphology.h_maxima", 60, wrong)
    assert wrong == 0


@pytest.mark.parametrize("channels", [None, 3])
def test_random_walker_equals_scikit_image_brute_force(channels):
    rng, worst = np.random.default_rng(4), 0.0
    axis = None if channels is None else -1
    for case in range(40):
        shape = tuple(rng.integers(5, 28, 2))
        image = filters.gaussian(rng.random(shape + (() if axis is None else (channels,))), 1.5, channel_axis=axis)
        labels = np.zeros(shape, int)
        if case % 3 == 0:
            labels.flat[rng.choice(labels.size, labels.size // 4, replace=False)] = -1
        labels.flat[rng.choice(labels.size, 8, replace=False)] = [1, 2, 3, 1, 2, 3, 1, 2]
        given = dict(mode="bf", beta=20, channel_axis=axis)
        theirs = segmentation.random_walker(image, labels, return_full_prob=True, **given)
        mine = classic.random_walker(image, labels, beta=20, return_full_prob=True)
        worst = max(worst, np.abs(mine - theirs).max())
        # where two probabilities tie within rounding either label is right
        clear = (np.sort(theirs, axis=0)[-1] - np.sort(theirs, axis=0)[-2] > 1e-9) | (theirs.sum(axis=0) == 0)
        walked = segmentation.random_walker(image, labels, **given)
        np.testing.assert_array_equal(classic.random_walker(image, labels, beta=20)[clear], walked[clear])
    report(f"skimage.segmentation.random_walker(mode='bf'), {channels or 1} channels", 40, worst)
    assert worst < 1e-11


def test_random_walker_on_a_real_crop_with_the_default_beta():
    image = skimage.data.coins()[70:150, 40:120]
    labels = np.zeros(image.shape, np.uint8)
    labels[0], labels[36:40, 30:34] = 1, 2
    theirs = segmentation.random_walker(image, labels, mode="bf", return_full_prob=True)
    worst = np.abs(classic.random_walker(image, labels, return_full_prob=True) - theirs).max()
    report("skimage.segmentation.random_walker(mode='bf'), uint8 coins, beta 130", 1, worst)
    assert worst < 1e-10


def maxflow_energy(costs, edges, weights):
    maxflow = pytest.importorskip("maxflow")
    graph = (maxflow.GraphInt if np.issubdtype(costs.dtype, np.integer) else maxflow.GraphFloat)()
    graph.add_nodes(costs[0].size)
    for p, (background, object_) in enumerate(zip(costs[0].ravel(), costs[1].ravel(), strict=True)):
        graph.add_tedge(p, background, object_)
    for (a, b), weight in zip(edges, weights, strict=True):
        graph.add_edge(a, b, weight, weight)
    return graph.maxflow()


def test_min_cut_has_the_energy_of_pymaxflow_for_integers():
    rng, worst = np.random.default_rng(5), 0.0
    for case in range(40):
        shape = tuple(rng.integers(1, 16, 2))
        edges, _ = classic.grid_edges(shape, 1 + case % 2)
        costs, weights = rng.integers(0, 90, (2, *shape)), rng.integers(0, 60, len(edges))
        _, energy = classic.min_cut(costs, edges, weights)
        worst = max(worst, abs(energy - maxflow_energy(costs, edges, weights)))
    report("PyMaxflow GraphInt, energy of the minimum cut", 40, worst)
    assert worst == 0


def test_min_cut_has_the_energy_of_pymaxflow_for_floats():
    rng, worst = np.random.default_rng(6), 0.0
    for case in range(40):
        shape = tuple(rng.integers(1, 16, 2))
        edges, _ = classic.grid_edges(shape, 1 + case % 2)
        costs, weights = rng.exponential(size=(2, *shape)), rng.exponential(size=len(edges)) * 2
        _, energy = classic.min_cut(costs, edges, weights)
        reference = maxflow_energy(costs, edges, weights)
        worst = max(worst, abs(energy - reference) / reference)
    report("PyMaxflow GraphFloat, relative energy of the minimum cut", 40, worst)
    assert worst < 1e-6


def test_graph_cut_of_coins_has_the_energy_of_pymaxflow():
    image = skimage.data.coins()[70:130, 40:110]
    seeds = np.zeros(image.shape, int)
    seeds[:2], seeds[34:40, 28:36] = 1, 2
    grey = image[..., None] / 255
    edges, length = classic.grid_edges(image.shape, 2)
    weights = classic.boundary_weights(grey, edges, length)
    costs = classic.regional_costs(grey[..., 0], seeds)
    costs[1, seeds == 1], costs[0, seeds == 2] = 1e6, 1e6
    energy = classic.cut_energy(classic.graph_cut(image, seeds) == 2, costs, edges, weights)
    reference = maxflow_energy(costs, edges, weights)
    report("PyMaxflow GraphFloat, coins with seeds, relative energy", 1, abs(energy - reference) / reference)
    assert abs(energy - reference) < 1e-6 * reference


@pytest.mark.parametrize("n_segments", [1, 2, 7, 40, 150, 1000])
def test_slic_before_connectivity_equals_scikit_image(n_segments):
    pictures = [(skimage.data.coffee()[:120, 60:220], 10.0, -1), (skimage.data.coins()[:120, :160], 0.1, None),
                (skimage.data.immunohistochemistry()[:100, :131], 20.0, -1),
                (skimage.data.coins()[:9, :200], 0.1, None)]
    worst = 0.0
    for image, compactness, axis in pictures:
        given = dict(n_segments=n_segments, compactness=compactness, enforce_connectivity=False)
        theirs = segmentation.slic(image, channel_axis=axis, start_label=1, **given)
        worst = max(worst, (classic.slic(image, **given) != theirs).mean())
    report(f"skimage.segmentation.slic, {n_segments} segments, share of pixels", len(pictures), worst)
    assert worst < 1e-3


def test_connected_superpixels_follow_edges_as_well_as_those_of_scikit_image():
    image = skimage.data.coins()[:160, :200]
    truth = ndimage.label(image > 110)[0]
    edge = segmentation.find_boundaries(truth)
    recall, leak = [], []
    for labels in (classic.slic(image, 200, 0.1),
                   segmentation.slic(image, 200, 0.1, channel_axis=None, start_label=1)):
        near = ndimage.binary_dilation(segmentation.find_boundaries(labels), iterations=2)
        recall.append(near[edge].mean())
        joint = np.zeros((labels.max() + 1, truth.max() + 1))
        np.add.at(joint, (labels, truth), 1)
        leak.append((joint.sum(axis=1) - joint.max(axis=1)).sum() / labels.size)
    report("skimage.segmentation.slic, boundary recall within 2 px", 1, abs(recall[0] - recall[1]))
    report("skimage.segmentation.slic, undersegmentation error", 1, abs(leak[0] - leak[1]))
    assert recall[0] > recall[1] - 0.02 and leak[0] < leak[1] + 0.01
