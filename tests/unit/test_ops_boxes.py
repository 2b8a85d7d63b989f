"""Boxes, suppression, anchors, matching: hand-made values and bad inputs."""
import doctest
import importlib
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab import ops

INF, NAN = float("inf"), float("nan")
EMPTY = torch.zeros(0, 4)
suppression = importlib.import_module("seglab.ops.nms")         # the name in the package is the function's
UNIT = torch.tensor([[0.0, 0.0, 4.0, 4.0]])


def greedy(boxes, scores, threshold):
    """Suppression as everybody explains it."""
    left = sorted(range(len(boxes)), key=lambda i: (-scores[i].item(), i))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if not ops.box_iou(boxes[best:best + 1], boxes[i:i + 1]).item() > threshold]
    return kept


@pytest.mark.parametrize("module", ["boxes", "nms", "anchors", "matching"])
def test_examples_in_the_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"seglab.ops.{module}"))
    assert result.failed == 0 and (result.attempted or module == "nms")


# ---------------------------------------------------------------- bad boxes

@pytest.mark.parametrize("call", [
    ops.box_area, lambda b: ops.box_iou(b, UNIT), lambda b: ops.box_iou(UNIT, b),
    lambda b: ops.clip_boxes_to_image(b, (5, 5)), lambda b: ops.remove_small_boxes(b, 1.0),
    lambda b: ops.encode_boxes(b, b), lambda b: ops.decode_boxes(torch.zeros(len(b), 4), b),
    lambda b: ops.nms(b, torch.ones(len(b)), 0.5),
    lambda b: ops.batched_nms(b, torch.ones(len(b)), torch.zeros(len(b), dtype=torch.int64), 0.5),
])
@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_boxes_that_are_not_finite(call, bad):
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 1, 3, 3], [2, bad, 5, 5]])
    with pytest.raises(ValueError, match=r"must be finite, 1 of 3 are not; row 2"):
        call(boxes)


@pytest.mark.parametrize("call", [ops.box_area, lambda b: ops.box_iou(b, UNIT), lambda b: ops.remove_small_boxes(b, 1)])
def test_things_that_are_no_boxes(call):
    with pytest.raises(ValueError, match=r"shape \(N, 4\)"):
        call(torch.zeros(3, 5))
    for thing in ([[0, 0, 1, 1]], torch.zeros(2, 4, dtype=torch.bool)):
        with pytest.raises(TypeError, match="tensor of numbers"):
            call(thing)


CALLS = {                                            # every function that takes boxes, and the name of the argument
    "box_area boxes": ops.box_area, "box_iou boxes1": lambda b: ops.box_iou(b, UNIT),
    "box_iou boxes2": lambda b: ops.box_iou(UNIT, b), "clip boxes": lambda b: ops.clip_boxes_to_image(b, (5, 5)),
    "remove boxes": lambda b: ops.remove_small_boxes(b, 1), "nms boxes": lambda b: ops.nms(b, torch.ones(1), 0.5),
    "batched boxes": lambda b: ops.batched_nms(b, torch.ones(1), torch.zeros(1).long(), 0.5),
    "encode boxes": lambda b: ops.encode_boxes(b, UNIT), "encode proposals": lambda b: ops.encode_boxes(UNIT, b),
    "decode proposals": lambda b: ops.decode_boxes(torch.zeros(1, 4), b),
    "match_boxes objects": lambda b: ops.match_boxes(b, UNIT, 0.7, 0.3),
    "match_boxes anchors": lambda b: ops.match_boxes(UNIT, b, 0.7, 0.3),
    "grid_anchors base": lambda b: ops.grid_anchors((2, 2), (4, 4), b),
    "roi_align boxes": lambda b: ops.roi_align(torch.ones(1, 1, 4, 4), b if b is None else [b], 2),
    "roi_pool boxes": lambda b: ops.roi_pool(torch.ones(1, 1, 4, 4), b if b is None else [b], 2)}


