"""Region proposal network: where, in an image, could an object be?

Source: Ren et al., "Faster R-CNN", NIPS 2015, section 3; with a pyramid: Lin et al., CVPR 2017, section 4.1. Built in
notebook 12. Parameters, numbers and their order are those of torchvision's ``RegionProposalNetwork``.
"""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seglab.ops.anchors import base_anchors, grid_anchors
from seglab.ops.boxes import checked_boxes, clip_boxes_to_image, decode_boxes, encode_boxes, remove_small_boxes
from seglab.ops.match_boxes import match_boxes
from seglab.ops.matching import BETWEEN, sample
from seglab.ops.nms import batched_nms

SMALLEST_SIDE = 1e-3        # px


class RPNHead(nn.Module):
    """A 3x3 convolution, then 1x1 convolutions to one objectness logit and four offsets an anchor; one head, all maps.

    Parameters
    ----------
    in_channels : int
        Channels of every map.
    num_anchors : int
        Anchors a cell.
    """

    def __init__(self, in_channels: int, num_anchors: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Sequential(nn.Conv2d(in_channels, in_channels, 3, padding=1), nn.ReLU()))
        self.cls_logits = nn.Conv2d(in_channels, num_anchors, 1)
        self.bbox_pred = nn.Conv2d(in_channels, 4 * num_anchors, 1)
        for conv in (self.conv[0][0], self.cls_logits, self.bbox_pred):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.bias)

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps ``(N, C, H, W)`` -> logits ``(N, A, H, W)`` and offsets ``(N, 4A, H, W)``, one of each a map."""
        hidden = [self.conv(feature) for feature in features]
        return [self.cls_logits(x) for x in hidden], [self.bbox_pred(x) for x in hidden]

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        for kind in ("weight", "bias"):
            if f"{prefix}conv.{kind}" in state_dict:                    # the name in the published files
                state_dict[f"{prefix}conv.0.0.{kind}"] = state_dict.pop(f"{prefix}conv.{kind}")
        super()._load_from_state_dict(state_dict, prefix, *args)


def flatten_predictions(maps: list[Tensor], columns: int) -> Tensor:
    """Maps ``(N, A * columns, H, W)`` of all levels -> ``(N, anchors, columns)`` in the order of the anchors.

    Level by level, then row, column, anchor: the order of :func:`seglab.ops.grid_anchors`. Half precision (autocast)
    becomes single here: bfloat16 cannot tell 1000 px from 1002.
    """
    flat = [m.unflatten(1, (-1, columns)).permute(0, 3, 4, 1, 2).flatten(1, 3) for m in maps]
    return torch.cat(flat, dim=1).to(torch.promote_types(maps[0].dtype, torch.float32))


class RPN(nn.Module):
    """Region proposal network: features to at most `post_nms_top_n` boxes an image, and two losses in training.

    Parameters
    ----------
    in_channels : int
        Channels of every feature map.
    sizes : tuple of tuples
        Anchor sizes of each map, px; equally many a map.
    aspect_ratios : floats
        Height / width, the same on every map.
    fg_iou_thresh, bg_iou_thresh : float
        An anchor is positive from the first on (or as the best of its object), negative below the second.
    batch_size_per_image, positive_fraction
        Anchors that a step learns from, and the largest share of positives among them.
    pre_nms_top_n, post_nms_top_n : dict
        Boxes a level before suppression and boxes an image after it, for "training" and "testing".
    nms_thresh : float
        Suppression above this IoU, level by level.
    score_thresh : float
        Proposals below this probability are dropped.

    Notes
    -----
    The stages in order, each a method of its own: `head`, `anchors`, `filter_proposals` and, in training,
    `assign_targets` and `compute_loss`. Only the best anchors of a level are decoded.
    """

    def __init__(self, in_channels: int = 256,
                 sizes: Sequence[Sequence[float]] = ((32,), (64,), (128,), (256,), (512,)),
                 aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0), fg_iou_thresh: float = 0.7,
                 bg_iou_thresh: float = 0.3, batch_size_per_image: int = 256, positive_fraction: float = 0.5,
                 pre_nms_top_n: dict[str, int] | None = None, post_nms_top_n: dict[str, int] | None = None,
                 nms_thresh: float = 0.7, score_thresh: float = 0.0) -> None:
        super().__init__()
        if len({len(level) for level in sizes}) != 1:
            raise ValueError(f"sizes must hold equally many sizes for each map, got {sizes}")
        self.base_anchors = [base_anchors(level, aspect_ratios) for level in sizes]
        self.head = RPNHead(in_channels, len(self.base_anchors[0]))
        self.fg_iou_thresh, self.bg_iou_thresh = fg_iou_thresh, bg_iou_thresh
        self.batch_size_per_image, self.positive_fraction = batch_size_per_image, positive_fraction
        self.pre_nms_top_n = pre_nms_top_n or {"training": 2000, "testing": 1000}
        self.post_nms_top_n = post_nms_top_n or {"training": 2000, "testing": 1000}
        self.nms_thresh, self.score_thresh = nms_thresh, score_thresh

    def anchors(self, features: list[Tensor], padded_size: tuple[int, int]) -> list[Tensor]:
        """Anchors of each map, ``[(H_i * W_i * A, 4)]`` px, for images padded to `padded_size` (height, width)."""
        if len(features) != len(self.base_anchors):
            raise ValueError(f"features must hold {len(self.base_anchors)} maps, one for each entry of sizes, "
                             f"got {len(features)}")
        height, width = padded_size
        return [grid_anchors((h, w), (height // h, width // w), base.to(feature))
                for feature, base in zip(features, self.base_anchors, strict=True) for h, w in [feature.shape[-2:]]]

    def filter_proposals(self, logits: Tensor, deltas: Tensor, anchors: list[Tensor],
                         image_sizes: list[tuple[int, int]]) -> tuple[list[Tensor], list[Tensor]]:
        """The boxes worth a second look: best logits of each level, decoded, clipped, suppressed.

        Parameters
        ----------
        logits, deltas : Tensor (N, M) and (N, M, 4)
            For the M anchors of all levels.
        anchors : list of Tensor
            One a level, M in all.
        image_sizes : list of (height, width)
            Of the N images before padding.

        Returns
        -------
        boxes, scores : list of Tensor (K, 4), (K,)
            One an image, best score (probability) first, K <= post_nms_top_n. Without gradient.

        Raises
        ------
        ValueError
            If a chosen logit or box is NaN or infinite: the training has diverged.
        """
        mode = "training" if self.training else "testing"
        counts = [len(level) for level in anchors]
        best = [part.topk(min(self.pre_nms_top_n[mode], count), dim=1)[1]
                for part, count in zip(logits.detach().split(counts, 1), counts, strict=True)]
        level = torch.cat([torch.full_like(index[0], i) for i, index in enumerate(best)])
        offsets = [sum(counts[:i]) for i in range(len(counts))]
        chosen = torch.cat([index + offset for index, offset in zip(best, offsets, strict=True)], dim=1)
        anchors, results = torch.cat(anchors), []
        for i, (index, size) in enumerate(zip(chosen, image_sizes, strict=True)):
            boxes = clip_boxes_to_image(decode_boxes(deltas[i, index].detach(), anchors[index]), size)
            scores = logits[i, index].detach().sigmoid()
            keep = remove_small_boxes(boxes, SMALLEST_SIDE)
            keep = keep[scores[keep] >= self.score_thresh]
            boxes, scores = boxes[keep], scores[keep]
            keep = batched_nms(boxes, scores, level[keep], self.nms_thresh)[:self.post_nms_top_n[mode]]
            results.append((boxes[keep], scores[keep]))
        return [boxes for boxes, _ in results], [scores for _, scores in results]

    def assign_targets(self, anchors: Tensor, boxes: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """What each anchor should say.

        Parameters
        ----------
        anchors : Tensor (M, 4)
        boxes : list of Tensor (G, 4)
            Objects of each image; G may be 0.

        Returns
        -------
        labels, objects : list of Tensor (M,), int64
            Label 1 object, 0 background, -1 neither; and the row of the object's box (0 where the label is not 1).
        """
        labels, objects = [], []
        for truth in boxes:
            matched = match_boxes(truth.to(anchors), anchors, self.fg_iou_thresh, self.bg_iou_thresh,
                                  allow_low_quality=True)
            labels.append(torch.where(matched == BETWEEN, -1, (matched >= 0).long()))
            objects.append(matched.clamp(min=0))
        return labels, objects

    def compute_loss(self, logits: Tensor, deltas: Tensor, anchors: Tensor, labels: list[Tensor],
                     objects: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Objectness and box loss of the sampled anchors.

        Parameters
        ----------
        logits, deltas, anchors : Tensor (N, M), (N, M, 4), (M, 4)
        labels, objects : list of Tensor (M,)
            From `assign_targets`.
        boxes : list of Tensor (G, 4)

        Returns
        -------
        objectness, box : Tensor, scalars
            Mean binary cross entropy, and the sum of smooth L1 (beta 1/9) over the positives divided by the number of
            *all* sampled anchors.
        """
        drawn = [sample(label, self.batch_size_per_image, self.positive_fraction) for label in labels]
        scored = torch.cat([logits[i, positive] for i, (positive, _) in enumerate(drawn)]
                           + [logits[i, negative] for i, (_, negative) in enumerate(drawn)])
        wanted = torch.zeros_like(scored)
        wanted[:sum(len(positive) for positive, _ in drawn)] = 1
        offsets = torch.cat([deltas[i, positive] for i, (positive, _) in enumerate(drawn)])
        targets = torch.cat([encode_boxes(truth.to(anchors)[index[positive]], anchors[positive])
                             for truth, index, (positive, _) in zip(boxes, objects, drawn, strict=True)])
        box = F.smooth_l1_loss(offsets, targets.to(offsets), beta=1 / 9, reduction="sum") / len(scored)
        return F.binary_cross_entropy_with_logits(scored, wanted), box

    def forward(self, features: list[Tensor], padded_size: tuple[int, int], image_sizes: list[tuple[int, int]],
                boxes: list[Tensor] | None = None) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Propose boxes.

        Parameters
        ----------
        features : list of Tensor (N, C, H_i, W_i)
            Finest first.
        padded_size : (height, width)
            Of the batch that the features come from.
        image_sizes : list of (height, width)
            Of the N images before padding.
        boxes : list of Tensor (G, 4), training only
            Objects of each image, px; G may be 0.

        Returns
        -------
        proposals : list of Tensor (K, 4)
            Best first.
        losses : dict
            "loss_objectness" and "loss_rpn_box_reg" in training, else empty.

        Raises
        ------
        ValueError
            No boxes in training, or not one set an image; boxes NaN or infinite; diverged predictions.
        """
        if self.training:
            if boxes is None or len(boxes) != len(image_sizes):
                raise ValueError(f"boxes must hold one set for each of {len(image_sizes)} images in training, "
                                 f"got {'none' if boxes is None else len(boxes)}")
            for i, truth in enumerate(boxes):
                checked_boxes(truth, f"boxes[{i}]")
        logits, deltas = self.head(features)
        anchors = self.anchors(features, padded_size)
        logits, deltas = flatten_predictions(logits, 1)[..., 0], flatten_predictions(deltas, 4)
        proposals, _ = self.filter_proposals(logits, deltas, anchors, image_sizes)
        if not self.training:
            return proposals, {}
        anchors = torch.cat(anchors)
        labels, objects = self.assign_targets(anchors, boxes)
        objectness, box = self.compute_loss(logits, deltas, anchors, labels, objects, boxes)
        return proposals, {"loss_objectness": objectness, "loss_rpn_box_reg": box}
