"""Lovász-softmax: the convex extension of the Jaccard loss to probabilities."""

import torch
from torch import Tensor

from seglab.inputs import IGNORE
from seglab.losses.inputs import mean_or_zero, prepare, probabilities_and_truth


def lovasz_softmax(logits: Tensor, target: Tensor, per_image: bool = True, ignore_index: int = IGNORE) -> Tensor:
    """Sorted errors weighted by what each adds to the Jaccard loss, mean over the classes present (and images).

    Parameters
    ----------
    logits : (N, C, H, W) float tensor
        With C = 1 the sigmoid foreground alone is scored.
    target : (N, H, W) or (N, 1, H, W) integer or bool tensor; with C = 1 also of floats 0 and 1
        As in :func:`seglab.losses.cross_entropy`, but nothing between 0 and 1: the Jaccard loss is one of sets.
    per_image : bool
        True: each image alone, then the mean of the images. False: the batch as one image (the authors'
        default).
    ignore_index : int

    Returns
    -------
    Scalar tensor in 0..1.

    Raises
    ------
    TypeError, ValueError
        As :func:`seglab.losses.cross_entropy`.

    Notes
    -----
    With C > 1 classes absent from the target of the image (or batch) are left out of its mean. With C = 1 an
    empty target stays in: its loss is the largest foreground probability, so false positives cost.
    All-ignored input costs 0.

    References
    ----------
    Berman, Rannen Triki, Blaschko (2018), equations 8, 9 and 11, algorithm 1. Notebook 03.
    """
    logits, truth, valid = prepare(logits, target, ignore_index)
    if truth.is_floating_point() and (truth != truth.round()).any():
        raise ValueError("target must hold 0 and 1 for lovasz_softmax, which has no value for soft labels, got values "
                         "between them")
    p, g = probabilities_and_truth(logits, truth, valid)
    if not per_image:
        p, g = (x.transpose(0, 1).flatten(1)[None] for x in (p, g))      # (1, C, N H W)
    p, g = p.flatten(2), g.flatten(2)
    errors, order = (g - p).abs().sort(dim=2, descending=True)           # ignored pixels: error 0, last, harmless
    loss = (errors * jaccard_steps(g.gather(2, order))).sum(2)           # (images, C)
    if loss.shape[1] == 1:
        return mean_or_zero(loss)
    present = g.any(2)
    return mean_or_zero((loss * present).sum(1) / present.sum(1).clamp_min(1))


def jaccard_steps(truth: Tensor) -> Tensor:
    """What flipping the i-th pixel adds to the Jaccard loss, after the pixels before it are already wrong.

    Parameters
    ----------
    truth : (..., P) tensor of 0 / 1
        In order of falling error.

    Returns
    -------
    (..., P) tensor; the differences of ``1 - (G - cumsum g) / (G + cumsum(1 - g))``.
    """
    total = truth.sum(-1, keepdim=True)
    jaccard = 1 - (total - truth.cumsum(-1)) / (total + (1 - truth).cumsum(-1)).clamp_min(1)
    return torch.cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)
