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

from seglab.data import Cells, Shapes, data_folder, load_nuclei
from seglab.losses import cross_entropy
from seglab.models import DeepLabV3Plus, UNet, resnet18, small_mask_rcnn
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


def checkpoint(entry: TrainedModel, folder: str | Path | None = None) -> Path:
    """Where the weights of a network are, or would be: ``data/weights`` of the checkout unless ``folder`` is given."""
    return (data_folder() / "weights" if folder is None else Path(folder)) / entry.file


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
    path = checkpoint(entry, folder)
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


def _deeplab() -> nn.Module:
    return DeepLabV3Plus(resnet18(width=16, output_stride=16), 4, 16, rates=(1, 2, 3), channels=64)


def _deeplab_input(images: Tensor) -> Tensor:
    return (images - 0.5) * 4  # as it was trained


def _deeplab_scenes(seed: int) -> Shapes:
    return Shapes(size=(96, 96), num_classes=4, objects=(2, 4), radius=(12.0, 26.0), texture=0.3, seed=seed)


def _deeplab_batch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    scenes = _deeplab_scenes(1)
    samples = [scenes[k] for k in torch.randint(1000, (8,), generator=generator).tolist()]
    return _deeplab_input(torch.stack([s.image for s in samples])), torch.stack([s.semantic for s in samples])


_DEEPLAB_LAYERS = (
    *(Layer(f"backbone.layer{k}", "encoder", f"C{k + 1}, stride {s}") for k, s in ((1, 4), (2, 8), (3, 16), (4, 16))),
    Layer("aspp.convs.0", "pyramid", "ASPP, 1x1"),
    *(Layer(f"aspp.convs.{k}", "pyramid", f"ASPP, rate {k}") for k in (1, 2, 3)),
    Layer("aspp.convs.4.3", "pyramid", "ASPP, pooled"), Layer("aspp.project", "pyramid", "ASPP, joined"),
    Layer("reduce", "skip", "skip, stride 4"),
    Layer("fuse.0", "decoder", "decoder 1"), Layer("fuse.1", "decoder", "decoder 2"),
    Layer("head", "decoder", "logits, stride 4"),
)


def _detector_batch(generator: torch.Generator) -> tuple[Tensor, list[dict[str, Tensor]]]:
    scenes = Shapes(seed=0)
    samples = [scenes[k] for k in torch.randint(1000, (4,), generator=generator).tolist()]
    return torch.stack([s.image for s in samples]), [
        {"boxes": s.boxes, "labels": s.classes, "instances": s.instances} for s in samples]


def _detector_loss(model: nn.Module, images: Tensor, targets: list[dict[str, Tensor]]) -> Tensor:
    return sum(model(list(images), targets).values())


_DETECTOR_LAYERS = (
    *(Layer(f"backbone.body.layer{k}", "backbone", f"C{k + 1}, stride {2 ** (k + 1)}") for k in (1, 2, 3, 4)),
    *(Layer(f"backbone.fpn.layer_blocks.{k}", "pyramid", f"P{k + 2}, stride {2 ** (k + 2)}") for k in range(4)),
    *(Layer("rpn.head.conv", "proposals", f"RPN on P{k + 2}", call=k) for k in range(5)),
    *(Layer("rpn.head.cls_logits", "proposals", f"objectness P{k + 2}", call=k) for k in range(5)),
    *(Layer("roi_heads.box_roi_pool", "regions", f"proposal {k + 1}", item=k, stride=0) for k in range(2)),
    *(Layer("roi_heads.mask_roi_pool", "regions", f"object {k + 1}", item=k, stride=0) for k in range(2)),
    *(Layer("roi_heads.mask_head", "mask", f"mask head {k + 1}", item=k, stride=0) for k in range(2)),
    *(Layer("roi_heads.mask_predictor", "mask", f"masks {k + 1}", item=k, stride=0) for k in range(2)),
)

TRAINED = (
    TrainedModel("U-Net, nuclei", "unet_nuclei.safetensors", lambda: UNet(base_channels=16, depth=4), _unet_pictures,
                 _unet_layers(16, 4), _unet_batch, _dense_loss, steps=40),
    TrainedModel("DeepLabV3+, shapes", "deeplabv3plus_shapes.safetensors", _deeplab,
                 lambda: [_deeplab_scenes(2)[k].image for k in (0, 1, 2)], _DEEPLAB_LAYERS, _deeplab_batch, _dense_loss,
                 steps=60, run=lambda model, image: model(_deeplab_input(image)[None])),
    TrainedModel("Mask R-CNN, shapes", "mask_rcnn_shapes.safetensors", small_mask_rcnn,
                 lambda: [Shapes(seed=1)[k].image for k in (0, 1, 2)], _DETECTOR_LAYERS, _detector_batch,
                 _detector_loss, steps=30, run=lambda model, image: model([image])),
)
