"""Metric-damage lab: break a perfect segmentation in one way, and see which metric notices."""

from typing import Any

import ipywidgets
import numpy as np
from scipy import ndimage

from seglab.inputs import to_numpy
from seglab.metrics import (
    COCOEvaluator,
    boundary_f1,
    dice,
    information_score,
    iou,
    mean_of_present,
    object_f1,
    panoptic_quality,
    pixel_error,
    rand_error,
    trimap_iou,
    warping_error,
)
from seglab.viz import error_map, label_colors
from seglab.widgets.drawing import LINE, Canvas, beside, enlarge, titled
from seglab.widgets.panel import Panel

DAMAGES = ("missed objects", "merges", "splits", "holes", "class swaps", "shift", "thicker borders")
SQUARE = np.ones((3, 3), dtype=bool)
SIDE = 384                                                   # px of one picture on the page, about
SMALLEST = 1e-5                                              # left end of the bars


def damage(labels: np.ndarray, classes: np.ndarray, kind: str, amount: int) -> tuple[np.ndarray, np.ndarray]:
    """A prediction that is right but for `amount` errors of one kind.

    Parameters
    ----------
    labels : (H, W) integer array, 0 = background
        Objects of one connected component each, at least one background pixel apart.
    classes : (N + 1,) integer array
        Class, 1 or 2, of each id 0..N; of background 0.
    kind : str
        One of ``DAMAGES``. "shift" and "thicker borders" touch all objects, merges the first `amount` of
        ``close_pairs``, the others the `amount` largest objects.
    amount : int >= 0
        Objects, or px.

    Returns
    -------
    labels, classes
        New arrays; ids made by splits are appended.

    Raises
    ------
    ValueError
        For another kind or a negative amount.
    """
    if kind not in DAMAGES:
        raise ValueError(f"kind must be one of {DAMAGES}, got {kind!r}")
    if amount < 0:
        raise ValueError(f"amount must be >= 0, got {amount}")
    labels, classes = labels.copy(), np.array(classes)
    objects = 1 + np.argsort(-np.bincount(labels.ravel())[1:], kind="stable")
    if kind == "missed objects":
        labels[np.isin(labels, objects[:amount])] = 0
    elif kind == "merges":
        for a, b in close_pairs(labels)[:amount]:
            both = np.isin(labels, (a, b))
            labels[both | ndimage.binary_closing(both, SQUARE) & (labels == 0)] = a
    elif kind == "splits":
        for k in objects[:amount]:
            inside = labels == k
            columns = np.arange(labels.shape[1])
            middle = int(columns[inside.any(0)].mean())
            labels[inside & (columns > middle)] = len(classes)
            labels[inside & (columns == middle)] = 0
            classes = np.append(classes, classes[k])
    elif kind == "holes":
        for k in objects[:amount]:
            y, x = np.argwhere(labels == k).mean(0).round().astype(int)
            labels[max(y - 1, 0):y + 2, max(x - 1, 0):x + 2] = 0
    elif kind == "class swaps":
        classes[objects[:amount]] = 3 - classes[objects[:amount]]
    elif kind == "shift":
        labels = np.pad(labels, ((0, 0), (amount, 0)))[:, :labels.shape[1]]
    else:
        for _ in range(amount):
            labels[ndimage.minimum_filter(labels, 3) != ndimage.maximum_filter(labels, 3)] = 0
    return labels, classes


