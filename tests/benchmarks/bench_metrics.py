"""Metrics against scikit-image and pycocotools on the same two label maps."""

import numpy as np
from bench_weight_map import discs
from pycocotools import mask as coco
from skimage.metrics import adapted_rand_error
from stopwatch import timed

from seglab.metrics import mask_iou, rand_error, warping_error
from seglab.ops import separate_touching


def two_maps(count=200, size=512):
    """A label map and the same one moved by eight pixels."""
    labels = discs(count, size)
    return labels, np.roll(labels, (8, 8), (0, 1))


def coco_iou(labels_a, labels_b):
    """Every pair with pycocotools, from label maps, which have to be cut into masks and encoded first."""
    def encode(labels):
        ids = np.unique(labels[labels > 0])
        return coco.encode(np.asfortranarray((labels[..., None] == ids).astype(np.uint8)))

    a, b = encode(labels_a), encode(labels_b)
    return np.asarray(coco.iou(a, b, [0] * len(b)))


def mask_iou_matrix():
    ours, mine = timed(mask_iou, *two_maps())
    theirs, reference = timed(coco_iou, *two_maps())
    return dict(name="mask IoU of 200 x 200 objects, 512x512", rival="pycocotools, with its encoding", ours=ours,
                theirs=theirs, difference=float(np.abs(mine - reference).max()), tolerance=1e-12, limit=0.05)


def rand():
    true, pred = two_maps()
    ours, mine = timed(lambda: rand_error(true, pred, background="segment"))
    theirs, reference = timed(lambda: adapted_rand_error(true, pred)[0])
    return dict(name="Rand error, 200 objects, 512x512", rival="scikit-image", ours=ours, theirs=theirs,
                difference=abs(mine - reference), tolerance=1e-9, limit=None)


def warping():
    true, pred = (separate_touching(labels, 2) > 0 for labels in two_maps())
    ours, error = timed(warping_error, true, pred)
    assert 0 < error < 1
    return dict(name="warping error of a 512x512 pair", rival="–", ours=ours, theirs=None, difference=0.0,
                tolerance=0.0, limit=None, at_most=2.0)


ROWS = [mask_iou_matrix, rand, warping]
