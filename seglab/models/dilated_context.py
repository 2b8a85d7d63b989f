"""The context module: eight layers of dilated convolutions that see 67 px at full resolution, born as the identity.

Yu, Koltun, "Multi-scale context aggregation by dilated convolutions", ICLR 2016, section 3 and table 1. Built in
notebook 09.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.models.arguments import check_counts

DILATIONS = (1, 1, 2, 4, 8, 16, 1, 1)
KERNELS = (3, 3, 3, 3, 3, 3, 3, 1)
MULTIPLES = {"basic": (1, 1, 1, 1, 1, 1, 1, 1), "large": (2, 2, 4, 8, 16, 32, 32, 1)}   # channels over C, by layer
PADDING = 33                                                  # half of the field of 67
NOISE = 0.01                                                  # sigma over C / c_{i+1}: "sigma much smaller than"


class DilatedContext(nn.Module):
    """Context module: class maps ``(N, C, H, W)`` -> class maps ``(N, C, H, W)`` that know 33 px around.

    Parameters
    ----------
    channels : int
        C, the number of classes.
    size : {"basic", "large"}
        "basic" keeps C channels throughout: 64 C^2 weights. "large" widens to 2, 2, 4, 8, 16, 32, 32 times C: 15,422
        C^2 weights. Biases come on top.

    Raises
    ------
    ValueError
        For channels that are no integer >= 1 or another size.

    Notes
    -----
    Kernels 3, 3, 3, 3, 3, 3, 3, 1 at dilations 1, 1, 2, 4, 8, 16, 1, 1, a ReLU after each but the last; the fields are
    3, 5, 9, 17, 33, 65, 67, 67 px. The input gets 33 zeros at each side, once; the convolutions are not padded.

    Identity initialisation (equations 4 and 5 of the paper): k(t, a) = [t = 0][a = b] for "basic"; for "large"
    C / c_{i+1} at t = 0 where floor(a C / c_i) = floor(b C / c_{i+1}) and N(0, sigma^2) elsewhere, with sigma one
    hundredth of that. A layer's gain is then c_i / c_{i+1}, down to 1/32 in the middle and 1 in all. **It is the
    identity for inputs >= 0 only**: the ReLUs cut what is negative. Feed probabilities or rectified features, not raw
    logits.
    """

    def __init__(self, channels: int, size: str = "basic") -> None:
        super().__init__()
        check_counts(channels=channels)
        if size not in MULTIPLES:
            raise ValueError(f"size must be one of {tuple(MULTIPLES)}, got {size!r}")
        self.channels = channels
        widths = [channels, *(channels * times for times in MULTIPLES[size])]
        layers = []
        for before, after, kernel, dilation in zip(widths[:-1], widths[1:], KERNELS, DILATIONS, strict=True):
            layers += [nn.Conv2d(before, after, kernel, dilation=dilation), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        for conv in self.layers[::2]:
            init_identity(conv, channels, noise=0.0 if size == "basic" else NOISE)

    def forward(self, maps: Tensor) -> Tensor:
        """``(N, C, H, W)`` -> ``(N, C, H, W)``, any H, W >= 1.

        Raises
        ------
        TypeError, ValueError
            For integer maps, another shape or number of channels.
        """
        if maps.ndim != 4 or maps.shape[1] != self.channels or 0 in maps.shape:
            raise ValueError(f"maps must have shape (N, {self.channels}, H, W) with N, H, W >= 1, "
                             f"got {tuple(maps.shape)}")
        if not maps.is_floating_point():
            raise TypeError(f"maps must be floating point, one channel a class, got {maps.dtype}")
        return self.layers(F.pad(maps, (PADDING,) * 4))


@torch.no_grad()
def init_identity(conv: nn.Conv2d, channels: int, noise: float = 0.0) -> None:
    """Make a convolution pass groups of channels on unchanged, scaled to c_in / c_out in sum; equations 4 and 5.

    Parameters
    ----------
    conv : Conv2d
        With c_in and c_out channels, multiples of ``channels``, and an odd kernel.
    channels : int
        C, the number of groups.
    noise : float
        Standard deviation of all other weights, over C / c_out.

    Raises
    ------
    ValueError
        If ``channels`` does not divide both numbers of channels, or the kernel has no middle.
    """
    before, after = conv.in_channels, conv.out_channels
    if before % channels or after % channels:
        raise ValueError(f"channels must divide {before} and {after}, the channels of conv, got {channels}")
    if any(k % 2 == 0 for k in conv.kernel_size):
        raise ValueError(f"conv must have an odd kernel to have a middle, got {conv.kernel_size}")
    same = torch.arange(after)[:, None] * channels // after == torch.arange(before) * channels // before
    nn.init.normal_(conv.weight, std=noise * channels / after)
    centre = conv.weight[:, :, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2]
    centre[same] = channels / after
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
