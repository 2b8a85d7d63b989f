"""The committed fluorescent nuclei, split by space."""

import numpy as np
import torch

from seglab.data.folder import data_folder
from seglab.data.instances import boxes_of, relabel
from seglab.data.picture_files import read_labels, read_picture
from seglab.data.sample import Sample

# rows and columns, px; 32 px between any two splits are used by none of them
REGIONS = {
    "train": (slice(0, 512), slice(0, 240)),
    "val": (slice(0, 240), slice(272, 512)),
    "test": (slice(272, 512), slice(272, 512)),
    "all": (slice(0, 512), slice(0, 512)),
}
PERCENTILES = (1.0, 99.8)


def load_nuclei(split: str = "all") -> Sample:
    """Load 125 hand-outlined fluorescent nuclei, or one side of them.

    Parameters
    ----------
    split : {"train", "val", "test", "all"}
        A place in the picture, not a random draw: crops of one place look alike, and a model
        tested on crops from between its training crops looks better than it is. "train" is the
        left 240 columns, "val" the upper right and "test" the lower right 240 x 240 px; strips of
        32 px between them belong to no split.

    Returns
    -------
    Sample
        image (1, H, W) float32 in 0..1, semantic 0 background / 1 nucleus, instances 1..N
        (a nucleus cut by the edge of the split keeps its part), boxes and classes.

    Raises
    ------
    ValueError
        For another split.
    FileNotFoundError
        When the checkout's data folder is missing.

    Notes
    -----
    Grey values are mapped linearly so that the 1st and the 99.8th percentile *of the training
    side* become 0 and 1, and clipped: a few saturated pixels must not set the scale, and the held
    out sides must not either.

    References
    ----------
    2018 Data Science Bowl (BBBC038, CC0); Caicedo et al. 2019, Nature Methods 16:1247. Used from
    notebook 01 on.
    """
    if split not in REGIONS:
        raise ValueError(f"split must be one of {', '.join(REGIONS)}, got {split!r}")
    folder = data_folder() / "nuclei"
    grey = np.rint(255 * read_picture(folder / "image.png", "L")[0].numpy())  # as stored, 0..255
    labels = read_labels(folder / "labels.png")
    low, high = np.percentile(grey[REGIONS["train"]], PERCENTILES)
    grey = ((grey[REGIONS[split]] - low) / (high - low)).clip(0, 1).astype(np.float32)
    labels = relabel(labels[REGIONS[split]])
    return Sample(
        image=torch.from_numpy(grey)[None],
        semantic=torch.from_numpy((labels > 0).astype(np.int64)),
        instances=torch.from_numpy(labels),
        name=f"nuclei/{split}",
        classes=torch.ones(int(labels.max()), dtype=torch.int64),
        boxes=torch.from_numpy(boxes_of(labels)),
    )
