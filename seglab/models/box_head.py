"""The box head: pooled features -> class scores and box offsets, and the two losses that train it.

Girshick, "Fast R-CNN", ICCV 2015, section 2.3; the two fully connected layers on 7 x 7 bins are those of
Lin et al., "Feature Pyramid Networks", 2017, section 4.2. Built in notebook 14.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class TwoMLPHead(nn.Module):
    """Two fully connected layers with ReLU: (R, C, h, w) -> (R, width), where ``in_features = C * h * w``."""

    def __init__(self, in_features: int, width: int = 1024) -> None:
        super().__init__()
        self.fc6 = nn.Linear(in_features, width)
        self.fc7 = nn.Linear(width, width)
        self.out_features = width

    def forward(self, pooled: Tensor) -> Tensor:
        """(R, C, h, w) -> (R, width)."""
        return F.relu(self.fc7(F.relu(self.fc6(pooled.flatten(1)))))


class FastRCNNPredictor(nn.Module):
    """Class logits and one box a class: (R, width) -> (R, K) and (R, 4K); class 0 is the background."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, num_classes)
        self.bbox_pred = nn.Linear(width, 4 * num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(R, width) -> logits (R, K) and offsets (R, 4K)."""
        return self.cls_score(x), self.bbox_pred(x)


def fastrcnn_loss(class_logits: Tensor, box_deltas: Tensor, labels: Tensor, box_targets: Tensor
                  ) -> tuple[Tensor, Tensor]:
    """L_cls and L_box of the sampled RoIs.

    Parameters
    ----------
    class_logits : Tensor (R, K)
    box_deltas : Tensor (R, 4K)
        Offsets for every class; only those of the true class are looked at.
    labels : Tensor (R,) int64
        0 = background.
    box_targets : Tensor (R, 4)
        Looked at where the label is > 0.

    Returns
    -------
    classification, box : Tensor, scalars
        Mean cross entropy; sum of smooth L1 (beta 1/9) over the positives divided by R, so that a picture with few
        objects does not weigh each of them more. Both are 0 for R = 0.

    References
    ----------
    Fast R-CNN, equations 1 to 3. Notebook 14.
    """
    if not len(labels):
        return class_logits.sum() * 0, box_deltas.sum() * 0
    positive = (labels > 0).nonzero()[:, 0]
    deltas = box_deltas.unflatten(1, (-1, 4))[positive, labels[positive]]
    box = F.smooth_l1_loss(deltas, box_targets[positive].to(deltas), beta=1 / 9, reduction="sum") / len(labels)
    return F.cross_entropy(class_logits, labels), box
