"""A folder of one's own pictures: labels of the three kinds, scribbles, and none at all."""

import numpy as np
import pytest
from PIL import Image

from seglab.data import DataUnavailable, PictureFolder, save_labels

RNG = np.random.default_rng(0)


def make(root, ending="JPG"):
    (root / "images").mkdir()
    for name in ("10", "2", "x"):
        Image.fromarray(RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(root / "images" / f"{name}.{ending}")
    (root / "images" / "notes.txt").write_text("no picture")
    return root


def label(root, folder, ids):
    (root / folder).mkdir(exist_ok=True)
    for name in ("10", "2", "x"):
        save_labels(root / folder / f"{name}.png", ids)


def test_class_ids_with_scribbles(tmp_path):
    ids = RNG.integers(0, 3, (20, 30))
    ids[0] = 255
    label(make(tmp_path), "labels", ids)
    label(tmp_path, "scribbles", np.where(ids == 2, 2, 255))
    data = PictureFolder(tmp_path, classes=("sky", "tree", "road"))
    assert [sample.name[len(tmp_path.name) + 1:] for sample in data] == ["x", "2", "10"]
    assert np.array_equal(data[0].semantic, ids) and np.array_equal(data[0].scribbles == 2, ids == 2)
    assert data[0].image.shape == (3, 20, 30) and data[:1].classes == ("sky", "tree", "road")
    with pytest.raises(ValueError, match=r"x.png must hold class ids 0\.\.1 or 255, got 2"):
        PictureFolder(tmp_path)[0]


def test_masks_and_objects(tmp_path):
    disc = np.hypot(*np.mgrid[-10:10, -15:15]) < 6
    label(make(tmp_path), "labels", disc * 255)
    assert np.array_equal(PictureFolder(tmp_path, "mask", mode="L")[1].semantic, disc)
    label(tmp_path, "labels", disc * 700)
    sample = PictureFolder(tmp_path, "objects")[1]
    assert len(sample) == 1 and np.array_equal(sample.instances, disc)


def test_pictures_alone_and_one_scale(tmp_path):
    (tmp_path / "images").mkdir()
    for name, value in (("a", 100), ("b", 1000)):
        Image.fromarray(np.full((4, 5), value, np.uint16)).save(tmp_path / "images" / f"{name}.tif")
    one, other = PictureFolder(tmp_path, mode="L", scale=1000)
    assert one.image.unique().tolist() == pytest.approx([0.1]) and other.image.unique().tolist() == [1]
    assert (one.semantic == 255).all() and one.scribbles is None


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataUnavailable, match="no picture was found.\nExpected in .*images/NAME"):
        PictureFolder(tmp_path)
    label(make(tmp_path), "labels", np.zeros((20, 30), int))
    (tmp_path / "labels" / "2.png").unlink()
    with pytest.raises(DataUnavailable, match="labels/2 is missing, the partner of images/2.JPG"):
        PictureFolder(tmp_path)
    for wrong in ({"labels": "boxes"}, {"classes": ("one",)}, {"labels": "mask", "classes": ("a", "b", "c")}):
        with pytest.raises(ValueError, match="must be"):
            PictureFolder(tmp_path, **wrong)
