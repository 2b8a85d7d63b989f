"""COCO average precision: the twelve numbers of pycocotools, for boxes and for masks."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seglab.metrics.coco_objects import Objects, overlapping, read_objects

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}


class COCOEvaluator:
    """Average precision and recall over a data set, fed one picture at a time.

    Parameters
    ----------
    iou_type : {"segm", "bbox"}
        What is compared: masks or boxes.
    max_detections : three increasing integers >= 1
        Best-scored detections of a picture and class that are looked at, for AR1, AR10 and everything else.
    compatible : bool
        True gives pycocotools' numbers to the last digit, with its faults. False mends two of them: a truth
        marked ``ignore`` is ignored although it is no crowd (cocoapi issue 466: the mark is overwritten), and
        the last of `max_detections` is lifted, since otherwise a picture with more than 100 objects of a class
        never scores 1 (cocoapi issue 222). See Notes for those that do not arise here.

    Raises
    ------
    ValueError
        For other values of `iou_type` or `max_detections`.

    Notes
    -----
    Per picture and class, detections in order of falling score take the unmatched truth with the highest
    IoU >= t. A crowd may be taken often, and what takes an ignored truth is neither right nor wrong; so is an
    unmatched detection outside the area range. Precision is made monotone from the right, read at 101
    recalls, and averaged over t = 0.50, 0.55, ..., 0.95 and classes.

    Unlike pycocotools: no id 0 that makes a match look like none (cocoapi issue 572), an empty list of
    detections gives 0 and not an exception, `crowd` may be missing (issue 374), and with `max_detections`
    other than (1, 10, 100) AP is still AP and not -1.

    Equal scores keep the order of the pictures fed (stable sort), so AP of tied scores depends on it, as in
    pycocotools, which goes by ascending picture id.

    References
    ----------
    Lin et al. (2014), Microsoft COCO; cocodataset.org, "Detection evaluation". Notebooks 01, 12, 14.

    Examples
    --------
    >>> coco = COCOEvaluator("bbox")
    >>> coco.update({"boxes": np.array([[0, 0, 10, 10]])},
    ...             {"boxes": np.array([[0, 0, 10, 8]]), "scores": np.array([0.9])})
    >>> round(coco.compute()["AP"], 3)                     # IoU 0.8: right at 7 of the 10 thresholds
    0.7
    """

    def __init__(self, iou_type: str = "segm", max_detections: Sequence[int] = (1, 10, 100),
                 compatible: bool = True) -> None:
        if iou_type not in ("segm", "bbox"):
            raise ValueError(f"iou_type must be 'segm' or 'bbox', got {iou_type!r}")
        if len(max_detections) != 3 or min(max_detections) < 1 or list(max_detections) != sorted(set(max_detections)):
            raise ValueError(f"max_detections must be three increasing integers >= 1, got {max_detections!r}")
        self.iou_type, self.compatible = iou_type, compatible
        self.limits = [int(m) for m in max_detections]
        if not compatible:
            self.limits[-1] = np.iinfo(np.int64).max
        self._pictures = defaultdict(list)                # class id -> one tuple a picture

    def update(self, truth: Mapping[str, Any], detections: Mapping[str, Any]) -> None:
        """Match the detections of one picture.

        Parameters
        ----------
        truth, detections : dict of arrays or tensors
            The objects, in one of three forms: ``"masks"`` (N, H, W) or (N, 1, H, W) of bools or of 0 and 1, which
            may overlap, ``"instances"`` (H, W) label map (objects in order of their ids), ``"boxes"`` (N, 4)
            x1, y1, x2, y2 in px with exclusive right and bottom edge. Masks of detections may be probabilities: inside
            is above 1/2. Boxes of masks are derived if they are not given. Besides, (N,) each: ``"classes"`` or
            ``"labels"`` (integers; one class if missing), ``"scores"`` (detections only, required); truth may have
            ``"crowd"`` or ``"iscrowd"``, ``"ignore"`` (bool) and ``"area"`` (px^2; default: of the mask, otherwise the
            box). So the course's and torchvision's detections and targets go in as they are, and `Sample.truth()`;
            torchvision's ``"image_id"`` and keypoints are not looked at.

        Raises
        ------
        TypeError, ValueError
            Naming the entry: missing or unknown keys, other shapes, masks with other values (0 and 255: divide by
            255), NaN or reversed boxes, NaN scores; detections in a picture of another size than the truth's.
        """
        truth = read_objects(truth, "truth", self.iou_type, scored=False)
        detections = read_objects(detections, "detections", self.iou_type, scored=True)
        if truth.size and detections.size and truth.size != detections.size:
            raise ValueError(f"detections must be made in a picture of the truth's size, H x W = {truth.size}, got "
                             f"{detections.size}")
        for c in np.union1d(truth.classes, detections.classes):
            t = truth.take(np.flatnonzero(truth.classes == c))
            d = np.flatnonzero(detections.classes == c)
            d = detections.take(d[np.argsort(-detections.scores[d], kind="stable")][:self.limits[-1]])
            self._pictures[int(c)].append(self._evaluate(t, d))

    def compute(self) -> dict[str, float]:
        """The twelve numbers, in pycocotools' order.

        Returns
        -------
        dict of str to float in 0..1
            AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100, ARs, ARm, ARl (small: area <= 32^2 px^2, large:
            >= 96^2 px^2). -1.0 where there is no truth of that size; 0.0 where there is but no detection.
        """
        _, precision, recall = self.curves()
        half, three_quarters = (int(np.argmin(abs(THRESHOLDS - t))) for t in (0.5, 0.75))
        stats = {"AP": precision[..., 0, 2], "AP50": precision[half, ..., 0, 2],
                 "AP75": precision[three_quarters, ..., 0, 2], "APs": precision[..., 1, 2],
                 "APm": precision[..., 2, 2], "APl": precision[..., 3, 2]}
        stats |= {"AR1": recall[..., 0, 0], "AR10": recall[..., 0, 1], "AR100": recall[..., 0, 2],
                  "ARs": recall[..., 1, 2], "ARm": recall[..., 2, 2], "ARl": recall[..., 3, 2]}
        return {name: float(s[s > -1].mean()) if (s > -1).any() else -1.0 for name, s in stats.items()}

    def curves(self) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Precision and recall behind the numbers.

        Returns
        -------
        classes : list of int
            The K class ids met.
        precision : (10, 101, K, 4, 3) float64
            At IoU threshold, recall 0.00..1.00, class, area range (all, small, medium, large), detection limit.
            -1 where there is no truth.
        recall : (10, K, 4, 3) float64
            Largest recall reached.
        """
        classes = sorted(self._pictures)
        precision = -np.ones((len(THRESHOLDS), len(RECALLS), len(classes), len(AREAS), 3))
        recall = -np.ones((len(THRESHOLDS), len(classes), len(AREAS), 3))
        for k, c in enumerate(classes):
            scores, matched, ignored, counted = zip(*self._pictures[c])
            rank = np.concatenate([np.arange(len(s)) for s in scores])
            order = np.argsort(-np.concatenate(scores), kind="stable")
            rank = rank[order]
            matched, ignored = (np.concatenate(flags, 2)[..., order] for flags in (matched, ignored))
            for a, positives in enumerate(np.sum(counted, 0)):
                for m, limit in enumerate(self.limits if positives else ()):
                    keep = rank < limit
                    right = (matched[a] & ~ignored[a])[:, keep]
                    wrong = (~matched[a] & ~ignored[a])[:, keep]
                    precision[:, :, k, a, m], recall[:, k, a, m] = _precision_recall(right, wrong, int(positives))
        return classes, precision, recall

    def _evaluate(self, truth: Objects,
                  detections: Objects) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Scores (D,), matched and ignored (area, threshold, D), and the truths that count (area,)."""
        pairs = overlapping(detections, truth, self.iou_type, THRESHOLDS[0])
        low, high = np.array(list(AREAS.values())).T[:, :, None]
        outside = lambda area: (area < low) | (area > high)                      # (area range, objects)
        ignore = outside(truth.area) | truth.crowd | (truth.ignore & (not self.compatible))
        matched = np.zeros((len(AREAS), len(THRESHOLDS), len(detections.scores)), dtype=bool)
        ignored = np.zeros_like(matched)
        for a in range(len(AREAS)):
            _match(pairs, truth.crowd, ignore[a], matched[a], ignored[a])
        ignored |= ~matched & outside(detections.area)[:, None]
        return detections.scores, matched, ignored, (~ignore).sum(1)


def _match(pairs: tuple[np.ndarray, np.ndarray, np.ndarray], crowd: np.ndarray, ignore: np.ndarray,
           matched: np.ndarray, ignored: np.ndarray) -> None:
    """Fill `matched`, `ignored` (T, D) for one area range; `pairs` (detection, truth, IoU), the best score first."""
    d, g, iou = pairs
    order = np.lexsort((g, ignore[g], d))                                        # truths that count come first
    crowd, ignore = crowd.tolist(), ignore.tolist()
    thresholds = np.minimum(THRESHOLDS, 1 - 1e-10).tolist()
    taken = [set() for _ in thresholds]
    candidates = defaultdict(list)             # few pairs overlap by half: plain loops over those few are fastest
    for detection, *pair in zip(d[order].tolist(), g[order].tolist(), iou[order].tolist()):
        candidates[detection].append(pair)
    for detection, truths in candidates.items():
        highest = max(value for _, value in truths)
        for t, threshold in enumerate(thresholds):
            if highest < threshold:
                break
            best, best_iou = None, threshold
            for g, value in truths:
                if g in taken[t] and not crowd[g]:
                    continue
                if best is not None and ignore[g] and not ignore[best]:
                    break                                                         # a truth that counts goes first
                if value >= best_iou:                                             # of equals the later, as pycocotools
                    best, best_iou = g, value
            if best is not None:
                taken[t].add(best)
                matched[t, detection], ignored[t, detection] = True, ignore[best]


def _precision_recall(right: np.ndarray, wrong: np.ndarray, positives: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision (T, 101) at the recalls and final recall (T,), from what is right or wrong (T, D) by falling score."""
    T, D = right.shape
    if not D:
        return np.zeros((T, len(RECALLS))), np.zeros(T)
    tp, fp = right.cumsum(1), wrong.cumsum(1)
    precision = tp / (tp + fp + np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    # recall >= r first holds at the detection that makes the `needed`-th hit
    needed = np.searchsorted(np.arange(positives + 1) / positives, RECALLS)
    at = np.stack([np.searchsorted(row, needed) for row in tp])                  # D where r is never reached
    precision = np.concatenate([precision, np.zeros((T, 1))], 1)
    return np.take_along_axis(precision, at, 1), tp[:, -1] / positives
