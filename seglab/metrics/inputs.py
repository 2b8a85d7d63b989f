"""Pairs of maps, truth and prediction: each through the gate for arrays, and both of one shape."""

from typing import Any

import numpy as np

from seglab.inputs import class_map, label_map, mask


def class_maps(true: Any, pred: Any, dims: tuple[int, ...] = (2, 3)) -> tuple[np.ndarray, np.ndarray]:
    """`true` and `pred` as int64 arrays of class ids of one shape, (H, W) or (N, H, W).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    return _same_shape(class_map(true, "true", dims), class_map(pred, "pred", dims), ("true", "pred"))


def label_maps(a: Any, b: Any,
               names: tuple[str, str] = ("labels_true", "labels_pred")) -> tuple[np.ndarray, np.ndarray]:
    """Two instance label maps (H, W), 0 = background, as int64 arrays of one shape; a mask is one object.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    return _same_shape(*(label_map(m, name, allow_bool=True) for m, name in zip((a, b), names)), names)


def masks(true: Any, pred: Any, names: tuple[str, str] = ("true", "pred")) -> tuple[np.ndarray, np.ndarray]:
    """Two binary masks (H, W) as bool arrays of one shape.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    return _same_shape(mask(true, names[0]), mask(pred, names[1]), names)


def _same_shape(a: np.ndarray, b: np.ndarray, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    if a.shape != b.shape:
        raise ValueError(f"{names[1]} must have the shape of {names[0]}, {a.shape}, got {b.shape}")
    return a, b
