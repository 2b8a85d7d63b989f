"""FCN, DeepLab v3, ASPP and PSPNet against torchvision and segmentation_models_pytorch: keys, values, gradients."""

from types import SimpleNamespace
from unittest import mock

import pytest
import segmentation_models_pytorch as smp
import torch
from segmentation_models_pytorch.base import SegmentationHead
from segmentation_models_pytorch.base.modules import Conv2dReLU
from segmentation_models_pytorch.decoders.pspnet import decoder as smp_decoder
from torch import nn
from torch.nn import functional as F
from torchvision.models import segmentation
from torchvision.models.segmentation import deeplabv3 as reference

from seglab.models import ASPP, PSPNet, deeplabv3_resnet50, fcn_resnet50, resnet18

SIZES = [(33, 33), (47, 65), (40, 17), (1, 1), (8, 3)]


def shake(model):
    """Running statistics and affine parts that are not 0 and 1, and no dropout."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 2.0)
        elif isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return model.double()


def relative(mine, wanted):
    return ((mine - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12)).item()


@pytest.fixture(scope="module", params=["fcn_resnet50", "deeplabv3_resnet50"])
def pair(request):
    """Our network and torchvision's, with its state dict loaded strictly."""
    torch.manual_seed(0)
    theirs = getattr(segmentation, request.param)(weights=None, weights_backbone=None, num_classes=5, aux_loss=True)
    ours = {"fcn_resnet50": fcn_resnet50, "deeplabv3_resnet50": deeplabv3_resnet50}[request.param](5, aux_loss=True)
    shake(theirs), shake(ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert len(theirs.state_dict()) == {"fcn_resnet50": 334, "deeplabv3_resnet50": 370}[request.param]
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return request.param, ours, theirs


def test_torchvision_outputs(pair):
    name, ours, theirs = pair
    ours.eval(), theirs.eval()
    worst = 0.0
    for k, size in enumerate(SIZES):
        images = torch.randn(1, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
        with torch.no_grad():
            logits, auxiliary = ours.logits_and_auxiliary(images)
            wanted = theirs(images)
            assert torch.equal(ours(images), logits)
        assert logits.shape == (1, 5, *size)
        worst = max(worst, relative(logits, wanted["out"]), relative(auxiliary, wanted["aux"]))
    print(f"\n{name} against torchvision, out and aux at {SIZES}: worst relative difference {worst:.1e}")
    assert worst < 1e-10


def test_torchvision_gradients(pair):
    name, ours, theirs = pair
    images = torch.randn(2, 3, 33, 25, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    ours.train(), theirs.train()
    ours.zero_grad(), theirs.zero_grad()
    logits, auxiliary = ours(images)
    wanted = theirs(images)
    (logits.square().mean() + auxiliary.square().mean()).backward()
    (wanted["out"].square().mean() + wanted["aux"].square().mean()).backward()
    worst = 0.0
    for (key, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None and mine.grad.abs().max() > 0, key
        worst = max(worst, relative(mine.grad, other.grad))
    print(f"\n{name} against torchvision, gradient of every parameter: worst relative difference {worst:.1e}")
    assert worst < 1e-8
    for (key, mine), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12, msg=key)


@pytest.mark.parametrize("rates, size", [((6, 12, 18), (9, 7)), ((12, 24, 36), (33, 20)), ((2,), (1, 4))])
def test_aspp_is_torchvisions(rates, size):
    torch.manual_seed(1)
    theirs = shake(reference.ASPP(6, rates, 8))
    ours = shake(ASPP(6, rates, 8))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    for training in (False, True):
        ours.train(training), theirs.train(training)
        x = torch.randn(2, 6, *size, dtype=torch.float64)
        inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
        mine, wanted = ours(inputs[0]), theirs(inputs[1])
        torch.testing.assert_close(mine, wanted, rtol=1e-10, atol=1e-12)
        grads = [torch.autograd.grad(y.square().sum(), [i, *net.parameters()])
                 for y, i, net in zip((mine, wanted), inputs, (ours, theirs), strict=True)]
        for a, b in zip(*grads, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


# ---------------------------------------------------------------- PSPNet: smp's parts, put together as in the paper

def smp_pspnet(num_classes, output_stride):
    """smp's encoder, pyramid and blocks in the paper's order: a 3x3 convolution, then a 1x1 classifier at the end.

    A stage that smp dilates is dilated as a whole; the convolution that lost its stride gets back the dilation of the
    stage before.
    """
    net = smp.PSPNet("resnet18", encoder_weights=None, encoder_depth=5, classes=num_classes, psp_dropout=0.0)
    net.decoder.conv = Conv2dReLU(1024, 512, 3, padding=1, use_norm="batchnorm")
    net.segmentation_head = SegmentationHead(512, num_classes, kernel_size=1)
    if output_stride == 8:
        net.encoder.make_dilated(output_stride)
        for block, dilation in ((net.encoder.layer3[0], 1), (net.encoder.layer4[0], 2)):
            block.conv1.dilation = block.conv1.padding = (dilation, dilation)
    return net


def load_into_smp(theirs, ours):
    """Our parameters under smp's names; the batch norm of the 1-cell level is folded into smp's bias, in eval mode."""
    theirs.encoder.load_state_dict(ours.backbone.state_dict(), strict=True)
    head = ours.classifier
    for bins, level, block in zip((1, 2, 3, 6), head.pyramid.levels, theirs.decoder.psp.blocks, strict=True):
        _, conv, norm, _ = level
        target = block.pool[1]
        if bins == 1:
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            target[0].weight.data = (conv.weight * scale[:, None, None, None]).detach().clone()
            target[0].bias.data = (norm.bias - norm.running_mean * scale).detach().clone()
        else:
            target[0].load_state_dict(conv.state_dict(), strict=True)
            target[1].load_state_dict(norm.state_dict(), strict=True)
    # smp lays the pyramid before the features, we (as the paper draws it) after them
    channels = ours.backbone.channels[-1]
    weight = torch.cat([head.conv.weight[:, channels:], head.conv.weight[:, :channels]], dim=1)
    theirs.decoder.conv[0].weight.data = weight.detach().clone()
    theirs.decoder.conv[1].load_state_dict(head.norm_relu[0].state_dict(), strict=True)
    theirs.segmentation_head[0].load_state_dict(head.classifier.state_dict(), strict=True)


def not_aligned(x, size, mode, align_corners):
    assert align_corners
    return F.interpolate(x, size=size, mode=mode, align_corners=False)


@pytest.mark.parametrize("output_stride", [8, 32])
def test_pspnet_is_made_of_smps_parts(output_stride):
    torch.manual_seed(2)
    ours = shake(PSPNet(4, resnet18, output_stride, aux_loss=False)).eval()
    theirs = smp_pspnet(4, output_stride).double().eval()
    load_into_smp(theirs, ours)
    worst = 0.0
    with mock.patch.object(smp_decoder, "F", SimpleNamespace(interpolate=not_aligned)):
        for size in ((64, 64), (96, 32)):
            images = torch.randn(2, 3, *size, dtype=torch.float64)
            for model in (ours, theirs):
                model.zero_grad()
            logits = ours(images)
            wanted = F.interpolate(theirs(images), size=size, mode="bilinear", align_corners=False)
            logits.square().mean().backward(), wanted.square().mean().backward()
            worst = max(worst, relative(logits, wanted))
            named = dict(theirs.encoder.named_parameters())
            for key, parameter in ours.backbone.named_parameters():
                worst = max(worst, relative(parameter.grad, named[key].grad))
            channels = ours.backbone.channels[-1]
            mine = ours.classifier.conv.weight.grad
            worst = max(worst, relative(torch.cat([mine[:, channels:], mine[:, :channels]], 1),
                                        theirs.decoder.conv[0].weight.grad))
            for level, block in list(zip(ours.classifier.pyramid.levels, theirs.decoder.psp.blocks, strict=True))[1:]:
                worst = max(worst, relative(level[1].weight.grad, block.pool[1][0].weight.grad))
    print(f"\nPSPNet at stride {output_stride} against smp's parts, logits and gradients: worst {worst:.1e}")
    assert worst < 1e-9
