"""Checks of the exercises of notebook 12: boxes, anchors, proposals."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from seglab.exercises import Case, exercise
from seglab.exercises.answers import MISSING, close, differs, not_shaped, numbers, short, slip
from seglab.ops import box_iou


@exercise("12.1", title="The shift an IoU allows", hints=[
    "Draw the two squares. How wide is the part they share after a shift by d, and how wide is everything together?",
    "The heights are equal and cancel: IoU = (side - d) / (side + d).",
    "Set (side - d) / (side + d) = t and solve for d: return side * (1 - t) / (1 + t).",
], points=1, count=6)
def allowed_shift(answer: Callable) -> Iterator[Case]:
    """``answer(side, t)``: the sideways shift in px that leaves IoU t."""
    for side, t in ((12.0, 0.5), (24.0, 0.5), (48.0, 0.7), (10.0, 0.1), (300.0, 0.02)):
        got, want = answer(side, t), side * (2 / (1 + t) - 1)
        slips = {side * (1 - t): "this leaves the share t of the *box*; the union grows while the intersection shrinks",
                 side * (1 - t) / 2: "close, but the union is not always the same: it is side + d wide",
                 side * (1 - t) / (2 - t): "the union of two boxes side by side is not 2 * side: it is side + d",
                 side * (1 - t**0.5): "a shift sideways leaves the height as it is: nothing is squared",
                 side * t: "a larger t must allow a *smaller* shift",
                 (1 - t) / (1 + t): "a share of the side, not px: multiply by side",
                 -want: "the sign: the shift is a length"}
        yield f"side {side:g} px, IoU {t:g}: {want:.2f} px", close(got, want), slip(got, want, slips)
    got = answer(30.0, 1.0)
    yield "IoU 1 allows no shift at all", close(got, 0), differs(got, 0)


def _matchings() -> list[tuple[str, Tensor, tuple]]:
    """Overlaps (objects, anchors) that trip the usual shortcuts, with the thresholds they go with.

    Thresholds on which an overlap lies are exact in every floating type.
    """
    poor = [[0.9, 0.1, 0.0, 0.0, 0.2], [0.0, 0.0, 0.05, 0.04, 0.0]]
    return [
        ("the three bands and their edges", torch.tensor([[0.9, 0.75, 0.72, 0.25, 0.2, 0.0]]), (0.75, 0.25)),
        ("0.7 and 0.3 are the defaults", torch.tensor([[0.9, 0.72, 0.65, 0.32, 0.28, 0.0]]), ()),
        ("an object whose best anchor is poor", torch.tensor(poor), (0.7, 0.3)),
        ("a best overlap of one in a million", torch.tensor([[0.8, 0.1, 0.0], [0.0, 0.0, 1e-6]]), (0.5, 0.4)),
        ("a best anchor in between", torch.tensor([[0.8, 0.1, 0.0], [0.0, 0.2, 0.5]]), (0.7, 0.3)),
        ("two best anchors, equally good, and one that is almost", torch.tensor([[0.4, 0.1, 0.4, 0.2, 0.398]]),
         (0.7, 0.45)),
        ("a best anchor that prefers another object", torch.tensor([[0.1, 0.6, 0.65], [0.2, 0.5, 0.0]]), (0.7, 0.3)),
        ("an object that no anchor overlaps, the last", torch.tensor([[0.8, 0.1, 0.0, 0.0], [0.0] * 4]), (0.7, 0.3)),
        ("an object that no anchor overlaps, the first", torch.tensor([[0.0] * 4, [0.1, 0.2, 0.0, 0.0]]), (0.7, 0.3)),
        ("no object overlaps any anchor", torch.zeros(2, 3), (0.7, 0.3)),
        ("one object, one anchor", torch.tensor([[0.05]]), (0.7, 0.3)),
    ]


def _matched(iou: np.ndarray, high: float, low: float) -> list[int]:
    """The rules of the text, read anchor by anchor."""
    found = []
    for anchor in iou.T:
        own = int(anchor.argmax())
        wanted = any(overlap == row.max() > 0 for overlap, row in zip(anchor, iou))
        found.append(own if wanted or anchor[own] >= high else -1 if anchor[own] < low else -2)
    return found


@exercise("12.2", title="The second rule without its trap", hints=[
    "Start from `assign` of the notebook. The trap is in `iou == most`: for which objects must that not count?",
    "An object whose largest overlap `most` is 0 has no best anchor. Leave its row in, or the numbers of the objects "
    "after it shift. Without objects `iou.max(dim=0)` fails: return before it.",
    "As in assign, but first `if len(iou) == 0: return torch.full(iou.shape[1:], -1)`, and then "
    "rescued = ((iou == most) & (most > 0)).any(dim=0).",
], points=2, count=13)
def assign_safely(answer: Callable) -> Iterator[Case]:
    """``answer(iou, high, low)``: object of each anchor, -1 none, -2 between."""
    integers = True
    for name, iou, bounds in _matchings():
        got, want = answer(iou, *bounds), _matched(iou.double().numpy(), *(bounds or (0.7, 0.3)))
        form = not_shaped(got, (len(want),), "one integer an anchor, an array")
        integers &= getattr(got, "dtype", None) in (torch.int64, np.int64)
        yield f"{name}: {want}", not form and close(got, want), \
            form or _why_not_matched(iou.double().numpy(), *(bounds or (0.7, 0.3)), numbers(got), np.array(want))
    got = answer(torch.zeros(0, 4), 0.7, 0.3)
    yield "a picture without objects: all anchors negative", close(got, [-1] * 4), differs(got, [-1] * 4)
    integers &= getattr(got, "dtype", None) in (torch.int64, np.int64)
    yield "the numbers are int64, also without objects", integers, "they are indices of objects: int64"


def _why_not_matched(iou: np.ndarray, high: float, low: float, got: np.ndarray, want: np.ndarray) -> str:
    """What the reader's matching did otherwise."""
    best, index, most = iou.max(0), iou.argmax(0), iou.max(1, keepdims=True)
    calls = (iou == most) & (most > 0)
    called, dead = calls.any(0), most[:, 0] == 0
    plain = np.where(best >= high, index, np.where(best < low, -1, -2))
    alive = np.flatnonzero(~dead)
    if dead.any() and (got >= 0).all() and not (want >= 0).all():
        return "the trap: every anchor is positive, because all of them share the overlap 0 with that object"
    if dead.any() and len(alive) and (got == np.where(want >= 0, np.searchsorted(alive, want), want)).all():
        return "the numbers of the objects have shifted: an object without overlap keeps its row"
    if dead.any() and not dead.all() and (got == plain).all():
        return "one object without overlap must not switch the second rule off for the others"
    if (got == plain).all():
        return "the best anchor of an object may lie in between: it becomes positive as well" \
            if (plain[called] != -1).all() else \
            "this object has no positive anchor: the second rule is missing, or asks for more than an overlap above 0"
    edge = (best == high) | (best == low)
    strict = np.where(best > high, index, np.where(best <= low, -1, -2))
    if edge.any() and (got[edge] == strict[edge])[got[edge] != want[edge]].any():
        return f"an IoU exactly on a threshold: {high:g} is positive (>=), {low:g} is in between (only below is " \
            "negative)"
    if (high, low) != (0.7, 0.3) and (got == _matched(iou, 0.7, 0.3)).all():
        return "0.7 and 0.3 are written where `high` and `low` belong"
    if (got == np.where(called, calls.argmax(0), plain)).all():
        return "a rescued anchor goes to the object that *it* overlaps most, `index`, not to the one that called"
    if (got[want == -2] == -1).any():
        return "between the two thresholds an anchor is neither: -2, not -1"
    if ((want >= 0) & (got < 0)).any() and (got[called] >= 0).any():
        return "when several anchors tie for an object's best, all of them count (argmax gives only the first)"
    more = (want < 0) & (got >= 0)
    if more.any() and (iou >= most - 0.02).any(0)[more].all() and not dead.any():
        return "an anchor that is almost an object's best is not its best: only equal overlaps tie"
    if more.any():
        return f"anchor {np.flatnonzero(more)[0]} is below `high` and no object's best: it is not positive"
    return f"you return {got.astype(int).tolist()}, it should be {want.tolist()}"


