"""COCO, Penn-Fudan and Cityscapes on tiny pictures in the published layouts, awkward cases included."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools import mask as rle

from seglab.data import COCO, Cityscapes, DataUnavailable, PennFudan
from seglab.data.coco_masks import annotation_mask, unpack_counts
from seglab.metrics import COCOEvaluator

RNG = np.random.default_rng(0)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def colours(height=24, width=30):
    return RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGLAB_DATA", str(tmp_path))
    return tmp_path


def rectangle(x, y, width, height):
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def annotation(number, picture, category, segmentation, box, crowd=0):
    return dict(id=number, image_id=picture, category_id=category, segmentation=segmentation, bbox=box,
                area=box[2] * box[3], iscrowd=crowd)


def make_coco(base):
    root = base / "coco"
    crowd = np.zeros((24, 30), dtype=np.uint8)
    crowd[:, 20:] = 1
    runs = [20 * 24, 10 * 24]                                          # column by column, zeros first
    packed = rle.encode(np.asfortranarray(crowd))
    packed["counts"] = packed["counts"].decode()
    annotations = [
        annotation(1, 7, 90, rectangle(4, 4, 4, 4), [4, 4, 4, 4]),      # small, inside the next
        annotation(2, 7, 1, rectangle(2, 2, 12, 10), [2, 2, 12, 10]),
        annotation(3, 7, 1, {"size": [24, 30], "counts": runs}, [20, 0, 10, 24], crowd=1),
        annotation(4, 7, 18, rectangle(22, 2, 4, 4), [22, 2, 4, 4]),    # stands in the crowd
        annotation(5, 7, 18, rectangle(9, 9, 2, 2), [9, 9, 2, 0]),      # a box without area
        annotation(6, 9, 18, packed, [20, 0, 10, 24]),                  # packed run lengths
        annotation(7, 9, 90, [*rectangle(1, 1, 3, 3), *rectangle(8, 8, 3, 3)], [1, 1, 10, 10]),   # in two parts
    ]
    annotations[2]["area"] = 10                                          # crowds are drawn first, not by size
    pictures = [dict(id=number, file_name=f"{number:012d}.jpg", height=24, width=30) for number in (9, 7, 8)]
    categories = [dict(id=number, name=name) for number, name in ((90, "toothbrush"), (1, "person"), (18, "dog"))]
    for entry in pictures:
        save(root / "val2017" / entry["file_name"], colours()[..., 0] if entry["id"] == 8 else colours())   # 8: grey
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_val2017.json").write_text(
        json.dumps(dict(images=pictures, annotations=annotations, categories=categories)))
    return root


def test_coco(base):
    root = make_coco(base)
    data = COCO("val2017")
    assert data.classes == ("background", "person", "dog", "toothbrush")     # gaps in the ids closed
    first, nothing, second = data                                            # in the order of their ids
    assert [s.name[-2:] for s in (first, nothing, second)] == ["07", "08", "09"]
    assert first.classes.tolist() == [1, 3, 2]                               # large to small; no area: left out
    assert first.boxes.tolist() == [[2, 2, 14, 12], [4, 4, 8, 8], [22, 2, 26, 6]]
    assert first.instances[5, 5] == 2 and first.instances[3, 3] == 1         # the small one lies on top
    assert first.semantic[5, 5] == 3 and first.semantic[20, 25] == 255 and first.semantic[4, 24] == 2
    assert first.instances[20, 25] == 0                                      # a crowd is no instance
    assert len(nothing) == 0 and nothing.boxes.shape == (0, 4) and nothing.image.shape[0] == 3
    assert (second.instances == 1).sum() == 240 and (second.instances == 2).sum() == 18
    (root / "val2017" / "000000000008.jpg").unlink()
    with pytest.raises(DataUnavailable, match="val2017/000000000008.jpg is missing"):
        data[1]
    save(root / "val2017" / "000000000008.jpg", colours(8, 8))
    with pytest.raises(ValueError, match=r"000000000008.jpg must be of \(24, 30\) px, as annotated, got \(8, 8\)"):
        data[1]
    with pytest.raises(DataUnavailable, match="instances_train2017.json is missing"):
        COCO()
    with pytest.raises(ValueError, match="split"):
        COCO("val")


def test_coco_object_that_is_covered_entirely_is_left_out(base):
    root = make_coco(base)
    path = root / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"] = [annotation(1, 8, 1, rectangle(4, 4, 4, 4), [4, 4, 4, 4.5]),
                              annotation(2, 8, 18, rectangle(4, 4, 4, 4), [4, 4, 4, 4])]
    path.write_text(json.dumps(content))
    sample = COCO("val2017")[1]
    assert sample.classes.tolist() == [2] and sample.instances.max() == 1


def test_annotation_mask_has_the_three_forms_of_pycocotools():
    inside = np.zeros((24, 30), dtype=np.uint8)
    inside[3:9, 5:17] = 1
    packed = rle.encode(np.asfortranarray(inside))
    flat = inside.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = {"size": [24, 30], "counts": np.diff([0, *edges, flat.size]).tolist()}
    for form in (rectangle(5, 3, 12, 6), runs, packed):
        assert np.array_equal(annotation_mask(form, 24, 30), inside.astype(bool))
    assert not annotation_mask([], 24, 30).any()
    with pytest.raises(ValueError, match=r"must have size \[30, 24\], got \[24, 30\]"):
        annotation_mask(packed, 30, 24)
    with pytest.raises(ValueError, match="polygons or a run-length code"):
        annotation_mask("mask.png", 24, 30)


def test_penn_fudan(base):
    root = base / "PennFudanPed"
    mask = np.zeros((24, 30), dtype=np.uint8)
    mask[2:10, 3:7], mask[5:20, 12:18] = 1, 3                               # ids with a hole
    for name, target in (("FudanPed00001", mask), ("PennPed00002", 0 * mask)):
        save(root / "PNGImages" / f"{name}.png", colours())
        save(root / "PedMasks" / f"{name}_mask.png", target)
    two, none = PennFudan()
    assert two.name == "penn-fudan/FudanPed00001" and two.classes.tolist() == [1, 1]
    assert two.boxes.tolist() == [[3, 2, 7, 10], [12, 5, 18, 20]] and len(none) == 0
    (root / "PedMasks" / "PennPed00002_mask.png").unlink()
    with pytest.raises(DataUnavailable, match="PedMasks/PennPed00002_mask.png is missing"):
        PennFudan()


def test_cityscapes(base):
    labels = np.full((24, 30), 7, dtype=np.uint8)                           # 7 = road
    ids = np.full((24, 30), 7, dtype=np.uint16)
    for rows, label, number in ((slice(0, 4), 26, 26000), (slice(4, 8), 26, 26001), (slice(8, 12), 26, 26),
                                (slice(12, 16), 24, 24000), (slice(16, 18), 29, 29000), (slice(18, 20), 3, 3)):
        labels[rows, 5:15], ids[rows, 5:15] = label, number                  # 29 caravan and 3 void: not evaluated
    for split in ("train", "val"):
        for city in ("ulm", "aachen"):
            stem = f"{city}_000000_000019"
            save(base / "cityscapes/leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", colours())
            for kind, target in (("labelIds", labels), ("instanceIds", ids)):
                save(base / "cityscapes/gtFine" / split / city / f"{stem}_gtFine_{kind}.png", target)
    data = Cityscapes("val")
    assert len(data.classes) == 19 and data.classes[0] == "road" and data.classes[13] == "car"
    assert [sample.name for sample in data] == [f"cityscapes/{city}_000000_000019" for city in ("aachen", "ulm")]
    sample = data[0]
    assert sample.semantic.unique().tolist() == [0, 11, 13, 255]
    assert sample.classes.tolist() == [11, 13, 13]                          # a person, two cars; the group is none
    assert sample.boxes.tolist() == [[5, 12, 15, 16], [5, 0, 15, 4], [5, 4, 15, 8]]
    assert (sample.semantic[8:12, 5:15] == 13).all() and not sample.instances[8:12].any()
    assert torch.equal(sample.semantic[16:20, 5:15], torch.full((4, 10), 255))
    (base / "cityscapes/gtFine/val/ulm/ulm_000000_000019_gtFine_instanceIds.png").unlink()
    with pytest.raises(DataUnavailable, match="instanceIds.png is missing"):
        Cityscapes("val")
    with pytest.raises(ValueError, match="split"):
        Cityscapes("test")


def test_missing_sets_say_what_belongs_where(base):
    for loader, folder, file in ((COCO, "coco", "instances_"), (PennFudan, "PennFudanPed", "_mask.png"),
                                 (Cityscapes, "cityscapes", "labelIds")):
        with pytest.raises(DataUnavailable) as caught:
            loader()
        assert str(base / folder) in str(caught.value) and file in str(caught.value)


def coco_of(root, images=None, categories=None, bom=False, drop=(), **annotations):
    """A set of one picture, 64 x 48 px; `annotations` is a list of entries that replace the good one's."""
    good = dict(id=1, image_id=1, category_id=1, segmentation=rectangle(10, 10, 20, 20), bbox=[10, 10, 20, 20],
                area=400, iscrowd=0)
    entries = [{**good, **change} for change in annotations.get("annotations", [{}])]
    entries = [{key: value for key, value in entry.items() if key not in drop} for entry in entries]
    images = images or [dict(id=1, file_name="a.jpg", height=48, width=64)]
    categories = categories or [dict(id=k, name=f"name {k}") for k in (1, 2, 7)]
    save(root / "val2017" / "a.jpg", colours(48, 64))
    (root / "annotations").mkdir(exist_ok=True)
    text = json.dumps(dict(images=images, annotations=entries, categories=categories))
    (root / "annotations" / "instances_val2017.json").write_text(text, encoding="utf-8-sig" if bom else "utf-8")
    return root


