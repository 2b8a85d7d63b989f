"""Imbalance lab: what each loss makes of two overlapping classes, at any share and any threshold."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import ipywidgets
import numpy as np
from scipy.optimize import minimize

from seglab.viz import CORRECT, FALSE, LABEL_COLORS, MISSED
from seglab.widgets.drawing import DENSITY, Canvas, Color, font
from seglab.widgets.panel import Panel

LOSSES = ("BCE", "weighted BCE", "focal", "Dice", "Tversky .3/.7", "CE + Dice")
SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
DISTANCE = 2.5                                               # between the class means, in standard deviations
FEATURE = np.linspace(-5, 7.5, 251)
STEEPEST = 25.0                                              # limit of a in p = sigmoid(a x + b)
PANEL, SMALL = (300, 250), 11                                # px: width and height of one plot, its small letters


def densities(share: float) -> np.ndarray:
    """Share of all pixels that are background, or lesion, with each value of ``FEATURE``: (2, 251)."""
    bells = np.stack([np.exp(-(FEATURE - mean) ** 2 / 2) for mean in (0.0, DISTANCE)])
    return bells / bells.sum(1, keepdims=True) * np.array([[1 - share], [share]])


def loss_and_force(name: str, z: np.ndarray, share: float) -> tuple[float, np.ndarray]:
    """Loss of the whole population at logits z (251,), and its derivative by the logit of each class, (2, 251).

    The force is per unit of pixels: what one pixel with that logit feels, times the number of pixels.
    """
    (w0, w1), p = densities(share), _sigmoid(z)
    log_p, log_q = -np.logaddexp(0, -z), -np.logaddexp(0, z)
    if name in ("BCE", "weighted BCE"):
        heavy = 1 / share - 1 if name == "weighted BCE" else 1.0
        total = heavy * share + 1 - share
        return (-(heavy * w1 @ log_p + w0 @ log_q) / total, np.stack([p, heavy * (p - 1)]) / total)
    if name == "focal":
        value = -(0.25 * w1 @ ((1 - p) ** 2 * log_p) + 0.75 * w0 @ (p**2 * log_q))
        return value, np.stack([0.75 * p**2 * (p - 2 * (1 - p) * log_q),
                                -0.25 * (1 - p) ** 2 * ((1 - p) - 2 * p * log_p)])
    if name == "CE + Dice":
        (a, force_a), (b, force_b) = (loss_and_force(part, z, share) for part in ("BCE", "Dice"))
        return a + b, force_a + force_b
    alpha, beta = {"Dice": (0.5, 0.5), "Tversky .3/.7": (0.3, 0.7)}[name]
    tp, fp = w1 @ p, w0 @ p
    below = tp + alpha * fp + beta * (share - tp)
    slope = p * (1 - p) / below**2
    return 1 - tp / below, np.stack([slope * tp * alpha, -slope * (below - tp * (1 - beta))])


@lru_cache(maxsize=256)
def fitted(name: str, share: float) -> tuple[float, float]:
    """Slope a and offset b of p = sigmoid(a x + b) that minimise the loss over the whole population.

    Raises
    ------
    ValueError
        For a loss that is not one of ``LOSSES`` or a share not strictly between 0 and 1.
    """
    if name not in LOSSES:
        raise ValueError(f"loss must be one of {LOSSES}, got {name!r}")
    if not 0 < share < 1:
        raise ValueError(f"share must be strictly between 0 and 1, got {share!r}")
    weights = densities(share)

    def objective(parameters: np.ndarray) -> tuple[float, np.ndarray]:  # middle and steepness: better scaled than a, b
        a, middle = parameters
        value, force = loss_and_force(name, a * (FEATURE - middle), share)
        pull = (weights * force).sum(0)
        return value, np.array([pull @ (FEATURE - middle), -a * pull.sum()])

    starts = [(DISTANCE, DISTANCE / 2 + np.log(1 / share - 1) / DISTANCE), (6.0, 2.2)]
    bounds = [(0.1, STEEPEST), (-4.0, 7.0)]
    best = min((minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts),
               key=lambda run: run.fun)
    a, middle = best.x
    return float(a), float(-a * middle)


def scores(p: np.ndarray, share: float, threshold: float) -> dict[str, float]:
    """Shares of TP, FP, FN, TN, then Dice, recall, precision and calibration error of p (251,) at a threshold."""
    w0, w1 = densities(share)
    above = p > threshold
    tp, fp, fn, tn = w1[above].sum(), w0[above].sum(), w1[~above].sum(), w0[~above].sum()
    found = tp + fp
    return {"TP": tp, "FP": fp, "FN": fn, "TN": tn, "Dice": 2 * tp / (2 * tp + fp + fn), "recall": tp / (tp + fn),
            "precision": tp / found if found > 0 else 0.0, "ECE": float(np.abs(w1 - p * (w0 + w1)).sum())}


def imbalance_picture(share: float, loss: str, threshold: float) -> np.ndarray:
    """Four plots: p(x) over the two classes, forces, Dice by threshold, and the confusion counts.

    Parameters
    ----------
    share : float strictly between 0 and 1
        Share of lesion pixels.
    loss : str
        One of ``LOSSES``.
    threshold : float in 0..1

    Returns
    -------
    ndarray (1000, 1200, 3), uint8

    Raises
    ------
    ValueError
        For another loss, a share or a threshold outside its range.

    Notes
    -----
    Nothing is sampled: the two parameters of p(x) = sigmoid(a x + b) minimise the loss over the whole population of
    two normal distributions. The steepness a is limited to 25: Dice and Tversky want a step. Notebook 03.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be in 0..1, got {threshold!r}")
    a, b = fitted(loss, share)
    p = _sigmoid(a * FEATURE + b)
    top = np.concatenate([_classes_plot(p, share, loss, threshold), _force_plot(a, b, share, loss)], 1)
    bottom = np.concatenate([_dice_plot(p, share, threshold), _counts_plot(scores(p, share, threshold))], 1)
    return np.concatenate([top, bottom])


