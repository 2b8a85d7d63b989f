"""Metrics against scikit-image, torchmetrics, segmentation_models_pytorch and brute force.

Each test prints one line: reference, cases, worst difference.
"""

import itertools

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torchmetrics.functional as tm
from scipy import ndimage
from skimage import metrics as sk
from skimage.util import map_array

from seglab.metrics import (
    ConfusionMatrix,
    boundary_f1,
    calibration_error,
    dice,
    hausdorff,
    iou,
    mask_iou,
    object_f1,
    panoptic_quality,
    rand_error,
    rand_scores,
    trimap_iou,
    variation_of_information,
    warp,
    warping_error,
)
from seglab.metrics.warping_error import RING, simple_points


def report(reference, cases, worst):
    print(f"{reference}: {cases} cases, worst difference {worst:.3g}")


def largest(*values):
    """The built-in max drops a NaN that is not its first argument; this one keeps it, so that the test fails."""
    return float(np.max(values))


def random_labels(rng, shape, objects):
    """A label map of blobs with gaps in its ids; half of the cases touch."""
    seeds = np.zeros(shape, int)
    seeds.ravel()[rng.choice(seeds.size, objects, replace=False)] = rng.permutation(np.arange(1, 5 * objects, 5))
    distance, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    return np.where(distance < rng.uniform(1, 8), seeds[tuple(nearest)], 0)


def pairs_of_label_maps(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = tuple(rng.integers(8, 40, 2))
        yield random_labels(rng, shape, int(rng.integers(1, 12))), random_labels(rng, shape, int(rng.integers(1, 12)))


@pytest.mark.parametrize("ignore_index", [None, 255])
def test_confusion_scores_equal_torchmetrics(ignore_index):
    generator, worst = torch.Generator().manual_seed(0), 0.0
    for case in range(20):
        classes = 2 + case % 20
        true, pred = torch.randint(0, classes, (2, 3, 17, 23), generator=generator)
        if ignore_index is not None:
            true[torch.rand(true.shape, generator=generator) < 0.2] = ignore_index
        counts = ConfusionMatrix(classes, ignore_index)
        for t, p in zip(true, pred):
            counts.update(t, p)
        kwargs = {"num_classes": classes, "ignore_index": ignore_index}
        theirs = tm.classification.multiclass_jaccard_index(pred, true, average=None, **kwargs).numpy()
        worst = largest(worst, np.abs(np.nan_to_num(counts.iou()) - theirs).max())
        matrix = tm.classification.multiclass_confusion_matrix(pred, true, **kwargs).numpy()
        np.testing.assert_array_equal(counts.counts, matrix)
        accuracy = tm.classification.multiclass_accuracy(pred, true, average="micro", **kwargs).item()
        worst = largest(worst, abs(accuracy - counts.pixel_accuracy()))
        if ignore_index is None:
            f1 = tm.classification.multiclass_f1_score(pred, true, average=None, **kwargs).numpy()
            worst = largest(worst, np.abs(np.nan_to_num(counts.dice()) - f1).max())
    report(f"torchmetrics jaccard, confusion matrix, accuracy, F1 (ignore_index={ignore_index})", 20, worst)
    assert worst < 1e-6                                            # torchmetrics answers in float32


def test_confusion_scores_equal_smp():
    generator, worst = torch.Generator().manual_seed(1), 0.0
    for classes in (2, 5, 21):
        true, pred = torch.randint(0, classes, (2, 4, 32, 40), generator=generator)
        tp, fp, fn, tn = smp.metrics.get_stats(pred, true, mode="multiclass", num_classes=classes)
        counts = ConfusionMatrix(classes)
        counts.update(true, pred)
        theirs = smp.metrics.iou_score(tp.sum(0), fp.sum(0), fn.sum(0), tn.sum(0)).numpy()
        worst = largest(worst, np.abs(counts.iou() - theirs).max())
        np.testing.assert_array_equal(np.diag(counts.counts), tp.sum(0))
    report("smp.metrics.get_stats + iou_score", 3, worst)
    assert worst < 1e-6


def test_iou_and_dice_equal_their_definition_on_sets():
    rng, worst = np.random.default_rng(2), 0.0
    for _ in range(100):
        true, pred = rng.random((2, 6, 7)) < rng.random()
        X, Y = set(map(tuple, np.argwhere(true))), set(map(tuple, np.argwhere(pred)))
        if X | Y:
            worst = largest(worst, abs(iou(true, pred) - len(X & Y) / len(X | Y)),
                        abs(dice(true, pred) - 2 * len(X & Y) / (len(X) + len(Y))))
            assert dice(true, pred) == pytest.approx(2 * iou(true, pred) / (1 + iou(true, pred)), abs=1e-15)
    report("sets of pixels, IoU and Dice", 100, worst)
    assert worst < 1e-15


def test_rand_error_with_background_as_segment_equals_scikit_image():
    worst = 0.0
    for true, pred in pairs_of_label_maps(200):
        error, precision, recall = sk.adapted_rand_error(true, pred)
        mine = rand_scores(true, pred, background="segment")
        # scikit-image names them the other way round (its issue 6485)
        worst = largest(worst, *np.abs(np.subtract(mine, (error, recall, precision))))
    report("skimage.metrics.adapted_rand_error, predicted background = one segment", 200, worst)
    assert worst < 1e-14


def test_rand_error_with_singletons_equals_scikit_image_on_relabelled_background():
    worst = 0.0
    for true, pred in pairs_of_label_maps(200, seed=1):
        alone = np.where(pred == 0, pred.max() + 1 + np.arange(pred.size).reshape(pred.shape), pred)
        worst = largest(worst, abs(rand_error(true, pred) - sk.adapted_rand_error(true, alone)[0]))
    report("skimage.metrics.adapted_rand_error, every background pixel its own id", 200, worst)
    assert worst < 1e-14


def test_rand_error_counts_pairs_of_pixels():
    rng, worst = np.random.default_rng(3), 0.0
    for _ in range(40):
        true, pred = rng.integers(0, 4, (2, 4, 5))
        both = in_pred = in_true = 0
        for a, b in itertools.permutations(np.ndindex(true.shape), 2):
            if true[a] and true[b]:
                same_true, same_pred = true[a] == true[b], pred[a] == pred[b] != 0
                in_true, in_pred, both = in_true + same_true, in_pred + same_pred, both + (same_true and same_pred)
        worst = largest(worst, abs(rand_error(true, pred) - (1 - both / (0.5 * in_pred + 0.5 * in_true))))
    report("brute count of pixel pairs, Rand error", 40, worst)
    assert worst < 1e-14


def test_pure_split_and_pure_merge_land_in_their_own_score():
    one, two = np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]])
    split, merge = rand_scores(one, two), rand_scores(two, one)
    assert split.merge_score == 1 > split.split_score and merge.split_score == 1 > merge.merge_score
    assert variation_of_information(one, two) == (1.0, 0.0) and variation_of_information(two, one) == (0.0, 1.0)


