"""Head outputs -> detections: decode, clip, threshold, suppress, keep the best.

Girshick, "Fast R-CNN", ICCV 2015, section 2.4. Built in notebooks 12 (suppression) and 14.
"""

from collections.abc import Sequence

from torch import Tensor

from seglab.ops.boxes import clip_boxes_to_image, decode_boxes, remove_small_boxes
from seglab.ops.nms import batched_nms

SMALLEST_SIDE = 1e-2        # px


def postprocess_detections(class_logits: Tensor, box_deltas: Tensor, proposals: Sequence[Tensor],
                           sizes: Sequence[tuple[int, int]], score_thresh: float = 0.05, nms_thresh: float = 0.5,
                           detections_per_img: int = 100,
                           weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
                           ) -> list[dict[str, Tensor]]:
    """Detections of every picture, best score first.

    Parameters
    ----------
    class_logits, box_deltas : Tensor (R, K), (R, 4K)
        For the RoIs of all pictures, one picture after the other.
    proposals : list of N Tensors (R_i, 4)
        px; R_1 + ... + R_N = R.
    sizes : list of N (int, int)
        Height and width of each picture: boxes are cut there.
    score_thresh : float
        A class is reported where its softmax probability is above this. One RoI may give several classes.
    nms_thresh : float
        Within a class, of boxes with IoU above this only the best stays.
    detections_per_img : int
        Most detections a picture.
    weights : four floats
        Of :func:`seglab.ops.decode_boxes`.

    Returns
    -------
    list of N dicts
        ``"boxes"`` (D, 4) px, ``"labels"`` (D,) int64 in 1..K - 1, ``"scores"`` (D,).

    Notes
    -----
    torchvision's ``RoIHeads.postprocess_detections``, except that only boxes above the threshold are decoded.
    """
    counts = [len(boxes) for boxes in proposals]
    deltas = box_deltas.unflatten(1, (-1, 4))
    detections = []
    for probability, delta, boxes, size in zip(class_logits.softmax(-1).split(counts), deltas.split(counts), proposals,
                                               sizes, strict=True):
        row, column = (probability[:, 1:] > score_thresh).nonzero().unbind(1)
        labels = column + 1                                      # the background is not reported
        scores = probability[row, labels]
        found = clip_boxes_to_image(decode_boxes(delta[row, labels], boxes[row], weights), size)
        keep = remove_small_boxes(found, SMALLEST_SIDE)
        found, scores, labels = found[keep], scores[keep], labels[keep]
        keep = batched_nms(found, scores, labels, nms_thresh)[:detections_per_img]
        detections.append({"boxes": found[keep], "labels": labels[keep], "scores": scores[keep]})
    return detections
