"""Aerial pictures with hand-drawn tree boxes, out of a data package."""

import xml.etree.ElementTree as ElementTree

import torch

from seglab.data.packages import cached
from seglab.data.picture_files import read_picture
from seglab.data.sample import IGNORE, Sample, clip_boxes

PLACES = {"OSBS_029": "OSBS_029", "SOAP_061": "SOAP_061", "YELL": "2019_YELL_2_541000_4977000_image_crop"}


def load_trees(place: str = "OSBS_029", download: bool = False) -> Sample:
    """Load an aerial picture with one box a tree crown.

    Parameters
    ----------
    place : {"OSBS_029", "SOAP_061", "YELL"}
        61, 37 and 279 boxes.
    download : bool
        Fetch the package where it is missing (21 MB).

    Returns
    -------
    Sample
        image (3, H, W); boxes (N, 4) xyxy px; classes all 1; semantic 255 everywhere: nobody drew
        masks. instances None.

    Raises
    ------
    ValueError
        For another place.
    DataUnavailable
        When the package is not in the cache.

    References
    ----------
    NEON; Weinstein et al. 2019, Remote Sensing 11:1309. Notebook 12.
    """
    if place not in PLACES:
        raise ValueError(f"place must be one of {', '.join(PLACES)}, got {place!r}")
    files = cached("deepforest", download)
    image = read_picture(files[f"{PLACES[place]}.png"], "RGB")
    boxes = torch.tensor([[float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")]
                          for box in ElementTree.parse(files[f"{PLACES[place]}.xml"]).iter("bndbox")])
    return Sample(
        image=image,
        semantic=torch.full(image.shape[1:], IGNORE, dtype=torch.int64),
        name=f"trees/{place}",
        classes=torch.ones(len(boxes), dtype=torch.int64),
        boxes=clip_boxes(boxes, *image.shape[1:]),
    )
