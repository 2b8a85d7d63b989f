"""One gate for regions of interest: no NaN, infinite box or wrong picture number gets past it into a kernel."""
import math

import torch


def checked_rois(input, boxes, output_size, spatial_scale):
    """Check the arguments that `roi_align` and `roi_pool` share.

    Parameters
    ----------
    input : tensor (N, C, H, W), floating
    boxes : tensor (K, 5) or list of N tensors (L, 4)
    output_size : int or (int, int)
    spatial_scale : float

    Returns
    -------
    image : tensor (K,), int64
        Which of the N feature maps each RoI reads.
    corners : tensor (K, 4)
        x1, y1, x2, y2 on the feature map (times `spatial_scale`), in the wider of the two dtypes, at least float32;
        detached.
    size : (int, int)
        Bins per RoI: height, width.

    Raises
    ------
    TypeError
        Input is not a floating tensor; boxes are neither a real tensor nor a list of them; a number is not one.
    ValueError
        Shapes that do not fit, an empty feature map, a size below 1, a scale <= 0, boxes that are NaN or infinite, a
        batch index that is not one of 0..N-1, different devices.
    """
    if not isinstance(input, torch.Tensor) or not input.is_floating_point():
        raise TypeError(f"input must be a floating tensor (N, C, H, W), got {_kind(input)}")
    if input.ndim != 4:
        raise ValueError(f"input must have shape (N, C, H, W), got {tuple(input.shape)}")
    if 0 in input.shape[1:]:
        raise ValueError(f"input is empty, got shape {tuple(input.shape)}")
    size = _pair(output_size)
    if isinstance(spatial_scale, bool) or not isinstance(spatial_scale, int | float):
        raise TypeError(f"spatial_scale must be a number, got {spatial_scale!r}")
    if not (math.isfinite(spatial_scale) and spatial_scale > 0):
        raise ValueError(f"spatial_scale must be > 0 and finite, got {spatial_scale}")
    image, corners = _one_table(input, boxes)
    dtype = torch.promote_types(torch.promote_types(input.dtype, corners.dtype), torch.float32)
    scaled = corners.to(dtype) * spatial_scale
    bad = ~torch.isfinite(torch.cat([scaled, scaled[:, 2:] - scaled[:, :2]], 1)).all(1)   # a side may overflow alone
    if bad.any():
        k = int(bad.nonzero()[0])
        raise ValueError(f"boxes must be finite, got {corners[k].tolist()} in row {k} ({int(bad.sum())} such rows)")
    bad = ~((image >= 0) & (image < len(input)) & (image == image.floor()))
    if bad.any():
        k = int(bad.nonzero()[0])
        raise ValueError(f"boxes must name a batch index in 0..{len(input) - 1}, got {image[k].item():g} in row {k}")
    return image.long(), scaled, size


def _one_table(input, boxes):
    """Batch indices (K,) and corners (K, 4) as they came."""
    if isinstance(boxes, torch.Tensor):
        if boxes.ndim != 2 or boxes.shape[1] != 5:
            raise ValueError("boxes must have shape (K, 5): batch index, x1, y1, x2, y2; or be a list of tensors "
                             f"(L, 4), one an image; got a tensor {tuple(boxes.shape)}")
        _same_kind(input, boxes)
        return boxes.detach()[:, 0].double(), boxes.detach()[:, 1:]
    if not isinstance(boxes, list | tuple):
        raise TypeError(f"boxes must be a tensor (K, 5) or a list of tensors (L, 4), got {_kind(boxes)}")
    if len(boxes) != len(input):
        raise ValueError(f"boxes must be one tensor for each of the {len(input)} images, got {len(boxes)}")
    for each in boxes:
        if not isinstance(each, torch.Tensor):
            raise TypeError(f"boxes must be a list of tensors (L, 4), got {_kind(each)} in it")
        if each.ndim != 2 or each.shape[1] != 4:
            raise ValueError(f"boxes in a list must have shape (L, 4), got {tuple(each.shape)}")
        _same_kind(input, each)
    if not boxes:
        return input.new_zeros(0, dtype=torch.float64), input.new_zeros(0, 4)
    counts = torch.tensor([len(each) for each in boxes], device=input.device)
    image = torch.arange(len(boxes), device=input.device).repeat_interleave(counts)
    return image.double(), torch.cat([each.detach() for each in boxes])


def _same_kind(input, boxes):
    if boxes.is_complex() or boxes.dtype == torch.bool:
        raise TypeError(f"boxes must be real numbers, got dtype {boxes.dtype}")
    if boxes.device != input.device:
        raise ValueError(f"boxes must be on the input's device {input.device}, got {boxes.device}")


def _pair(output_size):
    pair = tuple(output_size) if isinstance(output_size, list | tuple) else (output_size, output_size)
    if len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, int) for n in pair):
        raise TypeError(f"output_size must be an int or (height, width) as ints, got {output_size!r}")
    if min(pair) < 1:
        raise ValueError(f"output_size must be >= 1, got {output_size!r}")
    return pair


def _kind(value):
    return f"{value.dtype} tensor" if isinstance(value, torch.Tensor) else type(value).__name__
