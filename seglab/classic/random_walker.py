"""Random walker: label a pixel by the seed that a random walk from it meets first."""

from typing import Any

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from seglab.classic.grid_graph import grid_edges, squared_contrast
from seglab.classic.inputs import as_channels, as_labels
from seglab.inputs import positive


def random_walker(image: Any, labels: Any, beta: float = 130.0, return_full_prob: bool = False) -> np.ndarray:
    """Segment by the probability that a random walker from each pixel reaches each label's seeds first.

    Parameters
    ----------
    image : array_like (H, W) or (H, W, C)
        Grey or colour picture: floats in 0..1, or integers of 8 or 16 bits, which are scaled to 0..1.
    labels : array_like (H, W) of int
        Seeds: 0 = to be labelled, > 0 = seed of that label (ids may have gaps), < 0 = pixel taken out of the
        graph.
    beta : float
        How strongly a grey step stops the walker, >= 0.
    return_full_prob : bool
        Return probabilities in place of labels.

    Returns
    -------
    numpy.ndarray (H, W) of int64
        The most probable label of each pixel (the smallest id wins a tie), -1 where a pixel was taken out, 0
        where one has no path to any seed (possible only when some were taken out).
    numpy.ndarray (K, H, W) of float64
        With ``return_full_prob=True``: the probabilities, one map a label in ascending order of ids. They
        sum to 1 at every pixel that has a path to a seed and are 0 elsewhere.

    Raises
    ------
    TypeError
        If `labels` is not integer, or `image` not numeric.
    ValueError
        If there is no seed, shapes differ, `image` holds NaN or infinity or is not in 0..1, or `beta` < 0.

    Notes
    -----
    4-neighbour edges weigh ``exp(-beta d^2 / (10 std)) + 1e-10``, with d^2 summed over channels and std the
    standard deviation of the whole picture; for colour the exponent is divided by sqrt(C). That is the
    convention of `skimage.segmentation.random_walker`; in Grady's plain form the exponent is ``-beta d^2``.
    A constant picture has weight 1 everywhere. The Laplacian restricted to unlabelled pixels is symmetric
    positive definite: it is factorised once and solved for K - 1 labels; the last map is 1 minus the
    others.

    References
    ----------
    Grady, "Random walks for image segmentation", IEEE Trans. PAMI 28(11), 2006, eq. (1), (10). Notebook 02.
    """
    channels = as_channels(image, unit=True)
    seeds = as_labels(labels, channels.shape[:2], "labels").ravel()
    beta = positive(beta, "beta", zero=True)
    ids = np.unique(seeds[seeds > 0])
    if len(ids) == 0:
        raise ValueError("labels must hold at least one seed > 0, got none")

    laplacian = _laplacian(channels, seeds, beta)
    prob = np.zeros((len(ids), seeds.size))
    prob[:, seeds > 0] = ids[:, None] == seeds[seeds > 0]
    unknown = np.flatnonzero(_reachable(laplacian, seeds) & (seeds == 0))
    if len(unknown):
        known = np.flatnonzero(seeds > 0)
        rows = laplacian[unknown]
        system = rows[:, unknown].tocsc()
        solve = splu(system, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
        boundary = rows[:, known]
        for k in range(len(ids) - 1):
            prob[k, unknown] = solve(-boundary @ prob[k, known])
        prob[-1, unknown] = 1.0 - prob[:-1, unknown].sum(axis=0)
    if return_full_prob:
        return prob.reshape(-1, *channels.shape[:2])
    out = np.where(prob.any(axis=0), ids[prob.argmax(axis=0)], np.minimum(np.sign(seeds), 0))
    return out.reshape(channels.shape[:2])


def _laplacian(channels: np.ndarray, seeds: np.ndarray, beta: float) -> sparse.csr_array:
    edges, _ = grid_edges(channels.shape[:2])
    std, n = channels.std(), seeds.size
    contrast = squared_contrast(channels, edges) / (std if std > 0 else np.inf)  # first: 1 / std may overflow
    with np.errstate(over="ignore"):
        weight = np.exp(-beta / (10.0 * np.sqrt(channels.shape[2])) * contrast) + 1e-10
    inside = (seeds[edges] >= 0).all(axis=1)
    (a, b), weight = edges[inside].T, weight[inside]
    adjacency = sparse.csr_array((np.r_[weight, weight], (np.r_[a, b], np.r_[b, a])), shape=(n, n))
    return sparse.csr_array(sparse.diags_array(adjacency.sum(axis=1)) - adjacency)


def _reachable(laplacian: sparse.csr_array, seeds: np.ndarray) -> np.ndarray:
    """Pixels of the graph from which some seed can be reached: only there is the system regular."""
    _, component = connected_components(laplacian, directed=False)
    seeded = ndimage.maximum(seeds > 0, component, np.arange(component.max() + 1))
    return seeded[component].astype(bool) & (seeds >= 0)
