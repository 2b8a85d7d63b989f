"""Marker playground: three touching blobs, and what smoothing and h do to their watershed markers."""

from functools import lru_cache

import ipywidgets
import numpy as np
from matplotlib import colormaps
from scipy import ndimage

from seglab.classic import distance_markers, watershed
from seglab.viz import label_colors
from seglab.widgets.drawing import GUTTER, beside, enlarge, titled
from seglab.widgets.panel import Panel

SIDE, ZOOM = 96, 3  # px of the scene, its magnification


@lru_cache(maxsize=64)
def blobs(distance: float, roughness: float) -> np.ndarray:
    """Three blobs of radius 17 px on a triangle as a mask, ``(96, 96)`` bool.

    Parameters
    ----------
    distance : float
        Distance of the centres over the sum of two radii, 0.4..1.2; 1 = just touching.
    roughness : float
        Standard deviation of the radius along the outline, as a share of it, 0..0.4.
    """
    if not 0.4 <= distance <= 1.2:
        raise ValueError(f"distance must be in 0.4..1.2, got {distance!r}")
    if not 0 <= roughness <= 0.4:
        raise ValueError(f"roughness must be in 0..0.4, got {roughness!r}")
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    mask, rng = np.zeros((SIDE, SIDE), bool), np.random.default_rng(7)
    for turn in np.array([0.0, 2.0, 4.0]) * np.pi / 3 + 0.3:
        cy, cx = 2 * 17 * distance / np.sqrt(3) * np.array([np.sin(turn), np.cos(turn)])
        angle = (np.arctan2(y - cy, x - cx) / (2 * np.pi) * 48) % 48
        bumps = rng.normal(size=48)
        edge = 17 * (1 + roughness * np.interp(angle, np.arange(49), np.append(bumps, bumps[0])))
        mask |= np.hypot(y - cy, x - cx) <= edge
    mask.setflags(write=False)  # cached: nobody may change it
    return mask


def marker_picture(distance: float, roughness: float, sigma: float, h: float) -> np.ndarray:
    """Distance map with markers, and the basins flooded from them, as one picture.

    Parameters
    ----------
    distance, roughness : float
        Of the scene, see `blobs`.
    sigma : float
        Standard deviation in px of the Gaussian that smooths the distance map, >= 0.
    h : float
        Peaks lower than this many px above their saddle are merged, > 0.

    Returns
    -------
    numpy.ndarray (H, W, 3) of uint8
        Left the distance map with the markers in their colours, right the basins; above, the counts.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Notebook 02, section 3.
    """
    mask = blobs(float(distance), float(roughness))
    markers = distance_markers(mask, sigma, h)
    depth = ndimage.distance_transform_edt(mask)
    basins = watershed(-depth, markers, mask, connectivity=2)
    left = (colormaps["gray"](depth / depth.max())[..., :3] * 160).astype(np.uint8)
    # a marker may be a single pixel: drawn one pixel larger all round
    shown = np.where(markers > 0, markers, ndimage.grey_dilation(markers, 3))
    left[shown > 0] = label_colors(shown)[shown > 0]
    components = ndimage.label(mask, np.ones((3, 3)))[1]
    source = f"{components} component{'s' * (components != 1)}"
    return beside(titled(enlarge(left, ZOOM), f"distance map, {markers.max()} markers"),
                  titled(enlarge(label_colors(basins), ZOOM), f"{basins.max()} basins from {source}"))


def marker_playground() -> Panel:
    """Panel over `marker_picture`: outline and distance of three blobs, smoothing and h of their markers."""
    def slider(value: float, low: float, high: float, step: float, text: str) -> ipywidgets.FloatSlider:
        return ipywidgets.FloatSlider(value=value, min=low, max=high, step=step, description=text,
                                      style={"description_width": "120px"}, layout=ipywidgets.Layout(width="420px"))

    return Panel(marker_picture, width=SIDE * ZOOM * 2 + GUTTER,
                 distance=slider(0.8, 0.4, 1.2, 0.05, "centres / radii"),
                 roughness=slider(0.15, 0.0, 0.4, 0.05, "roughness"),
                 sigma=slider(0.0, 0.0, 6.0, 0.5, "smoothing σ, px"),
                 h=slider(0.1, 0.1, 5.0, 0.1, "h, px"))
