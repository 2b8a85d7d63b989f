"""The U-Net paper's pixel weights: learn the thin background between touching cells."""
from typing import TypeVar

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, find_objects

from seglab.inputs import label_map, positive

Labels = TypeVar("Labels", np.ndarray, torch.Tensor)
LARGEST = 1e30                                                        # float32 ends at 3.4e38


def unet_weight_map(labels: Labels, w0: float = 10.0, sigma: float = 5.0,
                    class_weights: None | str | tuple[float, float] = None) -> Labels:
    """Weights w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)) for a pixel-wise loss.

    Parameters
    ----------
    labels : array or tensor (H, W), any integer dtype
        0 is background, every other value is one instance. Instances may touch, be one pixel large, be cut by the
        border or have non-contiguous ids. An id is one object even where its pixels are not connected.
    w0 : float
        Largest weight that the border term can add, >= 0.
    sigma : float
        Width of the border term in px, > 0.
    class_weights : None, "balanced" or (background, foreground)
        The class term w_c, which the paper only describes as balancing the class frequencies. None: w_c = 1
        everywhere. "balanced": inverse frequency in this label map, scaled to mean 1, so that background and
        foreground weigh the same in total (1 everywhere if only one of them is present). A pair: these two numbers.

    Returns
    -------
    array or tensor (H, W), float32
        Of the same kind (and on the same device) as `labels`.

    Raises
    ------
    TypeError
        Labels are float or bool.
    ValueError
        Labels are negative, empty or not (H, W); w0 < 0, sigma <= 0, not finite or no number; class_weights of another
        form; weights above 1e30.

    Notes
    -----
    d1 and d2 are Euclidean distances in px from a background pixel's centre to the nearest pixel of the nearest and of
    the second nearest instance, so a pixel that touches two cells has d1 = d2 = 1. The border term is added on
    background only: inside a cell d1 is 0 and the formula would weigh the cell's own rim. With fewer than two
    instances there is no second cell, d2 is infinite and the border term is 0.

    Exact and fast: beyond d1 + d2 = 8 sigma the term is below w0 * 2e-14, so each instance needs its distances only in
    a window around it. Where the windows overlap too much (many tiny cells, a wide sigma), d2 comes from
    2 ceil(log2 N) + 1 whole-image transforms instead: two different ids differ in at least one bit.

    References
    ----------
    Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015, section 3, equation 2. Derived in notebook 06.

    Examples
    --------
    >>> unet_weight_map(np.array([[1, 0, 2]])).round(2)
    array([[ 1.  , 10.23,  1.  ]], dtype=float32)
    """
    w0, sigma = _weight(w0, "w0"), positive(sigma, "sigma")
    instances = label_map(labels, contiguous=True)
    background = instances == 0
    d1, d2 = _two_nearest(instances, reach=8 * sigma)
    with np.errstate(under="ignore", over="ignore"):                   # a narrow sigma: exp(-inf) is 0
        border = np.where(background, w0 * np.exp(-((d1 + d2) / sigma) ** 2 / 2), 0)
    weights = (_class_term(background, class_weights) + border).astype(np.float32)
    return torch.from_numpy(weights).to(labels.device) if isinstance(labels, torch.Tensor) else weights


def _two_nearest(instances: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the nearest and second nearest instance; exact where d2 <= reach, possibly inf beyond."""
    reach = int(np.ceil(min(reach, sum(instances.shape))))            # no distance is longer than the image
    windows = [tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
               for box in find_objects(instances)]
    area = sum(instances[window].size for window in windows)
    transforms = 2 * max(len(windows) - 1, 0).bit_length() + 1
    # A transform costs about 60 ns a pixel; a small window is cached and cheaper, but each call costs 0.1 ms.
    if 30e-9 * area + 1e-4 * len(windows) <= 60e-9 * transforms * instances.size:
        return _by_windows(instances, windows)
    return _by_bits(instances)


def _by_windows(instances: np.ndarray, windows: list[tuple[slice, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """One distance transform an instance, in a window around it."""
    d1, d2 = np.full((2, *instances.shape), np.inf)
    for label, window in enumerate(windows, 1):
        d, nearest, second = distance_transform_edt(instances[window] != label), d1[window], d2[window]
        np.minimum(second, np.maximum(nearest, d), out=second)       # the loser of (nearest, d) may become second
        np.minimum(nearest, d, out=nearest)
    return d1, d2


def _by_bits(instances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One transform for the nearest id, then two for each bit in which another id may differ from it."""
    ids = instances - 1
    d1, (row, column) = distance_transform_edt(instances == 0, return_indices=True)
    nearest = ids[row, column]
    d2 = np.full(instances.shape, np.inf)
    for bit in range(int(ids.max()).bit_length()):
        for value in (0, 1):
            others = (instances > 0) & ((ids >> bit) & 1 == value)
            if others.any():
                differs = (nearest >> bit) & 1 != value
                d = distance_transform_edt(~others)
                d2[differs] = np.minimum(d2[differs], d[differs])
    return d1, d2


def _class_term(background: np.ndarray, class_weights: None | str | tuple[float, float]) -> np.ndarray:
    if class_weights is None:
        return np.ones(background.shape)
    if isinstance(class_weights, str):
        if class_weights != "balanced":
            raise ValueError(f'class_weights must be None, "balanced" or two numbers, got {class_weights!r}')
        share = background.mean()
        pair = (0.5 / share, 0.5 / (1 - share)) if 0 < share < 1 else (1.0, 1.0)
    else:
        try:
            background_weight, foreground_weight = class_weights
        except (TypeError, ValueError):
            raise ValueError('class_weights must be None, "balanced" or two numbers (background, foreground), '
                             f"got {class_weights!r}") from None
        pair = _weight(background_weight, "class_weights"), _weight(foreground_weight, "class_weights")
    return np.where(background, *pair)


def _weight(value: float, name: str) -> float:
    weight = positive(value, name, zero=True)
    if weight > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:g}, got {value!r}")
    return weight