@pytest.mark.parametrize("call", CALLS)
def test_every_function_names_what_is_no_tensor_or_not_finite(call):
    name = call.split()[1]
    for thing in ([[0, 0, 1, 1]], None, UNIT.numpy(), UNIT.bool(), UNIT * 1j, UNIT.to_sparse()):
        with pytest.raises(TypeError, match=rf"^{name}(\[0\])? must be a tensor of numbers, shape .*, got "):
            CALLS[call](thing)
    for bad in (torch.zeros(1, 5), torch.zeros(4), torch.tensor([[0.0, 0, NAN, 4]]), torch.tensor([[0.0, 0, INF, 4]])):
        if call in ("box_area boxes", "clip boxes") and bad.ndim == 1:
            continue                                                            # these take (..., 4)
        with pytest.raises(ValueError, match=rf"^{name}(\[0\])? must "):
            CALLS[call](bad)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16,
                                   torch.int32, torch.float16, torch.bfloat16, torch.float64])
def test_every_function_takes_every_type(call, dtype):
    """Small whole numbers are the same in each; only the type of the answer may be another."""
    boxes = torch.tensor([[1, 2, 7, 5]])
    torch.testing.assert_close(CALLS[call](boxes.to(dtype)), CALLS[call](boxes), check_dtype=False)


def test_areas_of_whole_boxes_do_not_overflow():
    a, b = torch.tensor([[0, 0, 60000, 60000]]), torch.tensor([[30000, 0, 90000, 60000]])
    for dtype in (torch.int32, torch.int64, torch.uint16, torch.uint32):
        far = b.clamp(max=65535) if dtype == torch.uint16 else b
        width = int(far[0, 2]) - 30000
        assert ops.box_area(a.to(dtype)).item() == 3_600_000_000
        assert ops.box_iou(a.to(dtype), far.to(dtype)).item() == pytest.approx(30000 / (30000 + width))
    edge = torch.tensor([[-2 ** 30, -2 ** 30, 2 ** 30, 2 ** 30]])
    assert ops.box_area(edge).item() == 2 ** 62 and ops.box_iou(edge, edge).item() == 1
    for call in (ops.box_area, lambda b: ops.nms(b, torch.ones(1), 0.5)):
        with pytest.raises(ValueError, match=r"boxes must be below 2\*\*30, 1 of 1 are not; row 0"):
            call(edge + 1)
    huge = torch.tensor([[0.0, 0.0, 1e18, 1e18]])
    assert ops.box_iou(huge, huge).item() == 1
    with pytest.raises(ValueError, match="boxes1 must be finite, 1 of 1 are not; .* more than 1e.18 px"):
        ops.box_iou(huge * 2, UNIT)


def test_unsigned_boxes_have_no_size_when_reversed():
    boxes = torch.tensor([[9, 9, 3, 3]], dtype=torch.uint8)                     # 3 - 9 is 250 in uint8
    assert ops.remove_small_boxes(boxes, 1).tolist() == [] and ops.box_area(boxes[:, [0, 1, 2, 1]]).item() == 0
    with pytest.raises(ValueError, match="boxes must have x1 < x2"):
        ops.encode_boxes(boxes, UNIT)


def test_overlap_of_boxes_without_area_is_zero_and_so_is_its_gradient():
    boxes = torch.tensor([[1.0, 1, 1, 5], [3, 3, 3, 3], [5, 5, 2, 2], [0, 4, 4, 0]], dtype=torch.float64)
    iou = ops.box_iou(boxes, boxes)
    assert not iou.any() and not torch.signbit(iou).any() | iou.isnan().any()
    x = boxes.clone().requires_grad_()
    ops.box_iou(x, boxes).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_overlap_inclusive_of_types_and_of_nothing():
    assert ops.box_iou(EMPTY, UNIT).shape == (0, 1) and ops.box_iou(UNIT, EMPTY).shape == (1, 0)
    whole = torch.tensor([[0, 0, 200, 200], [100, 0, 200, 200]], dtype=torch.uint8)
    assert ops.box_area(whole).tolist() == [40000, 20000]                       # not modulo 256
    assert ops.box_iou(whole, whole)[0, 1] == 0.5
    half = torch.tensor([[0.0, 0, 300, 300]], dtype=torch.float16)
    assert ops.box_area(half).item() == 90000                                   # beyond float16
    with pytest.raises(ValueError, match=r"boxes1 must have shape \(N, 4\).*got \(4,\)"):
        ops.box_iou(UNIT[0], UNIT)


