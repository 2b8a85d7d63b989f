"""Sample refuses what is not a sample, and says which field is wrong."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from torchvision.ops import masks_to_boxes

from seglab.data import Sample, boxes_of, relabel
from seglab.data.instances import largest_parts


def fields(**changed):
    """A valid 6 x 5 sample with two objects, with some fields replaced."""
    instances = torch.zeros(6, 5, dtype=torch.int32)
    instances[:2, :2], instances[4:, 3:] = 1, 2
    good = {
        "image": torch.rand(1, 6, 5), "semantic": (instances > 0).long(), "instances": instances,
        "classes": torch.tensor([1, 1]), "boxes": torch.tensor([[0., 0, 2, 2], [3, 4, 5, 6]]),
        "keypoints": torch.zeros(2, 3, 3), "scribbles": torch.full((6, 5), 255),
    }
    return {**good, **changed}


def test_valid_sample_and_its_short_text():
    sample = Sample(**fields(name="toy"))
    assert len(sample) == 2 and repr(sample) == "Sample('toy', 1 x 6 x 5 px, 2 objects)"
    empty = Sample(image=torch.zeros(3, 4, 4), semantic=torch.zeros(4, 4, dtype=torch.int64))
    assert len(empty) == 0 and bool(empty)


WRONG = [
    ("image", np.zeros((1, 6, 5), dtype=np.float32), TypeError),
    ("image", torch.zeros(1, 6, 5, dtype=torch.float64), TypeError),
    ("image", torch.zeros(6, 5), ValueError),
    ("image", torch.zeros(1, 0, 5), ValueError),
    ("image", torch.full((1, 6, 5), float("nan")), ValueError),
    ("image", torch.full((1, 6, 5), 1.5), ValueError),
    ("image", torch.full((1, 6, 5), -0.1), ValueError),
    ("semantic", torch.zeros(5, 6, dtype=torch.int64), ValueError),
    ("semantic", torch.zeros(6, 5, dtype=torch.uint8), TypeError),
    ("semantic", torch.full((6, 5), -1), ValueError),
    ("semantic", torch.full((6, 5), 256), ValueError),
    ("instances", torch.zeros(6, 5), TypeError),
    ("instances", torch.full((6, 5), -1, dtype=torch.int32), ValueError),
    ("instances", torch.eye(6, 5, dtype=torch.int32) * 3, ValueError),   # a hole in the ids
    ("classes", torch.tensor([1, 1, 1]), ValueError),
    ("boxes", torch.zeros(2, 4), ValueError),                            # empty boxes
    ("boxes", torch.zeros(2, 5), ValueError),
    ("boxes", torch.full((2, 4), float("nan")), ValueError),
    ("keypoints", torch.zeros(1, 3, 3), ValueError),
    ("keypoints", torch.zeros(2, 3, 2), ValueError),
    ("scribbles", torch.full((6, 5), 256), ValueError),
    ("scribbles", torch.zeros(6, 5, dtype=torch.int32), TypeError),
]


@pytest.mark.parametrize(("field", "value", "error"), WRONG)
def test_wrong_field_is_named(field, value, error):
    with pytest.raises(error, match=field):
        Sample(**fields(**{field: value}))


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 12), st.integers(1, 12)),
                  elements=st.sampled_from([0, 1, 5, 7, 65535])))
def test_relabel_keeps_the_partition(labels):
    new = relabel(labels)
    assert new.dtype == np.int32 and set(np.unique(new)) - {0} == set(range(1, new.max() + 1))
    assert np.array_equal(labels == 0, new == 0)
    pairs = {(a, b) for a, b in zip(labels.ravel().tolist(), new.ravel().tolist())}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4)))
def test_boxes_equal_torchvision(labels):
    labels = relabel(labels)
    boxes = boxes_of(labels)
    masks = torch.from_numpy(labels)[None] == torch.arange(1, labels.max() + 1)[:, None, None]
    expected = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1]) if len(masks) else torch.zeros(0, 4)
    assert np.array_equal(boxes, expected.numpy())  # torchvision's right and bottom edge are inclusive


def test_seventy_thousand_objects_and_bad_label_maps():
    labels = np.arange(280 * 250, dtype=np.int64).reshape(280, 250) * 3
    assert relabel(labels).max() == 69_999 and boxes_of(relabel(labels)).shape == (69_999, 4)
    for bad in (np.zeros((2, 2)), np.zeros((1, 2, 2), dtype=int), np.array([[-1]])):
        with pytest.raises((TypeError, ValueError), match="labels"):
            relabel(bad)


@settings(deadline=None, max_examples=50)
@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_largest_parts_equal_scipy_object_by_object(labels):
    kept = largest_parts(labels)
    assert kept.dtype == labels.dtype and ((kept == labels) | (kept == 0)).all()
    for label in set(np.unique(labels)) - {0}:
        parts, number = ndimage.label(kept == label)
        sizes = np.bincount(ndimage.label(labels == label)[0].ravel())[1:]
        assert number == 1 and (parts > 0).sum() == sizes.max()