def test_variation_of_information_equals_scikit_image():
    worst = 0.0
    for true, pred in pairs_of_label_maps(200, seed=2):
        theirs = sk.variation_of_information(true, pred, ignore_labels=(0,))
        worst = largest(worst, np.abs(np.array(variation_of_information(true, pred)) - theirs).max())
    report("skimage.metrics.variation_of_information", 200, worst)
    assert worst < 1e-13


def test_hausdorff_equals_scikit_image():
    rng, worst = np.random.default_rng(4), 0.0
    for _ in range(100):
        true, pred = rng.random((2, *rng.integers(1, 25, 2))) < rng.random() ** 3
        if true.any() and pred.any():
            worst = largest(worst, abs(hausdorff(true, pred) - sk.hausdorff_distance(true, pred)))
    report("skimage.metrics.hausdorff_distance", 100, worst)
    assert worst == 0


def test_boundary_f1_equals_brute_force():
    rng, worst = np.random.default_rng(5), 0.0

    def outline(mask):
        neighbours = ((-1, 0), (1, 0), (0, -1), (0, 1))
        inside = lambda y, x: 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
        return [(y, x) for y, x in np.argwhere(mask)
                if any(inside(y + dy, x + dx) and not mask[y + dy, x + dx] for dy, dx in neighbours)]

    for _ in range(60):
        true, pred = (ndimage.gaussian_filter(rng.random((2, 14, 17)), (0, 2, 2)) > 0.5)
        tolerance = rng.uniform(0, 0.15)
        a, b = outline(true), outline(pred)
        if not a or not b:
            continue
        distances = np.hypot(*(np.array(a)[:, None] - np.array(b)[None]).transpose(2, 0, 1))
        precision, recall = ((distances.min(axis) <= tolerance * np.hypot(14, 17)).mean() for axis in (0, 1))
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        worst = largest(worst, abs(boundary_f1(true, pred, tolerance=tolerance) - expected))
    report("brute-force boundary F1", 60, worst)
    assert worst < 1e-14


