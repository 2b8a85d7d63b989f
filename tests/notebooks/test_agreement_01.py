"""What notebook 01 builds is what the package holds."""

import numpy as np
import pytest
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from seglab import metrics
from seglab.data import load_nuclei
from seglab.data.instances import relabel
from seglab.ops import separate_touching
from seglab.widgets.metric_damage import close_pairs, damage

NOTEBOOK = definitions("01_tasks_and_metrics", [
    "confusion_loop", "confusion", "pixel_accuracy", "iou_per_class", "dice_per_class", "frequency_weighted_iou",
    "boundary_f1", "trimap_iou", "hausdorff", "meet", "iou_matrix", "iou_of_masks", "stack", "object_f1",
    "merges_and_splits", "rand_by_pairs", "rand_error", "v_info", "is_simple", "warp", "match", "average_precision",
    "panoptic_quality", "missed", "merged", "split", "with_hole", "shift", "thicker_borders"])
SHAPES = st.tuples(st.integers(3, 7), st.integers(3, 7))
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.int64, shape, elements=st.integers(0, 3))] * 2))


def everywhere(labels):
    """Ids 1..3 and background all occur: the notebook's short forms divide by every class."""
    labels = labels.copy()
    labels.ravel()[:4] = range(4)
    return labels


@settings(deadline=None, max_examples=50)
@given(PAIRS)
def test_scores_of_the_confusion_matrix(pair):
    true, pred = map(everywhere, pair)
    true.ravel()[-1] = 255
    counts = metrics.ConfusionMatrix(4)
    counts.update(true, pred)
    n = NOTEBOOK.confusion(true, pred, 4)
    np.testing.assert_array_equal(n, counts.counts)
    np.testing.assert_array_equal(NOTEBOOK.confusion_loop(true[true < 255], pred[true < 255], 4), n)
    tight = {"rtol": 0, "atol": 1e-15}
    np.testing.assert_allclose(NOTEBOOK.iou_per_class(n), counts.iou(), **tight)
    np.testing.assert_allclose(NOTEBOOK.dice_per_class(n), counts.dice(), **tight)
    np.testing.assert_allclose(NOTEBOOK.pixel_accuracy(n), counts.pixel_accuracy(), **tight)
    np.testing.assert_allclose(NOTEBOOK.frequency_weighted_iou(n), counts.frequency_weighted_iou(), **tight)


def blobs(seed, size=(26, 31)):
    rng = np.random.default_rng(seed)
    return ndimage.gaussian_filter(rng.random((2, *size)), (0, 2, 2)) > 0.5


@pytest.mark.parametrize("seed", range(8))
def test_outlines(seed):
    true, pred = blobs(seed)
    diagonal = np.hypot(*true.shape)
    for px in (0, 1, 2.5):
        assert NOTEBOOK.boundary_f1(true, pred, px) == pytest.approx(
            metrics.boundary_f1(true, pred, tolerance=(px + 1e-9) / diagonal), abs=1e-14)
    for r in (1, 2, 5):
        assert NOTEBOOK.trimap_iou(true, pred, r) == pytest.approx(metrics.trimap_iou(true, pred, r), abs=1e-15)
    for percentile in (95, 100):
        assert NOTEBOOK.hausdorff(true, pred, percentile) == metrics.hausdorff(true, pred, percentile)


@settings(deadline=None, max_examples=50)
@given(PAIRS)
def test_objects_and_pairs(pair):
    true, pred = map(everywhere, pair)
    iou = metrics.mask_iou(true, pred)
    np.testing.assert_allclose(NOTEBOOK.iou_matrix(true, pred), iou, rtol=0, atol=1e-15)
    stacks = map(NOTEBOOK.stack, (true, pred))
    np.testing.assert_allclose(NOTEBOOK.iou_of_masks(*stacks), iou, rtol=0, atol=1e-15)
    for threshold in (0.5, 0.8):
        assert NOTEBOOK.object_f1(true, pred, threshold) == metrics.object_f1(true, pred, threshold).f1
    assert NOTEBOOK.merges_and_splits(true, pred) == metrics.merges_and_splits(true, pred)
    if max(np.bincount(true.ravel())[1:]) > 1:                    # otherwise there is no pair: 0 / 0
        for function in (NOTEBOOK.rand_error, NOTEBOOK.rand_by_pairs):
            assert function(true, pred) == pytest.approx(metrics.rand_error(true, pred), abs=1e-14)
    assert NOTEBOOK.v_info(true, pred) == pytest.approx(metrics.information_score(true, pred), abs=1e-12)


