"""Another frame for a sample: resized, or cut out; everything that is known of the picture moves with it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.data.instances import boxes_of
from seglab.data.sample import Sample, check_size, clip_boxes


def resize(sample: Sample, size: tuple[int, int]) -> Sample:
    """Resize a picture and all its labels.

    Parameters
    ----------
    sample : Sample
    size : (int, int)
        New height and width, px.

    Returns
    -------
    Sample
        The picture is interpolated bilinearly, antialiased where it shrinks (else thin lines fall between the pixels
        that are read). Label maps, scribbles and masks take the nearest pixel, so no new label appears. Boxes and
        keypoints are scaled, to fractions of a px. An object of which no pixel is left is dropped.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    height, width = _size(sample, size)
    old = sample.image.shape[-2:]
    image = F.interpolate(sample.image[None], (height, width), mode="bilinear", antialias=True)[0].clamp(0, 1)
    # the pixel under the new pixel's centre, in whole numbers: half a pixel never falls the wrong way
    rows, columns = ((2 * torch.arange(new) + 1) * was // (2 * new) for new, was in zip((height, width), old))
    return _reframed(sample, image, rows, columns, scale=(width / old[1], height / old[0]))


def random_crop(sample: Sample, size: tuple[int, int], generator: torch.Generator | None = None) -> Sample:
    """Cut a window out of a sample, every place with the same probability.

    Parameters
    ----------
    sample : Sample
    size : (int, int)
        Height and width of the window, px; it must fit into the picture (else `resize` first).
    generator : torch.Generator, optional
        Source of randomness (on the CPU).

    Returns
    -------
    Sample
        Objects that lie outside are dropped, the others numbered anew; boxes are those of the parts inside; keypoints
        outside are not visible.

    Raises
    ------
    TypeError, ValueError
        Naming the argument.
    """
    height, width = _size(sample, size)
    old = tuple(sample.image.shape[-2:])
    if height > old[0] or width > old[1]:
        raise ValueError(f"size must fit into the picture of {old} px, got {(height, width)}")
    top, left = (int(torch.randint(was - new + 1, (), generator=generator))
                 for was, new in zip(old, (height, width)))
    rows, columns = torch.arange(top, top + height), torch.arange(left, left + width)
    image = sample.image[:, top:top + height, left:left + width].contiguous()
    return _reframed(sample, image, rows, columns, shift=(left, top))


def _size(sample: Sample, size: tuple[int, int]) -> tuple[int, int]:
    if not isinstance(sample, Sample):
        raise TypeError(f"sample must be a Sample, got {type(sample).__name__}")
    return check_size(size)


def _reframed(sample: Sample, image: Tensor, rows: Tensor, columns: Tensor, scale: tuple[float, float] = (1.0, 1.0),
              shift: tuple[float, float] = (0.0, 0.0)) -> Sample:
    """The sample whose pixel (y, x) was at (rows[y], columns[x]); a point x moves to x * scale - shift."""
    height, width = image.shape[-2:]

    def pick(value: Tensor | None) -> Tensor | None:
        return None if value is None else value[..., rows[:, None], columns]

    def moved(boxes: Tensor | None) -> Tensor | None:
        if boxes is None:
            return None
        return clip_boxes(boxes * torch.tensor(scale * 2) - torch.tensor(shift * 2), height, width)

    def wide(boxes: Tensor | None) -> Tensor | bool:
        return True if boxes is None else (boxes[:, :2] < boxes[:, 2:]).all(1)

    instances, boxes = pick(sample.instances), moved(sample.boxes)
    masks, mask_boxes = pick(sample.masks), moved(sample.mask_boxes)
    keep = torch.ones(len(sample), dtype=torch.bool) & wide(boxes)
    if masks is not None:
        in_frame = masks.flatten(1).any(1) & wide(mask_boxes)
        keep &= in_frame[:len(sample)]
    if instances is not None:
        keep &= torch.bincount(instances.flatten(), minlength=len(sample) + 1)[1:] > 0
        number = torch.cat([torch.zeros(1), keep.cumsum(0) * keep]).to(torch.int32)
        instances = number[instances.long()]
        if boxes is not None and masks is None and shift != (0.0, 0.0):
            boxes[keep] = torch.from_numpy(boxes_of(instances.numpy()))  # of the visible part, as they were before
    keypoints = sample.keypoints
    if keypoints is not None:
        places = keypoints[..., :2] * torch.tensor(scale) - torch.tensor(shift)
        inside = ((places >= 0) & (places < torch.tensor([width, height]))).all(-1)
        keypoints = torch.cat([places, (keypoints[..., 2] * inside)[..., None]], -1)
    mask_order = None
    if masks is not None:  # those of the instances stay in front
        first = torch.zeros(len(masks), dtype=torch.bool)
        first[:len(sample)] = keep
        mask_order = torch.cat([first.nonzero()[:, 0], (in_frame & ~first).nonzero()[:, 0]])

    def chosen(value: Tensor | None, which: Tensor | None) -> Tensor | None:
        return None if value is None else value[which]

    return Sample(
        image=image, semantic=pick(sample.semantic), instances=instances, name=sample.name,
        classes=chosen(sample.classes, keep), boxes=chosen(boxes, keep), keypoints=chosen(keypoints, keep),
        scribbles=pick(sample.scribbles), masks=chosen(masks, mask_order),
        mask_classes=chosen(sample.mask_classes, mask_order), mask_boxes=chosen(mask_boxes, mask_order),
        crowd=chosen(sample.crowd, mask_order))
