"""Warping error: the disagreement that no bending of the borders can explain, only a change of topology."""

from functools import lru_cache
from typing import Any

import numpy as np
from scipy import ndimage

from seglab.inputs import mask as binary_mask
from seglab.metrics.inputs import masks

# the eight neighbours as (row, column) steps, once around; bit k of a neighbourhood's code is neighbour k
RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def warping_error(true: Any, pred: Any, mask: Any = None) -> float:
    """Share of pixels that still differ after `true` was bent towards `pred` without changing its topology.

    Parameters
    ----------
    true, pred : (H, W) binary mask (bool, or 0 and 1), array or tensor
        Foreground = objects, with at least one background pixel between two of them: of a label map pass
        ``separate_touching(labels) > 0``. The roles differ: `true` is the one that is bent.
    mask : (H, W) binary mask, optional
        Where pixels of `true` may flip (Fiji: a band around the true borders). All of them by default.

    Returns
    -------
    float in 0..1
        0 for equal topology within reach: a shift or thicker walls cost nothing. A missing or invented
        object, hole, bridge or gap costs the pixels that would have to be cut or joined. Both empty: 0.

    Raises
    ------
    TypeError, ValueError
        Other values than 0 and 1, empty arrays, other shapes.

    References
    ----------
    Jain et al. (2010), Boundary learning by optimization with topological constraints, section 2.
    Notebooks 01, 06.

    Examples
    --------
    >>> cells = np.array([[1, 1, 0, 1, 1]] * 3)
    >>> warping_error(cells, np.array([[1, 0, 0, 1, 1]] * 3))       # a wall one pixel thicker
    0.0
    >>> round(warping_error(cells, np.ones((3, 5), int)) * 15)      # the wall is gone
    3
    """
    return float((warp(true, pred, mask) != binary_mask(pred, "pred")).mean())


def warp(true: Any, pred: Any, mask: Any = None) -> np.ndarray:
    """`true` after the flips: (H, W) bool of the same topology, as close to `pred` as greedy flipping brings it.

    Parameters and raises as :func:`warping_error`.

    Notes
    -----
    A pixel may flip if it differs from `pred` and is *simple*: with 4-connected foreground and 8-connected
    background its flip neither joins nor cuts, opens nor closes anything. Outside the picture is
    background. The four classes of pixels (even or odd row, even or odd column) take turns: two pixels
    of a class never touch, so all simple ones of a class flip at once, and the result is one of those
    that flipping one by one can give. Which one depends on the order (as in Fiji): the residual is an upper
    bound of the minimum in the definition.
    """
    true, pred = masks(true, pred)
    allowed = true != pred
    if mask is not None:
        allowed &= binary_mask(mask, "mask", true.shape)
    simple = simple_points()
    image = np.pad(true, 1).astype(np.uint8, order="C")
    width = image.shape[1]
    image.shape = (-1,)                                         # flat positions; would fail where ravel() copies
    steps = [dy * width + dx for dy, dx in RING]
    rows, cols = np.nonzero(allowed)
    turns = [np.flatnonzero((rows % 2 == y) & (cols % 2 == x)) for y in (0, 1) for x in (0, 1)]
    turns = [(rows[t] + 1) * width + cols[t] + 1 for t in turns]
    flipped = True
    while flipped:
        flipped = False
        for k, candidates in enumerate(turns):
            code = np.zeros(len(candidates), dtype=np.uint8)
            for bit, step in enumerate(steps):
                code |= image[candidates + step] << bit
            flips = simple[code]
            if flips.any():
                flipped = True
                image[candidates[flips]] ^= 1
                turns[k] = candidates[~flips]                   # now equal to `pred`: never flips back
    return image.reshape(-1, width)[1:-1, 1:-1].astype(bool)


@lru_cache
def simple_points() -> np.ndarray:
    """(256,) bool: is a pixel with this neighbourhood simple? Bit k of the index is neighbour ``RING[k]``.

    Simple means: among the eight neighbours exactly one 4-connected foreground component shares an edge with
    the pixel, and exactly one 8-connected background component touches it. The table is read-only.
    """
    table = np.zeros(256, dtype=bool)
    for code in range(256):
        foreground, background = np.zeros((2, 3, 3), dtype=bool)         # the pixel itself belongs to neither
        for bit, (dy, dx) in enumerate(RING):
            (foreground if code >> bit & 1 else background)[1 + dy, 1 + dx] = True
        components, _ = ndimage.label(foreground)                        # 4-connected
        touching = {components[1 + dy, 1 + dx] for dy, dx in RING if dy == 0 or dx == 0} - {0}
        _, surroundings = ndimage.label(background, np.ones((3, 3)))     # 8-connected
        table[code] = len(touching) == 1 and surroundings == 1
    table.setflags(write=False)
    return table
