"""ASPP rate explorer: where the nine taps of an atrous convolution fall, and how many of them still read the map."""

from typing import Any

import ipywidgets
import numpy as np
from matplotlib import colormaps

from seglab.models import valid_tap_share
from seglab.viz import LABEL_COLORS, to_rgb
from seglab.widgets.drawing import GUTTER, Canvas, beside, fitted, titled
from seglab.widgets.panel import Panel

SIDE, SMALL, PLOT = 396, 228, 146                            # px of the three pictures; the small ones fill one column
RATE_MAX, SIZE_MAX = 40, 65
BLUE, ORANGE = (tuple(map(int, LABEL_COLORS[k])) for k in (5, 6))
GREY = (226, 226, 226)


def valid_tap_map(size: int, rate: int) -> np.ndarray:
    """How many of the nine taps read the map at each position, ``(size, size)`` int: 1 (the centre alone) ... 9."""
    along = np.arange(size)
    inside = sum(((along + k * rate >= 0) & (along + k * rate < size)).astype(int) for k in (-1, 0, 1))
    return np.outer(inside, inside)


def aspp_rates_picture(image: Any, rate: int, size: int, x: float, y: float) -> np.ndarray:
    """The picture with its taps and padding, the number of valid taps everywhere, and its mean against the rate.

    Parameters
    ----------
    image : array or tensor, as `seglab.viz.to_rgb` takes it
        The picture behind the feature map; it is stretched to a square.
    rate : int
        Px of the feature map between neighbouring taps, 1 ... 40.
    size : int
        Side of the feature map in its own px, 1 ... 65.
    x, y : float
        Where on the map the kernel stands, 0 (left, top) ... 1 (right, bottom).

    Returns
    -------
    ndarray (h, w, 3), uint8
        The same size for every state. Blue taps read the map, orange ones the zero padding. Taps further outside than
        the map is wide are drawn at the edge of the padding that is shown.

    Raises
    ------
    ValueError
        For a rate, size or place outside its range.
    """
    for name, value, low, high in [("rate", rate, 1, RATE_MAX), ("size", size, 1, SIZE_MAX), ("x", x, 0, 1),
                                   ("y", y, 0, 1)]:
        if not low <= value <= high:
            raise ValueError(f"{name} must lie in {low}..{high}, got {value}")
    row, column = round(y * (size - 1)), round(x * (size - 1))
    counts = valid_tap_map(size, rate)
    share = valid_tap_share(size, size, rate)
    note = ", a 1x1 convolution" if rate >= size else ""
    left = titled(_taps(to_rgb(image), rate, size, row, column),
                  f"{size}x{size} px map, rate {rate}: {counts[row, column]} of 9 taps read it here")
    colours = (colormaps["viridis"]((counts - 1) / 8)[..., :3] * 255).round().astype(np.uint8)
    right = np.concatenate([
        titled(fitted(colours, SMALL), f"valid taps: {100 * share:.0f} %{note}"),
        titled(_curve(size, rate), "share of valid taps by rate")], axis=0)
    return beside(left, right)


def aspp_rates_explorer(image: Any) -> Panel:
    """Controls rate, size and place above `aspp_rates_picture(image, ...)`; notebook 10.

    Parameters
    ----------
    image : array or tensor
        As for `aspp_rates_picture`.

    Returns
    -------
    Panel
    """
    rgb = to_rgb(image)

    def draw(rate: int, size: int, x: float, y: float) -> np.ndarray:
        return aspp_rates_picture(rgb, rate, size, x, y)

    return Panel(draw, width=SIDE + SMALL + GUTTER,
                 rate=ipywidgets.IntSlider(value=12, min=1, max=RATE_MAX, description="rate"),
                 size=ipywidgets.IntSlider(value=33, min=5, max=SIZE_MAX, description="map side"),
                 x=ipywidgets.FloatSlider(value=0.5, min=0, max=1, step=0.05, description="place x"),
                 y=ipywidgets.FloatSlider(value=0.5, min=0, max=1, step=0.05, description="place y"))


def _taps(rgb: np.ndarray, rate: int, size: int, row: int, column: int) -> np.ndarray:
    """The picture inside its padding, and the nine taps."""
    margin = min(rate, size)
    scale = SIDE / (size + 2 * margin)
    canvas, half = Canvas(SIDE, SIDE, GREY), max(scale, 7) / 2
    begin, end = round(margin * scale), round((margin + size) * scale)
    canvas.paste(fitted(rgb, end - begin, end - begin, smooth=True), begin, begin)
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            place = np.array([column + j * rate, row + i * rate])
            reads = bool(((place >= 0) & (place < size)).all())
            centre = np.clip((place.clip(-margin, size + margin - 1) + margin + 0.5) * scale, half + 1, SIDE - half - 2)
            canvas.rectangle(*(centre - half), *(centre + half), fill=BLUE if reads else ORANGE, outline="white")
    return canvas.array()


def _curve(size: int, rate: int) -> np.ndarray:
    """Share of valid taps for every rate, the present one marked."""
    canvas = Canvas(SMALL, PLOT)
    left, right, top, bottom = 34, SMALL - 8, 8, PLOT - 20

    def at(r: int, share: float) -> tuple[float, float]:
        return left + (right - left) * (r - 1) / (RATE_MAX - 1), bottom - (bottom - top) * share

    for share, name in ((1, "100 %"), (1 / 9, "11 %")):
        canvas.line([at(1, share), at(RATE_MAX, share)], fill=GREY)
        canvas.text(left - 4, at(1, share)[1], name, size=11, anchor="rm")
    canvas.line([at(r, valid_tap_share(size, size, r)) for r in range(1, RATE_MAX + 1)], fill=BLUE, width=2)
    cx, cy = at(rate, valid_tap_share(size, size, rate))
    canvas.ellipse(cx - 5, cy - 5, cx + 5, cy + 5, fill=ORANGE, outline="white")
    for r in (1, 10, 20, 30, 40):
        canvas.text(at(r, 0)[0], bottom + 4, str(r), size=11, anchor="mt")
    return canvas.array()
