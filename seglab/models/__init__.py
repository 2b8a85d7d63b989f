"""The course's networks. Every dense model maps images ``(N, C, H, W)`` to logits ``(N, K, h, w)``."""

from seglab.models.aspp import ASPP, valid_tap_share
from seglab.models.backbone import Backbone, dilated_stages
from seglab.models.box_head import FastRCNNPredictor, TwoMLPHead, fastrcnn_loss
from seglab.models.cost import Latency, count_parameters, latency, mult_adds
from seglab.models.deeplabv1 import DeepLabV1
from seglab.models.deeplabv2 import ASPPSum, DeepLabV2
from seglab.models.deeplabv3 import DeepLabV3, deeplabv3_resnet50
from seglab.models.deeplabv3plus import DeepLabV3Plus
from seglab.models.dense import DenseModel
from seglab.models.detection_targets import check_targets
from seglab.models.detection_transform import DetectionBatch, DetectionTransform
from seglab.models.detections import postprocess_detections
from seglab.models.dilated_context import DilatedContext, init_identity
from seglab.models.faster_rcnn import FasterRCNN
from seglab.models.fcn_resnet import FCNHead, FCNResNet, fcn_resnet50
from seglab.models.fpn import FPN, assign_levels
from seglab.models.imagenet import imagenet_normalize
from seglab.models.mask_head import (
    MaskHead,
    MaskPredictor,
    MLPMaskPredictor,
    sigmoid_mask_loss,
    sigmoid_mask_probabilities,
    softmax_mask_loss,
    softmax_mask_probabilities,
)
from seglab.models.mask_paste import paste_masks
from seglab.models.mask_rcnn import MaskRCNN, load_coco_v1, maskrcnn_resnet50_fpn
from seglab.models.mask_targets import mask_targets
from seglab.models.mobilenet_v2 import MobileNetV2, MobileNetV2Backbone, mobilenet_v2
from seglab.models.pooled_norm import PooledBatchNorm2d
from seglab.models.pspnet import PSPHead, PSPNet, PyramidPooling
from seglab.models.resnet import BasicBlock, Bottleneck, FrozenBatchNorm2d, ResNet, resnet18, resnet50, resnet101
from seglab.models.resnet_fpn import ResNetFPN
from seglab.models.roi_heads import MaskRoIHeads, RoIHeads
from seglab.models.roi_pooler import RoIPooler
from seglab.models.roi_sampling import TrainingRoIs, sample_rois
from seglab.models.rpn import RPN, RPNHead
from seglab.models.separable import SeparableConv2d
from seglab.models.small_mask_rcnn import small_mask_rcnn
from seglab.models.unet import UNet, init_he, legal_sizes, output_size
from seglab.models.vgg import VGG16
from seglab.models.xception import Xception, xception65

__all__ = [
    "ASPP",
    "ASPPSum",
    "Backbone",
    "BasicBlock",
    "Bottleneck",
    "DeepLabV1",
    "DeepLabV2",
    "DeepLabV3",
    "DeepLabV3Plus",
    "DenseModel",
    "DetectionBatch",
    "DetectionTransform",
    "DilatedContext",
    "FCNHead",
    "FCNResNet",
    "FPN",
    "FastRCNNPredictor",
    "FasterRCNN",
    "FrozenBatchNorm2d",
    "Latency",
    "MLPMaskPredictor",
    "MaskHead",
    "MaskPredictor",
    "MaskRCNN",
    "MaskRoIHeads",
    "MobileNetV2",
    "MobileNetV2Backbone",
    "PSPHead",
    "PSPNet",
    "PooledBatchNorm2d",
    "PyramidPooling",
    "RPN",
    "RPNHead",
    "ResNet",
    "ResNetFPN",
    "RoIHeads",
    "RoIPooler",
    "SeparableConv2d",
    "TrainingRoIs",
    "TwoMLPHead",
    "UNet",
    "VGG16",
    "Xception",
    "assign_levels",
    "check_targets",
    "count_parameters",
    "deeplabv3_resnet50",
    "dilated_stages",
    "fastrcnn_loss",
    "fcn_resnet50",
    "imagenet_normalize",
    "init_he",
    "init_identity",
    "latency",
    "legal_sizes",
    "load_coco_v1",
    "mask_targets",
    "maskrcnn_resnet50_fpn",
    "mobilenet_v2",
    "mult_adds",
    "output_size",
    "paste_masks",
    "postprocess_detections",
    "resnet101",
    "resnet18",
    "resnet50",
    "sample_rois",
    "sigmoid_mask_loss",
    "sigmoid_mask_probabilities",
    "small_mask_rcnn",
    "softmax_mask_loss",
    "softmax_mask_probabilities",
    "valid_tap_share",
    "xception65",
]
