"""What a mask of m x m should look like: the object's pixels inside the RoI, averaged bin by bin (notebook 14).

From one label map (H, W) as well as from a stack of masks (N, H, W): with 2,000 objects on 512 x 512 px that is 1 MB
(int32) and not 500.
"""

import torch
from torch import Tensor

POINTS = 1 << 16            # sampling points looked at together: what fits the cache


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
    ValueError
        Other shapes, an object out of range, boxes that are NaN or infinite.

    Notes
    -----
    The numbers of ``roi_align(masks, rois, size, 1.0, sampling_ratio=-1)``, to the last bit: the same points (as many
    a bin as it has pixels, rounded up), the same four weights, added in the same order. A point's value is the sum of
    the weights of those of its four pixels that carry the object's id. RoIs with many points come first, so that each
    round of the loop works on the RoIs that still have points to add.

    References
    ----------
    Mask R-CNN, section 3.1, "Training": the intersection between a RoI and its associated mask. Notebook 14.
    """
    if maps.ndim not in (2, 3):
        raise ValueError(f"maps must have shape (H, W) or (N, H, W), got {tuple(maps.shape)}")
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
    if maps.dtype == torch.bool:
        maps = maps.view(torch.uint8)
    if int(values.max()) > torch.iinfo(maps.dtype).max:                     # an id that is not in the map must not wrap
        maps = maps.long()

    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1.0)                    # (P, 2): width, height
    bins = sides / size
    across, down = bins.ceil().long().unbind(1)                             # points a bin
    count = across * down
    order = count.argsort(descending=True)
    boxes, bins, across, down, count, planes, values = (
        v[order] for v in (boxes, bins, across, down, count, planes, values))
    total = boxes.new_zeros((len(boxes), size, size))
    first, last = 0, int(count[0])
    ascending = count.flip(0).contiguous()
    while first < last:
        active = len(count) - int(torch.searchsorted(ascending, first, right=True))   # RoIs with more points than that
        rounds = min(max(POINTS // (active * size * size), 1), last - first)
        point = torch.arange(first, first + rounds, device=boxes.device)[:, None]     # (rounds, 1)
        a = slice(0, active)
        row, column = point // across[a], point % across[a]                           # (rounds, active)
        y = _positions(boxes[a, 1], bins[a, 1], row, down[a], size)
        x = _positions(boxes[a, 0], bins[a, 0], column, across[a], size)
        value = _bilinear(maps, planes[a], values[a], y, x)
        value *= (point < count[a])[..., None, None]
        for step in value:                                                            # in order, as the kernel adds
            total[a] += step
        first += rounds
    total /= count[:, None, None]
    return torch.empty_like(total).index_copy_(0, order, total)


def _positions(start, bin_side, step, steps, size):
    """Coordinates (rounds, P, size) of one sampling point in every bin along one axis."""
    bins = torch.arange(size, device=start.device, dtype=start.dtype)
    inside = (step.to(start) + 0.5) * bin_side / steps.to(start)
    return start[:, None] + bins * bin_side[:, None] + inside[..., None]


def _bilinear(maps, planes, values, y, x):
    """Interpolated [maps[plane] == value] at the grid of y (R, P, m) and x (R, P, m): (R, P, m, m)."""
    height, width = maps.shape[-2:]
    y_low, y_high, y_far, y_near = _taps(y, height)
    x_low, x_high, x_far, x_near = _taps(x, width)
    flat = maps.reshape(-1)
    wanted = values.to(maps.dtype)[:, None, None]
    rows = [(planes[:, None] * height + tap) * width for tap in (y_low, y_high)]
    total = 0
    for line, wy in zip(rows, (y_near, y_far)):
        for tap, wx in ((x_low, x_near), (x_high, x_far)):
            pixel = line[..., None] + tap[..., None, :]
            hit = flat.index_select(0, pixel.reshape(-1)).view(pixel.shape) == wanted    # ten times faster than [pixel]
            total = total + wy[..., None] * wx[..., None, :] * hit.to(y)
    return total


def _taps(position, length):
    """The two pixels beside each position and their weights, zero where the position is outside the picture."""
    inside = (position >= -1) & (position <= length)
    position = position.clamp(min=0)
    low = position.floor().clamp(max=length - 1)
    far = (position - low) * (position < length - 1)                       # beyond the last pixel's centre: its value
    return low.long(), (low + 1).clamp(max=length - 1).long(), far * inside, (1 - far) * inside
