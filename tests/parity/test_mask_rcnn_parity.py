"""Mask R-CNN against torchvision: names, every stage, detections, losses and gradients, in double precision."""


import copy

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.detection import MaskRCNN as Reference
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor as ReferencePredictor
from torchvision.models.detection.faster_rcnn import TwoMLPHead as ReferenceHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from seglab.models import (
    BasicBlock,
    FastRCNNPredictor,
    MaskHead,
    MaskPredictor,
    MaskRCNN,
    ResNet,
    ResNetFPN,
    TwoMLPHead,
    load_coco_v1,
    maskrcnn_resnet50_fpn,
)

SIZES = ((8,), (16,), (32,), (64,), (128,))
RATIOS = (0.5, 1.0, 2.0)
SETTINGS = dict(min_size=(72, 88), max_size=128, rpn_pre_nms_top_n_train=200, rpn_pre_nms_top_n_test=150,
                rpn_post_nms_top_n_train=120, rpn_post_nms_top_n_test=60, box_detections_per_img=200,
                rpn_batch_size_per_image=64, box_batch_size_per_image=48, box_fg_iou_thresh=0.6,
                box_bg_iou_thresh=0.4)
RESNET50 = {**SETTINGS, "min_size": 48, "max_size": 96, "box_score_thresh": 0.01}
CLASSES = 4


def pair(seed=0):
    """The same small network twice: four blocks, a pyramid of 32 channels, heads scaled up so that they decide."""
    torch.manual_seed(seed)
    body = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    backbone = _resnet_fpn_extractor(body, 5)
    backbone.fpn = torchvision.ops.FeaturePyramidNetwork(
        [64, 128, 256, 512], 32, torchvision.ops.feature_pyramid_network.LastLevelMaxPool())
    backbone.out_channels = 32
    theirs = Reference(
        backbone, rpn_anchor_generator=AnchorGenerator(SIZES, (RATIOS,) * 5), box_head=ReferenceHead(32 * 49, 64),
        box_predictor=ReferencePredictor(64, CLASSES), mask_head=MaskRCNNHeads(32, (24, 24), 1),
        mask_predictor=MaskRCNNPredictor(24, 16, CLASSES), **SETTINGS).double()
    with torch.no_grad():
        for module in (theirs.rpn.head, theirs.roi_heads.box_predictor, theirs.roi_heads.mask_predictor):
            for p in module.parameters():
                p.normal_(0, 0.15)
        for module in theirs.modules():                      # statistics that are not the start values
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    ours = MaskRCNN(
        ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1)), 32), CLASSES, anchor_sizes=SIZES, aspect_ratios=RATIOS,
        box_head=TwoMLPHead(32 * 49, 64), box_predictor=FastRCNNPredictor(64, CLASSES),
        mask_head=MaskHead(32, (24, 24)), mask_predictor=MaskPredictor(24, 16, CLASSES), **SETTINGS).double()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    labels_in_double(theirs)
    return ours, theirs


def labels_in_double(theirs):
    """The reference's RPN labels are single precision, and round its objectness loss to that."""
    assign = theirs.rpn.assign_targets_to_anchors

    def in_double(*args):
        labels, boxes = assign(*args)
        return [row.double() for row in labels], boxes

    theirs.rpn.assign_targets_to_anchors = in_double


def scene(seed=0, sizes=((70, 96), (81, 67), (72, 72)), counts=(4, 2, 0)):
    """Pictures of different sizes with rectangles of different brightness; the last one shows nothing."""
    generator = torch.Generator().manual_seed(seed)
    images, targets = [], []
    for (height, width), count in zip(sizes, counts):
        image = torch.rand(3, height, width, generator=generator, dtype=torch.float64) * 0.3
        labels = torch.zeros(height, width, dtype=torch.int64)
        boxes = []
        for i in range(count):
            w, h = (int(torch.randint(8, 34, (1,), generator=generator)) for _ in range(2))
            x, y = (int(torch.randint(0, side - s, (1,), generator=generator)) for side, s in ((width, w), (height, h)))
            labels[y:y + h, x:x + w] = i + 1
            image[:, y:y + h, x:x + w] += 0.2 * (i + 1) / count
            boxes.append([x, y, x + w, y + h])
        masks = labels == torch.arange(1, count + 1)[:, None, None]
        images.append(image)
        targets.append({"boxes": torch.tensor(boxes, dtype=torch.float64).reshape(-1, 4), "instances": labels,
                        "labels": torch.arange(count) % (CLASSES - 1) + 1, "masks": masks.to(torch.uint8)})
    return images, targets


