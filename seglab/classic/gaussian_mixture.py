"""Colours of one region as a mixture of Gaussians, fitted by hard assignment."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.classic.inputs import numbers
from seglab.inputs import positive, to_numpy, whole

NOISE = 1e-12  # the least variance that keeps a covariance of equal colours regular in float64


def kmeans(points: Any, clusters: int, generator: np.random.Generator, iterations: int = 10) -> np.ndarray:
    """Nearest-centre clusters of points by Lloyd's iteration from a spread-out start, ``(N,)`` int64.

    Parameters
    ----------
    points : array_like (N, C)
        Coordinates, finite, N >= 1.
    clusters : int
        Number of centres; with fewer distinct points some clusters stay empty.
    generator : numpy.random.Generator
        Draws the start: each next centre with probability proportional to the squared distance to the nearest
        one so far (k-means++).
    iterations : int
        Upper bound on the rounds, >= 0; stops early when nothing changes.

    Raises
    ------
    TypeError, ValueError
        Points that are no finite (N, C), numbers below their least, or no `numpy.random.Generator`.

    References
    ----------
    Arthur & Vassilvitskii, "k-means++", SODA 2007, section 2.2.
    """
    points, clusters = numbers(points, "points", "(N, C)", 2), whole(clusters, "clusters", 1)
    iterations = whole(iterations, "iterations")
    if not isinstance(generator, np.random.Generator):
        raise TypeError(f"generator must be a numpy.random.Generator, got {type(generator).__name__}")
    centres = points[generator.integers(len(points), size=1)]  # a copy: the centres move
    while len(centres) < clusters:
        nearest = _squared_distances(points, centres).min(axis=1)
        if nearest.sum() == 0:
            break  # every point is a centre already
        centres = np.vstack([centres, points[generator.choice(len(points), p=nearest / nearest.sum())]])
    assigned = _squared_distances(points, centres).argmin(axis=1)
    for _ in range(iterations):
        for k in range(len(centres)):
            if (assigned == k).any():
                centres[k] = points[assigned == k].mean(axis=0)
        previous, assigned = assigned, _squared_distances(points, centres).argmin(axis=1)
        if np.array_equal(previous, assigned):
            break
    return assigned


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((points[:, None, :] - centres[None]) ** 2).sum(axis=2)


def check_noise(noise: float) -> float:
    """A variance of at least 1e-12, or a ValueError."""
    if positive(noise, "noise") < NOISE:
        raise ValueError(f"noise must be at least {NOISE:g}, got {noise!r}")
    return float(noise)


@dataclass
class GaussianMixture:
    """K Gaussians with hard assignment: the colour model of one side of GrabCut.

    Attributes
    ----------
    weights : numpy.ndarray (K,)
        Share of the points in each component; 0 for an empty one, which stays empty.
    means : numpy.ndarray (K, C)
    covariances : numpy.ndarray (K, C, C)
        Maximum-likelihood covariance plus `noise` on the diagonal.
    noise : float
        Variance of the pixel values, >= 1e-12: it keeps a component of equal colours from becoming a spike.

    Notes
    -----
    The cost of colour z in component k is ``-log weight + 1/2 log det S + 1/2 (z - m)' S^-1 (z - m) + 1/2
    noise tr S^-1`` (the constant ``C/2 log 2 pi`` is left out): the expected negative log likelihood of z
    under pixel noise. The last term makes ``ML covariance + noise I`` its exact minimiser, so that fitting
    can never raise the total cost.

    References
    ----------
    Rother, Kolmogorov & Blake, "GrabCut", SIGGRAPH 2004, eq. (8)-(10). Derived in notebook 02.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    noise: float

    @classmethod
    def fit(cls, points: Any, assigned: Any, components: int, noise: float) -> "GaussianMixture":
        """Weights, means, covariances of points ``(N, C)`` that are assigned already, ``(N,)`` in 0..K-1.

        Raises
        ------
        TypeError, ValueError
            Points that are no finite (N, C), assignments of another form, numbers below their least.
        """
        points, components = numbers(points, "points", "(N, C)", 2), whole(components, "components", 1)
        assigned, noise = to_numpy(assigned, "assigned"), check_noise(noise)
        if assigned.dtype.kind not in "iu":
            raise TypeError(f"assigned must hold integers, got {assigned.dtype}")
        if assigned.shape != points.shape[:1] or assigned.min() < 0 or assigned.max() >= components:
            raise ValueError(f"assigned must hold a component in 0..{components - 1} for each of {len(points)} points, "
                             f"got shape {assigned.shape}, values {assigned.min(initial=0)}..{assigned.max(initial=0)}")
        assigned = assigned.astype(np.int64)
        channels = points.shape[1]
        weights = np.bincount(assigned, minlength=components) / len(points)
        means = np.zeros((components, channels))
        covariances = np.tile(np.eye(channels) * noise, (components, 1, 1))
        for k in np.flatnonzero(weights):
            mine = points[assigned == k]
            means[k] = mine.mean(axis=0)
            centred = mine - means[k]
            covariances[k] += centred.T @ centred / len(mine)
        return cls(weights, means, covariances, noise)

    def component_costs(self, points: Any) -> np.ndarray:
        """Cost of each point ``(N, C)`` in each component, ``(N, K)`` in nats; +inf for an empty one."""
        points = numbers(points, "points", "(N, C)", 2)
        if points.shape[1] != self.means.shape[1]:
            raise ValueError(f"points must have {self.means.shape[1]} channels, got shape {points.shape}")
        costs = np.full((len(points), len(self.weights)), np.inf)
        for k in np.flatnonzero(self.weights):
            precision = np.linalg.inv(self.covariances[k])
            centred = points - self.means[k]
            distance = np.einsum("nc,cd,nd->n", centred, precision, centred)
            constant = np.linalg.slogdet(self.covariances[k])[1] + self.noise * np.trace(precision)
            costs[:, k] = -np.log(self.weights[k]) + 0.5 * (constant + distance)
        return costs