def imbalance_lab() -> Panel:
    """Sliders for share and threshold and a menu of losses above ``imbalance_picture``; notebook 03.

    Returns
    -------
    Panel
    """
    wide = {"layout": ipywidgets.Layout(width="420px"), "style": {"description_width": "90px"}}
    return Panel(imbalance_picture, width=PANEL[0] * 2,
                 share=ipywidgets.SelectionSlider(options=[(f"{s:.1%}", s) for s in SHARES], value=0.01,
                                                  description="lesion share", **wide),
                 loss=ipywidgets.Dropdown(options=LOSSES, value="BCE", description="loss", **wide),
                 threshold=ipywidgets.FloatSlider(min=0.01, max=0.99, step=0.01, value=0.5, description="threshold",
                                                  **wide))


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -z))


def _classes_plot(p: np.ndarray, share: float, loss: str, threshold: float) -> np.ndarray:
    plot = _Plot(f"{loss}: p(x), {share:.1%} lesion", "feature x", (-4, 6.5), (0, 1.02),
                 ((-2, 0, 2, 4, 6), (0, 0.5, 1)))
    w0, w1 = densities(share)
    for weights, color in ((w0, FALSE), (w1, MISSED)):       # each class with its own area, or 0.2 % could not be seen
        plot.curve(FEATURE, weights / weights.max() * 0.6, color, 1)
    plot.curve(FEATURE, w1 / (w0 + w1), (170, 170, 170), 3)
    plot.curve(FEATURE, p, (0, 0, 0), 2)
    plot.curve((-4, 6.5), (threshold, threshold), CORRECT, 1)
    plot.legend((("p the net learns", (0, 0, 0)), ("true share at x", (170, 170, 170)), ("background", FALSE),
                 ("lesion", MISSED), ("threshold", CORRECT)))
    return plot.array()


def _force_plot(a: float, b: float, share: float, loss: str) -> np.ndarray:
    """What a pixel feels when the net gives it p; the others sit where the fitted net has them."""
    plot = _Plot("pull on one pixel's logit", "p the net gives it", (0, 1), (-5, 3),
                 ((0, 0.5, 1), (-4, -2, 0, 2)), "10^")
    axis = np.linspace(0.001, 0.999, FEATURE.size)
    force = _force_at(loss, axis, a * FEATURE + b, share)
    for values, color in zip(force, (FALSE, MISSED)):
        plot.curve(axis, np.log10(np.maximum(np.abs(values), 1e-9)).clip(-5, 3), color, 2)
    plot.legend((("background, down", FALSE), ("lesion, up", MISSED)))
    return plot.array()


def _force_at(name: str, probability: np.ndarray, z: np.ndarray, share: float) -> np.ndarray:
    """Derivative by the logit of one background and one lesion pixel at `probability`, the population being at z."""
    if name == "CE + Dice":
        return sum(_force_at(part, probability, z, share) for part in ("BCE", "Dice"))
    if name in ("Dice", "Tversky .3/.7"):                    # the sums of the population, the pixel's own p (1 - p)
        own = _sigmoid(z) * (1 - _sigmoid(z))
        force = loss_and_force(name, z, share)[1]
        k = int(np.argmax(own))
        return force[:, k:k + 1] / own[k] * (probability * (1 - probability))
    return loss_and_force(name, np.log(probability / (1 - probability)), share)[1]


