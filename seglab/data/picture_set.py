"""What the public sets share: readers of picture files, and a list-like set of them under one root."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .folder import dataset_root, missing


def read_picture(path, mode):
    """Read a picture of any kind as "RGB" (3, H, W) or grey "L" (1, H, W), float32 in 0..1.

    Parameters
    ----------
    path : path
        Palette, RGBA, CMYK and grey files are converted; 16-bit grey is divided by its own maximum.
    mode : {"RGB", "L"}

    Returns
    -------
    Tensor
    """
    with Image.open(path) as picture:
        if picture.mode.startswith("I") or picture.mode == "F":  # Pillow's own conversion clips at 255
            grey = np.array(picture, dtype=np.float32)
            grey /= max(grey.max(), 1)
            image = np.repeat(grey[..., None], len(mode), axis=2)
        else:
            image = np.array(picture.convert(mode), dtype=np.float32).reshape(*picture.size[::-1], -1) / 255
    return torch.from_numpy(image.transpose(2, 0, 1).copy())


def read_ids(path):
    """Read a label picture as it is stored: (H, W) int64; a palette gives its indices, not its colours."""
    with Image.open(path) as picture:
        return np.array(picture).astype(np.int64)


def listed(folder, pattern="*"):
    """Files of a folder in name order (2 before 10), without the `._` files that macOS puts in archives."""
    paths = [path for path in Path(folder).glob(pattern) if path.is_file() and not path.name.startswith(".")]
    return sorted(paths, key=lambda path: (len(path.stem) if path.stem.isdigit() else 0, path.stem))


class PictureSet:
    """A root with the right files, a length, an order; a set adds ``_find`` and ``_read``."""

    name = ""
    classes = ("background", "object")

    def __init__(self, root=None):
        self.root = dataset_root(self.name) if root is None else Path(root)
        self.items = self._find()
        if not self.items:
            raise missing(self.name, self.root, "no picture was found")

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self._read(self.items[index])  # an index beyond the end raises IndexError and ends a loop

    def pair(self, picture, target):
        """Both paths, or DataUnavailable naming the one that is missing."""
        for path in (picture, target):
            if not path.exists():
                raise missing(self.name, self.root, f"{path.relative_to(self.root)} is missing")
        return picture, target