@pytest.mark.parametrize("areas", [(100, 400), (1.0, 1.0), (None, None), (400, 100)])
def test_the_hat_lies_on_the_head_whatever_the_file_says_of_areas(tmp_path, areas):
    hat, head = ({} if area is None else {"area": area} for area in areas)
    hat |= dict(id=1, category_id=2, segmentation=rectangle(15, 15, 10, 10), bbox=[15, 15, 10, 10])
    head |= dict(id=2, category_id=1)
    root = coco_of(tmp_path, annotations=[hat, head], drop=("area",) if areas[0] is None else ())
    sample = COCO("val2017", root)[0]
    assert sample.classes.tolist() == [1, 2] and (sample.instances == 2).sum() == 100


def test_fields_that_may_be_missing(tmp_path):
    expected = COCO("val2017", coco_of(tmp_path))[0]
    for drop in (("area",), ("bbox",), ("iscrowd",), ("id",), ("area", "bbox", "iscrowd", "id")):
        sample = COCO("val2017", coco_of(tmp_path, drop=drop))[0]
        assert torch.equal(sample.boxes, expected.boxes) and torch.equal(sample.masks, expected.masks)
    plain = coco_of(tmp_path, images=[dict(id=1, file_name="a.jpg")], bom=True)
    assert torch.equal(COCO("val2017", plain)[0].instances, expected.instances)
    strings = coco_of(tmp_path, images=[dict(id="10", file_name="a.jpg"), dict(id="9", file_name="a.jpg")],
                      categories=[dict(id="1", name="a")], annotations=[dict(image_id=10, category_id="1")])
    assert [len(sample) for sample in COCO("val2017", strings)] == [0, 1]     # 9 before 10