def test_simple_points_and_warping():
    patches = np.zeros((256, 3, 3), bool)
    for bit, place in enumerate([(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]):
        patches[(slice(None), *place)] = np.arange(256) >> bit & 1
    for middle in (False, True):
        patches[:, 1, 1] = middle
        assert [NOTEBOOK.is_simple(p) for p in patches] == metrics.simple_points().tolist()
    for seed in range(4):
        true, pred = blobs(seed)
        ours, theirs = NOTEBOOK.warp(true, pred), metrics.warp(true, pred)
        for warped in (ours, theirs):                             # the order may differ, the topology may not
            assert ndimage.label(np.pad(warped, 1))[1] == ndimage.label(np.pad(true, 1))[1]
            assert ndimage.label(~np.pad(warped, 1), np.ones((3, 3)))[1] == \
                ndimage.label(~np.pad(true, 1), np.ones((3, 3)))[1]
        # flips in another order may run into another dead end: compare what is left with what was wrong
        left = [(warped != pred).mean() / (true != pred).mean() for warped in (ours, theirs)]
        assert max(left) < 0.4 and abs(left[0] - left[1]) < 0.05
        assert NOTEBOOK.warp(true, true).sum() == true.sum()


@pytest.mark.parametrize("seed", range(6))
def test_average_precision(seed):
    rng = np.random.default_rng(seed)
    truths = rng.random((5, 12, 12)) < 0.4
    found = np.concatenate([truths[rng.integers(0, 5, 9)] ^ (rng.random((9, 12, 12)) < 0.08), truths[:1]])
    scores = rng.integers(0, 4, 10) / 4                           # ties
    coco = metrics.COCOEvaluator("segm")
    coco.update({"masks": truths}, {"masks": found, "scores": scores})
    iou = NOTEBOOK.iou_of_masks(found, truths)
    ap = [NOTEBOOK.average_precision(NOTEBOOK.match(iou, scores, t), 5) for t in np.linspace(0.5, 0.95, 10)]
    stats = coco.compute()
    np.testing.assert_allclose([np.mean(ap), ap[0], ap[5]], [stats["AP"], stats["AP50"], stats["AP75"]], atol=1e-12)
    assert 0 < stats["AP"] < 1


@settings(deadline=None, max_examples=30)
@given(PAIRS)
def test_panoptic_quality(pair):
    true, pred = map(everywhere, pair)
    class_true, class_pred = np.array([0, 1, 2, 1]), np.array([0, 1, 2, 2])
    panoptic = (np.stack([c[m], m], -1) for c, m in ((class_true, true), (class_pred, pred)))
    package = metrics.panoptic_quality(*panoptic, things={1, 2}, stuffs={0})
    for c in range(3):
        mine = NOTEBOOK.panoptic_quality(true + 1, pred + 1, class_true, class_pred, c)
        theirs = [scores[c] for scores in (package.pq_per_class, package.sq_per_class, package.rq_per_class)]
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-15)


def test_damages_are_those_of_the_lab():
    labels = separate_touching(load_nuclei("all").instances.numpy(), 1)
    labels = relabel(labels[96:224, 0:128])
    classes = np.append(0, np.ones(labels.max(), int))
    k = 1 + np.argmax(np.bincount(labels.ravel())[1:])
    lab = lambda kind: damage(labels, classes, kind, 1)[0]
    for mine, kind in ((NOTEBOOK.missed(labels, k), "missed objects"), (NOTEBOOK.split(labels, k), "splits"),
                       (NOTEBOOK.with_hole(labels, k), "holes"), (NOTEBOOK.shift(labels), "shift"),
                       (NOTEBOOK.thicker_borders(labels), "thicker borders")):
        np.testing.assert_array_equal(mine, lab(kind))
        assert (mine != labels).any()
    np.testing.assert_array_equal(NOTEBOOK.merged(labels, *close_pairs(labels)[0]), lab("merges"))
