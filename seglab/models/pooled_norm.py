"""Batch normalisation that survives a map of one pixel and a batch of one picture. Notebook 10 walks into that trap."""

from torch import Tensor, nn
from torch.nn import functional as F


class PooledBatchNorm2d(nn.BatchNorm2d):
    """``BatchNorm2d`` for globally pooled features: with a single value a channel it uses its running statistics.

    ``(N, C, H, W)`` -> ``(N, C, H, W)``; same parameters, buffers and keys as :class:`torch.nn.BatchNorm2d`.

    Notes
    -----
    In training, batch normalisation subtracts the mean of the batch. A global average pool leaves one value a channel
    and picture, so at batch 1 every value *is* the mean: the result would be 0 whatever the picture shows, and PyTorch
    refuses with "Expected more than 1 value per channel". Here such a batch is normalised as in evaluation, and leaves
    the running statistics as they are. With two values or more it is ``BatchNorm2d`` unchanged. (At batch 2 it is
    legal and hardly better: two values minus their mean are +d and -d, so only the sign of d is left.)

    References
    ----------
    Ioffe, Szegedy: Batch Normalization. ICML 2015, algorithm 1. The trap: github.com/pytorch/vision/issues/2151.
    Derived in notebook 10.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``, by the running statistics if N * H * W is 1."""
        if self.training and x[:, 0].numel() == 1 and self.running_mean is not None:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)
