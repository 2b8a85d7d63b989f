"""Decoder explorer: what an outline looks like that has to pass through a grid of every s-th pixel, and is enlarged."""

from typing import Any

import ipywidgets
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional as F

from seglab.inputs import to_numpy
from seglab.metrics import iou, trimap_iou
from seglab.viz import CORRECT, FALSE, MISSED, overlay, to_rgb
from seglab.widgets.drawing import beside, fitted, titled
from seglab.widgets.panel import Panel

STRIDES = (2, 4, 8, 16, 32)
SAMPLING = ("cell means", "every s-th pixel")
SIDE, BAND_MAX = 320, 16


def trimap_band(labels: Any, width: int) -> np.ndarray:
    """Pixels within ``width`` px of a boundary, ``(H, W)`` bool; width 1 keeps the two rows along it."""
    labels = to_numpy(labels)
    edge = np.zeros(labels.shape, bool)
    edge[1:] |= labels[1:] != labels[:-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    return distance_transform_edt(~edge) <= width - 1 if edge.any() else edge


def through_grid(labels: Any, stride: int, sampling: str = "cell means") -> np.ndarray:
    """Labels ``(H, W)`` of the classes 0, 1, ... as a network could say them at best in logits of one stride.

    Parameters
    ----------
    labels : array or tensor (H, W), integer
    stride : int
        Px between two values of the grid.
    sampling : {"cell means", "every s-th pixel"}
        Each value holds the share of every class in its cell, or the class of the cell's first pixel, which is where
        strided convolutions stand. Both are enlarged bilinearly as cells (`align_corners=False`): the second is then
        displaced by (stride - 1) / 2 px.

    Returns
    -------
    ndarray (H, W), int64
    """
    target = torch.from_numpy(to_numpy(labels).astype(np.int64))
    one_hot = F.one_hot(target).permute(2, 0, 1)[None].float()
    if sampling == "cell means":
        coarse = F.avg_pool2d(one_hot, stride, ceil_mode=True)
    else:
        coarse = one_hot[..., ::stride, ::stride]
    size = [stride * side for side in coarse.shape[-2:]]
    fine = F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    return fine[0, :, :target.shape[0], :target.shape[1]].argmax(0).numpy()


def decoder_picture(image: Any, labels: Any, stride: int, band: int, sampling: str = "cell means") -> np.ndarray:
    """The band around the true outlines; the labels through a grid of ``stride``, right and wrong inside the band.

    Parameters
    ----------
    image : array or tensor, as `seglab.viz.to_rgb` takes it
    labels : array or tensor (H, W), integer
        0 background, 1 and up objects' classes; no void.
    stride : int
        2, 4 (DeepLab v3+'s decoder), 8, 16 (the naive decoder) or 32 px.
    band : int
        Width of the trimap band, 1 ... 16 px.
    sampling : str
        As for `through_grid`.

    Returns
    -------
    ndarray (h, w, 3), uint8
        The same size for every state.

    Raises
    ------
    ValueError
        For a stride, band or sampling that the controls do not offer, or labels of another size than the image.
    """
    for name, value, allowed in (("stride", stride, STRIDES), ("band", band, range(1, BAND_MAX + 1)),
                                 ("sampling", sampling, SAMPLING)):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {tuple(allowed)}, got {value!r}")
    truth, near = to_numpy(labels).astype(np.int64), trimap_band(labels, band)
    predicted = through_grid(labels, stride, sampling)
    classes = max(2, int(truth.max()) + 1)
    inside = float(np.nanmean(trimap_iou(truth, predicted, band, classes))) if near.any() else 1.0
    everywhere = float(np.nanmean(iou(truth, predicted, classes)))
    scene = overlay(image, truth, alpha=0.0)
    scene = np.where(near[..., None], scene, scene // 3)
    errors = np.where(near[..., None], to_rgb(image) // 3, to_rgb(image) // 6)
    wrong = near & (predicted != truth)
    for where, colour in ((near & ~wrong & (truth > 0), CORRECT), (wrong & (truth > 0), MISSED),
                          (wrong & (truth == 0), FALSE)):
        errors[where] = colour
    return beside(
        titled(fitted(overlay(image, predicted, alpha=0.35), SIDE), f"labels through a grid of {stride} px"),
        titled(fitted(scene, SIDE), f"the band within {band} px: {100 * near.mean():.0f} % of the picture"),
        titled(fitted(errors, SIDE), f"mean IoU {100 * inside:.1f} in the band, {100 * everywhere:.1f} overall"))


def decoder_explorer(image: Any, labels: Any) -> Panel:
    """Controls stride, band and sampling above `decoder_picture(image, labels, ...)`; notebook 11.

    Parameters
    ----------
    image, labels
        As for `decoder_picture`; up to about 160 px a side it repaints in well under 150 ms.

    Returns
    -------
    Panel
    """
    def draw(stride: int, band: int, sampling: str) -> np.ndarray:
        return decoder_picture(image, labels, stride, band, sampling)

    return Panel(draw, width=900,
                 stride=ipywidgets.SelectionSlider(options=STRIDES, value=16, description="stride"),
                 band=ipywidgets.IntSlider(value=4, min=1, max=BAND_MAX, description="band"),
                 sampling=ipywidgets.Dropdown(options=SAMPLING, description="sampling"))
