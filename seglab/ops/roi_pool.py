"""RoIPool: the largest feature in each bin of a RoI, whose corners and bins are both rounded to whole cells."""
import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.ops.rois import checked_rois

CELLS_AT_ONCE = 1 << 22


def roi_pool(input: Tensor, boxes: Tensor | list[Tensor], output_size: int | tuple[int, int],
             spatial_scale: float = 1.0) -> Tensor:
    """Pool every region of interest (RoI) to a fixed grid of bins by the maximum.

    Parameters
    ----------
    input : tensor (N, C, H, W), floating
        Feature maps. Any memory format.
    boxes : tensor (K, 5) or list of N tensors (L, 4)
        Rows (batch index, x1, y1, x2, y2), or (x1, y1, x2, y2) for each image; px of the picture.
    output_size : int or (int, int)
        Bins per RoI: height, width.
    spatial_scale : float
        Feature cells per px of the picture: 1 / stride.

    Returns
    -------
    tensor (K, C, height, width)
        Of the input's dtype; channels_last if the input is. A bin without a cell (outside the map) is 0. The gradient
        goes to the first largest cell of a bin, row by row; boxes get none.

    Raises
    ------
    TypeError, ValueError
        As `checked_rois`: among others boxes that are NaN or infinite, or name a feature map that does not exist.

    Notes
    -----
    Same values and gradients as ``torchvision.ops.roi_pool``. First rounding: each corner times `spatial_scale`, half
    away from zero; both corners belong to the RoI, so its width is x2 - x1 + 1, at least 1. Second rounding: bin p of P
    covers the rows floor(p h / P) to ceil((p + 1) h / P), so neighbouring bins may share a row.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015, section 2.1. Derived in notebook 13.

    Examples
    --------
    >>> ramp = torch.arange(8.).expand(1, 1, 8, 8)
    >>> roi_pool(ramp, torch.tensor([[0, 2.4, 2.4, 5.4, 5.4]]), 1)
    tensor([[[[5.]]]])
    """
    image, corners, (height, width) = checked_rois(input, boxes, output_size, spatial_scale)
    number, channels, *extent = input.shape
    count = len(image)
    rows, columns = (axis_cells(corners[:, i], corners[:, i + 2], bins, length)
                     for i, bins, length in ((1, height, extent[0]), (0, width, extent[1])))
    table = input.permute(0, 2, 3, 1).reshape(-1, channels).contiguous()
    largest = torch.promote_types(input.dtype, torch.float32)
    pooled = [_largest(table.to(largest), image[k], rows[k], columns[k], extent) for k in _chunks(rows, columns)]
    pooled = torch.cat(pooled or [table[:0]]).to(input.dtype).view(count, height, width, channels).permute(0, 3, 1, 2)
    channels_last = input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()
    return pooled.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def round_half_away(x: Tensor) -> Tensor:
    """C's ``round``: halves go away from zero; ``torch.round`` sends them to the even neighbour."""
    whole = x.trunc()
    return whole + torch.sign(x) * ((x - whole).abs() >= 0.5)


def axis_cells(start: Tensor, end: Tensor, bins: int, length: int) -> Tensor:
    """The cells of each bin along one axis.

    Parameters
    ----------
    start, end : tensors (K,)
        Sides of the RoIs in cells, not yet rounded.
    bins, length : int
        Bins a RoI; cells of the feature map.

    Returns
    -------
    tensor (K, bins, T), int64
        -1 where a bin has fewer than T cells on the map.
    """
    start, end = round_half_away(start), round_half_away(end)
    step = ((end - start + 1).clamp(min=1) / bins)[:, None]
    number = torch.arange(bins).to(start)
    first = (start[:, None] + (number * step).floor()).clamp(0, length)
    past = (start[:, None] + ((number + 1) * step).ceil()).clamp(0, length)
    most = int((past - first).amax()) if len(start) else 0
    cells = first[..., None] + torch.arange(max(most, 1)).to(start)
    return torch.where(cells < past[..., None], cells, -1).long()


def _chunks(rows: Tensor, columns: Tensor) -> list[slice]:
    """Slices of RoIs whose padded bins stay below `CELLS_AT_ONCE`."""
    at_once = max(1, CELLS_AT_ONCE // (rows[:1].numel() * columns[:1].numel() or 1))
    return [slice(k, k + at_once) for k in range(0, len(rows), at_once)]


def _largest(table: Tensor, image: Tensor, rows: Tensor, columns: Tensor, extent: list[int]) -> Tensor:
    """Maximum of every bin, (K * height * width, C)."""
    y, x = rows[:, :, None, :, None], columns[:, None, :, None, :]
    used = (y >= 0) & (x >= 0)
    cells = ((image[:, None, None, None, None] * extent[0] + y) * extent[1] + x)[used]
    offsets = F.pad(used.flatten(3).sum(3).flatten().cumsum(0), (1, 0))
    return F.embedding_bag(cells, table, offsets, mode="max", include_last_offset=True)
