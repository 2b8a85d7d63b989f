"""The course's own Mask R-CNN: every size of the paper's ResNet-FPN model divided by four or more (notebook 14)."""

from seglab.models.box_head import TwoMLPHead
from seglab.models.faster_rcnn import FasterRCNN
from seglab.models.mask_head import MaskHead, MaskPredictor
from seglab.models.mask_rcnn import MaskRCNN
from seglab.models.resnet import BasicBlock, ResNet
from seglab.models.resnet_fpn import ResNetFPN
from seglab.models.roi_pooler import RoIPooler


def small_mask_rcnn(num_classes: int = 4, masks: bool = True, side: int = 128) -> FasterRCNN:
    """Mask R-CNN that learns 128 px scenes in a minute and a half on a laptop.

    Parameters
    ----------
    num_classes : int
        With the background, class 0.
    masks : bool
        False leaves out the mask branch: Faster R-CNN, with the same names for the other parameters.
    side : int
        Pictures are scaled to this shorter side, px; those that have it stay as they are.

    Returns
    -------
    MaskRCNN or FasterRCNN
        ResNet of 4 x 1 basic blocks and 16 to 128 channels, pyramid of 48, square anchors of 8 to 181 px, 32 RoIs a
        picture (at most 40 % of them positive), box head of 192, mask head of two convolutions. Every RoI is pooled
        from the finest map: the rule of the pyramid sends boxes below 112 px there.
    """
    channels, width = 48, 192
    options = dict(
        min_size=side, max_size=2 * side, image_mean=(0.5,) * 3, image_std=(0.25,) * 3,
        anchor_sizes=((8, 11), (16, 23), (32, 45), (64, 91), (128, 181)), aspect_ratios=(1.0,),
        rpn_fg_iou_thresh=0.5, rpn_batch_size_per_image=64,
        rpn_pre_nms_top_n_train=200, rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=100, rpn_post_nms_top_n_test=50,
        box_roi_pool=RoIPooler(7, levels=1), box_head=TwoMLPHead(channels * 7 * 7, width),
        box_batch_size_per_image=32, box_positive_fraction=0.4, box_detections_per_img=100)
    backbone = ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1), width=16), channels)
    if not masks:
        return FasterRCNN(backbone, num_classes, **options)
    return MaskRCNN(backbone, num_classes, mask_roi_pool=RoIPooler(14, levels=1),
                    mask_head=MaskHead(channels, (channels, channels)),
                    mask_predictor=MaskPredictor(channels, channels, num_classes), **options)
