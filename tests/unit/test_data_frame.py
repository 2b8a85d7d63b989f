"""Resized, cropped and batched samples: everything moves together, and nothing new appears."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from seglab.data import (
    Cells,
    Sample,
    Shapes,
    boxes_of,
    collate,
    load_nuclei,
    median_frequency_weights,
    random_crop,
    resize,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def toy():
    """Two objects and a crowd that overlaps one of them, in 8 x 12 px; a third object is hidden by the second."""
    instances = torch.zeros(8, 12, dtype=torch.int32)
    instances[0:4, 0:4], instances[4:8, 6:12] = 1, 2
    masks = torch.zeros(4, 8, 12, dtype=torch.bool)
    masks[0, 0:4, 0:4], masks[1, 4:8, 6:12] = True, True
    masks[2, 5:7, 8:10], masks[3, 0:8, 4:12] = True, True                    # hidden, crowd
    return Sample(image=(instances > 0).float()[None].repeat(3, 1, 1), semantic=(instances > 0).long() * 3,
                  instances=instances, name="toy", classes=torch.tensor([3, 3]),
                  boxes=torch.tensor([[0., 0, 4, 4], [6, 4, 12, 8]]),
                  keypoints=torch.tensor([[[1., 1, 1], [3.5, 3.5, 1]], [[7, 5, 1], [11, 7, 0]]]),
                  scribbles=torch.where(instances > 0, 3, 255).long(), masks=masks,
                  mask_classes=torch.tensor([3, 3, 4, 3]),
                  mask_boxes=torch.tensor([[0., 0, 4, 4], [6, 4, 12, 8], [8, 5, 10, 7], [4, 0, 12, 8]]),
                  crowd=torch.tensor([False, False, False, True]))


def test_resizing_moves_everything_by_one_factor():
    big = resize(toy(), (16, 36))
    assert big.image.shape == (3, 16, 36) and big.name == "toy"
    assert big.boxes.tolist() == [[0, 0, 12, 8], [18, 8, 36, 16]]
    assert np.array_equal(boxes_of(big.instances), big.boxes)                # whole factors: the maps say the same
    assert big.keypoints[0].tolist() == [[3, 2, 1], [10.5, 7, 1]] and big.keypoints[1, 1].tolist() == [33, 14, 0]
    assert torch.equal(big.semantic, toy().semantic.repeat_interleave(2, 0).repeat_interleave(3, 1))
    assert torch.equal(big.masks, toy().masks.repeat_interleave(2, 1).repeat_interleave(3, 2))
    assert big.mask_boxes[3].tolist() == [12, 0, 36, 16] and big.crowd.tolist() == [False, False, False, True]
    assert torch.equal(big.scribbles == 3, big.instances > 0)
    same = resize(toy(), (8, 12))
    assert torch.equal(same.image, toy().image) and torch.equal(same.masks, toy().masks)
    back = resize(big, (8, 12))
    assert torch.equal(back.instances, toy().instances) and torch.allclose(back.boxes, toy().boxes)


def test_shrinking_is_antialiased_and_labels_stay_labels():
    stripes = torch.zeros(1, 64, 64)
    stripes[..., ::4] = 1                                                    # every fourth column, grey value 1/4
    sample = Sample(image=stripes, semantic=torch.randint(0, 9, (64, 64)) * 20)
    small = resize(sample, (16, 16))
    assert small.image[..., 2:-2].sub(0.25).abs().max() < 0.03               # not 0 or 1, whichever a pixel hits
    assert set(small.semantic.unique().tolist()) <= set(sample.semantic.unique().tolist())
    nearest = torch.nn.functional.interpolate(sample.semantic[None, None].double(), (16, 16), mode="nearest-exact")
    assert torch.equal(small.semantic.double(), nearest[0, 0])


def test_pictures_of_ones_may_be_resized():
    """Antialiased interpolation of ones gives 1.00000024."""
    ones = torch.ones(3, 375, 500)
    by_hand = torch.nn.functional.interpolate(ones[None], (128, 128), mode="bilinear", antialias=True)[0]
    assert by_hand.max() > 1
    blank = torch.zeros(128, 128, dtype=torch.long)
    assert Sample(image=by_hand, semantic=blank).image.max() == 1 and by_hand.max() > 1   # cut back in a copy
    assert resize(Sample(image=ones, semantic=torch.zeros(375, 500, dtype=torch.long)), (128, 128)).image.max() == 1


@pytest.mark.parametrize("seed", range(30))
def test_crops_of_scenes_agree_with_themselves(seed):
    scene = Shapes(size=(96, 80), objects=(3, 8), seed=seed)[seed]
    crop = random_crop(scene, (48, 40), rng(seed))
    assert crop.image.shape == (3, 48, 40)
    assert np.array_equal(boxes_of(crop.instances), crop.boxes) and len(crop.classes) == len(crop)
    where = [(y, x) for y in range(49) for x in range(41)
             if torch.equal(scene.image[:, y:y + 48, x:x + 40], crop.image)]
    (top, left), = where
    window = (slice(top, top + 48), slice(left, left + 40))
    assert torch.equal(crop.semantic, scene.semantic[window]) and torch.equal(crop.scribbles, scene.scribbles[window])
    ids = [k for k in scene.instances[window].unique().tolist() if k]
    for new, old in enumerate(ids, start=1):
        assert torch.equal(crop.instances == new, scene.instances[window] == old)
        assert crop.classes[new - 1] == scene.classes[old - 1]
        points = scene.keypoints[old - 1] - torch.tensor([left, top, 0])
        inside = (points[:, 0] >= 0) & (points[:, 0] < 40) & (points[:, 1] >= 0) & (points[:, 1] < 48)
        assert torch.allclose(crop.keypoints[new - 1, :, :2], points[:, :2])
        assert torch.equal(crop.keypoints[new - 1, :, 2], points[:, 2] * inside)


def test_crop_keeps_the_order_of_the_whole_masks():
    seen = set()
    for seed in range(60):
        crop = random_crop(toy(), (4, 6), rng(seed))
        seen.add((len(crop), len(crop.masks)))
        assert len(crop.masks) == len(crop.crowd) == len(crop.mask_classes) == len(crop.mask_boxes)
        for k in range(len(crop)):                                            # the first N are those of the instances
            assert torch.equal(crop.masks[k], crop.instances == k + 1) and not crop.crowd[k]
        for mask, box in zip(crop.masks, crop.mask_boxes):
            assert mask.any() and np.array_equal(boxes_of(mask.int())[0], box)
        truth = crop.truth()
        assert set(truth) == {"masks", "classes", "boxes", "crowd"} and truth["masks"] is crop.masks
    assert len(seen) > 3


def test_crops_reach_every_place_and_repeat():
    ramp = torch.arange(20.).reshape(1, 4, 5) / 20
    sample = Sample(image=ramp, semantic=torch.zeros(4, 5, dtype=torch.long))
    corners = {random_crop(sample, (3, 3), rng(seed)).image[0, 0, 0].item() for seed in range(80)}
    assert corners == {ramp[0, y, x].item() for y in range(2) for x in range(3)}
    one, again = (random_crop(sample, (2, 2), rng(7)).image for _ in range(2))
    assert torch.equal(one, again)
    assert torch.equal(random_crop(sample, (4, 5)).image, ramp)


def test_objects_without_a_pixel_are_dropped_and_boxes_alone_are_cut():
    specks = torch.zeros(64, 64, dtype=torch.int32)
    specks[3, 3], specks[20:40, 20:40] = 1, 2
    sample = Sample(image=torch.rand(1, 64, 64), semantic=(specks > 0).long(), instances=specks,
                    classes=torch.tensor([5, 6]), boxes=torch.from_numpy(boxes_of(specks)))
    assert resize(sample, (8, 8)).classes.tolist() == [6]
    boxes = Sample(image=torch.rand(1, 8, 8), semantic=torch.full((8, 8), 255), boxes=torch.tensor([[0., 0, 2, 2]]),
                   classes=torch.tensor([1]))
    cut = [random_crop(boxes, (7, 7), rng(seed)).boxes.tolist() for seed in range(40)]
    assert {tuple(box) for found in cut for box in found} == {(0, 0, 2, 2), (0, 0, 1, 1), (0, 0, 2, 1), (0, 0, 1, 2)}


@pytest.mark.parametrize(("call", "error", "name"), [
    (lambda s: resize(s, (0, 8)), ValueError, "size"), (lambda s: resize(s, (8, 2.5)), TypeError, "size"),
    (lambda s: resize(s, (8, float("inf"))), TypeError, "size"),
    (lambda s: resize(s.image, (8, 8)), TypeError, "sample"),
    (lambda s: random_crop(s, (9, 12)), ValueError, "size"), (lambda s: random_crop(None, (2, 2)), TypeError, "sample"),
    (lambda s: collate([]), ValueError, "samples"), (lambda s: collate([s, s.image]), TypeError, "samples"),
    (lambda s: collate([s, resize(s, (4, 4))]), ValueError, "samples"),
])
def test_wrong_argument_is_named(call, error, name):
    with pytest.raises(error, match=f"{name} must"):
        call(toy())


def test_samples_go_through_a_data_loader():
    cells = Cells(size=(64, 64), count=6)[:6]
    batches = list(DataLoader(cells, batch_size=4, collate_fn=collate))
    assert [len(batch["image"]) for batch in batches] == [4, 2]
    first = batches[0]
    assert first["image"].shape == (4, 1, 64, 64) and first["semantic"].shape == first["instances"].shape == (4, 64, 64)
    assert first["name"] == [f"cells/0/{k}" for k in range(4)] and "keypoints" not in first
    assert [len(boxes) for boxes in first["boxes"]] == [int(labels.max()) for labels in first["instances"]]
    assert torch.equal(first["image"][2], cells[2].image)
    plain = Sample(image=torch.rand(1, 64, 64), semantic=torch.zeros(64, 64, dtype=torch.long))
    assert "instances" not in collate([cells[0], plain])                     # only what every sample has


def test_a_set_can_be_sliced():
    cells = Cells(size=(64, 64), count=6, length=5)
    part = cells[1:4]
    assert len(part) == 3 and part.classes == cells.classes and torch.equal(part[0].image, cells[1].image)
    assert [s.name for s in cells[::-2]] == ["cells/0/4", "cells/0/2", "cells/0/0"] and len(cells[5:]) == 0
    assert torch.equal(cells[-1].image, cells[4].image) and len(list(cells)) == 5
    with pytest.raises(IndexError):
        part[3]


def of_classes(*rows):
    semantic = torch.tensor(rows)
    return Sample(image=torch.zeros(1, *semantic.shape), semantic=semantic)


def test_median_frequency_weights_by_hand():
    samples = [of_classes([0, 0, 0, 1], [0, 0, 255, 255]), of_classes([0, 0, 2, 2])]
    # f0 = 7 of 10 px, f1 = 1 of the 6 px of its picture, f2 = 2 of 4; the median is 1/2
    assert median_frequency_weights(samples, 3).tolist() == pytest.approx([5 / 7, 3, 1])
    # a class that never occurs has no part in the median: of 7/10, 1/6, 1/2 it is still 1/2
    assert median_frequency_weights(samples, 4).tolist() == pytest.approx([5 / 7, 3, 1, 0])
    assert median_frequency_weights(samples[:1], 2).tolist() == pytest.approx([0.5 / (5 / 6), 0.5 / (1 / 6)])
    nuclei = load_nuclei("train")
    share = (nuclei.semantic == 1).double().mean().item()
    assert median_frequency_weights([nuclei], 2).tolist() == pytest.approx([0.5 / (1 - share), 0.5 / share])
    for wrong, count in ((samples, 2), ([], 2), ([of_classes([255])], 2), (samples, 0), (samples, 256)):
        with pytest.raises(ValueError, match="samples must|num_classes must"):
            median_frequency_weights(wrong, count)
