"""CRF playground: what the weights, widths and iterations of a dense CRF do to a disc and to a thin bar."""

from functools import lru_cache

import ipywidgets
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seglab.viz import error_map, to_rgb
from seglab.widgets.drawing import GUTTER, beside, enlarge, titled
from seglab.widgets.panel import Panel

SIZE, SCALE = 40, 6                                          # px of the picture, and of its px on the page


def disc_and_bar(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A disc and a bar two px wide on a noisy ground, and a coarse, noisy guess of where they are.

    Parameters
    ----------
    seed : int
        Of the noise.

    Returns
    -------
    image : tensor (3, 40, 40), float32 in 0..1
    probability : tensor (40, 40), float32
        Of the foreground, as a network of stride 4 would give it: a 10x10 map, enlarged bilinearly.
    truth : tensor (40, 40), int64
        0 ground, 1 disc, 2 bar.
    """
    g = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    truth = ((y - 15) ** 2 + (x - 13) ** 2 <= 81).long()
    truth[5:36, 32:34] = 2
    colours = torch.tensor([[0.35, 0.45, 0.40], [0.75, 0.40, 0.30], [0.30, 0.35, 0.70]])
    image = (colours[truth].permute(2, 0, 1) + 0.04 * torch.randn(3, SIZE, SIZE, generator=g)).clamp(0, 1)
    coarse = F.avg_pool2d((truth > 0).float()[None, None], 4)
    scores = 5 * (coarse - 0.35) + 0.5 * torch.randn(coarse.shape, generator=g)
    scores = F.interpolate(scores, size=(SIZE, SIZE), mode="bilinear", align_corners=False)[0, 0]
    return image, torch.sigmoid(scores), truth


@lru_cache(4)
def _tables(seed: int) -> tuple[np.ndarray, ...]:
    """What no slider changes: the scene, its log odds, and squared distances in place and colour, (N, N) float32."""
    image, probability, truth = disc_and_bar(seed)
    rows, columns = np.divmod(np.arange(SIZE * SIZE, dtype=np.float32), SIZE)
    place = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    grey = 255 * image.numpy().reshape(3, -1)
    colour = sum((c[:, None] - c) ** 2 for c in grey)
    return image.numpy(), torch.logit(probability).numpy(), truth.numpy(), place, colour


def crf_marginals(w1: float, theta_alpha: float, theta_beta: float, w2: float, theta_gamma: float, iterations: int,
                  seed: int = 0) -> np.ndarray:
    """Probability (40, 40) float32 of the foreground of `disc_and_bar(seed)`, as `seglab.ops.dense_crf` gives it.

    Parameters are those of `dense_crf` with symmetric normalisation. Two labels need only one of the two marginals,
    and the distances are computed once: this is what makes a slider move quick.
    """
    _, odds, _, _, _ = _tables(seed)
    kernel, scale = _bilateral(theta_alpha, theta_beta, seed)
    along = np.arange(SIZE, dtype=np.float32)
    blur = np.exp((along[:, None] - along) ** 2 / (-2 * theta_gamma**2))
    blur_scale = 1 / np.sqrt(np.outer(blur.sum(1), blur.sum(1)))

    def message(q: np.ndarray) -> np.ndarray:
        colour = scale * (kernel @ (scale * q.ravel()))
        return w1 * colour.reshape(SIZE, SIZE) + w2 * blur_scale * (blur @ (blur_scale * q) @ blur)

    total, q = message(np.ones_like(odds)), _sigmoid(odds)
    for _ in range(iterations):
        q = _sigmoid(odds + 2 * message(q) - total)          # message of label 1 minus message of label 0
    return q.astype(np.float32)


@lru_cache(4)
def _bilateral(theta_alpha: float, theta_beta: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The bilateral kernel (N, N) and one over the root of its row sums; kept while other sliders move."""
    _, _, _, place, colour = _tables(seed)
    kernel = colour * np.float32(-0.5 / theta_beta**2)
    kernel += place * np.float32(-0.5 / theta_alpha**2)
    np.exp(kernel, out=kernel)
    return kernel, 1 / np.sqrt(kernel.sum(axis=1))


def crf_picture(w1: float, theta_alpha: float, theta_beta: float, w2: float, theta_gamma: float, iterations: int,
                seed: int = 0) -> np.ndarray:
    """The picture, the errors of the unary and of the CRF, and the CRF's probability, side by side.

    Parameters
    ----------
    w1, theta_alpha, theta_beta, w2, theta_gamma, iterations
        As `crf_marginals`.
    seed : int
        Of the scene.

    Returns
    -------
    ndarray (h, w, 3), uint8
        Green is right, orange missed, blue false. The titles give the IoU of the foreground and the share of the thin
        bar's px that is found.

    Raises
    ------
    ValueError
        If a theta is not > 0, a weight or the number of iterations is negative.
    """
    for name, value in (("theta_alpha", theta_alpha), ("theta_beta", theta_beta), ("theta_gamma", theta_gamma)):
        if not value > 0:
            raise ValueError(f"{name} must be > 0, got {value}")
    for name, value in (("w1", w1), ("w2", w2), ("iterations", iterations)):
        if not value >= 0:
            raise ValueError(f"{name} must be >= 0, got {value}")
    image, odds, truth, _, _ = _tables(seed)
    q = crf_marginals(w1, theta_alpha, theta_beta, w2, theta_gamma, iterations, seed)
    pictures = [titled(enlarge(to_rgb(image), SCALE), "a disc and a thin bar", "")]
    for name, found in (("unary", odds > 0), (f"CRF, {iterations} iterations", q > 0.5)):
        iou = (found & (truth > 0)).sum() / (found | (truth > 0)).sum()
        pictures.append(titled(enlarge(error_map(found, truth), SCALE), f"{name}: IoU {iou:.3f}",
                               f"{100 * found[truth == 2].mean():.0f} % of the bar found"))
    return beside(*pictures, titled(enlarge(to_rgb(q), SCALE), "Q(foreground)", "black 0, white 1"))


def crf_playground(seed: int = 0) -> Panel:
    """Sliders for the weights, widths and iterations above `crf_picture`; notebook 09.

    Parameters
    ----------
    seed : int
        Of the scene, `disc_and_bar(seed)`.

    Returns
    -------
    Panel
        It starts at weights that help both the disc and the bar. With w1 = 0 only the Gaussian kernel is left, and the
        bar goes.
    """
    def slider(description: str, value: float, low: float, high: float, step: float) -> ipywidgets.FloatSlider:
        return ipywidgets.FloatSlider(value=value, min=low, max=high, step=step, description=description)

    def draw(**state: float) -> np.ndarray:
        return crf_picture(**state, seed=seed)

    return Panel(draw, width=4 * SIZE * SCALE + 3 * GUTTER,
                 w1=slider("w1 colour", 5.0, 0.0, 20.0, 0.5), theta_alpha=slider("θα (px)", 10.0, 1.0, 40.0, 1.0),
                 theta_beta=slider("θβ (grey)", 25.0, 3.0, 100.0, 1.0), w2=slider("w2 place", 1.0, 0.0, 10.0, 0.5),
                 theta_gamma=slider("θγ (px)", 2.0, 0.5, 8.0, 0.5),
                 iterations=ipywidgets.IntSlider(value=5, min=0, max=10, description="iterations"))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))