def test_layout_does_not_matter():
    g = torch.Generator().manual_seed(0)
    boxes = torch.rand(30, 4, generator=g).cumsum(1)
    across = boxes.T.contiguous().T
    assert not across.is_contiguous()
    assert torch.equal(ops.box_iou(across, across), ops.box_iou(boxes, boxes))
    assert torch.equal(ops.nms(across, boxes[:, 0], 0.3), ops.nms(boxes, boxes[:, 0], 0.3))


def test_clipping():
    boxes = torch.tensor([[-5.0, -5, 3, 3], [8, 2, 20, 30], [50, 50, 60, 60], [-9, -9, -1, -1]])
    want = [[0, 0, 3, 3], [8, 2, 9, 7], [9, 7, 9, 7], [0, 0, 0, 0]]              # 7 high, 9 wide
    assert ops.clip_boxes_to_image(boxes, (7, 9)).tolist() == want
    assert ops.remove_small_boxes(ops.clip_boxes_to_image(boxes, (7, 9)), 1).tolist() == [0, 1]
    assert ops.remove_small_boxes(boxes[:, [2, 1, 0, 3]], 1).tolist() == []      # reversed: no width


def test_masks():
    masks = torch.zeros(3, 5, 7)
    masks[0, 2, 3] = 1
    masks[1, 1:4, 2:6] = 1
    masks[1, 2, 3] = 0                                                          # a hole
    assert ops.masks_to_boxes(masks).tolist() == [[3, 2, 3, 2], [2, 1, 5, 3], [0, 0, 0, 0]]
    assert ops.masks_to_boxes(masks[:0]).shape == (0, 4)
    assert ops.masks_to_boxes(torch.zeros(2, 0, 4)).tolist() == [[0] * 4] * 2
    for dtype in (torch.bool, torch.uint8, torch.uint16, torch.uint64, torch.int64, torch.float16):
        assert torch.equal(ops.masks_to_boxes(masks.to(dtype)), ops.masks_to_boxes(masks))
        assert torch.equal(ops.masks_to_boxes(masks.to(dtype).mT.contiguous().mT), ops.masks_to_boxes(masks))
    with pytest.raises(ValueError, match=r"masks must have shape \(N, H, W\)"):
        ops.masks_to_boxes(masks[0])
    with pytest.raises(ValueError, match="masks must be numbers, got NaN"):
        ops.masks_to_boxes(masks * NAN)
    for thing in (None, masks.tolist(), masks.numpy()):
        with pytest.raises(TypeError, match="masks must be a tensor"):
            ops.masks_to_boxes(thing)


# ---------------------------------------------------------------- offsets

def test_offsets_by_hand():
    moved = torch.tensor([[2.0, 0, 6, 4]])
    assert ops.encode_boxes(moved, UNIT).tolist() == [[0.5, 0, 0, 0]]
    assert ops.encode_boxes(moved, UNIT, (10, 10, 5, 5)).tolist() == [[5, 0, 0, 0]]
    doubled = ops.decode_boxes(torch.tensor([[0.0, 0, torch.tensor(2.0).log(), 0]]), UNIT)
    torch.testing.assert_close(doubled, torch.tensor([[-2.0, 0, 6, 4]]))


def test_decoding_never_overflows_above_and_may_shrink_freely():
    boxes = ops.decode_boxes(torch.tensor([[0.0, 0, 1000, -1000]]), UNIT)
    width, height = (boxes[0, 2:] - boxes[0, :2]).tolist()
    assert width == pytest.approx(4 * 62.5) and height == 0


@pytest.mark.parametrize("flat", [[0.0, 0, 0, 4], [0, 0, 4, 0], [4, 0, 0, 4]])
def test_no_offset_from_or_to_an_empty_box(flat):
    boxes = torch.tensor([[0.0, 0, 4, 4], flat])
    with pytest.raises(ValueError, match="boxes must have x1 < x2.*row 1"):
        ops.encode_boxes(boxes, UNIT.repeat(2, 1))
    with pytest.raises(ValueError, match="proposals must have x1 < x2.*row 1"):
        ops.encode_boxes(UNIT.repeat(2, 1), boxes)


