"""Picture files of every kind: one reader for pictures, one for label pictures, one for masks, one writer of labels."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from seglab import inputs

Decoded = TypeVar("Decoded")
EIGHT_BIT = {"1", "L", "P", "LA", "PA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}  # Pillow's names


def read_picture(path: str | os.PathLike, mode: str, scale: float | None = None, page: int = 0) -> Tensor:
    """Read a picture file of any kind as colour or as grey values.

    Parameters
    ----------
    path : path
        Palette, 1-bit, grey, RGB and CMYK files and those with an alpha channel (which is dropped), 16-bit grey,
        32-bit integers and floats, and stacks. The picture stands as its EXIF orientation says.
    mode : {"RGB", "L"}
        (3, H, W) or grey, (1, H, W).
    scale : float, optional
        Stored value that becomes 1. Default: the largest one of the file's type, 255 or 65535; 1 for floats; other
        integers have no default. State what the instrument can give, 4095 for a camera of 12 bit, and state it once
        for a whole set: divided by its own maximum a picture is as bright as its brightest speck lets it be, and a
        dark one without objects comes out bright.
    page : int
        Of a stack.

    Returns
    -------
    Tensor
        float32 in 0..1.

    Raises
    ------
    FileNotFoundError
    ValueError
        For another mode or page; naming the file, where it cannot be decoded, or where it holds values below 0,
        beyond the scale, or that are not finite.
    """
    if mode not in ("RGB", "L"):
        raise ValueError(f"mode must be 'RGB' or 'L', got {mode!r}")
    if scale is not None:
        inputs.positive(scale, "scale")
    picture, form = _open(path, page)
    if picture.mode in EIGHT_BIT:
        values, most = _decoded(path, lambda: np.array(picture.convert(mode), dtype=np.float32)), 255
        values = values.reshape(*values.shape[:2], len(mode))
    elif picture.mode.startswith(("I", "F")):  # Pillow's own conversion to "L" clips at 255
        values = np.array(picture, dtype=np.float64)[..., None].repeat(len(mode), axis=2)
        sixteen = picture.mode.startswith("I;16") or form in ("PNG", "PPM")
        most = 1 if picture.mode == "F" else 65535 if sixteen else None
    else:
        raise ValueError(f"{path} must be a grey or colour picture, got Pillow's mode {picture.mode}")
    most = scale if scale is not None else most
    if most is None:
        raise ValueError(f"scale must be given for the integers of {path}, whose type says nothing, got None")
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= most):  # NaN fails as well
        raise ValueError(f"{path} must hold values in 0..{most:g} at this scale, got {low:g}..{high:g}")
    return torch.from_numpy(np.ascontiguousarray((values / most).astype(np.float32).transpose(2, 0, 1)))


def read_labels(path: str | os.PathLike, channel: int | None = None, page: int = 0) -> np.ndarray:
    """Read a label picture: the ids as they are stored.

    Parameters
    ----------
    path : path
        1, 8, 16 or 32 bit, floats that are whole numbers; a palette gives its indices, not its colours. Of colour
        files only those with three equal channels hold ids (their alpha channel is dropped).
    channel : int, optional
        Channel of a colour file that holds the ids; a file of one channel is read as it is.
    page : int
        Of a stack.

    Returns
    -------
    ndarray
        (H, W) int64.

    Raises
    ------
    FileNotFoundError
    ValueError
        Naming the file: it cannot be decoded, it is a colour picture, or its values are no whole numbers.
    """
    picture, _ = _open(path, page)
    values = np.array(picture)
    if values.ndim == 3 and channel is not None:
        values = values[..., channel]
    elif values.ndim == 3:
        values = values[..., :1] if picture.mode in ("LA", "La", "PA") else values[..., :3]
        if (values != values[..., :1]).any():
            raise ValueError(f"{path} must hold one id a pixel, got a colour picture ({picture.mode})")
        values = values[..., 0]
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all()):
        raise ValueError(f"{path} must hold whole numbers, got {values.dtype} values that are none")
    return np.ascontiguousarray(values, dtype=np.int64)


def read_mask(path: str | os.PathLike, page: int = 0) -> np.ndarray:
    """Read the mask of one thing, whichever way its file tells inside from outside.

    Parameters
    ----------
    path : path
        The darker of two values is outside: 0 / 1, 0 / 255, 1 bit, two colours of a palette in either order, one
        colour on black, transparent around a visible inside. Grey values in between (a softened outline) are cut at
        half the file's range.
    page : int
        Of a stack.

    Returns
    -------
    ndarray
        (H, W) bool. A picture of one value is all inside, or all outside where that value is 0.

    Raises
    ------
    FileNotFoundError
    ValueError
        Naming the file: it cannot be decoded, or holds several values all below half its range, ids for example.
    """
    picture, _ = _open(path, page)
    if picture.mode in EIGHT_BIT:
        form = "RGBA" if picture.has_transparency_data else "L" if picture.mode in ("1", "L") else "RGB"
        channels = _decoded(path, lambda: np.array(picture.convert(form)))
        value, half = channels if form == "L" else channels[..., :3].max(axis=-1), 127
        if form == "RGBA":
            alpha = channels[..., 3]
            value = (value.astype(np.uint16) * alpha // 255).astype(np.uint8)
            if value.min() == value.max() and alpha.min() < alpha.max():  # black on transparent
                value = alpha
    else:
        value = np.array(picture)
        half = 0.5 if value.dtype.kind == "f" else 32767
    found = np.flatnonzero(np.bincount(value.ravel())) if value.dtype == np.uint8 else np.unique(value)
    if len(found) <= 2:
        return value > (found[0] if len(found) == 2 else 0)
    if found[-1] <= half:
        raise ValueError(f"{path} must be a mask of two values, got {len(found)} values in {found[0]}..{found[-1]}")
    return value > half


def save_labels(path: str | os.PathLike, labels: np.ndarray | Tensor) -> None:
    """Write a label map as a PNG that `read_labels` and every other program read.

    Parameters
    ----------
    path : path
        Its name ends in .png; JPEG would change the ids.
    labels : ndarray or Tensor
        (H, W) integers in 0..65535, or bool; 8 bit where the ids fit, otherwise 16.

    Raises
    ------
    TypeError, ValueError
        For other labels or another ending.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {path}")
    labels = inputs.to_numpy(labels, "labels")
    labels = inputs.label_map(labels.astype(np.uint8) if labels.dtype == bool else labels, "labels")
    if labels.max(initial=0) > 65535:
        raise ValueError(f"labels must be in 0..65535, got {labels.max()}")
    Image.fromarray(labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)).save(path)


