"""RoIAlign and RoIPool against torchvision's C++ operators and its second, pure PyTorch RoIAlign."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import ops as reference
from torchvision.ops.roi_align import _roi_align

from seglab.ops import roi_align, roi_pool

second_witness = _roi_align.__wrapped__                    # without the compiler, which takes minutes for these sizes
KINDS = ("inside", "whole numbers", "half numbers", "empty", "reversed", "far outside", "any")


def case(seed, dtype=torch.float64, kinds=KINDS, count=14):
    """Feature maps (N, C, H, W) in 0..1 and boxes (K, 5) of every awkward kind."""
    g = torch.Generator().manual_seed(seed)
    n, c, h, w = (int(torch.randint(1, top, (), generator=g)) for top in (4, 5, 22, 22))
    a, b = torch.rand(2, count, 2, generator=g, dtype=torch.float64) * 80 - 20
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    boxes = []
    for k in range(count):
        kind, box = kinds[k % len(kinds)], torch.cat([low[k], high[k]])
        boxes.append({"inside": box.clamp(0, 40), "whole numbers": box.round(), "half numbers": (2 * box).round() / 2,
                      "empty": torch.cat([low[k], low[k]]), "reversed": torch.cat([high[k], low[k]]),
                      "far outside": box + 400 * (-1) ** k, "any": torch.cat([a[k], high[k]])}[kind])
    image = torch.randint(0, n, (count, 1), generator=g)
    return torch.rand(n, c, h, w, generator=g, dtype=torch.float64).to(dtype), torch.cat([image, torch.stack(boxes)],
                                                                                         1).to(dtype)


def compare(mine, theirs, features, *arguments):
    """Largest differences of value and of gradient under the same random cotangent."""
    features = features.requires_grad_()
    a, b = (operator(features, *arguments) for operator in (mine, theirs))
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if not a.numel():
        return 0.0, 0.0
    cotangent = torch.rand(b.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(b) - 0.5
    grads = [torch.autograd.grad(y, features, cotangent)[0] for y in (a, b)]
    return float((a - b).detach().abs().max()), float((grads[0] - grads[1]).abs().max())


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2 ** 31), size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
       scale=st.sampled_from([1.0, 0.5, 0.25, 0.3, 1 / 16]), ratio=st.integers(-1, 4), aligned=st.booleans())
def test_roi_align_in_float64(seed, size, scale, ratio, aligned):
    features, boxes = case(seed)
    if aligned and ratio <= 0:                       # torchvision raises "cannot create std::vector" if one side is < 0
        boxes[:, 3:] = torch.maximum(boxes[:, 1:3], boxes[:, 3:])
    value, grad = compare(roi_align, reference.roi_align, features, boxes, size, scale, ratio, aligned)
    assert value <= 1e-15
    assert grad <= 1e-14 * max(1, boxes.shape[0] * size[0] * size[1] / 50)


def test_roi_align_over_many_boxes():
    """The worst difference over many boxes, printed."""
    worst, cases = torch.zeros(2), 0
    for seed in range(12):
        features, boxes = case(seed, kinds=KINDS[:4])
        for ratio in (-1, 2):
            for aligned in (False, True):
                found = compare(roi_align, reference.roi_align, features, boxes, 7, 0.5, ratio, aligned)
                worst, cases = torch.maximum(worst, torch.tensor(found)), cases + len(boxes)
    print(f"\nroi_align: torchvision, {cases} boxes, float64, worst difference {worst[0]:.1e}, gradient {worst[1]:.1e}")
    assert 0 < worst[0] <= 5e-16 and 0 < worst[1] <= 2e-14


@pytest.mark.parametrize("aligned", [False, True])
def test_adaptive_boxes_much_larger_than_the_map(aligned):
    """Only the samples on the map are laid out, and none of them may be lost."""
    features = torch.rand(1, 1, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for side in (7.2, 9.01, 10.5, 33.3, 250.9):
        for start in (-0.9 * side, -0.5 * side, -1.3, 0.7):
            boxes = torch.tensor([[0, start, start - 0.3, start + side, start + side]], dtype=torch.float64)
            for size in (1, 2):
                value, grad = compare(roi_align, reference.roi_align, features, boxes, size, 1.0, -1, aligned)
                assert value <= 1e-14 and grad <= 1e-14


@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_in_float32(aligned):
    for seed in range(10):
        features, boxes = case(seed, torch.float32)
        value, grad = compare(roi_align, reference.roi_align, features, boxes, (5, 7), 0.25, 2, aligned)
        assert value <= 4e-7
        assert grad <= 1e-5


@pytest.mark.parametrize("ratio", [0, 2])
def test_a_second_witness(ratio):
    """The reference's own pure PyTorch form, on the map: beyond it, it repeats the rim and does not turn to 0."""
    for seed in range(5):
        features, boxes = case(seed, kinds=("inside",))
        features = torch.nn.functional.interpolate(features, (22, 22))
        value, _ = compare(roi_align, lambda x, b, size, *rest: second_witness(x, b, rest[0], size, size, *rest[1:]),
                           features, boxes, 4, 0.5, ratio, True)
        assert value <= 1e-15


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2 ** 31), size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
       scale=st.sampled_from([1.0, 0.5, 0.25, 0.3, 1 / 16]), tied=st.booleans())
def test_roi_pool_is_the_same_to_the_last_bit(seed, size, scale, tied):
    features, boxes = case(seed)
    if tied:                                                  # equal maxima: the gradient goes to the first of them
        features = (2 * features).round()
    assert compare(roi_pool, reference.roi_pool, features, boxes, size, scale) == (0, 0)


def test_roi_pool_in_float32_just_below_a_half():
    """0.49999997 + 0.5 is 1 in float32, but rounds to 0."""
    edge = torch.tensor([0.49999997, 0.5, 1.5, 2.4999998, 2.5, -0.5, -1.5, -0.49999997])
    boxes = torch.stack([torch.zeros(8), edge, edge, edge + 3, edge + 3], 1)
    features = torch.rand(1, 2, 9, 9)
    assert torch.equal(roi_pool(features, boxes, 2), reference.roi_pool(features, boxes, 2))


@pytest.mark.parametrize("mine, theirs, arguments", [
    (roi_align, reference.roi_align, (5, 0.5, 2)), (roi_pool, reference.roi_pool, (5, 0.5))],
    ids=["roi_align", "roi_pool"])
@pytest.mark.parametrize("layout", ["channels_last", "every second channel", "transposed", "half", "list of boxes"])
def test_layouts_dtypes_and_lists(mine, theirs, arguments, layout):
    g = torch.Generator().manual_seed(3)
    whole, boxes = torch.rand(2, 6, 13, 17, generator=g), case(5, torch.float32, KINDS[:4])[1]
    boxes[:, 0] %= 2
    features = {"channels_last": whole.contiguous(memory_format=torch.channels_last), "half": whole.half(),
                "every second channel": whole[:, ::2], "transposed": whole.transpose(2, 3)}.get(layout, whole)
    given = [boxes[boxes[:, 0] == i, 1:] for i in range(2)] if layout == "list of boxes" else boxes.to(features.dtype)
    value, grad = compare(mine, theirs, features.detach(), given, *arguments)
    half = layout == "half"                                   # torchvision computes in half what we do in float32
    assert value <= (0.03 if half else 4e-7)
    assert grad <= (0.1 if half else 2e-6)
    assert mine(features, given, *arguments).is_contiguous(
        memory_format=torch.channels_last if layout == "channels_last" else torch.contiguous_format)
