"""Mask R-CNN trained by seglab.train.fit; its average precision is pycocotools' on the same detections."""

import numpy as np
import torch
from test_metrics_coco import NAMES, pycocotools_stats

from seglab.data import Shapes
from seglab.metrics import COCOEvaluator
from seglab.models import BasicBlock, MaskHead, MaskPredictor, MaskRCNN, ResNet, ResNetFPN, TwoMLPHead
from seglab.train import fit

SCENES = Shapes(size=(64, 64), num_classes=3, objects=(1, 2), radius=(12.0, 20.0), seed=0)


def batch(generator):
    """Three scenes with one or two objects and a picture in which there is nothing."""
    images, targets = [], []
    for index in torch.randint(0, 200, (3,), generator=generator).tolist():
        scene = SCENES[index]
        images.append(scene.image)
        targets.append({"boxes": scene.boxes, "labels": scene.classes, "instances": scene.instances})
    images.append(torch.rand(3, 64, 64, generator=generator) * 0.1)
    targets.append({"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64),
                    "instances": torch.zeros(64, 64, dtype=torch.int32)})
    return images, targets


def test_fit_and_average_precision():
    torch.manual_seed(0)
    backbone = ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1), width=16), 24, levels=(0, 1, 2))
    model = MaskRCNN(backbone, 3, box_head=TwoMLPHead(24 * 49, 48), mask_head=MaskHead(24, (16,)),
                     mask_predictor=MaskPredictor(16, 16, 3), min_size=64, max_size=64, image_mean=(0.5,) * 3,
                     image_std=(0.25,) * 3, anchor_sizes=((12,), (20,), (32,), (48,)), rpn_pre_nms_top_n_train=60,
                     rpn_pre_nms_top_n_test=60, rpn_post_nms_top_n_train=40, rpn_post_nms_top_n_test=30,
                     rpn_batch_size_per_image=32, box_batch_size_per_image=24, box_detections_per_img=10)
    history = fit(model, batch, lambda model, images, targets: sum(model(images, targets).values()), steps=60, lr=2e-3)
    first, last = np.mean(history.loss[:5]), np.mean(history.loss[-5:])

    pictures, coco = [], {kind: COCOEvaluator(kind) for kind in ("bbox", "segm")}
    with torch.no_grad():
        for index in range(500, 520):
            scene, found = SCENES[index], model([SCENES[index].image])[0]
            masks = scene.instances == torch.arange(1, len(scene.classes) + 1)[:, None, None]
            truth = {"masks": masks, "boxes": scene.boxes, "classes": scene.classes,
                     "crowd": torch.zeros(len(masks), dtype=torch.bool)}
            seen = {"masks": found["masks"][:, 0] > 0.5, "boxes": found["boxes"].double(), "classes": found["labels"],
                    "scores": found["scores"].double()}
            for kind in coco:
                coco[kind].update(truth, seen)
            pictures.append([{k: v.numpy() for k, v in side.items()} for side in (truth, seen)])
    for kind in coco:
        mine, reference = coco[kind].compute(), pycocotools_stats(pictures, kind, (1, 2))
        worst = max(abs(mine[name] - value) for name, value in zip(NAMES, reference))
        print(f"loss {first:.2f} -> {last:.2f} in 60 steps; {kind} AP50 {mine['AP50']:.3f}, "
              f"12 numbers against pycocotools: worst difference {worst:.1e}")
        assert worst < 1e-12 and mine["AP50"] > 0.02
    assert last < 0.85 * first
