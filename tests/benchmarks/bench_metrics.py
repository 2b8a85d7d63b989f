"""Metrics against pycocotools, segmentation_models_pytorch, scikit-image and plain loops."""

import contextlib
import io

import numpy as np
import segmentation_models_pytorch as smp
import torch
from bench_weight_map import discs
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy import ndimage
from skimage.metrics import adapted_rand_error
from stopwatch import timed

from seglab.metrics import COCOEvaluator, ConfusionMatrix, mask_iou, rand_error, warping_error
from seglab.metrics.warping_error import RING, simple_points


def mask_iou_matrix(encoded_before):
    """IoU of 256 x 256 objects of two label maps; the rival needs them as run lengths first."""
    labels = discs(256, 512)
    moved = np.roll(labels, (8, 8), (0, 1))

    def encode():
        return [[rle.encode(np.asfortranarray(m == i).view(np.uint8)) for i in range(1, 257)] for m in (labels, moved)]

    runs = encode()
    reference = lambda: rle.iou(*(runs if encoded_before else encode()), [0] * 256)
    theirs, expected = timed(reference, repeats=15 if encoded_before else 3)
    ours, mine = timed(mask_iou, labels, moved, repeats=15)
    given = "run lengths at hand" if encoded_before else "with its encoding"
    return dict(name="mask IoU, 256 x 256 objects, 512x512", rival=f"pycocotools, {given}", ours=ours, theirs=theirs,
                difference=float(np.abs(mine - expected).max()), tolerance=1e-15,
                limit=None if encoded_before else 0.05)


def confusion_counts():
    """Full 21 x 21 matrix against the rival's TP, FP, FN, TN."""
    generator = torch.Generator().manual_seed(0)
    true, pred = torch.randint(0, 21, (2, 8, 512, 512), generator=generator)

    def count():
        matrix = ConfusionMatrix(21)
        matrix.update(true, pred)
        return matrix.counts

    ours, mine = timed(count, repeats=15)
    theirs, stats = timed(lambda: smp.metrics.get_stats(pred, true, mode="multiclass", num_classes=21), repeats=7)
    tp, fp, fn, _ = (s.sum(0).numpy() for s in stats)
    difference = max(np.abs(np.diag(mine) - tp).max(), np.abs(mine.sum(0) - np.diag(mine) - fp).max(),
                     np.abs(mine.sum(1) - np.diag(mine) - fn).max())
    return dict(name="confusion counts, 8x512x512, 21 classes", rival="smp get_stats", ours=ours, theirs=theirs,
                difference=float(difference), tolerance=0.0, limit=1.0)


def rand():
    """Two label maps of 256 objects; predicted background as scikit-image has it."""
    true = discs(256, 512)
    pred = np.roll(true, (8, 8), (0, 1))
    ours, mine = timed(lambda: rand_error(true, pred, background="segment"), repeats=15)
    theirs, reference = timed(lambda: adapted_rand_error(true, pred)[0], repeats=7)
    return dict(name="Rand error, 256 objects, 512x512", rival="scikit-image", ours=ours, theirs=theirs,
                difference=abs(mine - reference), tolerance=1e-14, limit=1.0)


def pictures(count=60, size=256, classes=5, seed=0):
    """Ellipses of all sizes, and detections that are moved copies of them."""
    rng, found = np.random.default_rng(seed), []
    y, x = np.mgrid[:size, :size]
    ellipse = lambda c, r: ((y - c[0]) / r[0]) ** 2 + ((x - c[1]) / r[1]) ** 2 <= 1
    for _ in range(count):
        centre, radius = rng.uniform(20, size - 20, (10, 2)), rng.uniform(4, 60, (10, 2))
        copies = rng.integers(0, 10, 15)                               # which truth each detection resembles
        true = np.array([ellipse(c, r) for c, r in zip(centre, radius)])
        pred = np.array([ellipse(centre[k] + rng.normal(0, 2, 2), radius[k] * rng.uniform(0.8, 1.2)) for k in copies])
        kinds = rng.integers(1, classes + 1, 10)
        found.append(({"masks": true, "classes": kinds},
                      {"masks": pred, "classes": kinds[copies], "scores": rng.random(15)}))
    return found


