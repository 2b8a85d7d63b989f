"""Overlap-tile prediction: any picture through a net that takes one tile size."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from seglab import inputs


def mirror_indices(start: int, stop: int, size: int) -> np.ndarray:
    """Indices start..stop-1 of an axis of `size` pixels that goes on between two mirrors.

    Parameters
    ----------
    start, stop : int
        Range in px; may reach beyond the picture on both sides, any number of times its size.
    size : int
        Pixels of the axis.

    Returns
    -------
    ndarray
        (stop - start,) int64 in 0..size-1: ... 2 1 0 1 2 ... size-2 size-1 size-2 ..., which is
        NumPy's "reflect" padding. torch's own `F.pad(mode="reflect")` refuses to pad by the size or more.
    """
    start, stop, size = (inputs.whole(value, name, least) for value, name, least in
                         ((start, "start", None), (stop, "stop", None), (size, "size", 1)))
    if stop < start:
        raise ValueError(f"stop must be >= start = {start}, got {stop}")
    period = max(2 * (size - 1), 1)
    place = np.arange(start, stop) % period
    return np.minimum(place, period - place) if size > 1 else np.zeros(stop - start, dtype=np.int64)


def tile_starts(size: int, output: int, step: int) -> range:
    """Where the output tiles of an axis of `size` px start: as many, every `step` px, as it takes to cover it."""
    return range(0, step * (1 + max(0, -(-(size - output) // step))), step)


def predict_tiled(model: Callable[[Tensor], Tensor], image: Tensor, tile: int | tuple[int, int] = 572,
                  margin: int = 92, multiple: int = 16, batch_size: int = 4) -> Tensor:
    """Predict a picture of any size tile by tile, mirrored beyond its edges.

    Parameters
    ----------
    model : callable
        Maps (N, C, t, t) to (N, K, t - 2 margin, t - 2 margin) (valid convolutions), or to
        (N, K, t, t) (padded convolutions; the outer `margin` px of each prediction are dropped).
        A module is run in eval mode, without gradients, on its own device.
    image : Tensor
        (C, H, W) or (N, C, H, W), floating, any size from 1 px.
    tile : int or (int, int)
        Side of the input tile, px: a size that the model accepts (572 in the paper).
    margin : int
        Pixels lost on each side of a tile (92 for the paper's net: 572 -> 388).
    multiple : int
        Tiles start at multiples of this, 2 ** (depth - 1) for a net of `depth` levels (16 in the
        paper), so that every tile pools the same pixels together as the whole picture does.
    batch_size : int
        Tiles per call of the model.

    Returns
    -------
    Tensor
        (K, H, W) or (N, K, H, W), dtype of the model's output, on the image's device.

    Raises
    ------
    TypeError, ValueError
        For a wrong image (NaN would quietly come out as class 0), a tile that its margins eat up, an output tile
        smaller than `multiple`, or a model that returns another size than the two above.

    Notes
    -----
    With valid convolutions the result is the whole picture's output, to round-off. The step is the
    largest multiple of `multiple` that fits into the output tile: 384 for 388, so neighbours overlap
    by 4 px; stepping by 388 (`multiple=1`) shifts the pooling grid and changes the prediction. No tile is run that
    the picture does not need: an axis takes ``1 + max(0, ceil((size - output) / step))``.

    With padded convolutions pixels near a tile's edge see zeros instead of the picture, so work the numbers out from
    the receptive field, r px wide (`seglab.ops.receptive_field`), and the product s of all strides: ``multiple = s``,
    ``margin = s * ceil(r / (2 s))``, ``tile = 2 * margin + k * s`` with k as large as memory allows, for the margins
    are computed for nothing. A padded U-Net of 3 levels has r = 44 and s = 4: margin 24, tile 80 at k = 8; one of 4
    levels r = 100, s = 8: margin 56, tile 176 at k = 8. The result is then the whole picture's, except within a
    margin of its edge, where the whole picture sees zeros and a tile its mirror image. A net with global pooling sees
    everything: no margin is enough.

    References
    ----------
    Ronneberger et al. 2015, figure 2. Derived in notebook 05.
    """
    if not isinstance(image, Tensor):
        raise TypeError(f"image must be a torch.Tensor, got {type(image).__name__}")
    if image.ndim not in (3, 4) or 0 in image.shape or not image.is_floating_point():
        raise ValueError("image must be a non-empty floating (C, H, W) or (N, C, H, W), "
                         f"got {image.dtype} {tuple(image.shape)}")
    inputs.finite_image(image, "image", dims=(image.ndim,), unit=False)
    tile = tuple(tile) if isinstance(tile, Sequence) else (tile, tile)
    tile = tuple(inputs.whole(side, "tile", 1) for side in tile)
    margin, multiple, batch_size = (inputs.whole(value, name, least) for value, name, least in (
        (margin, "margin", 0), (multiple, "multiple", 1), (batch_size, "batch_size", 1)))
    output = tuple(side - 2 * margin for side in tile)
    if len(tile) != 2 or min(output) < multiple:
        raise ValueError(f"tile must have sides >= 2 * margin + multiple = {2 * margin + multiple} px, "
                         f"got {tile}")
    batch = image if image.ndim == 4 else image[None]
    height, width = batch.shape[-2:]
    starts = [(n, y, x) for n in range(len(batch))
              for y in tile_starts(height, output[0], output[0] // multiple * multiple)
              for x in tile_starts(width, output[1], output[1] // multiple * multiple)]
    rows, columns = (
        {start: torch.from_numpy(mirror_indices(start - margin, start - margin + side, size))
         for start in {place[axis] for place in starts}}
        for axis, side, size in ((1, tile[0], height), (2, tile[1], width)))

    is_module = isinstance(model, torch.nn.Module)
    weight = next(model.parameters(), None) if is_module else None
    device = image.device if weight is None else weight.device
    modes = [(part, part.training) for part in model.modules()] if is_module else []
    result = None
    try:
        for part, _ in modes:
            part.training = False
        with torch.no_grad():
            for first in range(0, len(starts), batch_size):
                group = starts[first:first + batch_size]
                tiles = torch.stack([batch[n][:, rows[y]][:, :, columns[x]] for n, y, x in group])
                scores = model(tiles.to(device)).to(image.device)
                if tuple(scores.shape[-2:]) == tile:
                    scores = scores[..., margin:margin + output[0], margin:margin + output[1]]
                if scores.ndim != 4 or tuple(scores.shape[-2:]) != output:
                    raise ValueError(f"model must give {output} or {tile} px for a tile of {tile}, "
                                     f"got {tuple(scores.shape)}")
                if result is None:
                    result = scores.new_empty(len(batch), scores.shape[1], height, width)
                for (n, y, x), score in zip(group, scores):
                    place = result[n, :, y:y + output[0], x:x + output[1]]
                    place.copy_(score[:, :place.shape[-2], :place.shape[-1]])
    finally:
        for part, training in modes:  # parts that were frozen in eval mode stay so
            part.training = training
    return result if image.ndim == 4 else result[0]
