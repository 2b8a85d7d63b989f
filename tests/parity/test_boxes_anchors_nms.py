"""Boxes, anchors, matching, sampling and suppression against torchvision."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops as tv
from torchvision.models.detection import _utils as tv_utils
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.poolers import LevelMapper

from seglab import ops
from seglab.models import assign_levels

SEEDS = st.integers(0, 2**31)


def report(part, reference, cases, worst=0.0):
    print(f"\n{part}: reference {reference}, {cases} cases, worst difference {worst:.1e}")


def random_boxes(count, generator, dtype=torch.float64, extent=100.0, least=1.0, most=40.0):
    start = torch.rand(count, 2, generator=generator, dtype=dtype) * extent
    sides = least + torch.rand(count, 2, generator=generator, dtype=dtype) * (most - least)
    return torch.cat([start, start + sides], dim=1)


def awkward(count, generator, dtype=torch.float64):
    """Boxes of which some are empty, reversed, negative, doubled or on whole px."""
    boxes = random_boxes(count, generator, dtype) - 30
    kind = torch.randint(6, (count,), generator=generator)
    boxes[kind == 1, 2] = boxes[kind == 1, 0]
    boxes[kind == 2] = boxes[kind == 2][:, [2, 1, 0, 3]]
    boxes[kind == 3] = boxes[kind == 3].round()
    boxes[kind == 4] = boxes[:1].clone()
    return boxes


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(0, 12), st.integers(0, 12), st.sampled_from([torch.float32, torch.float64, torch.int64]))
def test_areas_overlaps_clips(seed, n, m, dtype):
    g = torch.Generator().manual_seed(seed)
    a, b = awkward(n, g).to(dtype), awkward(m, g).to(dtype)
    assert torch.equal(ops.box_area(a), tv.box_area(a))
    want = tv.box_iou(a, b)
    got = ops.box_iou(a, b)
    assert got.shape == want.shape and got.dtype == want.dtype
    assert torch.equal(got, want.nan_to_num(0.0).abs())             # 0 / 0 and 0 / -area are 0 here
    assert torch.equal(ops.clip_boxes_to_image(a, (40, 60)), tv.clip_boxes_to_image(a, (40, 60)))
    for least in (0, 1, 17.5):
        assert torch.equal(ops.remove_small_boxes(a, least), tv.remove_small_boxes(a, least))


def test_overlap_gradients():
    g = torch.Generator().manual_seed(0)
    a, b = random_boxes(20, g), random_boxes(30, g)
    weights = torch.rand(20, 30, generator=g, dtype=torch.float64)
    grads = []
    for iou in (ops.box_iou, tv.box_iou):
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        grads.append(torch.cat(torch.autograd.grad((iou(x, y) * weights).sum(), (x, y))))
    worst = (grads[0] - grads[1]).abs().max().item()
    report("box IoU, gradient", "torchvision.ops.box_iou", 50, worst)
    assert grads[1].any() and worst < 1e-14


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(0, 5), st.integers(1, 9), st.integers(1, 9), st.sampled_from([torch.bool, torch.uint8,
                                                                                    torch.float32]))
def test_boxes_of_masks(seed, n, height, width, dtype):
    g = torch.Generator().manual_seed(seed)
    masks = (torch.rand(n, height, width, generator=g) < torch.rand(n, 1, 1, generator=g) ** 3).to(dtype)
    assert torch.equal(ops.masks_to_boxes(masks), tv.masks_to_boxes(masks))


@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-5), (torch.float64, 1e-13)])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0), (2.0, 3.0, 5.0, 7.0)])
def test_box_coder(dtype, bound, weights):
    g = torch.Generator().manual_seed(1)
    coder = tv_utils.BoxCoder(weights)
    a, b = random_boxes(500, g, dtype), random_boxes(500, g, dtype)
    deltas = torch.randn(500, 12, generator=g, dtype=dtype) * 4                # some beyond the clamp
    worst = 0.0
    for mine, theirs, first in ((ops.encode_boxes, coder.encode_single, a), (ops.decode_boxes, coder.decode_single,
                                                                             deltas * weights[0])):
        results = []
        for f, extra in ((mine, (weights,)), (theirs, ())):
            x, y = first.clone().requires_grad_(), b.clone().requires_grad_()
            value = f(x, y, *extra)
            results.append([value, *torch.autograd.grad(value.sin().sum(), (x, y))])
        for got, want in zip(*results, strict=True):
            scale = want.abs().max().clamp(min=1)
            worst = max(worst, ((got - want).abs().max() / scale).item())
    assert (deltas[:, 2] > math.log(1000 / 16)).any()
    report(f"box coder {str(dtype)[6:]}, value and gradient, weights {weights}", "BoxCoder", 1000, worst)
    assert worst < bound


def test_there_and_back():
    g = torch.Generator().manual_seed(2)
    a, b = random_boxes(1000, g, torch.float32), random_boxes(1000, g, torch.float32)
    worst = (ops.decode_boxes(ops.encode_boxes(a, b), b) - a).abs().max().item()
    report("encode then decode, float32 boxes of 100 px", "the boxes themselves", 1000, worst)
    assert worst < 1e-4                                                        # a few steps of float32 at 140 px


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(1, 40), st.integers(1, 40))
def test_anchors(seed, height, width):
    g = torch.Generator().manual_seed(seed)
    sizes = (tuple(torch.randint(5, 300, (3,), generator=g).tolist()), (16, 32, 45))
    ratios = (0.5, 1.0, 2.0)
    generator = AnchorGenerator(sizes, (ratios, ratios))
    maps = [torch.zeros(1, 1, height, width), torch.zeros(1, 1, -(-height // 2), -(-width // 2))]
    size = (height * 4 + 3, width * 4 + 1)
    want = generator(ImageList(torch.zeros(1, 1, *size), [size]), maps)[0]
    got = torch.cat([ops.grid_anchors((h, w), (size[0] // h, size[1] // w), ops.base_anchors(level, ratios))
                     for level, m in zip(sizes, maps, strict=True) for h, w in [m.shape[-2:]]])
    assert torch.equal(got, want)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 900), st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]),
       st.sampled_from([torch.float32, torch.float64]), st.booleans(), st.booleans())
def test_suppression(seed, count, threshold, dtype, tied, whole):
    g = torch.Generator().manual_seed(seed)
    extent = 10 * count ** 0.5 * float(torch.rand(1, generator=g))               # from a heap to a lawn
    boxes = random_boxes(count, g, dtype, extent)
    boxes = boxes.round() if whole else boxes                                    # many exact thirds and halves
    scores = torch.rand(count, generator=g, dtype=dtype)
    scores = (scores * 5).round() if tied else scores
    assert torch.equal(ops.nms(boxes, scores, threshold), tv.nms(boxes, scores, threshold))


def test_suppression_of_thousands():
    g = torch.Generator().manual_seed(3)
    cases = 0
    for count in (1000, 3000):
        for extent in (100.0, 400.0, 1500.0):
            boxes, scores = random_boxes(count, g, torch.float32, extent), torch.rand(count, generator=g)
            for threshold in (0.3, 0.7):
                assert torch.equal(ops.nms(boxes, scores, threshold), tv.nms(boxes, scores, threshold))
                cases += 1
    report("NMS", "torchvision.ops.nms, index for index", cases)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(1, 1500), st.integers(1, 6), st.booleans())
def test_suppression_by_class(seed, count, classes, tied):
    g = torch.Generator().manual_seed(seed)
    boxes = random_boxes(count, g, extent=10 * count ** 0.5 / 2)
    scores = torch.rand(count, generator=g, dtype=torch.float64)
    scores = (scores * 7).round() if tied else scores
    idxs = torch.randint(classes, (count,), generator=g)
    got, want = ops.batched_nms(boxes, scores, idxs, 0.4), tv.batched_nms(boxes, scores, idxs, 0.4)
    if tied and count > 1000:                                        # there torchvision's last sort is not stable
        want = torch.tensor(sorted(want.tolist(), key=lambda i: (-scores[i].item(), i)))
    assert torch.equal(got, want)


def test_suppression_by_class_with_negative_coordinates():
    """Where torchvision's shift lets one class reach into the next."""
    wrong = 0
    for seed in range(20):
        g = torch.Generator().manual_seed(seed)
        boxes = random_boxes(200, g) - 90
        scores, idxs = torch.rand(200, generator=g, dtype=torch.float64), torch.randint(4, (200,), generator=g)
        kept = torch.cat([(idxs == c).nonzero()[:, 0][tv.nms(boxes[idxs == c], scores[idxs == c], 0.3)]
                          for c in range(4)])
        want = kept[scores[kept].argsort(descending=True)]
        assert torch.equal(ops.batched_nms(boxes, scores, idxs, 0.3), want)
        wrong += not torch.equal(tv.batched_nms(boxes, scores, idxs, 0.3), want)
    report("NMS by class, negative coordinates", f"torchvision.ops.nms class by class (its batched_nms is wrong in "
           f"{wrong} of 20)", 20)
    assert wrong > 0


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 6), st.integers(1, 60), st.booleans(), st.booleans())
def test_matching(seed, objects, anchors, low_quality, coarse):
    g = torch.Generator().manual_seed(seed)
    iou = torch.rand(objects, anchors, generator=g)
    iou = (iou * 10).round() / 10 if coarse else iou                             # ties, and exactly on a threshold
    iou[:, 0] += 0.01                                                            # no object is without overlap
    want = tv_utils.Matcher(0.7, 0.3, low_quality)(iou)
    assert torch.equal(ops.match(iou, 0.7, 0.3, low_quality), want)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.integers(0, 50), st.integers(1, 60), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_sampling(seed, count, batch, fraction):
    labels = torch.randint(-1, 3, (count,), generator=torch.Generator().manual_seed(seed)).float()
    torch.manual_seed(seed)
    want = tv_utils.BalancedPositiveNegativeSampler(batch, fraction)([labels, labels])
    torch.manual_seed(seed)
    got = [ops.sample(labels, batch, fraction) for _ in range(2)]
    for side in (0, 1):
        for i in range(2):
            assert torch.equal(got[i][side], torch.where(want[side][i])[0])


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from([torch.float32, torch.float64]), st.integers(1, 3), st.integers(4, 6))
def test_levels(seed, dtype, k_min, k_max):
    g = torch.Generator().manual_seed(seed)
    side = torch.exp(torch.rand(60, 2, generator=g, dtype=dtype) * 7)
    side[:20] = 2.0 ** torch.randint(4, 10, (20, 1), generator=g).to(dtype) * 7                  # 112, 224, 448: edges
    boxes = torch.cat([torch.zeros_like(side), side], dim=1)
    want = LevelMapper(k_min, k_max)([boxes])
    assert torch.equal(assign_levels(boxes, k_min, k_max), want)
