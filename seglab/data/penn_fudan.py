"""Penn-Fudan: pedestrians, each with a mask."""

from pathlib import Path

from seglab.data.picture_files import read_labels, read_picture
from seglab.data.picture_set import PictureSet, listed, objects_of_one_class
from seglab.data.sample import Sample


class PennFudan(PictureSet):
    """Penn-Fudan Database for Pedestrian Detection and Segmentation: 170 pictures.

    Parameters
    ----------
    root : path, optional
        Folder with `PNGImages` and `PedMasks`; default: see `dataset_root("penn-fudan")`.

    Notes
    -----
    Items are Samples with an RGB image (8 bit, 255 is 1), instances, and boxes drawn tightly around the masks.
    """

    name, classes = "penn-fudan", ("background", "pedestrian")

    def _find(self) -> list[tuple[Path, Path]]:
        return [self.pair(path, self.root / "PedMasks" / f"{path.stem}_mask.png")
                for path in listed(self.root / "PNGImages", (".png",))]

    def _read(self, item: tuple[Path, Path]) -> Sample:
        picture, mask = item
        return objects_of_one_class(read_picture(picture, "RGB"), read_labels(mask), f"penn-fudan/{picture.stem}")