def only(targets, key):
    """The targets with masks in one of their two forms."""
    return [{k: v for k, v in t.items() if k in ("boxes", "labels", key)} for t in targets]


def worst(mine, reference):
    """Largest difference of two nested structures of tensors of the same form."""
    if isinstance(reference, dict):
        assert set(mine) == set(reference)
        return max(worst(mine[k], reference[k]) for k in reference)
    if isinstance(reference, (list, tuple)):
        assert len(mine) == len(reference)
        return max(worst(a, b) for a, b in zip(mine, reference))
    assert mine.shape == reference.shape, (mine.shape, reference.shape)
    return (mine.double() - reference.double()).abs().max().item() if mine.numel() else 0.0


def test_every_stage_on_its_own():
    ours, theirs = (m.eval() for m in pair())
    images, targets = scene()
    with torch.no_grad():
        batch, (reference, moved) = ours.transform(images, only(targets, "masks")), theirs.transform(
            images, only(targets, "masks"))
        size = tuple(batch.images.shape[-2:])
        difference = {"transform": worst(batch.images, reference.tensors) + worst(batch.targets, moved)}
        assert batch.sizes == [tuple(s) for s in reference.image_sizes] and difference["transform"] == 0
        maps = theirs.backbone(reference.tensors)
        features = ours.backbone(batch.images)
        difference["features"] = worst(features, list(maps.values()))
        boxes, _ = theirs.rpn(reference, maps)
        proposals, _ = ours.rpn(features, size, batch.sizes)
        difference["proposals"] = worst(proposals, boxes)
        pooled = ours.roi_heads.box_roi_pool(features, boxes, size)
        expected = theirs.roi_heads.box_roi_pool(maps, boxes, reference.image_sizes)
        difference["box pooling"] = worst(pooled, expected)
        heads = ours.roi_heads.box_predictor(ours.roi_heads.box_head(expected))
        outputs = theirs.roi_heads.box_predictor(theirs.roi_heads.box_head(expected))
        difference["box head"] = worst(heads, outputs)
        found = ours.roi_heads.detect(*outputs, boxes, batch.sizes)
        columns = theirs.roi_heads.postprocess_detections(*outputs, boxes, reference.image_sizes)
        expected = [dict(zip(("boxes", "scores", "labels"), row)) for row in zip(*columns)]
        difference["detections"] = worst(found, expected)
        assert all(len(d["boxes"]) > 3 for d in found)
        at = [d["boxes"] for d in expected]
        logits = theirs.roi_heads.mask_predictor(theirs.roi_heads.mask_head(
            theirs.roi_heads.mask_roi_pool(maps, at, reference.image_sizes)))
        difference["mask logits"] = worst(ours.roi_heads.masks(features, at, size), logits)
    print("stages against torchvision:", ", ".join(f"{k} {v:.0e}" for k, v in difference.items()))
    assert max(difference.values()) < 1e-9


@pytest.mark.parametrize("seed", range(2))
def test_detections_and_pasted_masks(seed):
    ours, theirs = (m.eval() for m in pair(seed))
    images, _ = scene(seed)
    same_detections(ours, theirs, images, "small network")


def same_detections(ours, theirs, images, name):
    with torch.no_grad():
        found, expected = ours(images), theirs(images)
    count = [len(d["boxes"]) for d in expected]
    difference = worst(found, expected)
    print(f"detections against torchvision, {name}: {count}, worst difference {difference:.1e}")
    assert min(count) > 3 and difference < 1e-9 and len(torch.cat([d["labels"] for d in found]).unique()) > 1
    assert all(d["masks"].shape[1:] == (1, *image.shape[1:]) and d["masks"].max() > 0.1
               for d, image in zip(found, images))


@pytest.mark.parametrize("key, seed", [("masks", 0), ("instances", 0), ("instances", 1)])
def test_five_losses_and_all_gradients(key, seed):
    same_losses_and_gradients(*pair(seed), *scene(seed), key, seed)


