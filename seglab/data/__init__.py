"""Pictures and labels: committed, synthetic and public sets, augmentation, overlap tiles."""

from .augment import augment, displacement_field, elastic_deform, warp
from .cells import Cells
from .folder import data_folder
from .instances import boxes_of, relabel
from .nuclei import load_nuclei
from .sample import IGNORE, Sample
from .shapes import Shapes
from .tiles import mirror_indices, predict_tiled

__all__ = [
    "IGNORE", "Cells", "Sample", "Shapes", "augment", "boxes_of", "data_folder", "displacement_field",
    "elastic_deform", "load_nuclei", "mirror_indices", "predict_tiled", "relabel", "warp",
]
