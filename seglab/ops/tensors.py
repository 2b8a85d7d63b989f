"""One gate for tensors of numbers that operators on boxes take: no list, no mask, no type that PyTorch cannot add."""
from typing import Any

import torch
from torch import Tensor

WITHOUT_ARITHMETIC = (torch.uint16, torch.uint32, torch.uint64)         # PyTorch stores them, but has no operators


def real_tensor(value: Any, name: str, form: str) -> Tensor:
    """Give a tensor of real numbers back, uint16, uint32 and uint64 as int64.

    Raises
    ------
    TypeError
        Not a dense tensor of integers or floats.
    ValueError
        Integers above 2**63 - 1.
    """
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.dtype == torch.bool \
            or value.is_complex() or value.is_quantized:
        came = f"{value.dtype}, {value.layout}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a tensor of numbers, shape {form}, got {came}")
    if value.dtype in WITHOUT_ARITHMETIC:
        whole = value.long()
        if (whole < 0).any():
            raise ValueError(f"{name} must be below 2**63, got {value.cpu().numpy().max()}")
        return whole
    return value