def _dice_plot(p: np.ndarray, share: float, threshold: float) -> np.ndarray:
    plot = _Plot("Dice, recall, precision by threshold", "threshold", (0, 1), (0, 1.02), ((0, 0.5, 1), (0, 0.5, 1)))
    at = np.linspace(0.005, 0.995, 100)
    curves = [scores(p, share, t) for t in at]
    colors = {"recall": tuple(LABEL_COLORS[7]), "precision": tuple(LABEL_COLORS[5]), "Dice": (0, 0, 0)}
    for name, color in colors.items():
        plot.curve(at, [c[name] for c in curves], color, 2)
    plot.curve((threshold, threshold), (0, 1.02), CORRECT, 1)
    best = max(range(100), key=lambda k: curves[k]["Dice"])
    plot.legend((*colors.items(), (f"best Dice {curves[best]['Dice']:.2f} at {at[best]:.2f}", (0, 0, 0))), low=True)
    return plot.array()


def _counts_plot(result: dict[str, float]) -> np.ndarray:
    canvas = Canvas(*PANEL)
    canvas.text(20, 4, "of 10,000 pixels (bars logarithmic)")
    names = {"TP": ("lesion, found", CORRECT), "FN": ("lesion, missed", MISSED), "FP": ("false alarm", FALSE),
             "TN": ("background", (190, 190, 190))}
    for row, (key, (name, color)) in enumerate(names.items()):
        top, count = 28 + 26 * row, 1e4 * result[key]
        canvas.text(20, top + 2, name, size=12)
        length = 110 * np.log10(1 + count) / 4
        canvas.rectangle(110, top, 110 + length, top + 17, fill=color)
        canvas.text(114 + length, top + 2, f"{count:,.1f}" if count < 100 else f"{count:,.0f}", size=12)
    for row, key in enumerate(("Dice", "recall", "precision", "ECE")):
        top = 146 + 22 * row
        canvas.text(20, top, "calibration error" if key == "ECE" else key, size=12)
        canvas.text(130, top, f"{result[key]:.4f}" if key == "ECE" else f"{result[key]:.3f}", size=12)
    return canvas.array()


class _Plot(Canvas):
    """A line plot."""

    def __init__(self, title: str, xlabel: str, xlim: tuple[float, float], ylim: tuple[float, float],
                 ticks: tuple[Sequence[float], Sequence[float]], power: str = "") -> None:
        super().__init__(*PANEL)
        self.xlim, self.ylim, self.box = xlim, ylim, (34, 24, PANEL[0] - 12, PANEL[1] - 34)
        left, top, right, bottom = self.box
        self.line(((left, top), (left, bottom), (right, bottom)), fill=(120, 120, 120))
        self.text(left, 4, title)
        self.text((left + right) / 2, PANEL[1] - 11, xlabel, size=SMALL, anchor="mm")
        for x in ticks[0]:
            self.text(self.at(x, ylim[0])[0], bottom + 9, f"{x:g}", size=SMALL, anchor="mm")
        for y in ticks[1]:
            self.text(left - 4, self.at(xlim[0], y)[1], f"{power}{y:g}", size=SMALL, anchor="rm")

    def at(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box
        return (left + (x - self.xlim[0]) / (self.xlim[1] - self.xlim[0]) * (right - left),
                bottom - (y - self.ylim[0]) / (self.ylim[1] - self.ylim[0]) * (bottom - top))

    def curve(self, x: Sequence[float], y: Sequence[float], color: Sequence[int], width: int) -> None:
        x, y = np.asarray(x, float), np.asarray(y, float)
        inside = (x >= self.xlim[0]) & (x <= self.xlim[1])
        points = np.stack(self.at(x[inside], y[inside]), 1)
        self.line([tuple(point) for point in points], fill=tuple(int(c) for c in color), width=width)

    def legend(self, entries: Iterable[tuple[str, Color]], low: bool = False) -> None:
        entries = list(entries)
        top = self.box[3] - 13 * len(entries) - 2 if low else self.box[1] + 2
        for row, (name, color) in enumerate(entries):
            x, y = self.box[0] + (70 if low else 6), top + 13 * row
            x0, y0, x1, y1 = (v / DENSITY for v in font(SMALL).getbbox(name))
            self.rectangle(x + x0, y + y0, x + x1, y + y1, fill="white")
            self.text(x, y, name, size=SMALL, fill=tuple(int(c) for c in color))
