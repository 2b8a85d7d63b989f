"""A view of what a network computes on the way: every channel of a layer, and one of them large.

Notebook 05 looks at the trained U-Net with it.
"""

from collections.abc import Sequence

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from seglab.viz import feature_grid, to_rgb
from seglab.widgets.panel import Panel

SIDE, CAPTION, GAP = 300, 18, 10  # px of a pane, of the line above it, and between panes
FRAME = (230, 159, 0)


def record_features(model: nn.Module, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """What the named layers give for one image.

    Parameters
    ----------
    model : Module
        Run once in eval mode without gradients; its training mode comes back afterwards.
    image : (C, H, W) tensor
    layers : sequence of str
        Names as in ``model.named_modules()``.

    Returns
    -------
    dict of str to (channels, h, w) tensor
        In the order of ``layers``, on the CPU.

    Raises
    ------
    ValueError
        For a layer that the model does not have, or that did not run or give one ``(1, C, h, w)`` tensor.
    """
    modules = dict(model.named_modules())
    unknown = [name for name in layers if name not in modules]
    if unknown or not layers:
        raise ValueError(f"layers must name modules of the model, got {', '.join(unknown) or 'none'}; "
                         f"there are: {', '.join(filter(None, modules))}")
    seen: dict[str, Tensor] = {}
    hooks = [modules[name].register_forward_hook(lambda _, __, out, name=name: seen.__setitem__(name, out))
             for name in layers]
    training, where = model.training, next(model.parameters()).device
    try:
        model.eval()
        with torch.no_grad():
            model(image[None].to(where))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    wrong = [n for n in layers if not isinstance(seen.get(n), Tensor) or seen[n].ndim != 4]
    if wrong:
        raise ValueError(f"layers must give one (1, C, h, w) tensor each, these do not: {', '.join(wrong)}")
    return {name: seen[name][0].float().cpu() for name in layers}


def feature_picture(image: Tensor, features: dict[str, Tensor], layer: int, channel: int) -> np.ndarray:
    """RGB ``(318, 920, 3)`` uint8: the image, all channels of a layer, and one channel large.

    Each channel is stretched to its own range, which stands above it. A channel beyond the layer's last one shows the
    last one.
    """
    name = list(features)[layer]
    maps = features[name]
    channel = min(channel, len(maps) - 1)
    columns = int(np.ceil(np.sqrt(len(maps))))
    grid = to_rgb(feature_grid(maps, columns))
    chosen = maps[channel]
    height, width = chosen.shape
    panes = [(f"input {image.shape[-2]}x{image.shape[-1]} px", to_rgb(image)),
             (f"{name}: {len(maps)} channels of {height}x{width} px", grid),
             (f"channel {channel}: {float(chosen.min()):.2f} to {float(chosen.max()):.2f}",
              to_rgb(feature_grid(chosen[None])))]
    canvas = Image.new("RGB", (3 * SIDE + 2 * GAP, SIDE + CAPTION), "white")
    draw = ImageDraw.Draw(canvas)
    for k, (caption, picture) in enumerate(panes):
        left, scale = k * (SIDE + GAP), SIDE / max(picture.shape[:2])
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        canvas.paste(Image.fromarray(picture).resize(size, Image.Resampling.NEAREST), (left, CAPTION))
        draw.text((left, 3), caption, fill="black")
        if k == 1:
            cell = [(channel % columns) * (width + 1) - 1, (channel // columns) * (height + 1) - 1]
            corners = [*cell, cell[0] + width + 1, cell[1] + height + 1]
            x0, y0, x1, y1 = (round(c * scale) for c in corners)
            draw.rectangle([left + max(x0, 0), CAPTION + max(y0, 0), left + x1, CAPTION + y1], outline=FRAME, width=3)
    return np.asarray(canvas)


def feature_explorer(model: nn.Module, image: Tensor, layers: Sequence[str]) -> Panel:
    """Sliders over the layers (in the order given) and the channels of a model that saw one image ``(C, H, W)``."""
    features = record_features(model, image, layers)
    most = max(len(maps) for maps in features.values())
    return Panel(lambda layer, channel: feature_picture(image, features, layer, channel), width=920,
                 layer=ipywidgets.IntSlider(value=0, max=len(features) - 1, description="layer"),
                 channel=ipywidgets.IntSlider(value=0, max=most - 1, description="channel"))