def count_pages(path: str | os.PathLike) -> int:
    """Number of pages of a picture file, 1 for all but stacks; errors as in `read_picture`."""
    return _decoded(path, lambda: _pages(path))


def _pages(path: str | os.PathLike) -> int:
    with Image.open(path) as picture:
        return getattr(picture, "n_frames", 1)


def _open(path: str | os.PathLike, page: int) -> tuple[Image.Image, str | None]:
    """One page of a file, decoded and upright, and the file's format."""
    def upright() -> tuple[Image.Image, str | None] | None:
        # by its name Pillow maps an uncompressed TIFF into memory, with the sides of the upright picture
        with open(path, "rb") as file, Image.open(file) as picture:
            if page and not 0 < page < getattr(picture, "n_frames", 1):
                return None
            picture.seek(page)
            # a camera that was held upright stores the picture lying, and says so in the file's EXIF part
            return ImageOps.exif_transpose(picture), picture.format

    opened = _decoded(path, upright)
    if opened is None:
        raise ValueError(f"page must be in 0..{count_pages(path) - 1} for {path}, got {page}")
    return opened


def _decoded(path: str | os.PathLike, read: Callable[[], Decoded]) -> Decoded:
    """What `read()` gives; whatever Pillow finds wrong with the file is said with the file's name."""
    try:
        return read()
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise  # these name the file
    except Exception as error:  # decoders raise a dozen kinds, SyntaxError and struct.error among them
        raise ValueError(f"{path} must be a picture that can be read, got: {error}") from error
