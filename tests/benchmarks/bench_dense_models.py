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

from seglab.models import PSPHead, PSPNet

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
                difference=float((logits - reference).abs().max() / reference.abs().max()), tolerance=1e-3,
                limit=1.1)                                    # the same operations in both: equal but for noise


class ConvolvedFirst(PSPHead):
    """The same head with its weight split: the pyramid's levels are convolved at their own size, then enlarged.

    Bilinear enlargement is ``A s B^T`` with one matrix an axis, and a tap that looks k rows further reads the same
    matrix k rows further. So the kernel can be applied to the few pixels of a level first, for each of its nine taps,
    and three shifted copies of A and of B do the rest: for a 6x6 grid on a 60x60 map 36 positions in place of 3600.
    """

    def forward(self, features):
        """The convolution of ``cat([features, *enlarged pyramid])``, summed part by part."""
        own, *parts = self.conv.weight.split(
            [features.shape[1]] + [self.pyramid.channels] * len(self.pyramid.bins), dim=1)
        x = F.conv2d(features, own, padding=1)
        for small, weight in zip(self.pyramid(features), parts, strict=True):
            (n, c), k = small.shape[:2], len(weight)
            rows, columns = (shifted_copies(b, size, small) for b, size in zip(small.shape[2:], features.shape[2:]))
            taps = (weight.permute(0, 2, 3, 1).reshape(-1, c) @ small.flatten(2)).reshape(n, k, 3, 3, *small.shape[2:])
            x = x + rows @ taps.transpose(3, 4).reshape(n, k, rows.shape[1], columns.shape[1]) @ columns.mT
        return self.classifier(self.norm_relu(x))


def shifted_copies(bins, size, like):
    """``(size, 3 * bins)``: the matrix that enlarges ``bins`` px to ``size`` px, read a row before, at, a row after."""
    matrix = F.interpolate(torch.eye(bins).to(like)[None], size=size, mode="linear")[0].T
    matrix = F.pad(matrix, (0, 0, 1, 1))
    return torch.cat([matrix[k:k + size] for k in range(3)], dim=1)


def of_the_order_in_pspnets_head():
    """The paper's order, concatenate and convolve, against convolving the pyramid before it is enlarged."""
    torch.manual_seed(0)
    plain, split = PSPHead(2048, CLASSES).train(), ConvolvedFirst(2048, CLASSES).train()
    split.load_state_dict(plain.state_dict())
    plain.norm_relu[2].p = split.norm_relu[2].p = 0.0
    features = torch.randn(2, 2048, 32, 32)

    def step(head):
        head.zero_grad()
        logits = head(features)
        logits.square().mean().backward()
        return logits.detach()

    mine, wanted = [], []
    for _ in range(4):
        mine.append(timed(step, plain, repeats=1))
        wanted.append(timed(step, split, repeats=1))
    return dict(name="PSPNet's head on 2x2048x32x32, forward and backward", rival="pyramid convolved, then enlarged",
                ours=median(s for s, _ in mine[1:]), theirs=median(s for s, _ in wanted[1:]),
                difference=float((mine[0][1] - wanted[0][1]).abs().max()), tolerance=1e-3, limit=None)


ROWS = [of_pspnet, of_the_order_in_pspnets_head]
