"""Which anchor answers for which object, and which of them a step learns from."""
import torch
from torch import Tensor

from seglab.inputs import positive, whole
from seglab.ops.tensors import real_tensor

BELOW, BETWEEN = -1, -2


def match(iou: Tensor, high: float, low: float, allow_low_quality: bool = False) -> Tensor:
    """Assign an object to each anchor, or none.

    Parameters
    ----------
    iou : Tensor (N, M)
        Of N objects with M anchors; either may be 0.
    high, low : float
        The anchor's best object counts from ``high`` on. Below ``low`` the anchor is background, between the two it
        takes no part.
    allow_low_quality : bool
        Each object also gets the anchors that overlap it most (all of a tie), however little that is.

    Returns
    -------
    Tensor (M,), int64
        Object of each anchor, -1 background, -2 between.

    Raises
    ------
    TypeError, ValueError
        low > high, or one of them is negative or no number; an IoU is NaN or not (N, M).

    Notes
    -----
    As torchvision's ``Matcher`` but for two cases. An object that overlaps *no* anchor has a best overlap of 0, which
    it shares with all anchors it does not touch: ``Matcher`` makes every one of them positive. Here the rule needs an
    overlap. And without objects all anchors are background, where ``Matcher`` raises an error.

    As there, an anchor rescued by the rule is given to the object that *it* overlaps most, which need not be the object
    that called for it.

    References
    ----------
    Ren et al., "Faster R-CNN", NIPS 2015, section 3.1.2. Derived in notebook 12.

    Examples
    --------
    >>> match(torch.tensor([[0.8, 0.4, 0.1], [0.0, 0.0, 0.2]]), 0.7, 0.3, allow_low_quality=True)
    tensor([ 0, -2,  1])
    """
    iou = real_tensor(iou, "iou", "(N, M)")
    if iou.ndim != 2:
        raise ValueError(f"iou must have shape (N, M), got {tuple(iou.shape)}")
    high, low = check_thresholds(high, low)
    if iou.numel() == 0:
        return torch.full(iou.shape[1:], BELOW, dtype=torch.int64, device=iou.device)
    best, index = iou.max(dim=0)                                        # NaN comes through
    if best.isnan().any():
        raise ValueError("iou must be numbers, got NaN")
    matched = index.clone()
    matched[best < low] = BELOW
    matched[(best >= low) & (best < high)] = BETWEEN
    if allow_low_quality:
        most = iou.max(dim=1, keepdim=True)[0]
        rescued = ((iou == most) & (most > 0)).any(0)
        matched[rescued] = index[rescued]
    return matched


def check_thresholds(high: float, low: float) -> tuple[float, float]:
    """Both as floats; a ValueError unless 0 <= low <= high."""
    high, low = positive(high, "high", zero=True), positive(low, "low", zero=True)
    if low > high:
        raise ValueError(f"low must not exceed high, got low {low} and high {high}")
    return high, low


def sample(labels: Tensor, batch_size: int, positive_fraction: float,
           generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw the anchors (or proposals) of one image that a training step learns from.

    Parameters
    ----------
    labels : Tensor (M,)
        >= 1 positive, 0 negative, below 0 not used.
    batch_size : int
        Drawn in all, >= 1; fewer if there are not so many.
    positive_fraction : float
        At most ``int(batch_size * positive_fraction)`` are positive; negatives fill up.
    generator : torch.Generator, optional
        PyTorch's own by default.

    Returns
    -------
    positive, negative : Tensor, int64
        Indices in ascending order.

    Raises
    ------
    TypeError, ValueError
        Labels of another shape or no tensor of numbers, batch_size < 1 or no integer, a fraction outside 0..1.

    Notes
    -----
    Draws what torchvision's ``BalancedPositiveNegativeSampler`` draws after the same seed: ``randperm`` of the
    positives, then of the negatives, for each image, also where there are none.

    References
    ----------
    Ren et al., "Faster R-CNN", NIPS 2015, section 3.1.3 (256 anchors, half of them positive). Notebook 12.
    """
    labels, batch_size = real_tensor(labels, "labels", "(M,)"), whole(batch_size, "batch_size", 1)
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape (M,), got {tuple(labels.shape)}")
    if positive(positive_fraction, "positive_fraction", zero=True) > 1:
        raise ValueError(f"positive_fraction must be in 0..1, got {positive_fraction}")
    some, none = (labels >= 1).nonzero()[:, 0], (labels == 0).nonzero()[:, 0]
    wanted = min(len(some), int(batch_size * positive_fraction))
    drawn = []
    for pool, count in ((some, wanted), (none, batch_size - wanted)):
        order = torch.randperm(len(pool), generator=generator, device=labels.device)
        drawn.append(pool[order[:count]].sort()[0])
    return drawn[0], drawn[1]
