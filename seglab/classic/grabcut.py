"""GrabCut: alternate between fitting the colours of two sides and cutting the graph between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.classic.gaussian_mixture import GaussianMixture, check_noise, kmeans
from seglab.classic.graph_cut import boundary_weights, cut_energy, min_cut
from seglab.classic.grid_graph import grid_edges
from seglab.classic.inputs import as_channels
from seglab.inputs import positive, whole


@dataclass
class GrabCutResult:
    """What `grabcut` found.

    Attributes
    ----------
    mask : numpy.ndarray (H, W) of bool
        The object; always inside the box.
    energies : list of float
        Energy after each round; it never rises.
    background, foreground : GaussianMixture
        The colour models of the last round.
    """

    mask: np.ndarray
    energies: list[float]
    background: GaussianMixture
    foreground: GaussianMixture


def grabcut(image: Any, box: tuple[int, int, int, int], components: int = 5, gamma: float = 50.0,
            iterations: int = 8, noise: float = 1e-4, seed: int = 0) -> GrabCutResult:
    """Cut the object out of a box drawn around it.

    Parameters
    ----------
    image : array_like (H, W) or (H, W, C)
        Colour or grey picture: floats in 0..1, or integers of 8 or 16 bits, which are scaled to 0..1.
    box : tuple of int
        ``(x0, y0, x1, y1)`` in px, right and bottom edges exclusive, clipped to the picture; everything
        outside is background for good. It must leave at least one pixel outside.
    components : int
        Gaussians a side, >= 1 (the paper: 5).
    gamma : float
        Price of a cut edge without contrast, >= 0 (the paper: 50).
    iterations : int
        Most rounds of fit and cut, >= 1; stops when the energy no longer falls.
    noise : float
        Variance of pixel values of a picture in 0..1, >= 1e-12, see `GaussianMixture`.
    seed : int
        Of the k-means that deals out the first components.

    Returns
    -------
    GrabCutResult

    Raises
    ------
    TypeError
        If `image` is not numeric, or a number is no integer.
    ValueError
        If the box is empty, covers the whole picture or is malformed, `image` is not finite or not in 0..1, or a
        number is out of range.

    Notes
    -----
    ``E = sum_p D(A_p, z_p) + gamma sum_pq exp(-beta |z_p - z_q|^2) / dist(p, q) [A_p != A_q]`` with ``beta
    = 1 / (2 mean |z_p - z_q|^2)`` over 8-neighbours and D the cost of the colour in the best component of
    its side. Assigning components, refitting them, and cutting each minimise this same E, so it cannot
    rise.

    References
    ----------
    Rother, Kolmogorov & Blake, "GrabCut: interactive foreground extraction using iterated graph cuts",
    SIGGRAPH 2004, section 3, eq. (2), (5), (7)-(11), figure 3. Derived in notebook 02.
    """
    channels = as_channels(image, unit=True)
    shape = channels.shape[:2]
    inside = _as_box(box, shape)
    gamma, noise = positive(gamma, "gamma", zero=True), check_noise(noise)
    components, iterations = whole(components, "components", 1), whole(iterations, "iterations", 1)

    points = channels.reshape(-1, channels.shape[2])
    edges, length = grid_edges(shape, 2)
    # boundary_weights' own sigma^2 is the mean squared contrast, which is the paper's 1 / (2 beta)
    weights = gamma * boundary_weights(channels, edges, length)
    generator = np.random.default_rng(whole(seed, "seed"))
    mask, energies, models = inside, [], None
    assigned = [kmeans(points[side.ravel()], components, generator) for side in (~inside, inside)]
    for _ in range(iterations):
        sides = (~mask, mask)
        if models is not None:
            assigned = [model.component_costs(points[side.ravel()]).argmin(axis=1)
                        for model, side in zip(models, sides, strict=True)]
        fitted = [GaussianMixture.fit(points[s.ravel()], a, components, noise)
                  for s, a in zip(sides, assigned, strict=True)]
        costs = np.stack([m.component_costs(points).min(axis=1).reshape(shape) for m in fitted])
        costs[1, ~inside] = np.inf
        cut, energy = min_cut(costs, edges, weights)
        before = cut_energy(mask, costs, edges, weights)
        if energy > before:  # only rounding to integer capacities can do that: the old labelling is as good
            cut, energy = mask, before
        models = fitted
        energies.append(energy)
        unchanged, mask = np.array_equal(cut, mask), cut
        if unchanged or not mask.any():
            break
    return GrabCutResult(mask, energies, *models)


def _as_box(box: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        x0, y0, x1, y1 = (int(v) for v in box)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"box must be four integers (x0, y0, x1, y1), got {box!r}") from None
    inside = np.zeros(shape, bool)
    inside[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    if not inside.any():
        raise ValueError(f"box must have x0 < x1 and y0 < y1 in the picture {shape}, got {tuple(box)}")
    if inside.all():
        raise ValueError(f"box must leave background outside, got {tuple(box)} for picture {shape}")
    return inside
