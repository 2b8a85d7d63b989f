"""Anchor explorer: which objects the anchors of one feature map reach, and what suppression leaves of the proposals."""
import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from seglab.ops import base_anchors, box_iou, decode_boxes, encode_boxes, grid_anchors, nms
from seglab.viz import CORRECT, FALSE, MISSED, to_rgb
from seglab.widgets.panel import Panel

RATIOS = {"1": (1.0,), "1/2, 1, 2": (0.5, 1.0, 2.0), "1/3, 1/2, 1, 2, 3": (1 / 3, 0.5, 1.0, 2.0, 3.0)}
SIZES = {"one": (1.0,), "three": (1 / 1.7, 1.0, 1.7)}
STRIDES = (4, 8, 16, 32)
SIDE = 384                                                   # px of one picture on the page, about
CANDIDATES, SHOWN = 200, 20


def anchor_picture(sample, sizes, size, ratios, stride, iou, nms_threshold):
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
    left = _Canvas(sample.image, scale)
    left.dots(torch.arange(0, width, stride), torch.arange(0, height, stride))
    for box, anchor, value in zip(truth, anchors[index], best, strict=True):
        left.box(box, "white", 2)
        left.box(anchor, CORRECT if value >= iou else MISSED, 2)
    reached = int((best >= iou).sum())

    proposals, scores = _proposals(anchors, truth, overlaps)
    kept = nms(proposals, scores, nms_threshold)
    shown = proposals[kept[:SHOWN]]
    hits = box_iou(truth, shown) >= iou
    right = _Canvas(sample.image, scale)
    for box in truth:
        right.box(box, "white", 2)
    for box, hit in zip(shown, hits.any(0), strict=True):
        right.box(box, CORRECT if hit else FALSE, 2)
    found = int(hits.any(1).sum())
    again = int(hits.any(0).sum()) - found
    pictures = [left.titled(f"{len(anchors):,} anchors; {reached} of {len(truth)} objects reached"),
                right.titled(f"{len(scores)} boxes, {len(kept)} kept, {len(shown)} shown: {found} of {len(truth)} "
                             f"found, {max(again, 0)} duplicates")]
    gutter = np.full((pictures[0].shape[0], 8, 3), 255, np.uint8)
    return np.concatenate([pictures[0], gutter, pictures[1]], axis=1)


def anchor_explorer(sample):
    """Controls for anchors and suppression above `anchor_picture(sample, ...)`; notebook 12.

    Parameters
    ----------
    sample : Sample
        With boxes; up to about 192 px a side it repaints in well under 150 ms.

    Returns
    -------
    Panel
    """
    def draw(**state):
        return anchor_picture(sample, **state)

    def slider(description, value, low, high, step):
        return ipywidgets.FloatSlider(value=value, min=low, max=high, step=step, description=description)

    def menu(description, value, options):
        return ipywidgets.Dropdown(options=list(options), value=value, description=description)

    return Panel(draw, width=800,
                 sizes=menu("sizes", "three", SIZES),
                 size=ipywidgets.IntSlider(value=24, min=6, max=64, description="size (px)"),
                 ratios=menu("ratios h/w", "1/2, 1, 2", RATIOS),
                 stride=menu("stride (px)", 8, STRIDES),
                 iou=slider("IoU ≥", 0.5, 0.1, 0.95, 0.05),
                 nms_threshold=slider("NMS above", 0.5, 0.0, 1.0, 0.05))


def _proposals(anchors, truth, overlaps):
    """Boxes (K, 4) and scores (K,) of a simulated network, K <= 200; the same at every call."""
    generator = torch.Generator().manual_seed(0)
    best, index = overlaps.max(dim=0)
    step = torch.where(best[:, None] > 0, encode_boxes(truth[index], anchors), torch.zeros(len(anchors), 4))
    noise = torch.randn(len(anchors), 5, generator=generator)
    boxes = decode_boxes(0.67 * step + 0.06 * noise[:, :4], anchors)
    scores = (box_iou(boxes, truth).max(dim=1)[0] + 0.1 * noise[:, 4]).clamp(0, 1)
    top = scores.sort(descending=True, stable=True)[1][:CANDIDATES]
    return boxes[top], scores[top]


class _Canvas:
    """An image, enlarged, on which boxes in image px are drawn."""

    def __init__(self, image, scale):
        rgb = to_rgb(image) // 4 * 3                                       # darker, so that the lines stand out
        self.scale = scale
        self.picture = Image.fromarray(rgb.repeat(scale, axis=0).repeat(scale, axis=1))
        self.pen = ImageDraw.Draw(self.picture)

    def box(self, box, colour, width):
        x1, y1, x2, y2 = (box * self.scale).tolist()
        self.pen.rectangle([x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)], outline=colour, width=width)

    def dots(self, columns, rows):
        for y in (rows * self.scale).tolist():
            for x in (columns * self.scale).tolist():
                self.pen.point((x, y), fill=(240, 228, 66))

    def titled(self, text, height=22):
        canvas = Image.new("RGB", (self.picture.width, self.picture.height + height), "white")
        canvas.paste(self.picture, (0, height))
        ImageDraw.Draw(canvas).text((2, 3), text, fill="black", font=ImageFont.load_default(13))
        return np.asarray(canvas)
