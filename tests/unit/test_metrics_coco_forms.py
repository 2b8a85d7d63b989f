"""The COCO evaluator takes what detectors return and data sets hold, and compares only objects that meet."""

import time

import numpy as np
import pytest
import torch

from seglab import models as m
from seglab.data import Sample
from seglab.metrics import COCOEvaluator
from seglab.metrics.coco_objects import overlapping, read_objects


def stats(truth, detections, kind="segm", **options):
    evaluator = COCOEvaluator(kind, **options)
    evaluator.update(truth, detections)
    return list(evaluator.compute().values())


def scene(count=12, size=60, seed=0):
    """Rectangles that overlap, and copies of them moved by a pixel."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, size - 30, (count, 2))
    boxes = np.concatenate([low, low + rng.integers(3, 28, (count, 2))], 1)
    masks = np.zeros((2, count, size, size), bool)
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        masks[0, k, y1:y2, x1:x2] = masks[1, k, y1 + 1:y2 + 1, x1:x2] = True
    return boxes.astype(float), masks, rng.integers(1, 3, count), rng.random(count)


BOXES, (MASKS, MOVED), CLASSES, SCORES = scene()
CROWD = np.arange(12) % 5 == 0
TRUTH = {"masks": MASKS, "classes": CLASSES, "crowd": CROWD, "boxes": BOXES}
FOUND = {"masks": MOVED, "classes": CLASSES, "scores": SCORES, "boxes": BOXES + [0, 1, 0, 1]}


@pytest.mark.parametrize("kind", ["segm", "bbox"])
def test_what_torchvision_s_and_the_course_s_detectors_return(kind):
    expected = stats(TRUTH, FOUND, kind)
    assert 0 < expected[0] < 1
    tensors = {name: torch.from_numpy(value) for name, value in FOUND.items()}
    probability = torch.where(tensors["masks"], 0.51, 0.5)[:, None]         # inside is above 1/2
    detections = {"boxes": tensors["boxes"].float(), "labels": tensors["classes"], "scores": tensors["scores"],
                  "masks": probability.requires_grad_()}
    target = {"boxes": torch.from_numpy(BOXES), "labels": torch.from_numpy(CLASSES), "image_id": 7,
              "masks": torch.from_numpy(MASKS).to(torch.uint8), "iscrowd": torch.from_numpy(CROWD).long(),
              "area": torch.from_numpy(MASKS.sum((1, 2)))}
    np.testing.assert_allclose(stats(target, detections, kind), expected)
    np.testing.assert_allclose(stats(TRUTH, detections | {"masks": tensors["masks"].double()}, kind), expected)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda m: m.transpose(2, 1, 0).copy().transpose(2, 1, 0),
                                    lambda m: m[:, ::-1].copy()[:, ::-1], lambda m: m.tolist()])
def test_masks_of_every_layout(layout):
    assert stats(TRUTH | {"masks": layout(MASKS)}, FOUND | {"masks": layout(MOVED)}) == stats(TRUTH, FOUND)


def test_a_sample_with_whole_overlapping_masks_and_crowds_goes_in_as_it_is():
    boxes = torch.from_numpy(BOXES).float()
    sample = Sample(torch.zeros(3, 60, 60), torch.zeros(60, 60, dtype=torch.int64), masks=torch.from_numpy(MASKS),
                    mask_classes=torch.from_numpy(CLASSES), mask_boxes=boxes, crowd=torch.from_numpy(CROWD))
    for kind in ("segm", "bbox"):
        assert stats(sample.truth(), FOUND, kind) == stats(TRUTH, FOUND, kind)
    assert stats(sample.truth(), FOUND) != stats({**sample.truth(), "crowd": CROWD & False}, FOUND)


def test_an_untrained_detector_of_the_course_goes_in_as_it_is():
    torch.manual_seed(0)
    backbone = m.ResNetFPN(m.ResNet(m.BasicBlock, (1, 1, 1, 1), width=8), 16, levels=(0, 1, 2))
    model = m.MaskRCNN(backbone, 4, min_size=64, max_size=64, anchor_sizes=((12,), (24,), (48,), (60,)),
                       box_head=m.TwoMLPHead(16 * 7 * 7, 16), mask_head=m.MaskHead(16, (16,)),
                       mask_predictor=m.MaskPredictor(16, 16, 4), box_score_thresh=0.0).eval()
    with torch.no_grad():
        found = model([torch.rand(3, 60, 60)])[0]
    assert len(found["scores"]) and found["masks"].shape[1:] == (1, 60, 60)
    for kind in ("segm", "bbox"):
        assert stats({"boxes": BOXES, "labels": CLASSES, "masks": MASKS}, found, kind)[0] >= 0


def test_pictures_of_two_sizes():
    small = {"instances": np.ones((8, 8), int)}
    for large in ({"masks": np.ones((1, 16, 16), bool)}, {"instances": np.ones((16, 16), int)},
                  {"masks": torch.rand(1, 1, 16, 16)}):
        with pytest.raises(ValueError, match=r"detections must be made in a picture of the truth's size, .*\(8, 8\), "
                                             r"got \(16, 16\)"):
            stats(small, {**large, "scores": [0.5]})
    none = np.zeros((0, 16, 16), bool)
    with pytest.raises(ValueError, match="size"):
        stats(small, {"masks": none, "scores": []})
    assert stats(small, {"masks": [], "scores": []})[0] == 0


@pytest.mark.parametrize("kind", ["segm", "bbox"])
@pytest.mark.parametrize("count, seed", [(0, 0), (1, 1), (40, 2), (300, 3), (600, 4)])
def test_pairs_are_those_of_the_full_matrix(kind, count, seed):
    """Brute force: every pair, every pixel."""
    size = 48
    boxes, (masks, moved), _, scores = scene(count, size, seed)
    boxes[::7, 2:] = boxes[::7, :2]                                            # boxes without area
    masks[::9] = False
    rng = np.random.default_rng(seed)
    crowd = rng.random(count) < 0.2
    shifted = boxes + rng.uniform(-1, 1, (count, 1))
    truth = read_objects({"masks": masks, "boxes": boxes, "crowd": crowd}, "truth", kind, False)
    found = read_objects({"masks": moved, "boxes": shifted, "scores": scores}, "detections", kind, True)
    if kind == "segm":
        a, b = (side.reshape(count, size * size).astype(float) for side in (moved, masks))
        inter, size_a, size_b = a @ b.T, a.sum(1), b.sum(1)
    else:
        low, high = np.maximum(shifted[:, None, :2], boxes[:, :2]), np.minimum(shifted[:, None, 2:], boxes[:, 2:])
        inter = np.clip(high - low, 0, None).prod(-1)
        size_a, size_b = ((b[:, 2:] - b[:, :2]).prod(1) for b in (shifted, boxes))
    union = np.where(crowd, size_a[:, None], size_a[:, None] + size_b - inter)
    iou = np.divide(inter, union, out=np.zeros_like(inter), where=inter > 0)
    for threshold in (1e-9, 0.5):
        d, g, value = overlapping(found, truth, kind, threshold)
        np.testing.assert_array_equal(np.stack([d, g], 1), np.argwhere(iou >= threshold))
        np.testing.assert_allclose(value, iou[d, g], rtol=1e-12)


def test_ten_thousand_objects_in_one_picture():
    """The full matrix took 27 to 41 s and 6 GB here; the bound is loose, for a slow machine."""
    labels = np.kron(np.arange(1, 10001).reshape(100, 100), np.pad(np.ones((8, 8), int), 1))
    rows, columns = np.divmod(np.arange(10000), 100)
    boxes = np.stack([columns * 10 + 1, rows * 10 + 1, columns * 10 + 9, rows * 10 + 9], 1).astype(float)
    scores = np.linspace(1, 0.1, 10000)
    start = time.perf_counter()
    for kind, truth, found in (("segm", {"instances": labels}, {"instances": np.roll(labels, (1, 1), (0, 1))}),
                               ("bbox", {"boxes": boxes}, {"boxes": boxes + 1})):
        result = stats(truth, found | {"scores": scores}, kind, compatible=False)
        assert result[0] == pytest.approx(0.3)                                # IoU 49 / 79: right at 3 of 10 thresholds
    assert time.perf_counter() - start < 20
