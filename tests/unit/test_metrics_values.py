"""Metrics on cases small enough to count by hand, on the worked check of cell walls, and at size."""

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage
from skimage.segmentation import expand_labels

from seglab.metrics import (
    ConfusionMatrix,
    boundary_f1,
    calibration_error,
    dice,
    hausdorff,
    information_score,
    iou,
    joint_counts,
    mask_iou,
    merges_and_splits,
    object_f1,
    panoptic_quality,
    pixel_accuracy,
    pixel_error,
    rand_error,
    reliability_curve,
    trimap_iou,
    variation_of_information,
    warping_error,
)

TRUE = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 2], [0, 0, 2, 2]])
PRED = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 2, 2], [0, 0, 2, 0]])
# by eye: class 0 agrees in 7 of 9 + 9 pixels, class 1 in 3 of 4 + 4, class 2 in 2 of 3 + 3


def test_confusion_matrix_of_a_4x4_case():
    counts = ConfusionMatrix(3)
    counts.update(TRUE, PRED)
    assert counts.counts.tolist() == [[7, 1, 1], [1, 3, 0], [1, 0, 2]]
    assert counts.pixel_accuracy() == 12 / 16
    np.testing.assert_allclose(counts.iou(), [7 / 11, 3 / 5, 2 / 4])
    np.testing.assert_allclose(counts.dice(), [14 / 18, 6 / 8, 4 / 6])
    np.testing.assert_allclose(counts.recall(), [7 / 9, 3 / 4, 2 / 3])
    np.testing.assert_allclose(counts.precision(), [7 / 9, 3 / 4, 2 / 3])
    assert counts.mean_iou() == pytest.approx((7 / 11 + 3 / 5 + 2 / 4) / 3)
    assert counts.mean_accuracy() == pytest.approx((7 / 9 + 3 / 4 + 2 / 3) / 3)
    assert counts.frequency_weighted_iou() == pytest.approx((9 * 7 / 11 + 4 * 3 / 5 + 3 * 2 / 4) / 16)


def test_ignored_pixels_leave_rows_and_unions():
    true = TRUE.copy()
    true[0, 2] = 255                                       # one of the errors
    counts = ConfusionMatrix(3)
    counts.update(true, PRED)
    assert counts.counts.tolist() == [[7, 0, 1], [1, 3, 0], [1, 0, 2]]
    assert counts.iou()[1] == 3 / 4
    assert iou(true == 1, PRED == 1) == 3 / 5 and iou(np.where(true == 255, 255, true == 1), PRED == 1) == 3 / 4
    assert pixel_error(true, PRED) == 3 / 15


def test_streaming_equals_one_batch_and_workers_add_up():
    generator = torch.Generator().manual_seed(0)
    true, pred = torch.randint(0, 5, (2, 6, 9, 8), generator=generator)
    stream, batch, halves = ConfusionMatrix(5), ConfusionMatrix(5), [ConfusionMatrix(5), ConfusionMatrix(5)]
    batch.update(true, pred)
    for i, (t, p) in enumerate(zip(true, pred)):
        stream.update(t.numpy(), p)
        halves[i % 2].update(t, p.to(torch.uint8))
    assert (stream.counts == batch.counts).all() and ((halves[0] + halves[1]).counts == batch.counts).all()


def test_dataset_level_and_per_image_averages_differ():
    a, b = np.zeros((2, 10, 10), bool)
    a[:5] = True
    b[0, 0] = True
    counts = ConfusionMatrix(2)
    counts.update(a, a)
    counts.update(b, ~b & False)
    assert counts.iou()[1] == 50 / 51 and np.mean([iou(a, a), iou(b, ~b & False)]) == 0.5


def test_uint8_labels_with_21_classes_do_not_wrap():
    true = np.full((4, 4), 20, np.uint8)
    counts = ConfusionMatrix(21)
    counts.update(true, true)
    assert counts.counts[20, 20] == 16 and counts.counts.sum() == 16
    ids = np.arange(256, dtype=np.uint8).reshape(16, 16)
    joint = joint_counts(ids, ids)
    assert (joint.rows == joint.cols).all() and len(joint.pixels) == 256


def test_counts_are_exact_beyond_2_to_the_24():
    counts = ConfusionMatrix(2)
    counts.counts[0, 0] = 2 ** 24
    counts.update(np.zeros((1, 1), int), np.zeros((1, 1), int))
    assert counts.counts[0, 0] == 2 ** 24 + 1 and counts.counts.dtype == np.int64
    big = np.zeros((4097, 4096), np.uint8)                 # 2^24 + 4096 pixels: float32 counts stop at 2^24
    counts = ConfusionMatrix(2)
    counts.update(big, big)
    assert counts.counts[0, 0] == 4097 * 4096


