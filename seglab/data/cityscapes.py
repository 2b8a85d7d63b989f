"""Cityscapes: streets, 19 classes, eight of them with instances."""

from pathlib import Path

import numpy as np
import torch

from .folder import missing
from .instances import boxes_of, relabel
from .picture_set import PictureSet, read_ids, read_picture
from .sample import IGNORE, Sample


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
    outlined, are only part of ``semantic``.
    """

    name = "cityscapes"

    def __init__(self, split="train", root=None):
        if split not in ("train", "val"):
            raise ValueError(f"split: expected train or val, got {split!r}")
        from torchvision.datasets import Cityscapes as Reader  # a slow import that only this set needs

        self.split, self._reader = split, Reader
        known = [entry for entry in Reader.classes if not entry.ignore_in_eval]
        self.classes = tuple(entry.name for entry in sorted(known, key=lambda entry: entry.train_id))
        self._train_id = np.full(256, IGNORE, dtype=np.int64)
        for entry in known:
            self._train_id[entry.id] = entry.train_id
        super().__init__(root)

    def _find(self):
        try:
            found = self._reader(str(self.root), split=self.split, mode="fine", target_type=["semantic", "instance"])
        except (RuntimeError, FileNotFoundError) as error:
            raise missing(self.name, self.root, str(error).splitlines()[0].rstrip(".")) from error
        pairs = [(Path(picture), *map(Path, targets)) for picture, targets in zip(found.images, found.targets)]
        for picture, *targets in pairs:
            for target in targets:
                self.pair(picture, target)
        return sorted(pairs)

    def _read(self, item):
        picture, labels_path, instances_path = item
        semantic = self._train_id[read_ids(labels_path)]
        ids = read_ids(instances_path)                     # label id * 1000 + number; a group has the label id alone
        labels = relabel(np.where((ids >= 1000) & (semantic != IGNORE), ids, 0))
        first = np.unique(labels, return_index=True)[1][-labels.max():] if labels.max() else []
        return Sample(image=read_picture(picture, "RGB"), semantic=torch.from_numpy(semantic),
                      instances=torch.from_numpy(labels), classes=torch.from_numpy(semantic.ravel()[first]),
                      boxes=torch.from_numpy(boxes_of(labels)),
                      name=f"cityscapes/{picture.stem.removesuffix('_leftImg8bit')}")
