"""A folder of one's own pictures, with or without labels beside them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from seglab.data.folder import DataUnavailable
from seglab.data.picture_files import read_labels, read_mask, read_picture
from seglab.data.picture_set import PictureSet, check_classes, listed, objects_of_one_class
from seglab.data.sample import IGNORE, Sample

LABELS = ("classes", "mask", "objects")


class PictureFolder(PictureSet):
    """Pictures in `images`, their labels under the same name in `labels`, scribbles in `scribbles`.

    Parameters
    ----------
    root : path
        Folder with `images`; `labels` and `scribbles` may be missing, the endings may differ.
    labels : {"classes", "mask", "objects"}
        What a label picture holds: class ids (see `read_labels`), one mask (see `read_mask`), or the ids of objects of
        one class.
    classes : tuple of str
        Names of the classes; class ids are 0..len(classes) - 1, and 255 for pixels to ignore.
    mode : {"RGB", "L"}
        Colour or grey.
    scale : float, optional
        Stored value that becomes 1, for all pictures; see `read_picture`.

    Raises
    ------
    DataUnavailable
        No picture, or one without its label picture.
    ValueError
        Naming the file; when it is read.

    Notes
    -----
    Without a folder `labels` semantic is 255 everywhere. Scribbles are class ids, 255 where nobody drew.
    """

    name = "own"

    def __init__(self, root: str | os.PathLike, labels: str = "classes",
                 classes: tuple[str, ...] = ("background", "object"), mode: str = "RGB",
                 scale: float | None = None) -> None:
        if labels not in LABELS:
            raise ValueError(f"labels must be one of {', '.join(LABELS)}, got {labels!r}")
        if not 2 <= len(classes) < IGNORE or labels != "classes" and len(classes) != 2:
            raise ValueError(f"classes must be 2 to {IGNORE - 1} names, two for {labels!r}, got {len(classes)}")
        self.labels, self.classes, self.mode, self.scale = labels, tuple(classes), mode, scale
        super().__init__(root)

    def missing(self, problem: str) -> DataUnavailable:
        """The error that says what is wrong with the root and what belongs there."""
        return DataUnavailable(f"{problem}.\nExpected in {self.root}: images/NAME, and where there are labels "
                               "labels/NAME or scribbles/NAME, any of the usual endings")

    def _find(self) -> list[tuple[Path, Path | None, Path | None]]:
        found = listed(self.root / "images")
        columns: list[list[Path | None]] = []
        for folder in ("labels", "scribbles"):
            partner = {path.stem: path for path in listed(self.root / folder)}
            for path in found:
                if partner and path.stem not in partner:
                    raise self.missing(f"{folder}/{path.stem} is missing, the partner of images/{path.name}")
            columns.append([partner.get(path.stem) for path in found])
        return list(zip(found, *columns))

    def _read(self, item: tuple[Path, Path | None, Path | None]) -> Sample:
        path, labels_path, scribbles_path = item
        image, name = read_picture(path, self.mode, self.scale), f"{self.root.name}/{path.stem}"
        scribbles = None
        if scribbles_path is not None:
            scribbles = check_classes(read_labels(scribbles_path), len(self.classes), scribbles_path)
        if labels_path is None:
            semantic = torch.full(image.shape[1:], IGNORE)
        elif self.labels == "objects":
            return replace(objects_of_one_class(image, read_labels(labels_path), name), scribbles=scribbles)
        elif self.labels == "mask":
            semantic = torch.from_numpy(read_mask(labels_path).astype(np.int64))
        else:
            semantic = check_classes(read_labels(labels_path), len(self.classes), labels_path)
        return Sample(image=image, semantic=semantic, name=name, scribbles=scribbles)
