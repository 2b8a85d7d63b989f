"""Public sets in their own layouts: list-like, one Sample an item."""

import os
from pathlib import Path

import numpy as np
import torch
from skimage.measure import label as connected

from seglab.data.picture_files import count_pages, read_labels, read_mask, read_picture
from seglab.data.picture_set import (
    PictureSet,
    check_classes,
    listed,
    objects_of_many_classes,
    objects_of_one_class,
)
from seglab.data.sample import IGNORE, Sample

CAMVID_VOID = 11
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train",
    "tv monitor")


def check_split(split: str, splits: tuple[str, ...]) -> str:
    """The split, if the set has it."""
    if split not in splits:
        raise ValueError(f"split must be one of {', '.join(splits)}, got {split!r}")
    return split


class DSB2018(PictureSet):
    """2018 Data Science Bowl, stage 1: nuclei in fluorescence and stained tissue.

    Parameters
    ----------
    root : path, optional
        Folder with `stage1_train`; default: see `dataset_root("dsb2018")`.

    Notes
    -----
    Items are Samples with an RGB image (8 bit, 255 is 1) and instances. A mask may be of any kind that `read_mask`
    reads. Where two masks claim one pixel the later one keeps it, an empty mask is dropped.
    """

    name, classes = "dsb2018", ("background", "nucleus")

    def _find(self) -> list[Path]:
        folders = sorted(path for path in (self.root / "stage1_train").glob("*") if path.is_dir())
        return [path for path in folders if not path.name.startswith(".")]

    def _read(self, folder: Path) -> Sample:
        picture, masks = self.pair(folder / "images" / f"{folder.name}.png", folder / "masks")
        image = read_picture(picture, "RGB")
        labels = np.zeros(image.shape[-2:], dtype=np.int64)
        for number, path in enumerate(listed(masks, (".png",)), start=1):
            inside = read_mask(path)
            if inside.shape != labels.shape:
                raise ValueError(f"{path.relative_to(self.root)} must be of the picture's {labels.shape} px, "
                                 f"got {inside.shape} px")
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
    scale : float
        Grey value that becomes 1, for the whole set. The files have 16 bit, but the camera gave 12: 4095. A file with
        a larger value is refused, so a scale that does not fit does not pass unseen.

    Notes
    -----
    One scale, and not each picture's maximum: by its maximum, which a speck may hold, a picture without nuclei comes
    out bright, and a net calls all of it foreground. Instances are the connected components (8 neighbours) of equal
    value of the mask's channel 0.
    """

    name, classes = "bbbc039", ("background", "nucleus")

    def __init__(self, split: str = "training", root: str | os.PathLike | None = None, scale: float = 4095) -> None:
        self.split, self.scale = check_split(split, ("training", "validation", "test")), scale
        super().__init__(root)

    def _find(self) -> list[tuple[Path, Path]]:
        stems = [Path(name).stem for name in self.names(self.root / "metadata" / f"{self.split}.txt")]
        return [self.pair(self.root / "images" / f"{stem}.tif", self.root / "masks" / f"{stem}.png") for stem in stems]

    def _read(self, item: tuple[Path, Path]) -> Sample:
        picture, target = item
        labels = connected(read_labels(target, channel=0), background=0)
        return objects_of_one_class(read_picture(picture, "L", self.scale), labels, f"bbbc039/{picture.stem}")


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
    cells (neighbours up, down, left and right). Grey values by the file's type: 255 is 1, or 65535.
    Slices are neighbours in one block of tissue: hold out the last ones, not random ones.
    """

    name, classes = "isbi2012", ("membrane", "cell")

    def _find(self) -> list[tuple[Path, Path, int | None]]:
        volume, labels = self.root / "train-volume.tif", self.root / "train-labels.tif"
        if volume.exists() or labels.exists():
            self.pair(volume, labels)
            pages = [count_pages(path) for path in (volume, labels)]
            if pages[0] != pages[1]:
                raise self.missing(f"{pages[0]} pictures, {pages[1]} labels")
            return [(volume, labels, page) for page in range(pages[0])]
        return [(*self.pair(path, self.root / "train" / "label" / path.name), None)
                for path in listed(self.root / "train" / "image", (".png",))]

    def _read(self, item: tuple[Path, Path, int | None]) -> Sample:
        picture, label, page = item
        cells = connected(read_mask(label, page or 0), connectivity=1)
        return objects_of_one_class(read_picture(picture, "L", page=page or 0), cells,
                                    f"isbi2012/{picture.stem if page is None else page}")


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

    def __init__(self, split: str = "train", root: str | os.PathLike | None = None) -> None:
        self.split = check_split(split, ("train", "val", "test"))
        super().__init__(root)

    def _find(self) -> list[tuple[Path, Path]]:
        return [self.pair(path, self.root / f"{self.split}annot" / path.name)
                for path in listed(self.root / self.split, (".png",))]

    def _read(self, item: tuple[Path, Path]) -> Sample:
        semantic = read_labels(item[1])
        semantic[semantic == CAMVID_VOID] = IGNORE
        return Sample(image=read_picture(item[0], "RGB"), name=f"camvid/{item[0].stem}",
                      semantic=check_classes(semantic, len(self.classes), item[1]))


