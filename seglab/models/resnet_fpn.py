"""ResNet with a feature pyramid on top: images -> features, step 2 of Mask R-CNN (notebooks 12 and 14).

Mask R-CNN, section 3.1, "Network Architecture": features of ResNet-FPN.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from seglab.models.fpn import FPN
from seglab.models.resnet import ResNet


class ResNetFPN(nn.Module):
    """Pyramid maps of a ResNet; parameters under ``body`` and ``fpn`` as in torchvision's ``BackboneWithFPN``.

    Parameters
    ----------
    body : ResNet
        Gives C2..C5.
    out_channels : int
        Channels of every map of the pyramid; kept as an attribute, the detector reads it.
    levels : increasing sequence out of 0, 1, 2, 3
        Which of C2..C5 enter. (0, 1, 2) leaves out C5, of little use on small pictures.

    Raises
    ------
    ValueError
        For other levels.
    """

    def __init__(self, body: ResNet, out_channels: int = 256, levels: Sequence[int] = (0, 1, 2, 3)):
        super().__init__()
        if not levels or sorted(set(levels)) != list(levels) or not set(levels) <= {0, 1, 2, 3}:
            raise ValueError(f"levels must be increasing numbers out of 0, 1, 2, 3, got {tuple(levels)}")
        self.levels, self.out_channels = tuple(levels), out_channels
        self.body = body
        self.fpn = FPN([body.channels[level] for level in levels], out_channels)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> len(levels) + 1 maps (N, out_channels, h, w), finest first; the last is the pooled one."""
        maps = self.body(images)
        return self.fpn([maps[level] for level in self.levels])
