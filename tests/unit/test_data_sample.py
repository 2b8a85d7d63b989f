"""Sample refuses what is not a sample, and says which field is wrong."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from torchvision.ops import masks_to_boxes

from seglab.data import Sample, boxes_of, relabel, remove_specks
from seglab.data.instances import largest_parts
from seglab.metrics import COCOEvaluator


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
    ("boxes", torch.tensor([[0., 0, 2, 2], [3, 4, 50, 50]]), ValueError),     # beyond the picture
    ("boxes", torch.tensor([[0., 0, 2, 2], [-3, 4, 5, 6]]), ValueError),
    ("boxes", torch.tensor([[0., 0, 2, 2], [5, 4, 5.01, 6]]), ValueError),    # nothing left inside
    ("boxes", torch.tensor([[0., 0, 2, 2], [3, 4, 5, float("inf")]]), ValueError),
    ("classes", torch.tensor([1, -3]), ValueError),
    ("classes", torch.tensor([1, 255]), ValueError),                          # 255 would be ignored
    ("classes", torch.tensor([1, 256]), ValueError),
    ("keypoints", torch.full((2, 3, 3), float("nan")), ValueError),
    ("keypoints", torch.full((2, 3, 3), 2.0), ValueError),                    # visible is 0 or 1
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


@pytest.mark.parametrize("beyond", [-1e-6, 1 + 2.4e-7])
def test_rounding_is_cut_back_in_a_copy(beyond):
    image = torch.full((1, 6, 5), beyond)
    cut = Sample(**fields(image=image)).image
    assert 0 <= cut.min() and cut.max() <= 1 and image[0, 0, 0].item() == pytest.approx(beyond)
    boxes = torch.tensor([[0., 0, 2, 2], [3, 4, 5.001, 6]])
    assert Sample(**fields(boxes=boxes)).boxes[1].tolist() == [3, 4, 5, 6] and boxes[1, 2] > 5


def test_error_names_the_sample():
    with pytest.raises(ValueError, match=r"image in sample 'pets/cat_3' must be in 0\.\.1, got 0\.\.255"):
        Sample(**fields(image=torch.zeros(1, 6, 5).index_fill_(1, torch.tensor([0]), 255), name="pets/cat_3"))


def whole(**changed):
    masks = torch.zeros(3, 6, 5, dtype=torch.bool)
    masks[0, :2, :2], masks[1, 4:, 3:], masks[2] = True, True, True
    return {"masks": masks, "mask_classes": torch.tensor([1, 1, 7]), "crowd": torch.tensor([False, False, True]),
            "mask_boxes": torch.tensor([[0., 0, 2, 2], [3, 4, 5, 6], [0, 0, 5, 6]]), **changed}


def test_truth_for_an_evaluation():
    assert set(Sample(**fields(), **whole()).truth()) == {"masks", "classes", "boxes", "crowd"}
    assert set(Sample(**fields()).truth()) == {"instances", "classes", "boxes"}
    detections = {"masks": whole()["masks"][:2], "classes": torch.tensor([1, 1]), "scores": torch.tensor([0.9, 0.8])}
    for sample in (Sample(**fields(), **whole()), Sample(**fields())):
        coco = COCOEvaluator("segm")
        coco.update(sample.truth(), detections)
        assert coco.compute()["AP"] == 1


@pytest.mark.parametrize(("field", "value"), [
    ("crowd", None), ("masks", None), ("mask_classes", torch.tensor([1, 1])), ("crowd", torch.tensor([0, 0, 1])),
    ("mask_boxes", torch.zeros(3, 4)), ("masks", torch.zeros(3, 6, 6, dtype=torch.bool)),
    ("mask_classes", torch.tensor([1, 1, 255])),
])
def test_whole_masks_are_complete(field, value):
    with pytest.raises((TypeError, ValueError), match="masks|mask_classes|mask_boxes|crowd"):
        Sample(**fields(), **whole(**{field: value}))
    if field == "masks":
        with pytest.raises(ValueError, match="masks must be at least the 2 objects, got 1"):
            Sample(**fields(), **{name: part[:1] for name, part in whole().items()})


LAYOUTS = {
    "C": np.ascontiguousarray, "Fortran": np.asfortranarray, "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "negative strides": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "big endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_label_maps_of_every_dtype_and_layout(dtype, layout):
    plain = np.zeros((7, 9), int)
    plain[0, 0], plain[2:5, 1:4], plain[6, 8], plain[3:6, 6:8] = 9, 5, 5, 100
    labels = LAYOUTS[layout](plain.astype(dtype))
    labels.flags.writeable = False
    for form in (labels, torch.from_numpy(labels.astype(labels.dtype.newbyteorder("=")).copy())):
        new = relabel(form)
        assert np.array_equal(new, np.searchsorted([0, 5, 9, 100], plain)) and new.dtype == np.int32
        assert boxes_of(new.astype(dtype)).tolist() == [[1, 2, 9, 7], [0, 0, 1, 1], [6, 3, 8, 6]]
        kept = remove_specks(form, 2)
        assert np.array_equal(kept, np.searchsorted([0, 5, 100], np.where(plain == 9, 0, plain)))
    parts = largest_parts(labels)
    assert parts.dtype == labels.dtype and parts[6, 8] == 0 and (parts == 5).sum() == 9 and parts[0, 0] == 9


def test_specks_by_hand_and_wrong_arguments():
    labels = np.array([[1, 1, 0, 2], [1, 0, 0, 3], [0, 4, 4, 3]])
    assert remove_specks(labels, 2).tolist() == [[1, 1, 0, 0], [1, 0, 0, 2], [0, 3, 3, 2]]
    assert np.array_equal(remove_specks(labels, 0), labels) and not remove_specks(labels, 4).any()
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="smallest must be"):
            remove_specks(labels, wrong)
    with pytest.raises(ValueError, match="labels must have ids exactly 1..N, got 1 ids up to 3"):
        boxes_of(np.array([[3, 0]]))
    huge = np.array([[2**40, 0, 2**40, 5]])
    assert largest_parts(huge).tolist() in ([[2**40, 0, 0, 5]], [[0, 0, 2**40, 5]])
    assert largest_parts(np.array([[5, 5, 7, 5]])).tolist() == [[5, 5, 7, 0]]      # a map without background
