"""Detection stage viewer: one picture on its way through Mask R-CNN, from pixels to pasted masks (notebook 14)."""

from collections.abc import Iterable
from dataclasses import dataclass

import ipywidgets
import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor

from seglab.data import Sample
from seglab.models.mask_paste import paste_masks
from seglab.models.mask_rcnn import MaskRCNN
from seglab.models.rpn import flatten_predictions
from seglab.modes import evaluating
from seglab.ops.boxes import box_iou, clip_boxes_to_image, decode_boxes
from seglab.ops.matching import match
from seglab.ops.roi_align import roi_align
from seglab.viz import LABEL_COLORS, feature_grid, overlay, to_rgb
from seglab.widgets.drawing import Canvas, fitted
from seglab.widgets.panel import Panel

STAGES = ("image", "features", "anchors matched", "objectness", "proposals", "after NMS", "RoI crops", "class scores",
          "boxes", "masks")
SIDE, CAPTION, GAP = 384, 20, 12                             # px: a pane, a line of text, the gutter
SHOWN = 16                                                   # RoIs and detections that get a picture of their own
GREY = (200, 200, 200)


@dataclass(frozen=True)
class Stages:
    """What a detector computed for one picture, stage by stage. Boxes in px of the picture, best first."""

    image: Tensor               # (C, H, W)
    truth: dict | None          # "boxes" (G, 4), "labels" (G,)
    features: Tensor            # (C', h, w), the finest map
    anchors: list[Tensor]       # (A_i, 4), one a map
    matched: list[Tensor]       # (A_i,): object, -1 background, -2 neither
    objectness: list[Tensor]    # (a, h_i, w_i) probabilities, one a map
    candidates: Tensor          # (P, 4) the best anchors of each map, moved by their offsets
    candidate_scores: Tensor    # (P,)
    proposals: Tensor           # (R, 4) after suppression
    proposal_scores: Tensor     # (R,)
    crops: Tensor               # (R, C, 14, 14): the picture itself, pooled by RoIAlign
    probabilities: Tensor       # (R, K), class 0 = background
    boxes: Tensor               # (D, 4)
    labels: Tensor              # (D,)
    scores: Tensor              # (D,)
    small: Tensor               # (D, m, m) mask probabilities
    masks: Tensor               # (D, H, W) bool
    names: tuple[str, ...]      # K class names


@torch.no_grad()
def record_stages(model: MaskRCNN, image: Tensor, truth: dict | None = None, names: tuple[str, ...] | None = None
                  ) -> Stages:
    """Run a Mask R-CNN step by step on one picture and keep what every step gives.

    Parameters
    ----------
    model : MaskRCNN
        Run in eval mode; its training mode comes back afterwards.
    image : Tensor (C, H, W), 0..1
        Of the size that the model works at: no resizing, no padding.
    truth : dict, optional
        ``"boxes"`` (G, 4) px and ``"labels"`` (G,), for the stage of the matched anchors.
    names : tuple of str, optional
        Names of the K classes, background first.

    Raises
    ------
    ValueError
        If the model would resize or pad this picture: the boxes of the stages would not fit what is shown.
    """
    with evaluating(model):
        return _record(model, image, truth, names)


def _record(model: MaskRCNN, image: Tensor, truth: dict | None, names: tuple[str, ...] | None) -> Stages:
    size = tuple(image.shape[-2:])
    batch = model.transform([image])
    if tuple(batch.images.shape[-2:]) != size or batch.sizes != [size]:
        raise ValueError(f"image must have a size that the model leaves as it is, {size} px becomes "
                         f"{tuple(batch.images.shape[-2:])}")
    rpn, heads = model.rpn, model.roi_heads
    features = model.backbone(batch.images)
    logits, deltas = rpn.head(features)
    anchors = rpn.anchors(features, size)
    flat, moves = flatten_predictions(logits, 1)[..., 0], flatten_predictions(deltas, 4)
    proposals, proposal_scores = (x[0] for x in rpn.filter_proposals(flat, moves, anchors, [size]))
    best = flat[0].sigmoid().sort(descending=True, stable=True)
    best = [x[:rpn.pre_nms_top_n["testing"]] for x in best]
    candidates = clip_boxes_to_image(decode_boxes(moves[0, best[1]], torch.cat(anchors)[best[1]]), size)
    if truth is None:
        matched = [torch.full((len(level),), -1) for level in anchors]
    else:
        joint = match(box_iou(truth["boxes"], torch.cat(anchors)), rpn.fg_iou_thresh, rpn.bg_iou_thresh, True)
        matched = list(joint.split([len(level) for level in anchors]))
    rois = torch.cat([torch.zeros(len(proposals), 1), proposals], dim=1)
    class_logits, _ = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, [proposals], size)))
    found = heads(features, [proposals], size, [size], None)[0]
    names = tuple(names or [str(k) for k in range(class_logits.shape[1])])
    if len(names) != class_logits.shape[1]:
        raise ValueError(f"names must name {class_logits.shape[1]} classes, the background first, got {names}")
    return Stages(image, truth, features[0][0], anchors, matched, [x[0].sigmoid() for x in logits], candidates, best[0],
                  proposals, proposal_scores, roi_align(image[None], rois, 14, sampling_ratio=2),
                  class_logits.softmax(1), found["boxes"], found["labels"], found["scores"], found["masks"][:, 0],
                  paste_masks(found["masks"], found["boxes"], size, 0.5)[:, 0], names)


