"""Mask R-CNN's own parts and a whole training step, against torchvision at the same architecture and weights."""

import statistics
import sys
import time
from pathlib import Path

import torch
from stopwatch import timed
from torchvision.models.detection import maskrcnn_resnet50_fpn as reference_resnet50
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes

from seglab.models import mask_targets, maskrcnn_resnet50_fpn, paste_masks

HERE = Path(__file__).resolve().parent


def paste(size, low, high, count=100):
    """Masks 28x28 into a picture; sides of the boxes uniform between low and high px."""
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(count, 1, 28, 28, generator=generator)
    place = torch.tensor([size[1], size[0]]) * 0.7
    corner = torch.rand(count, 2, generator=generator) * place
    boxes = torch.cat([corner, corner + low + (high - low) * torch.rand(count, 2, generator=generator)], 1)
    ours, mine = timed(paste_masks, masks, boxes, size, repeats=7)
    theirs, expected = timed(paste_masks_in_image, masks, boxes, size, repeats=7)
    return dict(name=f"mask paste, {count} boxes of {low} to {high} px, {size[0]}x{size[1]}", rival="torchvision",
                ours=ours, theirs=theirs, difference=float((mine - expected).abs().max()), tolerance=0.0, limit=0.5)


def paste_of_medium_boxes():
    """Objects as on COCO."""
    return paste((800, 1066), 20, 400)


def paste_of_large_boxes():
    """Every mask covers a good part of the picture: the case with the least to save."""
    return paste((800, 1066), 400, 800)


def paste_of_small_pictures():
    """The scenes of notebook 14."""
    return paste((128, 128), 15, 50, count=30)


def targets(size, count, low, high, rois, limit):
    """From one label map, against RoIAlign of dense masks that exist already; sides of the objects low to high px."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.zeros(size, size, dtype=torch.int32)
    corner = torch.randint(0, size - high, (count, 2), generator=generator)
    sides = torch.randint(low, high, (count, 2), generator=generator)
    for i, ((x, y), (w, h)) in enumerate(zip(corner.tolist(), sides.tolist())):
        labels[y:y + h, x:x + w] = i + 1
    masks = (labels == torch.arange(1, count + 1)[:, None, None]).float()
    objects = torch.randint(0, count, (rois,), generator=generator)
    boxes = torch.cat([corner, corner + sides], 1)[objects] + 3 * torch.randn(rois, 4, generator=generator)
    ours, mine = timed(mask_targets, labels, objects, boxes, 28, repeats=15)
    theirs, expected = timed(project_masks_on_boxes, masks, boxes, objects, 28, repeats=15)
    return dict(name=f"mask targets 28x28, {rois} RoIs, {count} objects of {low} to {high} px, {size}x{size}",
                rival="torchvision, dense masks at hand", ours=ours, theirs=theirs,
                difference=float((mine - expected).abs().max()), tolerance=1e-6, limit=limit)


def targets_of_a_crowd():
    """Many objects in a middling picture."""
    return targets(512, 60, 10, 110, 128, limit=1.0)


def targets_of_large_objects():
    """As on COCO: many sampling points a bin."""
    return targets(800, 20, 50, 400, 128, limit=1.0)


def targets_of_small_pictures():
    """The scenes of notebook 14: 50 calls of PyTorch that prepare cost more here than the pixels do; no limit."""
    return targets(128, 4, 15, 50, 13, limit=None)


def scenes(count, size, objects=8):
    """Pictures with rectangles, the truth as a label map for us and as masks for torchvision."""
    generator = torch.Generator().manual_seed(0)
    images, ours, theirs = [], [], []
    for _ in range(count):
        labels = torch.zeros(size, size, dtype=torch.int32)
        sides = torch.randint(size // 10, size // 3, (objects, 2), generator=generator)
        corner = (torch.rand(objects, 2, generator=generator) * (size - sides)).long()
        for i, ((x, y), (w, h)) in enumerate(zip(corner.tolist(), sides.tolist())):
            labels[y:y + h, x:x + w] = i + 1
        both = {"boxes": torch.cat([corner, corner + sides], 1).float(), "labels": torch.arange(objects) % 90 + 1}
        images.append(torch.rand(3, size, size, generator=generator))
        ours.append({**both, "instances": labels})
        theirs.append({**both, "masks": (labels == torch.arange(1, objects + 1)[:, None, None]).byte()})
    return images, ours, theirs


def steps(ours, theirs, images, mine, reference, repeats):
    """Seconds of a forward and backward pass of each, in turn, and the largest relative difference of the losses."""
    seconds, losses = ([], []), [None, None]
    for _ in range(repeats + 1):
        for k, (model, targets) in enumerate(((ours, mine), (theirs, reference))):
            torch.manual_seed(0)
            model.zero_grad()
            begun = time.perf_counter()
            losses[k] = model(images, targets)
            sum(losses[k].values()).backward()
            seconds[k].append(time.perf_counter() - begun)
            losses[k] = {name: float(value.detach()) for name, value in losses[k].items()}
    difference = max(abs(losses[0][name] - value) / abs(value) for name, value in losses[1].items())
    return [statistics.median(s[1:]) for s in seconds], difference                # the first step warms up


def training_step_of_resnet50():
    """The published architecture: 91 classes, two pictures of 256 px with 8 objects each."""
    torch.manual_seed(0)
    options = dict(min_size=256, max_size=512)
    theirs = reference_resnet50(weights=None, weights_backbone=None, num_classes=91, **options)
    ours = maskrcnn_resnet50_fpn(91, **options)
    ours.load_state_dict(theirs.state_dict())
    (mine, reference), difference = steps(ours, theirs, *scenes(2, 256), repeats=3)
    return dict(name="Mask R-CNN ResNet-50 FPN, training step, 2x256x256", rival="torchvision", ours=mine,
                theirs=reference, difference=difference, tolerance=1e-3, limit=1.0)


def training_step_of_a_small_model():
    """The size of notebook 14: four blocks, a pyramid of 32 channels, four pictures of 128 px."""
    sys.path.insert(0, str(HERE.parent / "parity"))
    import test_mask_rcnn_parity as parity
    sys.path.pop(0)
    parity.SETTINGS.update(min_size=128, max_size=128, rpn_pre_nms_top_n_train=300, rpn_post_nms_top_n_train=200)
    ours, theirs = (model.float().train() for model in parity.pair(0))
    del theirs.rpn.assign_targets_to_anchors                                  # the test's, for double precision
    images, mine, reference = scenes(4, 128, objects=3)
    (ours_seconds, their_seconds), difference = steps(ours, theirs, images, mine, reference, repeats=9)
    return dict(name="Mask R-CNN small, training step, 4x128x128", rival="torchvision", ours=ours_seconds,
                theirs=their_seconds, difference=difference, tolerance=1e-3, limit=1.0)


ROWS = [paste_of_medium_boxes, paste_of_large_boxes, paste_of_small_pictures, targets_of_a_crowd,
        targets_of_large_objects, targets_of_small_pictures, training_step_of_a_small_model, training_step_of_resnet50]