def test_offsets_of_nothing_and_of_wrong_numbers():
    assert ops.encode_boxes(EMPTY, EMPTY).shape == (0, 4)
    assert ops.decode_boxes(torch.zeros(0, 12), EMPTY).shape == (0, 12)
    with pytest.raises(ValueError, match="same shape"):
        ops.encode_boxes(UNIT, EMPTY)
    for deltas in (torch.zeros(1, 5), torch.zeros(2, 4), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"\(N, 4K\)"):
            ops.decode_boxes(deltas, UNIT)


# ---------------------------------------------------------------- suppression

@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.5, 0.8]))
def test_suppression_is_the_greedy_loop(seed, count, threshold):
    g = torch.Generator().manual_seed(seed)
    start = torch.randint(-10, 10, (count, 2), generator=g).double()
    boxes = torch.cat([start, start + torch.randint(0, 9, (count, 2), generator=g)], dim=1)      # some empty
    scores = torch.randint(4, (count,), generator=g).double()                                    # many ties
    assert ops.nms(boxes, scores, threshold).tolist() == greedy(boxes, scores, threshold)


def test_a_chain_longer_than_a_block():
    """Each box overlaps the next too much: every second one stays, decided one after another."""
    left = torch.arange(400.0)
    boxes = torch.stack([left, torch.zeros(400), left + 3, torch.ones(400)], dim=1)
    assert ops.nms(boxes, -left, 0.4).tolist() == list(range(0, 400, 2))        # neighbours 0.5, next but one 0.2


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("across", [False, True])
def test_one_by_one_in_windows_is_the_same(monkeypatch, threshold, across):
    """Of many boxes each looks at its neighbours only: here of few, with ties, empty, reversed and huge ones."""
    g = torch.Generator().manual_seed(int(10 * threshold))
    start = torch.rand(600, 2, generator=g) * torch.tensor([400.0, 30.0])
    boxes = torch.cat([start, start + 30 * torch.rand(600, 2, generator=g) ** 2], dim=1)
    boxes[::40, 2:] += 300
    boxes[1::40] = boxes[1::40][:, [2, 1, 0, 3]]                                # reversed
    boxes[2::40, 2] = boxes[2::40, 0]                                           # without width
    boxes[3::40] = boxes[0]
    boxes, scores = boxes[:, [1, 0, 3, 2]] if across else boxes, (20 * torch.rand(600, generator=g)).round()
    for kind in (torch.float32, torch.float64):
        expected = ops.nms(boxes.to(kind), scores, threshold)
        monkeypatch.setattr(suppression, "CALL", -10 ** 9)
        found = ops.nms(boxes.to(kind), scores, threshold)
        monkeypatch.undo()
        assert torch.equal(found, expected) and 0 < len(found) <= 600


def test_windows_hold_every_box_that_overlaps_enough():
    g = torch.Generator().manual_seed(0)
    start = 100 * torch.rand(200, 2, generator=g)
    boxes = torch.cat([start, start + 40 * torch.rand(200, 2, generator=g) ** 3], dim=1)
    iou = ops.box_iou(boxes, boxes)
    for limit in (0.0, 0.2, 0.6, 0.9):
        places, first, past = suppression._windows(boxes.T.numpy(), limit)
        at = torch.from_numpy(places.argsort())
        inside = (at[None] >= torch.from_numpy(first)[:, None]) & (at[None] < torch.from_numpy(past)[:, None])
        assert not ((iou > limit) & ~inside).any() and inside.double().mean() < 0.7


def test_seventy_thousand_boxes_apart():
    """30 seconds before each looked at its neighbours only."""
    start = 12.0 * torch.cartesian_prod(torch.arange(265), torch.arange(265))[:70_000]
    begun = time.perf_counter()
    assert len(ops.nms(torch.cat([start, start + 10], dim=1), torch.arange(70_000.0), 0.5)) == 70_000
    assert time.perf_counter() - begun < 10                                     # 1 s on a free core