def test_masks_of_nothing():
    none, some = np.zeros((4, 5), bool), np.ones((4, 5), bool)
    for score in (iou, dice, pixel_accuracy, boundary_f1, lambda t, p: trimap_iou(t, p, 2)):
        assert score(none, none) == 1.0
    assert iou(none, some) == iou(some, none) == dice(none, some) == dice(some, none) == 0.0
    assert pixel_error(none, none) == warping_error(none, none) == hausdorff(none, none) == 0.0
    assert hausdorff(none, some) == hausdorff(some, none) == math.inf
    spot = none.copy()
    spot[1, 1] = True
    assert boundary_f1(none, spot) == boundary_f1(spot, none) == 0.0
    assert trimap_iou(spot, none, 2) == 0.0
    assert warping_error(none, spot) == warping_error(spot, none) == 1 / 20


def test_everything_ignored():
    true, pred = np.full((4, 5), 255), np.zeros((4, 5), int)
    counts = ConfusionMatrix(3)
    counts.update(true, pred)
    assert counts.counts.sum() == 0 and np.isnan(counts.iou()).all()
    for mean in ("mean_iou", "mean_dice", "mean_accuracy", "pixel_accuracy", "frequency_weighted_iou"):
        assert getattr(counts, mean)() == 1.0
    assert pixel_accuracy(true, pred) == 1.0 and pixel_error(true, pred) == 0.0
    void = {"ignore_index": 255}                           # of two classes it has to be said
    assert iou(true, pred, **void) == dice(true, pred, **void) == boundary_f1(true, pred, **void) == 1.0
    assert trimap_iou(true, pred, 1, **void) == 1.0
    assert calibration_error(np.full((4, 5), 0.3), true, **void) == 0.0
    assert reliability_curve(np.full((4, 5), 0.3), true, **void).count.sum() == 0


def test_absent_classes():
    true, pred = np.array([[0, 0, 1, 1]]), np.array([[0, 0, 1, 2]])
    scores = iou(true, pred, num_classes=4)
    assert scores[:3].tolist() == [1.0, 0.5, 0.0] and np.isnan(scores[3])      # 2: only predicted, 3: nowhere
    counts = ConfusionMatrix(4)
    counts.update(true, pred)
    assert counts.mean_iou() == 0.5 and counts.mean_accuracy() == 0.75          # accuracy knows true classes only
    assert np.isnan(boundary_f1(true, pred, num_classes=4)[3]) and np.isnan(trimap_iou(true, pred, 1, num_classes=4)[3])


def test_label_maps_of_nothing():
    none, two = np.zeros((1, 6), int), np.array([[1, 1, 0, 0, 2, 2]])
    assert object_f1(none, none)[:3] == (1.0, 1.0, 1.0)
    assert object_f1(two, none) == (0.0, 1.0, 0.0, 0, 0, 2) and object_f1(none, two) == (0.0, 0.0, 1.0, 0, 2, 0)
    assert merges_and_splits(none, two) == merges_and_splits(two, none) == merges_and_splits(none, none) == (0, 0)
    assert mask_iou(none, two).shape == (0, 2) and mask_iou(two, none).shape == (2, 0)
    assert mask_iou(none, none).shape == (0, 0) and mask_iou(none, two, sparse_output=True).shape == (0, 2)
    for background in ("singletons", "segment"):
        assert rand_error(none, two, background) == rand_error(none, none, background) == 0.0
        assert variation_of_information(none, two, background) == (0.0, 0.0)
        assert information_score(none, two, background) == 1.0
    assert rand_error(two, none) == 1.0            # every pixel on its own: nothing together
    assert rand_error(two, none, "segment") == 0.5  # one object in which both are merged
    dots = np.array([[1, 0, 2, 0, 3, 0]])
    assert rand_error(dots, dots) == 0.0                                        # scikit-image: NaN, no pair at all
    pq = panoptic_quality(*np.full((2, 3, 3, 2), 255), things={1}, stuffs={0})
    assert pq[:3] == (1.0, 1.0, 1.0) and np.isnan(pq.pq_per_class).all()


def test_object_f1_by_hand():
    """On the toy: IoU 3/5 and exactly 2/4, which is not above 1/2."""
    assert object_f1(TRUE, PRED) == (0.5, 0.5, 0.5, 1, 1, 1)
    assert object_f1(TRUE, PRED, iou=0.49).f1 == 1.0 and object_f1(TRUE, PRED, iou=0.6).f1 == 0.0
    np.testing.assert_array_equal(mask_iou(TRUE, PRED), [[0.6, 0], [0, 0.5]])