def _kept(boxes: Tensor, scores: Tensor, classes: Tensor, threshold: float) -> list[int]:
    """Greedy suppression box by box, each class for itself; best score first."""
    overlaps, kept = box_iou(boxes.double(), boxes.double()), []
    for k in scores.argsort(descending=True).tolist():
        if all(classes[k] != classes[i] or overlaps[k, i] <= threshold for i in kept):
            kept.append(k)
    return kept


def _class_sets() -> Iterator[tuple[str, Tensor, Tensor, Tensor, float]]:
    """Boxes, scores, classes and a threshold: positive, negative, large, and with odd class numbers."""
    g = torch.Generator().manual_seed(12)
    start = 40 * torch.rand(60, 2, generator=g)
    boxes = torch.cat([start, start + 8 + 12 * torch.rand(60, 2, generator=g)], dim=1)
    scores = torch.rand(60, generator=g)
    classes = torch.randint(4, (60,), generator=g)
    yield "one class", boxes, scores, torch.zeros(60, dtype=torch.int64), 0.3
    yield "four classes", boxes, scores, classes, 0.3
    yield "another threshold", boxes, scores, classes, 0.15
    yield "negative coordinates", boxes - 60, scores, classes, 0.3
    yield "coordinates on both sides of 0", boxes - 30, scores, classes, 0.3
    yield "boxes of a thousand px", 100 * (boxes - 30), scores, classes, 0.3
    yield "class numbers far apart, also below 0", boxes - 30, scores, torch.tensor([-3, 0, 3, 90])[classes], 0.3
    yield "class numbers up to a million", boxes, scores, torch.tensor([0, 1, 999_999, 1_000_000])[classes], 0.3
    yield "one box", boxes[:1], scores[:1], classes[:1], 0.3


