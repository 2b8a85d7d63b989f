"""One gate for regions of interest: no NaN, infinite box or wrong picture number gets past it into a kernel."""
from typing import Any

import torch
from torch import Tensor

from seglab.inputs import positive, whole
from seglab.ops.tensors import real_tensor


def checked_rois(input: Any, boxes: Any, output_size: int | tuple[int, int],
                 spatial_scale: float) -> tuple[Tensor, Tensor, tuple[int, int]]:
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
        Input is not a floating tensor; boxes are neither a real tensor nor a list of them; a size is no integer.
    ValueError
        Shapes that do not fit, an empty feature map, a size below 1, a scale <= 0, boxes that are NaN or infinite, a
        batch index that is not one of 0..N-1, different devices.
    """
    if not isinstance(input, Tensor) or not input.is_floating_point():
        came = f"{input.dtype} tensor" if isinstance(input, Tensor) else type(input).__name__
        raise TypeError(f"input must be a floating tensor (N, C, H, W), got {came}")
    if input.ndim != 4:
        raise ValueError(f"input must have shape (N, C, H, W), got {tuple(input.shape)}")
    if 0 in input.shape[1:]:
        raise ValueError(f"input must have at least one channel and cell, got shape {tuple(input.shape)}")
    size = _pair(output_size)
    spatial_scale = positive(spatial_scale, "spatial_scale")
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


def _one_table(input: Tensor, boxes: Any) -> tuple[Tensor, Tensor]:
    """Batch indices (K,) and corners (K, 4) as they came."""
    if isinstance(boxes, list | tuple):
        if len(boxes) != len(input):
            raise ValueError(f"boxes must be one tensor for each of the {len(input)} images, got {len(boxes)}")
        tables = [_rows(input, each, 4, f"boxes[{i}]") for i, each in enumerate(boxes)]
        if not tables:
            return input.new_zeros(0, dtype=torch.float64), input.new_zeros(0, 4)
        counts = torch.tensor([len(each) for each in tables], device=input.device)
        image = torch.arange(len(tables), device=input.device).repeat_interleave(counts)
        return image.double(), torch.cat(tables)
    table = _rows(input, boxes, 5, "boxes")
    return table[:, 0].double(), table[:, 1:]


def _rows(input: Tensor, boxes: Any, columns: int, name: str) -> Tensor:
    form = {4: "(L, 4): x1, y1, x2, y2 for one image", 5: "(K, 5): batch index, x1, y1, x2, y2 (or a list, one tensor "
            "(L, 4) an image)"}[columns]
    boxes = real_tensor(boxes, name, form)
    if boxes.ndim != 2 or boxes.shape[1] != columns:
        raise ValueError(f"{name} must have shape {form}; got {tuple(boxes.shape)}")
    if boxes.device != input.device:
        raise ValueError(f"{name} must be on the input's device {input.device}, got {boxes.device}")
    return boxes.detach()


def _pair(output_size: int | tuple[int, int]) -> tuple[int, int]:
    pair = tuple(output_size) if isinstance(output_size, list | tuple) else (output_size, output_size)
    if len(pair) != 2:
        raise ValueError(f"output_size must be an integer or (height, width), got {output_size!r}")
    return whole(pair[0], "output_size", 1), whole(pair[1], "output_size", 1)
