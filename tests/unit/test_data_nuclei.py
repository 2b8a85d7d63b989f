"""The committed nuclei are the pixels that the credit speaks of, and their splits share nothing."""

import hashlib
import itertools

import numpy as np
import pytest
import torch
from PIL import Image

import seglab.data.folder as folder
from seglab.data import data_folder, load_nuclei, registry
from seglab.data.nuclei import REGIONS


def source_labels():
    return np.array(Image.open(data_folder() / "nuclei" / "labels.png")).astype(np.int64)


def test_committed_pixels_are_the_registered_ones():
    entry = registry()["committed"]["nuclei"]
    for file, dtype, digest in zip(entry["files"], ("u1", "<u2"), entry["pixels_sha256"]):
        pixels = np.array(Image.open(data_folder() / file))
        assert pixels.shape == (512, 512)
        assert hashlib.sha256(pixels.astype(dtype).tobytes()).hexdigest() == digest
    assert "CC0" in (data_folder() / "ATTRIBUTION.md").read_text()


def test_counts_and_values():
    counts = {split: len(load_nuclei(split)) for split in REGIONS}
    assert counts == {"train": 70, "val": 27, "test": 22, "all": 125}
    sample = load_nuclei()
    assert sample.image.shape == (1, 512, 512) and sample.image.min() == 0 and sample.image.max() == 1
    assert sample.semantic.float().mean() == pytest.approx(0.199, abs=5e-4)
    assert torch.equal(sample.semantic, (sample.instances > 0).long())


def test_splits_are_far_apart_and_share_no_nucleus():
    labels = source_labels()
    places = {split: REGIONS[split] for split in ("train", "val", "test")}
    for one, other in itertools.combinations(places, 2):
        gaps = [max(b.start - a.stop, a.start - b.stop) for a, b in zip(places[one], places[other])]
        assert max(gaps) >= 32, (one, other)
        ids = [set(np.unique(labels[places[split]])) - {0} for split in (one, other)]
        assert not ids[0] & ids[1], (one, other)


def test_a_split_is_that_place_of_the_source():
    labels = source_labels()
    for split in ("train", "val", "test"):
        mine, theirs = load_nuclei(split).instances.numpy(), labels[REGIONS[split]]
        pairs = np.unique(np.stack([mine.ravel(), theirs.ravel()]), axis=1).T
        assert len(pairs) == len(np.unique(mine)) == len(np.unique(theirs))
        whole = load_nuclei("all").image[(slice(None), *REGIONS[split])]
        assert torch.equal(whole, load_nuclei(split).image)  # one grey scale, set by the training side


def test_held_out_pixels_do_not_set_the_grey_scale(monkeypatch):
    expected = load_nuclei("train").image
    real = np.array

    def brighter(picture, dtype=None):
        pixels = real(picture, dtype=dtype)
        if dtype == np.float32:
            pixels[:, 240:] = 255
        return pixels

    monkeypatch.setattr("seglab.data.nuclei.np.array", brighter)
    assert torch.equal(load_nuclei("train").image, expected)


def test_wrong_split_and_absent_folder(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="split must be one of train, val, test, all, got 'dev'"):
        load_nuclei("dev")
    monkeypatch.setattr(folder, "__file__", str(tmp_path / "site" / "seglab" / "data" / "folder.py"))
    with pytest.raises(FileNotFoundError, match="pip install -e"):
        data_folder()