@pytest.mark.parametrize(("change", "drop", "says"), [
    ({}, ("segmentation",), "must have 'segmentation' in every entry of 'annotations'"),
    ({}, ("image_id",), "must have 'image_id' in every entry of 'annotations'"),
    ({}, ("category_id",), "must have 'category_id' in every entry"),
    ({"image_id": 5}, (), "must have every image_id among its entries, got 5 in annotation 1"),
    ({"category_id": 5}, (), "must have every category_id among its entries, got 5 in annotation 1"),
    ({"image_id": "one"}, (), "must have whole numbers as 'image_id' in 'annotations', got 'one'"),
    ({"bbox": [1, 2, 3]}, (), "must have four finite numbers as 'bbox'"),
    ({"bbox": [1, 2, float("nan"), 3]}, (), "must have four finite numbers as 'bbox'"),
    ({"bbox": "1 2 3 4"}, (), "must have four finite numbers as 'bbox'"),
    ({"segmentation": "mask.png"}, (), "must be polygons or a run-length code, got 'mask.png' .annotation 1 of"),
    ({"segmentation": {"size": [48, 64], "counts": [10, 20]}}, (), "must have runs >= 0 that fill the 3072 px"),
    ({"segmentation": [[10, 10, float("nan"), 10, 30, 30]]}, (), "must have finite corners"),
])
def test_wrong_annotation_is_named_with_its_file(tmp_path, change, drop, says):
    root = coco_of(tmp_path, annotations=[change], drop=drop)
    with pytest.raises(ValueError, match=says) as caught:
        COCO("val2017", root)[0]
    assert "instances_val2017.json" in str(caught.value)


