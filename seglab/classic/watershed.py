"""Watershed by flooding from markers, and markers from a distance map."""

import heapq
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.morphology import reconstruction

from seglab.classic.inputs import as_gray, as_labels, check_connectivity
from seglab.inputs import mask as as_mask
from seglab.inputs import positive


def watershed(image: Any, markers: Any, mask: Any = None, connectivity: int = 1) -> np.ndarray:
    """Flood a relief from markers; every basin keeps the label of its marker.

    Parameters
    ----------
    image : array_like (H, W)
        The relief, low values flooded first (a gradient magnitude, or minus a distance map). Infinite walls
        are flooded last. No NaN.
    markers : array_like (H, W) of int
        Labels >= 1 where the flood starts, 0 elsewhere. Markers outside `mask` are dropped. Without any
        marker the result is 0 everywhere.
    mask : array_like (H, W) of bool or 0 and 1, optional
        Pixels that may be flooded; the others stay 0. Pixels of the mask that no flood reaches stay 0 too.
    connectivity : {1, 2}
        4 or 8 neighbours.

    Returns
    -------
    numpy.ndarray (H, W) of int32
        Basin labels, without a dividing line; int64 if a marker needs it.

    Raises
    ------
    TypeError
        If `markers` is not integer or `mask` not numeric.
    ValueError
        If `image` is not 2-D, is empty or holds NaN, `mask` holds other values than 0 and 1, shapes differ, a marker
        is negative, or `connectivity` is neither 1 nor 2.

    Notes
    -----
    A priority queue pops the lowest pixel first, the oldest first among equals. A pixel gets its label when
    it is pushed, with the key ``(max(value, value of the pixel that pushed it), age)``: water never runs
    uphill unnoticed, and a plateau is shared by distance. Neighbours are visited up, left, right, down,
    then the diagonals. This equals `skimage.segmentation.watershed` wherever the marker pixels have
    different values; equal marker values are taken in reading order here and in no stated order there.

    References
    ----------
    Meyer, "Topographic distance and watershed lines", Signal Processing 38(1), 1994.
    Beucher & Lantuejoul, "Use of watersheds in contour detection", 1979. Derived in notebook 02.
    """
    image = as_gray(image, infinity_allowed=True).astype(np.float64)
    labels = as_labels(markers, image.shape, "markers")
    if labels.min() < 0:
        raise ValueError(f"markers must be labels >= 0, got {labels.min()}")
    free = np.ones(image.shape, bool) if mask is None else as_mask(mask, "mask", image.shape)
    check_connectivity(connectivity)

    # one pixel of margin that may not be flooded, so that no neighbour test needs bounds
    width = image.shape[1] + 2
    relief = np.pad(image, 1).ravel().tolist()
    output = np.pad(np.where(free, labels, 0), 1).ravel().tolist()
    closed = (~np.pad(free, 1)).ravel().tolist()
    steps = (-width, -1, 1, width, -width - 1, -width + 1, width - 1, width + 1)[: 4 * connectivity]

    heap = [(relief[p], 0, p) for p, label in enumerate(output) if label]
    heapq.heapify(heap)
    age = 0
    while heap:
        value, _, p = heapq.heappop(heap)
        for step in steps:
            q = p + step
            if output[q] or closed[q]:
                continue
            age += 1
            output[q] = output[p]
            heapq.heappush(heap, (max(relief[q], value), age, q))
    dtype = np.int32 if labels.max() <= np.iinfo(np.int32).max else np.int64
    return np.array(output, dtype).reshape(-1, width)[1:-1, 1:-1]


def h_maxima(image: Any, h: float) -> np.ndarray:
    """Regions that rise at least `h` above the ground one must cross to reach anything higher.

    Parameters
    ----------
    image : array_like (H, W)
        A landscape, e.g. a distance map in px. No NaN or infinity.
    h : float
        Depth in the unit of `image`, > 0.

    Returns
    -------
    numpy.ndarray (H, W) of bool
        Pixels whose value exceeds the reconstruction of ``image - h`` under `image` by at least `h`
        (8-connected). None where `h` exceeds the whole range of values, so none on a constant image.

    Raises
    ------
    ValueError
        If `image` is not 2-D, is empty or holds NaN or infinity, or `h` <= 0.

    References
    ----------
    Vincent, "Morphological grayscale reconstruction", IEEE Trans. Image Processing 2(2), 1993. Notebook 02.
    """
    image = as_gray(image).astype(np.float64)
    h = positive(h, "h")
    if h > np.ptp(image):
        return np.zeros(image.shape, bool)
    # image - h may round to a hair above the exact difference; a relative 2e-15 keeps "at least h" true
    seed = image - h - 2e-15 * np.abs(image)
    return image - reconstruction(seed, image, method="dilation") >= h


def distance_markers(mask: Any, sigma: float = 1.5, h: float = 0.5) -> np.ndarray:
    """One marker for each hump of the smoothed distance map of a mask.

    Parameters
    ----------
    mask : array_like (H, W) of bool or 0 and 1
        Foreground; touching objects may be one component.
    sigma : float
        Standard deviation in px of the Gaussian that smooths the distance map; 0 leaves it as it is.
    h : float
        Humps lower than this many px above their saddle are merged, > 0.

    Returns
    -------
    numpy.ndarray (H, W) of int32
        0 = no marker, labels 1..N. Every 8-connected component of the mask holds at least one marker (flood
        with ``connectivity=2`` to reach pixels that hang on by a corner); an empty mask gives N = 0.

    Raises
    ------
    TypeError
        If `mask` is not numeric.
    ValueError
        If `mask` is not 2-D or holds other values than 0 and 1, or `sigma` < 0 or `h` <= 0.

    References
    ----------
    Soille, "Morphological Image Analysis", 2nd ed., section 9.2 (markers). Derived in notebook 02.
    """
    mask = as_mask(mask, "mask")
    sigma, h = positive(sigma, "sigma", zero=True), positive(h, "h")
    sigma = min(sigma, 10.0 * max(mask.shape))  # by then the map is constant, and a longer filter would fill the memory
    # the picture's edge counts as border, so that an object cut by it keeps a maximum of its own
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    smooth = ndimage.gaussian_filter(distance, sigma) if sigma else distance
    eight = np.ones((3, 3), int)
    peaks = h_maxima(np.where(mask, smooth, 0.0), h) & mask
    # a component whose hump is lower than h keeps its highest pixel: no object may vanish
    components, count = ndimage.label(mask, structure=eight)
    if count:
        index = np.arange(1, count + 1)
        without = ndimage.maximum(peaks, components, index) == 0
        for position in np.array(ndimage.maximum_position(smooth, components, index))[without]:
            peaks[tuple(position)] = True
    return ndimage.label(peaks, structure=eight)[0].astype(np.int32)
