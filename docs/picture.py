"""Draws picture.png of the README: image, weight map, prediction of the stored U-Net, one of its feature maps."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from seglab import viz
from seglab.data import data_folder, load_nuclei, predict_tiled
from seglab.models import UNet
from seglab.ops import unet_weight_map
from seglab.train import load_weights
from seglab.widgets.feature_maps import record_features

viz.style()
net = UNet(base_channels=16, depth=4)
load_weights(data_folder() / "weights" / "unet_nuclei.safetensors", net)
test = load_nuclei("test")
window = (slice(20, 208), slice(20, 208))
objects = ndimage.label(predict_tiled(net, test.image, tile=140, margin=44, multiple=8).argmax(0).numpy())[0]
maps = record_features(net, test.image[:, *window], ["ups.2.conv"])["ups.2.conv"]
weights = plt.get_cmap("magma")(unet_weight_map(test.instances.numpy())[window] / 11)[..., :3]
pictures = [test.image[0, *window].sqrt(), (255 * weights).astype(np.uint8),
            viz.overlay(test.image.sqrt()[:, *window], objects[window]), viz.feature_grid(maps, 4)]
viz.show_row(pictures, ["held-out nuclei", "the U-Net paper's weight map", "objects predicted by the course's U-Net",
                        "16 of its feature maps"], height=2.9)
plt.savefig(Path(__file__).with_name("picture.png"), metadata={"Software": None}, bbox_inches="tight")