def average_precision(iou_type):
    """From boolean masks (segm) or boxes to the twelve numbers: encoding and indexing belong to it, for both."""
    scenes = pictures()
    corners = lambda mask: (*np.argwhere(mask).min(0)[::-1], *np.argwhere(mask).max(0)[::-1] + 1)
    boxes = [[np.array([corners(m) for m in side["masks"]], float) for side in scene] for scene in scenes]
    areas = [truth["masks"].sum((1, 2)) for truth, _ in scenes]

    def mine():
        evaluator = COCOEvaluator(iou_type)
        for i, (truth, found) in enumerate(scenes):
            if iou_type == "bbox":
                truth = {"boxes": boxes[i][0], "classes": truth["classes"], "area": areas[i]}
                found = {"boxes": boxes[i][1], "classes": found["classes"], "scores": found["scores"]}
            evaluator.update(truth, found)
        return np.array(list(evaluator.compute().values()))

    def entries(i, side):
        """The objects of one side of one picture in the rival's form."""
        objects = scenes[i][side]
        if iou_type == "segm":
            planes = np.asfortranarray(objects["masks"].transpose(1, 2, 0).astype(np.uint8))
            shapes = [{"segmentation": runs} for runs in rle.encode(planes)]
        else:
            shapes = [{"bbox": [x1, y1, x2 - x1, y2 - y1]} for x1, y1, x2, y2 in boxes[i][side].tolist()]
        extras = ([{"score": s} for s in objects["scores"].tolist()] if side else
                  [{"iscrowd": 0, "area": a} for a in areas[i].tolist()])
        return [{"image_id": i, "category_id": c} | shape | extra
                for c, shape, extra in zip(objects["classes"].tolist(), shapes, extras)]

    def reference():
        every = range(len(scenes))
        annotations = [entry for i in every for entry in entries(i, 0)]
        truth = {"images": [{"id": i, "height": 256, "width": 256} for i in every],
                 "annotations": [entry | {"id": n} for n, entry in enumerate(annotations, 1)],
                 "categories": [{"id": c} for c in range(1, 6)]}
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO()
            coco.dataset = truth
            coco.createIndex()
            evaluation = COCOeval(coco, coco.loadRes([entry for i in every for entry in entries(i, 1)]), iou_type)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return evaluation.stats

    ours, numbers = timed(mine, repeats=5)
    theirs, expected = timed(reference, repeats=5)
    assert expected[0] > 0.2
    return dict(name=f"AP, 60 pictures, {iou_type}", rival="pycocotools COCOeval", ours=ours, theirs=theirs,
                difference=float(np.abs(numbers - expected).max()), tolerance=1e-12, limit=1.0)


def ten_thousand_objects():
    """One picture, every detection looked at: the rival's loops over 10^8 pairs would take hours."""
    labels = np.kron(np.arange(1, 10001).reshape(100, 100), np.pad(np.ones((8, 8), int), 1))
    moved, scores = np.roll(labels, (1, 1), (0, 1)), np.random.default_rng(0).random(10000)

    def mine():
        evaluator = COCOEvaluator("segm", compatible=False)
        evaluator.update({"instances": labels}, {"instances": moved, "scores": scores})
        return evaluator.compute()["AP"]

    ours, score = timed(mine)
    return dict(name="AP, 10,000 objects in one picture, segm", rival="IoU 49/79: right at 3 of 10 thresholds",
                ours=ours, theirs=None, difference=abs(score - 0.3), tolerance=1e-12, limit=None, at_most=5.0)


def one_pixel_at_a_time(true, pred):
    """Warping error by flips in the same order as ours, without vectors."""
    image, goal = np.pad(true, 1).astype(int).tolist(), np.pad(pred, 1).astype(int)
    simple = simple_points().tolist()
    places = [[(i + 1, j + 1) for i, j in np.argwhere(true != pred).tolist() if (i % 2, j % 2) == (y, x)]
              for y in (0, 1) for x in (0, 1)]
    flipped = True
    while flipped:
        flipped = False
        for k, candidates in enumerate(places):
            places[k] = []
            for i, j in candidates:
                if simple[sum(image[i + dy][j + dx] << bit for bit, (dy, dx) in enumerate(RING))]:
                    image[i][j], flipped = 1 - image[i][j], True
                else:
                    places[k].append((i, j))
    return float((np.array(image) != goal).sum() / true.size)


def warping():
    """Two unrelated blob pictures: half of all pixels differ."""
    true, pred = ndimage.gaussian_filter(np.random.default_rng(0).random((2, 512, 512)), (0, 3, 3)) > 0.5
    ours, mine = timed(warping_error, true, pred)
    theirs, reference = timed(one_pixel_at_a_time, true, pred, repeats=1)
    return dict(name="warping error, 512x512", rival="the same flips, a pixel at a time", ours=ours, theirs=theirs,
                difference=abs(mine - reference), tolerance=0.0, limit=1.0, at_most=2.0)


def mask_iou_of_label_maps():
    return mask_iou_matrix(encoded_before=False)


def mask_iou_of_encoded_masks():
    return mask_iou_matrix(encoded_before=True)


def average_precision_of_boxes():
    return average_precision("bbox")


def average_precision_of_masks():
    return average_precision("segm")


ROWS = [mask_iou_of_label_maps, mask_iou_of_encoded_masks, confusion_counts, rand, average_precision_of_boxes,
        average_precision_of_masks, ten_thousand_objects, warping]
