"""Region growing: start at a seed and take in neighbours that look alike."""

from typing import Any

import numpy as np
from scipy import ndimage

from seglab.classic.inputs import as_gray, check_connectivity
from seglab.inputs import positive, whole


def region_growing(image: Any, seed: tuple[int, int], tolerance: float, connectivity: int = 1) -> np.ndarray:
    """Grow a region from one seed pixel over neighbours whose grey value is like the seed's.

    Parameters
    ----------
    image : array_like (H, W)
        Grey picture, finite numbers in any unit.
    seed : tuple of int
        ``(row, column)`` of the start pixel, px; negative indices count from the end.
    tolerance : float
        Largest accepted distance (inclusive) between a pixel and the seed's value, in grey values, >= 0.
    connectivity : {1, 2}
        4 or 8 neighbours.

    Returns
    -------
    numpy.ndarray (H, W) of bool
        The region; it always holds the seed.

    Raises
    ------
    TypeError
        If `image` is not numeric or the seed not of integers.
    ValueError
        If `image` is not 2-D, empty or not finite, the seed lies outside it, or `tolerance` is negative.

    Notes
    -----
    Every pixel is compared with the seed, so the order of visits does not matter and the region is one connected
    component of ``|image - image[seed]| <= tolerance``: it equals
    ``skimage.segmentation.flood(image, seed, tolerance=tolerance)``.

    References
    ----------
    Adams & Bischof, "Seeded region growing", IEEE Trans. PAMI 16(6), 1994, refine this with a running mean.
    Derived in notebook 02.
    """
    image = as_gray(image).astype(np.float64)
    tolerance = positive(tolerance, "tolerance", zero=True)
    check_connectivity(connectivity)
    seed = _as_seed(seed, image.shape)
    similar = np.abs(image - image[seed]) <= tolerance
    parts, _ = ndimage.label(similar, structure=ndimage.generate_binary_structure(2, connectivity))
    return parts == parts[seed]


def _as_seed(seed: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    try:
        row, column = seed
    except (TypeError, ValueError):
        raise ValueError(f"seed must be (row, column), got {seed!r}") from None
    row, column = (whole(v, "seed", -max(shape)) for v in (row, column))
    if not (-shape[0] <= row < shape[0] and -shape[1] <= column < shape[1]):
        raise ValueError(f"seed must be a pixel inside the picture of shape {shape}, got {(row, column)}")
    return row % shape[0], column % shape[1]
