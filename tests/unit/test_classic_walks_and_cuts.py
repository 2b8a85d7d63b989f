"""Random walker, graph cut, GrabCut."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab import classic
from seglab.classic.graph_cut import _network


def seeded(seed, shape=(9, 10), labels=3, excluded=0):
    rng = np.random.default_rng(seed)
    seeds = np.zeros(shape, int)
    seeds.flat[rng.choice(seeds.size, excluded, replace=False)] = -1
    seeds.flat[rng.choice(seeds.size, labels, replace=False)] = np.arange(1, labels + 1)
    return rng.random(shape), seeds


# --- random walker ----------------------------------------------------------------------------------------------------

def test_walk_along_a_line_is_linear():
    # equal weights in one dimension: the chance to reach the left end first falls in equal steps
    labels = np.array([[1, 0, 0, 0, 2]])
    prob = classic.random_walker(np.ones((1, 5)), labels, return_full_prob=True)
    np.testing.assert_allclose(prob[0, 0], [1, 0.75, 0.5, 0.25, 0], atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 30))
def test_probabilities_are_probabilities(seed, labels, excluded):
    image, seeds = seeded(seed, labels=labels, excluded=excluded)
    prob = classic.random_walker(image, seeds, beta=50, return_full_prob=True)
    out = classic.random_walker(image, seeds, beta=50)
    total = prob.sum(axis=0)
    assert prob.min() > -1e-9 and prob.max() < 1 + 1e-9
    np.testing.assert_allclose(total[out > 0], 1, atol=1e-9)
    assert not total[out <= 0].any()
    np.testing.assert_array_equal(out[seeds != 0], np.maximum(seeds, -1)[seeds != 0])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_each_probability_is_the_weighted_mean_of_its_neighbours(seed):
    image, seeds = seeded(seed)
    prob = classic.random_walker(image, seeds, beta=30, return_full_prob=True)
    edges, _ = classic.grid_edges(image.shape)
    a, b = edges.T
    weight = np.exp(-30 / (10 * image.std()) * (image.ravel()[a] - image.ravel()[b]) ** 2) + 1e-10
    for p in prob.reshape(len(prob), -1):
        net = np.bincount(a, weight * (p[b] - p[a]), p.size) + np.bincount(b, weight * (p[a] - p[b]), p.size)
        assert np.abs(net[seeds.ravel() == 0]).max() < 1e-10


def test_ids_may_have_gaps_and_keep_their_names():
    image, seeds = seeded(1)
    renamed = np.array([0, 4, 70_000, 70_001])[seeds]
    np.testing.assert_array_equal(classic.random_walker(image, renamed),
                                  np.array([0, 4, 70_000, 70_001])[classic.random_walker(image, seeds)])


def test_integer_pictures_are_scaled():
    image, seeds = seeded(2)
    eight = (image * 255).astype(np.uint8)
    np.testing.assert_allclose(classic.random_walker(eight, seeds, return_full_prob=True),
                               classic.random_walker(eight / 255, seeds, return_full_prob=True), atol=1e-12)


def test_a_pixel_without_a_path_is_zero_and_one_taken_out_is_minus_one():
    labels = np.array([[1, 0, -1, 0, 0]])
    assert classic.random_walker(np.zeros((1, 5)), labels).tolist() == [[1, 1, -1, 0, 0]]


def test_nothing_left_to_label():
    labels = np.array([[1, 2], [2, 1]])
    np.testing.assert_array_equal(classic.random_walker(np.zeros((2, 2)), labels), labels)


def test_bad_seeds_are_named():
    image = np.zeros((3, 3))
    with pytest.raises(ValueError, match="labels.*seed"):
        classic.random_walker(image, np.zeros((3, 3), int))
    with pytest.raises(TypeError, match="labels.*float"):
        classic.random_walker(image, np.ones((3, 3)))
    with pytest.raises(ValueError, match="labels.*shape"):
        classic.random_walker(image, np.ones((3, 4), int))
    with pytest.raises(ValueError, match="beta"):
        classic.random_walker(image, np.eye(3, dtype=int), beta=-1)
    with pytest.raises(ValueError, match="image must be finite"):
        classic.random_walker(np.full((3, 3), np.inf), np.eye(3, dtype=int))


# --- graph cut --------------------------------------------------------------------------------------------------------

@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.booleans(), st.sampled_from([1, 2]))
def test_min_cut_is_the_least_of_all_labellings(seed, height, width, integers, connectivity):
    rng = np.random.default_rng(seed)
    edges, _ = classic.grid_edges((height, width), connectivity)
    costs = rng.integers(0, 12, (2, height, width)) if integers else rng.exponential(size=(2, height, width))
    weights = rng.integers(0, 8, len(edges)) if integers else rng.exponential(size=len(edges))
    labels, energy = classic.min_cut(costs, edges, weights)
    every = (np.reshape(bits, (height, width)) for bits in itertools.product([False, True], repeat=height * width))
    energies = {mask.tobytes(): classic.cut_energy(mask, costs, edges, weights) for mask in every}
    assert energy == pytest.approx(min(energies.values()), rel=1e-7)
    assert energy == classic.cut_energy(labels, costs, edges, weights)


def test_forbidden_labels_are_never_taken_however_dear_the_edges():
    edges, _ = classic.grid_edges((1, 3))
    costs = np.array([[[0, 0, np.inf]], [[np.inf, 0, 0]]])
    labels, energy = classic.min_cut(costs, edges, np.array([1e6, 2e6]))
    assert labels.tolist() == [[False, True, True]] and energy == 1e6


def test_bad_networks_are_named():
    edges, _ = classic.grid_edges((1, 2))
    good = np.zeros((2, 1, 2))
    with pytest.raises(ValueError, match="weights"):
        classic.min_cut(good, edges, np.array([-1.0]))
    with pytest.raises(ValueError, match="costs.*NaN"):
        classic.min_cut(good * np.nan, edges, np.array([1.0]))
    with pytest.raises(ValueError, match="both labels"):
        classic.min_cut(good + np.inf, edges, np.array([1.0]))
    with pytest.raises(ValueError, match="edges"):
        classic.min_cut(good, edges, np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="costs.*32 bits"):
        classic.min_cut(np.array([[[2**40, 0]], [[0, 2**40]]]), edges, np.array([2**40]))
    with pytest.raises(ValueError, match=r"costs.*\(2, H, W\)"):
        classic.min_cut(np.zeros((3, 3)), edges, np.array([1.0]))


def test_a_bright_square_is_cut_out_from_two_strokes():
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 40), bool)
    truth[12:28, 10:30] = True
    image = np.clip(0.3 + 0.4 * truth + rng.normal(0, 0.05, truth.shape), 0, 1)
    seeds = np.zeros(truth.shape, int)
    seeds[2], seeds[20, 14:26] = 1, 2
    np.testing.assert_array_equal(classic.graph_cut(image, seeds) == 2, truth)


def test_seeds_are_kept_even_against_all_evidence():
    seeds = np.zeros((5, 5), int)
    seeds[0, 0], seeds[4, 4], seeds[2, 2] = 1, 2, 2
    out = classic.graph_cut(np.zeros((5, 5)), seeds)
    assert out[0, 0] == 1 and out[4, 4] == 2 and out[2, 2] == 2 and set(np.unique(out)) == {1, 2}


@pytest.mark.parametrize("present, word", [([1], "object seed"), ([2], "background seed"), ([1, 2, 3], "seeds")])
def test_seed_kinds(present, word):
    seeds = np.zeros((3, 3), int)
    seeds.flat[: len(present)] = present
    with pytest.raises(ValueError, match=word):
        classic.graph_cut(np.zeros((3, 3)), seeds)


def test_object_seeds_make_their_own_colour_cheap():
    # the sign trap: the regional cost of *object* is low where the object's histogram is high
    image = np.array([[0.0, 0.0, 1.0, 1.0]])
    background, object_ = classic.regional_costs(image, np.array([[1, 0, 0, 2]]), bins=2)
    assert (object_[0] < background[0]).tolist() == [False, False, True, True]


# --- GrabCut ----------------------------------------------------------------------------------------------------------

def scene(seed, size=48):
    rng = np.random.default_rng(seed)
    truth = np.zeros((size, size), bool)
    truth[14:34, 12:36] = True
    inside, outside = rng.random((2, 2, 3))
    pick = rng.integers(0, 2, truth.shape)
    image = np.where(truth[..., None], inside[pick], outside[pick]) + rng.normal(0, 0.03, (*truth.shape, 3))
    return np.clip(image, 0, 1), truth


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_the_energy_never_rises_and_the_object_stays_in_the_box(seed, components):
    image, _ = scene(seed)
    result = classic.grabcut(image, (8, 10, 40, 38), components)
    assert (np.diff(result.energies) <= 1e-9 * np.abs(result.energies[0])).all()
    outside = np.ones(result.mask.shape, bool)
    outside[10:38, 8:40] = False
    assert not (result.mask & outside).any()


def test_grabcut_finds_a_two_coloured_object():
    image, truth = scene(3)
    mask = classic.grabcut(image, (8, 10, 40, 38), components=3).mask
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_the_fitted_mixture_minimises_its_own_cost(seed):
    rng = np.random.default_rng(seed)
    points, assigned = rng.normal(size=(60, 2)) * [1, 0.1], rng.integers(0, 3, 60)

    def cost(model):
        return model.component_costs(points)[np.arange(60), assigned].sum()

    model = classic.GaussianMixture.fit(points, assigned, 3, noise=0.01)
    best = cost(model)
    for _ in range(10):
        other = classic.GaussianMixture(model.weights, model.means + rng.normal(0, 0.05, model.means.shape),
                                        model.covariances * rng.uniform(0.8, 1.25, (3, 1, 1)), model.noise)
        assert cost(other) >= best - 1e-9


def test_an_empty_component_costs_infinity_and_equal_colours_are_no_spike():
    points = np.zeros((10, 3))
    model = classic.GaussianMixture.fit(points, np.zeros(10, int), 2, noise=1e-4)
    costs = model.component_costs(points)
    assert np.isinf(costs[:, 1]).all() and np.isfinite(costs[:, 0]).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_kmeans_assigns_to_the_nearest_mean(seed, clusters):
    points = np.random.default_rng(seed).normal(size=(40, 2))
    assigned = classic.kmeans(points, clusters, np.random.default_rng(seed), iterations=100)
    means = np.stack([points[assigned == k].mean(axis=0) for k in np.unique(assigned)])
    nearest = ((points[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(np.unique(assigned)[nearest], assigned)


def test_kmeans_leaves_the_points_alone_and_takes_whole_numbers():
    points = np.array([[0.0], [1.0], [5.0]])
    before = points.copy()
    classic.kmeans(points, 1, np.random.default_rng(0))                    # once its centre was a view of a point
    np.testing.assert_array_equal(points, before)
    for dtype in (np.int64, np.uint8):
        whole = classic.kmeans(points.astype(dtype), 2, np.random.default_rng(0))
        np.testing.assert_array_equal(whole, classic.kmeans(points, 2, np.random.default_rng(0)))


def test_the_network_has_indices_of_32_bits():
    """SciPy 1.13 and 1.14 refuse others: "Buffer dtype mismatch"."""
    edges, length = classic.grid_edges((3, 4))
    network = _network(np.arange(-6.0, 6), edges, length, True)
    assert network.indices.dtype == network.indptr.dtype == np.int32


def test_graphs_are_checked():
    edges, length = classic.grid_edges((2, 2))
    costs = np.zeros((2, 2, 2))
    for call in (classic.min_cut, lambda *graph: classic.cut_energy(np.zeros((2, 2)), *graph)):
        for graph, name in (((costs, edges + 1, length), "edges"), ((costs, edges - 1, length), "edges"),
                            ((costs, edges, -length), "weights"), ((costs, edges, length[:, None]), "weights"),
                            ((costs * np.nan, edges, length), "costs"), ((costs + 1e308, edges, length), "costs"),
                            ((costs[0], edges, length), "costs"), ((costs, edges[:1], length), "edges")):
            with pytest.raises(ValueError, match=f"^{name} must"):
                call(*graph)
        with pytest.raises(TypeError, match="^edges must be integers"):
            call(costs, edges.astype(float), length)
    with pytest.raises(ValueError, match="^shape must be two integers"):
        classic.grid_edges((3, 3, 3))


def test_a_narrow_edge_width_is_no_constant_picture():
    edges, length = classic.grid_edges((1, 3))
    weights = classic.boundary_weights(np.array([0.0, 0.0, 1.0]).reshape(1, 3, 1), edges, length, sigma=1e-200)
    assert weights.tolist() == [1, 0]


def test_kmeans_with_fewer_points_than_clusters():
    assert set(classic.kmeans(np.zeros((3, 2)), 5, np.random.default_rng(0))) == {0}


@pytest.mark.parametrize("box", [(3, 3, 3, 8), (8, 3, 3, 8), (20, 20, 30, 30), (0, 0, 10, 10), (1, 2, 3), "box"])
def test_bad_boxes_are_named(box):
    with pytest.raises(ValueError, match="box"):
        classic.grabcut(np.zeros((10, 10, 3)), box)


def test_bad_numbers_are_named():
    image = np.zeros((10, 10, 3))
    for argument in ({"components": 0}, {"gamma": -1}, {"iterations": 0}, {"noise": 0}):
        with pytest.raises(ValueError, match=next(iter(argument))):
            classic.grabcut(image, (2, 2, 6, 6), **argument)
