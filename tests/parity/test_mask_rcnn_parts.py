"""The parts of Mask R-CNN against torchvision's: transform, pooling by level, mask targets, pasting, losses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import (
    fastrcnn_loss as reference_box_loss,
)
from torchvision.models.detection.roi_heads import (
    maskrcnn_inference,
    maskrcnn_loss,
    paste_masks_in_image,
    project_masks_on_boxes,
)
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import MultiScaleRoIAlign

from seglab.models import (
    DetectionTransform,
    RoIPooler,
    fastrcnn_loss,
    mask_targets,
    paste_masks,
    sigmoid_mask_loss,
    sigmoid_mask_probabilities,
)

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
quick = settings(deadline=None, max_examples=25)


def label_map(generator, height, width, count):
    """`count` rectangles over each other: some ids may be covered and have no pixel."""
    labels = torch.zeros(height, width, dtype=torch.int32)
    for i in range(count):
        y, x = (int(torch.randint(0, side, (1,), generator=generator)) for side in (height, width))
        h, w = (int(torch.randint(1, side + 1, (1,), generator=generator)) for side in (height, width))
        labels[y:y + h, x:x + w] = i + 1
    return labels


def stack(labels, count):
    return labels == torch.arange(1, count + 1)[:, None, None]


@quick
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_transform_bitwise(seed, training, dtype):
    generator = torch.Generator().manual_seed(seed)
    side = lambda: int(torch.randint(9, 90, (1,), generator=generator))
    images, targets = [], []
    for count in (3, 0, 1):
        height, width = side(), side()
        labels = label_map(generator, height, width, count)
        images.append(torch.rand(3, height, width, generator=generator, dtype=dtype))
        corner = torch.rand(count, 2, generator=generator, dtype=dtype) * 5
        targets.append({"boxes": torch.cat([corner, corner + 3], 1), "labels": torch.ones(count, dtype=torch.int64),
                        "masks": stack(labels, count).byte(), "instances": labels})
    options = dict(min_size=(30, 41, 64), max_size=90)
    ours = DetectionTransform(image_mean=MEAN, image_std=STD, **options).train(training)
    theirs = GeneralizedRCNNTransform(image_mean=MEAN, image_std=STD, **options).train(training)
    before = [image.clone() for image in images]
    torch.manual_seed(seed)
    batch = ours(images, targets)
    torch.manual_seed(seed)
    expected, moved = theirs(images, [{k: v for k, v in t.items() if k != "instances"} for t in targets])
    assert torch.equal(batch.images, expected.tensors)
    assert batch.sizes == [tuple(size) for size in expected.image_sizes]
    for mine, theirs_, target, count in zip(batch.targets, moved, targets, (3, 0, 1)):
        assert torch.equal(mine["boxes"], theirs_["boxes"]) and torch.equal(mine["masks"], theirs_["masks"])
        assert torch.equal(stack(mine["instances"], count).byte(), theirs_["masks"])      # the label map moves alike
        assert mine["instances"].dtype == torch.int32 and mine is not target
    assert all(torch.equal(a, b) for a, b in zip(images, before))


@quick
@given(st.integers(0, 10**6), st.sampled_from([7, 14, 28]), st.sampled_from([torch.float32, torch.float64]))
def test_mask_targets_are_roi_align_of_the_masks(seed, size, dtype):
    generator = torch.Generator().manual_seed(seed)
    height, width = (int(torch.randint(3, 120, (1,), generator=generator)) for _ in range(2))
    labels = label_map(generator, height, width, 6)
    corner = torch.rand(12, 2, generator=generator, dtype=dtype) * torch.tensor([width, height], dtype=dtype)
    boxes = torch.cat([corner, corner + torch.rand(12, 2, generator=generator, dtype=dtype) * width], 1) - 4
    boxes[0] = torch.tensor([2.0, 3, 2, 3])                                              # no area
    boxes[1] = torch.tensor([9.0, 9, 1, 1])                                              # reversed
    boxes[2] = torch.tensor([-900.0, -900, -800, -800])                                  # outside
    boxes[3] = torch.tensor([0.0, 0, width, height])
    boxes[4] = torch.tensor([1.0, 1, 2, 2])                                              # one pixel
    objects = torch.randint(0, 6, (12,), generator=generator)
    expected = project_masks_on_boxes(stack(labels, 6).to(dtype), boxes, objects, size)
    for maps in (labels, labels.long(), labels.byte(), labels.to(torch.uint16), labels.T.contiguous().T,
                 stack(labels, 6), stack(labels, 6).byte()):
        mine = mask_targets(maps, objects, boxes, size)
        assert mine.dtype == dtype and (mine - expected).abs().max() <= (1e-14 if dtype == torch.float64 else 1e-6)


def test_mask_targets_of_2000_objects_and_small_ids():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(1, 2001, dtype=torch.int32).reshape(40, 50).repeat_interleave(12, 0).repeat_interleave(10, 1)
    objects = torch.randint(0, 2000, (300,), generator=generator)
    corner = torch.stack([objects % 50 * 10, objects // 50 * 12], 1).float()
    boxes = torch.cat([corner, corner + torch.tensor([10.0, 12.0])], 1) + torch.randn(300, 4, generator=generator)
    mine = mask_targets(labels, objects, boxes, 28)
    expected = torch.cat([project_masks_on_boxes((labels == i + 1)[None].float(), b[None], torch.zeros(1), 28)
                          for i, b in zip(objects, boxes)])
    worst = (mine - expected).abs().max().item()
    print(f"mask targets of 2,000 objects from one label map against roi_align of dense masks: {worst:.0e}")
    assert worst <= 1e-6 and mine.mean() > 0.5
    # object 255 has id 256, which a map of bytes cannot hold: its mask is empty and not the background's
    assert mask_targets(torch.zeros(8, 8, dtype=torch.uint8), torch.tensor([255]), torch.tensor([[1.0, 1, 6, 6]]),
                        7).abs().max() == 0


def test_mask_targets_of_boxes_far_larger_than_the_picture():
    maps = torch.ones(9, 12, dtype=torch.int32)
    boxes = torch.tensor([[-3000.0, -50, 40, 5000], [2.0, 3, 9000, 4], [-1e9, -1e9, 1e9, 1e9], [1e9, 0, 2e9, 5]])
    objects = torch.zeros(4, dtype=torch.int64)
    expected = project_masks_on_boxes((maps == 1)[None].float(), boxes[:2], objects[:2], 14)
    mine = mask_targets(maps, objects, boxes, 14)
    assert (mine[:2] - expected).abs().max() < 1e-6 and mine[:2].max() > 0
    assert mine[2].isfinite().all() and mine[3].max() == 0


def test_mask_targets_keep_their_precision_under_autocast():
    maps = torch.zeros(40, 40, dtype=torch.int32)
    maps[5:30, 8:33] = 1
    boxes = torch.tensor([[3.3, 4.7, 35.1, 33.9]])
    with torch.autocast("cpu", torch.bfloat16):
        mine = mask_targets(maps, torch.tensor([0]), boxes, 14)
    assert mine.dtype == torch.float32 and torch.equal(mine, mask_targets(maps, torch.tensor([0]), boxes, 14))


@quick
@given(st.integers(0, 10**6), st.sampled_from([torch.float32, torch.float64]))
def test_paste_bitwise(seed, dtype):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(14, 1, 28, 28, generator=generator, dtype=dtype)
    corner = torch.rand(14, 2, generator=generator, dtype=dtype) * 45
    boxes = torch.cat([corner, corner + torch.rand(14, 2, generator=generator, dtype=dtype) * 60], 1)
    boxes[0] = torch.tensor([5.0, 5, 5, 5])
    boxes[1] = torch.tensor([0.0, 0, 70, 50])
    boxes[2] = torch.tensor([20.3, 20.3, 21.2, 21.4])
    boxes[3] = torch.tensor([-30.0, 10, 200, 12])
    expected = paste_masks_in_image(masks, boxes, (50, 70))
    mine = paste_masks(masks, boxes, (50, 70))
    assert mine.dtype == expected.dtype and torch.equal(mine, expected)
    assert torch.equal(paste_masks(masks, boxes, (50, 70), threshold=0.5), expected > 0.5)


def test_paste_outside_and_nothing():
    masks = torch.ones(2, 1, 14, 14)
    boxes = torch.tensor([[100.0, 100, 120, 120], [-50, -50, -20, -20]])     # torchvision raises on these
    assert paste_masks(masks, boxes, (30, 40)).shape == (2, 1, 30, 40)
    assert paste_masks(masks, boxes, (30, 40)).sum() == 0
    assert paste_masks(masks[:0], boxes[:0], (30, 40)).shape == (0, 1, 30, 40)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("size", [(96, 128), (75, 121), (200, 64)])
def test_pooling_by_level(size, channels_last):
    generator = torch.Generator().manual_seed(1)
    padded = tuple(-(-side // 32) * 32 for side in size)
    maps = [torch.randn(2, 6, padded[0] // s, padded[1] // s, generator=generator, dtype=torch.float64)
            for s in (4, 8, 16, 32, 64)]
    if channels_last:
        maps = [m.contiguous(memory_format=torch.channels_last) for m in maps]
    boxes = []
    for count in (30, 7):
        corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 60
        boxes.append(torch.cat([corner, corner + 2 ** (torch.rand(count, 2, generator=generator) * 7)], 1))
    for scale, levels in ((224, 1), (28, 4)):
        leaves, copies = ([m.clone().requires_grad_() for m in maps] for _ in range(2))
        mine = RoIPooler(7, canonical_scale=scale)(leaves, boxes, padded)
        theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2, canonical_scale=scale)(
            {str(i): m for i, m in enumerate(copies)}, boxes, [size, size])
        assert (mine - theirs).abs().max() < 1e-12
        weight = torch.randn(mine.shape, generator=generator, dtype=torch.float64)
        (mine * weight).sum().backward()
        (theirs * weight).sum().backward()
        assert all((a.grad - b.grad).abs().max() < 1e-12 for a, b in zip(leaves[:4], copies[:4]))
        assert leaves[4].grad is None
        assert sum(int(m.grad.abs().sum() > 0) for m in leaves[:4]) == levels


def test_strides_of_small_pictures_are_exact():
    """A picture of 40 px padded to 64: torchvision takes stride 4 for 2, because it divides by 40."""
    maps = [torch.randn(1, 2, 64 // s, 64 // s) for s in (4, 8, 16, 32)]
    boxes = [torch.tensor([[4.0, 4, 36, 36]])]
    mine = RoIPooler(7)([*maps, maps[-1]], boxes, (64, 64))
    guess = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    wrong = guess({str(i): m for i, m in enumerate(maps)}, boxes, [(40, 40)])
    right = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)({str(i): m for i, m in enumerate(maps)}, boxes, [(64, 64)])
    assert guess.scales[0] == 0.5 and (mine - right).abs().max() < 1e-6 < (mine - wrong).abs().max()


@pytest.mark.parametrize("count", [0, 1, 20])
def test_losses_and_gradients(count):
    generator = torch.Generator().manual_seed(count)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()
    logits, deltas, targets = draw(20, 5), draw(20, 20), torch.randn(20, 4, generator=generator, dtype=torch.float64)
    labels = torch.zeros(20, dtype=torch.int64)
    labels[:count] = torch.randint(1, 5, (count,), generator=generator)
    mine, theirs = fastrcnn_loss(logits, deltas, labels, targets), reference_box_loss(logits, deltas, [labels],
                                                                                      [targets])
    for a, b in zip(mine, theirs):
        assert (a - b).abs() < 1e-12
        for x, y in zip(torch.autograd.grad(a, (logits, deltas), retain_graph=True, allow_unused=True),
                        torch.autograd.grad(b, (logits, deltas), retain_graph=True, allow_unused=True)):
            assert x is None and y is None or (x - y).abs().max() < 1e-12
    masks = draw(count, 5, 14, 14)
    label_image = label_map(generator, 40, 50, 3)
    corner = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 20
    boxes, objects = torch.cat([corner, corner + 15], 1), torch.randint(0, 3, (count,), generator=generator)
    classes = torch.tensor([2, 4, 1])
    mine = sigmoid_mask_loss(masks, classes[objects], mask_targets(label_image, objects, boxes, 14))
    theirs = maskrcnn_loss(masks, [boxes], [stack(label_image, 3).double()], [classes], [objects])
    (a,), (b,) = torch.autograd.grad(mine, masks), torch.autograd.grad(theirs, masks)
    assert (mine - theirs).abs() < 1e-12 and torch.equal(a, b)
    others = torch.arange(5) != classes[objects][:, None]
    assert a[others].abs().sum() == 0                        # other classes' masks: exactly no gradient
    expected = maskrcnn_inference(masks, [classes[objects]])[0]
    assert torch.equal(sigmoid_mask_probabilities(masks, classes[objects]), expected)
