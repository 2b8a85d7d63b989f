"""Every function of `seglab.ops` and `seglab.classic` that takes a picture, a map or boxes: memory layout and dtype.

Each is called with the plain C-ordered int64 or float64 value, and with the same values in other layouts and dtypes;
the answers are the same, and the values that came in are as they were.
"""
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
import torch

from seglab import classic, ops

rng = np.random.default_rng(0)
GREY, COLOUR = rng.integers(0, 3, (7, 9)) / 2, rng.integers(0, 2, (7, 9, 3)) * 1.0       # exact in every float type
LABELS = np.kron(np.array([[0, 1, 4], [3, 3, 0]]), np.ones((3, 3), int))[:5]              # (5, 9)
SEEDS, MASK = np.zeros((7, 9), int), np.zeros((7, 9), bool)
SEEDS[0, :4], SEEDS[5, 3:8] = 1, 2
MASK[1:4, 1:8] = MASK[5, 5] = True
EDGES, LENGTH = classic.grid_edges((7, 9))
COSTS = rng.integers(0, 9, (2, 7, 9)).astype(float)
POINTS = rng.integers(0, 4, (12, 2)) * 1.0
ASSIGNED = rng.integers(0, 2, 12)
MIXTURE = classic.GaussianMixture.fit(POINTS, ASSIGNED, 2, 0.1)
BOXES = np.array([[1, 1, 6, 5], [0, 2, 7, 6], [8, 0, 9, 6], [1, 1, 6, 6]])
ROIS = np.concatenate([np.zeros((4, 1), int), BOXES], axis=1)
SCORES = np.array([3, 1, 2, 3])
FEATURES = rng.integers(0, 8, (2, 3, 8, 10)) / 4.0
UNARY = rng.integers(0, 8, (2, 7, 9)) / 4.0
WEIGHT = rng.integers(0, 8, (2, 3, 3, 3)) / 4.0
as_tensor = torch.from_numpy


def points_generator():
    return np.random.default_rng(0)