def test_merges_and_splits_by_hand():
    true = np.array([[1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 4, 4, 4, 4]])
    assert merges_and_splits(true, np.array([[7, 7, 7, 7, 7, 7, 7, 7, 7, 0, 1, 1, 1, 1]])) == (2, 0)    # 3 in one
    assert merges_and_splits(true, np.array([[1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 4, 5, 6, 6]])) == (0, 2)    # 1 in three
    assert merges_and_splits(true, np.array([[1, 1, 1, 1, 2, 2, 3, 3, 3, 0, 4, 4, 4, 4]])) == (0, 0)    # border moved
    assert merges_and_splits(true, np.array([[1, 1, 1, 0, 2, 2, 0, 0, 0, 0, 4, 4, 9, 9]])) == (0, 1)    # half stays
    assert merges_and_splits(true, np.array([[1, 1, 0, 2, 2, 0, 0, 0, 0, 8, 4, 4, 4, 0]])) == (0, 0)    # missed


def test_panoptic_quality_by_hand():
    """One thing found with IoU 3/4, one missed; stuff shrinks by a pixel; void swallows an invented thing."""
    true = np.array([[[0, 0], [0, 0], [0, 0], [1, 1], [1, 1], [1, 1], [1, 1], [1, 2], [255, 0], [255, 0]]])
    pred = np.array([[[0, 5], [0, 6], [0, 7], [0, 0], [1, 9], [1, 9], [1, 9], [0, 0], [1, 3], [1, 3]]])
    quality = panoptic_quality(true, pred, things={1}, stuffs={0})
    assert quality.tp.tolist() == [1, 1] and quality.fp.tolist() == [0, 0] and quality.fn.tolist() == [0, 1]
    np.testing.assert_allclose(quality.pq_per_class, [3 / 5, (3 / 4) / 1.5])
    assert quality.pq == pytest.approx((3 / 5 + 1 / 2) / 2)
    assert quality.sq == pytest.approx((3 / 5 + 3 / 4) / 2) and quality.rq == pytest.approx((1 + 2 / 3) / 2)
    two = panoptic_quality([true, true[:, :9]], [pred, pred[:, :9]], things={1}, stuffs={0})       # sizes may differ
    assert two.tp.tolist() == [2, 2]
    void_there = pred.copy()
    void_there[0, 0, 0] = 255                              # void in the prediction: a pixel not found
    assert panoptic_quality(true, void_there, things={1}, stuffs={0}).sq_per_class[0] == 0.0      # IoU 2/5
    assert panoptic_quality(true, void_there, things={1}, stuffs={0}).rq_per_class[0] == 0.0


def test_calibration_by_hand():
    prob, target = np.array([0.05, 0.15, 0.15, 0.95, 1.0]), np.array([0, 0, 1, 1, 1])
    curve = reliability_curve(prob, target, bins=10)
    assert curve.count.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 2]
    np.testing.assert_allclose(curve.frequency[[0, 1, 9]], [0, 0.5, 1])
    assert np.isnan(curve.probability[2]) and np.isnan(curve.frequency[2])
    assert calibration_error(prob, target, bins=10) == pytest.approx((1 * 0.05 + 2 * 0.35 + 2 * 0.025) / 5)


def walls():
    """4x4 cells on 128x128 px, walls of 2 px at 0, 32, 64, 96 and 126: 16 cells of 30 or 28 px."""
    cells = np.ones((128, 128), bool)
    for at in (0, 32, 64, 96, 126):
        cells[at:at + 2] = cells[:, at:at + 2] = False
    return cells


def damaged():
    """Five changes of the walls, with pixel error, warping error and Rand error as published in the worked check."""
    cells = walls()
    gap, wall, hole = cells.copy(), cells.copy(), cells.copy()
    gap[14:16, 32:34] = True
    wall[15, 2:32] = False
    hole[15:18, 15:18] = False
    return {"walls 1 px thicker": (ndimage.binary_erosion(cells, np.ones((3, 3))), 0.1113, 0.0, 0.139),
            "shift by 1 px": (np.roll(cells, 1, 1), 0.0576, 0.0, 0.034),
            "one 2-px gap": (gap, 0.0002, 0.00012, 0.063),
            "false 1-px wall": (wall, 0.0018, 0.00006, 0.018),
            "3x3 hole": (hole, 0.0005, 0.00055, 0.001)}


