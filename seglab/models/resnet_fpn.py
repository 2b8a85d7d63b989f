"""A backbone with a feature pyramid on top: images -> features, step 2 of Mask R-CNN (notebooks 12 and 14).

Mask R-CNN, section 3.1, "Network Architecture": features of ResNet-FPN.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from seglab.models.backbone import Backbone
from seglab.models.fpn import FPN


class ResNetFPN(nn.Module):
    """Pyramid maps of a ResNet, or any backbone; parameters under ``body`` and ``fpn`` as in torchvision.

    Parameters
    ----------
    body : Backbone
        Gives C2..C5, with ``output_stride=32``: a level of the pyramid for each stride.
    out_channels : int
        Channels of every map of the pyramid; kept as an attribute, the detector reads it.
    levels : increasing sequence out of 0, 1, 2, 3
        Which of C2..C5 enter. (0, 1, 2) leaves out C5, of little use on small pictures.

    Raises
    ------
    ValueError
        For other levels, or two of them at the same stride.
    """

    def __init__(self, body: Backbone, out_channels: int = 256, levels: Sequence[int] = (0, 1, 2, 3)) -> None:
        super().__init__()
        if not levels or sorted(set(levels)) != list(levels) or not set(levels) <= {0, 1, 2, 3}:
            raise ValueError(f"levels must be increasing numbers out of 0, 1, 2, 3, got {tuple(levels)}")
        strides = [body.strides[level] for level in levels]
        if len(set(strides)) < len(strides):
            raise ValueError(f"body must have another stride at each of the levels {tuple(levels)}, got {strides}; "
                             "build it with output_stride=32")
        self.levels, self.out_channels = tuple(levels), out_channels
        self.body = body
        self.fpn = FPN([body.channels[level] for level in levels], out_channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> len(levels) + 1 maps (N, out_channels, h, w), finest first; the last is the pooled one."""
        maps = self.body(images)
        return self.fpn([maps[level] for level in self.levels])
