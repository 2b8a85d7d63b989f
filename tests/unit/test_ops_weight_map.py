import importlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seglab.inputs import label_map
from seglab.ops import unet_weight_map

weight_map = importlib.import_module("seglab.ops.weight_map")      # the package exports a function of that name

SHAPES = st.tuples(st.integers(1, 24), st.integers(1, 24))
LABELS = arrays(np.int32, SHAPES, elements=st.sampled_from([0, 0, 0, 1, 2, 3, 9]))


def pixel(shape, **places):
    labels = np.zeros(shape, int)
    for label, place in enumerate(places.values(), 1):
        labels[place] = label
    return labels


@pytest.mark.parametrize("total, expected", [(2, 9.23), (3, 8.35), (5, 6.07), (10, 1.35), (20, 0.003)])
def test_extra_weight_between_two_cells(total, expected):
    row = np.array([[1, *[0] * (total - 1), 2]])              # d1 + d2 = total everywhere between the two
    np.testing.assert_allclose(unet_weight_map(row)[0, 1:-1] - 1, expected, rtol=0, atol=5e-3 if expected > 1 else 5e-4)


def test_midpoint_between_two_discs_is_the_analytic_value():
    y, x = np.mgrid[:41, :81]
    left, right = ((y - 20) ** 2 + (x - centre) ** 2 <= 15 ** 2 for centre in (20, 58))
    labels = 1 * left + 2 * right                             # the discs end at x = 35 and begin at x = 43
    weights = unet_weight_map(labels, w0=7, sigma=4)
    assert weights[20, 39] == pytest.approx(1 + 7 * np.exp(-(4 + 4) ** 2 / (2 * 4 ** 2)), rel=1e-6)


def test_background_only_and_the_class_term_inside():
    labels = np.array([[1, 1, 0, 2, 2]])
    np.testing.assert_array_equal(unet_weight_map(labels)[labels > 0], 1)
    weights = unet_weight_map(labels, class_weights=(0.5, 3))
    np.testing.assert_array_equal(weights[labels > 0], 3)
    assert weights[0, 2] == pytest.approx(0.5 + 10 * np.exp(-4 / 50), rel=1e-6)


def test_balanced_gives_both_classes_the_same_total_and_mean_one():
    labels = np.zeros((20, 30), int)
    labels[3:7, 4:9] = 4
    weights = unet_weight_map(labels, w0=0, class_weights="balanced")
    assert weights.mean() == pytest.approx(1, rel=1e-6)
    assert weights[labels > 0].sum() == pytest.approx(weights[labels == 0].sum(), rel=1e-6)
    for alone in (0, 5):
        np.testing.assert_array_equal(unet_weight_map(np.full((3, 4), alone), class_weights="balanced"), 1)


@pytest.mark.parametrize("labels", [np.zeros((6, 7), int), pixel((6, 7), a=(2, 3)), np.full((6, 7), 3)])
def test_fewer_than_two_objects_have_no_border(labels):
    np.testing.assert_array_equal(unet_weight_map(labels, class_weights=(2, 3)), np.where(labels, 3, 2))


def test_two_parts_of_one_id_are_one_object():
    np.testing.assert_array_equal(unet_weight_map(np.array([[4, 0, 4]])), 1)


def test_touching_instances_are_two():
    labels = np.array([[1, 1, 2, 2], [0, 0, 0, 0]])
    assert unet_weight_map(labels)[1, 1] == pytest.approx(1 + 10 * np.exp(-(1 + 2 ** 0.5) ** 2 / 50), rel=1e-6)


@settings(deadline=None, max_examples=50)
@given(LABELS, st.floats(0.5, 9))
def test_windows_and_bits_agree(labels, sigma):
    instances = label_map(labels, contiguous=True)
    reach = int(np.ceil(8 * sigma))
    boxes = weight_map.find_objects(instances)
    windows = [tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box) for box in boxes]
    a, b = weight_map._by_windows(instances, windows), weight_map._by_bits(instances) if windows else None
    if windows:
        term = [np.exp(-(d1 + d2) ** 2 / (2 * sigma ** 2)) * (labels == 0) for d1, d2 in (a, b)]
        np.testing.assert_allclose(term[0], term[1], rtol=0, atol=3e-14)


