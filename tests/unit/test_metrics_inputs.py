"""Bad input never yields a number: TypeError or ValueError that names the argument."""

import numpy as np
import pytest
import torch

from seglab.metrics import (
    COCOEvaluator,
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
    rand_scores,
    trimap_iou,
    variation_of_information,
    warp,
    warping_error,
)

GOOD = np.array([[0, 1], [1, 0]])
trimap = lambda true, pred: trimap_iou(true, pred, 1)
confusion = lambda true, pred: ConfusionMatrix(2).update(true, pred)
CLASS_MAPS = [iou, dice, pixel_accuracy, pixel_error, boundary_f1, trimap, confusion]
LABEL_MAPS = [rand_error, rand_scores, variation_of_information, information_score, object_f1, merges_and_splits,
              mask_iou, joint_counts]
MASKS = [warping_error, warp, hausdorff]
EVERY = CLASS_MAPS + LABEL_MAPS + MASKS


@pytest.mark.parametrize("metric", MASKS)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("bad", [GOOD * 0.5, GOOD * 2, GOOD * np.nan, -GOOD])
def test_masks_are_of_0_and_1(metric, side, bad):
    assert metric(GOOD, GOOD * 1.0) is not None                   # 0. and 1. are
    with pytest.raises(ValueError, match=f"^{('true', 'pred')[side]} must be a binary mask"):
        metric(*((bad, GOOD) if side == 0 else (GOOD, bad)))


@pytest.mark.parametrize("metric", CLASS_MAPS + LABEL_MAPS)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("bad", [
    GOOD.astype(float),                                           # probabilities, or labels read as float
    torch.rand(2, 2), torch.rand(2, 2, dtype=torch.bfloat16), np.full((2, 2), np.nan),
])
def test_floats_are_no_labels(metric, side, bad):
    with pytest.raises(TypeError, match=r"^(true|pred|labels_\w+) must hold integers, got"):
        metric(*((bad, GOOD) if side == 0 else (GOOD, bad)))


@pytest.mark.parametrize("metric", EVERY)
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("bad, error", [
    (None, TypeError),
    ([[0, 1], [1]], TypeError),
    (np.zeros((2, 2, 2, 2), int), ValueError),
    (np.zeros(4, int), ValueError),
    (np.zeros((0, 2), int), ValueError),
    (np.zeros((2, 3), int), ValueError),
])
def test_wrong_kind_or_shape(metric, side, bad, error):
    with pytest.raises(error, match=r"(true|pred|labels_\w+)(\[| )"):
        metric(*((bad, GOOD) if side == 0 else (GOOD, bad)))


@pytest.mark.parametrize("metric", LABEL_MAPS + MASKS + [boundary_f1, trimap])
def test_pictures_one_at_a_time(metric):
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        metric(np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), int))


@pytest.mark.parametrize("metric", LABEL_MAPS)
def test_negative_ids(metric):
    with pytest.raises(ValueError, match=r"labels_\w+ must hold object ids >= 0 .* got -1"):
        metric(GOOD, -GOOD)


@pytest.mark.parametrize("metric", [iou, dice, boundary_f1, trimap, confusion])
def test_class_ids_out_of_range(metric):
    for bad in (2, -1):
        with pytest.raises(ValueError, match=rf"pred must hold class ids 0..1, got .*{bad}"):
            metric(GOOD, np.where(GOOD, bad, 0))
        with pytest.raises(ValueError, match="true must hold class ids 0..1 or ignore_index=255"):
            metric(np.where(GOOD, bad, 0), GOOD)
    with pytest.raises(ValueError, match="pred must hold class ids"):         # void is no prediction
        metric(GOOD, np.where(GOOD, 255, 0))


@pytest.mark.parametrize("metric", MASKS)
def test_label_maps_where_masks_belong(metric):
    with pytest.raises(ValueError, match="true must be a binary mask .* got values 0..2"):
        metric(2 * GOOD, GOOD)


