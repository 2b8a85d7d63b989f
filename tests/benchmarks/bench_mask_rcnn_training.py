"""Seconds of training until held-out mask AP50 reaches 0.60, beside torchvision's model of the same parts."""

import time
from collections import OrderedDict

import torch
from torchvision.models.detection import MaskRCNN as Reference
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from seglab.data import Shapes
from seglab.metrics import COCOEvaluator
from seglab.models import BasicBlock, ResNet, ResNetFPN, small_mask_rcnn
from seglab.runtime import seed_everything

STEPS, BATCH, RATE, GOAL, EVERY = 400, 8, 3e-3, 0.60, 50


class NamedMaps(ResNetFPN):
    """The same backbone, its maps in the dictionary that torchvision wants."""

    def forward(self, images):
        """(N, 3, H, W) -> maps by name."""
        return OrderedDict((str(k), m) for k, m in enumerate(super().forward(images)))


def reference_model():
    """torchvision's Mask R-CNN with the sizes and the parameter names of `small_mask_rcnn`."""
    channels, width = 48, 192
    model = Reference(
        NamedMaps(ResNet(BasicBlock, (1, 1, 1, 1), width=16), channels), min_size=128, max_size=256,
        image_mean=[0.5] * 3, image_std=[0.25] * 3,
        rpn_anchor_generator=AnchorGenerator(((8, 11), (16, 23), (32, 45), (64, 91), (128, 181)), ((1.0,),) * 5),
        rpn_fg_iou_thresh=0.5, rpn_batch_size_per_image=64, rpn_pre_nms_top_n_train=200, rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_train=100, rpn_post_nms_top_n_test=50, box_roi_pool=MultiScaleRoIAlign(["0"], 7, 2),
        box_head=TwoMLPHead(channels * 49, width), box_predictor=FastRCNNPredictor(width, 4),
        mask_roi_pool=MultiScaleRoIAlign(["0"], 14, 2), mask_head=MaskRCNNHeads(channels, (channels, channels), 1),
        mask_predictor=MaskRCNNPredictor(channels, channels, 4), box_batch_size_per_image=32,
        box_positive_fraction=0.4)
    return model


def target(scene, dense):
    """The truth of a scene: a label map for us, one mask an object for torchvision."""
    truth = {"boxes": scene.boxes, "labels": scene.classes}
    if not dense:
        return truth | {"instances": scene.instances}
    return truth | {"masks": (scene.instances == torch.arange(1, len(scene) + 1)[:, None, None]).to(torch.uint8)}


@torch.no_grad()
def mask_ap50(model, scenes):
    """Mask AP50 of a model on some scenes."""
    evaluator = COCOEvaluator("segm")
    for start in range(0, len(scenes), 20):
        part = scenes[start:start + 20]
        for scene, found in zip(part, model.eval()([s.image for s in part])):
            evaluator.update({"instances": scene.instances, "classes": scene.classes},
                             {"masks": found["masks"][:, 0] > 0.5, "classes": found["labels"],
                              "scores": found["scores"]})
    model.train()
    return evaluator.compute()["AP50"]


def train(model, data, held_out):
    """Seconds of training when AP50 first reached the goal (infinite if never), seconds in all, AP50 at the end."""
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    generator, seconds, reached = seed_everything(0), 0.0, float("inf")
    for step in range(STEPS):
        index = torch.randint(len(data), (BATCH,), generator=generator).tolist()
        begun = time.perf_counter()
        images, targets = zip(*(data[i] for i in index))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 30) * (1 - step / STEPS)
        optimizer.zero_grad()
        sum(model(list(images), list(targets)).values()).backward()
        optimizer.step()
        seconds += time.perf_counter() - begun
        if reached == float("inf") and step >= STEPS // 2 and (step + 1) % EVERY == 0:
            reached = seconds if mask_ap50(model, held_out) >= GOAL else reached
    return reached, seconds, mask_ap50(model, held_out)


def to_the_goal():
    """Both from the same weights, on the same batches; rendering and evaluation are not timed."""
    scenes, held_out = map(Shapes(seed=0).__getitem__, range(800)), [Shapes(seed=1)[i] for i in range(60)]
    data = [(s.image, target(s, False), target(s, True)) for s in scenes]
    seed_everything(0)
    mine, theirs = small_mask_rcnn(), reference_model()
    theirs.load_state_dict(mine.state_dict())
    ours_at, ours, ap = train(mine, [(x, label_map) for x, label_map, _ in data], held_out)
    theirs_at, theirs, reference = train(theirs, [(x, dense) for x, _, dense in data], held_out)
    name = f"training to mask AP50 {GOAL:.2f}, 128 px scenes (after {STEPS} steps {ap:.2f}, theirs {reference:.2f})"
    return dict(name=name, rival="torchvision, same parts and weights", ours=min(ours_at, ours),
                theirs=min(theirs_at, theirs), difference=abs(ap - reference), tolerance=0.1, limit=None)


ROWS = [to_the_goal]
