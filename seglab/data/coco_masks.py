"""Masks of COCO annotations, in the three forms that the files have; each is checked before anything draws it."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

from seglab import inputs

FAR = 10  # a corner may lie so many picture sides outside; pycocotools walks along the outline px by px


def annotation_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Mask of one COCO annotation, whichever of its three forms it has.

    Parameters
    ----------
    segmentation : list or dict
        Polygons ``[[x0, y0, x1, y1, ...], ...]`` in px, of which those with fewer than three corners are empty; or a
        run-length code ``{"size": [H, W], "counts": [...]}`` (column by column, zeros first); or the same with
        ``counts`` packed into a string.
    height, width : int
        Size of the picture in px.

    Returns
    -------
    ndarray
        (height, width) bool.

    Raises
    ------
    ImportError
        When pycocotools, whose rasteriser defines the masks of polygons, is not installed.
    ValueError
        For another form; a polygon with an odd count of numbers, or with one that is not finite or lies far outside
        the picture; a run-length code of another size, or whose runs are negative or do not fill the picture.
    """
    height, width = inputs.whole(height, "height", 1), inputs.whole(width, "width", 1)
    if isinstance(segmentation, dict) and {"size", "counts"} <= segmentation.keys():
        return _from_runs(segmentation, height, width)
    if isinstance(segmentation, list):
        return _from_polygons(segmentation, height, width)
    raise ValueError(f"segmentation must be polygons or a run-length code, got {_short(segmentation)}")


def _from_polygons(polygons: list, height: int, width: int) -> np.ndarray:
    drawn = []
    for polygon in polygons:
        if not isinstance(polygon, list) or not all(isinstance(v, Real) and not isinstance(v, bool) for v in polygon):
            raise ValueError("segmentation must be a list of polygons, each a flat list of numbers [x0, y0, x1, y1, "
                             f"...], got {_short(polygons)}")
        if len(polygon) % 2:
            raise ValueError(f"segmentation must have x and y for every corner, got {len(polygon)} numbers in "
                             f"{_short(polygon)}")
        corners = np.array(polygon, dtype=float).reshape(-1, 2)
        side = max(height, width)
        if not (np.abs(corners) <= FAR * side).all():  # NaN fails as well
            raise ValueError(f"segmentation must have finite corners near the picture of {height} x {width} px, got "
                             f"{_short(polygon)}")
        if len(corners) > 2:  # of two points pycocotools would make a box
            drawn.append(corners.ravel().tolist())
    if not drawn:
        return np.zeros((height, width), dtype=bool)
    try:
        from pycocotools import mask as rle
    except ImportError as error:
        raise ImportError("COCO's outlines are drawn by pycocotools: python -m pip install pycocotools") from error
    return rle.decode(rle.merge(rle.frPyObjects(drawn, height, width))).astype(bool)


def _from_runs(code: dict, height: int, width: int) -> np.ndarray:
    size, counts = code["size"], code["counts"]
    if not isinstance(size, (list, tuple)) or list(size) != [height, width]:
        raise ValueError(f"segmentation must have size {[height, width]}, got {size}")
    if isinstance(counts, (str, bytes)):
        counts = unpack_counts(counts)
    elif not isinstance(counts, list) or not all(type(run) is int for run in counts):
        raise ValueError(f"segmentation must have counts that are whole numbers or a string, got {_short(counts)}")
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise ValueError(f"segmentation must have runs >= 0 that fill the {height * width} px of the picture, got "
                         f"{len(counts)} runs of {sum(counts)} px, the shortest {min(counts, default=0)}")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def unpack_counts(packed: str | bytes) -> list[int]:
    """Run lengths out of COCO's string: 5 bits a character, from the third run on as the step from the last but one.

    Parameters
    ----------
    packed : str or bytes
        Characters "0" to "o": 5 bits of a number, low ones first, and one bit that says that more follow.

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        For other characters, or a string that ends within a number.
    """
    codes = packed if isinstance(packed, bytes) else packed.encode("utf-8")
    runs: list[int] = []
    value = shift = 0
    for code in codes:
        code -= 48
        if not 0 <= code < 64:
            raise ValueError(f"segmentation must have counts of the characters '0' to 'o', got {_short(packed)}")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:  # negative
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError(f"segmentation must have counts that are complete, got {_short(packed)}")
    return runs


def _short(value: Sequence | Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
