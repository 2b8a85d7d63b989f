"""Ten thousand awkward calls of the public functions: each gives the right answer, or says which argument is wrong.

A call is drawn from the seed and its number. Its arguments fit together at first; then one or two are spoilt: another
rank, size, dtype or memory layout, NaN, infinity or an extreme value in it, a list, None, a word. What may follow is

* a finite answer (or one that is documented not to be: ``NOT_FINITE``, ``PASS_ON``), the same as for plain copies of
  the arguments (C-ordered, whole numbers as int64),
* or a ``ValueError`` or ``TypeError`` that names an argument of the function and says what it must be.

Anything else is a fault: another exception, an answer that depends on the memory layout or the integer type, an
argument that was changed. `SEGLAB_FUZZ_SEED=7` draws other calls, `SEGLAB_FUZZ_SEED=7:1234` repeats one of them.
"""
import copy
import inspect
import os
import re
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from seglab import classic, data, losses, metrics, ops
from seglab.data.coco_masks import annotation_mask

CALLS, SECONDS = 10_000, 60
LAYERS = (ops, losses, metrics, classic, data)


class Draw:
    """The sizes and values of one call, all from one generator."""

    def __init__(self, seed: int, number: int) -> None:
        self.rng = np.random.default_rng([seed, number])
        self.height, self.width = (int(self.one(1, 2, 3, 5, 8, 9)) for _ in range(2))
        self.batch, self.channels, self.count = (int(self.rng.integers(1, 4)) for _ in range(3))

    def one(self, *of: Any) -> Any:
        return of[int(self.rng.integers(len(of)))]

    def floats(self, *shape: int) -> np.ndarray:
        return self.rng.random(shape)

    def whole(self, most: int, *shape: int) -> np.ndarray:
        return self.rng.integers(0, most + 1, shape)

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width

    def labels(self) -> np.ndarray:
        return self.whole(self.one(0, 1, 3, 200), *self.size).astype(self.one("u1", "u2", "i4", "i8"))

    def mask(self) -> np.ndarray:
        return self.rng.random(self.size) < self.one(0.0, 0.3, 0.5, 1.0)

    def grey(self) -> np.ndarray:
        return self.one(self.floats(*self.size), self.whole(255, *self.size).astype(np.uint8), np.full(self.size, 0.5))

    def boxes(self, count: int | None = None) -> torch.Tensor:
        start = self.whole(12, self.count if count is None else count, 2)
        return torch.from_numpy(np.concatenate([start, start + 1 + self.whole(9, *start.shape)], 1) * 1.0).float()

    def tensor(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self.rng.normal(size=shape)).float()

    def box(self) -> tuple[int, ...]:
        x, y = int(self.whole(self.width - 1)), int(self.whole(self.height - 1))
        return x, y, x + 1 + int(self.whole(self.width)), y + 1 + int(self.whole(self.height))

    def edges(self) -> np.ndarray:
        return classic.grid_edges(self.size)[0]

    def sample(self) -> data.Sample:
        labels = data.relabel(self.whole(2, *self.size))
        return data.Sample(torch.from_numpy(self.floats(self.channels, *self.size)).float(),
                           torch.from_numpy(self.whole(2, *self.size)), torch.from_numpy(labels).int(),
                           boxes=torch.from_numpy(data.boxes_of(labels)).float())


