"""What every loss does first: check the arguments, raise the precision, find the pixels that count."""

import torch

_PROBE = 64          # side, px, of the sample on which `logits` are tried for being probabilities


def prepare(logits, target, ignore_index):
    """Check `logits` and `target`; return them ready for the formula.

    Parameters
    ----------
    logits : (N, C, H, W) floating tensor
    target : (N, H, W) integer or bool tensor
    ignore_index : int

    Returns
    -------
    logits : (N, C, H, W), float64 if it was, otherwise float32
    labels : (N, H, W) int64 in 0..K-1, K = max(C, 2); 0 where ignored
    valid : (N, H, W) bool, False where ignored

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what came.
    """
    _check_types(logits, target)
    if logits.ndim != 4 or logits.shape[1] == 0:
        raise ValueError(f"logits must have shape (N, C, H, W) with C >= 1, got {tuple(logits.shape)}")
    expected = (logits.shape[0], *logits.shape[2:])
    if tuple(target.shape) != expected:
        raise ValueError(f"target must have shape (N, H, W) = {expected} to match logits of shape "
                         f"{tuple(logits.shape)}, got {tuple(target.shape)}")
    logits = logits if logits.dtype == torch.float64 else logits.float()
    _refuse_probabilities(logits)
    labels = target.long()
    valid = labels != ignore_index
    labels = labels.masked_fill(~valid, 0)
    classes = max(logits.shape[1], 2)
    if labels.numel() and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(f"target must hold class ids 0..{classes - 1} or ignore_index={ignore_index} for logits "
                         f"with C={logits.shape[1]}, got {int(labels.min())}..{int(labels.max())}")
    return logits, labels, valid


def probabilities_and_truth(logits, labels, valid):
    """Class probabilities and one-hot truth, both (N, C, H, W) and both 0 at ignored pixels.

    With C = 1 the one channel is the foreground: sigmoid of the logit, and label 1.
    """
    keep = valid[:, None]
    if logits.shape[1] == 1:
        p, g = logits.sigmoid(), labels[:, None]
    else:
        p = logits.softmax(1)
        g = torch.arange(logits.shape[1], device=labels.device).view(1, -1, 1, 1) == labels[:, None]
    return p * keep, g.to(p.dtype) * keep


def mean_or_zero(values):
    """Mean of a tensor, 0 (and not NaN) when it has no elements."""
    return values.sum() / max(values.numel(), 1)


def _check_types(logits, target):
    if not torch.is_tensor(logits) or not logits.is_floating_point():
        raise TypeError(f"logits must be a floating-point tensor, got {_kind(logits)}")
    if not torch.is_tensor(target) or target.is_floating_point() or target.is_complex():
        raise TypeError(f"target must be a tensor of integer or bool class ids, got {_kind(target)}")


def _kind(value):
    return f"tensor of {value.dtype}" if torch.is_tensor(value) else type(value).__name__


def _refuse_probabilities(logits):
    """A softmax before a loss that applies one itself is silent and common; this catches the certain case.

    Real-valued scores of a net never sum to 1 over the classes at every pixel. One sigmoid channel (C = 1) in
    0..1 could be honest scores, so it passes.
    """
    sample = logits.detach()[:1, :, :_PROBE, :_PROBE]
    if logits.shape[1] == 1 or sample[:, 0].numel() < 16:
        return
    sums_to_one = (sample.sum(1) - 1).abs().max() < 1e-2              # bfloat16 rounds that much
    if sums_to_one and sample.min() >= 0 and sample.amax((2, 3)).ne(sample.amin((2, 3))).any():
        raise ValueError("logits must be raw scores, got probabilities: values are in 0..1 and sum to 1 over the "
                         "classes at every pixel. Remove the softmax from the model, the loss applies it")
