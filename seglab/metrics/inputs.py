"""What every metric does first: NumPy arrays out of tensors, checked, with errors that name the argument."""

import numpy as np
import torch


def class_maps(true, pred):
    """`true` and `pred` as integer arrays of one shape, (H, W) or (N, H, W).

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    true = _whole_numbers(true, "true", (2, 3))
    pred = _whole_numbers(pred, "pred", (2, 3))
    return _same_shape(true, pred, "true", "pred")


def label_maps(a, b, names=("labels_true", "labels_pred")):
    """Two instance label maps (H, W), 0 = background, as arrays of non-negative integers of one shape.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    maps = [_whole_numbers(value, name, (2,)) for value, name in zip((a, b), names)]
    for value, name in zip(maps, names):
        if value.min() < 0:
            raise ValueError(f"{name} must hold object ids >= 0 (0 = background), got {value.min()}")
    return _same_shape(*maps, *names)


def masks(true, pred, names=("true", "pred")):
    """Two binary masks (H, W) as bool arrays of one shape; integer masks may hold 0 and 1 only.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    return _same_shape(mask(true, names[0]), mask(pred, names[1]), *names)


def mask(value, name):
    """A binary mask (H, W) as a bool array; see :func:`masks`."""
    value = _whole_numbers(value, name, (2,))
    if value.dtype != bool and not (value.min() >= 0 and value.max() <= 1):
        raise ValueError(f"{name} must be a binary mask (bool, or 0 and 1), got values {value.min()}..{value.max()}. "
                         f"Of a label map pass `labels == id` or, if no two objects touch, `labels > 0`")
    return value.astype(bool)


def to_numpy(value, name):
    """Array or tensor (any device) as an array; anything else is a TypeError."""
    if torch.is_tensor(value):
        value = value.detach()
        return (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be an array or a tensor, got {type(value).__name__}")
    return value


def _whole_numbers(value, name, dimensions):
    value = to_numpy(value, name)
    if value.dtype.kind not in "iub":
        raise TypeError(f"{name} must hold integers or bools, got {value.dtype}. Scores and probabilities become "
                        f"labels by argmax or a threshold")
    if value.ndim not in dimensions:
        expected = " or ".join({2: "(H, W)", 3: "(N, H, W)"}[d] for d in dimensions)
        raise ValueError(f"{name} must have shape {expected}, got {value.shape}")
    if value.size == 0:
        raise ValueError(f"{name} must have at least one pixel, got shape {value.shape}")
    return value


def _same_shape(a, b, name_a, name_b):
    if a.shape != b.shape:
        raise ValueError(f"{name_b} must have the shape of {name_a}, {a.shape}, got {b.shape}")
    return a, b
