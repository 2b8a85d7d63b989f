"""Pictures in one style: images with label overlays, maps with a scale, feature grids, curves and error maps.

A label keeps its colour through the whole course, and each colour its role (``seglab.viz.palette``); titles say the
finding, axes the unit. Every function draws on axes that it is given or makes a row of its own, and the arrays it shows
come from pure functions (``overlay``, ``error_map``, ``feature_grid``) that can be tested without a figure.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patheffects import AbstractPathEffect, Normal, Stroke
from matplotlib_inline.config import InlineBackend
from scipy.ndimage import binary_dilation
from skimage.segmentation import find_boundaries

from seglab.inputs import IGNORE, refuse_255, to_numpy
from seglab.viz.palette import (
    BACKGROUND,
    CORRECT,
    FALSE,
    LABEL_COLORS,
    MISSED,
    OBJECT,
    PREDICTION,
    TRUTH,
    VOID,
)

__all__ = ["BACKGROUND", "CORRECT", "FALSE", "LABEL_COLORS", "MISSED", "OBJECT", "PREDICTION", "TRUTH", "VOID",
           "error_map", "feature_grid", "halo", "label_colors", "overlay", "show_map", "show_row", "style",
           "to_rgb", "training_curves"]

SCREEN_DPI = 90     # CSS px an inch: a figure of 10 inches fills a notebook's column, letters of 10 points are 12.5 px
DENSITY = 2         # pixels drawn for each CSS px: sharp on a high-density screen
OVERSHOOT = 10.0    # a picture in 0..1 may pass 1 and is clipped; beyond this it has another scale


def style() -> None:
    """Set the style of the course's figures; call it once in a notebook, in the first cell."""
    dpi = DENSITY * SCREEN_DPI
    plt.rcParams.update({
        "figure.dpi": 72, "savefig.dpi": dpi, "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 9,
        "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9, "legend.frameon": False,
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": False, "image.cmap": "gray",
        "image.interpolation": "nearest", "lines.linewidth": 1.8,
        "axes.prop_cycle": plt.cycler(color=[tuple(c / 255) for c in LABEL_COLORS[[5, 6, 3, 7, 1, 2, 8]]])})
    if shell := get_ipython():  # stored pictures must not change with the version of matplotlib that drew them
        backend = InlineBackend.instance(parent=shell)
        backend.print_figure_kwargs = {"dpi": dpi, "metadata": {"Software": None}, "bbox_inches": "tight"}
        backend.figure_formats = {"retina"}  # stores the size in which the picture is shown, half of its pixels


def to_rgb(image: Any) -> np.ndarray:
    """``(H, W, 3)`` uint8 of a grey ``(H, W)``, ``(1, H, W)`` or colour ``(3, H, W)``, ``(H, W, 3)`` image.

    Floats in 0..1, clipped where they overshoot, NaN black; masks of bools or of 0 and 1; uint8 is taken as it is.

    Raises
    ------
    ValueError
        For another shape, and for values on another scale (0..255 as floats, 16 bit), which would all come out white.
    """
    array = given = to_numpy(image, "image")
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[-1] != 3:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    if array.ndim != 3 or array.shape[-1] != 3:
        raise ValueError(f"image must be (H, W), (1, H, W), (3, H, W) or (H, W, 3), got {given.shape}")
    if array.dtype == np.uint8:
        return array
    whole = array.dtype.kind in "iu"
    array = np.nan_to_num(array.astype(np.float64), posinf=1.0, neginf=0.0)
    if array.size and array.max() > (1.0 if whole else OVERSHOOT):
        raise ValueError(f"image must be floats in 0..1, a mask or uint8, got {given.dtype} up to {array.max():g}; "
                         "divide by the largest value of the scale, 255 for 8 bit")
    return (np.clip(array, 0, 1) * 255).round().astype(np.uint8)


def label_colors(labels: Any, ignore_index: int | None = 255) -> np.ndarray:
    """RGB ``(H, W, 3)`` uint8 of a label map: 0 black, void grey, the others the label colours in turn.

    ``ignore_index`` is the class that means void, None for a map of objects, where 255 is an object like any other; a
    map with ids above 255 can only be one of objects.
    """
    labels = to_numpy(labels, "labels").astype(np.int64)
    colors = LABEL_COLORS[np.where(labels > 0, (labels - 1) % (len(LABEL_COLORS) - 2) + 1, 0)]
    colors[_void(labels, ignore_index)] = VOID
    return colors


def overlay(image: Any, labels: Any, alpha: float = 0.4, outlines: bool = True,
            ignore_index: int | None = 255) -> np.ndarray:
    """The image ``(H, W, 3)`` uint8 with its labels in colour, and a line round each object (of another label).

    Beside the line the background is darkened by a pixel, so that it shows on bright and on striped ground.
    ``ignore_index`` as for :func:`label_colors`.
    """
    rgb, labels = to_rgb(image).astype(np.float64), to_numpy(labels, "labels").astype(np.int64)
    if labels.shape != rgb.shape[:2]:
        raise ValueError(f"labels must have the image's size {rgb.shape[:2]}, got {labels.shape}")
    colors = label_colors(labels, ignore_index).astype(np.float64)
    inside = labels > 0
    rgb[inside] = (1 - alpha) * rgb[inside] + alpha * colors[inside]
    if outlines:
        edge = find_boundaries(labels, mode="inner")
        rgb[edge] = colors[edge]
        rgb[binary_dilation(edge) & ~inside] *= 0.4
    return rgb.round().astype(np.uint8)


