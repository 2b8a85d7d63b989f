"""What a network costs: parameters, multiply-adds, seconds. Built in notebook 11."""

import copy
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from seglab.models.arguments import check_counts
from seglab.modes import evaluating


def count_parameters(model: nn.Module) -> int:
    """Number of learnt values; a parameter that two modules share counts once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def mult_adds(model: nn.Module, shape: Sequence[int]) -> int:
    """Multiply-adds of one forward pass in evaluation mode, for an input of ``shape`` such as ``(1, 3, 512, 512)``.

    Counted are convolutions (also transposed and grouped) and matrix products, one for each product that is added up:
    half of what is called FLOPs. Biases, normalisation, activations, pooling and interpolation are not counted, as is
    usual.

    Parameters
    ----------
    model : Module
        Left as it is: a copy without values does the pass, so that any size costs no time and no memory.
    shape : sequence of ints
        (N, C, H, W) of the input.

    Returns
    -------
    int

    Notes
    -----
    Papers that write "FLOPs" often mean multiply-adds; torchvision's tables and DeepLab's "Multiply-Adds" do. Products
    with zero padding are counted, since the machine computes them.

    Examples
    --------
    >>> mult_adds(nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 10)) == 10 * 10 * 3 * 3 * 3 * 8
    True
    """
    ghost = copy.deepcopy(model).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ghost(torch.empty(tuple(shape), device="meta"))
    return counter.get_total_flops() // 2


class Latency(NamedTuple):
    """Seconds of one forward pass: median and the quartiles around it."""

    median: float
    low: float
    high: float

    @property
    def per_second(self) -> float:
        """Passes a second at the median."""
        return 1 / self.median


@torch.no_grad()
def latency(model: nn.Module, images: Tensor, repeats: int = 10, warm_up: int = 2) -> Latency:
    """Time ``model(images)`` in evaluation mode, ``repeats`` times after ``warm_up`` passes that do not count.

    The first passes allocate memory and choose algorithms. On a GPU the clock waits for the device to finish. Every
    module gets back the mode it came with, so that frozen batch norms stay frozen.

    Raises
    ------
    ValueError
        For fewer than one repeat.
    """
    check_counts(repeats=repeats)
    check_counts(0, warm_up=warm_up)

    def once() -> float:
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        begun = time.perf_counter()
        model(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        return time.perf_counter() - begun

    with evaluating(model):
        times = [once() for _ in range(warm_up + repeats)][warm_up:]
    low, median, high = statistics.quantiles(times, n=4) if repeats > 1 else times * 3
    return Latency(median, low, high)
