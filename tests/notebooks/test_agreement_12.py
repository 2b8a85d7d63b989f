"""What notebook 12 builds is what the package holds, outputs and gradients."""
from functools import partial

import pytest
import torch
from definitions import definitions
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab import ops
from seglab.models import FPN, RPN, RPNHead, assign_levels
from seglab.models.rpn import flatten_predictions

NB = definitions("12_boxes_anchors_proposals", [
    "iou", "iou_matrix", "encode", "decode", "anchor_shapes", "anchor_grid", "assign", "assign_safely", "draw",
    "Pyramid", "level_of", "Head", "flatten", "rpn_losses", "nms_loop", "nms_rounds", "nms_by_class", "propose",
    "soft_nms", "ANCHORS", "RATIOS", "LEVEL_SIZES", "STRIDES"])
SEEDS = st.integers(0, 2**31)


def boxes(count, generator, extent=100.0):
    start, size = torch.rand(2, count, 2, generator=generator, dtype=torch.float64)
    return torch.cat([start * extent, start * extent + 1 + 50 * size], dim=1)


def value_and_gradients(function, *inputs):
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad((value * value.detach().cos()).sum(), leaves)]


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 12), st.integers(1, 12))
def test_overlaps(seed, n, m):
    g = torch.Generator().manual_seed(seed)
    a, b = boxes(n, g), boxes(m, g)
    torch.testing.assert_close(value_and_gradients(NB.iou_matrix, a, b), value_and_gradients(ops.box_iou, a, b),
                               rtol=0, atol=1e-12)
    assert NB.iou(a[0].tolist(), b[0].tolist()) == pytest.approx(ops.box_iou(a, b)[0, 0].item(), abs=1e-12)


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(1, 20), st.sampled_from([(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)]))
def test_offsets(seed, n, weights):
    g = torch.Generator().manual_seed(seed)
    a, b, t = boxes(n, g), boxes(n, g), 4 * torch.randn(n, 4, generator=g, dtype=torch.float64)
    for mine, package, inputs in ((NB.encode, ops.encode_boxes, (a, b)), (NB.decode, ops.decode_boxes, (t, b))):
        torch.testing.assert_close(value_and_gradients(partial(mine, weights=weights), *inputs),
                                   value_and_gradients(partial(package, weights=weights), *inputs),
                                   rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sizes, ratios, stride", [((32,), (0.5, 1.0, 2.0), 4), ((14, 24, 42), (1.0,), 8),
                                                   ((5, 37), (0.3, 3.0), 16)])
def test_anchors(sizes, ratios, stride):
    shapes = NB.anchor_shapes(sizes, ratios)
    assert torch.equal(shapes, ops.base_anchors(sizes, ratios))
    assert torch.equal(NB.anchor_grid(3, 5, stride, shapes), ops.grid_anchors((3, 5), (stride, stride), shapes))


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 5), st.integers(1, 30))
def test_matching(seed, objects, anchors):
    iou = (torch.rand(objects, anchors, generator=torch.Generator().manual_seed(seed)) * 10).round() / 10
    assert torch.equal(NB.assign_safely(iou), ops.match(iou, 0.7, 0.3, allow_low_quality=True))
    iou[:, 0] += 0.1                                                    # no trap for the naive rule
    for rescue in (False, True):
        assert torch.equal(NB.assign(iou, rescue=rescue), ops.match(iou, 0.7, 0.3, rescue))


def test_matching_in_the_trap():
    iou = torch.tensor([[0.8, 0.1], [0.0, 0.0]])
    assert NB.assign(iou).tolist() == [0, 0] and ops.match(iou, 0.7, 0.3, True).tolist() == [0, -1]


@settings(deadline=None, max_examples=20)
@given(SEEDS, st.integers(0, 40), st.integers(1, 40))
def test_sampling(seed, anchors, count):
    matched = torch.randint(-2, 3, (anchors,), generator=torch.Generator().manual_seed(seed))
    labels = torch.where(matched >= 0, 1, torch.where(matched == -1, 0, -1))
    torch.manual_seed(seed)
    mine = NB.draw(matched, count)
    torch.manual_seed(seed)
    for a, b in zip(mine, ops.sample(labels, count, 0.5), strict=True):
        assert torch.equal(a.sort()[0], b)