class OxfordPets(PictureSet):
    """Oxford-IIIT Pet: cats and dogs with a trimap, in the layout of `torchvision.datasets.OxfordIIITPet`.

    Parameters
    ----------
    split : {"trainval", "test"}
    root : path, optional
        Folder with `images` and `annotations`, whatever its name; default: see `dataset_root("oxford-iiit-pet")`.

    Notes
    -----
    semantic is 1 on the pet, 0 on the background and 255 on the border that the trimap leaves open.
    Some of the "jpg" are grey or palette files; all come out as RGB, 8 bit, 255 is 1.
    """

    name, classes = "oxford-iiit-pet", ("background", "pet")

    def __init__(self, split: str = "trainval", root: str | os.PathLike | None = None) -> None:
        self.split = check_split(split, ("trainval", "test"))
        super().__init__(root)

    def _find(self) -> list[tuple[Path, Path]]:
        annotations = self.root / "annotations"
        return [self.pair(self.root / "images" / f"{name}.jpg", annotations / "trimaps" / f"{name}.png")
                for name in self.names(annotations / f"{self.split}.txt")]

    def _read(self, item: tuple[Path, Path]) -> Sample:
        trimap = read_labels(item[1])
        if not 1 <= trimap.min() <= trimap.max() <= 3:
            raise ValueError(f"{item[1]} must be a trimap of 1, 2 and 3, got {trimap.min()}..{trimap.max()}")
        semantic = np.select([trimap == 1, trimap == 2], [1, 0], IGNORE)
        return Sample(image=read_picture(item[0], "RGB"), semantic=torch.from_numpy(semantic),
                      name=f"oxford-iiit-pet/{item[0].stem}")


class VOC2012(PictureSet):
    """PASCAL VOC 2012: 20 classes of objects, in the layout of `torchvision.datasets.VOCSegmentation`.

    Parameters
    ----------
    split : {"train", "val", "trainval"}
    root : path, optional
        Folder `VOC2012` (that with `JPEGImages`) or the one around it, whatever their names; default: see
        `dataset_root("voc2012")`.

    Notes
    -----
    semantic 0..20, 255 void; instances from `SegmentationObject`, each with the class that most of its pixels have.
    An object that is void or background in every pixel is left out. 8 bit, 255 is 1.
    """

    name, classes = "voc2012", VOC_CLASSES

    def __init__(self, split: str = "train", root: str | os.PathLike | None = None) -> None:
        self.split = check_split(split, ("train", "val", "trainval"))
        super().__init__(root)

    def _find(self) -> list[tuple[Path, Path, Path]]:
        year = self.root if (self.root / "JPEGImages").is_dir() else self.root / "VOC2012"
        return [(*self.pair(year / "JPEGImages" / f"{name}.jpg", year / "SegmentationClass" / f"{name}.png"),
                 year / "SegmentationObject" / f"{name}.png")
                for name in self.names(year / "ImageSets" / "Segmentation" / f"{self.split}.txt")]

    def _read(self, item: tuple[Path, Path, Path]) -> Sample:
        picture, semantic_path, objects_path = item
        semantic = read_labels(semantic_path)
        objects = read_labels(self.pair(picture, objects_path)[1])
        return objects_of_many_classes(
            read_picture(picture, "RGB"), check_classes(semantic, len(self.classes), semantic_path),
            np.where(objects == IGNORE, 0, objects), f"voc2012/{picture.stem}", no_class=(0, IGNORE))
