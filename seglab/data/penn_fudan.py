"""Penn-Fudan: pedestrians, each with a mask."""

from .picture_set import PictureSet, listed, read_ids, read_picture
from .public import objects_of_one_class


class PennFudan(PictureSet):
    """Penn-Fudan Database for Pedestrian Detection and Segmentation: 170 pictures.

    Parameters
    ----------
    root : path, optional
        Folder with `PNGImages` and `PedMasks`; default: see `dataset_root("penn-fudan")`.

    Notes
    -----
    Items are Samples with an RGB image, instances, and boxes drawn tightly around the masks.
    """

    name, classes = "penn-fudan", ("background", "pedestrian")

    def _find(self):
        return [self.pair(path, self.root / "PedMasks" / f"{path.stem}_mask.png")
                for path in listed(self.root / "PNGImages", "*.png")]

    def _read(self, item):
        picture, mask = item
        return objects_of_one_class(read_picture(picture, "RGB"), read_ids(mask), f"penn-fudan/{picture.stem}")