def test_equal_to_the_threshold_stays_and_equal_scores_keep_the_first():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 4]])
    assert ops.nms(boxes, torch.ones(3), 0.5).tolist() == [0, 1]
    assert ops.nms(boxes, torch.ones(3), 0.49).tolist() == [0]
    assert ops.nms(boxes, torch.tensor([0.0, 1, 0]), 0.5).tolist() == [1, 0]
    assert ops.nms(boxes, torch.ones(3), 1.0).tolist() == [0, 1, 2]


def test_infinite_scores_are_an_order_too():
    boxes = torch.tensor([[0.0, 0, 4, 4], [9, 9, 12, 12], [0, 0, 4, 4]])
    assert ops.nms(boxes, torch.tensor([-INF, 0, INF]), 0.5).tolist() == [2, 1]


@pytest.mark.parametrize("boxes, scores, threshold, says", [
    (UNIT, torch.tensor([NAN]), 0.5, "1 of 1 are NaN"), (UNIT, torch.ones(2), 0.5, r"\(N, 4\) and \(N,\)"),
    (UNIT[0], torch.ones(4), 0.5, r"boxes must have shape \(N, 4\)"), (UNIT, torch.ones(1), 1.5, r"in 0\.\.1"),
    (UNIT, torch.ones(1), NAN, "iou_threshold must be a finite number")])
def test_suppression_refuses(boxes, scores, threshold, says):
    with pytest.raises(ValueError, match=says):
        ops.nms(boxes, scores, threshold)
    with pytest.raises(ValueError, match=says):
        ops.batched_nms(boxes, scores, torch.zeros(len(scores), dtype=torch.int64), threshold)


def test_suppression_of_nothing_and_of_half_precision():
    none = torch.zeros(0, dtype=torch.int64)
    for kept in (ops.nms(EMPTY, torch.zeros(0), 0.5), ops.batched_nms(EMPTY, torch.zeros(0), none, 0.5)):
        assert kept.dtype == torch.int64 and kept.tolist() == []
    boxes = torch.tensor([[0, 0, 300, 300], [0, 0, 299, 300], [400, 0, 500, 9]])
    for dtype in (torch.float16, torch.bfloat16, torch.int64):
        assert ops.nms(boxes.to(dtype), torch.tensor([1, 2, 0]).to(dtype), 0.5).tolist() == [1, 2]


def test_classes_do_not_touch_each_other():
    boxes = torch.tensor([[-9.0, 0, -5, 4], [0, 0, 4, 4], [-9, 0, -5, 4], [0, 0, 4, 4]])
    scores, idxs = torch.tensor([0.5, 0.6, 0.7, 0.8]), torch.tensor([3, 1, 3, -2])
    assert ops.batched_nms(boxes, scores, idxs, 0.5).tolist() == [3, 2, 1]
    with pytest.raises(ValueError, match="one class a box"):
        ops.batched_nms(boxes, scores, idxs[:2], 0.5)


# ---------------------------------------------------------------- anchors

def test_anchor_shapes_ratio_is_height_over_width():
    boxes = ops.base_anchors((16, 32), (0.5, 2.0))
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides[:2, 0] > sides[:2, 1]).all() and (sides[2:, 0] < sides[2:, 1]).all()
    assert ops.base_anchors((5,), (1.0,)).tolist() == [[-2, -2, 2, 2]]          # halves go to the even number


def test_anchor_order_and_place():
    base = ops.base_anchors((8,), (1.0, 4.0))
    anchors = ops.grid_anchors((2, 3), (10, 100), base).reshape(2, 3, 2, 4)     # rows, columns, anchors
    centres = (anchors[..., :2] + anchors[..., 2:]) / 2
    assert centres[1, 2, 0].tolist() == [200, 10] and centres[0, 0, 1].tolist() == [0, 0]
    assert torch.equal(anchors[0, 0], base)
    assert ops.grid_anchors((0, 3), (8, 8), base).shape == (0, 4)


