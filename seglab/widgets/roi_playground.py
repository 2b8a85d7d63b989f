"""RoIAlign beside RoIPool on one movable box: what is rounded, which cells are read, and what comes out."""
from collections.abc import Sequence
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from seglab.data import Shapes
from seglab.inputs import to_numpy
from seglab.ops import roi_align, roi_pool
from seglab.ops.roi_pool import axis_cells, round_half_away
from seglab.widgets.drawing import DENSITY, Canvas, enlarge, titled
from seglab.widgets.panel import Panel

SIDE = 360                                                   # px of the feature map on the page
TRUE_BOX, ROUNDED, CHOSEN = (255, 255, 255), (230, 159, 0), (86, 180, 233)
LEFT, GUTTER, SMALL = 4, 16, 232


def roi_picture(picture: Any, x: float, y: float, w: float, h: float, bins: int, samples: int, aligned: bool,
                stride: int = 16) -> np.ndarray:
    """RoIPool and RoIAlign of one box on the cell means of a picture, drawn on the cells, and the pooled values.

    Parameters
    ----------
    picture : array or tensor (H, W)
        Grey values in 0..1, H and W whole multiples of the stride.
    x, y, w, h : float
        Left and top edge, width and height of the box, px of the picture; w, h > 0.
    bins : int
        Bins a side, 1 ... 7.
    samples : int
        Samples per bin and axis of RoIAlign, 0 = as many as the bin has cells.
    aligned : bool
        RoIAlign with the half pixel (here right: a cell is the mean of its px) or as in the paper.
    stride : int
        Px per cell.

    Returns
    -------
    ndarray (h, 1488, 3), uint8
        The same size for every state. Above: the cells under RoIPool (true box white, rounded box and its bins
        orange, the largest cell of each bin blue) and under RoIAlign (bins white, samples blue). Below: both results
        beside the exact mean over each bin of the picture itself.

    Raises
    ------
    ValueError
        For a picture of another shape or scale, or controls out of range.
    """
    fine = to_numpy(picture).astype(np.float64)
    if fine.ndim != 2 or fine.size == 0 or fine.shape[0] % stride or fine.shape[1] % stride:
        raise ValueError(f"picture must be (H, W) in whole cells of {stride} px, got {fine.shape}")
    if not (fine.min() >= 0 and fine.max() <= 1):
        raise ValueError(f"picture must hold grey values in 0..1, got {fine.min():g} to {fine.max():g}")
    if not (w > 0 and h > 0 and 1 <= bins <= 7 and samples >= 0):
        raise ValueError(f"w and h must be > 0, bins 1..7, samples >= 0, got {w}, {h}, {bins}, {samples}")
    rows, columns = (n // stride for n in fine.shape)
    cells = torch.from_numpy(fine).reshape(rows, stride, columns, stride).mean((1, 3))
    box = torch.tensor([[0, x, y, x + w, y + h]], dtype=torch.float64)
    pooled = roi_pool(cells[None, None], box, bins, 1 / stride)[0, 0].numpy()
    sampled = roi_align(cells[None, None], box, bins, 1 / stride, samples, aligned)[0, 0].numpy()
    exact = _exact_means(fine, x, y, w, h, bins)
    offset = 0.5 if aligned else 0.0
    above = [titled(_draw_pool(cells.numpy(), box[0, 1:] / stride, bins),
                     "RoIPool: orange = rounded, blue = largest cell"),
             titled(_draw_align(cells.numpy(), box[0, 1:] / stride - offset, bins, samples, aligned),
                     "RoIAlign: nothing is rounded, blue = samples")]
    below = [_values(pooled, f"RoIPool, off by {_error(pooled, exact)}"),
             _values(sampled, f"RoIAlign, off by {_error(sampled, exact)}"),
             _values(exact, "mean of the picture in each bin")]
    return np.concatenate([_row(above), _row(below)])


@cache
def pictures(size: int = 192) -> dict[str, np.ndarray]:
    """What the playground shows: a scene of shapes in grey and a linear ramp, (size, size) in 0..1."""
    scene = Shapes(size=(size, size), radius=(24.0, 50.0), objects=(3, 4), texture=0.3, seed=5)[7].image.mean(0).numpy()
    y, x = np.mgrid[:size, :size] + 0.5
    return {"scene": scene, "ramp": (2 * x + y) / (3 * size)}


def roi_playground(stride: int = 16) -> Panel:
    """Sliders for the box, the bins and the samples above `roi_picture`; notebook 13.

    Parameters
    ----------
    stride : int
        Px per cell: 8, 16 or 32.

    Returns
    -------
    Panel
    """
    if stride not in (8, 16, 32):
        raise ValueError(f"stride must be 8, 16 or 32, got {stride}")

    def slider(description: str, value: int, low: int, high: int) -> ipywidgets.IntSlider:
        return ipywidgets.IntSlider(value=value, min=low, max=high, step=1, description=description)

    def draw(x: int, y: int, w: int, h: int, bins: int, samples: int, pixels: bool, picture: str) -> np.ndarray:
        return roi_picture(pictures()[picture], x, y, w, h, bins, samples, pixels, stride)

    centres = [("centre at i + 1/2 (aligned)", True), ("centre at i (paper)", False)]
    return Panel(draw, width=744, x=slider("x (px)", 65, 0, 150), y=slider("y (px)", 50, 0, 150),
                 w=slider("w (px)", 78, 4, 190), h=slider("h (px)", 108, 4, 190), bins=slider("bins", 3, 1, 7),
                 samples=slider("samples", 2, 0, 4),
                 pixels=ipywidgets.Dropdown(options=centres, value=True, description="cell i"),
                 picture=ipywidgets.Dropdown(options=["scene", "ramp"], value="scene", description="picture"))


def _exact_means(fine: np.ndarray, x: float, y: float, w: float, h: float, bins: int) -> np.ndarray:
    """Mean of the picture over each bin, counting px by the share that lies in it; rim px go on outside."""
    def shares(start: float, side: float, length: int) -> np.ndarray:
        edges = start + side * np.arange(bins + 1) / bins
        low, high = np.arange(length, dtype=float), np.arange(1.0, length + 1)
        low[0], high[-1] = -np.inf, np.inf
        cover = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
        return cover.clip(0) / (side / bins)
    return shares(y, h, fine.shape[0]) @ fine @ shares(x, w, fine.shape[1]).T


def _error(values: np.ndarray, exact: np.ndarray) -> str:
    return f"{np.abs(values - exact).mean():.3f}"


class _Cells(Canvas):
    """The cells of a map in grey under thin lines; ``scale`` px each."""

    def __init__(self, cells: np.ndarray) -> None:
        self.scale = SIDE // max(cells.shape)
        super().__init__(self.scale * cells.shape[1], self.scale * cells.shape[0])
        grey = (cells * 255).round().clip(0, 255).astype(np.uint8)
        rgb = enlarge(np.repeat(grey[..., None], 3, 2) // 3 * 2 + 20, self.scale)
        for k in range(DENSITY):
            rgb[k::DENSITY * self.scale] = rgb[:, k::DENSITY * self.scale] = 70
        self.paste(rgb, 0, 0)

    def dot(self, x: float, y: float, radius: int = 3) -> None:
        self.ellipse(x - radius, y - radius, x + radius, y + radius, fill=CHOSEN)


def _draw_pool(cells: np.ndarray, corners: Tensor, bins: int) -> np.ndarray:
    canvas = _Cells(cells)
    scale = canvas.scale
    x1, y1, x2, y2 = round_half_away(corners).int().tolist()
    rows, columns = (axis_cells(corners[i:i + 1], corners[i + 2:i + 3], bins, length)[0].tolist()
                     for i, length in ((1, cells.shape[0]), (0, cells.shape[1])))
    for top, bottom in map(_on_the_map, rows):
        for left, right in map(_on_the_map, columns):
            if bottom and right:
                canvas.rectangle(left * scale + 1, top * scale + 1, right * scale - 1, bottom * scale - 1,
                                 outline=ROUNDED)
                part = cells[top:bottom, left:right]
                r, c = np.unravel_index(part.argmax(), part.shape)
                canvas.dot((left + c + 0.5) * scale, (top + r + 0.5) * scale)
    wide, tall = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    canvas.rectangle(x1 * scale, y1 * scale, (x1 + wide) * scale, (y1 + tall) * scale, outline=ROUNDED, width=3)
    canvas.rectangle(*(float(v) * scale for v in corners), outline=TRUE_BOX, width=2)
    return canvas.array()


def _on_the_map(bin_cells: list[int]) -> tuple[int, int]:
    """First cell of a bin and one past its last; (0, 0) if none is on the map."""
    found = [c for c in bin_cells if c >= 0]
    return (found[0], found[-1] + 1) if found else (0, 0)


def _draw_align(cells: np.ndarray, corners: Tensor, bins: int, samples: int, aligned: bool) -> np.ndarray:
    """Corners in cell indices: cell i is drawn from i to i + 1, so its centre, index i, lies at i + 1/2."""
    canvas = _Cells(cells)
    x1, y1, x2, y2 = (float(v) for v in corners)
    wide, tall = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
    on_page = lambda v: (v + 0.5) * canvas.scale
    for p in range(bins + 1):
        x, y, width = on_page(x1 + p * wide / bins), on_page(y1 + p * tall / bins), 2 if p in (0, bins) else 1
        canvas.line([(x, on_page(y1)), (x, on_page(y1 + tall))], fill=TRUE_BOX, width=width)
        canvas.line([(on_page(x1), y), (on_page(x1 + wide), y)], fill=TRUE_BOX, width=width)
    places = []
    for start, side in ((x1, wide), (y1, tall)):
        count = bins * (samples or int(np.ceil(side / bins)))
        places.append([on_page(start + (i + 0.5) * side / count) for i in range(count)])
    for x in places[0]:
        for y in places[1]:
            canvas.dot(x, y, 2)
    return canvas.array()


def _values(values: np.ndarray, title: str) -> np.ndarray:
    """A small map of the pooled values, written in where there is room."""
    bins = len(values)
    scale, canvas = SMALL // bins, Canvas(SMALL, SMALL)
    canvas.paste(enlarge((colormaps["magma"](values)[..., :3] * 255).round().astype(np.uint8), scale), 0, 0)
    for (r, c), value in np.ndenumerate(values):
        canvas.text((c + 0.5) * scale, (r + 0.5) * scale, f"{value:.2f}", size=12 if bins < 6 else 10, anchor="mm",
                    fill="white" if value < 0.6 else "black")
    return titled(canvas.array(), title)


def _row(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side on white, of one width for both rows."""
    height, width = max(p.shape[0] for p in pictures) / DENSITY, 2 * SIDE + GUTTER + 2 * LEFT
    canvas, left = Canvas(width, height + 8), LEFT
    for p in pictures:
        canvas.paste(p, left, 0)
        left += p.shape[1] // DENSITY + (GUTTER if len(pictures) == 2 else (width - 2 * LEFT - 3 * SMALL) // 2)
    return canvas.array()