# name of the function and of its argument: (the value, the call); below those that take tensors only
CASES = {
    "threshold_otsu image": (GREY, classic.threshold_otsu),
    "between_class_variance values": (np.arange(4.0), lambda x: classic.between_class_variance(x, [1, 2, 3, 4])),
    "between_class_variance counts": (np.arange(1, 5), lambda x: classic.between_class_variance([1, 2, 3, 4], x)),
    "region_growing image": (GREY, lambda x: classic.region_growing(x, (3, 4), 0.5)),
    "watershed image": (GREY, lambda x: classic.watershed(x, SEEDS)),
    "watershed markers": (SEEDS, lambda x: classic.watershed(GREY, x)),
    "watershed mask": (MASK, lambda x: classic.watershed(GREY, SEEDS, x)),
    "h_maxima image": (GREY, lambda x: classic.h_maxima(x, 0.5)),
    "distance_markers mask": (MASK, classic.distance_markers),
    "random_walker image": (COLOUR, lambda x: classic.random_walker(x, SEEDS, return_full_prob=True)),
    "random_walker labels": (SEEDS, lambda x: classic.random_walker(COLOUR, x)),
    "graph_cut image": (GREY, lambda x: classic.graph_cut(x, SEEDS)),
    "graph_cut seeds": (SEEDS, lambda x: classic.graph_cut(GREY, x)),
    "grabcut image": (COLOUR, lambda x: classic.grabcut(x, (1, 1, 7, 6), 2)),
    "slic image": (COLOUR, lambda x: classic.slic(x, 6)),
    "connect_segments labels": (LABELS, lambda x: classic.connect_segments(x, 2)),
    "regional_costs image": (GREY, lambda x: classic.regional_costs(x, SEEDS)),
    "regional_costs seeds": (SEEDS, lambda x: classic.regional_costs(GREY, x)),
    "boundary_weights image": (COLOUR, lambda x: classic.boundary_weights(x, EDGES, LENGTH)),
    "boundary_weights edges": (EDGES, lambda x: classic.boundary_weights(COLOUR, x, LENGTH)),
    "boundary_weights length": (LENGTH, lambda x: classic.boundary_weights(COLOUR, EDGES, x)),
    "min_cut costs": (COSTS, lambda x: classic.min_cut(x, EDGES, LENGTH)),
    "min_cut edges": (EDGES, lambda x: classic.min_cut(COSTS, x, LENGTH)),
    "min_cut weights": (LENGTH, lambda x: classic.min_cut(COSTS, EDGES, x)),
    "cut_energy in_object": (MASK, lambda x: classic.cut_energy(x, COSTS, EDGES, LENGTH)),
    "cut_energy costs": (COSTS, lambda x: classic.cut_energy(MASK, x, EDGES, LENGTH)),
    "kmeans points": (POINTS, lambda x: classic.kmeans(x, 3, points_generator())),
    "GaussianMixture.fit points": (POINTS, lambda x: classic.GaussianMixture.fit(x, ASSIGNED, 2, 0.1)),
    "GaussianMixture.fit assigned": (ASSIGNED, lambda x: classic.GaussianMixture.fit(POINTS, x, 2, 0.1)),
    "GaussianMixture.component_costs points": (POINTS, MIXTURE.component_costs),
    "separate_touching labels": (LABELS, lambda x: ops.separate_touching(x, 2)),
    "unet_weight_map labels": (LABELS, lambda x: ops.unet_weight_map(x, class_weights="balanced")),
}
TENSORS = {
    "box_area boxes": (BOXES, ops.box_area), "box_iou boxes1": (BOXES, lambda x: ops.box_iou(x, as_tensor(BOXES))),
    "box_iou boxes2": (BOXES, lambda x: ops.box_iou(as_tensor(BOXES), x)),
    "clip_boxes_to_image boxes": (BOXES, lambda x: ops.clip_boxes_to_image(x, (4, 5))),
    "remove_small_boxes boxes": (BOXES, lambda x: ops.remove_small_boxes(x, 2)),
    "masks_to_boxes masks": (np.stack([MASK, ~MASK]), ops.masks_to_boxes),
    "encode_boxes boxes": (BOXES, lambda x: ops.encode_boxes(x, as_tensor(BOXES[::-1].copy()))),
    "encode_boxes proposals": (BOXES, lambda x: ops.encode_boxes(as_tensor(BOXES[::-1].copy()), x)),
    "decode_boxes deltas": (UNARY[0, :4, :8], lambda x: ops.decode_boxes(x, as_tensor(BOXES))),
    "decode_boxes proposals": (BOXES, lambda x: ops.decode_boxes(as_tensor(UNARY[0, :4, :8].copy()), x)),
    "nms boxes": (BOXES, lambda x: ops.nms(x, as_tensor(SCORES), 0.5)),
    "nms scores": (SCORES, lambda x: ops.nms(as_tensor(BOXES), x, 0.5)),
    "batched_nms boxes": (BOXES, lambda x: ops.batched_nms(x, as_tensor(SCORES), as_tensor(SCORES), 0.5)),
    "batched_nms idxs": (SCORES, lambda x: ops.batched_nms(as_tensor(BOXES), as_tensor(SCORES), x, 0.5)),
    "match iou": (COSTS[0] / 16, lambda x: ops.match(x, 0.4, 0.2, True)),
    "match_boxes objects": (BOXES, lambda x: ops.match_boxes(x, as_tensor(BOXES), 0.7, 0.3)),
    "match_boxes anchors": (BOXES, lambda x: ops.match_boxes(as_tensor(BOXES), x, 0.7, 0.3)),
    "sample scores": (SCORES - 1, lambda x: ops.sample(x, 3, 0.5, torch.Generator().manual_seed(0))),
    "grid_anchors base": (BOXES, lambda x: ops.grid_anchors((2, 3), (4, 4), x)),
    "roi_align input": (FEATURES, lambda x: ops.roi_align(x, as_tensor(ROIS), 3, 0.5)),
    "roi_align boxes": (ROIS, lambda x: ops.roi_align(as_tensor(FEATURES), x, 3, 0.5)),
    "roi_pool input": (FEATURES, lambda x: ops.roi_pool(x, as_tensor(ROIS), 3, 0.5)),
    "roi_pool boxes": (ROIS, lambda x: ops.roi_pool(as_tensor(FEATURES), x, 3, 0.5)),
    "dense_crf unary": (UNARY, lambda x: ops.dense_crf(x, as_tensor(GREY)[None])),
    "dense_crf image": (COLOUR.transpose(2, 0, 1), lambda x: ops.dense_crf(as_tensor(UNARY), x)),
    "crf_energy labels": (SEEDS // 2, lambda x: ops.crf_energy(x, as_tensor(UNARY), as_tensor(GREY)[None])),
    "dilated_conv2d input": (FEATURES, lambda x: ops.dilated_conv2d(x, as_tensor(WEIGHT).to(x), dilation=2)),
    "dilated_conv2d weight": (WEIGHT, lambda x: ops.dilated_conv2d(as_tensor(FEATURES).to(x), x, dilation=2)),
    "dilated_conv2d_by_phases input": (FEATURES, lambda x: ops.dilated_conv2d_by_phases(x, as_tensor(WEIGHT).to(x))),
    "stuff_kernel weight": (WEIGHT, lambda x: ops.stuff_kernel(x, 2)),
    "space_to_batch input": (FEATURES, lambda x: ops.space_to_batch(x, 2)),
    "batch_to_space input": (FEATURES, lambda x: ops.batch_to_space(x, (2, 1), (16, 9))),
}
WITHOUT = {"base_anchors", "receptive_field", "receptive_field_formula", "ReceptiveField", "path_counts", "grid_edges",
           "GrabCutResult"}                                    # no picture, map or boxes come in
OF_IDS = ("labels", "markers", "seeds", "edges", "assigned", "idxs")
TOLERANCE = dict.fromkeys(["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"], 0) \
    | {"float64": 1e-6, "float32": 1e-5, "float16": 2e-2, "bfloat16": 2e-2}


def layouts(value):
    """The same values in other places of memory, with what each is called."""
    backwards = tuple(slice(None, None, -1) for _ in range(value.ndim))
    yield "Fortran", np.asfortranarray(value)
    yield "transposed", np.ascontiguousarray(value.T).T
    yield "negative strides", value[backwards].copy()[backwards]
    yield "every second", np.repeat(value, 2, axis=-1)[..., ::2]
    yield "not aligned", np.frombuffer(b"\0" + value.tobytes(), np.uint8)[1:].view(value.dtype).reshape(value.shape)
    locked = value.copy()
    locked.setflags(write=False)
    yield "read-only", locked


def parts(answer):
    """The arrays of an answer, whatever holds them."""
    if is_dataclass(answer):
        return [part for field in fields(answer) for part in parts(getattr(answer, field.name))]
    if isinstance(answer, tuple | list):
        return [part for each in answer for part in parts(each)]
    return [answer.double().numpy() if isinstance(answer, torch.Tensor) and answer.is_floating_point()
            else np.asarray(answer)]


def assert_same(answer, expected, tolerance=0.0):
    got, wanted = parts(answer), parts(expected)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        if tolerance:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def test_the_list_is_complete():
    tried = {case.split(" ")[0].split(".")[0] for case in {**CASES, **TENSORS}}
    assert tried | WITHOUT == set(ops.__all__) | set(classic.__all__)


@pytest.mark.parametrize("case", CASES)
def test_layouts_of_arrays(case):
    value, call = CASES[case]
    expected = call(np.ascontiguousarray(value))
    for where, other in layouts(np.ascontiguousarray(value)):
        before = other.copy()
        assert_same(call(other), expected)
        np.testing.assert_array_equal(other, before, err_msg=where)
    assert_same(call(value.astype(value.dtype.newbyteorder())), expected)
    assert_same(call(as_tensor(np.ascontiguousarray(value.T)).permute(*reversed(range(value.ndim)))), expected)
    assert_same(call(value.tolist()), expected)


@pytest.mark.parametrize("case", TENSORS)
def test_layouts_of_tensors(case):
    value, call = TENSORS[case]
    value = np.ascontiguousarray(value)
    expected = call(as_tensor(value.copy()))
    tolerance = 1e-12 if value.dtype.kind == "f" else 0               # another order of adding up
    for where, other in layouts(value):
        if where in ("Fortran", "transposed", "every second"):
            before, tensor = other.copy(), as_tensor(other)
            assert where == "every second" or value.ndim == 1 or not tensor.is_contiguous()
            assert_same(call(tensor), expected, tolerance)
            np.testing.assert_array_equal(other, before)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", {**CASES, **TENSORS})
def test_dtypes(case, dtype):
    """Whole numbers and masks in every integer and floating type, floats in every floating one: array and tensor."""
    value, call = {**CASES, **TENSORS}[case]
    value, name = np.ascontiguousarray(value), case.split(" ")[1]
    other = as_tensor(value).to(getattr(torch, dtype))
    if name in OF_IDS and TOLERANCE[dtype]:
        with pytest.raises(TypeError, match=f"^{name} must"):
            call(other)
    elif value.dtype.kind != "f" or TOLERANCE[dtype]:
        expected = call(as_tensor(value) if case in TENSORS else value)
        assert_same(call(other), expected, TOLERANCE[dtype])
        if case in CASES and dtype != "bfloat16":
            assert_same(call(other.numpy()), expected, TOLERANCE[dtype])
