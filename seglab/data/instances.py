"""Label maps of objects: consecutive ids, one box and one class an object, and the small ones taken away."""

import numpy as np
from skimage.measure import label as connected
from torch import Tensor

from seglab import inputs
from seglab.data.sample import IGNORE


def relabel(labels: np.ndarray | Tensor) -> np.ndarray:
    """Give the objects of a label map the ids 1..N in ascending order of their old ids.

    Parameters
    ----------
    labels : ndarray or Tensor
        (H, W) integers of any dtype, 0 = background, ids with holes allowed.

    Returns
    -------
    ndarray
        (H, W) int32, ids exactly 1..N.
    """
    labels = inputs.label_map(labels)
    old = np.unique(labels)
    return np.searchsorted(old[old > 0], labels).astype(np.int32) + (labels > 0).astype(np.int32)


def boxes_of(labels: np.ndarray | Tensor) -> np.ndarray:
    """Tight boxes of the objects of a label map.

    Parameters
    ----------
    labels : ndarray or Tensor
        (H, W) integers of any dtype, ids exactly 1..N.

    Returns
    -------
    ndarray
        (N, 4) float32 xyxy in px, right and bottom edge exclusive.

    Raises
    ------
    TypeError, ValueError
        For anything but a label map, or ids with holes, which have no box (`relabel` closes them).
    """
    labels = inputs.label_map(labels)
    rows, columns = np.nonzero(labels)
    ids = labels[rows, columns]
    found = np.unique(ids)
    if len(found) and found[-1] != len(found):
        raise ValueError(f"labels must have ids exactly 1..N, got {len(found)} ids up to {found[-1]}: relabel them")
    count = len(found)
    low = np.full((count + 1, 2), max(labels.shape))
    high = np.full((count + 1, 2), -1)
    for axis, place in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], ids, place)
        np.maximum.at(high[:, axis], ids, place)
    return np.concatenate([low[1:], high[1:] + 1], axis=1).astype(np.float32)


def largest_parts(labels: np.ndarray) -> np.ndarray:
    """Keep of every object its largest connected part (neighbours up, down, left, right).

    Parameters
    ----------
    labels : ndarray
        (H, W) integers of any dtype, 0 = background.

    Returns
    -------
    ndarray
        Same shape and dtype; the other parts are background.
    """
    whole = inputs.label_map(labels)
    parts = connected(whole, background=0, connectivity=1)
    size = np.bincount(parts.ravel())
    owner = np.zeros(len(size), dtype=np.int64)
    owner[parts.ravel()] = np.unique(whole, return_inverse=True)[1].ravel()
    ascending = np.argsort(size[1:], kind="stable") + 1
    best = np.zeros(len(size) + 1, dtype=np.int64)
    best[owner[ascending]] = ascending  # the largest comes last and stays
    keep = np.zeros(len(size), dtype=bool)
    keep[best] = True
    return np.where(keep[parts] & (whole > 0), labels, 0).astype(labels.dtype)


def remove_specks(labels: np.ndarray | Tensor, smallest: int) -> np.ndarray:
    """Make background of all objects with fewer than `smallest` pixels.

    Public truths hold specks of a few px, which a score per object counts like any other object; take them out of
    truth and prediction alike, and say so beside the score.

    Parameters
    ----------
    labels : ndarray or Tensor
        (H, W) integers of any dtype, 0 = background.
    smallest : int
        Pixels that an object needs to stay.

    Returns
    -------
    ndarray
        (H, W) int32, the objects that stay numbered 1..N in the order of their old ids.
    """
    smallest = inputs.positive(smallest, "smallest", zero=True)
    labels = relabel(labels)
    sizes = np.bincount(labels.ravel())
    return relabel(np.where(sizes[labels] >= smallest, labels, 0))


def class_of_each(labels: np.ndarray, semantic: np.ndarray, no_class: tuple[int, ...] = (IGNORE,)) -> np.ndarray:
    """Class of every object: the one that most of its pixels have, whatever stands at its first pixel.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, ids exactly 1..N.
    semantic : ndarray
        (H, W) class ids in 0..255.
    no_class : tuple of int
        Classes whose pixels do not vote.

    Returns
    -------
    ndarray
        (N,) int64; 255 for an object of which no pixel votes. Of equal numbers the lower class.
    """
    votes = np.zeros((labels.max(initial=0) + 1, IGNORE + 1), dtype=np.int64)
    np.add.at(votes, (labels.ravel(), semantic.ravel()), 1)
    votes[:, list(no_class)] = 0
    return np.where(votes.any(axis=1), votes.argmax(axis=1), IGNORE)[1:]
