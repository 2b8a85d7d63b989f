"""All widgets of the course: where each is used, what it shows, and how to build it as its notebook does.

The tests walk this list: every state of every control draws, draws the same again, and fast; nothing here is seen only
when somebody happens to move a slider.
"""

from collections.abc import Callable
from dataclasses import dataclass

from seglab.widgets.panel import Panel


@dataclass(frozen=True)
class Entry:
    """One widget of the course.

    Parameters
    ----------
    notebook : str
        Number of the notebook that shows it.
    shows : str
        What its picture shows, in one line.
    build : callable
        Without arguments; the Panel that the notebook shows.
    """

    notebook: str
    shows: str
    build: Callable[[], Panel]


def _metric_damage_lab():
    import numpy as np

    from seglab.data import load_nuclei, relabel
    from seglab.ops import separate_touching
    from seglab.widgets.metric_damage import metric_damage_lab

    part = relabel(separate_touching(load_nuclei("all").instances.numpy(), 1)[96:224, 0:128])
    area = np.bincount(part.ravel())[1:]
    return metric_damage_lab(part, np.append(0, np.where(area > np.median(area), 2, 1)))


def _marker_playground():
    from seglab.widgets.classic import marker_playground

    return marker_playground()


def _imbalance_lab():
    from seglab.widgets.imbalance import imbalance_lab

    return imbalance_lab()


def _feature_explorer():
    from seglab.data import data_folder, load_nuclei
    from seglab.models import UNet
    from seglab.train import load_weights
    from seglab.widgets.feature_maps import feature_explorer

    model = UNet(base_channels=16, depth=4)
    load_weights(data_folder() / "weights" / "unet_nuclei.safetensors", model)
    layers = ["down.0", "down.1", "down.2", "down.3", "ups.0.up", "ups.0.conv", "ups.1.conv", "ups.2.conv", "head"]
    return feature_explorer(model, load_nuclei("test").image[:, :188, :188], layers)


def _weight_map_playground():
    from seglab.data import Cells
    from seglab.widgets.weight_map import weight_map_playground

    return weight_map_playground(Cells(size=(128, 128), count=24, gap=0, seed=4)[0].instances)


def _decoder_explorer():
    from seglab.data import Shapes
    from seglab.widgets.decoder import decoder_explorer

    scene = Shapes(size=(128, 128), num_classes=6, objects=(2, 4), radius=(16, 34), texture=0.3, seed=3)[1]
    return decoder_explorer(scene.image, (scene.semantic > 0).long())


REGISTER: dict[str, Entry] = {
    "metric_damage_lab": Entry("01", "which damage each metric sees", _metric_damage_lab),
    "marker_playground": Entry("02", "watershed markers under smoothing and h-maxima", _marker_playground),
    "imbalance_lab": Entry("03", "what each loss learns at each foreground share", _imbalance_lab),
    "feature_explorer": Entry("05", "feature maps of the trained U-Net", _feature_explorer),
    "weight_map_playground": Entry("06", "the U-Net's pixel weights under w0, sigma and gap", _weight_map_playground),
    "decoder_explorer": Entry("11", "what is left of outlines behind a grid of each stride", _decoder_explorer),
}
