"""What a mask of m x m should look like: the object's pixels inside the RoI, averaged bin by bin (notebook 14).

From one label map (H, W) as well as from a stack of masks (N, H, W): with 2,000 objects on 512 x 512 px that is 1 MB
(int32) and not 500.
"""

import numpy as np
import torch
from torch import Tensor


@torch.no_grad()
def mask_targets(maps: Tensor, objects: Tensor, boxes: Tensor, size: int) -> Tensor:
    """RoIAlign of the masks of some objects, one box each, without ever making the masks.

    Parameters
    ----------
    maps : Tensor (H, W) or (N, H, W)
        A label map of any integer type, where object i has id i + 1; or one mask an object, bool or 0/1.
    objects : Tensor (P,) int64
        Which object belongs to each box.
    boxes : Tensor (P, 4), float
        x1, y1, x2, y2 in px of the maps.
    size : int
        Bins a side, m.

    Returns
    -------
    Tensor (P, m, m)
        Share of each bin that the object covers, 0..1, in the type of the boxes.

    Raises
    ------
    TypeError
        Maps of floats.
    ValueError
        Other shapes, an object out of range, boxes that are NaN or infinite.

    Notes
    -----
    ``roi_align(masks, rois, size, 1.0, sampling_ratio=-1)`` up to rounding. RoIAlign is a product, A_y F A_x^T, with
    one matrix an axis that holds the mean bilinear weights of a bin's sampling points (notebook 13). F is the part of
    the map that the RoI touches, 1 where it carries the object's id, so each pixel is looked up once, however many
    points are near it. With few pixels a RoI the handful of calls for each RoI is what it costs. Computed on the CPU,
    where the truth comes from; of a model on a GPU map and boxes travel there and back.

    References
    ----------
    Mask R-CNN, section 3.1, "Training": the intersection between a RoI and its associated mask. Notebook 14.
    """
    if maps.ndim not in (2, 3):
        raise ValueError(f"maps must have shape (H, W) or (N, H, W), got {tuple(maps.shape)}")
    if maps.is_floating_point():
        raise TypeError(f"maps must be a label map of integers, or masks of bools or integers, got {maps.dtype}")
    if boxes.ndim != 2 or boxes.shape[1] != 4 or objects.shape != boxes.shape[:1]:
        raise ValueError(f"objects and boxes must have shape (P,) and (P, 4), got {tuple(objects.shape)} and "
                         f"{tuple(boxes.shape)}")
    if not torch.isfinite(boxes).all():
        raise ValueError("boxes must be finite, got NaN or infinity")
    if not len(boxes):
        return boxes.new_zeros((0, size, size))
    if int(objects.min()) < 0 or maps.ndim == 3 and int(objects.max()) >= len(maps):
        raise ValueError(f"objects must be rows of maps, got {int(objects.min())}..{int(objects.max())}")
    if maps.ndim == 2:
        maps, planes, values = maps[None], torch.zeros_like(objects), objects + 1
    else:
        planes, values = objects, torch.ones_like(objects)
    exact = boxes.to("cpu", torch.promote_types(boxes.dtype, torch.float32))
    top, height, a_y = _axis(exact[:, 1], exact[:, 3], size, maps.shape[1])
    left, width, a_x = _axis(exact[:, 0], exact[:, 2], size, maps.shape[2])
    places = torch.stack([planes.cpu(), values.cpu(), top, height, left, width], 1).tolist()
    targets = exact.new_empty(len(boxes), size, size).numpy()
    maps, a_y, a_x = maps.cpu().numpy(), a_y.numpy(), a_x.numpy()           # NumPy's calls on few pixels cost a fifth
    for k, (plane, value, y, h, x, w) in enumerate(places):
        own = (maps[plane, y:y + h, x:x + w] == value).astype(targets.dtype)
        np.matmul(a_y[k, :, :h] @ own, a_x[k, :, :w].T, out=targets[k])
    return torch.from_numpy(targets).to(boxes)


def _axis(start: Tensor, end: Tensor, size: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """One axis of all RoIs: the first pixel that each touches, how many, and the bins' mean weights on them (P, m, n).

    As many points a bin as it has pixels, rounded up; a point within a pixel of the picture takes the edge's value, one
    farther out is 0. Of boxes that reach far beyond the picture only the points on it are looked at.
    """
    side = (end - start).clamp(min=1.0) / size
    points = side.ceil()
    begin = (start[:, None] + torch.arange(size).to(start) * side[:, None])[..., None]          # (P, m, 1)
    side, points = side[:, None, None], points[:, None, None]
    number = torch.arange(min(int(points.max()), length + 6)).to(start)
    if len(number) == length + 6:
        number = number + ((-1 - begin) / side * points - 1).floor().clamp(min=0)
    place = begin + (number + 0.5) * side / points                                              # (P, m, points)
    share = ((place >= -1) & (place <= length) & (number < points)) / points
    place = place.clamp(0, length - 1)
    low = place.floor()
    far, low = place - low, low.long()
    used = share > 0
    first = torch.where(used, low, length - 1).flatten(1).amin(1)
    count = torch.where(used, low + 2 - first[:, None, None], 1).flatten(1).amax(1)
    count = torch.minimum(count, length - first)
    last = int(count.max()) - 1
    at = (low - first[:, None, None]).clamp(0, last)
    weights = start.new_zeros(len(start), size, last + 1).scatter_add_(2, at, share * (1 - far))
    return first, count, weights.scatter_add_(2, (at + 1).clamp(max=last), share * far)
