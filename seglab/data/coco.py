"""COCO: objects of 80 classes with outlines, and crowds."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seglab.data.coco_masks import annotation_mask
from seglab.data.picture_files import read_picture
from seglab.data.picture_set import PictureSet
from seglab.data.sample import IGNORE, Sample


@dataclass
class Thing:
    """One annotation: an object, or a crowd."""

    mask: np.ndarray   # (H, W) bool
    box: np.ndarray    # (4,) float32 x0, y0, x1, y1 in px, inside the picture
    class_id: int
    crowd: bool


class COCO(PictureSet):
    """COCO 2017 instances.

    Parameters
    ----------
    split : {"train2017", "val2017"}
    root : path, optional
        Folder with `annotations/instances_SPLIT.json` and `SPLIT/NAME.jpg`; default: see `dataset_root("coco")`.

    Raises
    ------
    DataUnavailable
        Where the file of annotations or a picture is missing.
    ValueError
        Naming the file, and the annotation where it is one: no JSON, no "images", "annotations" or "categories", an
        entry without what it needs, an id that is no whole number, that stands twice, or that nothing has.

    Notes
    -----
    Items are Samples: classes 1..80 in the order of the published category ids (whose gaps are closed; ``classes``
    names them), boxes as annotated. Where outlines overlap the smaller object lies on top, as it would hide
    otherwise, by the pixels of its mask and not by the file's ``area``, which other programs fill with whatever they
    have; one that is covered entirely is no instance, one without a pixel, or with a box without area, is left out.
    Crowds are no instances: their pixels that belong to no object have semantic 255. Pictures without objects are
    kept. 8 bit, 255 is 1.

    ``masks``, ``mask_classes``, ``mask_boxes`` and ``crowd`` keep every object and crowd whole, for evaluation: the
    label map cannot hold two objects in a pixel.

    A file's ``bbox``, ``iscrowd``, ``height`` and ``width`` may be missing, ids may be strings of digits, and it may
    begin with a byte order mark.
    """

    name = "coco"

    def __init__(self, split: str = "train2017", root: str | os.PathLike | None = None) -> None:
        if split not in ("train2017", "val2017"):
            raise ValueError(f"split must be train2017 or val2017, got {split!r}")
        self.split = split
        super().__init__(root)
        self._of_picture  # an annotation that belongs nowhere is said here, not at some picture later  # noqa: B018
        self.classes = ("background", *self._categories.values())

    @cached_property
    def _path(self) -> Path:
        return self.root / "annotations" / f"instances_{self.split}.json"

    @cached_property
    def _content(self) -> dict[str, list[dict]]:
        if not self._path.is_file():
            raise self.missing(f"annotations/{self._path.name} is missing")
        try:
            content = json.loads(self._path.read_text(encoding="utf-8-sig"))
        except ValueError as error:  # also what is no UTF-8
            raise ValueError(f"{self._path} must be JSON, got: {error}") from error
        for part in ("images", "annotations", "categories"):
            entries = content.get(part) if isinstance(content, dict) else None
            if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
                raise ValueError(f"{self._path} must hold a list of entries {part!r}, got "
                                 f"{sorted(content) if isinstance(content, dict) else type(content).__name__}")
        return content

    @cached_property
    def _categories(self) -> dict[int, str]:
        """Category ids, ascending, and their names."""
        found = self._by_id("categories")
        if len(found) >= IGNORE:  # class 255 would be ignored everywhere
            raise ValueError(f"{self._path} must have at most {IGNORE - 1} categories, got {len(found)}")
        return {number: str(self._value(found[number], "categories", "name")) for number in sorted(found)}

    @cached_property
    def _of_picture(self) -> dict[int, list[dict]]:
        found: dict[int, list[dict]] = {number: [] for number in self._by_id("images")}
        for entry in self._content["annotations"]:
            for key, known in (("image_id", found), ("category_id", self._categories)):
                if self._id(entry, "annotations", key) not in known:
                    raise ValueError(f"{self._path} must have every {key} among its entries, got {entry[key]!r} in "
                                     f"annotation {entry.get('id')!r}")
            found[self._id(entry, "annotations", "image_id")].append(entry)
        return found

    def _by_id(self, part: str) -> dict[int, dict]:
        found: dict[int, dict] = {}
        for entry in self._content[part]:
            number = self._id(entry, part, "id")
            if number in found:
                raise ValueError(f"{self._path} must have each id once in {part!r}, got {number} twice")
            found[number] = entry
        return found

    def _value(self, entry: dict, part: str, key: str) -> Any:
        if entry.get(key) is None:
            raise ValueError(f"{self._path} must have {key!r} in every entry of {part!r}, got {str(entry)[:80]}")
        return entry[key]

    def _id(self, entry: dict, part: str, key: str) -> int:
        value = self._value(entry, part, key)
        digits = isinstance(value, str) and value.strip().isascii() and value.strip().lstrip("-").isdigit()
        if isinstance(value, bool) or not (digits or isinstance(value, int)):
            raise ValueError(f"{self._path} must have whole numbers as {key!r} in {part!r}, got {value!r}")
        return int(value)

    def _find(self) -> list[dict]:
        pictures = self._by_id("images")
        for entry in pictures.values():
            self._value(entry, "images", "file_name")
        return [pictures[number] for number in sorted(pictures)]

    def _read(self, entry: dict) -> Sample:
        picture = self.root / self.split / entry["file_name"]
        if not picture.is_file():
            raise self.missing(f"{self.split}/{entry['file_name']} is missing")
        image = read_picture(picture, "RGB")
        size = tuple(image.shape[-2:])
        annotated = tuple(int(entry.get(key, have)) for key, have in zip(("height", "width"), size))
        if size != annotated:
            raise ValueError(f"{picture} must be of {annotated} px, as annotated, got {size} px")
        things = [self._thing(annotation, *size) for annotation in self._of_picture[self._id(entry, "images", "id")]]
        things = [thing for thing in things if thing is not None]
        things.sort(key=lambda thing: -np.count_nonzero(thing.mask))         # from large to small
        objects, crowds = ([t for t in things if t.crowd == crowd] for crowd in (False, True))

        semantic, labels = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int32)
        for thing in crowds:
            semantic[thing.mask] = IGNORE
        for number, thing in enumerate(objects, start=1):
            labels[thing.mask], semantic[thing.mask] = number, thing.class_id
        seen = np.unique(labels)
        seen = seen[seen > 0]
        visible = [objects[number - 1] for number in seen]
        hidden = [thing for number, thing in enumerate(objects, start=1) if number not in set(seen.tolist())]
        whole = [*visible, *hidden, *crowds]
        masks = np.stack([thing.mask for thing in whole]) if whole else np.zeros((0, *size), dtype=bool)
        classes = torch.tensor([thing.class_id for thing in whole], dtype=torch.int64)
        boxes = torch.from_numpy(np.array([thing.box for thing in whole], dtype=np.float32).reshape(-1, 4))
        return Sample(image=image, semantic=torch.from_numpy(semantic),
                      instances=torch.from_numpy(np.searchsorted(np.append(0, seen), labels).astype(np.int32)),
                      classes=classes[:len(seen)].clone(), boxes=boxes[:len(seen)].clone(),
                      masks=torch.from_numpy(masks), mask_classes=classes, mask_boxes=boxes,
                      crowd=torch.tensor([thing.crowd for thing in whole], dtype=torch.bool),
                      name=f"coco/{picture.stem}")

    def _thing(self, annotation: dict, height: int, width: int) -> Thing | None:
        """One annotation; None where it has no pixel or a box without area inside the picture."""
        segmentation = self._value(annotation, "annotations", "segmentation")
        try:
            mask = annotation_mask(segmentation, height, width)
        except ValueError as error:
            raise ValueError(f"{error} (annotation {annotation.get('id')!r} of {self._path})") from error
        if not mask.any():
            return None
        crowd = bool(annotation.get("iscrowd", 0))
        box, around = annotation.get("bbox"), _box_around(mask)
        if box is not None:
            numbers = isinstance(box, list) and len(box) == 4 and all(type(side) in (int, float) for side in box)
            if not numbers or not np.isfinite(box).all():
                raise ValueError(f"{self._path} must have four finite numbers as 'bbox', got {box} in annotation "
                                 f"{annotation.get('id')!r}")
            corners = (box[0], box[1], box[0] + box[2], box[1] + box[3])
            box = np.clip(corners, 0, (width, height) * 2).astype(np.float32)
            if not (box[:2] < box[2:]).all():
                if not crowd:
                    return None
                box = around  # its pixels stay ignored, whatever its box says
        category = list(self._categories).index(self._id(annotation, "annotations", "category_id"))
        return Thing(mask, around if box is None else box, category + 1, crowd)


def _box_around(mask: np.ndarray) -> np.ndarray:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)
