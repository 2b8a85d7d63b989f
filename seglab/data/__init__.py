"""Pictures and labels: committed, synthetic and public sets, augmentation, overlap tiles."""

from .augment import augment, displacement_field, elastic_deform, warp
from .cells import Cells
from .cityscapes import Cityscapes
from .coco import COCO
from .folder import DataUnavailable, data_folder, dataset_root, registry
from .instances import boxes_of, relabel
from .movies import load_ecoli, load_hela
from .nuclei import load_nuclei
from .packages import cache_folder, cached, fetch, mobilenet_v2_weights_path
from .penn_fudan import PennFudan
from .public import BBBC039, DSB2018, ISBI2012, VOC2012, CamVid, OxfordPets
from .sample import IGNORE, Sample
from .shapes import Shapes
from .tiles import mirror_indices, predict_tiled
from .trees import load_trees

__all__ = [
    "BBBC039", "COCO", "DSB2018", "IGNORE", "ISBI2012", "VOC2012", "CamVid", "Cells", "Cityscapes",
    "DataUnavailable", "OxfordPets", "PennFudan", "Sample", "Shapes", "augment", "boxes_of", "cache_folder",
    "cached", "data_folder", "dataset_root", "displacement_field", "elastic_deform", "fetch", "load_ecoli",
    "load_hela", "load_nuclei", "load_trees", "mirror_indices", "mobilenet_v2_weights_path", "predict_tiled",
    "registry", "relabel", "warp",
]