def stage_picture(stages: Stages, stage: int, threshold: float) -> np.ndarray:
    """One stage as a picture: what happens in the image on the left, the numbers behind it on the right.

    Parameters
    ----------
    stages : Stages
    stage : int
        Index into ``STAGES``.
    threshold : float
        0..1. Proposals and detections below this score are not drawn.

    Returns
    -------
    ndarray (h, w, 3), uint8
        The same size for every stage and threshold.

    Raises
    ------
    ValueError
        For a stage or threshold out of range.
    """
    if not 0 <= stage < len(STAGES):
        raise ValueError(f"stage must be 0..{len(STAGES) - 1}, got {stage}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in 0..1, got {threshold}")
    left, right, left_title, right_title = _DRAW[stage](stages, threshold)
    kept = int((stages.scores >= threshold).sum())
    foot = f"stage {stage}, {STAGES[stage]}; threshold {threshold:.2f} leaves {kept} of {len(stages.scores)} detections"
    canvas = Canvas(2 * SIDE + GAP, SIDE + 2 * CAPTION)
    for pane, title, x in ((left, left_title, 0), (right, right_title, SIDE + GAP)):
        canvas.paste(pane.array(), x, CAPTION)
        canvas.text(x + 2, 3, title)
    canvas.text(2, SIDE + CAPTION + 3, foot)
    return canvas.array()


def detection_stages(model: MaskRCNN, sample: Sample, names: tuple[str, ...] | None = None) -> Panel:
    """Sliders over stage and score threshold for one `Sample` of a set; notebook 14."""
    stages = record_stages(model, sample.image, {"boxes": sample.boxes, "labels": sample.classes}, names)

    def draw(stage: int, threshold: float) -> np.ndarray:
        return stage_picture(stages, stage, threshold)

    return Panel(draw, width=2 * SIDE + GAP,
                 stage=ipywidgets.IntSlider(value=8, min=0, max=len(STAGES) - 1, description="stage"),
                 threshold=ipywidgets.FloatSlider(value=0.5, min=0.05, max=0.95, step=0.05, description="score >="))


# ---------------------------------------------------------------- one function a stage: left, right, two titles

View = tuple[Canvas, Canvas, str, str]


def _image(s: Stages, t: float) -> View:
    left = _pane(s.image)
    if s.truth is None:
        return left, _lines([]), "the picture", ""
    right = _boxes(_pane(s.image), s, s.truth["boxes"], s.truth["labels"], "")
    return left, right, "the picture, 0..1", f"the truth: {len(s.truth['boxes'])} objects"


def _features(s: Stages, t: float) -> View:
    columns = int(np.ceil(np.sqrt(len(s.features))))
    mean = colormaps["magma"](_stretch(s.features.abs().mean(0).numpy()))[..., :3]
    shape = "x".join(map(str, s.features.shape))
    return _pane(mean), _pane(feature_grid(s.features, columns)), "mean size of the features", \
        f"finest map of the pyramid, {shape}, channel by channel"


