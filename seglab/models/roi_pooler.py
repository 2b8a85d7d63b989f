"""One RoI, one level: pools boxes from the map of the pyramid that suits their size. RoIs -> head inputs.

Lin et al., "Feature Pyramid Networks", 2017, section 4.2, equation 1; built in notebooks 12 (levels) and 13 (RoIAlign).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from seglab.models.fpn import assign_levels
from seglab.ops.roi_align import roi_align

align_two_by_two = partial(roi_align, sampling_ratio=2)          # the paper's four points a bin


class RoIPooler(nn.Module):
    """Pool every box to one size, each from its own level of the pyramid.

    Parameters
    ----------
    output_size : int or (int, int)
        Bins down and across.
    operator : callable
        ``operator(map, rois, output_size, spatial_scale) -> (K, C, h, w)`` with rois (K, 5): row in the batch, x1,
        y1, x2, y2 in px of the picture. RoIAlign with 2 x 2 points a bin unless given; ``roi_pool`` fits too.
    levels : int, optional
        The first so many maps are pooled from; by default all but the last, the extra level made for the RPN.
    canonical_scale, canonical_level : int
        A box of ``canonical_scale`` x ``canonical_scale`` px goes to the map of stride 2 ** ``canonical_level``.

    Notes
    -----
    Equal to torchvision's ``MultiScaleRoIAlign``, with two differences. The strides come from the padded batch, so
    they are exact; torchvision guesses them from the largest picture, and guesses wrong when padding makes that more
    than 1.4 times larger (pictures of up to 45 px). And nothing is remembered from the first call.
    """

    def __init__(self, output_size: int | tuple[int, int], operator: Callable[..., Tensor] = align_two_by_two,
                 levels: int | None = None, canonical_scale: int = 224, canonical_level: int = 4) -> None:
        super().__init__()
        self.output_size = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        if len(self.output_size) != 2 or min(self.output_size) < 1:
            raise ValueError(f"output_size must be one or two counts >= 1, got {output_size}")
        self.operator, self.levels = operator, levels
        self.canonical_scale, self.canonical_level = canonical_scale, canonical_level

    def forward(self, features: Sequence[Tensor], boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Pool the boxes of all pictures.

        Parameters
        ----------
        features : list of Tensors (N, C, h, w)
            Finest first.
        boxes : list of N Tensors (K_i, 4)
            x1, y1, x2, y2 in px of the padded batch.
        size : (int, int)
            Height and width of the padded batch, px.

        Returns
        -------
        Tensor (K_1 + ... + K_N, C, *output_size)
            In the order of the boxes.
        """
        if len(boxes) != len(features[0]):
            raise ValueError(f"boxes must hold one tensor a picture, {len(features[0])}, got {len(boxes)}")
        count = self.levels or max(len(features) - 1, 1)
        maps, rois = features[:count], to_rois(boxes)
        strides = [size[0] / m.shape[-2] for m in maps]
        if count == 1:
            return self.operator(maps[0], rois, self.output_size, 1 / strides[0])
        k_min, k_max = (round(math.log2(stride)) for stride in (strides[0], strides[-1]))
        level = assign_levels(rois[:, 1:], k_min, k_max, self.canonical_scale, self.canonical_level)
        order = level.argsort(stable=True)                       # RoIs of one level side by side, one call a level
        counts = torch.bincount(level, minlength=count).tolist()
        pooled = [self.operator(m, part, self.output_size, 1 / stride)
                  for m, part, stride in zip(maps, rois[order].split(counts), strides)]
        return torch.cat(pooled)[order.argsort()]


def to_rois(boxes: Sequence[Tensor]) -> Tensor:
    """List of N tensors (K_i, 4) -> (K, 5): the row in the batch before each box."""
    rows = torch.repeat_interleave(torch.arange(len(boxes), device=boxes[0].device),
                                   torch.tensor([len(b) for b in boxes], device=boxes[0].device))
    joined = torch.cat(list(boxes))
    return torch.cat([rows[:, None].to(joined), joined], dim=1)
