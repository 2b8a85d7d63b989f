"""Receptive field and gridding explorer: which inputs a stack of dilated convolutions reads, and how often."""

from collections.abc import Sequence

import ipywidgets
import numpy as np
from matplotlib import colormaps

from seglab.ops import path_counts
from seglab.viz import LABEL_COLORS
from seglab.widgets.drawing import Canvas, beside, fitted, titled
from seglab.widgets.panel import Panel

SIDE, GUTTER = 400, 14                                       # px of each of the two pictures on the page
DEPTH_MAX, RATE_MAX, KERNEL_MAX = 4, 8, 5
BLUE, ORANGE = (tuple(map(int, LABEL_COLORS[k])) for k in (5, 6))
HOLE, LINE = (213, 213, 213), (150, 180, 205)


def dilation_picture(kernel: int, rates: Sequence[int]) -> np.ndarray:
    """The input px that one output reads, in colour by the number of ways, beside the same stack along one axis.

    Parameters
    ----------
    kernel : int
        Taps a side of every layer, 2 ... 5.
    rates : sequence of int
        Dilation of each layer, first layer first; 1 to 4 layers, rates 1 ... 8.

    Returns
    -------
    ndarray (h, w, 3), uint8
        The same size for every state. The field is enlarged to fill its square; grey px inside it are holes, which no
        weight can reach.

    Raises
    ------
    ValueError
        For a kernel, a rate or a number of layers outside its range.
    """
    rates = list(rates)
    for name, value, low, high in [("kernel", kernel, 2, KERNEL_MAX), ("the number of rates", len(rates), 1, DEPTH_MAX),
                                   *(("rates", rate, 1, RATE_MAX) for rate in rates)]:
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in {low}..{high}, got {value}")
    counts = path_counts(rates, kernel)
    share = (counts > 0).mean()
    weights = f"{kernel * kernel * len(rates)} weights a channel pair"
    left = titled(_field(counts), f"field {len(counts)} x {len(counts)} px, {100 * share**2:.0f} % of it read")
    right = titled(_tree(kernel, rates), f"one axis: {int((counts == 0).sum())} holes; {weights}")
    return beside(left, right, gap=GUTTER)


def dilation_explorer() -> Panel:
    """Controls kernel, layers and a rate for each of four layers above `dilation_picture`; notebook 09.

    Returns
    -------
    Panel
        It starts with four layers at rate 2, whose holes every other rate can fill. Rates of layers beyond the chosen
        depth do nothing.
    """
    def draw(kernel: int, depth: int, rate1: int, rate2: int, rate3: int, rate4: int) -> np.ndarray:
        return dilation_picture(kernel, (rate1, rate2, rate3, rate4)[:depth])

    def slider(description: str, value: int, low: int, high: int) -> ipywidgets.IntSlider:
        return ipywidgets.IntSlider(value=value, min=low, max=high, description=description)

    return Panel(draw, width=2 * SIDE + GUTTER, kernel=slider("kernel", 3, 2, KERNEL_MAX),
                 depth=slider("layers", DEPTH_MAX, 1, DEPTH_MAX),
                 **{f"rate{k}": slider(f"rate {k}", 2, 1, RATE_MAX) for k in range(1, DEPTH_MAX + 1)})


def _field(counts: np.ndarray) -> np.ndarray:
    """Ways from each input px to the output, on a logarithmic scale; holes grey."""
    ways = np.outer(counts, counts)
    rgb = np.empty((*ways.shape, 3), np.uint8)
    shade = 0.15 + 0.85 * np.log1p(ways) / np.log1p(ways.max())
    rgb[:] = (colormaps["Blues"](shade)[..., :3] * 255).round()
    rgb[ways == 0] = HOLE
    middle = len(counts) // 2
    rgb[middle, middle] = ORANGE
    return fitted(rgb, SIDE)


def _tree(kernel: int, rates: list[int]) -> np.ndarray:
    """The output at the top, the input at the bottom, a line for every tap that counts."""
    canvas = Canvas(SIDE, SIDE)
    field = 1 + (kernel - 1) * sum(rates)
    left, right, top, bottom = 58, SIDE - 10, 24, SIDE - 18
    step = (right - left) / max(field - 1, 1)
    height = (bottom - top) / len(rates)
    dot = min(max(step / 3, 1.0), 6.0)
    reached, start, y = {0}, (field - 1) / 2, top
    names = ["output", *(f"layer {k}" for k in range(len(rates), 1, -1)), "input"]
    rows = [(reached, left + start * step, y, ORANGE)]
    for rate, above in zip(reversed(rates), names, strict=False):
        taps = [k * rate for k in range(kernel)]
        before, lower = start - (kernel - 1) * rate / 2, y + height
        for place in reached:
            for tap in taps:
                canvas.line([(left + (start + place) * step, y), (left + (before + place + tap) * step, lower)],
                            fill=LINE)
        canvas.text(2, y, above, size=12, anchor="lm")
        canvas.text(2, (y + lower) / 2, f"rate {rate}", size=12, fill=BLUE, anchor="lm")
        reached = {place + tap for place in reached for tap in taps}
        start, y = before, lower
        rows.append((reached, left + start * step, y, BLUE))
    rows.insert(0, (range(field), left, y, HOLE))
    for places, origin, y, fill in rows:                     # dots over lines
        for place in places:
            x = origin + place * step
            canvas.ellipse(x - dot, y - dot, x + dot, y + dot, fill=fill)
    canvas.text(2, y, "input", size=12, anchor="lm")
    return canvas.array()