@pytest.mark.parametrize("change", damaged())
def test_worked_check_of_cell_walls(change):
    true, (pred, pixel, warping, rand) = walls(), damaged()[change]
    labels_true, labels_pred = ndimage.label(true)[0], ndimage.label(pred)[0]
    assert pixel_error(true, pred) == pytest.approx(pixel, abs=5.1e-5)
    assert warping_error(true, pred) == pytest.approx(warping, abs=5.1e-6)
    assert rand_error(labels_true, labels_pred) == pytest.approx(rand, abs=5.1e-4)


def test_rand_error_of_thicker_walls_is_0_once_labels_are_grown_back():
    true = walls()
    thick = ndimage.label(damaged()["walls 1 px thicker"][0])[0]
    grown = expand_labels(thick, 2)
    assert rand_error(ndimage.label(true)[0], grown) == 0.0


def test_warping_mask_restricts_the_flips():
    true, thick = walls(), damaged()["walls 1 px thicker"][0]
    assert warping_error(true, thick, mask=np.zeros((128, 128), bool)) == pixel_error(true, thick)
    left = np.zeros((128, 128), bool)
    left[:, :64] = True
    error = (true != thick)[:, 64:].sum() / true.size
    assert warping_error(true, thick, mask=left) == pytest.approx(error)


def many_objects(side=265):
    """70,225 objects of 2x2 px with a wall between them, ids with gaps of 3."""
    ids = 3 * np.arange(1, side * side + 1).reshape(side, side)
    labels = np.zeros((3 * side, 3 * side), np.int64)
    for y in (0, 1):
        for x in (0, 1):
            labels[y::3, x::3] = ids
    return labels


def test_70_000_objects():
    true = many_objects()
    pred = np.roll(true, 1, 1)
    start = time.perf_counter()
    overlap = mask_iou(true, pred, sparse_output=True)
    assert overlap.shape == (70225, 70225) and overlap.nnz == 70225 and np.allclose(overlap.data, 1 / 3)
    assert object_f1(true, true).tp == 70225 and object_f1(true, pred).tp == 0
    assert object_f1(true, pred, iou=0.3).tp == 70225
    assert merges_and_splits(true, true * 0 + 1).merges == 70224
    assert 0 < rand_error(true, pred) < 1 and rand_error(true, true) == 0.0
    panoptic = lambda labels: np.stack([labels > 0, labels], -1).astype(int)
    assert panoptic_quality(panoptic(true), panoptic(true), things={1}, stuffs={0}).tp.tolist() == [1, 70225]
    assert time.perf_counter() - start < 20
    with pytest.raises(ValueError, match="sparse_output"):
        mask_iou(true, pred)


def test_huge_and_gappy_ids():
    labels = np.array([[0, 2 ** 40, 2 ** 40, 7]])
    assert mask_iou(labels, labels).tolist() == [[1, 0], [0, 1]] and rand_error(labels, labels) == 0.0
    other = np.array([[0, 1, 1, 1]], np.uint8)
    np.testing.assert_allclose(mask_iou(labels.astype(np.uint64), other), [[1 / 3], [2 / 3]])


SMALL = arrays.arrays(np.int64, (5, 6), elements=st.integers(0, 3))


@settings(deadline=None, max_examples=50)
@given(SMALL, SMALL)
def test_ranges_symmetries_and_perfection(a, b):
    for score in (lambda a, b: iou(a, b, num_classes=4), lambda a, b: dice(a, b, num_classes=4)):
        forth, back = score(a, b), score(b, a)
        np.testing.assert_array_equal(forth, back)
        assert ((forth >= 0) & (forth <= 1) | np.isnan(forth)).all()
    assert rand_error(a, a) == 0 and object_f1(a, a).f1 == 1.0 and merges_and_splits(a, a) == (0, 0)
    assert warping_error(a > 0, a > 0) == 0 and hausdorff(a > 0, b > 0) == hausdorff(b > 0, a > 0)
    assert merges_and_splits(a, b) == merges_and_splits(b, a)[::-1]
    assert object_f1(a, b).f1 == object_f1(b, a).f1
    for value in (rand_error(a, b), information_score(a, b), warping_error(a > 0, b > 0), boundary_f1(a > 0, b > 0)):
        assert 0 <= value <= 1 + 1e-12
    np.testing.assert_array_equal(mask_iou(a, b), mask_iou(b, a).T)
    np.testing.assert_array_equal(mask_iou(a, b), mask_iou(torch.as_tensor(a), torch.as_tensor(b)))
