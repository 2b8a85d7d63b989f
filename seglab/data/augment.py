"""Augmentation: one random draw moves the picture and all its label maps together."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seglab import inputs
from seglab.data.sample import check_size

FLIPS = (True, False, "left-right")


def _check(image: Tensor, labels: Tensor, extra: Tensor | None = None, unit: bool = False) -> None:
    for name, value in (("image", image), ("labels", labels), ("extra", extra)):
        if value is None and name == "extra":
            continue
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
        if value.ndim < 2 or 0 in value.shape:
            raise ValueError(f"{name} must be a non-empty (..., H, W), got {tuple(value.shape)}")
        if value.shape[-2:] != image.shape[-2:]:
            raise ValueError(f"{name} must have the image's height and width {tuple(image.shape[-2:])}, "
                             f"got {tuple(value.shape[-2:])}")
    inputs.finite_image(image, "image", dims=(image.ndim,), unit=unit)


def displacement_field(size: tuple[int, int], grid: int = 3, sigma: float = 10.0,
                       generator: torch.Generator | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw a smooth random displacement for every pixel.

    Parameters
    ----------
    size : tuple of int
        (H, W) in px.
    grid : int
        Random vectors are drawn on grid x grid nodes; the outer nodes lie on the outer pixels.
    sigma : float
        Standard deviation of both components at a node, px.
    generator : torch.Generator, optional
        Source of randomness (on the CPU).

    Returns
    -------
    Tensor
        (2, H, W): displacement down (0) and to the right (1), px. The deformed picture at (y, x)
        is the given picture at (y + field[0], x + field[1]).

    Raises
    ------
    ValueError
        For an empty size, fewer than 2 nodes a side, or a sigma that is negative or not finite.

    References
    ----------
    Ronneberger et al. 2015, section 3.1: "random displacement vectors on a coarse 3 by 3 grid",
    Gaussian, 10 px standard deviation, bicubic to per-pixel. Derived in notebook 05.
    """
    height, width = check_size(size)
    inputs.whole(grid, "grid", 2)
    sigma = inputs.positive(sigma, "sigma", zero=True)
    if sigma > 1e30:
        raise ValueError(f"sigma must be at most 1e30 px, got {sigma}")
    nodes = sigma * torch.randn(1, 2, grid, grid, generator=generator, dtype=dtype)
    return F.interpolate(nodes, size=(height, width), mode="bicubic", align_corners=True)[0]


def _mirror(place: Tensor, size: int) -> Tensor:
    """Fold coordinates into 0..size-1 as if the picture stood between two mirrors (no edge repeated)."""
    if size == 1:
        return torch.zeros_like(place)
    place = place.remainder(2 * (size - 1))
    return torch.minimum(place, 2 * (size - 1) - place)


