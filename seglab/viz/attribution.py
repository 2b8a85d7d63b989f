"""Which input pixels the class of one output pixel hangs on: gradients, occlusion, effective receptive field.

All of them ask about the log-odds of one class at one output pixel and leave the model as it was. Notebook 17.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seglab.viz.features import device_of


def log_odds(logits: Tensor, pixel: tuple[int, int], class_id: int) -> Tensor:
    """Log-odds ``(N,)`` of a class at one pixel of logits ``(N, K, h, w)``: log p - log(1 - p).

    One channel is taken as the logit of a sigmoid (``class_id`` 1, or 0 for the background), more as a softmax. A
    single softmax logit would not do: adding the same number to all of them changes it and no probability.

    Raises
    ------
    ValueError
        For another shape, a class or a pixel that the logits do not have.
    """
    if logits.ndim != 4:
        raise ValueError(f"logits must have shape (N, K, h, w), got {tuple(logits.shape)}")
    classes, (y, x) = max(2, logits.shape[1]), pixel
    if not 0 <= class_id < classes:
        raise ValueError(f"class_id must be in 0..{classes - 1}, got {class_id}")
    if not (0 <= y < logits.shape[2] and 0 <= x < logits.shape[3]):
        raise ValueError(f"pixel must lie in the output of {logits.shape[2]} x {logits.shape[3]} px, got {pixel}")
    here = logits[:, :, y, x]
    if logits.shape[1] == 1:
        return here[:, 0] if class_id == 1 else -here[:, 0]
    others = [k for k in range(classes) if k != class_id]
    return here[:, class_id] - here[:, others].logsumexp(1)


def input_gradient(model: nn.Module, image: Tensor, pixel: tuple[int, int], class_id: int) -> Tensor:
    """Gradient ``(C, H, W)`` of the log-odds of a class at one output pixel with respect to the image ``(C, H, W)``.

    In log-odds per unit of grey value: what an infinitely small change of each input pixel would do.

    References
    ----------
    Simonyan, Vedaldi, Zisserman, 2013, section 3. Notebook 17.
    """
    with torch.enable_grad():
        image = image.detach().clone().requires_grad_()
        logits = model(image[None].to(device_of(model, image)))
        gradient, = torch.autograd.grad(log_odds(logits, pixel, class_id).sum(), image)
    return gradient


def integrated_gradients(model: nn.Module, image: Tensor, pixel: tuple[int, int], class_id: int,
                         baseline: Tensor | float = 0.0, steps: int = 64) -> Tensor:
    """Share ``(C, H, W)`` of each input value in the log-odds, against a baseline picture.

    (x - x') times the mean gradient on the straight line from baseline x' to image x, by the midpoint rule.

    Parameters
    ----------
    model, image, pixel, class_id
        As for :func:`input_gradient`.
    baseline : (C, H, W) tensor or float
        The picture that stands for "nothing there". The answer depends on it.
    steps : int
        Points on the line.

    Returns
    -------
    Tensor (C, H, W)
        The sum over all pixels tends to log-odds(image) - log-odds(baseline) ("completeness") as steps grow.

    References
    ----------
    Sundararajan, Taly, Yan, *Axiomatic Attribution for Deep Networks*, ICML 2017, equation 1, proposition 1.
    """
    if steps < 1:
        raise ValueError(f"steps must be >= 1, got {steps}")
    start = torch.as_tensor(baseline, dtype=image.dtype, device=image.device).expand_as(image)
    total = torch.zeros_like(image)
    for k in range(steps):
        total += input_gradient(model, start + (k + 0.5) / steps * (image - start), pixel, class_id)
    return (image - start) * total / steps


@torch.no_grad()
def occlusion(model: nn.Module, image: Tensor, pixel: tuple[int, int], class_id: int, patch: int = 8,
              stride: int = 4, fill: float | None = None, batch: int = 16) -> Tensor:
    """How much the log-odds of a class at one output pixel fall when a square of the image is covered.

    Parameters
    ----------
    model, image, pixel, class_id
        As for :func:`input_gradient`.
    patch, stride : int
        Side of the square and step between two squares, px.
    fill : float or None
        Grey value of the cover; None takes each channel's mean. The answer depends on it.
    batch : int
        Pictures through the network at once.

    Returns
    -------
    Tensor (rows, columns)
        log-odds(image) - log-odds(covered); square (r, c) begins at pixel (r * stride, c * stride). Squares lie
        inside the image.

    Raises
    ------
    ValueError
        If a square does not fit into the image, or stride or batch is not positive.

    References
    ----------
    Zeiler, Fergus, *Visualizing and Understanding Convolutional Networks*, ECCV 2014, section 4.2. Notebook 17.
    """
    height, width = image.shape[-2:]
    if not 1 <= patch <= min(height, width) or stride < 1 or batch < 1:
        raise ValueError(f"patch must fit into {height} x {width} px, stride and batch be >= 1, "
                         f"got {patch}, {stride}, {batch}")
    tops, lefts = range(0, height - patch + 1, stride), range(0, width - patch + 1, stride)
    places = [(top, left) for top in tops for left in lefts]
    cover = image.mean((1, 2), keepdim=True) if fill is None else fill
    scores, where = [], device_of(model, image)
    for k in range(0, len(places), batch):
        covered = image.repeat(len(places[k:k + batch]), 1, 1, 1)
        for picture, (top, left) in zip(covered, places[k:k + batch], strict=True):
            picture[:, top:top + patch, left:left + patch] = cover
        scores.append(log_odds(model(covered.to(where)), pixel, class_id))
    whole = log_odds(model(image[None].to(where)), pixel, class_id)
    return (whole - torch.cat(scores)).reshape(len(tops), len(lefts)).to(image.device)


def effective_receptive_field(model: nn.Module, images: Iterable[Tensor], class_id: int = 1) -> Tensor:
    """Mean absolute gradient ``(H, W)`` of the central output pixel's log-odds over images ``(C, H, W)`` of one size.

    References
    ----------
    Luo, Li, Urtasun, Zemel, NeurIPS 2016, section 3. The theoretical field is :func:`seglab.ops.receptive_field`.
    """
    gradients = []
    for image in images:
        with torch.no_grad():
            height, width = model(image[None].to(device_of(model, image))).shape[-2:]
        gradients.append(input_gradient(model, image, (height // 2, width // 2), class_id).abs().sum(0))
    if not gradients:
        raise ValueError("images must hold at least one picture")
    return torch.stack(gradients).mean(0)


def mass_side(field: Tensor, share: float = 0.95) -> int:
    """Side in px of the smallest centred square that holds this share of a non-negative map ``(H, W)``.

    The square lies round the pixel that holds the map's centre of mass; sides are odd.
    """
    if field.ndim != 2 or not bool((field >= 0).all()) or not field.sum() > 0:
        raise ValueError("field must be a map (H, W) of values >= 0, not all 0")
    field = field.double()
    height, width = field.shape
    mass = field.sum()
    y = round(float((field.sum(1) * torch.arange(height, device=field.device)).sum() / mass))
    x = round(float((field.sum(0) * torch.arange(width, device=field.device)).sum() / mass))
    for reach in range(max(height, width)):
        inside = field[max(0, y - reach):y + reach + 1, max(0, x - reach):x + reach + 1].sum()
        if inside >= share * mass:
            return 2 * reach + 1
    return 2 * max(height, width) + 1