@settings(deadline=None, max_examples=25)
@given(LABELS, st.permutations([1, 2, 3, 9]), st.integers(0, 2))
def test_renumbering_changes_nothing(labels, order, kind):
    renumber = np.zeros(10, np.int64)
    renumber[[1, 2, 3, 9]] = [(9, 1000, 2 ** 31 - 1)[kind] if n == 9 else n for n in order]
    np.testing.assert_array_equal(unet_weight_map(labels), unet_weight_map(renumber[labels]))


@settings(deadline=None, max_examples=25)
@given(LABELS)
def test_flips_and_transposes_commute(labels):
    weights = unet_weight_map(labels)
    np.testing.assert_allclose(unet_weight_map(labels[::-1]), weights[::-1], rtol=1e-6)
    np.testing.assert_allclose(unet_weight_map(labels.T), weights.T, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integer_kinds(dtype):
    labels = np.array([[1, 0, 2], [0, 0, 0]])
    weights = unet_weight_map(labels.astype(dtype))
    assert weights.dtype == np.float32 and isinstance(weights, np.ndarray)
    np.testing.assert_array_equal(weights, unet_weight_map(labels))


def test_tensor_in_tensor_out():
    labels = torch.tensor([[1, 0, 2]], dtype=torch.int32)
    weights = unet_weight_map(labels)
    assert isinstance(weights, torch.Tensor) and weights.dtype == torch.float32
    np.testing.assert_array_equal(weights.numpy(), unet_weight_map(labels.numpy()))


def test_the_input_is_left_alone():
    labels = np.array([[1, 0, 2], [0, 5, 0]])
    before = labels.copy()
    labels.setflags(write=False)
    unet_weight_map(labels, class_weights="balanced")
    np.testing.assert_array_equal(labels, before)


def test_seventy_thousand_one_pixel_objects():
    rng = np.random.default_rng(0)
    labels = np.zeros(512 * 512, np.int32)
    labels[rng.choice(labels.size, 70_000, replace=False)] = rng.permutation(70_000) * 7 + 3
    labels = labels.reshape(512, 512)
    weights = unet_weight_map(labels)
    corner = slice(0, 96), slice(0, 96)                       # the nearest two of so many are in the same corner
    np.testing.assert_allclose(unet_weight_map(labels[corner])[:48, :48], weights[:48, :48], rtol=1e-6)


def test_huge_sigma_stays_finite():
    labels = pixel((30, 40), a=(0, 0), b=(29, 39))
    assert unet_weight_map(labels, sigma=1e6).max() == pytest.approx(11, abs=1e-3)
    assert np.isfinite(unet_weight_map(labels, sigma=1e-3)).all()


@pytest.mark.parametrize("labels, error, text", [
    (np.zeros((4, 4)), TypeError, "integer"), (np.full((4, 4), np.nan), TypeError, "integer"),
    (np.ones((4, 4), bool), TypeError, "bool"), ("cells", TypeError, "numbers"),
    (np.full((4, 4), -1), ValueError, ">= 0"), (np.ones((1, 4, 4), int), ValueError, r"\(H, W\)"),
    (np.ones(4, int), ValueError, r"\(H, W\)"), (np.ones((0, 4), int), ValueError, "one pixel"),
    (torch.zeros(4, 4), TypeError, "integer"), (torch.zeros(1, 4, 4, dtype=torch.long), ValueError, r"\(H, W\)")])
def test_bad_labels(labels, error, text):
    with pytest.raises(error, match=f"labels.*{text}"):
        unet_weight_map(labels)


@pytest.mark.parametrize("arguments, error, name", [
    ({"w0": -1}, ValueError, "w0"), ({"w0": float("nan")}, ValueError, "w0"), ({"w0": "ten"}, ValueError, "w0"),
    ({"sigma": 0}, ValueError, "sigma"), ({"sigma": float("inf")}, ValueError, "sigma"),
    ({"class_weights": "frequency"}, ValueError, "class_weights"),
    ({"class_weights": (1, 2, 3)}, ValueError, "class_weights"),
    ({"class_weights": (1, -2)}, ValueError, "class_weights"), ({"class_weights": 3}, ValueError, "class_weights"),
    ({"class_weights": ("a", "b")}, ValueError, "class_weights")])
def test_bad_parameters(arguments, error, name):
    with pytest.raises(error, match=name):
        unet_weight_map(np.array([[1, 0, 2]]), **arguments)
