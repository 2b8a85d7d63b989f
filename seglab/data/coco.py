"""COCO: objects of 80 classes with outlines, and crowds."""

import json
from functools import cached_property

import numpy as np
import torch

from .folder import missing
from .picture_set import PictureSet, read_picture
from .sample import IGNORE, Sample


def annotation_mask(segmentation, height, width):
    """Mask of one COCO annotation, whichever of its three forms it has.

    Parameters
    ----------
    segmentation : list or dict
        Polygons ``[[x0, y0, x1, y1, ...], ...]`` in px; or a run-length code ``{"size": [H, W], "counts": [...]}``
        (column by column, zeros first); or the same with ``counts`` packed into a string.
    height, width : int
        Size of the picture in px.

    Returns
    -------
    ndarray
        (height, width) bool.

    Raises
    ------
    ImportError
        When pycocotools, whose rasteriser defines COCO's masks, is not installed.
    ValueError
        For another form, or a run-length code of another size.
    """
    try:
        from pycocotools import mask as rle
    except ImportError as error:
        raise ImportError("COCO's outlines are drawn by pycocotools: python -m pip install pycocotools") from error
    if isinstance(segmentation, list):
        if not segmentation:
            return np.zeros((height, width), dtype=bool)
        code = rle.merge(rle.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation, dict) and {"size", "counts"} <= segmentation.keys():
        if list(segmentation["size"]) != [height, width]:
            raise ValueError(f"segmentation: expected size {[height, width]}, got {segmentation['size']}")
        packed = not isinstance(segmentation["counts"], list)
        code = segmentation if packed else rle.frPyObjects(segmentation, height, width)
    else:
        raise ValueError(f"segmentation: expected polygons or a run-length code, got {str(segmentation)[:60]}")
    return rle.decode(code).astype(bool)


class COCO(PictureSet):
    """COCO 2017 instances.

    Parameters
    ----------
    split : {"train2017", "val2017"}
    root : path, optional
        Folder with `annotations/instances_SPLIT.json` and `SPLIT/NAME.jpg`; default: see `dataset_root("coco")`.

    Notes
    -----
    Items are Samples: classes 1..80 in the order of the published category ids (whose gaps are closed; ``classes``
    names them), boxes as annotated. Where outlines overlap the smaller object lies on top, as it would hide
    otherwise; one that is covered entirely, or has a box without area, is left out. Crowds are no instances: their
    pixels that belong to no object have semantic 255. Pictures without objects are kept.
    """

    name = "coco"

    def __init__(self, split="train2017", root=None):
        if split not in ("train2017", "val2017"):
            raise ValueError(f"split: expected train2017 or val2017, got {split!r}")
        self.split = split
        super().__init__(root)
        self.classes = ("background", *(entry["name"] for entry in self._categories))

    @cached_property
    def _content(self):
        path = self.root / "annotations" / f"instances_{self.split}.json"
        if not path.is_file():
            raise missing(self.name, self.root, f"annotations/{path.name} is missing")
        return json.loads(path.read_text(encoding="utf-8"))

    @cached_property
    def _categories(self):
        return sorted(self._content["categories"], key=lambda entry: entry["id"])

    @cached_property
    def _of_picture(self):
        found = {entry["id"]: [] for entry in self._content["images"]}
        for annotation in self._content["annotations"]:
            found[annotation["image_id"]].append(annotation)
        return found

    def _find(self):
        return sorted(self._content["images"], key=lambda entry: entry["id"])

    def _read(self, entry):
        picture = self.root / self.split / entry["file_name"]
        if not picture.is_file():
            raise missing(self.name, self.root, f"{self.split}/{entry['file_name']} is missing")
        image = read_picture(picture, "RGB")
        size = tuple(image.shape[-2:])
        if size != (entry["height"], entry["width"]):
            raise ValueError(f"{entry['file_name']}: picture of {size} px, annotated as "
                             f"{(entry['height'], entry['width'])} px")
        number = {category["id"]: k + 1 for k, category in enumerate(self._categories)}
        semantic, labels = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int32)
        drawn = sorted(self._of_picture[entry["id"]], key=lambda a: (-a.get("iscrowd", 0), -a["area"]))
        objects = []
        for annotation in drawn:                                  # crowds first, then from large to small
            inside = annotation_mask(annotation["segmentation"], *size)
            if annotation.get("iscrowd", 0):
                semantic[inside] = IGNORE
            elif min(annotation["bbox"][2:]) > 0:
                objects.append(annotation)
                labels[inside], semantic[inside] = len(objects), number[annotation["category_id"]]
        seen = np.unique(labels)
        seen = seen[seen > 0]
        visible = [objects[k - 1] for k in seen]
        boxes = torch.tensor([annotation["bbox"] for annotation in visible]).reshape(-1, 4).float()
        boxes[:, 2:] += boxes[:, :2]
        return Sample(image=image, semantic=torch.from_numpy(semantic),
                      instances=torch.from_numpy(np.searchsorted(np.append(0, seen), labels).astype(np.int32)),
                      classes=torch.tensor([number[a["category_id"]] for a in visible], dtype=torch.int64),
                      boxes=boxes, name=f"coco/{picture.stem}")
