"""Fully connected CRF over the pixels of a small picture: exact mean field, no approximation of the sums."""
import math

import torch
from torch import Tensor

from seglab.inputs import positive, whole
from seglab.ops.tensors import real_tensor

MAX_PIXELS = 96 * 96                                      # two (N, N) float64 of 9,216 px are 1.4 GB
NORMALIZATIONS = ("symmetric", None)


def dense_crf(unary: Tensor, image: Tensor, w1: float = 10.0, theta_alpha: float = 80.0, theta_beta: float = 13.0,
              w2: float = 3.0, theta_gamma: float = 3.0, iterations: int = 10,
              normalization: str | None = "symmetric") -> Tensor:
    """Mean-field marginals of a dense CRF with Potts compatibility, by brute force over all pairs of pixels.

    Parameters
    ----------
    unary : tensor (K, H, W), floating
        psi_u = -log P(label): `-F.log_softmax(logits, 0)`. Values must be finite: clamp P away from 0.
    image : tensor (C, H, W)
        Float in 0..1 or uint8; any number of channels.
    w1, theta_alpha, theta_beta : float
        Weight, spatial width (px) and colour width (grey values of 0..255) of the bilateral kernel.
    w2, theta_gamma : float
        Weight and spatial width (px) of the Gaussian kernel, which knows no colour.
    iterations : int
        Parallel updates, >= 0; 0 gives the softmax of the unary.
    normalization : {"symmetric", None}
        See Notes. Weights tuned under one do not transfer to the other.

    Returns
    -------
    tensor (K, H, W), dtype and device of `unary`
        Q, positive and summing to 1 over the labels. Differentiable with respect to `unary`.

    Raises
    ------
    TypeError
        Not floating tensors (uint8 is allowed for the image), iterations that are no integer.
    ValueError
        Other shapes, sizes that differ, unary or image not finite, a float image outside 0..1, theta <= 0, w < 0 or
        no numbers, iterations < 0, or more than 9,216 px: then the message says which size is sensible.

    Notes
    -----
    Minimises over product distributions the free energy of
    E(x) = sum_i psi_u(x_i) + sum_{i<j} [x_i != x_j] k_ij with
    k_ij = w1 exp(-|p_i - p_j|^2 / (2 theta_alpha^2) - |I_i - I_j|^2 / (2 theta_beta^2))
    + w2 exp(-|p_i - p_j|^2 / (2 theta_gamma^2)), updating all pixels at once:
    Q_i(l) <- softmax_l(-psi_u(l) + sum_j k_ij Q_j(l)), which is the paper's update because, for Potts,
    -sum_{l' != l} m(l') and m(l) differ by a constant. Parallel updates need not lower the free energy.

    normalization=None is the paper: j = i is left out and the sums grow with the number of pixels, so that weights fit
    one size and one theta only. "symmetric" is the authors' released code and what every published recipe since uses:
    each of the two kernels becomes D^-1/2 k D^-1/2 with D its row sums and **the pixel itself is included** (k_ii = 1
    before normalisation), a slight pull towards the present belief.

    Cost: N^2 = (H W)^2 exponentials once, then 2 K N^2 flops an iteration; 48 x 48 px take a fraction of a second.
    The permutohedral lattice of the paper is linear in N and approximate: labels mostly agree, marginals do not.

    References
    ----------
    Krähenbühl, Koltun, Efficient inference in fully connected CRFs with Gaussian edge potentials (2011), equations 1
    to 3, algorithm 1. Chen et al., DeepLab v1 (2015), section 3.2. Derived in notebook 09.

    Examples
    --------
    >>> image = torch.tensor([[[0., 0., 0., 1., 1.]]])
    >>> unary = -torch.tensor([[[.9, .4, .9, .1, .1]], [[.1, .6, .1, .9, .9]]]).log()
    >>> dense_crf(unary, image).argmax(0).tolist()
    [[0, 0, 0, 1, 1]]
    """
    kernel = _checked_kernel(unary, image, w1, theta_alpha, theta_beta, w2, theta_gamma, normalization)
    count = whole(iterations, "iterations")
    psi = unary.to(torch.float64).flatten(1)
    q = torch.softmax(-psi, 0)
    for _ in range(count):
        q = torch.softmax(q @ kernel - psi, 0)             # the kernel is symmetric
    return q.reshape(unary.shape).to(unary.dtype)


