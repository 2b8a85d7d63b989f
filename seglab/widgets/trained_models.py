"""The trained networks of the course and what there is to look at in each; one entry a network.

A missing checkpoint is no error: a stand-in is trained in seconds, and the note that comes with the model says so.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglab.data import Cells, data_folder, load_nuclei
from seglab.losses import cross_entropy
from seglab.models import UNet
from seglab.train import fit, load_weights
from seglab.viz.features import Layer


@dataclass(frozen=True)
class TrainedModel:
    """One network of the explorer.

    Attributes
    ----------
    title : str
        What the menu says.
    file : str
        Checkpoint in ``data/weights``.
    build : callable
        () -> the network, untrained.
    pictures : callable
        () -> list of three images (C, H, W) that the network was not trained on.
    layers : tuple of Layer
        In the order in which they run.
    batch, loss : callable
        As :func:`seglab.train.fit` takes them, for the stand-in.
    steps : int
        Of the stand-in: some seconds on a CPU core.
    run : callable
        run(model, image).
    """

    title: str
    file: str
    build: Callable[[], nn.Module]
    pictures: Callable[[], list[Tensor]]
    layers: tuple[Layer, ...]
    batch: Callable[[torch.Generator], tuple]
    loss: Callable[..., Tensor]
    steps: int
    run: Callable[[nn.Module, Tensor], Any] = lambda model, image: model(image[None])


def load_trained(entry: TrainedModel, folder: str | Path | None = None) -> tuple[nn.Module, str]:
    """The network with its stored weights, or a stand-in trained now when the file is missing.

    Parameters
    ----------
    entry : TrainedModel
    folder : path, optional
        Where the checkpoint is looked for; ``data/weights`` of the checkout by default.

    Returns
    -------
    (Module, str)
        The model in eval mode on the CPU, and a line that says where its weights come from.

    Raises
    ------
    ValueError
        If the file is corrupt or holds another model.
    """
    path = Path(folder) / entry.file if folder is not None else data_folder() / "weights" / entry.file
    with torch.random.fork_rng(devices=[]):  # a reader's own seed must not depend on whether the file is there
        torch.manual_seed(0)
        model = entry.build()
        if path.exists():
            load_weights(path, model)
            return model.eval(), f"weights of {entry.file}"
        start = time.perf_counter()
        fit(model, entry.batch, entry.loss, steps=entry.steps, lr=2e-3)
    seconds = time.perf_counter() - start
    return model.cpu().eval(), f"{entry.file} is missing: a stand-in, trained for {entry.steps} steps ({seconds:.0f} s)"


def _unet_pictures() -> list[Tensor]:
    sides = [load_nuclei("test").image, load_nuclei("val").image]
    return [sides[0][:, :188, :188], sides[1][:, 52:240, 52:240], Cells(size=(188, 188), count=24, seed=17)[0].image]


def _unet_batch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two crops of 140 px of the training side; the network keeps 52 px of each."""
    sample = load_nuclei("train")
    images, targets = [], []
    for _ in range(2):
        y, x = (int(torch.randint(0, side - 139, (), generator=generator)) for side in sample.semantic.shape)
        images.append(sample.image[:, y:y + 140, x:x + 140])
        targets.append(F.pad(sample.semantic[y:y + 140, x:x + 140], [-44] * 4))
    return torch.stack(images), torch.stack(targets)


def _dense_loss(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    return cross_entropy(model(images), target)


def _unet_layers(base: int, depth: int) -> tuple[Layer, ...]:
    """Encoder, bottom to top; then level by level what comes over the skip and what the decoder makes of it."""
    layers = [Layer(f"down.{k}", "encoder", f"encoder {k}", stride=2**k) for k in range(depth)]
    for k in range(depth - 1):
        level = depth - 2 - k
        layers += [Layer(f"ups.{k}.conv", "skip", f"skip {level}", argument=0, channels=(0, base * 2**level),
                         stride=2**level),
                   Layer(f"ups.{k}.up", "from below", f"from below {level}", stride=2**level),
                   Layer(f"ups.{k}.conv", "decoder", f"decoder {level}", stride=2**level)]
    return (*layers, Layer("head", "decoder", "logits", stride=1))


TRAINED = (
    TrainedModel("U-Net, nuclei", "unet_nuclei.safetensors", lambda: UNet(base_channels=16, depth=4), _unet_pictures,
                 _unet_layers(16, 4), _unet_batch, _dense_loss, steps=40),
)
