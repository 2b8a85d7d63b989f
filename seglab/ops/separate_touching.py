"""Open a background gap between touching instances: the separation border that the weight map then weighs."""
from typing import TypeVar

import numpy as np
import torch

from seglab.inputs import label_map, to_numpy, whole

Labels = TypeVar("Labels", np.ndarray, torch.Tensor)


def separate_touching(labels: Labels, gap: int) -> Labels:
    """Turn instance pixels into background until different instances are at least `gap` px apart.

    Parameters
    ----------
    labels : array or tensor (H, W), any integer dtype
        0 is background, every other value is one instance.
    gap : int
        Background pixels wanted between two instances, along rows, columns and diagonals, >= 0. Two cells that touch
        along a straight edge end with exactly this gap. 0 changes nothing.

    Returns
    -------
    array or tensor (H, W)
        A new map of the same kind and dtype as `labels`; every remaining pixel keeps its id.

    Raises
    ------
    TypeError
        Labels are float or bool; gap is not an integer.
    ValueError
        Labels are negative, empty or not (H, W); gap < 0.

    Notes
    -----
    Two pixels of different instances conflict if their chessboard distance is at most `gap`. The conflicts are
    resolved for distance 1, 2, ... gap, along rows and columns before the slanted directions; of each pair one pixel
    gives way: the upper (in a row: the left) one at odd distances, the other one at even distances, so that both
    cells lose alike. The choice looks at positions only: renumbering the instances renumbers the result. A cell that
    would vanish keeps its pixels and its neighbour gives way instead; if that one would vanish too, both stay, closer
    than `gap`. So no instance is ever lost. The rounds are repeated until nothing changes, which makes the operation
    idempotent. A cell with a thin neck beside a neighbour may end in two parts.

    References
    ----------
    Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, section 3 (the separation border is computed by morphology; the
    paper does not say which). Used in notebook 06.

    Examples
    --------
    >>> separate_touching(np.array([[1, 1, 1, 2, 2, 2]]), gap=2)
    array([[1, 1, 0, 0, 2, 2]])
    """
    instances = label_map(labels, contiguous=True)
    gap = min(whole(gap, "gap"), max(instances.shape))                  # no distance is longer than the picture
    before = None
    while before is None or (instances != before).any():
        before = instances.copy()
        for distance in range(1, gap + 1):
            for dy, dx in _half_ring(distance):
                _resolve(instances, dy, dx, upper_loses=distance % 2 == 1)
    apart = np.where(instances > 0, array := to_numpy(labels, "labels"), array.dtype.type(0))
    return torch.from_numpy(apart).to(labels.device) if isinstance(labels, torch.Tensor) else apart


def _half_ring(distance: int) -> list[tuple[int, int]]:
    """Offsets (dy, dx) at one chessboard distance, each pair of pixels met once, shortest first."""
    reach = range(-distance, distance + 1)
    ring = [(dy, dx) for dy in reach for dx in reach if max(abs(dy), abs(dx)) == distance and (dy, dx) > (0, 0)]
    return sorted(ring, key=lambda offset: offset[0] ** 2 + offset[1] ** 2)


def _resolve(instances: np.ndarray, dy: int, dx: int, upper_loses: bool) -> None:
    """Of each two pixels of different instances at offset (dy, dx) turn one into background, in place."""
    height, width = instances.shape
    if dy >= height or abs(dx) >= width:
        return
    upper = instances[:height - dy, max(-dx, 0):width - max(dx, 0)]
    lower = instances[dy:, max(dx, 0):width + min(dx, 0)]
    conflict = (upper > 0) & (lower > 0) & (upper != lower)
    if not conflict.any():
        return
    loser, winner = (upper, lower) if upper_loses else (lower, upper)
    size = np.bincount(instances.ravel())
    vanishes = np.bincount(loser[conflict], minlength=len(size)) == size
    yields = conflict & vanishes[loser]                  # here the winner has to give way
    loses = conflict & ~yields
    losses = np.bincount(np.concatenate([loser[loses], winner[yields]]), minlength=len(size))
    yields &= ~(vanishes | (losses >= size))[winner]     # unless it would vanish too
    loser[loses] = 0
    winner[yields] = 0
