"""One gate for label maps: integer (H, W), 0 = background, every other value one instance."""
import numpy as np
import torch


def label_array(labels, name="labels"):
    """Check a label map and give it back as a NumPy array with contiguous ids.

    Parameters
    ----------
    labels : array or tensor (H, W), any integer dtype
        0 is background; instance ids are positive and need not be contiguous.
    name : str
        What to call the argument in an error.

    Returns
    -------
    ndarray (H, W), int64
        The same regions, renumbered 0, 1, ..., N.

    Raises
    ------
    TypeError
        Labels are not integers: float (NaN included), bool, or not an array.
    ValueError
        Not two-dimensional, empty, or with negative ids.
    """
    array = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if array.dtype == bool:
        raise TypeError(f"{name} must hold instance ids, got a bool mask, in which touching cells are one object; "
                        "number the cells first (skimage.measure.label)")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an integer array, 0 = background, got dtype {array.dtype}")
    if array.ndim != 2:
        raise ValueError(f"{name} must have shape (H, W), got {array.shape}; call once for each image of a batch")
    if array.size == 0:
        raise ValueError(f"{name} is empty, got shape {array.shape}")
    if array.min() < 0:
        raise ValueError(f"{name} must be >= 0, got {array.min()}; an ignore region has to become background first")
    ids, contiguous = np.unique(array, return_inverse=True)
    return contiguous.reshape(array.shape).astype(np.int64) + int(ids[0] != 0)