def error_map(prediction: Any, truth: Any, ignore_index: int | None = IGNORE) -> np.ndarray:
    """RGB ``(H, W, 3)`` uint8 of a binary prediction: green correct, orange missed, blue false, black background.

    Whatever is > 0 counts as foreground; pixels where the truth is void are grey.

    Raises
    ------
    ValueError
        For two sizes, and for a truth of nothing but 0 and 255 unless ``ignore_index`` is said: is 255 foreground or
        void?
    """
    found, truth = to_numpy(prediction, "prediction") > 0, to_numpy(truth, "truth")
    if found.shape != truth.shape:
        raise ValueError(f"prediction must have the truth's size {truth.shape}, got {found.shape}")
    if np.isin(truth, (0, 255)).all() and ignore_index is not None:
        refuse_255(truth, ignore_index, "truth")
    there = truth > 0
    rgb = np.zeros((*truth.shape, 3), np.uint8)
    for where, color in ((found & there, CORRECT), (~found & there, MISSED), (found & ~there, FALSE),
                         (_void(truth, ignore_index), VOID)):
        rgb[where] = color
    return rgb


def _void(labels: np.ndarray, ignore_index: int | None) -> np.ndarray:
    """Where a map is void; ids above 255 are no classes, so that such a map has none."""
    if ignore_index is None or (labels.size and labels.max() > 255):
        return np.zeros(labels.shape, bool)
    return labels == ignore_index


def halo(width: float = 1.8) -> list[AbstractPathEffect]:
    """A dark edge beside a line or box of this width on a picture: ``axis.plot(..., path_effects=viz.halo())``."""
    return [Stroke(linewidth=width + 2, foreground="black", alpha=0.7), Normal()]


def feature_grid(features: Any, columns: int = 8, gap: int = 1) -> np.ndarray:
    """Feature maps ``(C, H, W)`` as one ``(rows, columns)`` mosaic in 0..1, each channel stretched to its own range."""
    maps = to_numpy(features, "features").astype(np.float64)
    if maps.ndim != 3:
        raise ValueError(f"features must have shape (C, H, W), got {maps.shape}")
    count, height, width = maps.shape
    low = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - low
    maps = (maps - low) / np.where(span > 0, span, 1)
    columns = min(columns, count)
    rows = -(-count // columns)
    grid = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap))
    for k in range(count):
        top, left = k // columns * (height + gap), k % columns * (width + gap)
        grid[top:top + height, left:left + width] = maps[k]
    return grid


def show_row(pictures: Sequence[Any], titles: Sequence[str] | None = None, height: float = 3.0,
             **kwargs: Any) -> list[Axes]:
    """Draw pictures side by side, without ticks, at one height in inches; returns the axes.

    Two-dimensional arrays go through the colour map given by ``cmap``/``vmin``/``vmax`` (grey by default), pictures in
    colour are drawn as they are.
    """
    arrays = [to_rgb(p) if p.ndim == 3 and p.shape[0] != 1 else p.squeeze() for p in map(to_numpy, pictures)]
    if titles is not None and len(titles) != len(arrays):
        raise ValueError(f"titles must be one a picture, got {len(titles)} for {len(arrays)} pictures")
    ratios = [a.shape[1] / a.shape[0] for a in arrays]
    figure, axes = plt.subplots(1, len(arrays), figsize=(height * sum(ratios) + 0.2 * len(arrays), height + 0.35),
                                gridspec_kw={"width_ratios": ratios}, layout="constrained", squeeze=False)
    for k, (axis, array) in enumerate(zip(axes[0], arrays, strict=True)):
        axis.imshow(array, **({} if array.ndim == 3 else kwargs))
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        if titles is not None:
            axis.set_title(titles[k])
    return list(axes[0])


def show_map(axis: Axes, values: Any, title: str, unit: str, cmap: str = "magma", vmin: float | None = None,
             vmax: float | None = None) -> None:
    """Draw one map (a weight map, a distance map) with a colour bar that carries its unit."""
    picture = axis.imshow(to_numpy(values, "values"), cmap=cmap, norm=Normalize(vmin, vmax))
    axis.set(xticks=[], yticks=[], title=title)
    axis.spines[:].set_visible(False)
    axis.figure.colorbar(picture, ax=axis, shrink=0.8, label=unit)


def training_curves(histories: dict[str, Any], value: str | None = None, smooth: int = 10) -> list[Axes]:
    """Loss of each named training history, a moving mean over ``smooth`` steps, and one validation value beside it."""
    figure, axes = plt.subplots(1, 2 if value else 1, figsize=(8.5 if value else 4.5, 2.8), layout="constrained",
                                squeeze=False)
    for name, history in histories.items():
        loss = np.asarray(history.loss, float)
        width = max(1, min(smooth, len(loss)))
        mean = np.convolve(loss, np.ones(width) / width, "valid")
        axes[0, 0].plot(np.arange(width, len(loss) + 1), mean, label=name)
        if value:
            axes[0, 1].plot([v["step"] for v in history.validation], [v[value] for v in history.validation], "o-",
                            markersize=3, label=name)
    axes[0, 0].set(xlabel="step", ylabel=f"training loss (mean of {smooth})", yscale="log")
    if value:
        axes[0, 1].set(xlabel="step", ylabel=f"validation {value}")
    for axis in axes[0]:
        axis.legend()
    return list(axes[0])
