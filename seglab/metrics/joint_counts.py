"""How often each pair of labels meets: one pass over two label maps that every object metric is read from."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from seglab.metrics.inputs import label_maps

_TABLE = 1 << 20      # cells of a table that is cheaper to fill than the pixels are to sort


@dataclass(frozen=True)
class JointCounts:
    """The non-zero cells of the contingency table of two label maps.

    Attributes
    ----------
    ids_a, ids_b : (A,), (B,) integer arrays
        The labels that occur, ascending. Background 0 is one of them where it occurs.
    sizes_a, sizes_b : (A,), (B,) int64
        Pixels of each label.
    rows, cols : (K,) int64
        Positions in `ids_a`, `ids_b` of the pairs that meet.
    pixels : (K,) int64
        In how many pixels.
    """

    ids_a: np.ndarray
    ids_b: np.ndarray
    sizes_a: np.ndarray
    sizes_b: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    pixels: np.ndarray

    def objects(self) -> Self:
        """The same without background: pairs of two objects only. Sizes keep their background pixels."""
        keep_a, keep_b = self.ids_a != 0, self.ids_b != 0
        pairs = keep_a[self.rows] & keep_b[self.cols]
        # labels ascend, so a background can only be the first: positions shift by one
        return JointCounts(self.ids_a[keep_a], self.ids_b[keep_b], self.sizes_a[keep_a], self.sizes_b[keep_b],
                           self.rows[pairs] - (~keep_a).sum(), self.cols[pairs] - (~keep_b).sum(), self.pixels[pairs])

    def iou(self) -> np.ndarray:
        """(K,) float64, intersection over union of each pair that meets."""
        return self.pixels / (self.sizes_a[self.rows] + self.sizes_b[self.cols] - self.pixels)


def joint_counts(labels_a: Any, labels_b: Any, names: tuple[str, str] = ("labels_a", "labels_b")) -> JointCounts:
    """Count the pixels of every pair of labels that meet.

    Parameters
    ----------
    labels_a, labels_b : (H, W) integer array or tensor
        Ids >= 0, in any order and with any gaps.
    names : pair of str
        What error messages call the two.

    Returns
    -------
    JointCounts

    Raises
    ------
    TypeError, ValueError
        Float, negative, empty, 3-D maps or two shapes.

    Notes
    -----
    Small ids index a table directly, others are
    squeezed to 0..A-1 first; of a large table (70,000 x 70,000 objects) only the cells that occur are made.
    Notebook 01.
    """
    a, b = (m.ravel() for m in label_maps(labels_a, labels_b, names))
    ids_a, ids_b = None, None
    if (int(a.max()) + 1) * (int(b.max()) + 1) > _TABLE:
        ids_a, a = np.unique(a, return_inverse=True)
        ids_b, b = np.unique(b, return_inverse=True)
    A, B = int(a.max()) + 1, int(b.max()) + 1
    joint = a * B                                            # in int64: that of two uint8 maps would wrap around
    joint += b
    if A * B <= _TABLE:
        table = np.bincount(joint, minlength=A * B)
        cells = np.flatnonzero(table)
        pixels = table[cells]
    else:
        cells, pixels = np.unique(joint, return_counts=True)
    rows, cols = np.divmod(cells, B)
    ids_a, sizes_a, rows = _squeeze(rows, pixels, A, ids_a)
    ids_b, sizes_b, cols = _squeeze(cols, pixels, B, ids_b)
    return JointCounts(ids_a, ids_b, sizes_a, sizes_b, rows, cols, pixels)


def _squeeze(positions: np.ndarray, pixels: np.ndarray, count: int,
             ids: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids that occur, their sizes, and positions among them."""
    sizes = np.bincount(positions, pixels, count).astype(np.int64)      # sums in float64: exact to 2^53 pixels
    if ids is not None:
        return ids, sizes, positions                                    # np.unique has left no gap
    present = sizes > 0
    ids = np.flatnonzero(present)
    return ids, sizes[ids], (np.cumsum(present) - 1)[positions]
