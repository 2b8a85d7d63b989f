"""Mask R-CNN: Faster R-CNN with a third branch that draws a mask in every detected box.

He, Gkioxari, Dollár, Girshick, ICCV 2017. Built in notebook 14.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seglab.models.faster_rcnn import FasterRCNN
from seglab.models.mask_head import MaskHead, MaskPredictor, sigmoid_mask_loss, sigmoid_mask_probabilities
from seglab.models.mask_paste import paste_masks
from seglab.models.resnet import FrozenBatchNorm2d, resnet50
from seglab.models.resnet_fpn import ResNetFPN
from seglab.models.roi_heads import MaskRoIHeads
from seglab.models.roi_pooler import RoIPooler


class MaskRCNN(FasterRCNN):
    """L = L_cls + L_box + L_mask on top of the two losses of the proposals.

    Parameters
    ----------
    backbone, num_classes, options
        As for :class:`FasterRCNN`.
    mask_roi_pool, mask_head, mask_predictor : Module
        In place of 14 x 14 RoIAlign, four 3x3 convolutions of 256 channels, and the transposed convolution and
        1x1 convolution that give K masks of 28 x 28. A predictor with one channel makes class-agnostic masks.
    mask_loss, mask_probabilities : callable
        In place of the sigmoid ones; see :func:`sigmoid_mask_loss` and :func:`softmax_mask_loss`.

    Examples
    --------
    A model for small pictures on a laptop:

    >>> from seglab.models import BasicBlock, FastRCNNPredictor, ResNet, TwoMLPHead
    >>> backbone = ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1), width=16), 32, levels=(0, 1, 2))
    >>> model = MaskRCNN(backbone, 4, min_size=128, max_size=128, anchor_sizes=((12,), (24,), (48,), (96,)),
    ...                  box_head=TwoMLPHead(32 * 7 * 7, 64), mask_head=MaskHead(32, (32, 32)),
    ...                  mask_predictor=MaskPredictor(32, 32, 4))
    >>> sorted(model.eval()([torch.rand(3, 128, 128)])[0])
    ['boxes', 'labels', 'masks', 'scores']
    """

    needs_masks = True
    heads = MaskRoIHeads

    def __init__(self, backbone: nn.Module, num_classes: int, *, mask_roi_pool: nn.Module | None = None,
                 mask_head: nn.Module | None = None, mask_predictor: nn.Module | None = None,
                 mask_loss: Callable[..., Tensor] = sigmoid_mask_loss,
                 mask_probabilities: Callable[..., Tensor] = sigmoid_mask_probabilities, **options: Any) -> None:
        mask_roi_pool = RoIPooler(14) if mask_roi_pool is None else mask_roi_pool
        if mask_head is None:
            mask_head = MaskHead(getattr(backbone, "out_channels", 256))
        if mask_predictor is None:
            mask_predictor = MaskPredictor(mask_head.out_channels, mask_head.out_channels, num_classes)
        super().__init__(backbone, num_classes, mask_roi_pool=mask_roi_pool, mask_head=mask_head,
                         mask_predictor=mask_predictor, mask_loss=mask_loss, mask_probabilities=mask_probabilities,
                         **options)

    def to_picture(self, found: dict[str, Tensor], old: tuple[int, int], new: tuple[int, int]) -> dict[str, Tensor]:
        """As in :class:`FasterRCNN`; masks (D, 1, m, m) are pasted to (D, 1, *new)."""
        found = super().to_picture(found, old, new)
        return {**found, "masks": paste_masks(found["masks"], found["boxes"], new)}


def maskrcnn_resnet50_fpn(num_classes: int = 91, norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
                          **options: Any) -> MaskRCNN:
    """Mask R-CNN on ResNet-50 with a feature pyramid: 44.4 million parameters for COCO's 91 classes.

    Parameters
    ----------
    num_classes : int
        With the background.
    norm : callable
        Normalisation of the backbone. Detectors that start from ImageNet weights freeze it
        (:class:`FrozenBatchNorm2d`); from random weights it has to learn.
    options
        Those of :class:`MaskRCNN`.

    Returns
    -------
    MaskRCNN
        ``load_state_dict`` takes torchvision's ``maskrcnn_resnet50_fpn`` strictly, with the names of its current
        modules as well as with those of its published files. For the latter see :func:`load_coco_v1`.
    """
    return MaskRCNN(ResNetFPN(resnet50(norm=norm)), num_classes, **options)


def load_coco_v1(path: str | Path, **options: Any) -> MaskRCNN:
    """The published COCO_V1 detector (box AP 37.9, mask AP 34.6 on COCO val2017, says torchvision), in eval mode.

    Parameters
    ----------
    path : path
        ``maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth`` as downloaded; nothing is downloaded here.
    options
        Those of :class:`MaskRCNN`.

    Notes
    -----
    It was trained with frozen batch normalisation that adds *no* eps to the variance. With the usual 1e-5 it loads
    as well, and is silently a little worse.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    classes = state["roi_heads.box_predictor.cls_score.bias"].shape[0]
    model = maskrcnn_resnet50_fpn(classes, partial(FrozenBatchNorm2d, eps=0.0), **options)
    model.load_state_dict(state)
    return model.eval()
