"""Label maps of objects: consecutive ids, and one box an object."""

import numpy as np
from skimage.measure import label as connected


def relabel(labels):
    """Give the objects of a label map the ids 1..N in ascending order of their old ids.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, 0 = background, ids with holes allowed.

    Returns
    -------
    ndarray
        (H, W) int32, ids exactly 1..N.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: expected (H, W) integers, got {labels.dtype} {labels.shape}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels: expected ids >= 0, got {labels.min()}")
    old = np.unique(labels)
    return np.searchsorted(old[old > 0], labels).astype(np.int32) + (labels > 0).astype(np.int32)


def boxes_of(labels):
    """Tight boxes of the objects of a label map.

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, ids exactly 1..N.

    Returns
    -------
    ndarray
        (N, 4) float32 xyxy in px, right and bottom edge exclusive.
    """
    count = int(labels.max(initial=0))
    low = np.full((count + 1, 2), max(labels.shape))
    high = np.full((count + 1, 2), -1)
    rows, columns = np.nonzero(labels)
    ids = labels[rows, columns]
    for axis, place in enumerate((columns, rows)):
        np.minimum.at(low[:, axis], ids, place)
        np.maximum.at(high[:, axis], ids, place)
    return np.concatenate([low[1:], high[1:] + 1], axis=1).astype(np.float32)


def largest_parts(labels):
    """Keep of every object its largest connected part (neighbours up, down, left, right).

    Parameters
    ----------
    labels : ndarray
        (H, W) integers, 0 = background.

    Returns
    -------
    ndarray
        Same shape and dtype; the other parts are background.
    """
    parts = connected(labels, background=0, connectivity=1)
    size = np.bincount(parts.ravel())
    owner = np.zeros(len(size), dtype=np.int64)
    owner[parts.ravel()] = labels.ravel()
    ascending = np.argsort(size[1:], kind="stable") + 1
    best = np.zeros(labels.max() + 1, dtype=np.int64)
    best[owner[ascending]] = ascending  # the largest comes last and stays
    return np.where(parts == best[labels], labels, 0).astype(labels.dtype)