@exercise("12.3", title="One suppression for all classes", hints=[
    "How wide must the strip of one class be, so that no box reaches into the next? Not the largest coordinate.",
    "All boxes lie between boxes.min() and boxes.max(). Classes whose shifts differ by more than that cannot meet. "
    "Compute in float64, so that a large shift does not eat the digits of the boxes; and min() of no box is an error.",
    "if len(boxes) == 0: return torch.zeros(0, dtype=torch.int64); boxes = boxes.double(); room = boxes.max() - "
    "boxes.min() + 1; return ops.nms(boxes + (classes * room)[:, None], scores, threshold).",
], points=2, count=10)
def nms_by_class(answer: Callable) -> Iterator[Case]:
    """``answer(boxes, scores, classes, threshold)``: indices kept, best first."""
    for name, boxes, scores, classes, threshold in _class_sets():
        got, want = answer(boxes, scores, classes, threshold), _kept(boxes, scores, classes, threshold)
        yield f"{name}: {len(want)} of {len(boxes)} kept", _indices(got) and close(got, want), \
            _why_not_kept(got, want, boxes, scores, classes, threshold)
    none = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    got = answer(*none, 0.5)
    yield "no boxes at all: an empty tensor of indices", _indices(got) and close(got, []), \
        differs(got, []) or f"indices are integers, not {getattr(got, 'dtype', '')}"


def _indices(got: object) -> bool:
    """Is this a row of integers?"""
    array, dtype = numbers(got), str(getattr(got, "dtype", "int"))
    return array is not None and array.ndim == 1 and "int" in dtype


def _why_not_kept(got: object, want: list[int], boxes: Tensor, scores: Tensor, classes: Tensor,
                  threshold: float) -> str:
    """What is wrong with the indices that the reader kept."""
    if not _indices(got):
        return MISSING if got is None else \
            f"return the indices of the kept boxes, a tensor (K,) of integers, not {short(got)}"
    array = numbers(got)
    if close(got, _kept(boxes, scores, torch.zeros_like(classes), threshold)):
        return "boxes of different classes suppress each other: nothing keeps them apart"
    if sorted(array.tolist()) == sorted(want):
        return "the right boxes in the wrong order: best score first, over all classes"
    if threshold != 0.3 and close(got, _kept(boxes, scores, classes, 0.3)):
        return "0.3 is written where `threshold` belongs"
    if close(got, _kept(boxes, scores, classes.abs(), threshold)):
        return "classes -3 and 3 are not the same: do not take the absolute value"
    if set(array.tolist()) < set(want):
        return "boxes of different classes still meet: the room that a class needs is neither a constant nor, with " \
               "negative coordinates, the largest coordinate"
    if int(classes.max()) > 100_000:
        return f"{len(array)} boxes kept, {len(want)} expected: so large a shift costs float32 the digits of the " \
               "boxes; compute in float64 or number the classes anew"
    return f"{len(array)} boxes kept, {len(want)} expected; is each class shifted by the same amount in x and y, and " \
           "nothing but shifted?"


