"""Region growing: start at a seed and take in neighbours that look alike."""

from __future__ import annotations

import heapq

import numpy as np
from scipy import ndimage

from seglab.classic.inputs import as_gray, check_connectivity, check_positive


def region_growing(image, seed, tolerance: float, reference: str = "seed",
                   connectivity: int = 1) -> np.ndarray:
    """Grow a region from one seed pixel over neighbours of similar grey value.

    Parameters
    ----------
    image : array_like (H, W)
        Grey picture, finite numbers in any unit.
    seed : tuple of int
        ``(row, column)`` of the start pixel, px; negative indices count from the end.
    tolerance : float
        Largest accepted distance (inclusive) between a pixel and the reference value, in grey values.
    reference : {"seed", "mean"}
        "seed" compares every pixel with the seed's value: the result does not depend on the order of visits
        and equals ``skimage.segmentation.flood(image, seed, tolerance=tolerance)``. "mean" compares with
        the mean of the region grown so far, most similar pixel first (Adams & Bischof): it follows the
        object's own grey value, and drifts along a ramp.
    connectivity : {1, 2}
        4 or 8 neighbours.

    Returns
    -------
    numpy.ndarray (H, W) of bool
        The region; it always holds the seed.

    Raises
    ------
    TypeError
        If `image` is not numeric.
    ValueError
        If `image` is not 2-D, empty or holds NaN, the seed lies outside it, `tolerance` is negative, or
        `reference` is unknown.

    References
    ----------
    Adams & Bischof, "Seeded region growing", IEEE Trans. PAMI 16(6), 1994, section 2. Derived in notebook 02.
    """
    image = as_gray(image).astype(np.float64)
    tolerance = check_positive(tolerance, "tolerance", zero_allowed=True)
    check_connectivity(connectivity)
    seed = _as_seed(seed, image.shape)
    if reference == "seed":
        similar = np.abs(image - image[seed]) <= tolerance
        parts, _ = ndimage.label(similar, structure=ndimage.generate_binary_structure(2, connectivity))
        return parts == parts[seed]
    if reference == "mean":
        return _grow_by_mean(image, seed, tolerance, connectivity)
    raise ValueError(f'reference: expected "seed" or "mean", got {reference!r}')


def _grow_by_mean(image: np.ndarray, seed, tolerance: float, connectivity: int) -> np.ndarray:
    height, width = image.shape
    steps = [(-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)][: 4 * connectivity]
    region, seen = np.zeros(image.shape, bool), np.zeros(image.shape, bool)
    total, count = 0.0, 0
    heap, age = [(0.0, 0, *seed)], 0
    seen[seed] = True
    while heap:
        _, _, y, x = heapq.heappop(heap)
        if count and abs(image[y, x] - total / count) > tolerance:  # the mean has moved since it was pushed
            seen[y, x] = False  # a later neighbour may propose it again
            continue
        region[y, x] = True
        total, count = total + image[y, x], count + 1
        for dy, dx in steps:
            r, c = y + dy, x + dx
            if 0 <= r < height and 0 <= c < width and not seen[r, c]:
                distance = abs(image[r, c] - total / count)
                if distance <= tolerance:
                    seen[r, c] = True
                    age += 1
                    heapq.heappush(heap, (distance, age, r, c))
    return region


def _as_seed(seed, shape: tuple[int, int]) -> tuple[int, int]:
    try:
        row, column = (int(v) for v in seed)
    except (TypeError, ValueError):
        raise ValueError(f"seed: expected (row, column), got {seed!r}") from None
    if not (-shape[0] <= row < shape[0] and -shape[1] <= column < shape[1]):
        raise ValueError(f"seed: expected a pixel inside the picture of shape {shape}, got {(row, column)}")
    return row % shape[0], column % shape[1]
