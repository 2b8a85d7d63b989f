"""Pictures and labels: committed, synthetic and public sets, picture files, frames, augmentation, overlap tiles."""

from seglab.data.augment import augment, displacement_field, elastic_deform, warp
from seglab.data.batch import collate
from seglab.data.cells import Cells
from seglab.data.cityscapes import Cityscapes
from seglab.data.class_weights import median_frequency_weights
from seglab.data.coco import COCO
from seglab.data.folder import DataUnavailable, data_folder, dataset_root, registry
from seglab.data.frame import random_crop, resize
from seglab.data.instances import boxes_of, relabel, remove_specks
from seglab.data.movies import load_ecoli, load_hela
from seglab.data.nuclei import load_nuclei
from seglab.data.own_folder import PictureFolder
from seglab.data.packages import cache_folder, cached, fetch, mobilenet_v2_weights_path
from seglab.data.penn_fudan import PennFudan
from seglab.data.picture_files import read_labels, read_mask, read_picture, save_labels
from seglab.data.public import BBBC039, DSB2018, ISBI2012, VOC2012, CamVid, OxfordPets
from seglab.data.sample import IGNORE, Sample
from seglab.data.shapes import Shapes
from seglab.data.tiles import mirror_indices, predict_tiled
from seglab.data.trees import load_trees

__all__ = [
    "BBBC039", "COCO", "DSB2018", "IGNORE", "ISBI2012", "VOC2012", "CamVid", "Cells", "Cityscapes",
    "DataUnavailable", "OxfordPets", "PennFudan", "PictureFolder", "Sample", "Shapes", "augment", "boxes_of",
    "cache_folder", "cached", "collate", "data_folder", "dataset_root", "displacement_field", "elastic_deform",
    "fetch", "load_ecoli", "load_hela", "load_nuclei", "load_trees", "median_frequency_weights", "mirror_indices",
    "mobilenet_v2_weights_path", "predict_tiled", "random_crop", "read_labels", "read_mask", "read_picture",
    "registry", "relabel", "remove_specks", "resize", "save_labels", "warp",
]
