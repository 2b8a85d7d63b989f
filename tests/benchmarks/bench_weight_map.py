"""Weight map of 1000 objects at 1024x1024 against one full distance transform an object, equality beside it."""

import numpy as np
from scipy.ndimage import distance_transform_edt
from stopwatch import timed

from seglab.ops import unet_weight_map


def discs(count=1000, size=1024, seed=0):
    """Label map of `count` discs of random radius on a grid, some of them touching."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(count ** 0.5))
    pitch = size / side
    y, x = np.mgrid[:size, :size]
    row, column = (y / pitch).astype(int), (x / pitch).astype(int)
    radius = rng.uniform(0.3, 0.52, (side, side)) * pitch
    inside = np.hypot(y - (row + 0.5) * pitch, x - (column + 0.5) * pitch) <= radius[row, column]
    cell = row * side + column + 1
    return np.where(inside & (cell <= count), cell, 0).astype(np.int32)


def one_transform_an_object(labels, w0=10.0, sigma=5.0):
    """The rival: a whole-image distance transform for each object, keeping the two smallest."""
    d1, d2 = np.full((2, *labels.shape), np.inf)
    for n in np.unique(labels[labels > 0]):
        d = distance_transform_edt(labels != n)
        np.minimum(d2, np.maximum(d1, d), out=d2)
        np.minimum(d1, d, out=d1)
    return 1 + np.where(labels == 0, w0 * np.exp(-(d1 + d2) ** 2 / (2 * sigma ** 2)), 0)


def against_one_transform_an_object(count, size, limit, at_most=None):
    """A row for `count` objects; the slow rival runs once."""
    labels = discs(count, size)
    ours, mine = timed(unet_weight_map, labels)
    theirs, reference = timed(one_transform_an_object, labels, repeats=1)
    return dict(name=f"weight map, {count} objects, {size}x{size}", rival="one full distance transform an object",
                ours=ours, theirs=theirs, difference=float(np.abs(mine - reference).max()), tolerance=1e-6,
                limit=limit, at_most=at_most)


def many_objects():
    return against_one_transform_an_object(1000, 1024, limit=0.01, at_most=2.0)


def some_objects():
    return against_one_transform_an_object(200, 512, limit=0.1)


ROWS = [many_objects, some_objects]
