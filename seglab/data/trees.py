"""Aerial pictures with hand-drawn tree boxes, out of a data package."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import torch
from PIL import Image

from .packages import cached
from .sample import IGNORE, Sample

PLACES = {"OSBS_029": "OSBS_029", "SOAP_061": "SOAP_061", "YELL": "2019_YELL_2_541000_4977000_image_crop"}


def load_trees(place="OSBS_029", download=False):
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
        raise ValueError(f"place: expected one of {', '.join(PLACES)}, got {place!r}")
    files = cached("deepforest", download)
    with Image.open(files[f"{PLACES[place]}.png"]) as picture:
        image = np.array(picture.convert("RGB"), dtype=np.float32) / 255
    boxes = [[float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")]
             for box in ElementTree.parse(files[f"{PLACES[place]}.xml"]).iter("bndbox")]
    boxes = torch.tensor(boxes, dtype=torch.float32)
    boxes[:, 0::2].clamp_(0, image.shape[1])
    boxes[:, 1::2].clamp_(0, image.shape[0])
    return Sample(
        image=torch.from_numpy(image.transpose(2, 0, 1).copy()),
        semantic=torch.full(image.shape[:2], IGNORE, dtype=torch.int64),
        name=f"trees/{place}",
        classes=torch.ones(len(boxes), dtype=torch.int64),
        boxes=boxes,
    )
