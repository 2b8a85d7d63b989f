"""A training step of PSPNet on ResNet-50 at output stride 8, against smp's parts put together to the same network."""

from statistics import median
from types import SimpleNamespace
from unittest import mock

import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.modules import Conv2dReLU
from segmentation_models_pytorch.decoders.pspnet import decoder as smp_decoder
from stopwatch import timed
from torch import nn
from torch.nn import functional as F

from seglab.models import PSPNet

CLASSES, SIDE = 21, 96


def smp_pspnet():
    """smp's PSPNet with the paper's 3x3 convolution and 1x1 classifier, and with our conventions.

    Those are the dilation of the first blocks and `align_corners=False`; neither costs or saves time.
    """
    net = smp.PSPNet("resnet50", encoder_weights=None, encoder_depth=5, classes=CLASSES, psp_dropout=0.0)
    net.decoder.conv = Conv2dReLU(4096, 512, 3, padding=1, use_norm="batchnorm")
    net.segmentation_head = SegmentationHead(512, CLASSES, kernel_size=1, upsampling=8)
    net.segmentation_head[1].align_corners = False
    net.encoder.make_dilated(8)
    for block, dilation in ((net.encoder.layer3[0], 1), (net.encoder.layer4[0], 2)):
        block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    return net


def same_weights(ours, theirs):
    """Load our parameters into smp's network, whose pyramid lies before the features."""
    theirs.encoder.load_state_dict(ours.backbone.state_dict())
    head = ours.classifier
    for level, block in zip(head.pyramid.levels, theirs.decoder.psp.blocks, strict=True):
        block.pool[0] = level[0]
        block.pool[1] = nn.Sequential(level[1], level[2], nn.ReLU(inplace=True))
    weight = head.conv.weight.data
    theirs.decoder.conv[0].weight.data = torch.cat([weight[:, 2048:], weight[:, :2048]], dim=1)
    theirs.segmentation_head[0].load_state_dict(head.classifier.state_dict())


def not_aligned(x, size, mode, align_corners):
    """smp's enlargement of a level, with `align_corners=False`."""
    return F.interpolate(x, size=size, mode=mode, align_corners=False)


def of_pspnet():
    """One step: forward, cross-entropy, backward; no auxiliary head, no dropout, the same parameters in both."""
    torch.manual_seed(0)
    ours = PSPNet(CLASSES, aux_loss=False).train()
    ours.classifier.norm_relu[2].p = 0.0
    theirs = smp_pspnet().train()
    same_weights(ours, theirs)
    images, target = torch.randn(2, 3, SIDE, SIDE), torch.randint(0, CLASSES, (2, SIDE, SIDE))

    def step(model):
        model.zero_grad()
        logits = model(images)
        F.cross_entropy(logits, target).backward()
        return logits.detach()

    mine, wanted = [], []
    with mock.patch.object(smp_decoder, "F", SimpleNamespace(interpolate=not_aligned)):
        for _ in range(4):                                    # in turns, so that a busy moment hits both
            mine.append(timed(step, ours, repeats=1))
            wanted.append(timed(step, theirs, repeats=1))
    logits, reference = mine[0][1], wanted[0][1]
    return dict(name=f"PSPNet, ResNet-50, stride 8, 2x3x{SIDE}x{SIDE}, training step", rival="smp PSPNet, same layers",
                ours=median(s for s, _ in mine[1:]), theirs=median(s for s, _ in wanted[1:]),
                difference=float((logits - reference).abs().max() / reference.abs().max()), tolerance=1e-3, limit=1.0)


ROWS = [of_pspnet]