def test_wrong_file_is_named(tmp_path):
    path = coco_of(tmp_path) / "annotations" / "instances_val2017.json"
    for text in ("{", "[]", "null", "{}", '{"images": [], "categories": []}', '{"images": {}, "annotations": []}',
                 '{"images": [1], "annotations": [], "categories": []}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="instances_val2017.json must"):
            COCO("val2017", tmp_path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="instances_val2017.json must be JSON"):
        COCO("val2017", tmp_path)
    for images in ([dict(file_name="a.jpg")], [dict(id=1)], [dict(id=1, file_name="a.jpg")] * 2, [dict(id=None)]):
        with pytest.raises(ValueError, match="instances_val2017.json must have .* 'images'"):
            COCO("val2017", coco_of(tmp_path, images=images))
    for categories in ([dict(name="a")], [dict(id=1)], [dict(id=k, name="a") for k in range(255)]):
        with pytest.raises(ValueError, match="instances_val2017.json must have .* *categories"):
            COCO("val2017", coco_of(tmp_path, categories=categories))
    many = [dict(id=k, name="a") for k in range(254)]                         # 254 is the last class that counts
    assert COCO("val2017", coco_of(tmp_path, categories=many, annotations=[dict(category_id=253)]))[0].classes == 254


def test_every_object_and_crowd_is_kept_whole(base):
    make_coco(base)
    first, nothing, second = COCO("val2017")
    assert first.mask_classes.tolist() == [1, 3, 2, 1] and first.crowd.tolist() == [False, False, False, True]
    assert first.masks.flatten(1).sum(1).tolist() == [120, 16, 16, 240]       # the large one under the small one too
    assert torch.equal(first.mask_boxes[:3], first.boxes) and first.mask_boxes[3].tolist() == [20, 0, 30, 24]
    assert nothing.masks.shape == (0, 24, 30) and nothing.crowd.shape == (0,) and second.masks.shape == (2, 24, 30)
    covered = coco_of(base / "other", annotations=[dict(id=1, category_id=1), dict(id=2, category_id=2)])
    sample = COCO("val2017", covered)[0]
    assert sample.classes.tolist() == [2] and sample.mask_classes.tolist() == [2, 1]
    assert torch.equal(sample.masks[0], sample.masks[1])


def test_twelve_numbers_of_pycocotools_on_overlapping_objects_and_crowds(base):
    """Perfect detections of overlapping objects score 1 with the whole masks, and less on the flattened map."""
    make_coco(base)
    whole, flat = COCOEvaluator("segm"), COCOEvaluator("segm")
    for sample in COCO("val2017"):
        objects = ~sample.crowd
        found = {"masks": sample.masks[objects], "classes": sample.mask_classes[objects],
                 "scores": torch.ones(int(objects.sum()))}
        whole.update(sample.truth(), found)
        flat.update({"instances": sample.instances, "classes": sample.classes}, found)
    assert whole.compute()["AP"] == 1 > flat.compute()["AP"]


SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


@pytest.mark.parametrize(("segmentation", "pixels"), [
    ([SQUARE], 400), ([[10, 10, 20, 20]], 0), ([[40, 5, 44, 9], SQUARE], 400), ([SQUARE, [40, 5, 44, 9]], 400),
    ([[]], 0), ([[], SQUARE], 400), ([], 0), ([[-5, -5, 10, -5, 10, 10, -5, 10]], 100),
    ({"size": [48, 64], "counts": [48 * 64]}, 0), ({"size": [48, 64], "counts": [0, 48 * 64]}, 48 * 64),
])
def test_outlines_that_are_right(segmentation, pixels):
    assert annotation_mask(segmentation, 48, 64).sum() == pixels


@pytest.mark.parametrize("segmentation", [
    SQUARE, [SQUARE[:-1]], [[[10, 10], [30, 10], [30, 30]]], [["10", 10, 30, 10, 30, 30]], [[True] * 6], [None], None,
    5, *([[10, 10, far, 10, 30, 30, 10, 30]] for far in (float("nan"), float("inf"), 1e9)),
    *({"size": [48, 64], "counts": counts} for counts in (
        [], [10, 20], [48 * 64 + 1], [3072, -1, 1], [1536.0, 1536.0], "", "zzzzzz", "P", "\u00e9", b"\xff", None,
        [True] * 3072)),
    {"size": [64, 48], "counts": [3072]}, {"size": 3072, "counts": [3072]}, {"counts": [3072]}, {"size": [48, 64]},
])
def test_outlines_that_are_wrong(segmentation):
    with pytest.raises(ValueError, match="segmentation must"):
        annotation_mask(segmentation, 48, 64)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_lengths_equal_pycocotools(inside):
    packed = rle.encode(np.asfortranarray(inside.astype(np.uint8)))
    assert np.array_equal(annotation_mask(packed, *inside.shape), inside)     # bytes
    text = {"size": list(inside.shape), "counts": packed["counts"].decode()}
    assert np.array_equal(annotation_mask(text, *inside.shape), inside)
    runs = {"size": list(inside.shape), "counts": unpack_counts(packed["counts"])}
    assert np.array_equal(annotation_mask(runs, *inside.shape), inside)
    assert rle.frPyObjects(runs, *inside.shape)["counts"] == packed["counts"]


def test_cityscapes_class_is_that_of_most_pixels(base):
    labels, ids = np.full((2, 24, 30), 7, dtype=np.int32)
    labels[4:8, 5:15], ids[4:8, 5:15] = 26, 26001
    labels[4, 5:8] = 3                                                        # its first pixels are void
    for kind, target in (("labelIds", labels.astype(np.uint8)), ("instanceIds", ids.astype(np.uint16))):
        save(base / f"cityscapes/gtFine/val/ulm/ulm_0_1_gtFine_{kind}.png", target)
    save(base / "cityscapes/leftImg8bit/val/ulm/ulm_0_1_leftImg8bit.png", colours())
    (base / "cityscapes/leftImg8bit/train").mkdir()
    assert Cityscapes("val")[0].classes.tolist() == [13]