def crf_energy(labels: Tensor, unary: Tensor, image: Tensor, w1: float = 10.0, theta_alpha: float = 80.0,
               theta_beta: float = 13.0, w2: float = 3.0, theta_gamma: float = 3.0,
               normalization: str | None = "symmetric") -> float:
    """Energy E(x) of a labelling: unary costs plus k_ij for every pair of pixels with different labels.

    Parameters
    ----------
    labels : tensor (H, W), integer, 0..K-1
    unary, image, w1, theta_alpha, theta_beta, w2, theta_gamma, normalization
        As `dense_crf`.

    Returns
    -------
    float
        Lower is better; each pair counts once.

    Raises
    ------
    TypeError, ValueError
        As `dense_crf`; labels of another size or out of range.

    References
    ----------
    Krähenbühl, Koltun (2011), equation 1. Notebook 09.
    """
    kernel = _checked_kernel(unary, image, w1, theta_alpha, theta_beta, w2, theta_gamma, normalization)
    labels = real_tensor(labels, "labels", "(H, W)")
    if labels.is_floating_point():
        raise TypeError(f"labels must be an integer tensor, got {labels.dtype}")
    if labels.shape != unary.shape[1:]:
        raise ValueError(f"labels must have shape {tuple(unary.shape[1:])}, got {tuple(labels.shape)}")
    if labels.min() < 0 or labels.max() >= len(unary):
        raise ValueError(f"labels must be in 0..{len(unary) - 1}, got {int(labels.min())}..{int(labels.max())}")
    x = labels.flatten().long()
    cost = unary.to(torch.float64).flatten(1).gather(0, x[None]).sum()
    one_hot = torch.nn.functional.one_hot(x, len(unary)).to(kernel)
    agree = ((kernel @ one_hot) * one_hot).sum()
    return float(cost + (kernel.sum() - agree) / 2)


def _checked_kernel(unary: Tensor, image: Tensor, w1: float, theta_alpha: float, theta_beta: float, w2: float,
                    theta_gamma: float, normalization: str | None) -> Tensor:
    """k (N, N) float64 of both kernels, normalised; the diagonal does not matter to the energy."""
    for name, value in (("unary", unary), ("image", image)):
        floating = isinstance(value, torch.Tensor) and value.is_floating_point()
        if not floating and not (name == "image" and getattr(value, "dtype", None) == torch.uint8):
            came = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
            raise TypeError(f"{name} must be a floating tensor{' or uint8' * (name == 'image')}, got {came}")
        if value.ndim != 3 or not value.numel():
            raise ValueError(f"{name} must have shape ({'K' if name == 'unary' else 'C'}, H, W) of one picture, "
                             f"got {tuple(value.shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{name} must be finite, got NaN or infinity; clamp probabilities away from 0 before the "
                             "logarithm")
    if unary.shape[1:] != image.shape[1:]:
        raise ValueError(f"image must have the unary's size {tuple(unary.shape[1:])}, got {tuple(image.shape[1:])}")
    height, width = image.shape[1:]
    if height * width > MAX_PIXELS:
        raise ValueError(f"image must have at most {MAX_PIXELS} px (96 x 96): the exact sums over all pairs take "
                         f"{16 * (height * width) ** 2 / 1e9:.3g} GB for {height} x {width} px. 48 x 48 is sensible "
                         "(a fraction of a second): shrink the picture, or use a lattice approximation "
                         "(pydensecrf) at full size")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization must be one of {NORMALIZATIONS}, got {normalization!r}")
    w1, w2 = positive(w1, "w1", zero=True), positive(w2, "w2", zero=True)
    # a narrower kernel than 1e-6 px or grey values knows itself only, and squares of its quotients would overflow
    theta_alpha, theta_beta, theta_gamma = (max(positive(value, name), 1e-6) for value, name in (
        (theta_alpha, "theta_alpha"), (theta_beta, "theta_beta"), (theta_gamma, "theta_gamma")))
    grey = image.detach().to(torch.float64)
    if image.dtype != torch.uint8:
        if grey.min() < 0 or grey.max() > 1:
            raise ValueError(f"image must be in 0..1 if it is float (or uint8), got {float(grey.min()):.4g}.."
                             f"{float(grey.max()):.4g}; theta_beta is in grey values of 0..255 either way")
        grey = grey * 255
    kernel = _spatial(height, width, theta_alpha, grey)
    colours = grey.flatten(1) / (theta_beta * math.sqrt(2))
    for start in range(0, len(kernel), 256):               # by blocks of rows: the differences stay in the cache
        far = (colours[0, start:start + 256, None] - colours[0]).square_()
        for c in colours[1:]:
            far.add_((c[start:start + 256, None] - c).square_())
        kernel[start:start + 256].mul_(far.neg_().exp_())
    if normalization is None:
        kernel.mul_(w1).add_(_spatial(height, width, theta_gamma, grey), alpha=w2)
        return kernel.fill_diagonal_(0)
    scale = kernel.sum(1).rsqrt()
    kernel.mul_(scale[:, None] * w1).mul_(scale)
    return kernel.add_(_spatial(height, width, theta_gamma, grey, normalized=True), alpha=w2) if w2 else kernel


def _spatial(height: int, width: int, theta: float, like: Tensor, normalized: bool = False) -> Tensor:
    """exp(-|p_i - p_j|^2 / (2 theta^2)) for all pairs of pixels: a product of one factor a row and one a column."""
    factors = []
    for n in (height, width):
        p = torch.arange(n, dtype=like.dtype, device=like.device) / theta
        factor = torch.exp(-(p[:, None] - p).square() / 2)
        scale = factor.sum(1).rsqrt()                      # the row sums of a product are products of row sums
        factors.append(scale[:, None] * factor * scale if normalized else factor)
    return torch.kron(*factors)
