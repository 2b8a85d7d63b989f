"""What every loss does first: check the arguments, raise the precision, find the pixels that count."""

from typing import Any

import torch
from torch import Tensor

from seglab.inputs import refuse_255, whole

_PROBE = 64          # side, px, of the sample on which `logits` are tried for being probabilities
_SUM = 1e-2          # by how much the shares of a pixel may miss 1: bfloat16 rounds that much


def prepare(logits: Tensor, target: Tensor, ignore_index: int,
            maps: bool = False) -> tuple[Tensor, Tensor, Tensor | None]:
    """Check `logits` and `target`; return them ready for the formula.

    Parameters
    ----------
    logits : (N, C, H, W) floating tensor
    target : (N, H, W) or (N, 1, H, W) tensor of any integer dtype or bool; with C = 1 also floats in 0..1
    ignore_index : int
    maps : bool
        Take the share of each class in each pixel, (N, C, H, W), as well.

    Returns
    -------
    logits : (N, C, H, W), float64 if it was, otherwise float32; 0 where ignored, so that not even NaN gets through
    truth : (N, H, W) int64 in 0..K-1, K = max(C, 2), or of floats with C = 1, 0 where ignored; or (N, C, H, W) shares
    valid : (N, H, W) bool, False where ignored; None if no pixel is

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    _check_types(logits, target)
    ignored = whole(ignore_index, "ignore_index", None)
    if logits.ndim != 4 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (N, C, H, W) with C >= 1, got {tuple(logits.shape)}")
    logits = logits if logits.dtype == torch.float64 else logits.float()
    _refuse_probabilities(logits)
    if maps and logits.shape[1] > 1 and target.shape == logits.shape:
        return logits, _shares(target.to(logits.dtype)), None
    target = _without_channel(target, logits, maps)
    if target.is_floating_point() and logits.shape[1] > 1:
        form = ", or shares of shape (N, C, H, W)" if maps else ""
        raise TypeError(f"target must hold integer class ids for C={logits.shape[1]} classes{form}, got "
                        f"{_kind(target)}; only a target of one foreground (C=1) may be floats")
    truth = target.to(logits.dtype) if target.is_floating_point() else target.long()
    if not truth.numel():
        return logits, truth, None
    highest = max(logits.shape[1], 2) - 1
    valid, (low, high) = None, _range(truth)
    if not 0 <= low <= high <= highest or low <= ignored <= high:        # `not` catches NaN too
        valid = truth != ignored
        if highest == 1:
            refuse_255(truth, ignore_index)
        truth, logits = truth.masked_fill(~valid, 0), logits.masked_fill(~valid[:, None], 0)
        low, high = _range(truth)
    if not 0 <= low <= high <= highest:
        what = "values" if target.is_floating_point() else "class ids"
        raise ValueError(f"target must hold {what} 0..{highest} or ignore_index={ignored} for logits with "
                         f"C={logits.shape[1]}, got {low:g}..{high:g}")
    return logits, truth, valid


def probabilities_and_truth(logits: Tensor, truth: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Class probabilities and the share of each class in the truth, both (N, C, H, W) and both 0 at ignored pixels.

    With C = 1 the one channel is the foreground: sigmoid of the logit, and label 1.
    """
    if logits.shape[1] == 1:
        p, g = logits.sigmoid(), truth[:, None]
    else:
        p, g = logits.softmax(1), truth
        if truth.ndim == 3:
            g = torch.arange(logits.shape[1], device=truth.device).view(1, -1, 1, 1) == truth[:, None]
    g = g.to(p.dtype)
    return (p, g) if valid is None else (p * valid[:, None], g * valid[:, None])


def mean_or_zero(values: Tensor) -> Tensor:
    """Mean of a tensor, 0 (and not NaN) when it has no elements."""
    return values.sum() / max(values.numel(), 1)


def _range(values: Tensor) -> tuple[float, float]:
    low, high = torch.stack(values.aminmax()).tolist()                   # one transfer from a GPU, not two
    return low, high


def _without_channel(target: Tensor, logits: Tensor, maps: bool) -> Tensor:
    """(N, H, W) out of that or of (N, 1, H, W)."""
    expected = (logits.shape[0], *logits.shape[2:])
    shape = tuple(target.shape)
    if shape == (expected[0], 1, *expected[1:]):
        return target[:, 0]
    if shape != expected:
        form = ", or (N, C, H, W) of shares," if maps and logits.shape[1] > 1 else ""
        raise ValueError(f"target must have shape (N, H, W) = {expected} or (N, 1, H, W){form} to match logits of "
                         f"shape {tuple(logits.shape)}, got {shape}")
    return target


def _shares(target: Tensor) -> Tensor:
    """A map of the share of each class in each pixel, checked."""
    if target.numel():
        low, high = _range(target)
        if not 0 <= low <= high <= 1:
            raise ValueError(f"target of shape (N, C, H, W) must hold shares 0..1, got {low:g}..{high:g}")
        low, high = _range(target.sum(1))
        if low < 1 - _SUM or high > 1 + _SUM:
            raise ValueError("target of shape (N, C, H, W) must hold shares that sum to 1 over the classes at every "
                             f"pixel, got sums {low:g}..{high:g}; leave pixels out by weight_map=0")
    return target


def _check_types(logits: Any, target: Any) -> None:
    if not torch.is_tensor(logits) or not logits.is_floating_point():
        raise TypeError(f"logits must be a floating-point tensor, got {_kind(logits)}")
    if not torch.is_tensor(target) or target.is_complex():
        raise TypeError(f"target must be a tensor of class ids (integers or bools), or of floats 0..1 for one "
                        f"foreground (C=1), got {_kind(target)}")


def _kind(value: Any) -> str:
    return f"tensor of {value.dtype}" if torch.is_tensor(value) else type(value).__name__


def _refuse_probabilities(logits: Tensor) -> None:
    """A softmax before a loss that applies one itself is silent and common; this catches the certain case.

    Real-valued scores of a net never sum to 1 over the classes at every pixel. One sigmoid channel (C = 1) in
    0..1 could be honest scores, so it passes.
    """
    sample = logits.detach()[:1, :, :_PROBE, :_PROBE]
    if logits.shape[1] == 1 or sample[:, 0].numel() < 16:
        return
    sums_to_one = (sample.sum(1) - 1).abs().max() < _SUM
    if sums_to_one and sample.min() >= 0 and sample.amax((2, 3)).ne(sample.amin((2, 3))).any():
        raise ValueError("logits must be raw scores, got probabilities: values are in 0..1 and sum to 1 over the "
                         "classes at every pixel. Remove the softmax from the model, the loss applies it")
