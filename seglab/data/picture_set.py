"""What the sets of picture files share: the files of a folder, pairs of them, and a set under one root."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab.data.folder import DataUnavailable, dataset_root, missing
from seglab.data.instances import boxes_of, class_of_each, relabel
from seglab.data.sample import IGNORE, Sample
from seglab.data.sample_set import SampleSet

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp")


def listed(folder: str | os.PathLike, endings: tuple[str, ...] = ENDINGS) -> list[Path]:
    """Picture files of a folder in name order (2 before 10), upper and lower case endings alike.

    The ``._`` files that macOS puts into archives are no pictures.
    """
    paths = [path for path in Path(folder).glob("*")
             if path.suffix.lower() in endings and path.is_file() and not path.name.startswith(".")]
    return sorted(paths, key=lambda path: (len(path.stem) if path.stem.isdigit() else 0, path.stem, path.name))


def check_classes(semantic: np.ndarray, num_classes: int, path: str | os.PathLike) -> Tensor:
    """A map of class ids as a Sample takes it; ValueError naming the file for an id beyond the set's classes."""
    wrong = semantic[(semantic < 0) | (semantic >= num_classes) & (semantic != IGNORE)]
    if wrong.size:
        raise ValueError(f"{path} must hold class ids 0..{num_classes - 1} or {IGNORE}, got {wrong[0]}")
    return torch.from_numpy(semantic.astype(np.int64))


def objects_of_one_class(image: Tensor, labels: np.ndarray, name: str) -> Sample:
    """Sample of a picture whose every object is of class 1."""
    if tuple(image.shape[-2:]) != labels.shape:
        raise ValueError(f"labels of {name} must be of the picture's {tuple(image.shape[-2:])} px, "
                         f"got {labels.shape} px")
    labels = relabel(labels)
    return Sample(image=image, semantic=torch.from_numpy((labels > 0).astype(np.int64)),
                  instances=torch.from_numpy(labels), name=name, boxes=torch.from_numpy(boxes_of(labels)),
                  classes=torch.ones(int(labels.max()), dtype=torch.int64))


def objects_of_many_classes(image: Tensor, semantic: Tensor, labels: np.ndarray, name: str,
                            no_class: tuple[int, ...] = (IGNORE,)) -> Sample:
    """Sample of a picture whose objects have the class that most of their pixels have in ``semantic``.

    Pixels of the classes `no_class` do not vote; an object of which no pixel votes is left out.
    """
    for field, size in (("semantic", tuple(semantic.shape)), ("labels", labels.shape)):
        if tuple(image.shape[-2:]) != size:
            raise ValueError(f"{field} of {name} must be of the picture's {tuple(image.shape[-2:])} px, got {size} px")
    labels = relabel(labels)
    classes = class_of_each(labels, semantic.numpy(), no_class)
    labels = relabel(np.where(np.append(True, classes == IGNORE)[labels], 0, labels))
    return Sample(image=image, semantic=semantic, instances=torch.from_numpy(labels), name=name,
                  classes=torch.from_numpy(classes[classes != IGNORE]), boxes=torch.from_numpy(boxes_of(labels)))


class PictureSet(SampleSet):
    """A root with the right files; a set adds ``_find``, which lists its items, and ``_read``."""

    name = ""

    def __init__(self, root: str | os.PathLike | None = None) -> None:
        self.root = dataset_root(self.name) if root is None else Path(root)
        self.items = self._find()
        if not self.items:
            raise self.missing("no picture was found")

    def _find(self) -> list[Any]:
        raise NotImplementedError

    def missing(self, problem: str) -> DataUnavailable:
        """The error that says what is wrong with the root and what belongs there."""
        return missing(self.name, self.root, problem)

    def pair(self, picture: Path, target: Path) -> tuple[Path, Path]:
        """Both paths, or DataUnavailable naming the one that is missing; NAME.PNG answers to NAME.png."""
        return self._there(picture), self._there(target)

    def _there(self, path: Path) -> Path:
        if path.exists():
            return path
        for ending in (path.suffix.lower(), path.suffix.upper(), path.suffix.capitalize()):
            if path.suffix and path.with_suffix(ending).exists():
                return path.with_suffix(ending)
        raise self.missing(f"{path.relative_to(self.root)} is missing")

    def names(self, path: Path) -> list[str]:
        """First word of every line of a list, as the published sets name their splits."""
        if not path.is_file():
            raise self.missing(f"{path.relative_to(self.root)} is missing")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        return [line.split()[0] for line in lines if line.strip() and not line.startswith(("#", "._"))]
