"""Graph cut: the labelling of least energy, found as a minimum cut between two terminals."""

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from seglab.classic.grid_graph import grid_edges, squared_contrast
from seglab.classic.inputs import as_channels, as_gray, as_labels, numbers
from seglab.inputs import mask, positive, to_numpy, whole

BACKGROUND, OBJECT = 1, 2  # seed and output labels, as for the random walker


def graph_cut(image: Any, seeds: Any, lam: float = 1.0, sigma: float | None = None, bins: int = 32,
              connectivity: int = 2) -> np.ndarray:
    """Interactive object / background segmentation by a minimum cut.

    Parameters
    ----------
    image : array_like (H, W)
        Grey picture, finite, in any unit; 8 and 16 bits are scaled to 0..1.
    seeds : array_like (H, W) of int
        0 = to be labelled, 1 = background seed, 2 = object seed. Both must occur.
    lam : float
        Weight of the regional term R against the boundary term B, >= 0. With 0 only edges and seeds count.
    sigma : float, optional
        Grey difference that counts as an edge, > 0. Default: root mean square difference of neighbours.
    bins : int
        Number of histogram bins between the picture's extremes, >= 1, for the regional term.
    connectivity : {1, 2}
        4 or 8 neighbours.

    Returns
    -------
    numpy.ndarray (H, W) of int64
        1 = background, 2 = object; seeds keep their label. Of several minimal cuts the one with the smallest
        object is returned.

    Raises
    ------
    TypeError
        If `seeds` or `bins` is not integer, or `image` not numeric.
    ValueError
        If a seed kind is missing, seeds hold other values than 0, 1, 2, shapes differ, or a number is out
        of range.

    Notes
    -----
    ``E(A) = lam * sum_p R_p(A_p) + sum_pq B_pq [A_p != A_q]``.

    References
    ----------
    Boykov & Jolly, "Interactive graph cuts for optimal boundary and region segmentation of objects in N-D
    images", ICCV 2001, eq. (1)-(3) and the table of weights. Derived in notebook 02.
    """
    channels = as_channels(image)
    if channels.shape[2] != 1:
        raise ValueError(f"image must be a grey picture (H, W), got {channels.shape[2]} channels")
    seeds = _as_two_seeds(seeds, channels.shape[:2])
    lam = positive(lam, "lam", zero=True)
    edges, length = grid_edges(channels.shape[:2], connectivity)
    weights = boundary_weights(channels, edges, length, sigma)
    costs = lam * regional_costs(channels[..., 0], seeds, bins)
    costs[1, seeds == BACKGROUND] = np.inf  # a seed may not change sides
    costs[0, seeds == OBJECT] = np.inf
    in_object, _ = min_cut(costs, edges, weights)
    return np.where(in_object, OBJECT, BACKGROUND)


def regional_costs(image: Any, seeds: Any, bins: int = 32) -> np.ndarray:
    """R_p: how badly each pixel fits the histogram of each kind of seed, ``(2, H, W)``, nats.

    ``R_p(background) = -log P(I_p | background)`` first, then object. The histograms of the seeds' grey
    values have `bins` bins over the picture's range and one extra count a bin, so that no cost is infinite.
    """
    image, bins = as_gray(image).astype(np.float64), whole(bins, "bins", 1)
    seeds = as_labels(seeds, image.shape, "seeds")
    span = np.ptp(image) or 1.0
    index = np.minimum(((image - image.min()) / span * bins).astype(int), bins - 1)
    counts = [np.bincount(index[seeds == kind], minlength=bins) + 1.0 for kind in (BACKGROUND, OBJECT)]
    return np.stack([-np.log(count / count.sum())[index] for count in counts])


