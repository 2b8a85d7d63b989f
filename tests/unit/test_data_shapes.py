"""Shapes: everything a scene says about itself is true of its pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torchvision.ops import masks_to_boxes

from seglab.data import IGNORE, Shapes
from seglab.data.shapes import CLASSES, KEYPOINTS, smooth_noise

EIGHT = np.ones((3, 3))  # strokes may turn diagonally


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 5), index=st.integers(0, 9999), num_classes=st.integers(2, 6),
       size=st.sampled_from([(128, 128), (64, 96), (33, 47)]))
def test_a_scene_agrees_with_itself(seed, index, num_classes, size):
    scene = Shapes(size=size, num_classes=num_classes, objects=(1, 8), radius=(6, 20), seed=seed)[index]
    count = len(scene)
    assert 1 <= count <= 8 and scene.image.shape == (3, *size)
    assert set(scene.classes.tolist()) <= set(range(1, num_classes))
    # semantic = class of the instance; every instance is seen; boxes are those of the visible part
    assert torch.equal(scene.semantic, torch.cat([torch.zeros(1, dtype=torch.int64),
                                                  scene.classes])[scene.instances.long()])
    masks = scene.instances[None] == torch.arange(1, count + 1)[:, None, None]
    assert masks.flatten(1).any(1).all()
    assert torch.equal(scene.boxes, masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1]))
    # strokes lie on their own class, one connected stroke an object and one on the background
    drawn = scene.scribbles != IGNORE
    assert torch.equal(scene.scribbles[drawn], scene.semantic[drawn])
    for instance in scene.instances.unique().tolist():
        assert ndimage.label((drawn & (scene.instances == instance)).numpy(), EIGHT)[1] == 1
    # visible keypoints touch their object; outside the picture nothing is visible
    x, y, visible = scene.keypoints.unbind(-1)
    outside = (x < 0) | (y < 0) | (x >= size[1]) | (y >= size[0])
    assert not visible[outside].any() and set(visible.unique().tolist()) <= {0.0, 1.0}
    for mask, place, seen in zip(masks.numpy(), scene.keypoints.numpy(), visible.bool().numpy()):
        distance = ndimage.distance_transform_edt(~mask)
        columns, rows = np.floor(place[seen, :2]).astype(int).T
        assert (distance[rows, columns] <= 3.7).all()


def test_same_index_same_scene_other_index_or_seed_other_scene():
    one, again = Shapes(seed=3), Shapes(seed=3)
    again[7]  # drawing another scene first changes nothing
    for field in ("image", "semantic", "instances", "boxes", "keypoints", "scribbles"):
        assert torch.equal(getattr(one[5], field), getattr(again[5], field))
    assert not torch.equal(one[5].image, one[6].image)
    assert not torch.equal(one[5].image, Shapes(seed=4)[5].image)
    assert len(list(Shapes(length=3))) == 3


def test_objects_hide_each_other_and_hidden_keypoints_are_marked():
    shapes = Shapes(objects=(6, 6), radius=(14, 30), seed=1)
    scenes = [shapes[index] for index in range(60)]
    hidden = 0
    for scene in scenes:
        for points in scene.keypoints:
            x, y, visible = points[0]  # the centre of a shape lies inside it: unseen = covered
            hidden += int(not visible and 0 <= x < 128 and 0 <= y < 128)
    assert hidden >= 10


def test_a_lone_object_has_all_its_keypoints_on_its_edge():
    shapes = Shapes(size=(128, 128), num_classes=len(CLASSES), objects=(1, 1), radius=(16, 24), seed=2)
    for index in range(40):
        scene = shapes[index]
        assert scene.keypoints[0, :, 2].all()  # 30..70 % of the picture leaves room for 24 px
        mask = np.pad(scene.instances.numpy() > 0, 1)
        edge = np.minimum(ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask) + 1)
        columns, rows = np.floor(scene.keypoints[0, 1:, :2].numpy()).astype(int).T + 1
        assert (edge[rows, columns] <= 2.3).all(), CLASSES[scene.classes[0]]
        top, right, bottom, left = scene.keypoints[0, 1:, :2]
        assert KEYPOINTS[1:] == ("top", "right", "bottom", "left")
        assert top[1] < bottom[1] and left[0] < right[0]


def test_colour_does_not_tell_the_class_and_size_varies():
    shapes = Shapes(size=(64, 64), objects=(2, 4), radius=(6, 20), seed=5)
    colours, classes, areas = [], [], []
    for scene in (shapes[index] for index in range(250)):
        for instance, class_id in enumerate(scene.classes.tolist(), start=1):
            inside = scene.instances == instance
            colours.append(scene.image[:, inside].mean(1).numpy())
            classes.append(class_id)
            areas.append(int(inside.sum()))
    colours, classes = np.array(colours), np.array(classes)
    means = np.array([colours[classes == c].mean(0) for c in (1, 2, 3)])
    spread = colours.std(0) / np.sqrt(len(colours) / 3)
    assert (np.ptp(means, axis=0) < 4 * spread).all()
    assert np.percentile(areas, 90) > 3 * np.percentile(areas, 10)


def test_plain_colours_without_texture_and_noise():
    scene = Shapes(objects=(1, 1), texture=0, noise=0, seed=0)[0]
    inside = torch.from_numpy(ndimage.binary_erosion(scene.instances.numpy() > 0, iterations=2))
    assert scene.image[:, inside].std(1).max() < 1e-6


def test_smooth_noise_tiles_without_a_seam():
    field = smooth_noise(np.random.default_rng(0), 64, 3.0)
    assert abs(field.mean()) < 1e-5 and abs(field.std() - 1) < 1e-5
    inner = np.abs(np.diff(field, axis=0)).max()
    assert np.abs(field[0] - field[-1]).max() <= 1.2 * inner


@pytest.mark.parametrize(("name", "value"), [
    ("size", (8, 64)), ("num_classes", 1), ("num_classes", 7), ("objects", (0, 2)), ("objects", (4, 2)),
    ("radius", (2, 9)), ("radius", (9, 500)), ("rotation", 200), ("texture", -1), ("noise", float("nan")),
    ("length", 0), ("seed", -1),
])
def test_wrong_argument_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        Shapes(**{name: value})


def test_index_beyond_the_end():
    for index in (-10_001, 10_000):
        with pytest.raises(IndexError):
            Shapes()[index]


def test_docstring_examples_run():
    import doctest

    import seglab.data.cells
    import seglab.data.shapes
    for module in (seglab.data.shapes, seglab.data.cells):
        result = doctest.testmod(module, extraglobs={"Shapes": Shapes})
        assert result.attempted and not result.failed


@pytest.mark.parametrize("bad", [float("inf"), float("nan"), -float("inf")])
@pytest.mark.parametrize("name", ["num_classes", "rotation", "texture", "noise", "length", "seed"])
def test_numbers_that_are_none_are_refused(name, bad):
    with pytest.raises((TypeError, ValueError), match=name):
        Shapes(**{name: bad})
    for pair in ((bad, 64), (64, bad)):
        for field in ("size", "radius", "objects"):
            with pytest.raises((TypeError, ValueError), match=field):
                Shapes(**{field: pair})
