"""COCO, Penn-Fudan and Cityscapes on tiny pictures in the published layouts, awkward cases included."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle

from seglab.data import COCO, Cityscapes, DataUnavailable, PennFudan
from seglab.data.coco import annotation_mask

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