def warp(image: Tensor, field: Tensor, mode: str = "bilinear") -> Tensor:
    """Sample a picture or a label map at displaced places, mirrored beyond its edges.

    Parameters
    ----------
    image : Tensor
        (..., H, W); any dtype for "nearest", floating for "bilinear".
    field : Tensor
        (2, H, W) displacement down and to the right, px.
    mode : {"bilinear", "nearest"}
        Grey values are interpolated, labels never: between label 2 and label 8 lies no label 5.

    Returns
    -------
    Tensor
        Same shape and dtype. A zero field returns the same values, bit by bit.

    Notes
    -----
    Equal to `scipy.ndimage.map_coordinates(..., order=1 or 0, mode="mirror")` and, for "bilinear",
    to `torch.nn.functional.grid_sample(padding_mode="reflection", align_corners=True)`.
    """
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"mode must be 'bilinear' or 'nearest', got {mode!r}")
    for name, value in (("image", image), ("field", field)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if image.ndim < 2 or not image.numel():
        raise ValueError(f"image must have shape (..., H, W) with at least one pixel, got {tuple(image.shape)}")
    height, width = image.shape[-2:]
    if field.shape != (2, height, width):
        raise ValueError(f"field must have shape (2, {height}, {width}), got {tuple(field.shape)}")
    if not field.isfinite().all():
        raise ValueError(f"field must be finite, got NaN or infinity in {int((~field.isfinite()).sum())} places")
    # float16 cannot hold a coordinate; the picture's own precision otherwise
    dtype = torch.promote_types(field.dtype, image.dtype if image.is_floating_point() else torch.float32)
    dtype = torch.promote_types(dtype, torch.float32)
    field = field.to(image.device, dtype)
    y = _mirror(torch.arange(height, device=field.device, dtype=dtype)[:, None] + field[0], height)
    x = _mirror(torch.arange(width, device=field.device, dtype=dtype) + field[1], width)
    if mode == "nearest":
        y, x = (y + 0.5).floor().long(), (x + 0.5).floor().long()
        return image[..., y.clamp_(max=height - 1), x.clamp_(max=width - 1)]
    top, left = y.floor(), x.floor()
    down, right = y - top, x - left
    top, left = top.long(), left.long()
    bottom, end = (top + 1).clamp_(max=height - 1), (left + 1).clamp_(max=width - 1)
    grey = image.to(dtype)
    upper = grey[..., top, left] * (1 - right) + grey[..., top, end] * right
    lower = grey[..., bottom, left] * (1 - right) + grey[..., bottom, end] * right
    return (upper * (1 - down) + lower * down).to(image.dtype)


def elastic_deform(image: Tensor, labels: Tensor, grid: int = 3, sigma: float = 10.0,
                   generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Deform a picture and its label map with one smooth random field.

    Parameters
    ----------
    image : Tensor
        (C, H, W) or (..., H, W), floating; interpolated bilinearly, mirrored beyond the edges.
    labels : Tensor
        (H, W) or (K, H, W), any dtype; nearest neighbour, so every output label occurs in the input.
    grid, sigma, generator
        See `displacement_field`.

    Returns
    -------
    (Tensor, Tensor)
        The deformed image and labels, same shapes and dtypes.

    References
    ----------
    Ronneberger et al. 2015, section 3.1. Derived in notebook 05.
    """
    _check(image, labels)
    field = displacement_field(image.shape[-2:], grid, sigma, generator)
    return warp(image, field), warp(labels, field, "nearest")


def augment(image: Tensor, labels: Tensor, generator: torch.Generator | None = None, *, extra: Tensor | None = None,
            flips: bool | str = True, rotations: bool = True, grid: int = 3, sigma: float = 10.0,
            grey_scale: float = 0.2, grey_shift: float = 0.1) -> tuple[Tensor, ...]:
    """Flip, turn, deform and re-light a picture; the label maps follow.

    Parameters
    ----------
    image : Tensor
        (C, H, W) floating in 0..1.
    labels : Tensor
        (H, W) or (K, H, W), any dtype; nearest neighbour.
    generator : torch.Generator, optional
        Source of randomness. The same state gives the same flips and field whatever is switched off.
    extra : Tensor, optional
        (K, H, W) or (H, W), any dtype: further maps that must follow, for example a weight map.
        Nearest neighbour as well.
    flips : bool or "left-right"
        Mirror either axis with probability 1/2, or only left and right: streets and pets have their feet on the
        ground (give ``rotations=False`` with it).
    rotations : bool
        Turn by a multiple of 90 degrees (of 180 where H != W, so that the shape stays).
    grid, sigma : int, float
        Elastic deformation, see `displacement_field`; sigma=0 leaves it out.
    grey_scale, grey_shift : float
        image * s + t with s in 1 +- grey_scale and t in +- grey_shift, uniform, clipped to 0..1.

    Returns
    -------
    (Tensor, Tensor) or (Tensor, Tensor, Tensor)
        image, labels and, where given, extra: same shapes and dtypes.

    Raises
    ------
    TypeError, ValueError
        Naming the argument: an image of integers or beyond 0..1 (every pixel would end at 1), maps of another size,
        numbers that are not finite.

    References
    ----------
    Ronneberger et al. 2015, section 3.1: shift and rotation, grey value, deformation. Notebook 05.
    """
    _check(image, labels, extra, unit=True)
    if flips not in FLIPS:
        raise ValueError(f"flips must be True, False or 'left-right', got {flips!r}")
    for name, value in (("grey_scale", grey_scale), ("grey_shift", grey_shift)):
        inputs.positive(value, name, zero=True)
    height, width = image.shape[-2:]
    down, across, turns = torch.randint(0, 4, (3,), generator=generator).tolist()
    scale, shift = (2 * torch.rand(2, generator=generator) - 1).tolist()
    field = displacement_field((height, width), grid, sigma, generator)
    flipped = {True: (-2, -1), False: (), "left-right": (-1,)}[flips]
    axes = [axis for axis, draw in ((-2, down), (-1, across)) if axis in flipped and draw % 2]
    turns = 0 if not rotations else turns if height == width else 2 * (turns % 2)

    def move(value: Tensor, mode: str) -> Tensor:
        value = torch.rot90(value.flip(axes), turns, (-2, -1))
        return warp(value, field, mode) if sigma > 0 else value.contiguous()

    lit = move(image, "bilinear")
    if grey_scale or grey_shift:
        lit = (lit * (1 + grey_scale * scale) + grey_shift * shift).clamp(0, 1)
    moved = [lit, move(labels, "nearest")]
    if extra is not None:
        moved.append(move(extra, "nearest"))
    return tuple(moved)
