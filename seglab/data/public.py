"""Public sets in their own layouts: list-like, one Sample an item."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageSequence
from skimage.measure import label as connected

from .folder import missing
from .instances import boxes_of, relabel
from .picture_set import PictureSet, listed, read_ids, read_picture
from .sample import IGNORE, Sample

CAMVID_VOID = 11
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train",
    "tv monitor")


def objects_of_one_class(image, labels, name):
    """Sample of a picture whose every object is of class 1."""
    if tuple(image.shape[-2:]) != labels.shape:
        raise ValueError(f"{name}: picture of {tuple(image.shape[-2:])} px, labels of {labels.shape} px")
    labels = relabel(labels)
    return Sample(image=image, semantic=torch.from_numpy((labels > 0).astype(np.int64)),
                  instances=torch.from_numpy(labels), name=name, boxes=torch.from_numpy(boxes_of(labels)),
                  classes=torch.ones(int(labels.max()), dtype=torch.int64))


class DSB2018(PictureSet):
    """2018 Data Science Bowl, stage 1: nuclei in fluorescence and stained tissue.

    Parameters
    ----------
    root : path, optional
        Folder with `stage1_train`; default: see `dataset_root("dsb2018")`.

    Notes
    -----
    Items are Samples with an RGB image and instances. Where two masks claim one pixel the later one
    keeps it, an empty mask is dropped.
    """

    name, classes = "dsb2018", ("background", "nucleus")

    def _find(self):
        folders = sorted(path for path in (self.root / "stage1_train").glob("*") if path.is_dir())
        return [path for path in folders if not path.name.startswith(".")]

    def _read(self, folder):
        picture = folder / "images" / f"{folder.name}.png"
        self.pair(picture, folder / "masks")
        image = read_picture(picture, "RGB")
        labels = np.zeros(image.shape[-2:], dtype=np.int64)
        for number, mask in enumerate(listed(folder / "masks", "*.png"), start=1):
            inside = read_ids(mask) > 0
            inside = inside if inside.ndim == 2 else inside[..., 0]
            if inside.shape != labels.shape:
                raise ValueError(f"{mask.relative_to(self.root)}: mask of {inside.shape} px, "
                                 f"picture of {labels.shape} px")
            labels[inside] = number
        return objects_of_one_class(image, labels, f"dsb2018/{folder.name}")


class BBBC039(PictureSet):
    """BBBC039: U2OS nuclei in fluorescence, 16 bit.

    Parameters
    ----------
    split : {"training", "validation", "test"}
        The published lists.
    root : path, optional
        Folder with `images`, `masks` and `metadata`; default: see `dataset_root("bbbc039")`.

    Notes
    -----
    Grey values are divided by the picture's maximum. Instances are the connected components (8 neighbours)
    of equal value of the mask's channel 0.
    """

    name, classes = "bbbc039", ("background", "nucleus")

    def __init__(self, split="training", root=None):
        if split not in ("training", "validation", "test"):
            raise ValueError(f"split: expected training, validation or test, got {split!r}")
        self.split = split
        super().__init__(root)

    def _find(self):
        names = self.root / "metadata" / f"{self.split}.txt"
        if not names.is_file():
            raise missing(self.name, self.root, f"metadata/{self.split}.txt is missing")
        stems = [Path(line.strip()).stem for line in names.read_text().splitlines() if line.strip()]
        return [self.pair(self.root / "images" / f"{stem}.tif", self.root / "masks" / f"{stem}.png")
                for stem in stems if not stem.startswith(".")]

    def _read(self, item):
        picture, target = item
        mask = read_ids(target)
        labels = connected(mask if mask.ndim == 2 else mask[..., 0], background=0)
        return objects_of_one_class(read_picture(picture, "L"), labels, f"bbbc039/{picture.stem}")


class ISBI2012(PictureSet):
    """ISBI 2012: neurons in electron microscopy, membranes between them.

    Parameters
    ----------
    root : path, optional
        Folder with the two tif volumes, or with `train/image` and `train/label`; default: see
        `dataset_root("isbi2012")`.

    Notes
    -----
    semantic is 1 in a cell and 0 on a membrane, as in the U-Net paper; instances are the connected
    cells (neighbours up, down, left and right). Slices are neighbours in one block of tissue: hold
    out the last ones, not random ones.
    """

    name, classes = "isbi2012", ("membrane", "cell")

    def _find(self):
        volume, labels = self.root / "train-volume.tif", self.root / "train-labels.tif"
        if volume.exists() or labels.exists():
            self.pair(volume, labels)
            self._pages = [self._stack(path) for path in (volume, labels)]
            if len(self._pages[0]) != len(self._pages[1]):
                raise missing(self.name, self.root,
                              f"{len(self._pages[0])} pictures, {len(self._pages[1])} labels")
            return list(range(len(self._pages[0])))
        return [self.pair(path, self.root / "train" / "label" / path.name)
                for path in listed(self.root / "train" / "image", "*.png")]

    @staticmethod
    def _stack(path):
        with Image.open(path) as pages:
            return [np.array(page.convert("L")) for page in ImageSequence.Iterator(pages)]

    def _read(self, item):
        if isinstance(item, int):
            grey, label, stem = self._pages[0][item], self._pages[1][item], str(item)
            image = torch.from_numpy(grey.astype(np.float32) / 255)[None]
        else:
            image, label, stem = read_picture(item[0], "L"), read_ids(item[1]), item[0].stem
        return objects_of_one_class(image, connected(label > 127, connectivity=1), f"isbi2012/{stem}")


class CamVid(PictureSet):
    """CamVid: frames from a driving car, 11 classes.

    Parameters
    ----------
    split : {"train", "val", "test"}
    root : path, optional
        Folder with `train`, `trainannot`, ...; default: see `dataset_root("camvid")`.

    Notes
    -----
    Class ids 0..10 as published (0 is sky, not background); the published void 11 becomes 255.
    """

    name = "camvid"
    classes = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
               "bicyclist")

    def __init__(self, split="train", root=None):
        if split not in ("train", "val", "test"):
            raise ValueError(f"split: expected train, val or test, got {split!r}")
        self.split = split
        super().__init__(root)

    def _find(self):
        return [self.pair(path, self.root / f"{self.split}annot" / path.name)
                for path in listed(self.root / self.split, "*.png")]

    def _read(self, item):
        semantic = read_ids(item[1])
        semantic[semantic >= CAMVID_VOID] = IGNORE
        return Sample(image=read_picture(item[0], "RGB"), semantic=torch.from_numpy(semantic),
                      name=f"camvid/{item[0].stem}")


class OxfordPets(PictureSet):
    """Oxford-IIIT Pet: cats and dogs with a trimap, read through `torchvision.datasets.OxfordIIITPet`.

    Parameters
    ----------
    split : {"trainval", "test"}
    root : path, optional
        Folder `oxford-iiit-pet`; default: see `dataset_root("oxford-iiit-pet")`.

    Notes
    -----
    semantic is 1 on the pet, 0 on the background and 255 on the border that the trimap leaves open.
    Some of the "jpg" are grey or palette files; all come out as RGB.
    """

    name, classes = "oxford-iiit-pet", ("background", "pet")

    def __init__(self, split="trainval", root=None):
        if split not in ("trainval", "test"):
            raise ValueError(f"split: expected trainval or test, got {split!r}")
        self.split = split
        super().__init__(root)

    def _find(self):
        from torchvision.datasets import OxfordIIITPet  # a slow import that only two sets need

        try:
            found = OxfordIIITPet(self.root.parent, split=self.split, target_types="segmentation")
        except (RuntimeError, FileNotFoundError) as error:
            raise missing(self.name, self.root, str(error).splitlines()[0].rstrip(".")) from error
        return [self.pair(Path(picture), Path(trimap))
                for picture, trimap in zip(found._images, found._segs)]

    def _read(self, item):
        trimap = read_ids(item[1])
        semantic = np.select([trimap == 1, trimap == 2], [1, 0], IGNORE)
        return Sample(image=read_picture(item[0], "RGB"), semantic=torch.from_numpy(semantic),
                      name=f"oxford-iiit-pet/{item[0].stem}")


class VOC2012(PictureSet):
    """PASCAL VOC 2012: 20 classes of objects, read through `torchvision.datasets.VOCSegmentation`.

    Parameters
    ----------
    split : {"train", "val", "trainval"}
    root : path, optional
        Folder `VOCdevkit`; default: see `dataset_root("voc2012")`.

    Notes
    -----
    semantic 0..20, 255 void; instances from `SegmentationObject`, each with its class.
    """

    name, classes = "voc2012", VOC_CLASSES

    def __init__(self, split="train", root=None):
        if split not in ("train", "val", "trainval"):
            raise ValueError(f"split: expected train, val or trainval, got {split!r}")
        self.split = split
        super().__init__(root)

    def _find(self):
        from torchvision.datasets import VOCSegmentation

        try:
            found = VOCSegmentation(self.root.parent, year="2012", image_set=self.split)
        except (RuntimeError, FileNotFoundError) as error:
            raise missing(self.name, self.root, str(error).splitlines()[0].rstrip(".")) from error
        return [self.pair(Path(picture), Path(mask)) for picture, mask in zip(found.images, found.masks)]

    def _read(self, item):
        semantic = read_ids(item[1])
        objects = read_ids(self.pair(item[0], item[1].parents[1] / "SegmentationObject" / item[1].name)[1])
        labels = relabel(np.where(objects == IGNORE, 0, objects))
        first = np.unique(labels, return_index=True)[1][-labels.max():] if labels.max() else []
        return Sample(image=read_picture(item[0], "RGB"), semantic=torch.from_numpy(semantic),
                      instances=torch.from_numpy(labels), name=f"voc2012/{item[0].stem}",
                      classes=torch.from_numpy(semantic.ravel()[first]),
                      boxes=torch.from_numpy(boxes_of(labels)))