def boundary_weights(image: Any, edges: Any, length: Any, sigma: float | None = None) -> np.ndarray:
    """B_pq: the price of separating neighbours, ``exp(-(I_p - I_q)^2 / 2 sigma^2) / dist(p, q)``, ``(E,)``.

    `image` is ``(H, W, C)`` float, `edges` and `length` as from `grid_edges`. `sigma` defaults to the root
    mean square difference over all edges; a constant picture has weight ``1 / dist`` everywhere.
    """
    image = numbers(image, "image", "(H, W, C)", 3)
    edges, length = _checked_edges(edges, length, "length", image.shape[0] * image.shape[1])
    if not (length > 0).all():
        raise ValueError(f"length must be > 0, got {length.min()}")
    contrast = squared_contrast(image, edges)
    if sigma is not None:
        sigma = positive(sigma, "sigma")
        variance = max(sigma * sigma, 1e-300)
    else:
        variance = contrast.mean() if len(edges) else 0.0
    with np.errstate(over="ignore"):  # a narrow sigma: exp(-inf) is 0
        return np.exp(-contrast / (2 * variance)) / length if variance > 0 else 1.0 / length


def cut_energy(in_object: Any, costs: Any, edges: Any, weights: Any) -> float:
    """Energy of a labelling: the costs of the labels taken plus the weights of the edges cut.

    `in_object` is bool ``(H, W)``, `costs` ``(2, H, W)`` for background and object, `edges` ``(E, 2)``,
    `weights` ``(E,)``. A forbidden label (infinite cost) makes the energy infinite.
    """
    costs, edges, weights = _checked_graph(costs, edges, weights)
    in_object = mask(in_object, "in_object", costs.shape[1:])
    flat = in_object.ravel()
    unary = np.where(in_object, costs[1], costs[0]).sum()
    return float(unary + weights[flat[edges[:, 0]] != flat[edges[:, 1]]].sum())


def min_cut(costs: Any, edges: Any, weights: Any) -> tuple[np.ndarray, float]:
    """Labelling of least energy for two labels and non-negative symmetric edge weights.

    Parameters
    ----------
    costs : array_like (2, H, W)
        Cost of the label background (0) and object (1) at each pixel; finite, or +inf for a forbidden label.
    edges : array_like (E, 2) of int
        Flat pixel numbers, as from `grid_edges`.
    weights : array_like (E,)
        Price of giving the two ends different labels, >= 0, finite.

    Returns
    -------
    in_object : numpy.ndarray (H, W) of bool
        The smallest optimal object.
    energy : float
        Its energy, computed from the unrounded costs and weights.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, a cost is NaN or -inf, both labels of a pixel are forbidden, an edge
        leads out of the picture, costs or weights do not sum to a finite number, or integer capacities exceed 32
        bits.

    Notes
    -----
    SciPy's flow works on 32-bit integers. Integer `costs` and `weights` are taken as they are, so the cut is
    exact; floating-point ones are multiplied by the largest factor that cannot overflow and rounded.
    """
    costs, edges, weights = _checked_graph(costs, edges, weights)
    if np.isinf(costs).all(axis=0).any():
        raise ValueError("costs must allow one label a pixel, got a pixel with both labels forbidden")
    exact = np.issubdtype(costs.dtype, np.integer) and np.issubdtype(weights.dtype, np.integer)
    gain = _gain(costs.reshape(2, -1), edges, weights)
    scale = 1 if exact else _scale(gain, weights)
    capacity = _network(np.rint(gain * scale), edges, np.rint(weights * scale), exact)
    n = gain.size
    flow = maximum_flow(capacity, n, n + 1)
    residual = sparse.csr_array(capacity - flow.flow)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, n, return_predecessors=False)
    in_object = np.zeros(n + 2, bool)
    in_object[reached] = True
    in_object = in_object[:n].reshape(costs.shape[1:])
    return in_object, cut_energy(in_object, costs, edges, weights)


