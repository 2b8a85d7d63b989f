"""The COCO evaluator against pycocotools: twelve numbers, boxes and masks, and where pycocotools is wrong."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seglab.metrics import COCOEvaluator

NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def ellipse(rng, size, largest):
    y, x = np.mgrid[:size, :size]
    r = rng.uniform(2, largest, 2)
    cy, cx = rng.uniform(0, size, 2)
    mask = ((y - cy) / r[0]) ** 2 + ((x - cx) / r[1]) ** 2 <= 1
    mask[int(np.clip(cy, 0, size - 1)), int(np.clip(cx, 0, size - 1))] = True
    return mask


def box_of(mask):
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [cols[0], rows[0], cols[-1] + 1, rows[-1] + 1]


def scene(rng, size=200, objects=8, detections=12, classes=3, levels=5):
    """One picture: truth with crowds; detections that are shifted copies, doubles and inventions; tied scores."""
    masks = [ellipse(rng, size, rng.choice([8, 40, 90])) for _ in range(objects)]
    truth = {"masks": np.array(masks).reshape(-1, size, size), "classes": rng.integers(1, classes + 1, objects),
             "crowd": rng.random(objects) < 0.15, "boxes": np.array([box_of(m) for m in masks], float).reshape(-1, 4)}
    found, labels = [], []
    for _ in range(detections):
        if objects and rng.random() < 0.8:
            k = rng.integers(objects)
            found.append(np.roll(masks[k], rng.integers(-3, 4, 2), (0, 1)) & (rng.random((size, size)) < 0.97))
            labels.append(truth["classes"][k] if rng.random() < 0.9 else rng.integers(1, classes + 2))
            if not found[-1].any():
                found[-1] = masks[k]
        else:
            found.append(ellipse(rng, size, 40))
            labels.append(rng.integers(1, classes + 1))
    boxes = np.array([box_of(m) for m in found], float).reshape(-1, 4)
    boxes += rng.uniform(0, 1, boxes.shape) * [-1, -1, 1, 1]
    return truth, {"masks": np.array(found).reshape(-1, size, size), "classes": np.array(labels, int), "boxes": boxes,
                   "scores": rng.integers(0, levels, detections) / levels}


def pycocotools_stats(pictures, iou_type, classes, areas="mask"):
    """The twelve numbers from the reference, fed with the same objects in its own form."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = pycocotools_evaluation(pictures, iou_type, classes, areas)
        evaluation.summarize()
    return evaluation.stats


def pycocotools_evaluation(pictures, iou_type, classes, areas="mask", limits=None):
    """The reference's evaluation, accumulated; `limits` in place of 1, 10, 100 detections."""
    truth = {"images": [], "annotations": [], "categories": [{"id": int(c)} for c in classes]}
    results = []
    for image_id, (t, d) in enumerate(pictures, 1):
        truth["images"].append({"id": image_id, "height": 1, "width": 1})
        for i in range(len(t["classes"])):
            x1, y1, x2, y2 = t["boxes"][i]
            area = float(t["masks"][i].sum()) if areas == "mask" else (x2 - x1) * (y2 - y1)
            truth["annotations"].append({
                "id": len(truth["annotations"]) + 1, "image_id": image_id, "category_id": int(t["classes"][i]),
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": int(t["crowd"][i]),
                "segmentation": rle.encode(np.asfortranarray(t["masks"][i].astype(np.uint8)))})
        for i in range(len(d["classes"])):
            x1, y1, x2, y2 = d["boxes"][i]
            form = ({"segmentation": rle.encode(np.asfortranarray(d["masks"][i].astype(np.uint8)))}
                    if iou_type == "segm" else {"bbox": [x1, y1, x2 - x1, y2 - y1]})
            results.append({"image_id": image_id, "category_id": int(d["classes"][i]), "score": float(d["scores"][i]),
                            **form})
    with contextlib.redirect_stdout(io.StringIO()):
        reference = COCO()
        reference.dataset = truth
        reference.createIndex()
        evaluation = COCOeval(reference, reference.loadRes(results), iou_type)
        if limits:
            evaluation.params.maxDets = limits
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def mine(pictures, iou_type, **options):
    evaluator = COCOEvaluator(iou_type, **options)
    for truth, detections in pictures:
        evaluator.update(truth, detections)
    stats = evaluator.compute()
    assert list(stats) == NAMES
    return np.array(list(stats.values()))


