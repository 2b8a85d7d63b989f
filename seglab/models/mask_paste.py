"""Masks of m x m back into the picture, where their boxes are. The last step of Mask R-CNN (notebook 14)."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float | None = None) -> Tensor:
    """Resize each mask to its box and put it there.

    Parameters
    ----------
    masks : Tensor (D, 1, m, m), float
        Probabilities, 0..1.
    boxes : Tensor (D, 4)
        x1, y1, x2, y2 in px; parts outside the picture are cut.
    size : (int, int)
        Height and width of the picture, px.
    threshold : float, optional
        Return bool masks, true above the threshold: a quarter of the memory. The paper's is 0.5.

    Returns
    -------
    Tensor (D, 1, H, W)
        Probabilities, or bool. 0 outside the boxes.

    Raises
    ------
    ValueError
        Other shapes; boxes that are NaN or infinite.

    Notes
    -----
    Equal to torchvision's ``paste_masks_in_image`` bit for bit: mask and box grow by one of the m pixels at each side,
    so that the resized mask fades to 0 at its border; the box is cut to whole pixels, both ends included. Only the
    part inside the picture is written, once, into the result.
    """
    if masks.ndim != 4 or masks.shape[1] != 1 or masks.shape[2] != masks.shape[3]:
        raise ValueError(f"masks must have shape (D, 1, m, m), got {tuple(masks.shape)}")
    if boxes.shape != (len(masks), 4):
        raise ValueError(f"boxes must have shape ({len(masks)}, 4), one a mask, got {tuple(boxes.shape)}")
    if not torch.isfinite(boxes).all():
        raise ValueError("boxes must be finite, got NaN or infinity")
    height, width = size
    pasted = _zeros((len(masks), 1, height, width), masks.dtype if threshold is None else torch.bool, masks.device)
    m = masks.shape[-1]
    padded = F.pad(masks, (1, 1, 1, 1))
    for i, (x1, y1, x2, y2) in enumerate(_grown(boxes, (m + 2) / m).long().tolist()):
        left, top, right, bottom = max(x1, 0), max(y1, 0), min(x2 + 1, width), min(y2 + 1, height)
        if left >= right or top >= bottom:
            continue
        full = F.interpolate(padded[i:i + 1], size=(max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)), mode="bilinear")[0, 0]
        window = full[top - y1:bottom - y1, left - x1:right - x1]
        pasted[i, 0, top:bottom, left:right] = window if threshold is None else window > threshold
    return pasted


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros whose memory the system hands out page by page when something is written there, on the CPU.

    torch.zeros writes every zero: for 100 masks of 800 x 1066 px that takes five times longer than all the pasting.
    """
    if device.type != "cpu" or not all(shape):
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


def _grown(boxes: Tensor, factor: float) -> Tensor:
    """Boxes (D, 4) scaled about their centres."""
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5 * factor
    centre = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    return torch.cat([centre - half, centre + half], dim=1)
