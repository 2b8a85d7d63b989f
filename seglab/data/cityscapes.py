"""Cityscapes: streets, 19 classes, eight of them with instances."""

import os
from pathlib import Path

import numpy as np

from seglab.data.picture_files import read_labels, read_picture
from seglab.data.picture_set import PictureSet, check_classes, objects_of_many_classes
from seglab.data.sample import IGNORE, Sample


class Cityscapes(PictureSet):
    """Cityscapes, fine annotations, read through `torchvision.datasets.Cityscapes`.

    Parameters
    ----------
    split : {"train", "val"}
        The labels of the test split are not public.
    root : path, optional
        Folder with `leftImg8bit` and `gtFine`; default: see `dataset_root("cityscapes")`.

    Notes
    -----
    Class ids 0..18 are the published train ids (0 is road, not background); all others are 255. Instances are the
    single objects of person, rider, car, truck, bus, train, motorcycle and bicycle; groups, whose members nobody
    outlined, are only part of ``semantic``. 8 bit, 255 is 1.
    """

    name = "cityscapes"

    def __init__(self, split: str = "train", root: str | os.PathLike | None = None) -> None:
        if split not in ("train", "val"):
            raise ValueError(f"split must be train or val, got {split!r}")
        from torchvision.datasets import Cityscapes as Reader  # a slow import that only this set needs

        self.split, self._reader = split, Reader
        known = [entry for entry in Reader.classes if not entry.ignore_in_eval]
        self.classes = tuple(entry.name for entry in sorted(known, key=lambda entry: entry.train_id))
        self._train_id = np.full(256, IGNORE, dtype=np.int64)
        for entry in known:
            self._train_id[entry.id] = entry.train_id
        super().__init__(root)

    def _find(self) -> list[tuple[Path, Path, Path]]:
        try:
            found = self._reader(str(self.root), split=self.split, mode="fine", target_type=["semantic", "instance"])
        except (RuntimeError, FileNotFoundError) as error:
            raise self.missing(str(error).splitlines()[0].rstrip(".")) from error
        pairs = [(Path(picture), *map(Path, targets)) for picture, targets in zip(found.images, found.targets)]
        return sorted((*self.pair(picture, labels), self.pair(picture, ids)[1]) for picture, labels, ids in pairs)

    def _read(self, item: tuple[Path, Path, Path]) -> Sample:
        picture, labels_path, instances_path = item
        labels = read_labels(labels_path)
        if not 0 <= labels.min() <= labels.max() <= 255:
            raise ValueError(f"{labels_path} must hold label ids 0..255, got {labels.min()}..{labels.max()}")
        semantic = self._train_id[labels]
        ids = read_labels(instances_path)                  # label id * 1000 + number; a group has the label id alone
        single = np.where((ids >= 1000) & (self._train_id[np.clip(ids // 1000, 0, 255)] != IGNORE), ids, 0)
        return objects_of_many_classes(
            read_picture(picture, "RGB"), check_classes(semantic, len(self.classes), labels_path), single,
            f"cityscapes/{picture.stem.removesuffix('_leftImg8bit')}")
