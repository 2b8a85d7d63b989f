"""Atrous spatial pyramid pooling: parallel 3x3 convolutions at several rates, a 1x1 convolution and the image's mean.

Source: Chen, Papandreou, Schroff, Adam, Rethinking Atrous Convolution, arXiv 2017, section 3.3. Built in notebook 10.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seglab.models.arguments import check_counts, check_rates
from seglab.models.pooled_norm import PooledBatchNorm2d
from seglab.models.separable import SeparableConv2d


def valid_tap_share(height: int, width: int, rate: int, kernel_size: int = 3) -> float:
    """Share of an atrous kernel's taps that read the map and not its zero padding, over all positions, 0..1.

    Parameters
    ----------
    height, width : int
        Size of the feature map, >= 1 px of that map.
    rate : int
        Distance between neighbouring taps, >= 1 px of the map.
    kernel_size : int
        Taps along each axis, odd.

    Returns
    -------
    float
        1/9 for a 3x3 kernel once ``rate`` reaches the larger side: only the central tap is left, and the layer is a
        1x1 convolution with eight idle weights. 0.77, 0.57, 0.40, 0.27 for rates 6, 12, 18, 24 on 33 x 33 px.

    Raises
    ------
    ValueError
        For a size or rate below 1 or an even kernel.

    Notes
    -----
    Along an axis of n px a tap at distance d is valid at max(0, n - d) positions. The count of a square kernel is the
    product of the two axes' counts.

    References
    ----------
    Chen et al., 2017, section 3.3 and figure 4 (drawn there for a 65 x 65 map).
    """
    check_counts(height=height, width=width, rate=rate, kernel_size=kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd, got {kernel_size}")
    half = kernel_size // 2
    rows, columns = (sum(max(0, size - abs(k) * rate) for k in range(-half, half + 1)) for size in (height, width))
    return rows * columns / (kernel_size**2 * height * width)


class ImagePooling(nn.Sequential):
    """The image-level branch: global mean, 1x1 convolution, batch norm, ReLU, spread over the map again.

    ``(N, C, H, W)`` -> ``(N, out_channels, H, W)``, constant over each picture. Trains at batch 1, see
    :class:`~seglab.models.pooled_norm.PooledBatchNorm2d`.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, out_channels, 1, bias=False),
                         PooledBatchNorm2d(out_channels), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` -> ``(N, out_channels, H, W)``; enlarging one pixel bilinearly repeats it."""
        return super().forward(x).expand(-1, -1, *x.shape[-2:])


class ASPP(nn.Module):
    """DeepLab v3's pyramid: ``(N, in_channels, H, W)`` -> ``(N, out_channels, H, W)``.

    Parameters
    ----------
    in_channels : int
        Channels of the features.
    rates : sequence of int
        One 3x3 branch a rate, in px of the feature map. The paper's 6, 12, 18 at output stride 16 are doubled at 8.
    out_channels : int
        Channels of every branch and of the result.
    separable : bool
        Depthwise separable 3x3 branches, as DeepLab v3+ uses them.
    dropout : float
        Share of zeroed values after the projection, in training.

    Raises
    ------
    ValueError
        For channels or rates that are no integers >= 1, or a dropout outside 0..1.

    Notes
    -----
    Branches are concatenated in the order 1x1, rates, image pooling, then projected by a 1x1 convolution; each
    convolution is followed by batch normalisation and ReLU. Parameters are named as in
    ``torchvision.models.segmentation.deeplabv3.ASPP`` (when not separable), so its ``state_dict`` loads unchanged.

    A rate larger than the map is legal: the outer taps read only zero padding, and the branch is then a 1x1
    convolution with its central weight, exactly. :func:`valid_tap_share` says how far that has gone.

    References
    ----------
    Chen, Papandreou, Schroff, Adam: Rethinking Atrous Convolution for Semantic Image Segmentation. 2017, figure 5.
    """

    def __init__(self, in_channels: int, rates: Sequence[int] = (12, 24, 36), out_channels: int = 256,
                 separable: bool = False, dropout: float = 0.5) -> None:
        super().__init__()
        rates = check_rates(rates)
        check_counts(in_channels=in_channels, out_channels=out_channels)
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout must lie in 0..1, got {dropout!r}")
        self.in_channels, self.rates = in_channels, rates
        self.convs = nn.ModuleList([
            conv_norm_relu(nn.Conv2d(in_channels, out_channels, 1, bias=False), out_channels),
            *(conv_norm_relu(atrous3x3(in_channels, out_channels, rate, separable), out_channels) for rate in rates),
            ImagePooling(in_channels, out_channels)])
        self.project = nn.Sequential(
            nn.Conv2d(len(self.convs) * out_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, features: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` -> ``(N, out_channels, H, W)``, any H, W >= 1."""
        if features.ndim != 4 or features.shape[1] != self.in_channels:
            raise ValueError(f"features must have shape (N, {self.in_channels}, H, W), got {tuple(features.shape)}")
        return self.project(torch.cat([branch(features) for branch in self.convs], dim=1))


def atrous3x3(in_channels: int, out_channels: int, rate: int, separable: bool = False) -> nn.Module:
    """A 3x3 convolution at a rate that keeps the size, without bias; depthwise separable on demand."""
    if separable:
        return SeparableConv2d(in_channels, out_channels, 3, padding=rate, dilation=rate)
    return nn.Conv2d(in_channels, out_channels, 3, padding=rate, dilation=rate, bias=False)


def conv_norm_relu(conv: nn.Module, channels: int) -> nn.Sequential:
    """The convolution, batch normalisation of its ``channels``, ReLU."""
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())
