"""What notebook 06 builds is what the package holds."""
import numpy as np
import pytest
import torch
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seglab.data import Cells, load_nuclei
from seglab.losses import cross_entropy
from seglab.ops import separate_touching, unet_weight_map

NOTEBOOK = definitions("06_unet_weight_map", ["weight_map_slow", "weight_map_fast", "open_gap", "balanced",
                                              "weighted_cross_entropy", "distance_to"])
SHAPES = st.tuples(st.integers(1, 16), st.integers(1, 16))
LABELS = arrays(np.int64, SHAPES, elements=st.sampled_from([0, 0, 0, 1, 2, 5]))


@settings(deadline=None, max_examples=40)
@given(LABELS, st.floats(0, 20), st.floats(0.5, 9))
def test_slow_fast_and_package_map(labels, w0, sigma):
    expected = unet_weight_map(labels, w0, sigma)
    for function in (NOTEBOOK.weight_map_slow, NOTEBOOK.weight_map_fast):
        np.testing.assert_allclose(function(labels, w0, sigma), expected, rtol=0, atol=1e-6 * (1 + w0))


def test_maps_of_real_nuclei():
    labels = load_nuclei("val").instances.numpy()
    np.testing.assert_allclose(NOTEBOOK.weight_map_fast(labels), unet_weight_map(labels), rtol=0, atol=1e-6)


def test_class_term():
    labels = load_nuclei("test").instances.numpy()
    expected = unet_weight_map(labels, w0=0, class_weights="balanced")
    np.testing.assert_allclose(NOTEBOOK.balanced(labels), expected, rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_separation_border(seed):
    labels = Cells(size=(96, 96), gap=0, seed=seed)[0].instances.numpy()
    np.testing.assert_array_equal(NOTEBOOK.open_gap(labels), separate_touching(labels, 1))


def test_distance_in_loops():
    labels = np.array([[0, 0, 3], [0, 0, 0]])
    np.testing.assert_allclose(NOTEBOOK.distance_to(labels, 3), [[2, 1, 0], [5 ** 0.5, 2 ** 0.5, 1]])


def test_loss_value_and_gradient():
    g = torch.Generator().manual_seed(1)
    target, w = torch.randint(2, (2, 7, 5), generator=g), torch.rand(2, 7, 5, generator=g, dtype=torch.float64)
    results = []
    for loss in (NOTEBOOK.weighted_cross_entropy, lambda z, t, w: cross_entropy(z, t, weight_map=w)):
        logits = torch.randn(2, 2, 7, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        logits.requires_grad_()
        value = loss(logits, target, w)
        value.backward()
        results.append((value.detach(), logits.grad))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-12)