def test_parameters():
    for bad, error in ((1, ValueError), (0, ValueError), (2.5, TypeError), ("3", TypeError)):
        with pytest.raises(error, match="num_classes"):
            ConfusionMatrix(bad)
    with pytest.raises(TypeError, match="ignore_index"):
        ConfusionMatrix(3, ignore_index="void")
    with pytest.raises(ValueError, match="other must count 3 classes"):
        ConfusionMatrix(3) + ConfusionMatrix(4)
    for bad in (1, 1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match="iou"):
            object_f1(GOOD, GOOD, bad)
    with pytest.raises(ValueError, match="background"):
        rand_error(GOOD, GOOD, background="ignore")
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match="tolerance"):
            boundary_f1(GOOD, GOOD, tolerance=bad)
        with pytest.raises(ValueError, match="radius"):
            trimap_iou(GOOD, GOOD, bad)
        with pytest.raises(ValueError, match="percentile"):
            hausdorff(GOOD, GOOD, bad)
    with pytest.raises(ValueError, match=r"mask must have shape \(2, 2\), got \(3, 3\)"):
        warping_error(GOOD, GOOD, np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="^mask must be a binary mask"):
        warping_error(GOOD, GOOD, np.full((2, 2), 0.5))


@pytest.mark.parametrize("prob, target, options, error, names", [
    (GOOD, GOOD, {}, TypeError, "prob"),
    (GOOD * 1.0, GOOD * 1.0, {}, TypeError, "target"),
    (GOOD * 1.0, GOOD[:1], {}, ValueError, "target"),
    (GOOD * 4.0, GOOD, {}, ValueError, "sigmoid"),
    (GOOD * np.nan, GOOD, {}, ValueError, "prob"),
    (GOOD * 1.0, GOOD * 2, {}, ValueError, "target"),
    (GOOD * 1.0, -GOOD, {}, ValueError, "target"),
    (np.zeros((0, 2)), np.zeros((0, 2), int), {}, ValueError, "prob"),
    (GOOD * 1.0, GOOD, {"bins": 0}, ValueError, "bins"),
    (GOOD * 1.0, GOOD, {"bins": 2.5}, TypeError, "bins"),
])
def test_calibration(prob, target, options, error, names):
    with pytest.raises(error, match=names):
        calibration_error(prob, target, **options)


PANOPTIC = np.zeros((2, 2, 2), int)


@pytest.mark.parametrize("true, pred, error, names", [
    (PANOPTIC[..., 0], PANOPTIC, ValueError, "true"),
    (PANOPTIC, PANOPTIC * 1.0, TypeError, "pred"),
    (PANOPTIC, PANOPTIC[:1], ValueError, "pred"),
    (PANOPTIC, PANOPTIC - 1, ValueError, "pred"),
    (PANOPTIC + 9, PANOPTIC, ValueError, "true must hold class ids"),
    ([PANOPTIC], [PANOPTIC, PANOPTIC], ValueError, "pred"),
    (None, PANOPTIC, TypeError, "true"),
])
def test_panoptic(true, pred, error, names):
    with pytest.raises(error, match=names):
        panoptic_quality(true, pred, things={1}, stuffs={0})


@pytest.mark.parametrize("things, stuffs", [(set(), set()), ({1}, {1}), ({255}, {0}), ({-1}, {0})])
def test_panoptic_classes(things, stuffs):
    with pytest.raises(ValueError, match="things"):
        panoptic_quality(PANOPTIC, PANOPTIC, things, stuffs)


BOXES = np.array([[0.0, 0.0, 4.0, 4.0]])
FOUND = {"boxes": BOXES, "scores": np.array([0.5])}


