"""RoIAlign: bilinear samples at exact places, averaged in each bin; no coordinate is rounded."""
import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.inputs import whole
from seglab.ops.rois import checked_rois
from seglab.ops.separable_sampling import Linear, Sampling, Taps


def roi_align(input: Tensor, boxes: Tensor | list[Tensor], output_size: int | tuple[int, int],
              spatial_scale: float = 1.0, sampling_ratio: int = -1, aligned: bool = False) -> Tensor:
    """Pool every region of interest (RoI) to a fixed grid of bins by bilinear sampling.

    Parameters
    ----------
    input : tensor (N, C, H, W), floating
        Feature maps. Any memory format; half precision is computed in float32.
    boxes : tensor (K, 5) or list of N tensors (L, 4)
        Rows (batch index, x1, y1, x2, y2), or (x1, y1, x2, y2) for each image; px of the picture. Boxes may lie outside
        the map, be empty or reversed.
    output_size : int or (int, int)
        Bins per RoI: height, width.
    spatial_scale : float
        Feature cells per px of the picture: 1 / stride.
    sampling_ratio : int
        Samples per bin and axis. -1 or 0: ceil(side / bins), for each RoI and axis.
    aligned : bool
        True: continuous coordinates, in which pixel i has its centre at i + 0.5, so 0.5 is subtracted before sampling
        and a box keeps its size. False (the paper, all detectors of torchvision): pixel i has its centre at i, and a
        side below 1 cell counts as 1 cell.

    Returns
    -------
    tensor (K, C, height, width)
        Of the input's dtype; channels_last if the input is. Differentiable in `input`, any number of times; boxes get
        no gradient.

    Raises
    ------
    TypeError, ValueError
        As `checked_rois`: among others boxes that are NaN or infinite, or name a feature map that does not exist.

    Notes
    -----
    Same values and gradients as ``torchvision.ops.roi_align``. The sample (i, j) of bin (p, q) lies at
    y = y1 + (p + (i + 0.5) / s) h / P. It counts if -1 <= y <= H, clamped to the map, otherwise it is 0; the mean is
    over all s * s samples.

    The operator is linear in the features and separable: with A_y (P, H) and A_x (Q, W), the mean hat functions of the
    samples, the pooled RoI is A_y F A_x^T. All RoIs together are one sparse matrix kron(A_y, A_x) that gathers rows of
    C channels.

    References
    ----------
    He, Gkioxari, Dollár, Girshick, "Mask R-CNN", ICCV 2017, section 3. Derived in notebook 13.

    Examples
    --------
    >>> ramp = torch.arange(8.).expand(1, 1, 8, 8)
    >>> roi_align(ramp, torch.tensor([[0, 2.0, 2.0, 5.0, 5.0]]), 1, sampling_ratio=2)
    tensor([[[[3.5000]]]])
    """
    image, corners, (height, width) = checked_rois(input, boxes, output_size, spatial_scale)
    sampling_ratio = whole(sampling_ratio, "sampling_ratio", -1)
    rows = axis_taps(corners[:, 1], corners[:, 3], height, input.shape[2], sampling_ratio, aligned)
    columns = axis_taps(corners[:, 0], corners[:, 2], width, input.shape[3], sampling_ratio, aligned)
    dtype = torch.promote_types(input.dtype, torch.float32)
    form = Sampling(tuple(input.shape), image, rows, columns, dtype)
    channels_last = input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()
    pooled = Linear.apply(input.to(dtype), form, False).to(input.dtype)
    return pooled.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def axis_taps(start: Tensor, end: Tensor, bins: int, length: int, sampling_ratio: int, aligned: bool) -> Taps:
    """Bilinear weights of one axis, averaged over the samples of each bin.

    Parameters
    ----------
    start, end : tensors (K,)
        Sides of the RoIs in cells.
    bins, length : int
        Bins a RoI; cells of the feature map.
    sampling_ratio, aligned
        As for `roi_align`.

    Returns
    -------
    Taps
        A bin's weights sum to the share of its samples that count.
    """
    if not len(start):
        return Taps(start.new_zeros(0, bins, 1, dtype=torch.int64), start.new_zeros(0, bins, 1))
    if aligned:
        start, end = start - 0.5, end - 0.5
    side = end - start if aligned else (end - start).clamp(min=1)
    step = side / bins
    samples = torch.full_like(step, sampling_ratio) if sampling_ratio > 0 else step.ceil().clamp(min=0)
    # Adaptive samples of a bin larger than the map are at most 1 cell apart and more than length / (length + 1): fewer
    # than length + 4 of them can fall on the map, however large the box. A bin that starts outside skips to the first.
    most = int(samples.amax().clamp(max=sampling_ratio if sampling_ratio > 0 else length + 6))
    begin = (start[:, None] + torch.arange(bins).to(start) * step[:, None])[..., None]           # (K, bins, 1)
    spacing = (step / samples.clamp(min=1))[:, None, None]
    skipped = ((-1 - begin) / spacing).floor().sub(1).nan_to_num(0).clamp(min=0) if sampling_ratio <= 0 else 0
    number = skipped + torch.arange(max(most, 1)).to(start)
    y = begin + (number + 0.5) * step[:, None, None] / samples.clamp(min=1)[:, None, None]
    counts = (y >= -1) & (y <= length) & (number < samples[:, None, None])
    y = torch.where(counts, y, 0).clamp(min=0)
    low = y.long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    part = torch.where(low == high, 0, y - low)
    share = counts / samples.clamp(min=1)[:, None, None]
    cells, weights = torch.stack([low, high], -1), torch.stack([(1 - part) * share, part * share], -1)
    return _merged(cells.flatten(2), weights.flatten(2))


def _merged(cells: Tensor, weights: Tensor) -> Taps:
    """Add up the weights of equal cells of a bin, and drop what no bin needs."""
    cells, order = cells.sort(-1)
    slot = F.pad((cells[..., 1:] != cells[..., :-1]).cumsum(-1), (1, 0))
    taps = int(slot.amax()) + 1
    merged = weights.new_zeros(*cells.shape[:2], taps).scatter_add_(2, slot, weights.gather(2, order))
    return Taps(cells.new_zeros(merged.shape).scatter_(2, slot, cells), merged)
