"""The pixel grid as a graph: one edge for each pair of neighbouring pixels."""

import numpy as np

from seglab.classic.inputs import check_connectivity
from seglab.inputs import whole


def grid_edges(shape: tuple[int, int], connectivity: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Edges between neighbouring pixels of an ``(H, W)`` grid, each once.

    Parameters
    ----------
    shape : tuple of int
        ``(H, W)``, px.
    connectivity : {1, 2}
        4 or 8 neighbours.

    Returns
    -------
    edges : numpy.ndarray (E, 2) of int64
        Flat pixel numbers ``row * W + column`` of the two ends: all horizontal edges, all vertical ones, then
        the two diagonals.
    length : numpy.ndarray (E,) of float64
        Distance of the two pixels: 1 or sqrt(2) px.

    Raises
    ------
    TypeError, ValueError
        If `connectivity` is neither 1 nor 2, or `shape` is not two integers >= 1.

    References
    ----------
    Derived in notebook 02.
    """
    check_connectivity(connectivity)
    if not isinstance(shape, tuple | list) or len(shape) != 2:
        raise ValueError(f"shape must be two integers (H, W), got {shape!r}")
    height, width = (whole(n, "shape", 1) for n in shape)
    node = np.arange(height * width).reshape(height, width)
    pairs = [(node[:, :-1], node[:, 1:]), (node[:-1], node[1:])]
    if connectivity == 2:
        pairs += [(node[:-1, :-1], node[1:, 1:]), (node[:-1, 1:], node[1:, :-1])]
    edges = [np.stack([a.ravel(), b.ravel()], axis=1) for a, b in pairs]
    length = [np.full(len(e), 1.0 if k < 2 else np.sqrt(2.0)) for k, e in enumerate(edges)]
    return np.concatenate(edges), np.concatenate(length)


def squared_contrast(image: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Squared difference of the two ends of every edge, summed over channels: ``(E,)`` float64.

    `image` is ``(H, W, C)`` float, `edges` as from `grid_edges`.
    """
    flat = image.reshape(-1, image.shape[-1])
    return ((flat[edges[:, 0]] - flat[edges[:, 1]]) ** 2).sum(axis=1)
