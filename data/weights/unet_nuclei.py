"""The recipe of unet_nuclei.safetensors: run this file to train it again, in minutes on two cores."""

from pathlib import Path

import torch
from torch.nn import functional as F

from seglab.data import augment, load_nuclei, mirror_indices, predict_tiled
from seglab.losses import cross_entropy
from seglab.metrics import dice
from seglab.models import UNet
from seglab.runtime import seed_everything
from seglab.train import fit, save_weights

RECIPE = {"model": "UNet(base_channels=16, depth=4)", "data": "nuclei, train side", "tile": 140, "batch": 4,
          "steps": 600, "optimizer": "Adam", "lr": 2e-3, "schedule": "linear to 0", "elastic sigma": 2.5, "seed": 0}
PATH = Path(__file__).with_name("unet_nuclei.safetensors")


def main() -> None:
    train, tile = load_nuclei("train"), RECIPE["tile"]
    seed_everything(RECIPE["seed"])
    net = UNet(base_channels=16, depth=4)
    margin = net.margin()

    def batch(generator):
        pairs = []
        for _ in range(RECIPE["batch"]):
            index = []
            for size in train.semantic.shape:
                start = int(torch.randint(0, size - (tile - 2 * margin) + 1, (1,), generator=generator)) - margin
                index.append(torch.from_numpy(mirror_indices(start, start + tile, size)))
            image, labels = (x[..., index[0], :][..., index[1]] for x in (train.image, train.semantic))
            image, labels = augment(image, labels, generator, sigma=RECIPE["elastic sigma"])
            pairs.append((image, F.pad(labels, [-margin] * 4)))
        return [torch.stack(part) for part in zip(*pairs, strict=True)]

    fit(net, batch, lambda net, images, target: cross_entropy(net(images), target), steps=RECIPE["steps"],
        lr=RECIPE["lr"], schedule=lambda done: 1 - done, seed=RECIPE["seed"])
    scores = {}
    for split in ("val", "test"):
        sample = load_nuclei(split)
        scores[split] = round(dice(sample.semantic, predict_tiled(net, sample.image, 140, margin, 8).argmax(0)), 4)
    save_weights(PATH, net, recipe=RECIPE, dice=scores)
    print(scores)


if __name__ == "__main__":
    main()
