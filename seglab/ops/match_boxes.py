"""Matching straight from boxes, without the matrix of all overlaps: 2,000 objects x 65,000 anchors would be 524 MB."""
import torch
from torch import Tensor

from seglab.ops.boxes import checked_boxes, overlaps, wide
from seglab.ops.matching import BELOW, BETWEEN, check_thresholds, match

PAIRS = 1 << 18             # overlaps computed at once: some 8 MB of working memory, which fit the cache


def match_boxes(objects: Tensor, anchors: Tensor, high: float, low: float, allow_low_quality: bool = False) -> Tensor:
    """Assign an object to each anchor, or none: ``match(box_iou(objects, anchors), ...)`` in bounded memory.

    Parameters
    ----------
    objects, anchors : Tensor (N, 4), (M, 4)
        Either may be empty.
    high, low, allow_low_quality
        As in :func:`match`.

    Returns
    -------
    Tensor (M,), int64
        Object of each anchor, -1 background, -2 between; the very same as :func:`match`.

    Raises
    ------
    TypeError, ValueError
        Boxes of another form, NaN or infinite; low > high.

    Notes
    -----
    The anchors are taken in pieces. The low-quality rule needs, for each object, its largest overlap with *any* anchor;
    that is known after one pass, and only the pieces in which an object reaches it are looked at again, for the
    objects that do.
    """
    high, low = check_thresholds(high, low)
    objects, anchors = wide(checked_boxes(objects, "objects")), wide(checked_boxes(anchors, "anchors"))
    pieces = anchors.split(max(PAIRS // max(len(objects), 1), 1))
    if len(pieces) <= 1 or not len(objects):
        return match(overlaps(objects, anchors), high, low, allow_low_quality)
    kind = overlaps(objects[:1], anchors[:1])                             # made whole before the loop: small tensors
    best = kind.new_empty(len(anchors))                                  # made between large ones scatter the heap
    index = torch.empty(len(anchors), dtype=torch.int64, device=anchors.device)
    most = kind.new_empty((len(pieces), len(objects)))
    start = 0
    for row, piece in zip(most, pieces):
        iou = overlaps(objects, piece)
        stop = start + len(piece)
        best[start:stop], index[start:stop] = iou.max(dim=0)
        row[:] = iou.max(dim=1)[0]
        start = stop
    matched = index.clone()
    matched[best < low] = BELOW
    matched[(best >= low) & (best < high)] = BETWEEN
    if allow_low_quality:
        largest = most.max(dim=0)[0]
        reached = (most == largest) & (largest > 0)                      # (pieces, N)
        start = 0
        for piece, rows in zip(pieces, reached):
            rescued = (overlaps(objects[rows], piece) == largest[rows, None]).any(0).nonzero()[:, 0] + start
            matched[rescued] = index[rescued]
            start += len(piece)
    return matched
