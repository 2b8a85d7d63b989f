"""All widgets of the course: where each is used, what it shows, and how to build it as its notebook does.

The tests walk this list: every state of every control draws, draws the same again, and fast; nothing here is seen only
when somebody happens to move a slider.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from seglab.widgets.panel import Panel


@dataclass(frozen=True)
class Entry:
    """One widget of the course.

    Parameters
    ----------
    notebook : str
        Number of the notebook that shows it.
    factory : str
        Module of `seglab.widgets` and function in it that makes the Panel: "weight_map:weight_map_playground".
    shows : str
        What its picture shows, in one line.
    data : callable
        Without arguments; what the notebook hands to the factory.
    """

    notebook: str
    factory: str
    shows: str
    data: Callable[[], tuple[Any, ...]] = tuple

    def build(self) -> Panel:
        """The Panel that the notebook shows. Imports and loads only now."""
        module, name = self.factory.split(":")
        return getattr(import_module(f"seglab.widgets.{module}"), name)(*self.data())


def _nuclei() -> tuple[Any, ...]:
    import numpy as np

    from seglab.data import load_nuclei, relabel
    from seglab.ops import separate_touching

    part = relabel(separate_touching(load_nuclei("all").instances.numpy(), 1)[96:224, 0:128])
    area = np.bincount(part.ravel())[1:]
    return part, np.append(0, np.where(area > np.median(area), 2, 1))


def _unet() -> tuple[Any, ...]:
    from seglab.data import data_folder, load_nuclei
    from seglab.models import UNet
    from seglab.train import load_weights

    model = UNet(base_channels=16, depth=4)
    load_weights(data_folder() / "weights" / "unet_nuclei.safetensors", model)
    layers = ["down.0", "down.1", "down.2", "down.3", "ups.0.up", "ups.0.conv", "ups.1.conv", "ups.2.conv", "head"]
    return model, load_nuclei("test").image[:, :188, :188], layers


def _touching_cells() -> tuple[Any, ...]:
    from seglab.data import Cells

    return (Cells(size=(128, 128), count=24, gap=0, seed=4)[0].instances,)


def _scene(index: int, **options: Any) -> Any:
    from seglab.data import Shapes

    return Shapes(**options)[index]


def _shape_and_mask() -> tuple[Any, ...]:
    scene = _scene(1, size=(128, 128), num_classes=6, objects=(2, 4), radius=(16, 34), texture=0.3, seed=3)
    return scene.image, (scene.semantic > 0).long()


def _detector() -> tuple[Any, ...]:
    from seglab.data import Shapes, data_folder
    from seglab.models import small_mask_rcnn
    from seglab.train import load_weights

    model, scenes = small_mask_rcnn(), Shapes(seed=1)
    load_weights(data_folder() / "weights" / "mask_rcnn_shapes.safetensors", model)
    return model, scenes[0], scenes.classes


ENTRIES = (
    Entry("01", "metric_damage:metric_damage_lab", "which damage each metric sees", _nuclei),
    Entry("02", "classic:marker_playground", "watershed markers under smoothing and h-maxima"),
    Entry("03", "imbalance:imbalance_lab", "what each loss learns at each foreground share"),
    Entry("05", "feature_maps:feature_explorer", "feature maps of the trained U-Net", _unet),
    Entry("06", "weight_map:weight_map_playground", "the U-Net's pixel weights: w0, sigma, gap", _touching_cells),
    Entry("09", "dilation:dilation_explorer", "receptive field and gridding of a stack of dilated convolutions"),
    Entry("09", "crf:crf_playground", "what a dense CRF does to a rough segmentation"),
    Entry("10", "aspp_rates:aspp_rates_explorer", "which taps of an atrous convolution still read the map",
          lambda: (_scene(0, size=(96, 96), seed=1).image,)),
    Entry("11", "decoder:decoder_explorer", "what is left of outlines behind a grid of each stride", _shape_and_mask),
    Entry("12", "anchors:anchor_explorer", "objects reached by anchors, proposals left by suppression",
          lambda: (_scene(23, size=(128, 128), objects=(3, 8), seed=7),)),
    Entry("13", "roi_playground:roi_playground", "bins, samples and values of RoIPool and RoIAlign for one box"),
    Entry("14", "detection_stages:detection_stages", "a detector's stages from the picture to the masks", _detector),
    Entry("17", "feature_maps:model_explorer", "what every trained network of the course computes on the way"),
)

REGISTER: dict[str, Entry] = {entry.factory.split(":")[1]: entry for entry in ENTRIES}