@pytest.mark.parametrize("truth, found, error, names", [
    (BOXES, FOUND, TypeError, "truth must be a dictionary"),
    ({"bbox": BOXES}, FOUND, ValueError, "truth must have keys"),
    ({}, FOUND, ValueError, "truth must hold 'boxes'"),
    ({"boxes": BOXES}, {"boxes": BOXES}, ValueError, "detections must hold 'scores'"),
    ({"boxes": BOXES[:, :3]}, FOUND, ValueError, r"truth\['boxes'\]"),
    ({"boxes": BOXES * np.nan}, FOUND, ValueError, r"truth\['boxes'\]"),
    ({"boxes": -BOXES}, FOUND, ValueError, r"truth\['boxes'\]"),
    ({"boxes": None}, FOUND, TypeError, r"truth\['boxes'\]"),
    ({"boxes": BOXES, "classes": np.array([1, 2])}, FOUND, ValueError, r"truth\['classes'\]"),
    ({"boxes": BOXES, "classes": np.array([1.5])}, FOUND, TypeError, r"truth\['classes'\]"),
    ({"boxes": BOXES}, FOUND | {"scores": np.array([np.nan])}, ValueError, r"detections\['scores'\]"),
    ({"boxes": BOXES}, FOUND | {"scores": np.zeros((1, 1))}, ValueError, r"detections\['scores'\]"),
    ({"masks": np.ones((2, 3, 3), bool), "boxes": BOXES}, FOUND, ValueError, r"truth\['boxes'\] must hold one box"),
    ({"masks": np.full((1, 3, 3), 0.7)}, FOUND, ValueError, r"truth\['masks'\] must hold 0 and 1.* only detections"),
    ({"masks": np.full((1, 3, 3), np.nan)}, FOUND, ValueError, r"truth\['masks'\]"),
    ({"masks": np.full((1, 3, 3), 255, np.uint8)}, FOUND, ValueError, r"truth\['masks'\] .*divide by 255"),
    ({"masks": np.ones((1, 2, 3, 3), bool)}, FOUND, ValueError, r"truth\['masks'\].*\(N, 1, H, W\)"),
    ({"boxes": BOXES}, FOUND | {"masks": np.full((1, 3, 3), 1.5)}, ValueError, r"detections\['masks'\]"),
    ({"boxes": BOXES, "classes": np.ones(1, int), "labels": np.ones(1, int)}, FOUND, ValueError,
     "either 'classes' or 'labels'"),
    ({"boxes": BOXES, "crowd": np.ones(1, int), "iscrowd": np.ones(1, int)}, FOUND, ValueError,
     "either 'crowd' or 'iscrowd'"),
    ({"masks": np.full((1, 3, 3), 2)}, FOUND, ValueError, r"truth\['masks'\]"),
    ({"masks": np.ones((3, 3), bool)}, FOUND, ValueError, r"truth\['masks'\]"),
    ({"masks": np.ones((1, 3, 3), bool), "instances": GOOD}, FOUND, ValueError, "either 'masks' or 'instances'"),
    ({"instances": -GOOD}, FOUND, ValueError, r"truth\['instances'\]"),
    ({"instances": GOOD * 1.0}, FOUND, TypeError, r"truth\['instances'\]"),
])
def test_coco(truth, found, error, names):
    with pytest.raises(error, match=names):
        COCOEvaluator("bbox").update(truth, found)


def test_coco_parameters():
    with pytest.raises(ValueError, match="iou_type"):
        COCOEvaluator("masks")
    for bad in ((1, 10), (10, 1, 100), (0, 1, 2), (1, 1, 2)):
        with pytest.raises(ValueError, match="max_detections"):
            COCOEvaluator(max_detections=bad)
    with pytest.raises(ValueError, match="'masks' or 'instances'"):
        COCOEvaluator("segm").update({"boxes": BOXES}, FOUND)


def test_coco_without_truth_or_detections():
    """Documented values and no exception, where `loadRes([])` of pycocotools raises."""
    nothing = {"boxes": np.zeros((0, 4)), "scores": np.zeros(0)}
    evaluator = COCOEvaluator("bbox")
    assert set(evaluator.compute().values()) == {-1.0}
    evaluator.update({"boxes": np.array([])}, nothing)
    evaluator.update({"boxes": np.zeros((0, 4))}, FOUND)
    assert set(evaluator.compute().values()) == {-1.0}            # no truth at all
    evaluator.update({"boxes": BOXES}, nothing)
    stats = evaluator.compute()
    assert stats["AP"] == stats["AR100"] == stats["APs"] == 0.0 and stats["APl"] == -1.0
    masks = COCOEvaluator("segm")
    masks.update({"instances": GOOD * 0}, {"masks": np.zeros((0, 2, 2), bool), "scores": np.zeros(0)})
    masks.update({"masks": np.zeros((1, 2, 2), bool)}, {"masks": np.zeros((1, 2, 2), bool), "scores": np.ones(1)})
    assert masks.compute()["AP"] == 0.0                           # a mask without a pixel is never found