def test_pyramid_and_levels():
    torch.manual_seed(0)
    mine, package = NB.Pyramid([2, 3, 4], 5).double(), FPN([2, 3, 4], 5).double()
    mine.load_state_dict(dict(zip(mine.state_dict(), package.state_dict().values(), strict=True)))
    features = [torch.randn(2, c, *size, dtype=torch.float64) for c, size in ((2, (9, 7)), (3, (5, 4)), (4, (3, 2)))]

    def together(module):
        return lambda *maps: torch.cat([m.flatten() for m in module(list(maps))])
    torch.testing.assert_close(value_and_gradients(together(mine), *features),
                               value_and_gradients(together(package), *features), rtol=0, atol=1e-12)
    some = boxes(200, torch.Generator().manual_seed(1)) * 8
    assert torch.equal(NB.level_of(some), 2 + assign_levels(some))


def test_head_and_flattening():
    torch.manual_seed(0)
    mine, package = NB.Head(4, 3).double(), RPNHead(4, 3).double()
    mine.load_state_dict(dict(zip(mine.state_dict(), package.state_dict().values(), strict=True)))
    maps = [torch.randn(2, 4, 5, 3, dtype=torch.float64), torch.randn(2, 4, 2, 2, dtype=torch.float64)]
    for a, b, columns in zip(mine(maps), package(maps), (1, 4), strict=True):
        torch.testing.assert_close(NB.flatten(a, columns), flatten_predictions(b, columns), rtol=0, atol=1e-12)


def test_losses():
    g = torch.Generator().manual_seed(2)
    anchors, truth = boxes(300, g), boxes(4, g)
    matched = ops.match(ops.box_iou(truth, anchors), 0.7, 0.3, True)
    package = RPN(4, ((8,),), batch_size_per_image=64)
    labels, objects = package.assign_targets(anchors, [truth])
    inputs = torch.randn(300, generator=g, dtype=torch.float64), torch.randn(300, 4, generator=g, dtype=torch.float64)

    def mine(logits, offsets):
        torch.manual_seed(4)
        return torch.stack(NB.rpn_losses(logits, offsets, anchors, matched, truth, count=64))

    def theirs(logits, offsets):
        torch.manual_seed(4)
        return torch.stack(package.compute_loss(logits[None], offsets[None], anchors, labels, objects, [truth]))
    torch.testing.assert_close(value_and_gradients(mine, *inputs), value_and_gradients(theirs, *inputs), rtol=0,
                               atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 60), st.sampled_from([0.3, 0.5, 0.7]))
def test_suppression(seed, count, threshold):
    g = torch.Generator().manual_seed(seed)
    some, classes = boxes(count, g, extent=30) - 20, torch.randint(3, (count,), generator=g)
    scores = (5 * torch.rand(count, generator=g)).round()
    want = ops.nms(some, scores, threshold)
    assert torch.equal(NB.nms_loop(some, scores, threshold), want)
    assert torch.equal(NB.nms_rounds(some, scores, threshold)[0], want)
    assert torch.equal(NB.nms_by_class(some, scores, classes, threshold),
                       ops.batched_nms(some, scores, classes, threshold))


def test_soft_suppression_agrees_with_hard_where_nothing_overlaps_in_part():
    some = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 9], [20, 20, 30, 30]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    soft = NB.soft_nms(some, scores, sigma=0.01)
    assert soft[[0, 2]].tolist() == scores[[0, 2]].tolist() and soft[1] < 1e-6
    assert (soft > 0.1).nonzero()[:, 0].tolist() == ops.nms(some, scores, 0.5).tolist()


def test_proposals():
    g = torch.Generator().manual_seed(3)
    logits, offsets = torch.randn(len(NB.ANCHORS), generator=g), 0.3 * torch.randn(len(NB.ANCHORS), 4, generator=g)
    package = RPN(4, tuple((s,) for s in NB.LEVEL_SIZES), NB.RATIOS, pre_nms_top_n={"testing": 40},
                  post_nms_top_n={"testing": 50}, nms_thresh=0.5).eval()
    anchors = list(NB.ANCHORS.split([3 * (128 // d) ** 2 for d in NB.STRIDES]))
    want = package.filter_proposals(logits[None], offsets[None], anchors, [(128, 128)])[0][0]
    torch.testing.assert_close(NB.propose(logits, offsets, 40, 50, 0.5), want, rtol=0, atol=1e-3)
