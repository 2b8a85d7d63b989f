"""Anchor explorer: which objects the anchors of one feature map reach, and what suppression leaves of the proposals."""

from typing import Any

import ipywidgets
import numpy as np
import torch
from torch import Tensor

from seglab.data import Sample
from seglab.ops import base_anchors, box_iou, decode_boxes, encode_boxes, grid_anchors, nms
from seglab.viz import CORRECT, FALSE, LABEL_COLORS, MISSED, to_rgb
from seglab.widgets.drawing import Canvas, beside, enlarge, titled
from seglab.widgets.panel import Panel

RATIOS = {"1": (1.0,), "1/2, 1, 2": (0.5, 1.0, 2.0), "1/3, 1/2, 1, 2, 3": (1 / 3, 0.5, 1.0, 2.0, 3.0)}
SIZES = {"one": (1.0,), "three": (1 / 1.7, 1.0, 1.7)}
STRIDES = (4, 8, 16, 32)
SIDE = 384                                                   # px of one picture on the page, about
CANDIDATES, SHOWN = 200, 20
YELLOW = tuple(map(int, LABEL_COLORS[4]))


def anchor_picture(sample: Sample, sizes: str, size: float, ratios: str, stride: int, iou: float,
                   nms_threshold: float) -> np.ndarray:
    """Objects with their best anchors, and the proposals that suppression leaves, side by side.

    Parameters
    ----------
    sample : Sample
        With an image (C, H, W) and boxes (N, 4), N >= 1.
    sizes : {"one", "three"}
        Anchors of `size` only, or of size / 1.7 and size * 1.7 as well.
    size : float
        Square root of the (middle) anchor's area, px, > 0.
    ratios : str
        A key of `RATIOS`, heights / widths.
    stride : int
        Distance of the cells, px, >= 1.
    iou : float
        0..1: what counts as reached (left) and as found (right).
    nms_threshold : float
        0..1.

    Returns
    -------
    ndarray (h, w, 3), uint8
        The same size for every state.

    Raises
    ------
    ValueError
        A sample without boxes, an unknown choice, a threshold outside 0..1.

    Notes
    -----
    The proposals are simulated, not learned: each anchor goes two thirds of the way to the object it overlaps most,
    with a little noise, and its score is the IoU that it reaches, with noise. The best 200 are suppressed, the best 20
    of the rest shown.
    """
    for name, value, known in (("sizes", sizes, SIZES), ("ratios", ratios, RATIOS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    for name, value in (("iou", iou), ("nms_threshold", nms_threshold)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in 0..1, got {value}")
    if sample.boxes is None or not len(sample.boxes):
        raise ValueError("sample must have at least one box, got none")
    if stride < 1:
        raise ValueError(f"stride must be >= 1 px, got {stride}")
    truth, (height, width) = sample.boxes, sample.image.shape[-2:]
    base = base_anchors([size * factor for factor in SIZES[sizes]], RATIOS[ratios])
    anchors = grid_anchors((-(-height // stride), -(-width // stride)), (stride, stride), base)
    overlaps = box_iou(truth, anchors)
    best, index = overlaps.max(dim=1)
    scale = max(1, round(SIDE / max(height, width)))
    left = _Scene(sample.image, scale)
    for y in range(0, height * scale, stride * scale):
        for x in range(0, width * scale, stride * scale):
            left.rectangle(x, y, x, y, fill=YELLOW)
    for box, anchor, value in zip(truth, anchors[index], best, strict=True):
        left.box(box, "white", 2)
        left.box(anchor, CORRECT if value >= iou else MISSED, 2)
    reached = int((best >= iou).sum())

    proposals, scores = _proposals(anchors, truth, overlaps)
    kept = nms(proposals, scores, nms_threshold)
    shown = proposals[kept[:SHOWN]]
    hits = box_iou(truth, shown) >= iou
    right = _Scene(sample.image, scale)
    for box in truth:
        right.box(box, "white", 2)
    for box, hit in zip(shown, hits.any(0), strict=True):
        right.box(box, CORRECT if hit else FALSE, 2)
    found = int(hits.any(1).sum())
    again = int(hits.any(0).sum()) - found
    return beside(
        titled(left.array(), f"{len(anchors):,} anchors; {reached} of {len(truth)} objects reached"),
        titled(right.array(), f"{len(scores)} boxes, {len(kept)} kept, {len(shown)} shown: {found} of {len(truth)} "
                              f"found, {max(again, 0)} duplicates"))


def anchor_explorer(sample: Sample) -> Panel:
    """Controls for anchors and suppression above `anchor_picture(sample, ...)`; notebook 12.

    Parameters
    ----------
    sample : Sample
        With boxes; up to about 192 px a side it repaints in well under 150 ms.

    Returns
    -------
    Panel
    """
    def draw(**state: Any) -> np.ndarray:
        return anchor_picture(sample, **state)

    def slider(description: str, value: float, low: float, high: float, step: float) -> ipywidgets.FloatSlider:
        return ipywidgets.FloatSlider(value=value, min=low, max=high, step=step, description=description)

    def menu(description: str, value: Any, options: Any) -> ipywidgets.Dropdown:
        return ipywidgets.Dropdown(options=list(options), value=value, description=description)

    return Panel(draw, width=800,
                 sizes=menu("sizes", "three", SIZES),
                 size=ipywidgets.IntSlider(value=24, min=6, max=64, description="size (px)"),
                 ratios=menu("ratios h/w", "1/2, 1, 2", RATIOS),
                 stride=menu("stride (px)", 8, STRIDES),
                 iou=slider("IoU ≥", 0.5, 0.1, 0.95, 0.05),
                 nms_threshold=slider("NMS above", 0.5, 0.0, 1.0, 0.05))


def _proposals(anchors: Tensor, truth: Tensor, overlaps: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (K, 4) and scores (K,) of a simulated network, K <= 200; the same at every call."""
    generator = torch.Generator().manual_seed(0)
    best, index = overlaps.max(dim=0)
    step = torch.where(best[:, None] > 0, encode_boxes(truth[index], anchors), torch.zeros(len(anchors), 4))
    noise = torch.randn(len(anchors), 5, generator=generator)
    boxes = decode_boxes(0.67 * step + 0.06 * noise[:, :4], anchors)
    scores = (box_iou(boxes, truth).max(dim=1)[0] + 0.1 * noise[:, 4]).clamp(0, 1)
    top = scores.sort(descending=True, stable=True)[1][:CANDIDATES]
    return boxes[top], scores[top]


class _Scene(Canvas):
    """An image, enlarged, on which boxes in image px are drawn."""

    def __init__(self, image: Tensor, scale: int) -> None:
        rgb = to_rgb(image) // 4 * 3                                       # darker, so that the lines stand out
        super().__init__(scale * rgb.shape[1], scale * rgb.shape[0])
        self.scale = scale
        self.paste(enlarge(rgb, scale), 0, 0)

    def box(self, box: Tensor, colour: str | tuple[int, int, int], width: int) -> None:
        x1, y1, x2, y2 = (box * self.scale).tolist()
        self.rectangle(x1, y1, max(x2 - 1, x1), max(y2 - 1, y1), outline=colour, width=width)
