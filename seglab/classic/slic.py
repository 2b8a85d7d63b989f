"""SLIC superpixels: k-means in colour and position, searched only nearby."""

from typing import Any

import numpy as np
from scipy import ndimage
from skimage.color import rgb2lab

from seglab.classic.inputs import as_channels
from seglab.inputs import class_map, positive, whole


def slic(image: Any, n_segments: int = 100, compactness: float = 10.0, max_num_iter: int = 10,
         enforce_connectivity: bool = True) -> np.ndarray:
    """Cut a picture into about `n_segments` compact patches of similar colour.

    Parameters
    ----------
    image : array_like (H, W) or (H, W, C)
        Grey or colour picture, finite; stretched to 0..1, so the unit does not matter. Three channels are taken as
        RGB and converted to CIELAB.
    n_segments : int
        Wanted number of superpixels, 1..H*W; the regular start grid rounds it.
    compactness : float
        Weight of distance in space against distance in colour, > 0. 10 suits CIELAB, 0.1 a grey picture in
        0..1.
    max_num_iter : int
        Rounds of k-means, >= 1.
    enforce_connectivity : bool
        Merge fragments under half the mean size into a neighbour, so that each label is one 4-connected
        piece.

    Returns
    -------
    numpy.ndarray (H, W) of int32
        Labels 1..N without gaps (gaps are possible only with ``enforce_connectivity=False``).

    Raises
    ------
    TypeError
        If `image` is not numeric, or a number is no integer.
    ValueError
        If `image` has another number of axes, is empty or not finite, or a number is out of range.

    Notes
    -----
    Squared distance of a pixel and a centre: ``|colour difference|^2 / compactness^2 + |position
    difference|^2 / S^2`` with S the step of the start grid. Each centre looks only 2 S px around itself:
    cost O(pixels), whatever the number of superpixels. Before the connectivity step the labels equal those
    of `skimage.segmentation.slic` apart from rounding.

    References
    ----------
    Achanta et al., "SLIC superpixels compared to state-of-the-art superpixel methods", IEEE Trans. PAMI
    34(11), 2012, section 3 and algorithm 1. Derived in notebook 02.
    """
    channels = as_channels(image)
    height, width = channels.shape[:2]
    compactness = max(positive(compactness, "compactness"), 1e-6)  # by then colour alone decides
    n_segments, max_num_iter = whole(n_segments, "n_segments", 1), whole(max_num_iter, "max_num_iter", 1)
    if n_segments > height * width:
        raise ValueError(f"n_segments must be in 1..{height * width} (pixels), got {n_segments}")
    channels = channels - channels.min()
    channels = channels / (channels.max() or 1.0)
    features = (rgb2lab(channels) if channels.shape[2] == 3 else channels) / compactness

    labels = _local_kmeans(features, n_segments, max_num_iter)
    if enforce_connectivity:
        labels = connect_segments(labels, min_size=0.5 * height * width / n_segments)
    return labels


def _local_kmeans(features: np.ndarray, n_segments: int, iterations: int) -> np.ndarray:
    height, width, _ = features.shape
    rows, columns, step = _grid(height, width, n_segments)
    centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64)
    # the grid may hold fewer centres than asked for: each then has to look further
    reach = [2 * s for s in _grid(height, width, len(centres))[2]]
    spatial = 1.0 / max(step) ** 2
    colours = None  # the first round is by position alone: every cell of the grid finds its mean colour
    positions = np.indices((height, width)).reshape(2, -1).T
    flat = np.concatenate([positions, features.reshape(height * width, -1)], axis=1)
    for _ in range(iterations):
        best = np.full((height, width), np.inf)
        labels = np.zeros((height, width), np.int32)
        for k, (y, x) in enumerate(centres):
            top, left = int(max(y - reach[0], 0)), int(max(x - reach[1], 0))
            window = np.s_[top : int(min(y + reach[0] + 1, height)), left : int(min(x + reach[1] + 1, width))]
            dy = np.arange(window[0].start, window[0].stop)[:, None] - y
            dx = np.arange(window[1].start, window[1].stop)[None] - x
            distance = (dy * dy + dx * dx) * spatial
            if colours is not None:
                distance = distance + ((features[window] - colours[k]) ** 2).sum(axis=2)
            nearer = distance < best[window]
            best[window][nearer] = distance[nearer]
            labels[window][nearer] = k + 1
        owner, n = labels.ravel(), len(centres) + 1
        used = np.bincount(owner, minlength=n)[1:]
        sums = np.stack([np.bincount(owner, column, n)[1:] for column in flat.T], axis=1)
        means = sums / np.maximum(used, 1)[:, None]
        keep = used > 0
        centres[keep] = means[keep, :2]
        colours = means[:, 2:] if colours is None else np.where(keep[:, None], means[:, 2:], colours)
    return labels


def _grid(height: int, width: int, n_segments: int) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Rows and columns of the start centres and the steps between them, px: as near to square as they fit."""
    step = np.sqrt(height * width / n_segments)
    sides = {"height": step, "width": step}
    if min(height, width) < step:  # a thin picture: one row (or column) of centres
        short, long = ("height", "width") if height < width else ("width", "height")
        sides[short], sides[long] = min(height, width), max(height, width) / n_segments
    starts = [int(s // 2) for s in sides.values()]
    steps = [max(int(np.round(s)), 1) for s in sides.values()]
    return np.arange(starts[0], height, steps[0]), np.arange(starts[1], width, steps[1]), steps


def connect_segments(labels: Any, min_size: float) -> np.ndarray:
    """One label for each 4-connected piece; pieces below `min_size` px join the piece before them.

    Parameters
    ----------
    labels : array_like (H, W) of int
        Superpixels whose labels may be scattered.
    min_size : float
        Smallest piece that stays, px, >= 0.

    Returns
    -------
    numpy.ndarray (H, W) of int32
        Labels 1..N, each one 4-connected piece. The first piece in reading order stays whatever its size.

    Raises
    ------
    TypeError
        If `labels` is not integer.
    ValueError
        If it is not 2-D or is empty, or `min_size` is negative.

    References
    ----------
    Achanta et al., PAMI 2012, section 3.1 (post-processing).
    """
    labels, min_size = class_map(labels, "labels", (2,)), positive(min_size, "min_size", zero=True)
    pieces = _components(np.unique(labels, return_inverse=True)[1].reshape(labels.shape) + 1)
    sizes = np.bincount(pieces.ravel())
    first = np.unique(pieces, return_index=True)[1]
    width = labels.shape[1]
    merged = np.zeros(len(sizes), np.int32)
    count = 0
    for piece in range(len(sizes)):  # pieces are numbered in reading order
        y, x = divmod(first[piece], width)
        if piece and sizes[piece] < min_size:
            before = pieces[y, x - 1] if x else pieces[y - 1, x]  # left or above: already decided
            merged[piece] = merged[before]
        else:
            count += 1
            merged[piece] = count
    return merged[pieces]


def _components(labels: np.ndarray) -> np.ndarray:
    """4-connected pieces of equal label, numbered from 0 in reading order of their first pixel."""
    pieces, offset = np.zeros(labels.shape, np.int64), 0
    for value, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        part, count = ndimage.label(labels[window] == value)
        pieces[window] += np.where(part > 0, part + offset, 0)
        offset += count
    _, first, inverse = np.unique(pieces, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.reshape(labels.shape)]