def _soft(boxes: Tensor, scores: Tensor, sigma: float, weight: Callable | None = None, again: bool = True,
          everyone: bool = False) -> np.ndarray:
    """Final scores of soft suppression, box by box; the options are usual slips."""
    weight = weight or (lambda overlap: np.exp(-overlap**2 / sigma))
    overlaps = box_iou(boxes.double(), boxes.double()).numpy()
    first = scores.double().numpy()
    final, left = first.copy(), list(range(len(boxes)))
    while left:
        best = left.pop(int(np.argmax((final if again else first)[left])))
        for k in (set(range(len(boxes))) - {best} if everyone else left):
            final[k] *= weight(overlaps[best, k])
    return final


@exercise("12.4", title="Soft-NMS", hints=[
    "Keep a mask of the boxes that are left, and a copy of the scores. The best one left is fixed from now on.",
    "torch.where(left, scores, -1).argmax() finds it. Then only the scores of the boxes *still left* change, so the "
    "next best one may be another than before.",
    "scores, left = scores.clone(), torch.ones(len(boxes), dtype=torch.bool); while left.any(): best = torch.where("
    "left, scores, -1).argmax(); left[best] = False; scores[left] *= torch.exp(-ops.box_iou(boxes, boxes)[best, left] "
    "** 2 / sigma); and return scores.",
], points=3, count=7)
def soft_nms(answer: Callable) -> Iterator[Case]:
    """``answer(boxes, scores, sigma)``: the final scores, in the order of the boxes."""
    row = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [5, 0, 15, 10], [7, 0, 17, 10], [40, 40, 50, 50]])
    marks = torch.tensor([0.8, 0.75, 0.9, 0.7, 0.3])
    g = torch.Generator().manual_seed(4)
    start = 20 * torch.rand(25, 2, generator=g)
    crowd = torch.cat([start, start + 10], dim=1)
    for name, boxes, scores, sigma in (("two boxes", row[:2], marks[:2], (0.5,)),
                                       ("a row of boxes", row, marks, (0.5,)),
                                       ("sigma is 0.5 if not given", row, marks, ()),
                                       ("a crowd", crowd, torch.rand(25, generator=g), (0.2,)),
                                       ("the same box twice", row[[1, 1]], marks[[3, 4]], (0.5,)),
                                       ("one box", row[:1], marks[:1], (0.5,)),
                                       ("boxes that do not touch", row[[0, 4]], marks[[0, 4]], (0.5,))):
        got, want = answer(boxes, scores, *sigma), _soft(boxes, scores, *(sigma or (0.5,)))
        form = not_shaped(got, want.shape, "one score a box, in the order of the boxes, an array")
        statement = f"{name}: {want.round(3).tolist()}" if len(boxes) < 6 else f"{name}: {len(boxes)} boxes"
        yield statement, not form and close(got, want, 1e-5), \
            form or _why_not_soft(boxes, scores, *(sigma or (0.5,)), got, want)


def _why_not_soft(boxes: Tensor, scores: Tensor, sigma: float, got: object, want: np.ndarray) -> str:
    """Which slip gives these scores."""
    slips = {
        "the exponent is IoU squared / sigma: the square is missing": {"weight": lambda o: np.exp(-o / sigma)},
        "the exponent is IoU^2 / sigma, without a factor 2": {"weight": lambda o: np.exp(-o**2 / (2 * sigma))},
        "the square belongs to the IoU alone, not to sigma": {"weight": lambda o: np.exp(-(o / sigma) ** 2)},
        "this is the linear form 1 - IoU; asked for is exp(-IoU^2 / sigma)": {"weight": lambda o: 1 - o},
        "0.5 is written where sigma belongs": {"weight": lambda o: np.exp(-o**2 / 0.5)},
        "the order is fixed before the scores change: look for the best one *left* again each time": {"again": False},
        "boxes that were taken already lose score again: only those still left change": {"everyone": True},
    }
    results = [(_soft(boxes, scores, sigma, **options), advice) for advice, options in slips.items()]
    results += [(np.sort(want)[::-1], "the right scores, but sorted: return them in the order of the boxes"),
                (scores, "no score has changed")]
    array = numbers(got)
    if ((array == 0) & (want > 0)).any():
        return "some scores are 0: soft-NMS throws nothing away"
    return slip(got, want, results, 1e-5)