class Fresh:
    """A generator of random numbers, made anew for each call."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


TORCH, NUMPY = Fresh(lambda: torch.Generator().manual_seed(0)), Fresh(lambda: np.random.default_rng(0))


def small(d: Draw) -> float:
    return float(d.one(0.0, 0.3, 0.5, 1.0))


def logits(d: Draw) -> torch.Tensor:
    return d.tensor(d.batch, d.channels, d.height, d.width) * d.one(1, 30, 1e4)


def target(d: Draw) -> torch.Tensor:
    shape = d.batch, d.height, d.width
    return torch.from_numpy(d.one(d.whole(max(d.channels - 1, 1), *shape), np.full(shape, 255),
                                  d.whole(0, *shape))).to(d.one(torch.int64, torch.uint8, torch.int32))


def weight_map(d: Draw) -> torch.Tensor | None:
    return d.one(None, torch.from_numpy(d.floats(d.batch, d.height, d.width)).float())


def stack(d: Draw) -> torch.Tensor:
    return d.tensor(d.batch, d.channels, d.height, d.width)


def rois(d: Draw) -> torch.Tensor | list:
    tables = [d.boxes() for _ in range(d.batch)]
    return d.one(tables, torch.cat([torch.cat([torch.full((len(t), 1), float(i)), t], 1)
                                    for i, t in enumerate(tables)]))


def objects(d: Draw, scored: bool) -> dict:
    masks = torch.from_numpy(d.rng.random((d.count, *d.size)) < 0.5)
    return {"masks": masks, "labels": torch.from_numpy(d.whole(2, d.count))} | (
        {"scores": torch.from_numpy(d.floats(d.count))} if scored else {})


def panoptic(d: Draw) -> np.ndarray:
    return np.stack([d.whole(2, *d.size), d.whole(3, *d.size)], -1)


def counts(true: Any, pred: Any, num_classes: Any, ignore_index: Any) -> np.ndarray:
    matrix = metrics.ConfusionMatrix(num_classes, ignore_index)
    matrix.update(true, pred)
    return matrix.iou()


def average_precision(truth: Any, detections: Any, iou_type: Any) -> float:
    evaluator = metrics.COCOEvaluator(iou_type)
    evaluator.update(truth, detections)
    return evaluator.compute()["AP"]


def mixture(points: Any, assigned: Any, components: Any, noise: Any) -> np.ndarray:
    return classic.GaussianMixture.fit(points, assigned, components, noise).component_costs(points)


def tiled(image: Any, tile: Any, margin: Any, multiple: Any, batch_size: Any) -> torch.Tensor:
    return data.predict_tiled(lambda x: x.double() * 2, image, tile, margin, multiple, batch_size)


def scene(size: Any, count: Any, gap: Any, noise: Any, seed: Any) -> Any:
    return data.Cells(size, count, (3.0, 4.0), gap, noise=noise, length=2, seed=seed)[1]


def shapes(size: Any, num_classes: Any, noise: Any, seed: Any) -> Any:
    return data.Shapes(size, num_classes, radius=(4.0, 6.0), noise=noise, length=2, seed=seed)[1]


def crf(d: Draw) -> dict:
    return dict(unary=d.tensor(2, *d.size), image=torch.from_numpy(d.floats(d.channels, *d.size)).float(),
                w1=small(d), theta_alpha=3.0, theta_beta=13.0, w2=small(d), theta_gamma=1.0,
                normalization=d.one("symmetric", None))


def graph(d: Draw) -> dict:
    edges = d.edges()
    return dict(costs=d.one(d.floats(2, *d.size), d.whole(9, 2, *d.size)), edges=edges, weights=d.floats(len(edges)))


def conv(d: Draw) -> dict:
    return dict(input=stack(d), weight=d.tensor(2, d.channels, d.one(1, 2, 3), d.one(1, 3)),
                bias=d.one(None, d.tensor(2)), padding=d.one(0, 1, (2, 0)), dilation=d.one(1, 2, (1, 3)))


def maps(d: Draw) -> dict:
    shape, most = d.one(d.size, (2, *d.size)), d.one(1, 2)
    return dict(true=d.whole(most, *shape), pred=d.whole(most, *shape), ignore_index=d.one(255, None, 0))


def class_maps(d: Draw) -> dict:
    both = maps(d)
    return both | dict(num_classes=d.one(None, 3) if max(both["true"].max(), both["pred"].max()) < 2 else 3)


def region(d: Draw) -> dict:
    return dict(sigma=d.one(0.0, 1.0, 10.0), grid=d.one(2, 3), generator=TORCH)


PAIR: dict = dict(labels_true=Draw.labels, labels_pred=Draw.labels)
LOSS: dict = dict(logits=logits, target=target, ignore_index=lambda d: d.one(255, 0))
# name: (function, its arguments: each a value drawn, or one dict of them drawn together)
FUNCTIONS: dict[str, tuple[Callable, Any]] = {
    "base_anchors": (ops.base_anchors, dict(sizes=lambda d: (32, 64.0), aspect_ratios=lambda d: [0.5, 1])),
    "batch_to_space": (ops.batch_to_space, dict(input=stack, rate=lambda d: d.one(1, (1, 1), (d.batch, 1)),
                                                size=lambda d: d.size)),
    "batched_nms": (ops.batched_nms, lambda d: dict(boxes=d.boxes(8), scores=torch.from_numpy(d.whole(3, 8)) * 1.0,
                                                    idxs=torch.from_numpy(d.whole(1, 8)), iou_threshold=small(d))),
    "box_area": (ops.box_area, dict(boxes=Draw.boxes)),
    "box_iou": (ops.box_iou, dict(boxes1=Draw.boxes, boxes2=Draw.boxes)),
    "clip_boxes_to_image": (ops.clip_boxes_to_image, dict(boxes=Draw.boxes, size=lambda d: d.size)),
    "crf_energy": (ops.crf_energy, lambda d: dict(labels=torch.from_numpy(d.whole(1, *d.size)), **crf(d))),
    "decode_boxes": (ops.decode_boxes, lambda d: dict(deltas=d.tensor(d.count, 4 * d.batch), proposals=d.boxes(),
                                                      weights=d.one((1, 1, 1, 1), [10, 10, 5, 5]))),
    "dense_crf": (ops.dense_crf, lambda d: dict(iterations=d.one(0, 1, 3), **crf(d))),
    "dilated_conv2d": (ops.dilated_conv2d, conv),
    "dilated_conv2d_by_phases": (ops.dilated_conv2d_by_phases, conv),
    "encode_boxes": (ops.encode_boxes, dict(boxes=Draw.boxes, proposals=Draw.boxes)),
    "grid_anchors": (ops.grid_anchors, dict(grid_size=lambda d: d.size, stride=lambda d: (4, 8.0), base=Draw.boxes)),
    "masks_to_boxes": (ops.masks_to_boxes, dict(masks=lambda d: torch.from_numpy(d.mask())[None])),
    "match": (ops.match, dict(iou=lambda d: torch.from_numpy(d.floats(d.count, 6)), high=lambda d: 0.7,
                              low=lambda d: d.one(0.7, 0.3), allow_low_quality=lambda d: d.one(True, False))),
    "match_boxes": (ops.match_boxes, dict(objects=Draw.boxes, anchors=Draw.boxes, high=lambda d: 0.7, low=small)),
    "nms": (ops.nms, lambda d: dict(boxes=d.boxes(8), scores=torch.from_numpy(d.whole(3, 8)) * 1.0,
                                    iou_threshold=small(d))),
    "path_counts": (ops.path_counts, dict(rates=lambda d: d.one([1, 2], (2, 2, 3), []), kernel=lambda d: d.one(1, 3))),
    "receptive_field_formula": (ops.receptive_field_formula, dict(
        layers=lambda d: [(3, 1, 1), d.one((2, 2, 1), (2, 0.5, 1), (5, 1, 2, 2), None, (0, 1), "abc",
                                           (float("nan"), 1, 1))])),
    "remove_small_boxes": (ops.remove_small_boxes, dict(boxes=Draw.boxes, min_size=small)),
    "roi_align": (ops.roi_align, dict(input=stack, boxes=rois, output_size=lambda d: d.one(1, 3, (2, 4)),
                                      spatial_scale=lambda d: d.one(1.0, 0.25), sampling_ratio=lambda d: d.one(-1, 2),
                                      aligned=lambda d: d.one(True, False))),
    "roi_pool": (ops.roi_pool, dict(input=stack, boxes=rois, output_size=lambda d: d.one(1, (2, 4)),
                                    spatial_scale=lambda d: d.one(1.0, 0.25))),
    "sample": (ops.sample, dict(labels=lambda d: torch.from_numpy(d.whole(2, 9)) - 1, batch_size=lambda d: d.one(1, 4),
                                positive_fraction=small, generator=lambda d: TORCH)),
    "separate_touching": (ops.separate_touching, dict(labels=Draw.labels, gap=lambda d: d.one(0, 1, 2, 300))),
    "space_to_batch": (ops.space_to_batch, dict(input=stack, rate=lambda d: d.one(1, 2, (1, 3)))),
    "stuff_kernel": (ops.stuff_kernel, dict(weight=stack, dilation=lambda d: d.one(1, 2, (1, 3)))),
    "unet_weight_map": (ops.unet_weight_map, dict(labels=Draw.labels, w0=small, sigma=lambda d: d.one(1e-3, 5.0, 1e6),
                                                  class_weights=lambda d: d.one(None, "balanced", (1, 2)))),
    "between_class_variance": (classic.between_class_variance, lambda d: dict(
        values=np.arange(d.width) * 1.0, counts=1 + d.whole(5, d.width))),
    "boundary_weights": (classic.boundary_weights, lambda d: dict(
        image=d.floats(*d.size, d.channels), edges=d.edges(), length=np.ones(len(d.edges())),
        sigma=d.one(None, 0.1))),
    "connect_segments": (classic.connect_segments, dict(labels=Draw.labels, min_size=lambda d: d.one(0, 2.5))),
    "cut_energy": (classic.cut_energy, lambda d: dict(in_object=d.mask(), **graph(d))),
    "distance_markers": (classic.distance_markers, dict(mask=Draw.mask, sigma=small, h=lambda d: 0.5)),
    "GaussianMixture": (mixture, lambda d: dict(points=d.floats(9, d.channels), assigned=d.whole(1, 9), components=2,
                                                noise=d.one(1e-4, 0.1))),
    "grabcut": (classic.grabcut, lambda d: dict(image=d.floats(*d.size, d.channels), box=d.box(), components=2,
                                                gamma=d.one(0.0, 50.0), iterations=2, noise=1e-4, seed=0)),
    "graph_cut": (classic.graph_cut, lambda d: dict(image=d.grey(), seeds=d.whole(2, *d.size), lam=small(d),
                                                    sigma=d.one(None, 0.1), bins=d.one(1, 8),
                                                    connectivity=d.one(1, 2))),
    "grid_edges": (classic.grid_edges, dict(shape=lambda d: d.size, connectivity=lambda d: d.one(1, 2))),
    "h_maxima": (classic.h_maxima, dict(image=Draw.grey, h=lambda d: d.one(0.1, 0.5))),
    "kmeans": (classic.kmeans, dict(points=lambda d: d.floats(9, d.channels), clusters=lambda d: d.count,
                                    generator=lambda d: NUMPY, iterations=lambda d: d.one(0, 3))),
    "min_cut": (classic.min_cut, graph),
    "random_walker": (classic.random_walker, dict(image=Draw.grey, labels=lambda d: d.whole(2, *d.size),
                                                  beta=lambda d: d.one(0.0, 130.0),
                                                  return_full_prob=lambda d: d.one(True, False))),
    "region_growing": (classic.region_growing, dict(image=Draw.grey, seed=lambda d: (0, d.width - 1), tolerance=small,
                                                    connectivity=lambda d: d.one(1, 2))),
    "regional_costs": (classic.regional_costs, lambda d: dict(image=d.grey(), seeds=d.whole(2, *d.size),
                                                              bins=d.one(1, 8))),
    "slic": (classic.slic, lambda d: dict(image=d.grey(), n_segments=d.one(1, 2, 4), compactness=d.one(1e-3, 10.0),
                                          max_num_iter=d.one(1, 2))),
    "threshold_otsu": (classic.threshold_otsu, dict(image=Draw.grey, nbins=lambda d: d.one(2, 16))),
    "watershed": (classic.watershed, dict(image=Draw.grey, markers=lambda d: d.whole(2, *d.size),
                                          mask=lambda d: d.one(None, d.mask()), connectivity=lambda d: d.one(1, 2))),
    "bce_loss": (losses.bce_loss, LOSS | dict(weight_map=weight_map)),
    "cross_entropy": (losses.cross_entropy, LOSS | dict(weight_map=weight_map)),
    "cross_entropy_dice_loss": (losses.cross_entropy_dice_loss, LOSS | dict(weight_map=weight_map)),
    "dice_loss": (losses.dice_loss, LOSS | dict(per_image=lambda d: d.one(True, False), smooth=small)),
    "focal_loss": (losses.focal_loss, LOSS | dict(gamma=lambda d: d.one(0.0, 2.0), alpha=lambda d: d.one(None, 0.25))),
    "generalized_dice_loss": (losses.generalized_dice_loss, LOSS | dict(per_image=lambda d: d.one(True, False))),
    "lovasz_softmax": (losses.lovasz_softmax, LOSS | dict(per_image=lambda d: d.one(True, False))),
    "prior_bias": (losses.prior_bias, dict(foreground_share=lambda d: d.one(0.01, 0.5))),
    "tversky_loss": (losses.tversky_loss, LOSS | dict(alpha=small, beta=small)),
    "COCOEvaluator": (average_precision, lambda d: dict(truth=objects(d, False), detections=objects(d, True),
                                                        iou_type=d.one("segm", "bbox"))),
    "ConfusionMatrix": (counts, lambda d: maps(d) | dict(num_classes=3)),
    "boundary_f1": (metrics.boundary_f1, lambda d: class_maps(d) | dict(tolerance=small(d))),
    "calibration_error": (metrics.calibration_error, dict(prob=lambda d: d.floats(*d.size), target=Draw.mask,
                                                          bins=lambda d: d.one(1, 15))),
    "dice": (metrics.dice, class_maps),
    "hausdorff": (metrics.hausdorff, dict(true=Draw.mask, pred=Draw.mask, percentile=lambda d: d.one(95, 100.0))),
    "information_score": (metrics.information_score, PAIR),
    "iou": (metrics.iou, class_maps),
    "joint_counts": (metrics.joint_counts, dict(labels_a=Draw.labels, labels_b=Draw.labels)),
    "mask_iou": (metrics.mask_iou, dict(labels_a=Draw.labels, labels_b=Draw.labels,
                                        sparse_output=lambda d: d.one(True, False))),
    "mean_of_present": (metrics.mean_of_present, dict(scores=lambda d: d.floats(d.width))),
    "merges_and_splits": (metrics.merges_and_splits, PAIR),
    "object_f1": (metrics.object_f1, PAIR | dict(iou=lambda d: d.one(0.0, 0.3, 0.5, 0.9))),
    "panoptic_quality": (metrics.panoptic_quality, dict(true=panoptic, pred=panoptic, things=lambda d: {1},
                                                        stuffs=lambda d: {0, 2}, void=lambda d: 255)),
    "pixel_accuracy": (metrics.pixel_accuracy, maps),
    "pixel_error": (metrics.pixel_error, maps),
    "rand_error": (metrics.rand_error, PAIR | dict(background=lambda d: d.one("singletons", "segment"))),
    "rand_scores": (metrics.rand_scores, PAIR | dict(background=lambda d: d.one("singletons", "segment"))),
    "reliability_curve": (metrics.reliability_curve, dict(prob=lambda d: d.floats(*d.size), target=Draw.mask,
                                                          bins=lambda d: d.one(1, 15))),
    "trimap_iou": (metrics.trimap_iou, lambda d: class_maps(d) | dict(radius=d.one(1, 2.5))),
    "variation_of_information": (metrics.variation_of_information, PAIR),
    "warp": (metrics.warp, dict(true=Draw.mask, pred=Draw.mask, mask=lambda d: d.one(None, d.mask()))),
    "warping_error": (metrics.warping_error, dict(true=Draw.mask, pred=Draw.mask)),
    "annotation_mask": (annotation_mask, dict(segmentation=lambda d: d.one(
        [[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]], {"size": list(d.size), "counts": [1, d.height * d.width - 1]}, []),
        height=lambda d: d.height, width=lambda d: d.width)),
    "augment": (data.augment, lambda d: dict(image=torch.from_numpy(d.floats(d.channels, *d.size)).float(),
                                             labels=torch.from_numpy(d.whole(3, *d.size)), flips=d.one(True, False),
                                             grey_scale=small(d), **region(d))),
    "boxes_of": (data.boxes_of, dict(labels=lambda d: data.relabel(d.labels()))),
    "Cells": (scene, lambda d: dict(size=(40, 32), count=d.one(1, 3), gap=d.one(0, 2), noise=small(d), seed=0)),
    "collate": (data.collate, dict(samples=lambda d: [d.sample()] * d.one(1, 2))),
    "displacement_field": (data.displacement_field, lambda d: dict(size=d.size, **region(d))),
    "elastic_deform": (data.elastic_deform, lambda d: dict(image=torch.from_numpy(d.floats(d.channels, *d.size)),
                                                           labels=torch.from_numpy(d.whole(3, *d.size)), **region(d))),
    "median_frequency_weights": (data.median_frequency_weights, dict(samples=lambda d: [d.sample()],
                                                                     num_classes=lambda d: 3)),
    "mirror_indices": (data.mirror_indices, dict(start=lambda d: d.one(-9, 0, 2), stop=lambda d: d.one(3, 20),
                                                 size=lambda d: d.one(1, 5))),
    "predict_tiled": (tiled, lambda d: dict(image=torch.from_numpy(d.floats(d.channels, *d.size)),
                                            tile=d.one(8, (8, 12)), margin=d.one(0, 2), multiple=d.one(1, 2),
                                            batch_size=d.one(1, 4))),
    "random_crop": (data.random_crop, dict(sample=Draw.sample, size=lambda d: d.one((1, 1), d.size),
                                           generator=lambda d: TORCH)),
    "relabel": (data.relabel, dict(labels=Draw.labels)),
    "remove_specks": (data.remove_specks, dict(labels=Draw.labels, smallest=lambda d: d.one(0, 2))),
    "resize": (data.resize, dict(sample=Draw.sample, size=lambda d: d.one((1, 1), (4, 9)))),
    "Sample": (data.Sample, lambda d: dict(image=torch.from_numpy(d.floats(d.channels, *d.size)).float(),
                                           semantic=torch.from_numpy(d.whole(2, *d.size)),
                                           instances=torch.ones(d.size, dtype=torch.int32),
                                           boxes=torch.tensor([[0.0, 0.0, 1.0, 1.0]]))),
    "Shapes": (shapes, lambda d: dict(size=(24, 24), num_classes=d.one(2, 4), noise=small(d), seed=0)),
    "data.warp": (data.warp, lambda d: dict(image=torch.from_numpy(d.floats(d.channels, *d.size)),
                                            field=d.tensor(2, *d.size), mode=d.one("bilinear", "nearest"))),
}
TRIED_ELSEWHERE = {
    "ReceptiveField", "GrabCutResult", "PanopticQuality", "simple_points",              # no arguments to check
    "receptive_field",                                                                  # takes a network
    "IGNORE", "DataUnavailable", "cache_folder", "cached", "data_folder", "dataset_root", "fetch", "registry",
    "mobilenet_v2_weights_path", "load_ecoli", "load_hela", "load_nuclei", "load_trees", "read_labels", "read_mask",
    "read_picture", "save_labels", "BBBC039", "COCO", "DSB2018", "ISBI2012", "VOC2012", "CamVid", "Cityscapes",
    "OxfordPets", "PennFudan", "PictureFolder",                                         # files
}
NOT_FINITE = {"ConfusionMatrix", "iou", "dice", "boundary_f1", "trimap_iou", "panoptic_quality",  # a class absent: NaN
              "hausdorff", "GaussianMixture", "mean_of_present", "reliability_curve"}
PASS_ON = {"dilated_conv2d", "dilated_conv2d_by_phases", "stuff_kernel", "space_to_batch", "batch_to_space",
           "roi_align", "roi_pool", "data.warp", "elastic_deform", *losses.__all__}   # NaN in, NaN out; or beyond 1e29
OWN_DTYPES = {"Sample", "augment", "elastic_deform", "data.warp", "collate", "resize", "random_crop"}
SCALED = {"image"}                                             # 8 and 16 bits mean another picture than int64

NUMPY_TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "bool", "c16", ">i4", ">f8")
TORCH_TYPES = (torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64,
               torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool)
FAR = (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, 1e300, 1e-30, -1.0, 255.0, 2.0 ** 31, 0.5, 0.0)
THINGS = (None, "word", [], {}, [[1, 2], [3]], object(), 0, -1, 2.5, True, float("nan"), 1e300, 10 ** 400, 1j,
          np.float32(2), np.int64(2), np.array(2), torch.tensor(2), [1, 2, 3], (2, 2), 300)


def spoil(d: Draw, value: Any) -> Any:
    """The value in an awkward form, sometimes another value."""
    if isinstance(value, Fresh):
        return value
    if isinstance(value, list) and value and isinstance(value[0], torch.Tensor) and d.one(True, False):
        return [spoil(d, value[0]), *value[1:]]
    if isinstance(value, dict) and value and d.one(True, True, False):
        key = d.one(*value)
        return value | {key: spoil(d, value[key])}
    if not isinstance(value, np.ndarray | torch.Tensor):
        return d.one(*THINGS)
    tensor = isinstance(value, torch.Tensor)
    array = value.numpy() if tensor else value
    back = (lambda x: torch.from_numpy(np.asarray(x))) if tensor else np.asarray
    match d.one("layout", "layout", "dtype", "dtype", "far", "far", "rank", "cut", "kind", "scale", "thing"):
        case "layout":
            backwards = tuple(slice(None, None, -1) for _ in range(array.ndim))
            form = d.one(np.asfortranarray(array), array.T.copy().T, np.repeat(array, 2, -1)[..., ::2] if array.ndim
                         else array, array if tensor else array[backwards].copy()[backwards])
            if not tensor and d.one(True, False):
                form = form.copy(order="K")
                form.setflags(write=False)
            return back(form)
        case "dtype":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return value.to(d.one(*TORCH_TYPES)) if tensor else array.astype(d.one(*NUMPY_TYPES))
        case "far":
            other = array.copy()
            if other.size:
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    far = np.float64(d.one(*FAR))
                    other.flat[d.rng.integers(other.size)] = (
                        far.astype(other.dtype) if other.dtype.kind in "fb" else
                        d.one(-1, 255, 2, np.iinfo(other.dtype).max, np.iinfo(other.dtype).min) % 256
                        if other.dtype.kind == "u" else d.one(-1, 255, 2, np.iinfo(other.dtype).max,
                                                              np.iinfo(other.dtype).min))
            return back(other)
        case "rank":
            return back(d.one(array[None], array[..., None], array[0] if array.ndim and len(array) else array[None],
                              array.reshape(-1)).copy())
        case "cut":
            axis = int(d.rng.integers(array.ndim)) if array.ndim else 0
            return back(array.take(range(min(d.one(0, 0, 1), array.shape[axis])), axis).copy()) if array.ndim else value
        case "kind":
            return d.one(array.tolist(), array.copy() if tensor else torch.from_numpy(array.copy())
                         if array.dtype != object else array, array.astype(object))
        case "scale":
            return back(array * 255) if array.dtype != bool else back(array.astype(np.uint8) * 255)
    return d.one(*THINGS)


def drawn(seed: int, number: int) -> tuple[str, Callable, dict[str, Any]]:
    """The call of this number: its name, the function, the arguments."""
    d, names = Draw(seed, number), list(FUNCTIONS)
    name = names[number % len(names)]
    function, arguments = FUNCTIONS[name]
    arguments = arguments(d) if callable(arguments) else {key: make(d) for key, make in arguments.items()}
    for key in d.rng.choice(list(arguments), d.one(0, 1, 1, 1, 2) if len(arguments) > 1 else d.one(0, 1, 1), False):
        arguments[key] = spoil(d, arguments[key])
    return name, function, arguments


def plain(value: Any, whole: bool) -> Any:
    """A C-ordered copy, whole numbers as int64."""
    if isinstance(value, torch.Tensor):
        unsigned = value.dtype in (torch.uint16, torch.uint32, torch.uint64)
        value = value.clone(memory_format=torch.contiguous_format)
        integer = unsigned or not value.is_floating_point() and not value.is_complex() and value.dtype != torch.bool
        fits = value.dtype != torch.uint64 or not value.numel() or int(value.numpy().max()) < 2 ** 63
        return value.long() if whole and integer and fits else value
    if isinstance(value, np.ndarray):
        value = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        fits = value.dtype.kind in "iu" and (not value.size or int(value.max()) < 2 ** 63)
        return value.astype(np.int64) if whole and fits else value
    if isinstance(value, list):
        return [plain(each, whole) for each in value]
    if isinstance(value, dict):
        return {key: plain(each, whole) for key, each in value.items()}
    return copy.deepcopy(value)


def leaves(value: Any) -> Iterator[np.ndarray]:
    """The arrays of an answer or an argument, whatever holds them."""
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple | set):
        for each in value:
            yield from leaves(each)
    elif isinstance(value, torch.Tensor):
        yield (value.detach().float() if value.dtype in (torch.bfloat16, torch.float16) else value.detach()).numpy()
    elif sparse.issparse(value):
        yield value.toarray()
    elif isinstance(value, np.ndarray | np.generic | int | float | bool):
        if isinstance(value, np.ndarray | np.generic) or abs(value) < 2 ** 63 or value != value:
            yield np.asarray(value)


def same(a: Any, b: Any, tolerance: float) -> bool:
    left, right = list(leaves(a)), list(leaves(b))
    return len(left) == len(right) and all(map(alike, left, right, [tolerance] * len(left)))


def alike(a: np.ndarray, b: np.ndarray, tolerance: float) -> bool:
    """Arrays of one shape with the same numbers, NaN in the same places."""
    if not {a.dtype.kind, b.dtype.kind} <= set("biufc"):
        return a.dtype.kind == b.dtype.kind
    if a.shape != b.shape:
        return False
    return np.allclose(a, b, tolerance, tolerance, True) if tolerance else np.array_equal(a, b, a.dtype.kind in "fc")


def called(function: Callable, arguments: dict[str, Any]) -> Any:
    """The answer, or the exception."""
    torch.manual_seed(0)
    ready = {key: value.make() if isinstance(value, Fresh) else value for key, value in arguments.items()}
    try:
        return function(**ready)
    except Exception as error:                                  # every kind is looked at below
        return error


def fault(name: str, function: Callable, arguments: dict[str, Any]) -> str | None:
    """What is wrong with how the call went, or None."""
    before = {key: plain(value, False) for key, value in arguments.items()}
    answer = called(function, arguments)
    if not same(list(arguments.values()), list(before.values()), 0):
        return "an argument was changed"
    ints = name not in OWN_DTYPES
    wanted = called(function, {key: plain(value, ints and key not in SCALED) for key, value in arguments.items()})
    if isinstance(answer, Exception):
        names = "|".join(map(re.escape, {*arguments, *inspect.signature(function).parameters}))
        text = str(answer)
        clear = " must " in text and re.search(rf"\b({names})\b", text)
        if type(answer) not in (ValueError, TypeError) or not clear:
            where = "".join(traceback.format_exception(answer)[-3:])
            return f"{type(answer).__name__}: {text}\n{where}"
        return None if isinstance(wanted, Exception) else f"refused, but not the plain copy: {text}"
    if isinstance(wanted, Exception):
        return f"taken, but the plain copy is refused: {wanted}"
    numbers = [leaf for leaf in leaves(answer) if leaf.dtype.kind in "fc"]
    huge = name in PASS_ON and any((~(np.abs(leaf) < 1e29)).any() for leaf in leaves(list(before.values()))
                                   if leaf.dtype.kind == "f")
    if name not in NOT_FINITE and not huge and not all(np.isfinite(leaf).all() for leaf in numbers):
        return f"not finite: {shown(answer)}"
    if not same(answer, wanted, 1e-5):
        return f"{shown(answer)}, but for the plain copy {shown(wanted)}"
    return None


def shown(value: Any) -> str:
    """An argument or an answer in few words."""
    if isinstance(value, np.ndarray | torch.Tensor):
        layout = value.strides if isinstance(value, np.ndarray) else value.stride()
        return f"<{value.dtype} {tuple(value.shape)}, strides {layout}: {str(value.tolist())[:300]}>"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(each)}" for key, each in value.items()) + "}"
    return repr(value)[:300]


def test_the_list_is_complete():
    assert {name.removeprefix("data.") for name in FUNCTIONS} - {"annotation_mask"} | TRIED_ELSEWHERE \
        == {name for layer in LAYERS for name in layer.__all__}


def test_awkward_calls():
    wish = os.environ.get("SEGLAB_FUZZ_SEED", "0")
    seed, _, one = wish.partition(":")
    begun, found = time.process_time(), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in [int(one)] if one else range(CALLS):
            name, function, arguments = drawn(int(seed), number)
            wrong = fault(name, function, arguments)
            if wrong is not None:
                call = f"{name}({', '.join(f'{key}={shown(value)}' for key, value in arguments.items())})"
                found.setdefault((name, wrong[:40]), f"SEGLAB_FUZZ_SEED={seed}:{number}\n{call}\n{wrong}")
    took = time.process_time() - begun
    if found:
        pytest.fail(f"{len(found)} kinds of faults\n\n" + "\n\n".join(found.values()), pytrace=False)
    assert one or took < SECONDS, f"{CALLS} calls took {took:.0f} s"


@pytest.mark.parametrize("wrong, says", [
    (lambda labels: labels[0], "IndexError"),                                     # crashes without a row
    (lambda labels: labels.sort(), "changed"),                                    # changes what came in
    (lambda labels: np.asarray(labels).ravel(order="K"), "plain copy"),           # depends on the layout
    (lambda labels: np.asarray(labels) / np.zeros(1), "not finite"),
    (lambda labels: int(labels), "TypeError: only|TypeError: int"),               # does not name the argument
])
def test_the_fuzz_finds_planted_faults(monkeypatch, wrong, says):
    def planted(labels: Any) -> Any:
        with np.errstate(all="ignore"):
            return wrong(labels)

    monkeypatch.setitem(globals(), "FUNCTIONS", {"planted": (planted, dict(labels=Draw.labels))})
    faults = [fault(*drawn(0, number)) for number in range(200)]
    assert any(re.search(says, each) for each in faults if each)
