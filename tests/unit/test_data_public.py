"""Loaders of public sets on tiny pictures in the published layouts, awkward cases included.

With SEGLAB_DATA set, the last test reads the real sets that lie there.
"""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import OxfordIIITPet, VOCSegmentation

from seglab.data import (
    BBBC039,
    COCO,
    DSB2018,
    ISBI2012,
    VOC2012,
    CamVid,
    Cityscapes,
    DataUnavailable,
    OxfordPets,
    PennFudan,
    Sample,
    dataset_root,
)

RNG = np.random.default_rng(0)


def save(path, array, mode=None, palette=False):
    """Write an array as a picture, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    if palette:
        picture.putpalette(list(RNG.integers(0, 255, 768)))  # colours that are not the indices
    picture.save(path)


def colours(height=32, width=40):
    return RNG.integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGLAB_DATA", str(tmp_path))
    return tmp_path


def make_dsb(base):
    stage = base / "dsb2018" / "stage1_train"
    for name in ("aa", "bb"):
        save(stage / name / "images" / f"{name}.png", colours(), "RGBA")
        (stage / name / "masks").mkdir()
    one = np.zeros((32, 40), dtype=np.uint8)
    one[2:10, 2:10] = 255
    two = np.zeros((32, 40), dtype=np.uint8)
    two[9:15, 9:15] = 255                   # touches and overlaps the first
    dot = np.zeros((32, 40), dtype=np.uint8)
    dot[31, 39] = 255                       # one pixel
    for name, mask in (("0one", one), ("1two", two), ("2dot", dot), ("3none", 0 * one)):
        save(stage / "aa" / "masks" / f"{name}.png", mask)
    (stage / "aa" / "masks" / "._0one.png").write_bytes(b"\0\5\x16\7 left by macOS")
    (stage / "._aa").mkdir()


def test_dsb2018(base):
    make_dsb(base)
    data = DSB2018()
    assert len(data) == 2 and [sample.name for sample in data] == ["dsb2018/aa", "dsb2018/bb"]
    first, empty = data
    assert first.image.shape == (3, 32, 40) and len(first) == 3 and len(empty) == 0
    labels = first.instances
    assert labels[3, 3] == 1 and labels[9, 9] == 2 and labels[31, 39] == 3 and (labels == 3).sum() == 1
    assert empty.boxes.shape == (0, 4) and not empty.semantic.any()
    source = np.array(Image.open(base / "dsb2018/stage1_train/aa/images/aa.png"))[..., :3]
    assert np.array_equal((first.image * 255).round().byte().permute(1, 2, 0).numpy(), source)


def test_dsb2018_incomplete(base):
    make_dsb(base)
    (base / "dsb2018/stage1_train/cc").mkdir()
    with pytest.raises(DataUnavailable, match="cc/images/cc.png is missing"):
        DSB2018()[2]
    save(base / "dsb2018/stage1_train/bb/masks/0.png", np.full((8, 8), 255, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"bb/masks/0.png must be of the picture's \(32, 40\) px, got \(8, 8\) px"):
        DSB2018()[1]


def test_bbbc039(base):
    root = base / "bbbc039"
    mask = np.zeros((32, 40, 4), dtype=np.uint8)
    mask[2:8, 2:8, 0], mask[2:8, 8:14, 0], mask[20:25, 20:30, 0] = 1, 2, 1   # touching, told apart by value
    mask[..., 3] = 255
    image = RNG.integers(0, 3000, (32, 40)).astype(np.uint16)
    image[0, 0] = 4000
    save(root / "images" / "a_w1.tif", image)
    save(root / "masks" / "a_w1.png", mask)
    save(root / "masks" / "a_w1.png", mask)
    (root / "metadata").mkdir()
    (root / "metadata" / "training.txt").write_text("a_w1.png\n._a_w1.png\n\n")
    (root / "metadata" / "test.txt").write_text("b_w1.png\n")
    sample, = BBBC039("training")
    assert len(sample) == 3 and sample.image.shape == (1, 32, 40)
    assert sample.image[0, 5, 5].item() == pytest.approx(image[5, 5] / 4095)
    with pytest.raises(DataUnavailable, match="images/b_w1.tif is missing"):
        BBBC039("test")
    with pytest.raises(DataUnavailable, match="metadata/validation.txt is missing"):
        BBBC039("validation")
    with pytest.raises(ValueError, match="split"):
        BBBC039("train")


def test_isbi2012_as_folder_and_as_volume(base):
    root = base / "isbi2012"
    slices = RNG.integers(0, 255, (12, 32, 40), dtype=np.uint8)
    labels = np.full((12, 32, 40), 255, dtype=np.uint8)
    labels[:, :, 20] = 0                                   # a membrane
    labels[3] = 0                                          # a slice without a cell
    for number in range(12):
        save(root / "train" / "image" / f"{number}.png", slices[number])
        save(root / "train" / "label" / f"{number}.png", labels[number])
    folder = ISBI2012()
    assert [sample.name for sample in folder] == [f"isbi2012/{number}" for number in range(12)]  # 2 before 10
    assert len(folder[0]) == 2 and len(folder[3]) == 0 and folder[0].semantic.float().mean() == 39 / 40

    pages = [[Image.fromarray(page) for page in stack] for stack in (slices, labels)]
    for name, stack in zip(("train-volume.tif", "train-labels.tif"), pages):
        stack[0].save(root / name, save_all=True, append_images=stack[1:])
    volume = ISBI2012()
    assert len(volume) == 12
    for one, other in zip(folder, volume):
        assert torch.equal(one.image, other.image) and torch.equal(one.instances, other.instances)
    pages[1][0].save(root / "train-labels.tif", save_all=True, append_images=pages[1][1:5])
    with pytest.raises(DataUnavailable, match="12 pictures, 5 labels"):
        ISBI2012()


def test_camvid(base):
    root = base / "camvid"
    target = np.repeat(np.arange(12, dtype=np.uint8), 4)[None].repeat(32, 0)
    for name in ("x", "y"):
        save(root / "train" / f"{name}.png", colours(32, 48))
        save(root / "trainannot" / f"{name}.png", target)
    (root / "train" / "._x.png").write_bytes(b"junk")
    data = CamVid("train")
    assert len(data) == 2 and len(data.classes) == 11
    assert data[0].semantic.unique().tolist() == [*range(11), 255] and data[0].instances is None
    (root / "trainannot" / "y.png").unlink()
    with pytest.raises(DataUnavailable, match="trainannot/y.png is missing"):
        CamVid("train")
    with pytest.raises(DataUnavailable, match="no picture"):
        CamVid("val")
    with pytest.raises(ValueError, match="split"):
        CamVid("valid")


def test_pets_equal_torchvision_and_odd_files_become_rgb(base):
    root = base / "oxford-iiit-pet"
    trimap = np.full((32, 40), 2, dtype=np.uint8)
    trimap[8:20, 8:20], trimap[10:18, 10:18] = 3, 1
    dot = np.full((32, 40), 2, dtype=np.uint8)
    dot[5, 5] = 1
    save(root / "images" / "Cat_1.jpg", colours())
    save(root / "images" / "dog_2.jpg", colours(), "L")                      # grey
    (root / "images" / "._dog_2.jpg").write_bytes(b"junk")
    rgba = Image.fromarray(RNG.integers(0, 255, (32, 40, 4), dtype=np.uint8))
    rgba.save(root / "images" / "dog_3.jpg", format="PNG")                   # a PNG called jpg
    for name, map_ in (("Cat_1", trimap), ("dog_2", dot), ("dog_3", trimap)):
        save(root / "annotations" / "trimaps" / f"{name}.png", map_)
    (root / "annotations" / "trainval.txt").write_text("Cat_1 1 1 1\ndog_2 2 2 1\ndog_3 2 2 1\n")
    (root / "annotations" / "test.txt").write_text("Cat_1 1 1 1\n")
    data, theirs = OxfordPets("trainval"), OxfordIIITPet(base, "trainval", target_types="segmentation")
    assert len(data) == len(theirs) == 3 and len(OxfordPets("test")) == 1
    for sample, (picture, target) in zip(data, theirs):
        assert np.array_equal((sample.image * 255).round().byte().permute(1, 2, 0).numpy(), np.array(picture))
        target = np.array(target)
        assert np.array_equal(sample.semantic.numpy() == 1, target == 1)
        assert np.array_equal(sample.semantic.numpy() == 255, target == 3)
    assert data[1].semantic.sum() == 1
    (root / "annotations" / "trimaps" / "dog_2.png").unlink()
    with pytest.raises(DataUnavailable, match="dog_2.png is missing"):
        OxfordPets("trainval")
    (root / "annotations" / "test.txt").unlink()
    with pytest.raises(DataUnavailable, match="oxford-iiit-pet"):
        OxfordPets("test")
    with pytest.raises(ValueError, match="split"):
        OxfordPets("train")


def test_voc_equals_torchvision_and_reads_palette_indices(base):
    root = base / "VOCdevkit" / "VOC2012"
    semantic, objects = np.zeros((2, 32, 40), dtype=np.uint8)
    semantic[2:12, 2:12], objects[2:12, 2:12] = 15, 1
    semantic[2:12, 12:22], objects[2:12, 12:22] = 15, 2      # a second person, touching
    semantic[20:30, 5:35], objects[20:30, 5:35] = 20, 3
    semantic[12, :], objects[12, :] = 255, 255
    for name, empty in (("2007_1", False), ("2007_2", True)):
        save(root / "JPEGImages" / f"{name}.jpg", colours())
        save(root / "SegmentationClass" / f"{name}.png", semantic * (not empty), palette=True)
        save(root / "SegmentationObject" / f"{name}.png", objects * (not empty), palette=True)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_1\n2007_2\n")
    data, theirs = VOC2012("train"), VOCSegmentation(base, year="2012", image_set="train")
    assert len(data) == len(theirs) == 2
    for sample, (picture, target) in zip(data, theirs):
        assert np.array_equal((sample.image * 255).round().byte().permute(1, 2, 0).numpy(), np.array(picture))
        assert np.array_equal(sample.semantic.numpy(), np.array(target))
    assert data[0].classes.tolist() == [15, 15, 20] and data.classes[15] == "person"
    assert data[0].boxes[1].tolist() == [12, 2, 22, 12] and len(data[1]) == 0
    (root / "SegmentationObject" / "2007_2.png").unlink()
    with pytest.raises(DataUnavailable, match="SegmentationObject/2007_2.png is missing"):
        data[1]
    with pytest.raises(DataUnavailable, match="VOC"):
        VOC2012("val")
    with pytest.raises(ValueError, match="split"):
        VOC2012("test")


def test_missing_sets_say_what_belongs_where(base, monkeypatch):
    for loader, name, file in (
            (DSB2018, "dsb2018", "stage1_train/ID/images"), (BBBC039, "bbbc039", "masks/NAME"),
            (ISBI2012, "isbi2012", "train-volume.tif"), (CamVid, "camvid", "trainannot"),
            (OxfordPets, "oxford-iiit-pet", "trimaps"), (VOC2012, "VOCdevkit", "JPEGImages")):
        with pytest.raises(DataUnavailable) as caught:
            loader()
        message = str(caught.value)
        assert str(base / name) in message and file in message and "Get it from" in message
    with pytest.raises(ValueError, match="name must be one of dsb2018"):
        dataset_root("imagenet")
    monkeypatch.delenv("SEGLAB_DATA")
    with pytest.raises(DataUnavailable, match="SEGLAB_DATA is not set"):
        DSB2018()


def test_a_root_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.delenv("SEGLAB_DATA", raising=False)
    make_dsb(tmp_path)
    assert len(DSB2018(tmp_path / "dsb2018")) == 2


def test_index_beyond_the_end(base):
    make_dsb(base)
    with pytest.raises(IndexError):
        DSB2018()[2]


REAL = {"dsb2018": DSB2018, "isbi2012": ISBI2012, "camvid": CamVid, "oxford-iiit-pet": OxfordPets,
        "bbbc039": BBBC039, "voc2012": VOC2012, "coco": COCO, "penn-fudan": PennFudan, "cityscapes": Cityscapes}


@pytest.mark.parametrize("name", REAL)
def test_real_set(name):
    if not os.environ.get("SEGLAB_DATA"):
        pytest.skip("SEGLAB_DATA is not set: no real sets to read")
    try:
        data = REAL[name]()
    except DataUnavailable as error:
        pytest.skip(str(error).splitlines()[0])
    for index in {0, len(data) // 2, len(data) - 1}:
        sample = data[index]
        assert isinstance(sample, Sample) and sample.image.std() > 0.01
        ids = set(sample.semantic.unique().tolist()) - {255}
        assert ids and ids <= set(range(len(data.classes)))


def test_pets_and_voc_under_any_folder_name(tmp_path, monkeypatch):
    monkeypatch.delenv("SEGLAB_DATA", raising=False)
    pets = tmp_path / "my pets"
    save(pets / "images" / "a.JPG", colours())
    save(pets / "annotations" / "trimaps" / "a.PNG", np.full((32, 40), 2, dtype=np.uint8))
    (pets / "annotations" / "trainval.txt").write_text("\ufeffa 1 1 1\n", encoding="utf-8")
    assert OxfordPets("trainval", pets)[0].name == "oxford-iiit-pet/a"
    with pytest.raises(DataUnavailable) as caught:
        OxfordPets("test", pets)
    assert "test.txt is missing" in str(caught.value).splitlines()[0] and "download=True" not in str(
        caught.value).splitlines()[0]
    save(pets / "annotations" / "trimaps" / "a.PNG", np.zeros((32, 40), dtype=np.uint8))
    with pytest.raises(ValueError, match="a.PNG must be a trimap of 1, 2 and 3, got 0..0"):
        OxfordPets("trainval", pets)[0]
    for year in (tmp_path / "voc", tmp_path / "kit" / "VOC2012"):
        save(year / "JPEGImages" / "a.jpg", colours())
        for kind in ("SegmentationClass", "SegmentationObject"):
            save(year / kind / "a.png", np.zeros((32, 40), dtype=np.uint8), palette=True)
        (year / "ImageSets" / "Segmentation").mkdir(parents=True)
        (year / "ImageSets" / "Segmentation" / "val.txt").write_text("a\n")
    for root in (tmp_path / "voc", tmp_path / "kit", tmp_path / "kit" / "VOC2012"):
        assert len(VOC2012("val", root)[0]) == 0
    with pytest.raises(DataUnavailable, match="ImageSets/Segmentation/train.txt is missing"):
        VOC2012("train", tmp_path / "voc")


def test_voc_class_is_that_of_most_pixels(tmp_path):
    semantic, objects = np.zeros((2, 32, 40), dtype=np.uint8)
    semantic[2:12, 2:12], objects[2:12, 2:12] = 15, 1
    semantic[2, 2] = 255                                                      # its first pixel is void
    objects[20:25, 20:25] = 2                                                 # an object of no class
    objects[28:30, 28:30], semantic[28:30, 28:30] = 3, 7
    save(tmp_path / "JPEGImages" / "a.jpg", colours())
    for kind, map_ in (("SegmentationClass", semantic), ("SegmentationObject", objects)):
        save(tmp_path / kind / "a.png", map_, palette=True)
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "train.txt").write_text("a\n")
    sample = VOC2012("train", tmp_path)[0]
    assert sample.classes.tolist() == [15, 7] and (sample.instances == 1).sum() == 100
    semantic[0, 0] = 21
    save(tmp_path / "SegmentationClass" / "a.png", semantic, palette=True)
    with pytest.raises(ValueError, match=r"a.png must hold class ids 0\.\.20 or 255, got 21"):
        VOC2012("train", tmp_path)[0]


def test_slices_are_sets_and_endings_may_be_upper_case(base):
    root = base / "camvid"
    for name in "abcd":
        save(root / "train" / f"{name}.PNG", colours())
        save(root / "trainannot" / f"{name}.png", np.full((32, 40), 3, dtype=np.uint8))
    data = CamVid("train")
    assert len(data) == 4 and len(data[:3]) == 3 and len(data[2:]) == 2 and data[:3].classes == data.classes
    assert [sample.name for sample in data[1:3]] == ["camvid/b", "camvid/c"] and data[1:3][-1].name == "camvid/c"
    save(root / "trainannot" / "a.png", np.full((32, 40), 12, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"trainannot/a.png must hold class ids 0\.\.10 or 255, got 12"):
        data[0]
    save(root / "trainannot" / "b.png", colours())
    with pytest.raises(ValueError, match="trainannot/b.png must hold one id a pixel, got a colour picture"):
        data[1]
    (root / "train" / "c.PNG").write_bytes((root / "train" / "c.PNG").read_bytes()[:500])
    with pytest.raises(ValueError, match="train/c.PNG must be a picture that can be read"):
        data[2]
