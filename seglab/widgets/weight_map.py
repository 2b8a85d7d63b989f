"""Weight-map playground: what w0, sigma and the separation border do to the U-Net paper's pixel weights."""
from typing import Any

import ipywidgets
import numpy as np
from matplotlib import colormaps

from seglab.inputs import to_numpy
from seglab.ops import separate_touching, unet_weight_map
from seglab.viz import label_colors
from seglab.widgets.drawing import Canvas, beside, enlarge, fitted, titled
from seglab.widgets.panel import Panel

W0_MAX = 20.0                                                # the colour scale is fixed, so that pictures compare
SIDE = 384                                                   # px of one picture on the page, about


def weight_map_picture(labels: Any, w0: float, sigma: float, gap: int) -> np.ndarray:
    """Labels after the separation border, their weight map, and a colour bar, side by side.

    Parameters
    ----------
    labels : array or tensor (H, W), any integer dtype
        0 background, 1..N instances, which may touch.
    w0 : float
        Height of the border term, 0 ... 20.
    sigma : float
        Width of the border term in px, > 0.
    gap : int
        Background px opened between touching instances first, see `separate_touching`.

    Returns
    -------
    ndarray (h, w, 3), uint8
        The same size for every w0, sigma and gap. Colours run from weight 0 (black) to 21 (white).

    Raises
    ------
    TypeError, ValueError
        As `separate_touching` and `unet_weight_map`; ValueError for w0 > 20, where the colours would saturate.
    """
    if w0 > W0_MAX:
        raise ValueError(f"w0 must be <= {W0_MAX:g} in the playground, got {w0}")
    apart = to_numpy(separate_touching(labels, gap))
    weights = to_numpy(unet_weight_map(apart, w0, sigma))
    scale = max(1, round(SIDE / max(apart.shape)))
    colours = (colormaps["magma"](weights / (1 + W0_MAX))[..., :3] * 255).round().astype(np.uint8)
    extra = (weights - 1).sum() / weights.sum()
    given = int((to_numpy(labels) > 0).sum() - (apart > 0).sum())
    return beside(
        titled(enlarge(label_colors(apart, ignore_index=None), scale), f"labels, {given} px given to the border"),
        titled(enlarge(colours, scale), f"w: {weights.min():.2f} to {weights.max():.2f}; "
                                        f"border term = {100 * extra:.0f} % of all weight"),
        _colour_bar(apart.shape[0] * scale))


def weight_map_playground(labels: Any) -> Panel:
    """Sliders w0, sigma and gap above `weight_map_picture(labels, ...)`; notebook 06.

    Parameters
    ----------
    labels : array or tensor (H, W), any integer dtype
        As for `weight_map_picture`; up to about 192 px a side it repaints in well under 150 ms.

    Returns
    -------
    Panel
    """
    def slider(kind: type, description: str, value: float, low: float, high: float, step: float) -> Any:
        return kind(value=value, min=low, max=high, step=step, description=description)

    def draw(w0: float, sigma: float, gap: int) -> np.ndarray:
        return weight_map_picture(labels, w0, sigma, gap)

    return Panel(draw, width=800,
                 w0=slider(ipywidgets.FloatSlider, "w0", 10.0, 0.0, W0_MAX, 0.5),
                 sigma=slider(ipywidgets.FloatSlider, "sigma", 5.0, 0.5, 15.0, 0.5),
                 gap=slider(ipywidgets.IntSlider, "gap", 1, 0, 6, 1))


def _colour_bar(height: int) -> np.ndarray:
    bar = (colormaps["magma"](np.linspace(1, 0, height)[:, None])[..., :3] * 255).round().astype(np.uint8)
    canvas = Canvas(44, height)
    canvas.paste(fitted(bar, 14, height), 0, 0)
    for weight in range(1, int(W0_MAX) + 2, 5):
        y = (1 - weight / (1 + W0_MAX)) * (height - 1)
        canvas.text(18, min(max(y, 6), height - 8), f"{weight}", size=12, anchor="lm")
    return titled(canvas.array(), "w")