CASES = {                                                # options of each picture
    "typical": [{}] * 8,
    "ties: three different scores": [{"levels": 3}] * 8,
    "one class": [{"classes": 1}] * 6,
    "no detections in some pictures": [{"detections": 0}, {}] * 4,
    "no truth in some pictures": [{"objects": 0}, {}, {"objects": 0, "detections": 0}] * 3,
    "more than 100 detections": [{"objects": 12, "detections": 140, "classes": 1}],
    "small pictures, small objects": [{"size": 40}] * 8,
    "one object": [{"objects": 1, "detections": 1}] * 2,
}


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
@pytest.mark.parametrize("name", CASES)
def test_twelve_numbers_equal_pycocotools(name, iou_type):
    worst, repeats, best = 0.0, 3, 0.0
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        pictures = [scene(rng, **options) for options in CASES[name]]
        theirs = pycocotools_stats(pictures, iou_type, range(1, 5))
        worst = float(np.max([worst, np.abs(mine(pictures, iou_type) - theirs).max()]))
        best = max(best, theirs[0])
    assert best > 0, "a test in which nothing matches proves nothing"
    print(f"pycocotools {iou_type}, {name}: {repeats} cases, worst difference {worst:.3g}")
    assert worst < 1e-12


def test_instances_and_masks_give_the_same_numbers():
    rng = np.random.default_rng(0)
    labels = np.arange(1, 17).reshape(4, 4).repeat(20, 0).repeat(20, 1) * (rng.random((80, 80)) < 0.9)
    ids = np.unique(labels[labels > 0])
    masks = labels == ids[:, None, None]
    scores = rng.random(len(ids))
    moved = np.roll(labels, 2, 1)
    forms = [({"masks": masks}, {"masks": moved == ids[:, None, None], "scores": scores}),
             ({"instances": labels * 7}, {"instances": moved, "scores": scores})]
    results = [mine([form], kind) for form in forms for kind in ("segm", "bbox")]
    np.testing.assert_array_equal(results[0], results[2])
    np.testing.assert_array_equal(results[1], results[3])
    assert 0 < results[0][0] < 1


def perfect(count, size=20):
    """`count` one-pixel-high objects in one picture, all found."""
    boxes = np.array([[0, i, size, i + 1] for i in range(count)], float)
    return {"boxes": boxes}, {"boxes": boxes, "scores": np.linspace(1, 0.5, count)}


def test_more_than_100_objects_never_score_1_unless_told_to():
    picture = perfect(300)
    truth, detections = picture
    reference_form = ({**truth, "masks": np.ones((300, 1, 1)), "classes": np.ones(300, int), "crowd": np.zeros(300)},
                      {**detections, "masks": np.ones((300, 1, 1)), "classes": np.ones(300, int)})
    theirs = pycocotools_stats([reference_form], "bbox", [1], areas="box")
    compatible, sane = mine([picture], "bbox"), mine([picture], "bbox", compatible=False)
    assert np.abs(compatible - theirs).max() < 1e-12
    assert compatible[0] == pytest.approx(0.337, abs=1e-3) and sane[0] == pytest.approx(1)


@pytest.mark.parametrize("iou_type", ["segm", "bbox"])
def test_a_crowded_picture_with_the_limit_lifted(iou_type):
    """Hundreds of objects that overlap each other: every precision and recall, since its summary knows 100 only."""
    pictures = [scene(np.random.default_rng(seed), size=120, objects=150, detections=300, classes=2, levels=40)
                for seed in range(2)]
    evaluator = COCOEvaluator(iou_type, max_detections=(1, 10, 400))
    for truth, detections in pictures:
        evaluator.update(truth, detections)
    classes, precision, recall = evaluator.curves()
    theirs = pycocotools_evaluation(pictures, iou_type, classes, limits=[1, 10, 400]).eval
    assert 0.1 < recall[0, 0, 0, 2] < 1
    np.testing.assert_allclose(precision, theirs["precision"], atol=1e-12)
    np.testing.assert_allclose(recall, theirs["recall"], atol=1e-12)


def test_an_ignored_truth_that_is_no_crowd():
    """cocoapi issue 466: 'ignore' is overwritten by 'iscrowd'; here a missed ignored truth costs recall only there."""
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], float)
    truth = {"boxes": boxes, "ignore": np.array([False, True])}
    detections = {"boxes": boxes[:1], "scores": np.array([0.9])}
    assert mine([(truth, detections)], "bbox")[8] == 0.5
    assert mine([(truth, detections)], "bbox", compatible=False)[8] == 1.0
    both = {"boxes": boxes, "scores": np.array([0.9, 0.8])}
    assert mine([(truth, both)], "bbox", compatible=False)[0] == pytest.approx(1)      # finding it costs nothing


def test_other_limits_than_pycocotools_knows():
    """pycocotools gives AP = -1 for every other set of three limits; AP should not depend on the two lower ones."""
    rng = np.random.default_rng(1)
    pictures = [scene(rng) for _ in range(3)]
    other, usual = mine(pictures, "bbox", max_detections=(2, 5, 100)), mine(pictures, "bbox")
    np.testing.assert_array_equal(other[:6], usual[:6])
    assert usual[6] < other[6] < usual[8]
