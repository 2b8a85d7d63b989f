"""Otsu's threshold: the cut of the histogram that separates two classes best."""

from typing import Any

import numpy as np

from seglab.classic.inputs import as_gray, numbers
from seglab.inputs import whole


def threshold_otsu(image: Any, nbins: int = 256) -> int | float:
    """Threshold that maximises the between-class variance; foreground is ``image > threshold``.

    Parameters
    ----------
    image : array_like (H, W)
        Integer or floating-point picture, finite. Integer pictures get one bin a value, floating-point ones
        `nbins` equal bins between their minimum and maximum, as in scikit-image, or one bin a value where they
        differ by less than so many steps of their dtype. Half precision is computed in float64.
    nbins : int
        Number of bins for floating-point pictures, at least 2. Unused for integers.

    Returns
    -------
    int or float
        The grey value (integers) or bin centre (floats) that ends the darker class. A constant picture gives
        its own value, so that no pixel lies above it.

    Raises
    ------
    TypeError
        If `image` is boolean (it is a mask already) or not numeric.
    ValueError
        If `image` is not 2-D, is empty, holds NaN or infinity, or `nbins` < 2.

    Notes
    -----
    With class weights w0, w1 and class means m0, m1 below and above t, the threshold is the first maximum of
    ``w0 w1 (m0 - m1)^2``, computed for all t at once from two cumulative sums.

    References
    ----------
    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9(1), 1979, eq. (14).
    Derived in notebook 02.

    Examples
    --------
    >>> import numpy as np
    >>> int(threshold_otsu(np.array([[1, 1, 9], [1, 9, 9]])))
    1
    """
    values, counts = _histogram(_as_threshold_input(image), nbins)
    return values[np.argmax(between_class_variance(values, counts))] if len(values) > 1 else values[0]


def between_class_variance(values: Any, counts: Any) -> np.ndarray:
    """Between-class variance of every split of a histogram, ``(B - 1,)`` float64.

    Parameters
    ----------
    values : array_like (B,)
        Grey value of each bin, ascending.
    counts : array_like (B,)
        Number of pixels in each bin; the first and the last are not empty.

    Returns
    -------
    numpy.ndarray (B - 1,)
        Entry k is ``w0 w1 (m0 - m1)^2`` for the classes ``bins <= k`` and ``bins > k``, weights summing to 1.

    Raises
    ------
    TypeError, ValueError
        Values or counts that are no finite numbers of one length, a negative count, an empty first or last bin.
    """
    values, counts = numbers(values, "values", "(B,)", 1), numbers(counts, "counts", "(B,)", 1)
    if values.shape != counts.shape:
        raise ValueError(f"counts must be one for each of {len(values)} values, got {len(counts)}")
    if counts.min() < 0 or counts[0] == 0 or counts[-1] == 0:
        raise ValueError(f"counts must be >= 0, the first and the last > 0, got {counts.tolist()}")
    share = counts / counts.sum()
    w0 = np.cumsum(share)[:-1]
    w1 = np.cumsum(share[::-1])[::-1][1:]
    m0 = np.cumsum(share * values)[:-1] / w0
    m1 = np.cumsum((share * values)[::-1])[::-1][1:] / w1
    return w0 * w1 * (m0 - m1) ** 2


def _as_threshold_input(image: Any) -> np.ndarray:
    image = as_gray(image)
    if image.dtype == bool:
        raise TypeError("image must hold grey values, got a boolean mask, which needs no threshold")
    return image.astype(np.float64) if image.dtype == np.float16 else image


def _histogram(image: np.ndarray, nbins: int) -> tuple[np.ndarray, np.ndarray]:
    nbins, low, high = whole(nbins, "nbins", 2), image.min(), image.max()
    if image.dtype.kind != "f" or (np.diff(np.linspace(low, high, nbins + 1, dtype=image.dtype)) <= 0).any():
        # occupied values only: an empty bin never holds the first maximum, and a 16-bit picture stays cheap
        return np.unique(image, return_counts=True)
    counts, edges = np.histogram(image, bins=nbins)
    return (edges[:-1] + edges[1:]) / 2, counts
