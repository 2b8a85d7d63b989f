"""Several samples as one batch."""

from collections.abc import Sequence
from typing import Any

import torch

from seglab.data.sample import Sample, check_samples

MAPS = ("image", "semantic", "instances", "scribbles")  # of one shape a sample, so they stack
OBJECTS = ("classes", "boxes", "keypoints", "masks", "mask_classes", "mask_boxes", "crowd")


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Put samples of one size into a batch, as `DataLoader(collate_fn=collate)` needs it.

    Parameters
    ----------
    samples : sequence of Sample
        One or more, of one size and number of channels (`resize` or `random_crop` them first).

    Returns
    -------
    dict
        "image" (N, C, H, W) and "semantic" (N, H, W), and "instances" and "scribbles" (N, H, W) where every sample has
        them; "classes", "boxes", "keypoints", "masks", "mask_classes", "mask_boxes", "crowd" as lists of N tensors,
        since pictures differ in their number of objects, where every sample has them; "name", a list.

    Raises
    ------
    TypeError, ValueError
        For anything but Samples, for none, or for samples of different sizes.
    """
    samples = list(check_samples(samples))
    if not samples:
        raise ValueError("samples must hold at least one Sample, got none")
    shapes = {tuple(sample.image.shape): sample.name for sample in samples}
    if len(shapes) > 1:
        sizes = ", ".join(f"{shape} ({name})" for shape, name in shapes.items())
        raise ValueError(f"samples must have pictures of one shape, got {sizes}: resize or random_crop them first")
    batch: dict[str, Any] = {"name": [sample.name for sample in samples]}
    for field in (*MAPS, *OBJECTS):
        values = [getattr(sample, field) for sample in samples]
        if all(value is not None for value in values):
            batch[field] = torch.stack(values) if field in MAPS else values
    return batch