def _anchors(s: Stages, t: float) -> View:
    pane = _pane(s.image)
    lines = ["stride    cells  anchors  positive  negative  neither", ""]
    for boxes, matched, maps in zip(s.anchors, s.matched, s.objectness, strict=True):
        positive = matched >= 0
        if s.truth is not None:
            _boxes(pane, s, boxes[positive], s.truth["labels"][matched[positive]], None)
        counts = (int(positive.sum()), int((matched == -1).sum()), int((matched == -2).sum()))
        cells = f"{maps.shape[1]}x{maps.shape[2]}"
        stride = s.image.shape[-1] // maps.shape[-1]
        lines.append(f"{stride:>3} px  {cells:>7} {len(boxes):>8} {counts[0]:>9} {counts[1]:>9} {counts[2]:>8}")
    total = sum(int((m >= 0).sum()) for m in s.matched)
    return pane, _lines(lines), f"{total} positive anchors, colour = class of the object", \
        f"{sum(len(a) for a in s.anchors)} anchors on {len(s.anchors)} maps"


def _objectness(s: Stages, t: float) -> View:
    size = s.image.shape[-2:]
    maps = [p.amax(0) for p in s.objectness]
    full = torch.stack([torch.nn.functional.interpolate(m[None, None], size=size)[0, 0] for m in maps])
    heat = colormaps["magma"](full.amax(0).numpy())[..., :3]
    left = _pane(0.35 * to_rgb(s.image) / 255 + 0.65 * heat)
    right, side = Canvas(SIDE, SIDE), (SIDE - GAP) // 2
    for k, m in enumerate(maps[:4]):
        x, y = (k % 2) * (side + GAP), (k // 2) * (side + GAP)
        right.paste(_pane(colormaps["magma"](m.numpy())[..., :3], side - CAPTION).array(), x, y + CAPTION)
        right.text(x, y + 3, f"stride {size[-1] // m.shape[-1]} px, best {float(m.max()):.2f}")
    above = sum(int((p >= t).sum()) for p in s.objectness)
    return left, right, f"best objectness at each place; {above} anchors >= {t:.2f}", "map by map"


def _proposal_stage(s: Stages, t: float, boxes: Tensor, scores: Tensor, what: str) -> View:
    keep = scores >= t
    pane = _boxes(_pane(s.image), s, boxes[keep].flip(0), None, None)
    height, width = s.image.shape[-2:]
    y, x = np.mgrid[:height, :width] + 0.5
    x1, y1, x2, y2 = boxes[keep].numpy().T[..., None, None]
    cover = ((x > x1) & (x < x2) & (y > y1) & (y < y2)).sum(0)
    heat = _pane(colormaps["magma"](cover / max(cover.max(), 1))[..., :3])
    return pane, heat, f"{int(keep.sum())} of {len(boxes)} {what}, score >= {t:.2f}", \
        f"boxes over each pixel, up to {cover.max()}"


def _candidates(s: Stages, t: float) -> View:
    return _proposal_stage(s, t, s.candidates, s.candidate_scores, "moved anchors")


def _suppressed(s: Stages, t: float) -> View:
    return _proposal_stage(s, t, s.proposals, s.proposal_scores, "proposals after NMS")


def _crops(s: Stages, t: float) -> View:
    pane = _boxes(_pane(s.image), s, s.proposals[:SHOWN], None, None, numbered=True)
    return pane, _mosaic([to_rgb(c) for c in s.crops[:SHOWN]], range(len(s.crops))), \
        f"the {min(SHOWN, len(s.proposals))} best of {len(s.proposals)} RoIs", \
        "RoIAlign to 14x14, here of the picture itself"


def _class_scores(s: Stages, t: float) -> View:
    p = s.probabilities[:SHOWN].numpy()
    canvas = Canvas(SIDE, SIDE)
    left, top, count = 34, 20, max(len(p), 1)
    wide, high = (SIDE - left) // p.shape[1], (SIDE - top) // max(count, SHOWN)
    for k, name in enumerate(s.names):
        canvas.text(left + k * wide + 3, 3, name)
    for r, row in enumerate(p):
        canvas.text(2, top + r * high + 3, f"RoI {r}", size=11)
        for k, value in enumerate(row):
            colour = tuple(int(255 * v) for v in colormaps["viridis"](float(value))[:3])
            x, y = left + k * wide, top + r * high
            canvas.rectangle(x, y, x + wide - 2, y + high - 2, fill=colour)
            chosen = k > 0 and value >= t
            canvas.text(x + 4, y + 3, f"{value:.2f}" + (" <" if chosen else ""), size=11,
                        fill="black" if value > 0.6 else "white")
    best = s.probabilities[:SHOWN].argmax(1)
    pane = _boxes(_pane(s.image), s, s.proposals[:SHOWN], best, None, numbered=True)
    above = int((s.probabilities[:, 1:] >= t).sum())
    return pane, canvas, "colour = best class, grey = background", \
        f"class probabilities; {above} of {s.probabilities[:, 1:].numel()} >= {t:.2f} (<)"


def _final_boxes(s: Stages, t: float) -> View:
    keep = s.scores >= t
    pane = _boxes(_pane(s.image), s, s.boxes[keep].flip(0), s.labels[keep].flip(0), None)
    lines = ["class         score    x1    y1    x2    y2", ""]
    for label, score, box in list(zip(s.labels[keep], s.scores[keep], s.boxes[keep], strict=True))[:SHOWN]:
        lines.append(f"{s.names[int(label)]:<12}  {float(score):5.2f}  " + " ".join(f"{v:5.1f}" for v in box.tolist()))
    return pane, _lines(lines), f"{int(keep.sum())} boxes, moved by their class's offsets", "detections (px)"


def _final_masks(s: Stages, t: float) -> View:
    keep = (s.scores >= t).nonzero()[:, 0]
    labels = np.zeros(s.image.shape[-2:], np.int64)
    for d in reversed(keep.tolist()):                        # the best one on top
        labels[s.masks[d].numpy()] = int(s.labels[d])
    small = [colormaps["viridis"](m.numpy())[..., :3] for m in s.small[keep[:SHOWN]]]
    pane = _pane(overlay(s.image, labels))
    return pane, _mosaic(small, range(len(small))), f"{len(keep)} masks, pasted into their boxes", \
        f"the {s.small.shape[-1]}x{s.small.shape[-1]} masks of their classes, 0 dark to 1 bright"


_DRAW = (_image, _features, _anchors, _objectness, _candidates, _suppressed, _crops, _class_scores, _final_boxes,
         _final_masks)


# ---------------------------------------------------------------- drawing

def _stretch(values: np.ndarray) -> np.ndarray:
    span = values.max() - values.min()
    return (values - values.min()) / (span if span > 0 else 1)


def _pane(image: np.ndarray | Tensor, side: int = SIDE) -> Canvas:
    """A square of `side` px with the picture enlarged into its upper left corner."""
    rgb, pane = to_rgb(image), Canvas(side, side)
    scale = side / max(rgb.shape[:2])
    pane.paste(fitted(rgb, rgb.shape[1] * scale, rgb.shape[0] * scale), 0, 0)
    return pane


def _boxes(pane: Canvas, s: Stages, boxes: Tensor, labels: Tensor | None, caption: str | None, numbered: bool = False
           ) -> Canvas:
    """Draw boxes, grey or in the colour of their class, later ones on top; `caption` "" writes the class beside."""
    scale = SIDE / max(s.image.shape[-2:])
    for k, box in enumerate(boxes.tolist()):
        label = 0 if labels is None else int(labels[k])
        colour = tuple(int(c) for c in LABEL_COLORS[label]) if label else GREY
        x1, y1, x2, y2 = (round(v * scale) for v in box)
        x2, y2 = max(x2 - 1, x1), max(y2 - 1, y1)
        pane.rectangle(x1 - 1, y1 - 1, x2 + 1, y2 + 1, outline="black", width=4)   # a dark edge shows on any ground
        pane.rectangle(x1, y1, x2, y2, outline=colour, width=2)
        words = str(k) if numbered else s.names[label] if caption == "" else None
        if words:
            pane.text(x1 + 4, y1 + 2, words, size=12, fill="white", stroke="black")
    return pane


def _mosaic(pictures: Iterable[np.ndarray], numbers: Iterable[int]) -> Canvas:
    """Up to 16 small pictures in a 4 x 4 grid, each with its number."""
    canvas, side = Canvas(SIDE, SIDE), SIDE // 4
    for k, (picture, number) in enumerate(zip(pictures, numbers)):
        x, y = k % 4 * side, k // 4 * side
        canvas.paste(_pane(picture, side - 4).array(), x, y)
        canvas.text(x + 3, y + 2, str(number), size=12, fill="white")
    return canvas


def _lines(lines: Iterable[str]) -> Canvas:
    canvas = Canvas(SIDE, SIDE)
    for k, line in enumerate(lines):
        canvas.text(2, 6 + 20 * k, line, size=11, mono=True)
    return canvas
