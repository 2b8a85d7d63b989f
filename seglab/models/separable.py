"""Depthwise separable convolution: one small filter a channel, then a 1x1 convolution that mixes the channels.

Source: Chen, Zhu, Papandreou, Schroff, Adam, DeepLab v3+, ECCV 2018, section 3.1. Built in notebook 11.
"""

from collections import OrderedDict

from torch import Tensor, nn

from seglab.models.arguments import check_counts


class SeparableConv2d(nn.Sequential):
    """``depthwise`` (k x k, one filter a channel), batch norm and ReLU, ``pointwise`` (1 x 1, all channels).

    ``(N, in_channels, H, W)`` -> ``(N, out_channels, H', W')``, sizes as for ``nn.Conv2d`` with the same arguments.
    No bias, and nothing after the pointwise convolution: batch norm and ReLU that follow it belong to the caller.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation : int
        Of the depthwise convolution. ``padding=dilation`` keeps the size of a 3x3 kernel at stride 1.
    norm, relu : bool
        What stands between the two. Both: MobileNet's and DeepLab's form, for ASPP, decoder and the end of Xception.
        Norm alone: the residual blocks of DeepLab's released Xception. Neither: Chollet's Xception, and
        ``segmentation_models_pytorch``; then the two are one linear map, a full convolution whose kernel
        ``w[o, c] = pointwise[o, c] * depthwise[c]`` has rank 1 for each pair of channels.

    Raises
    ------
    ValueError
        For channels or sizes that are no integers >= 1 (padding >= 0), or other channels in ``forward``.

    Notes
    -----
    A full convolution costs ``k * k * C * K`` multiply-adds a pixel, this one ``k * k * C + C * K``: the ratio is
    ``1 / K + 1 / k**2``, nearly one ninth for 3x3 and many channels.

    References
    ----------
    Chen et al., ECCV 2018, section 3.1 and figure 3. Chollet: Xception, CVPR 2017. Howard et al.: MobileNets, 2017.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, padding: int = 0,
                 dilation: int = 1, norm: bool = True, relu: bool = True) -> None:
        check_counts(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size, stride=stride,
                     dilation=dilation)
        check_counts(0, padding=padding)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["depthwise"] = nn.Conv2d(in_channels, in_channels, kernel_size, stride, padding, dilation,
                                        groups=in_channels, bias=False)
        if norm:
            layers["norm"] = nn.BatchNorm2d(in_channels)
        if relu:
            layers["relu"] = nn.ReLU(inplace=True)
        layers["pointwise"] = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        super().__init__(layers)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` -> ``(N, out_channels, H', W')``."""
        if x.ndim != 4 or x.shape[1] != self.depthwise.in_channels:
            raise ValueError(f"x must have shape (N, {self.depthwise.in_channels}, H, W), got {tuple(x.shape)}")
        return super().forward(x)
