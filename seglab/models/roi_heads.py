"""The second stage: RoIs -> heads -> losses or detections. Every step is a method or a module to be called alone.

Ren et al., "Faster R-CNN", 2015 (boxes); He et al., "Mask R-CNN", 2017, section 3 (the mask branch beside them).
Built in notebook 14. Parameter names are torchvision's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seglab.models.box_head import fastrcnn_loss
from seglab.models.detections import postprocess_detections
from seglab.models.mask_head import sigmoid_mask_loss, sigmoid_mask_probabilities
from seglab.models.mask_targets import mask_targets
from seglab.models.roi_sampling import TrainingRoIs, sample_rois

BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def _single(x: Tensor) -> Tensor:
    """Half precision (autocast) ends where coordinates, exponentials and sums begin."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class RoIHeads(nn.Module):
    """Fast R-CNN's head: classifies every RoI and refines its box.

    A further branch (masks, keypoints) is a subclass that adds modules and overrides ``branch_losses`` and
    ``branch_outputs``; see :class:`MaskRoIHeads`.

    Parameters
    ----------
    box_roi_pool : RoIPooler
        ``(features, boxes, size) -> (R, C, h, w)``.
    box_head, box_predictor : Module
        (R, C, h, w) -> (R, F), and (R, F) -> class logits (R, K) and box offsets (R, 4K).
    fg_iou_thresh, bg_iou_thresh, batch_size_per_image, positive_fraction
        Of :func:`sample_rois`.
    score_thresh, nms_thresh, detections_per_img
        Of :func:`postprocess_detections`.
    """

    def __init__(self, box_roi_pool: nn.Module, box_head: nn.Module, box_predictor: nn.Module,
                 fg_iou_thresh: float = 0.5, bg_iou_thresh: float = 0.5, batch_size_per_image: int = 512,
                 positive_fraction: float = 0.25, score_thresh: float = 0.05, nms_thresh: float = 0.5,
                 detections_per_img: int = 100) -> None:
        super().__init__()
        self.box_roi_pool, self.box_head, self.box_predictor = box_roi_pool, box_head, box_predictor
        self.fg_iou_thresh, self.bg_iou_thresh = fg_iou_thresh, bg_iou_thresh
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.score_thresh, self.nms_thresh, self.detections_per_img = score_thresh, nms_thresh, detections_per_img

    def forward(self, features: Sequence[Tensor], proposals: Sequence[Tensor], size: tuple[int, int],
                sizes: Sequence[tuple[int, int]], targets: Sequence[dict[str, Tensor]] | None = None
                ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training mode, detections in evaluation mode.

        Parameters
        ----------
        features : list of Tensors (N, C, h, w)
        proposals : list of N Tensors (P_i, 4), px
        size : (int, int)
            Height and width of the padded batch, px.
        sizes : list of N (int, int)
            Height and width of each picture inside it.
        targets : list of N dicts, training only
            As in :func:`check_targets`.

        Returns
        -------
        dict of scalars, or list of N dicts
            ``loss_classifier``, ``loss_box_reg`` and those of the branch; or boxes, labels, scores and what the branch
            adds.
        """
        if not self.training:
            logits, deltas = self.boxes(features, proposals, size)
            detections = self.detect(logits, deltas, proposals, sizes)
            return self.branch_outputs(features, detections, size)
        rois = self.sample(proposals, targets)
        logits, deltas = self.boxes(features, rois.boxes, size)
        classification, box = fastrcnn_loss(logits, deltas, torch.cat(rois.labels), torch.cat(rois.box_targets))
        losses = {"loss_classifier": classification, "loss_box_reg": box}
        return losses | self.branch_losses(features, rois.positives(), size, targets)

    def sample(self, proposals: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> TrainingRoIs:
        """The RoIs that a training step learns from; see :func:`sample_rois`."""
        return sample_rois(proposals, targets, self.fg_iou_thresh, self.bg_iou_thresh, self.batch_size_per_image,
                           self.positive_fraction, BOX_WEIGHTS)

    def boxes(self, features: Sequence[Tensor], boxes: Sequence[Tensor], size: tuple[int, int]
              ) -> tuple[Tensor, Tensor]:
        """Class logits (R, K) and box offsets (R, 4K) of all RoIs of all pictures, single precision or better."""
        logits, deltas = self.box_predictor(self.box_head(self.box_roi_pool(features, boxes, size)))
        return _single(logits), _single(deltas)

    def detect(self, logits: Tensor, deltas: Tensor, proposals: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
               ) -> list[dict[str, Tensor]]:
        """Boxes, labels, scores of each picture; see :func:`postprocess_detections`."""
        return postprocess_detections(logits, deltas, proposals, sizes, self.score_thresh, self.nms_thresh,
                                      self.detections_per_img, BOX_WEIGHTS)

    def branch_losses(self, features: Sequence[Tensor], positives: TrainingRoIs, size: tuple[int, int],
                      targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Further losses on the RoIs that show an object; none here."""
        return {}

    def branch_outputs(self, features: Sequence[Tensor], detections: list[dict[str, Tensor]], size: tuple[int, int]
                       ) -> list[dict[str, Tensor]]:
        """The detections with what a further branch adds to them; nothing here."""
        return detections


class MaskRoIHeads(RoIHeads):
    """The heads with a mask branch: in training on the positive RoIs, in evaluation on the detected boxes.

    Parameters
    ----------
    mask_roi_pool, mask_head, mask_predictor : Module
        Boxes -> (P, C, h, w) -> (P, C', h, w) -> mask logits (P, K, m, m).
    mask_loss, mask_probabilities : callable
        :func:`sigmoid_mask_loss` and :func:`sigmoid_mask_probabilities`, or the softmax ones.
    options
        Those of :class:`RoIHeads`.
    """

    def __init__(self, *box_parts: nn.Module, mask_roi_pool: nn.Module, mask_head: nn.Module,
                 mask_predictor: nn.Module, mask_loss: Callable[..., Tensor] = sigmoid_mask_loss,
                 mask_probabilities: Callable[..., Tensor] = sigmoid_mask_probabilities, **options: Any) -> None:
        super().__init__(*box_parts, **options)
        self.mask_roi_pool, self.mask_head, self.mask_predictor = mask_roi_pool, mask_head, mask_predictor
        self.mask_loss, self.mask_probabilities = mask_loss, mask_probabilities

    def masks(self, features: Sequence[Tensor], boxes: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Mask logits (P, K, m, m) of all boxes of all pictures, single precision or better."""
        return _single(self.mask_predictor(self.mask_head(self.mask_roi_pool(features, boxes, size))))

    def branch_losses(self, features: Sequence[Tensor], positives: TrainingRoIs, size: tuple[int, int],
                      targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """``loss_mask``."""
        logits = self.masks(features, positives.boxes, size)
        wanted = [mask_targets(target["instances" if "instances" in target else "masks"], objects, boxes,
                               logits.shape[-1])
                  for target, objects, boxes in zip(targets, positives.objects, positives.boxes)]
        return {"loss_mask": self.mask_loss(logits, torch.cat(positives.labels), torch.cat(wanted))}

    def branch_outputs(self, features: Sequence[Tensor], detections: list[dict[str, Tensor]], size: tuple[int, int]
                       ) -> list[dict[str, Tensor]]:
        """Adds ``"masks"`` (D, 1, m, m), probabilities inside the box."""
        logits = self.masks(features, [found["boxes"] for found in detections], size)
        masks = self.mask_probabilities(logits, torch.cat([found["labels"] for found in detections]))
        parts = masks.split([len(found["boxes"]) for found in detections])
        return [{**found, "masks": part} for found, part in zip(detections, parts)]
