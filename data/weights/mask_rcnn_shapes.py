"""The recipe of mask_rcnn_shapes.safetensors: run this file to train it again, in minutes on one core."""

from pathlib import Path

import torch

from seglab.data import Shapes
from seglab.metrics import COCOEvaluator
from seglab.models import small_mask_rcnn
from seglab.runtime import seed_everything
from seglab.train import fit, save_weights

RECIPE = {"model": "small_mask_rcnn()", "data": "Shapes(seed=0), a new scene every time", "batch": 8, "steps": 1600,
          "augmentation": "mirrored, channels permuted, inverted", "optimizer": "Adam", "lr": 3e-3,
          "schedule": "60 steps up, then linear to 0", "seed": 0}
HELD_OUT = {"data": "Shapes(seed=1)[:200]", "scenes": 200}
SCENES = Shapes(seed=0, length=10**6)
PATH = Path(__file__).with_name("mask_rcnn_shapes.safetensors")


def batch(generator):
    """Images (8, 3, 128, 128) and their targets."""
    images, targets = [], []
    for index in torch.randint(len(SCENES), (RECIPE["batch"],), generator=generator).tolist():
        scene = SCENES[index]
        image, boxes, instances = scene.image[torch.randperm(3, generator=generator)], scene.boxes, scene.instances
        mirror, invert = (torch.rand(2, generator=generator) < 0.5).tolist()
        if mirror:
            image, instances, width = image.flip(-1), instances.flip(-1), image.shape[-1]
            boxes = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1)
        images.append(1 - image if invert else image)
        targets.append({"boxes": boxes, "labels": scene.classes, "instances": instances})
    return torch.stack(images), targets


def score(model, count=HELD_OUT["scenes"]):
    """AP, AP50, AP75 of masks and boxes on the first held-out scenes."""
    box, mask, scenes = COCOEvaluator("bbox"), COCOEvaluator("segm"), Shapes(seed=1)
    with torch.no_grad():
        for scene in map(scenes.__getitem__, range(count)):
            found = model.eval()([scene.image])[0]
            told = {"classes": found["labels"], "scores": found["scores"]}
            box.update({"boxes": scene.boxes, "classes": scene.classes}, {"boxes": found["boxes"], **told})
            mask.update({"instances": scene.instances, "classes": scene.classes},
                        {"masks": found["masks"][:, 0] > 0.5, **told})
    return {name: {key: round(values[key], 4) for key in ("AP", "AP50", "AP75")}
            for name, values in (("mask", mask.compute()), ("box", box.compute()))}


def main() -> None:
    seed_everything(RECIPE["seed"])
    model = small_mask_rcnn().to(memory_format=torch.channels_last)
    steps = RECIPE["steps"]
    fit(model, batch, lambda model, images, targets: sum(model(list(images), targets).values()), steps=steps,
        lr=RECIPE["lr"], schedule=lambda done: min(1, (done * steps + 1) / 60) * (1 - done), seed=RECIPE["seed"])
    scores = score(model)
    save_weights(PATH, model, recipe=RECIPE, held_out=HELD_OUT, scores=scores)
    print(scores)


if __name__ == "__main__":
    main()
