"""Pictures of any size into one batch, and the truth with them: normalise, resize, pad. Step 1 of Mask R-CNN.

Built in notebook 14. Faster R-CNN, section 3.3: pictures are rescaled so that the shorter side has a given length.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.models.arguments import check_unit_range
from seglab.models.imagenet import IMAGENET_MEAN, IMAGENET_STD


class DetectionBatch(NamedTuple):
    """What the network sees: ``images`` (N, C, H, W) padded with zeros, and what is left of each picture in it."""

    images: Tensor
    sizes: list[tuple[int, int]]                    # height and width of each picture inside the padding, px
    targets: list[dict[str, Tensor]] | None         # in the px of `sizes`


class DetectionTransform(nn.Module):
    """Normalise, resize and pad a list of pictures; in training mode the size is drawn from ``min_size``.

    Parameters
    ----------
    min_size : int or sequence of ints
        Length of the shorter side, px. In training one of several is drawn for each picture (from PyTorch's global
        generator); in evaluation the last one is used.
    max_size : int
        Upper limit of the longer side, px; where it is exceeded, the shorter side becomes shorter than ``min_size``.
    image_mean, image_std : sequence of floats
        One value a channel, for pictures in 0..1.
    size_divisible : int
        The padded sides are multiples of this many px: the coarsest stride of the backbone.

    Raises
    ------
    ValueError
        For sizes < 1 px, lengths of mean and std that differ, or a std of zero.

    Notes
    -----
    Bitwise equal to torchvision's ``GeneralizedRCNNTransform``; besides, it takes label maps, and it does not resample
    a picture that has its size already.
    """

    def __init__(self, min_size: int | Sequence[int] = 800, max_size: int = 1333,
                 image_mean: Sequence[float] = IMAGENET_MEAN, image_std: Sequence[float] = IMAGENET_STD,
                 size_divisible: int = 32) -> None:
        super().__init__()
        self.min_size = (min_size,) if isinstance(min_size, int) else tuple(min_size)
        if not self.min_size or min(*self.min_size, max_size, size_divisible) < 1:
            raise ValueError("min_size, max_size, size_divisible must be >= 1 px, "
                             f"got {min_size}, {max_size}, {size_divisible}")
        if len(image_mean) != len(image_std) or 0 in image_std:
            raise ValueError("image_mean and image_std must have one value a channel, none of the latter 0, "
                             f"got {tuple(image_mean)} and {tuple(image_std)}")
        self.max_size, self.size_divisible = max_size, size_divisible
        self.image_mean, self.image_std = tuple(image_mean), tuple(image_std)

    def forward(self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
                ) -> DetectionBatch:
        """Make the batch.

        Parameters
        ----------
        images : list of Tensors (C, H, W), float, 0..1
            Sizes may differ.
        targets : list of dicts, optional
            As in :func:`check_targets`; the ones given are not changed.

        Returns
        -------
        DetectionBatch
            Images (N, C, Hp, Wp), sides multiples of ``size_divisible``.

        Raises
        ------
        TypeError, ValueError
            For pictures that are not float (C, H, W) of the right number of channels, are empty, hold NaN, or do not
            lie in 0..1.
        """
        self._check(images)
        resized, moved = [], []
        for i, image in enumerate(images):
            size = self._output_size(image.shape[-2:])
            resized.append(resize_image(self._normalise(image), size))
            if targets is not None:
                moved.append(resize_target(targets[i], image.shape[-2:], size))
        sizes = [tuple(image.shape[-2:]) for image in resized]
        return DetectionBatch(self._pad(resized), sizes, moved if targets is not None else None)

    def _check(self, images: Sequence[Tensor]) -> None:
        if isinstance(images, Tensor) and images.ndim == 4:
            images = list(images)
        if isinstance(images, Tensor) or not isinstance(images, Sequence) or not len(images):
            raise TypeError("images must be a list of at least one (C, H, W) tensor, "
                            f"got {'none' if isinstance(images, Sequence) else type(images).__name__}")
        for i, image in enumerate(images):
            if not isinstance(image, Tensor):
                raise TypeError(f"images[{i}] must be a tensor, got {type(image).__name__}")
            if image.ndim != 3 or image.shape[0] != len(self.image_mean) or 0 in image.shape:
                raise ValueError(f"images[{i}] must have shape ({len(self.image_mean)}, H, W), "
                                 f"got {tuple(image.shape)}")
            check_unit_range(image, f"images[{i}]")

    def _normalise(self, image: Tensor) -> Tensor:
        mean, std = (torch.tensor(v, dtype=image.dtype, device=image.device)[:, None, None]
                     for v in (self.image_mean, self.image_std))
        return (image - mean) / std

    def _output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width after resizing; draws a size in training even if there is only one, as torchvision."""
        shorter = self.min_size[-1]
        if self.training:
            shorter = self.min_size[int(torch.empty(1).uniform_(0.0, float(len(self.min_size))))]
        scale = min(shorter / min(size), self.max_size / max(size))
        return tuple(max(math.floor(side * scale), 1) for side in size)

    def _pad(self, images: Sequence[Tensor]) -> Tensor:
        height, width = (math.ceil(max(image.shape[axis] for image in images) / self.size_divisible)
                         * self.size_divisible for axis in (1, 2))
        batch = images[0].new_zeros((len(images), images[0].shape[0], height, width))
        for place, image in zip(batch, images):
            place[:, :image.shape[1], :image.shape[2]] = image
        return batch


def resize_image(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear (C, H, W) -> (C, *size); returned as it is when it has that size."""
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    return F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]


def resize_target(target: Mapping[str, Tensor], old: tuple[int, int], new: tuple[int, int]) -> dict[str, Tensor]:
    """A copy of ``target`` with boxes scaled and masks (or the label map) sampled from ``old`` to ``new`` (H, W)."""
    target = {**target, "boxes": resize_boxes(target["boxes"], old, new)}
    for key in ("masks", "instances"):
        if key in target:
            target[key] = resize_nearest(target[key], new)
    return target


def resize_boxes(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Boxes (N, 4) in px of a picture of ``old`` (H, W) to px of ``new``; the two ratios are single precision."""
    down, right = (float(np.float32(n) / np.float32(o)) for n, o in zip(new, old))
    return boxes * boxes.new_tensor([right, down, right, down])


def resize_nearest(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resampling (..., H, W) -> (..., *size) of any dtype, so that ids stay ids."""
    for axis, side in zip((-2, -1), size):
        if maps.shape[axis] != side:
            positions = torch.arange(maps.shape[axis], dtype=torch.float32, device=maps.device)
            maps = maps.index_select(axis, F.interpolate(positions[None, None], size=side)[0, 0].long())
    return maps
