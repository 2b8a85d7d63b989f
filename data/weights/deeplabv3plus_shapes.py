"""The recipe of deeplabv3plus_shapes.safetensors: run this file to train it again, in minutes on one core."""

from pathlib import Path

import torch
from torch import Tensor

from seglab.data import Shapes
from seglab.losses import cross_entropy
from seglab.metrics import ConfusionMatrix
from seglab.models import DeepLabV3Plus, resnet18
from seglab.runtime import device, seed_everything
from seglab.train import fit, save_weights

RECIPE = {"model": "DeepLabV3Plus(resnet18(width=16, output_stride=16), 4, rates=(1, 2, 3), channels=64)",
          "data": "Shapes(size=(96, 96), num_classes=4, objects=(2, 4), radius=(12, 26), texture=0.3)",
          "input": "(image - 0.5) * 4", "scenes": 1500, "batch": 8, "steps": 1500, "optimizer": "Adam", "lr": 3e-3,
          "schedule": "(1 - t) ** 0.9", "flips": "left-right", "seed": 0}
PATH = Path(__file__).with_name("deeplabv3plus_shapes.safetensors")


def build(output_stride: int = 16) -> DeepLabV3Plus:
    """The network, without its weights."""
    backbone = resnet18(width=16, output_stride=output_stride)
    return DeepLabV3Plus(backbone, 4, output_stride, rates=(1, 2, 3), channels=64)


def scenes(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Network inputs (count, 3, 96, 96) and class ids (count, 96, 96)."""
    shapes = Shapes(size=(96, 96), num_classes=4, objects=(2, 4), radius=(12.0, 26.0), texture=0.3, seed=seed)
    samples = [shapes[k] for k in range(count)]
    return (torch.stack([s.image for s in samples]) - 0.5) * 4, torch.stack([s.semantic for s in samples])


@torch.no_grad()
def mean_iou(net: torch.nn.Module, images: Tensor, target: Tensor) -> float:
    """Mean IoU over the four classes, all pixels of all pictures together."""
    counts, where = ConfusionMatrix(4), next(net.parameters()).device
    net.eval()
    for x, y in zip(images.split(20), target.split(20), strict=True):
        counts.update(y, net(x.to(where)).argmax(1).cpu())
    return float(counts.iou().mean())


def main() -> None:
    """Train, score on scenes of another seed, write the file."""
    images, target = scenes(seed=1, count=RECIPE["scenes"])
    seed_everything(RECIPE["seed"])
    net = build().to(device(), memory_format=torch.channels_last)

    def batch(generator):
        pick = torch.randint(len(images), (RECIPE["batch"],), generator=generator)
        x, y = images[pick], target[pick]
        return (x.flip(-1), y.flip(-1)) if torch.rand((), generator=generator) < 0.5 else (x, y)

    fit(net, batch, lambda net, x, y: cross_entropy(net(x), y), steps=RECIPE["steps"], lr=RECIPE["lr"],
        schedule=lambda done: (1 - done) ** 0.9, seed=RECIPE["seed"])
    score = round(mean_iou(net, *scenes(seed=2, count=100)), 4)
    save_weights(PATH, net, recipe=RECIPE, mean_iou=score)
    print(score)


if __name__ == "__main__":
    main()
