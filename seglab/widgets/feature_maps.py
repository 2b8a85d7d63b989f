"""A view of what a network computes on the way: all channels of a layer, their mean, the strongest, where one fires.

Notebook 05 looks at its trained U-Net with it, notebook 17 at every trained network of the course.
"""

from collections.abc import Sequence
from functools import lru_cache

import ipywidgets
import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.viz import LABEL_COLORS, MISSED, OBJECT, to_rgb
from seglab.viz.features import Layer, look_inside, record_features, strength
from seglab.widgets.drawing import DENSITY, Canvas, enlarge, fitted, text_width
from seglab.widgets.panel import Panel
from seglab.widgets.trained_models import TRAINED, TrainedModel, checkpoint, load_trained

__all__ = ["VIEWS", "feature_explorer", "feature_picture", "model_explorer", "record_features"]

VIEWS = ("grid", "mean", "strongest", "overlay", "side by side")
SIDE, CAPTION, NOTE, GAP = 300, 18, 20, 10  # px of a pane, of the lines above and below it, and between panes
WIDTH, HEIGHT = 3 * SIDE + 2 * GAP, CAPTION + SIDE + NOTE
PAGE = 144  # channels of one grid; more would be too small to see
STRONGEST = 9
LETTERS = 12  # px


def feature_picture(image: Tensor, features: dict[Layer, Tensor | str], layer: int, channel: int,
                    view: str = "grid") -> np.ndarray:
    """RGB ``(676, 1840, 3)`` uint8 of one layer of a network that saw one image.

    Parameters
    ----------
    image : (C, H, W) tensor
    features : dict of Layer to (C, h, w) tensor or str
        As :func:`seglab.viz.features.look_inside` gives it; a str is shown as the reason why there is no map.
    layer : int
        Which of the layers.
    channel : int
        Beyond the layer's last one, the last one is shown.
    view : {"grid", "mean", "strongest", "overlay", "side by side"}
        The middle pane: all channels (144 at once, those round the chosen one), the mean over the channels, the nine
        that vary most, or the chosen one over the picture. "side by side" shows the mean map of every layer instead,
        group after group. To the right the chosen channel, large.

    Notes
    -----
    Each map is stretched to its own range, which stands above it. Values that are not finite are vermilion, and the
    line below says how many there are.
    """
    if view not in VIEWS:
        raise ValueError(f"view must be one of {VIEWS}, got {view!r}")
    key = list(features)[min(layer, len(features) - 1)]
    maps = features[key]
    if view == "side by side":
        return _side_by_side(features, key)
    if isinstance(maps, str):
        return message_picture(maps)
    count, height, width = maps.shape
    channel = min(channel, count - 1)
    chosen = maps[channel]
    canvas = Canvas(WIDTH, HEIGHT)
    where, boxes = None, []
    if view == "overlay" and key.stride != 0:
        caption, middle = f"channel {channel} over the picture", _over(image, chosen, key.stride)
    elif view == "mean":
        caption, middle = f"mean of {count} channels: {_range(maps.mean(0))}", _shade(_fit(maps.mean(0)[None], SIDE))[0]
    else:
        shown = strength(maps).argsort(descending=True, stable=True)[:STRONGEST] if view == "strongest" else \
            torch.arange(channel // PAGE * PAGE, min(count, channel // PAGE * PAGE + PAGE))
        middle, boxes = _mosaic(maps[shown])
        caption = f"{count} channels of {height}x{width} px" if view != "strongest" else \
            f"strongest: {', '.join(str(int(k)) for k in shown)}"
        if len(shown) < count and view != "strongest":
            caption = f"channels {int(shown[0])}-{int(shown[-1])} of {count}, {height}x{width} px"
        where = next((k for k, c in enumerate(shown) if int(c) == channel), None)
    _pane(canvas, 0, f"input {image.shape[-2]}x{image.shape[-1]} px", to_rgb(_visible(image)))
    _pane(canvas, 1, caption, middle)
    _pane(canvas, 2, f"channel {channel}: {_range(chosen)}", _shade(_fit(chosen[None], SIDE))[0])
    if where is not None:
        x0, y0, x1, y1 = boxes[where]
        left = SIDE + GAP
        canvas.rectangle(left + max(x0 - 1, 0), CAPTION + max(y0 - 1, 0), left + x1, CAPTION + y1, outline=OBJECT,
                         width=2)
    canvas.text(0, CAPTION + SIDE + 3, _note(key, maps, view), size=LETTERS, fill=MISSED)
    return canvas.array()


def message_picture(text: str) -> np.ndarray:
    """RGB ``(676, 1840, 3)`` uint8 that says why there is nothing to see."""
    canvas = Canvas(WIDTH, HEIGHT)
    words, lines = text.split(), [""]
    for word in words:
        lines[-1:] = [f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < 110 else [lines[-1], word]
    canvas.text(20, CAPTION + 20, "Nothing to show: " + "\n".join(lines[:14]), size=LETTERS)
    return canvas.array()


def feature_explorer(model: nn.Module, image: Tensor, layers: Sequence[str]) -> Panel:
    """Sliders over the layers (in the order given) and the channels of a model that saw one image ``(C, H, W)``.

    Raises
    ------
    ValueError
        As :func:`seglab.viz.features.record_features`.
    """
    features = {Layer(name): maps for name, maps in record_features(model, image, layers).items()}
    most = max(len(maps) for maps in features.values())
    return Panel(lambda layer, channel: feature_picture(image, features, layer, channel), width=920,
                 layer=ipywidgets.IntSlider(value=0, max=len(features) - 1, description="layer"),
                 channel=ipywidgets.IntSlider(value=0, max=most - 1, description="channel"))


def model_explorer(trained: Sequence[TrainedModel] = TRAINED) -> Panel:
    """Menus for network, picture, layer and view, and a slider for the channel, over :func:`feature_picture`.

    The networks are loaded at once, so that no move has to wait for a file; one whose file is missing is trained when
    it is first looked at, which takes seconds. Maps of the last sixteen pairs of network and picture are kept. What
    cannot be shown says so in the picture.

    Parameters
    ----------
    trained : sequence of TrainedModel
        The networks of the course by default.

    Returns
    -------
    Panel
        Its ``draw(model, picture, layer, view, channel)`` is pure: the titles of model, layer and view, the number of
        the picture, the number of the channel.
    """
    entries = {entry.title: entry for entry in trained}
    pictures = lru_cache(maxsize=None)(lambda title: entries[title].pictures())
    load = lru_cache(maxsize=None)(lambda title: load_trained(entries[title]))

    @lru_cache(maxsize=16)
    def features(title: str, picture: int) -> dict[Layer, Tensor | str]:
        entry = entries[title]
        return look_inside(load(title)[0], pictures(title)[picture], entry.layers, entry.run)

    def draw(model: str, picture: int, layer: str, view: str, channel: int) -> np.ndarray:
        names = [place.name for place in entries[model].layers]
        if layer not in names:
            return message_picture(f"{model} has no layer {layer}; it has {', '.join(names)}")
        try:
            maps = features(model, picture)
        except (ValueError, OSError, FloatingPointError) as err:  # a corrupt file, or one of another model
            return message_picture(str(err))
        return feature_picture(pictures(model)[picture], maps, names.index(layer), channel, view)

    def last_channel(title: str, picture: int, name: str) -> int:
        try:
            found = {place.name: maps for place, maps in features(title, picture).items()}.get(name, "")
        except (ValueError, OSError, FloatingPointError):
            found = ""
        return 1 if isinstance(found, str) else max(1, len(found) - 1)

    def options(title: str) -> list[str]:
        return [place.name for place in entries[title].layers]

    for entry in trained:
        if checkpoint(entry).exists():
            last_channel(entry.title, 0, entry.layers[0].name)
    first = next(iter(entries))
    menus = {name: ipywidgets.Dropdown(options=values, value=values[0], description=name) for name, values in (
        ("model", list(entries)), ("picture", [0, 1, 2]), ("layer", options(first)), ("view", list(VIEWS)))}
    channel = ipywidgets.IntSlider(value=0, max=last_channel(first, 0, options(first)[0]), description="channel")

    def other_model(change: dict) -> None:
        menus["layer"].options = options(change["new"])

    def other_layer(change: dict) -> None:
        channel.max = last_channel(menus["model"].value, menus["picture"].value, change["new"])

    # before the panel's own observers: no layer of another network is asked for, no channel that is not there
    menus["model"].observe(other_model, "value")
    menus["layer"].observe(other_layer, "value")
    return Panel(draw, width=920, **menus, channel=channel)


def _pane(canvas: Canvas, place: int, caption: str, rgb: np.ndarray) -> None:
    scale, left = SIDE / max(rgb.shape[:2]), place * (SIDE + GAP)
    canvas.paste(fitted(rgb, rgb.shape[1] * scale, rgb.shape[0] * scale), left, CAPTION)
    canvas.text(left, 1, _shortened(caption, SIDE), size=LETTERS)


def _shortened(caption: str, width: float) -> str:
    while text_width(caption, LETTERS) > width:
        caption = caption[:-2] + "…"
    return caption


def _fit(maps: Tensor, side: int, density: int = DENSITY) -> Tensor:
    """Maps ``(N, h, w)`` whose longer side is ``side`` px: means of pixels when smaller, repeated ones when larger."""
    longest, side = max(maps.shape[1:]), density * side
    size = [max(1, round(s * side / longest)) for s in maps.shape[1:]]
    mode = "area" if longest > side else "nearest"
    return F.interpolate(maps[None], size=size, mode=mode)[0]


def _shade(maps: Tensor) -> np.ndarray:
    """``(N, h, w, 3)`` uint8: each map from black to white over its own finite range, vermilion where not finite."""
    values = maps.double().numpy()  # the range of float32 maps may exceed float32
    finite = np.isfinite(values)
    if finite.all():
        low, high = values.min((1, 2), keepdims=True), values.max((1, 2), keepdims=True)
    else:
        low = np.where(finite, values, np.inf).min((1, 2), keepdims=True)
        high = np.where(finite, values, -np.inf).max((1, 2), keepdims=True)
        low, high = (np.where(np.isfinite(bound), bound, 0) for bound in (low, high))
    span = np.where(high > low, high - low, 1)
    grey = (np.where(finite, (values - low) / span, 0) * 255).round().astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=3)
    rgb[~finite] = MISSED
    return rgb


def _mosaic(maps: Tensor) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """All maps on one square of at most 300 px, and the box of each, px."""
    columns = int(np.ceil(np.sqrt(len(maps))))
    pitch = SIDE // columns
    tiles = _shade(_fit(maps, max(1, pitch - 1), density=1))  # of one pixel a px: else four times the bytes
    height, width = tiles.shape[1:3]
    rows = -(-len(maps) // columns)
    canvas, boxes = Canvas(SIDE, max(rows * pitch, SIDE // 2)), []
    for k, tile in enumerate(tiles):
        top, left = k // columns * pitch, k % columns * pitch
        canvas.paste(enlarge(tile, 1), left, top)
        boxes.append((left, top, left + width, top + height))
    return canvas.array(), boxes


def _over(image: Tensor, values: Tensor, stride: int | None) -> np.ndarray:
    """The picture in dim grey with a map over it, where it lies; black to yellow of "inferno", blended."""
    grey = torch.from_numpy(to_rgb(_visible(image)).mean(2, dtype=np.float32) / 255)
    height, width = grey.shape
    heat = _shade(values[None])[0]
    size = (height, width) if stride is None else tuple(min(s * stride, limit) for s, limit in
                                                        zip(values.shape, (height, width), strict=True))
    heat = np.asarray(Image.fromarray(heat).resize(size[::-1], Image.Resampling.NEAREST), np.float32)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    rgb = np.repeat(grey.numpy()[..., None], 3, axis=2) * 0.5
    colour = colormaps["inferno"](heat[..., 0] / 255)[..., :3] * 0.75
    bad = heat[..., 0] != heat[..., 1]
    colour[bad] = np.array(MISSED) / 255
    inside = rgb[top:top + size[0], left:left + size[1]]
    rgb[top:top + size[0], left:left + size[1]] = 0.5 * inside + colour
    return (rgb.clip(0, 1) * 255).round().astype(np.uint8)


def _side_by_side(features: dict[Layer, Tensor | str], key: Layer) -> np.ndarray:
    """The mean map of every layer, group after group, with a bar in the group's colour; the chosen one is framed."""
    groups = list(dict.fromkeys(layer.group for layer in features))
    ordered = sorted(features, key=lambda layer: groups.index(layer.group))

    def side_of(rows: int) -> int:
        return min(WIDTH // -(-len(ordered) // rows) - GAP, HEIGHT // rows - CAPTION - GAP)

    rows = max(range(1, len(ordered) + 1), key=side_of)
    columns, side = -(-len(ordered) // rows), side_of(rows)
    canvas = Canvas(WIDTH, HEIGHT)
    for k, layer in enumerate(ordered):
        left, top = k % columns * (WIDTH // columns), k // columns * (HEIGHT // rows)
        colour = tuple(int(c) for c in LABEL_COLORS[1 + groups.index(layer.group) % 7])
        canvas.rectangle(left, top, left + side, top + 3, fill=colour)
        canvas.text(left, top + 5, _shortened(layer.name, side + GAP - 2), size=LETTERS)
        top, maps = top + CAPTION + 4, features[layer]
        if isinstance(maps, str):
            canvas.text(left, top + side // 2 - 8, "no map", size=LETTERS, fill=MISSED)
            continue
        tile = _shade(_fit(maps.mean(0)[None], side))[0]
        canvas.paste(tile, left, top)
        if layer == key:
            canvas.rectangle(left, top, left + tile.shape[1] / DENSITY - 1, top + tile.shape[0] / DENSITY - 1,
                             outline=OBJECT, width=3)
    return canvas.array()


def _visible(image: Tensor) -> Tensor:
    """The picture for the eye: the square root of a dark one."""
    return image.clamp(0, 1).sqrt() if image.mean() < 0.25 else image


def _range(values: Tensor) -> str:
    finite = values[values.isfinite()]
    if not len(finite):
        return "no finite value"
    low, high = float(finite.min()), float(finite.max())
    return f"constant {low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"


def _note(key: Layer, maps: Tensor, view: str) -> str:
    bad = ~maps.isfinite()
    notes = []
    if bad.any():
        notes.append(f"NaN or infinity in {int(bad.flatten(1).any(1).sum())} of {len(maps)} channels (vermilion)")
    if maps.shape[1:] == (1, 1):
        notes.append("one pixel a channel: a number, not a map; nothing is left of where")
    if view == "overlay" and key.stride == 0:
        notes.append("these features have no fixed place in the picture: all channels instead")
    dead = int((maps.flatten(1) == 0).all(1).sum())
    if dead:
        notes.append(f"{dead} of {len(maps)} channels are zero everywhere on this picture")
    return "; ".join(notes)