def close_pairs(labels: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (a, b) of ids with at most 1 px between them, a < b, each object in one pair at most."""
    pairs, used = [], set()
    for a in np.unique(labels[labels > 0]):
        near = labels[ndimage.binary_dilation(labels == a, SQUARE, iterations=2)]
        for b in np.unique(near[near > a]):
            if a not in used and b not in used:
                pairs.append((int(a), int(b)))
                used |= {a, b}
    return pairs


def errors(labels_true: np.ndarray, classes_true: np.ndarray, labels: np.ndarray, classes: np.ndarray
           ) -> dict[str, float]:
    """Each metric as an error, 0 = perfect: dict of str to float in 0..1."""
    true, pred = classes_true[labels_true], classes[labels]
    count = int(max(classes_true.max(), classes.max())) + 1
    coco = COCOEvaluator("segm")
    ids, found = (m[m > 0] for m in map(np.unique, (labels_true, labels)))
    coco.update({"instances": labels_true, "classes": classes_true[ids]},
                {"instances": labels, "classes": classes[found], "scores": np.ones(len(found))})
    panoptic = (np.stack(pair, -1).astype(np.int64) for pair in ((true, labels_true), (pred, labels)))
    scores = {"mean IoU": mean_of_present(iou(true, pred, num_classes=count)), "Dice": dice(true > 0, pred > 0),
              "boundary F1": boundary_f1(true > 0, pred > 0), "trimap IoU": trimap_iou(true > 0, pred > 0, radius=3),
              "V-info": information_score(labels_true, labels), "object F1": object_f1(labels_true, labels).f1,
              "AP": max(coco.compute()["AP"], 0.0), "PQ": panoptic_quality(*panoptic, set(range(1, count)), {0}).pq}
    table = {"pixel error": pixel_error(true, pred), "Rand error": rand_error(labels_true, labels),
             "warping error": warping_error(true > 0, pred > 0)} | {f"1 - {k}": 1 - v for k, v in scores.items()}
    order = ("pixel error", "1 - mean IoU", "1 - Dice", "1 - boundary F1", "1 - trimap IoU", "Rand error", "1 - V-info",
             "warping error", "1 - object F1", "1 - AP", "1 - PQ")
    return {name: max(float(table[name]), 0.0) for name in order}


def metric_damage_picture(labels: Any, classes: Any, kind: str, amount: int) -> np.ndarray:
    """Damaged objects, where they differ from the truth, and a bar for the error that each metric sees.

    Parameters
    ----------
    labels, classes, kind, amount
        As :func:`damage`; arrays or tensors.

    Returns
    -------
    ndarray (h, w, 3), uint8
        The same size for every damage. Bars run from 0.00001 to 1 on a logarithmic scale; what a metric does not
        notice has no bar.
    """
    true, classes_true = to_numpy(labels), to_numpy(classes)
    pred, found = damage(true, classes_true, kind, amount)
    scale = max(1, round(SIDE / true.shape[0]))
    wrong = error_map(pred > 0, true > 0)
    wrong[(found[pred] != classes_true[true]) & (pred > 0) & (true > 0)] = (255, 255, 255)
    colours = label_colors(np.where(pred > 0, pred % 7 + 1, 0))                # neighbours in different colours
    titles = (f"prediction, {kind}: {amount}", "green right, orange missed, blue false, white class")
    pictures = [titled(enlarge(rgb, scale), title) for rgb, title in zip((colours, wrong), titles)]
    bars = _bars(errors(true, classes_true, pred, found), scale * true.shape[0] + 5 + LINE)
    return beside(*pictures, bars)


def metric_damage_lab(labels: Any, classes: Any) -> Panel:
    """A menu of damages and their amount above ``metric_damage_picture(labels, classes, ...)``; notebook 01.

    Parameters
    ----------
    labels, classes
        As :func:`damage`. At 128 x 128 px it repaints in about 50 ms.

    Returns
    -------
    Panel
    """
    return Panel(lambda kind, amount: metric_damage_picture(labels, classes, kind, amount), width=940,
                 kind=ipywidgets.Dropdown(options=DAMAGES, value="merges", description="damage"),
                 amount=ipywidgets.IntSlider(value=1, min=0, max=5, description="amount"))


def _bars(values: dict[str, float], height: int, width: int = 330, left: int = 130) -> np.ndarray:
    canvas = Canvas(width, height)
    canvas.text(left, 4, "error that each metric sees", size=12)
    row, decades = (height - 46) / len(values), -np.log10(SMALLEST)
    at = lambda value: left + (width - left - 45) * (np.log10(max(value, SMALLEST)) / decades + 1)
    for k in range(int(decades) + 1):
        x = at(SMALLEST * 10**k)
        canvas.line([(x, 24), (x, height - 22)], fill=(210, 210, 210))
        if k % 2:                                                     # every label would touch the next
            canvas.text(x, height - 10, f"{SMALLEST * 10**k:g}", size=12, anchor="mm")
    for k, (name, value) in enumerate(values.items()):
        y = 26 + (k + 0.5) * row
        canvas.text(left - 8, y, name, size=12, anchor="rm")
        if value > SMALLEST:
            canvas.rectangle(left, y - 0.32 * row, at(value), y + 0.32 * row, fill=(0, 114, 178))
        canvas.text(max(at(value), left) + 5, y, f"{value:.2g}" if value else "0", size=12, anchor="lm")
    return canvas.array()