def test_trimap_iou_equals_brute_force():
    rng, worst = np.random.default_rng(6), 0.0
    for _ in range(40):
        true, pred = rng.integers(0, 3, (2, 9, 11))
        true = ndimage.median_filter(true, 5)
        radius = int(rng.integers(1, 4))
        touching = np.zeros(true.shape, bool)                         # pixels with an edge neighbour of another class
        for a, b in itertools.permutations(np.ndindex(true.shape), 2):
            touching[a] |= sum(map(abs, np.subtract(a, b))) == 1 and true[a] != true[b]
        near = np.array([[min((np.hypot(*np.subtract(p, q)) for q in np.argwhere(touching)), default=99) <= radius - 1
                          for p in np.ndindex(true.shape)]]).reshape(true.shape)
        expected = ConfusionMatrix(3)
        expected.update(np.where(near, true, 255), pred)
        np.testing.assert_array_equal(trimap_iou(true, pred, radius, num_classes=3), expected.iou())
    report("brute-force trimap", 40, worst)


def test_mask_iou_equals_pycocotools_and_dense_masks():
    mask = pytest.importorskip("pycocotools.mask")
    worst = 0.0
    for a, b in pairs_of_label_maps(60, seed=3):
        planes = [[(m == i).astype(np.uint8) for i in np.unique(m[m > 0])] for m in (a, b)]
        rle = [[mask.encode(np.asfortranarray(p)) for p in ps] for ps in planes]
        worst = largest(worst, np.abs(mask_iou(a, b) - mask.iou(*rle, [0] * len(rle[1]))).max())
        assert (mask_iou(a, b, sparse_output=True).toarray() == mask_iou(a, b)).all()
    report("pycocotools.mask.iou", 60, worst)
    assert worst < 1e-15


def test_object_f1_takes_the_largest_matching():
    from scipy.optimize import linear_sum_assignment

    for threshold in (0.1, 0.3, 0.5, 0.75):
        for true, pred in pairs_of_label_maps(40, seed=4):
            allowed = mask_iou(true, pred) > threshold
            rows, cols = linear_sum_assignment(allowed, maximize=True)
            assert object_f1(true, pred, threshold).tp == allowed[rows, cols].sum()
    report("scipy linear_sum_assignment, matched objects", 160, 0)


def test_calibration_error_equals_torchmetrics():
    generator, worst = torch.Generator().manual_seed(2), 0.0
    for bins in (1, 7, 15):
        for _ in range(10):
            prob = torch.rand(400, generator=generator) ** 3
            target = (torch.rand(400, generator=generator) < prob ** 0.7).long()
            theirs = tm.classification.binary_calibration_error(prob, target, n_bins=bins, norm="l1").item()
            worst = largest(worst, abs(calibration_error(prob, target, bins=bins) - theirs))
    report("torchmetrics binary_calibration_error", 30, worst)
    assert worst < 1e-6                                                # float32 there


