"""Faster R-CNN: image -> features -> proposals -> RoIs -> heads -> detections, one module a step.

Ren, He, Girshick, Sun, NIPS 2015, on a feature pyramid (Lin et al., CVPR 2017). Built in notebook 14, which adds masks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from seglab.models.box_head import FastRCNNPredictor, TwoMLPHead
from seglab.models.detection_targets import check_targets
from seglab.models.detection_transform import DetectionTransform, resize_boxes
from seglab.models.imagenet import IMAGENET_MEAN, IMAGENET_STD
from seglab.models.roi_heads import RoIHeads
from seglab.models.roi_pooler import RoIPooler
from seglab.models.rpn import RPN


class FasterRCNN(nn.Module):
    """A two-stage detector; keywords, defaults and parameter names are torchvision's where these exist.

    Parameters
    ----------
    backbone : Module
        Images (N, C, H, W) -> list of maps, finest first, all with ``backbone.out_channels`` channels; a single map
        is taken as a list of one. See :class:`ResNetFPN`.
    num_classes : int
        Classes with the background, which is class 0.
    min_size, max_size, image_mean, image_std, size_divisible
        Of :class:`DetectionTransform`.
    anchor_sizes : sequence of tuples
        px, one tuple a map of the backbone.
    aspect_ratios : sequence of floats
        Height over width.
    rpn_pre_nms_top_n_train, rpn_pre_nms_top_n_test, rpn_post_nms_top_n_train, rpn_post_nms_top_n_test : int
        Boxes a level before suppression and proposals a picture after it.
    rpn_nms_thresh, rpn_fg_iou_thresh, rpn_bg_iou_thresh, rpn_batch_size_per_image, rpn_positive_fraction, \
rpn_score_thresh
        Of :class:`RPN`.
    box_roi_pool, box_head, box_predictor : Module
        In place of 7 x 7 RoIAlign, two layers of 1024 and the linear layers on them.
    box_score_thresh, box_nms_thresh, box_detections_per_img
        Of :func:`postprocess_detections`.
    box_fg_iou_thresh, box_bg_iou_thresh, box_batch_size_per_image, box_positive_fraction
        Of :func:`sample_rois`.
    branch
        What the heads of a subclass need besides.

    Raises
    ------
    ValueError
        For num_classes < 2 or a backbone without ``out_channels``.
    """

    needs_masks = False
    heads = RoIHeads

    def __init__(self, backbone: nn.Module, num_classes: int, min_size: int | Sequence[int] = 800,
                 max_size: int = 1333, image_mean: Sequence[float] = IMAGENET_MEAN,
                 image_std: Sequence[float] = IMAGENET_STD, size_divisible: int = 32,
                 anchor_sizes: Sequence[Sequence[int]] = ((32,), (64,), (128,), (256,), (512,)),
                 aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
                 rpn_pre_nms_top_n_train: int = 2000, rpn_pre_nms_top_n_test: int = 1000,
                 rpn_post_nms_top_n_train: int = 2000, rpn_post_nms_top_n_test: int = 1000,
                 rpn_nms_thresh: float = 0.7, rpn_fg_iou_thresh: float = 0.7, rpn_bg_iou_thresh: float = 0.3,
                 rpn_batch_size_per_image: int = 256, rpn_positive_fraction: float = 0.5,
                 rpn_score_thresh: float = 0.0, box_roi_pool: nn.Module | None = None,
                 box_head: nn.Module | None = None, box_predictor: nn.Module | None = None,
                 box_score_thresh: float = 0.05, box_nms_thresh: float = 0.5, box_detections_per_img: int = 100,
                 box_fg_iou_thresh: float = 0.5, box_bg_iou_thresh: float = 0.5,
                 box_batch_size_per_image: int = 512, box_positive_fraction: float = 0.25, **branch: Any) -> None:
        super().__init__()
        if num_classes < 2:
            raise ValueError(f"num_classes must be >= 2, the background counts, got {num_classes}")
        if not hasattr(backbone, "out_channels"):
            raise ValueError("backbone must have an attribute out_channels, the channels of each of its maps, as "
                             f"ResNetFPN(backbone) has, got {type(backbone).__name__}")
        self.num_classes = num_classes
        self.transform = DetectionTransform(min_size, max_size, image_mean, image_std, size_divisible)
        self.backbone = backbone
        self.rpn = RPN(backbone.out_channels, anchor_sizes, aspect_ratios, rpn_fg_iou_thresh, rpn_bg_iou_thresh,
                       rpn_batch_size_per_image, rpn_positive_fraction,
                       {"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
                       {"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test},
                       rpn_nms_thresh, rpn_score_thresh)
        box_roi_pool = RoIPooler(7) if box_roi_pool is None else box_roi_pool
        if box_head is None:
            height, width = box_roi_pool.output_size
            box_head = TwoMLPHead(backbone.out_channels * height * width)
        if box_predictor is None:
            box_predictor = FastRCNNPredictor(box_head.out_features, num_classes)
        self.roi_heads = self.heads(
            box_roi_pool, box_head, box_predictor, fg_iou_thresh=box_fg_iou_thresh, bg_iou_thresh=box_bg_iou_thresh,
            batch_size_per_image=box_batch_size_per_image, positive_fraction=box_positive_fraction,
            score_thresh=box_score_thresh, nms_thresh=box_nms_thresh, detections_per_img=box_detections_per_img,
            **branch)

    def forward(self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Tensor]] | None = None
                ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Losses in training mode, detections in evaluation mode.

        Parameters
        ----------
        images : list of Tensors (C, H, W), float, 0..1
            Sizes may differ.
        targets : list of dicts, training only
            ``"boxes"`` (N, 4) px, ``"labels"`` (N,) in 1..num_classes - 1 and, with masks, ``"masks"`` (N, H, W) or
            ``"instances"`` (H, W); N may be 0. See :func:`check_targets`.

        Returns
        -------
        dict of scalars
            ``loss_classifier``, ``loss_box_reg``, ``loss_objectness``, ``loss_rpn_box_reg`` (and ``loss_mask``).
        list of dicts
            One a picture, best score first: ``"boxes"`` (D, 4) in its own px, ``"labels"`` (D,), ``"scores"`` (D,)
            (and ``"masks"`` (D, 1, H, W), probabilities).

        Raises
        ------
        TypeError, ValueError
            Naming the picture, the entry, or the missing targets.
        """
        if self.training:
            if targets is None:
                raise ValueError("targets must be given in training mode, got None; call model.eval() for detections")
            targets = check_targets(targets, [image.shape[-2:] for image in images], self.num_classes,
                                    self.needs_masks)
        batch = self.transform(images, targets if self.training else None)
        size = tuple(batch.images.shape[-2:])
        features = self.backbone(batch.images)
        features = [features] if isinstance(features, Tensor) else list(features)
        boxes = [target["boxes"] for target in batch.targets] if self.training else None
        proposals, losses = self.rpn(features, size, batch.sizes, boxes)
        output = self.roi_heads(features, proposals, size, batch.sizes, batch.targets)
        if self.training:
            return output | losses
        return [self.to_picture(found, old, tuple(image.shape[-2:]))
                for found, old, image in zip(output, batch.sizes, images)]

    def to_picture(self, found: dict[str, Tensor], old: tuple[int, int], new: tuple[int, int]) -> dict[str, Tensor]:
        """Detections in px of the resized picture ``old`` (H, W) -> in px of the picture as it came, ``new``."""
        return {**found, "boxes": resize_boxes(found["boxes"], old, new)}