def _checked_graph(costs: Any, edges: Any, weights: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs (2, H, W) and weights (E,) of their own dtypes, edges (E, 2) as int64."""
    costs = to_numpy(costs, "costs")
    if costs.ndim != 3 or costs.shape[0] != 2 or costs.size == 0:
        raise ValueError(f"costs must have shape (2, H, W), got {costs.shape}")
    if costs.dtype.kind == "c" or np.isnan(costs).any() or (costs == -np.inf).any():
        raise ValueError(f"costs must be finite numbers or +inf, got NaN, -inf or {costs.dtype}")
    edges, weights = _checked_edges(edges, weights, "weights", costs[0].size)
    if len(weights) and (not np.isfinite(weights).all() or weights.min() < 0):
        raise ValueError("weights must be finite numbers >= 0, got a negative, infinite or NaN weight")
    for name, value in (("costs", costs[np.isfinite(costs)]), ("weights", weights)):
        with np.errstate(over="ignore"):
            total = np.abs(value.astype(np.float64)).sum()
        if not np.isfinite(total):
            raise ValueError(f"{name} must sum to a finite number, got values up to {np.abs(value).max():g}")
    return costs, edges, weights


def _checked_edges(edges: Any, values: Any, name: str, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of pixel numbers (E, 2) as int64 and one real number for each, (E,)."""
    edges, values = to_numpy(edges, "edges"), to_numpy(values, name)
    if values.ndim != 1 or values.dtype.kind == "c":
        raise ValueError(f"{name} must be real numbers, shape (E,), got {values.dtype}, shape {values.shape}")
    if edges.shape != (len(values), 2):
        raise ValueError(f"edges must be one pair for each of {name}, {(len(values), 2)}, got shape {edges.shape}")
    if edges.dtype.kind not in "iu":
        raise TypeError(f"edges must be integers, got {edges.dtype}")
    if edges.size and (edges.min() < 0 or edges.max() >= pixels):
        raise ValueError(f"edges must be pixel numbers in 0..{pixels - 1}, got {edges.min()}..{edges.max()}")
    return edges.astype(np.int64), values


def _gain(costs: np.ndarray, edges: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What a pixel gains by being object: only the difference of its two costs matters for the cut."""
    incident = np.bincount(edges.ravel(), np.repeat(weights, 2), minlength=costs.shape[1])
    hard = incident + 1  # Boykov & Jolly's K, for each pixel: dearer than cutting all its edges
    # in float64 even for integers, where a difference of unsigned numbers would wrap around
    background, object_ = costs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gain = background - object_
    return np.where(np.isposinf(background), hard, np.where(np.isposinf(object_), -hard, gain))


def _scale(gain: np.ndarray, weights: np.ndarray) -> float:
    # half of 2^31 leaves room for rounding
    most = _largest(gain, weights)
    return 2.0**30 / most if most > 0 else 1.0


def _largest(gain: np.ndarray, weights: np.ndarray) -> float:
    """Largest number the flow meets: it is at most what leaves the source or enters the sink."""
    flow = min(gain[gain > 0].sum(), -gain[gain < 0].sum())
    return max(flow, np.abs(gain).max(), np.max(weights, initial=0))


def _network(gain: np.ndarray, edges: np.ndarray, weights: np.ndarray, exact: bool) -> sparse.csr_array:
    n = gain.size
    if exact and _largest(gain, weights) >= 2**31:
        raise ValueError("costs must be integer capacities whose flow fits 32 bits, got larger ones")
    (a, b), object_side, sink_side = edges.T, np.flatnonzero(gain > 0), np.flatnonzero(gain < 0)
    # cutting source -> p means p is background and pays what it would have gained as object
    rows = np.concatenate([a, b, np.full(len(object_side), n), sink_side])
    columns = np.concatenate([b, a, object_side, np.full(len(sink_side), n + 1)])
    values = np.concatenate([weights, weights, gain[object_side], -gain[sink_side]])
    # the flow of SciPy 1.13 and 1.14 takes no other indices than those of 32 bits
    places = rows.astype(np.int32), columns.astype(np.int32)
    return sparse.csr_array((values.astype(np.int32), places), shape=(n + 2, n + 2))


def _as_two_seeds(seeds: Any, shape: tuple[int, ...]) -> np.ndarray:
    seeds = as_labels(seeds, shape, "seeds")
    present = set(np.unique(seeds).tolist())
    if not present <= {0, BACKGROUND, OBJECT}:
        raise ValueError(f"seeds must be 0, 1 (background) and 2 (object), got {sorted(present)}")
    for kind, word in ((BACKGROUND, "background seed (1)"), (OBJECT, "object seed (2)")):
        if kind not in present:
            raise ValueError(f"seeds must hold at least one {word}, got none")
    return seeds
