"""Weights of classes that are seldom seen."""

from collections.abc import Iterable

import torch
from torch import Tensor

from seglab import inputs
from seglab.data.sample import IGNORE, Sample, check_samples


def median_frequency_weights(samples: Iterable[Sample], num_classes: int) -> Tensor:
    """Median frequency balancing: the median class's frequency over each class's.

    Parameters
    ----------
    samples : iterable of Sample
        The training set; only ``semantic`` is looked at. 255 counts for nothing.
    num_classes : int
        K; class ids are 0..K - 1.

    Returns
    -------
    Tensor
        (K,) float32: ``median(f) / f_c``, where ``f_c`` is the share of class c among the pixels *of the pictures in
        which it occurs*; a class that never occurs has weight 0 and no part in the median.

    Raises
    ------
    ValueError
        For no sample with a class, or a class id beyond K - 1.

    References
    ----------
    Badrinarayanan et al. 2017, SegNet, section 3.2; Eigen & Fergus 2015, section 6.3.2.
    """
    if inputs.whole(num_classes, "num_classes", 1) > IGNORE:
        raise ValueError(f"num_classes must be in 1..{IGNORE}, got {num_classes}")
    pixels, around = torch.zeros(2, num_classes, dtype=torch.float64)
    for sample in check_samples(samples):
        counts = torch.bincount(sample.semantic.flatten(), minlength=IGNORE + 1)[:IGNORE]
        if counts[num_classes:].any():
            raise ValueError(f"samples must have class ids below num_classes = {num_classes}, got "
                             f"{int(counts.nonzero().max())} in sample {sample.name!r}")
        counts = counts[:num_classes]
        pixels += counts
        around += counts.sum() * (counts > 0)
    seen = pixels > 0
    if not seen.any():
        raise ValueError("samples must hold at least one pixel of a class, got none")
    frequency = pixels[seen] / around[seen]
    weights = torch.zeros(num_classes, dtype=torch.float64)
    weights[seen] = frequency.quantile(0.5) / frequency  # of an even number the middle of the two, unlike median()
    return weights.float()