def same_losses_and_gradients(ours, theirs, images, targets, key, seed):
    ours.train(), theirs.train()
    torch.manual_seed(seed)
    expected = theirs(images, only(targets, "masks"))
    torch.manual_seed(seed)
    losses = ours(images, only(targets, key))
    assert list(losses) == list(expected) and len(losses) == 5
    assert all(value > 1e-3 for value in expected.values())
    for value in (losses, expected):
        sum(value.values()).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    mine = {name: p.grad for name, p in ours.named_parameters()}
    assert mine.keys() == gradients.keys()
    relative = max(worst(mine[name], g) / max(g.abs().max().item(), 1e-8) for name, g in gradients.items())
    difference = worst(losses, expected)
    print(f"five losses against torchvision ({key}): {difference:.1e}; {len(mine)} gradients, relative {relative:.1e}")
    assert difference < 1e-9 and relative < 1e-8
    assert worst(dict(ours.named_buffers()), dict(theirs.named_buffers())) < 1e-9     # batch statistics alike


def published_names(state):
    """The state dict under the names of torchvision's published files."""
    names = {"rpn.head.conv.0.0.": "rpn.head.conv."}
    names |= {f"backbone.fpn.{block}_blocks.{i}.0.": f"backbone.fpn.{block}_blocks.{i}."
              for block in ("inner", "layer") for i in range(4)}
    names |= {f"roi_heads.mask_head.{i}.0.": f"roi_heads.mask_head.mask_fcn{i + 1}." for i in range(4)}
    renamed = {}
    for key, value in state.items():
        for new, old in names.items():
            if key.startswith(new):
                key = old + key.removeprefix(new)
        renamed[key] = value
    return renamed


def test_resnet50_has_torchvisions_names_and_sizes():
    """On the meta device: 360 tensors of 91 classes without their 178 MB."""
    with torch.device("meta"):
        theirs = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    ours = maskrcnn_resnet50_fpn()
    mine, reference = ours.state_dict(), theirs.state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in reference.items()} and len(mine) == 360
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert len(set(published_names(mine)) - set(mine)) == 2 + 16 + 8


@pytest.fixture(scope="module")
def resnet50_reference():
    """torchvision's model with statistics from a picture, so that activations keep their size through 50 layers."""
    torch.manual_seed(0)
    theirs = torchvision.models.detection.maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=5, **RESNET50).double()
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        theirs.backbone(torch.randn(2, 3, 64, 64, dtype=torch.float64))
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1
        for module in (theirs.rpn.head, theirs.roi_heads.box_predictor, theirs.roi_heads.mask_predictor):
            for p in module.parameters():
                p.normal_(0, 0.01)
    return theirs.eval()


def test_resnet50_detections_losses_and_gradients(resnet50_reference):
    """Loaded under the published names."""
    images, targets = scene(1, ((48, 64), (50, 50)), (3, 1))
    ours = maskrcnn_resnet50_fpn(5, **RESNET50).double().eval()
    ours.load_state_dict(published_names(resnet50_reference.state_dict()), strict=True)
    same_detections(ours, resnet50_reference, images, "ResNet-50")
    theirs = copy.deepcopy(resnet50_reference)
    labels_in_double(theirs)
    same_losses_and_gradients(ours, theirs, images, targets, "instances", 0)


def test_resnet50_with_frozen_norm_from_a_published_file(resnet50_reference, tmp_path):
    old = published_names(resnet50_reference.state_dict())
    backbone = _resnet_fpn_extractor(
        torchvision.models.resnet50(weights=None, norm_layer=torchvision.ops.FrozenBatchNorm2d), 5)
    theirs = Reference(backbone, 5, **RESNET50).double().eval()
    theirs.load_state_dict(old, strict=True)                 # it takes these names, so they are the right ones
    images, _ = scene(2, ((48, 64),), (3,))
    torch.save({name: value.float() for name, value in old.items()}, tmp_path / "published.pth")
    ours = load_coco_v1(tmp_path / "published.pth", **RESNET50).double()
    assert not ours.training and not [name for name, _ in ours.named_parameters() if ".bn" in name]
    ours.load_state_dict(old, strict=True)                   # the same numbers, in double precision this time
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        usual = theirs.backbone(x)["0"]
        overwrite_eps(theirs, 0.0)                           # what torchvision does to this file, and to no other
        frozen = theirs.backbone(x)["0"]
        mine = ours.backbone(x)[0]
    assert (mine - frozen).abs().max() < 1e-9 * frozen.abs().max() < (mine - usual).abs().max()
    same_detections(ours, theirs, images, "COCO_V1, frozen with eps 0")
