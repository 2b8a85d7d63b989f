"""Feature pyramid: maps of every stride, each with the meaning of the deepest one.

Source: Lin et al., "Feature Pyramid Networks for Object Detection", CVPR 2017. Built in notebook 12.
"""
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.ops.boxes import box_area


class FPN(nn.Module):
    """Backbone maps C2..C5 to pyramid maps P2..P6 of equal width.

    Parameters
    ----------
    in_channels_list : list of int
        Channels of the backbone's maps, finest first.
    out_channels : int
        Channels of every pyramid map, 256 in the paper.

    Notes
    -----
    A 1x1 convolution brings each map to `out_channels`, the coarser result is enlarged (nearest neighbour, to this
    map's own size, so odd sizes fit) and added, and a 3x3 convolution smooths the sum. No non-linearity anywhere. The
    last map subsamples the coarsest by 2. Keys of the parameters as in torchvision, ``inner_blocks.i.0`` and
    ``layer_blocks.i.0``; the older ``inner_blocks.i`` are renamed on loading.
    """

    def __init__(self, in_channels_list: list[int], out_channels: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(c, out_channels, 1)) for c in in_channels_list)
        self.layer_blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(out_channels, out_channels, 3, padding=1))
                                          for _ in in_channels_list)
        for inner, layer in zip(self.inner_blocks, self.layer_blocks, strict=True):
            for conv in (inner[0], layer[0]):
                nn.init.kaiming_uniform_(conv.weight, a=1)
                nn.init.zeros_(conv.bias)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """``[(N, C_i, H_i, W_i)]``, finest first -> ``[(N, out_channels, H_i, W_i)]`` and one map more, half the last.

        Raises
        ------
        ValueError
            If there is not one map for each entry of `in_channels_list`.
        """
        if len(features) != len(self.inner_blocks):
            raise ValueError(f"features must hold {len(self.inner_blocks)} maps, got {len(features)}")
        laterals = [inner(feature) for inner, feature in zip(self.inner_blocks, features, strict=True)]
        sums = [laterals[-1]]
        for lateral in reversed(laterals[:-1]):
            sums.insert(0, lateral + F.interpolate(sums[0], size=lateral.shape[-2:], mode="nearest"))
        maps = [layer(x) for layer, x in zip(self.layer_blocks, sums, strict=True)]
        return [*maps, F.max_pool2d(maps[-1], kernel_size=1, stride=2)]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for key in [k for k in state_dict if k.startswith((f"{prefix}inner_blocks.", f"{prefix}layer_blocks."))]:
            block, i, *rest = key.removeprefix(prefix).split(".")
            if len(rest) == 1:                                          # the published files: inner_blocks.0.weight
                state_dict[f"{prefix}{block}.{i}.0.{rest[0]}"] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


def assign_levels(boxes: Tensor, k_min: int = 2, k_max: int = 5, canonical_scale: float = 224,
                  canonical_level: int = 4) -> Tensor:
    """Pyramid map from which each box takes its features.

    Parameters
    ----------
    boxes : Tensor (N, 4)
    k_min, k_max : int
        Finest and coarsest level, P2 and P5.
    canonical_scale, canonical_level
        A box of 224 x 224 px belongs to P4; half the side, one level finer.

    Returns
    -------
    Tensor (N,), int64
        **Index into the list of maps**, ``k - k_min``: 0 is P2. A box without area goes to the finest.

    Raises
    ------
    TypeError, ValueError
        Boxes of another form, NaN or infinite.

    Notes
    -----
    ``k = floor(4 + log2(sqrt(w h) / 224) + 1e-6)``, clamped; the 1e-6 lets 112 px be P3 and not P2 by rounding.

    References
    ----------
    Lin et al., "Feature Pyramid Networks", CVPR 2017, equation 1. Derived in notebook 12.

    Examples
    --------
    >>> assign_levels(torch.tensor([[0., 0, 56, 56], [0, 0, 112, 112], [0, 0, 224, 224], [0, 0, 900, 900]]))
    tensor([0, 1, 2, 3])
    """
    side = box_area(boxes).clamp(min=0).sqrt()
    level = torch.floor(canonical_level + torch.log2(side / canonical_scale) + 1e-6)
    return level.clamp(k_min, k_max).long() - k_min