@pytest.mark.parametrize("sizes, ratios", [((), (1.0,)), ((8,), ()), ((0,), (1.0,)), ((8,), (-1.0,)), ((NAN,), (1.0,)),
                                           ((8,), (INF,))])
def test_anchors_refuse(sizes, ratios):
    with pytest.raises(ValueError, match=r"(sizes|aspect_ratios) must be (one or more|a finite) number"):
        ops.base_anchors(sizes, ratios)


def test_a_grid_needs_anchors():
    with pytest.raises(ValueError, match=r"base must have shape \(N, 4\)"):
        ops.grid_anchors((2, 2), (8, 8), torch.zeros(4))


# ---------------------------------------------------------------- matching and sampling

def test_the_three_bands():
    iou = torch.tensor([[0.7, 0.69, 0.3, 0.29, 0.0]])
    assert ops.match(iou, 0.7, 0.3).tolist() == [0, -2, -2, -1, -1]


def test_the_best_anchor_of_an_object_is_rescued_with_its_ties():
    iou = torch.tensor([[0.2, 0.1, 0.2, 0.0], [0.0, 0.0, 0.5, 0.0]])
    assert ops.match(iou, 0.7, 0.3, allow_low_quality=True).tolist() == [0, -1, 1, -1]      # anchor 2 prefers object 1
    assert ops.match(iou, 0.7, 0.3).tolist() == [-1, -1, -2, -1]


def test_an_object_that_no_anchor_overlaps_rescues_none():
    """The trap: all overlaps equal its best, 0. torchvision's Matcher makes every anchor positive."""
    iou = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.8, 0.1, 0.0, 0.0]])
    assert ops.match(iou, 0.7, 0.3, allow_low_quality=True).tolist() == [1, -1, -1, -1]
    assert ops.match(torch.zeros(1, 3), 0.7, 0.3, allow_low_quality=True).tolist() == [-1] * 3


def test_matching_without_objects_or_anchors():
    assert ops.match(torch.zeros(0, 3), 0.7, 0.3, allow_low_quality=True).tolist() == [-1] * 3
    assert ops.match(torch.zeros(2, 0), 0.7, 0.3, allow_low_quality=True).tolist() == []


@pytest.mark.parametrize("iou, high, low, says", [
    (torch.zeros(3), 0.7, 0.3, r"\(N, M\)"), (torch.zeros(1, 1), 0.3, 0.7, "low must not exceed high"),
    (torch.tensor([[0.1, NAN]]), 0.7, 0.3, "NaN")])
def test_matching_refuses(iou, high, low, says):
    with pytest.raises(ValueError, match=says):
        ops.match(iou, high, low)


def test_matching_leaves_its_input_alone():
    iou = torch.tensor([[0.9, 0.1]])
    ops.match(iou, 0.7, 0.3, allow_low_quality=True)
    assert iou.tolist() == torch.tensor([[0.9, 0.1]]).tolist()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**31), st.integers(0, 60), st.integers(1, 30), st.floats(0, 1))
def test_samples_are_balanced_and_right(seed, count, batch, fraction):
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 3, (count,), generator=g)
    positive, negative = ops.sample(labels, batch, fraction, g)
    assert (labels[positive] >= 1).all() and (labels[negative] == 0).all()
    assert len(positive) == min((labels >= 1).sum(), int(batch * fraction))
    assert len(negative) == min((labels == 0).sum(), batch - len(positive))
    for chosen in (positive, negative):
        assert (chosen.diff() > 0).all()                                        # each once, in order


def test_every_anchor_can_be_drawn():
    labels = torch.tensor([0, 1, 0, 1, 0, -1])
    g = torch.Generator().manual_seed(0)
    drawn = torch.cat([torch.cat(ops.sample(labels, 2, 0.5, g)) for _ in range(60)])
    assert drawn.unique().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("labels, batch, fraction", [(torch.zeros(2, 2), 4, 0.5), (torch.zeros(2), 0, 0.5),
                                                     (torch.zeros(2), 4, 1.5)])
def test_sampling_refuses(labels, batch, fraction):
    with pytest.raises(ValueError, match="(labels|batch_size|positive_fraction) must"):
        ops.sample(labels, batch, fraction)