def test_panoptic_quality_equals_torchmetrics():
    rng, worst = np.random.default_rng(7), 0.0
    things, stuffs, void, totals = {1, 2, 7}, {0, 4}, 9, np.zeros(3)
    for _ in range(40):
        count = int(rng.integers(1, 4))
        true, pred = [], []
        for _ in range(count):
            labels = [random_labels(rng, (20, 24), 8) for _ in range(2)]
            if rng.random() < 0.7:                                     # most predictions resemble the truth
                labels[1] = np.where(rng.random((20, 24)) < 0.15, labels[1], labels[0])
            classes = np.concatenate([[0], rng.choice([0, 1, 2, 4, 7, void], 45)])           # of each label
            true.append(np.stack([classes[labels[0]], labels[0]], -1))
            if rng.random() < 0.3:
                classes = rng.permutation(classes)
            classes[classes == void] = 1
            pred.append(np.stack([classes[labels[1]], labels[1]], -1))
        mine = panoptic_quality(np.stack(true), np.stack(pred), things, stuffs, void=void)
        to = lambda maps: torch.as_tensor(np.stack(maps))
        kwargs = {"allow_unknown_preds_category": True, "return_per_class": True, "return_sq_and_rq": True}
        theirs = tm.detection.panoptic_quality(to(pred), to(true), things, stuffs, **kwargs).double().numpy()
        # torchmetrics orders things first, then stuffs, and calls an absent class 0
        order = [mine.classes.index(c) for c in [*sorted(things), *sorted(stuffs)]]
        ours = np.stack([mine.pq_per_class, mine.sq_per_class, mine.rq_per_class], -1)[order]
        worst = largest(worst, np.abs(np.nan_to_num(ours) - np.nan_to_num(theirs)).max())
        totals += mine.tp.sum(), mine.fp.sum(), mine.fn.sum()
        mean = tm.detection.panoptic_quality(to(pred), to(true), things, stuffs, allow_unknown_preds_category=True)
        worst = largest(worst, abs(mine.pq - mean.item()))
    report("torchmetrics panoptic_quality with void in the truth", 40, worst)
    assert worst < 1e-6 and (totals > 0).all()


def neighbourhood(code):
    patch = np.zeros((3, 3), bool)
    for bit, (dy, dx) in enumerate(RING):
        patch[1 + dy, 1 + dx] = code >> bit & 1
    return patch


def topology(picture):
    padded = np.pad(picture, 1)
    return ndimage.label(padded)[1], ndimage.label(~padded, np.ones((3, 3)))[1]


def test_simple_points_are_those_whose_flip_never_changes_the_topology():
    """All 512 patches of 3x3 inside random pictures: components before and after the middle pixel flips."""
    rng, table = np.random.default_rng(8), simple_points()
    for code in range(256):
        changes = 0
        around = [np.zeros((9, 9), bool), np.ones((9, 9), bool), *(rng.random((30, 9, 9)) < rng.random((30, 1, 1)))]
        for picture in around:
            picture = picture.copy()
            picture[3:6, 3:6] = neighbourhood(code)
            off = topology(picture)
            picture[4, 4] = True
            changes += off != topology(picture)
        assert changes == 0 if table[code] else changes > 0, f"neighbourhood {code}\n{neighbourhood(code).astype(int)}"
    report("component counts of whole pictures, simple points", 512, 0)


def test_warp_keeps_the_topology_and_stops_only_when_nothing_simple_is_left():
    rng = np.random.default_rng(9)
    for case in range(30):
        true, pred = (ndimage.gaussian_filter(rng.random((2, 40, 50)), (0, 2, 2)) > 0.5)
        mask = rng.random((40, 50)) < 0.8 if case % 2 else None
        warped = warp(true, pred, mask)
        assert topology(warped) == topology(true)
        kept = (warped == true) | (warped == pred) & (True if mask is None else mask)
        assert kept.all()
        assert warping_error(true, pred, mask) == (warped != pred).mean() <= (true != pred).mean()
        table, padded = simple_points(), np.pad(warped, 1)
        for y, x in np.argwhere((warped != pred) & (True if mask is None else mask)):
            code = sum(int(padded[y + 1 + dy, x + 1 + dx]) << bit for bit, (dy, dx) in enumerate(RING))
            assert not table[code], "a simple pixel was left unflipped"
    report("topology of the warped truth, and no simple pixel left", 30, 0)


def test_ids_are_names():
    for true, pred in pairs_of_label_maps(20, seed=5):
        ids = np.unique(pred)
        renamed = map_array(pred, ids, np.where(ids > 0, np.random.default_rng(0).permutation(10**6)[:len(ids)] + 1, 0))
        assert rand_error(true, pred) == pytest.approx(rand_error(true, renamed), abs=1e-15)
        assert object_f1(true, pred) == object_f1(true, renamed)
        assert sorted(mask_iou(true, pred).sum(0)) == sorted(mask_iou(true, renamed).sum(0))
