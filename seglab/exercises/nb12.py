"""Checks of the exercises of notebook 12: boxes, anchors, proposals."""

from collections.abc import Iterator

import torch

from seglab.exercises import Case, exercise
from seglab.ops import batched_nms, box_iou, match, nms


@exercise("12.1", title="The shift an IoU allows", hints=[
    "Draw the two squares. How wide is the part they share after a shift by d, and how wide is everything together?",
    "The heights are equal and cancel: IoU = (side - d) / (side + d).",
    "Set (side - d) / (side + d) = t and solve for d.",
], points=1, count=5)
def allowed_shift(answer) -> Iterator[Case]:
    """``answer(side, t)``: the sideways shift in px that leaves IoU t."""
    for side, t in ((12.0, 0.5), (24.0, 0.5), (48.0, 0.7), (10.0, 0.1)):
        got, want = answer(side, t), side * (1 - t) / (1 + t)
        slips = {side * (1 - t): "this leaves the share t of the *box*; the union grows while the intersection shrinks",
                 side * (1 - t) / 2: "close, but the union is not always the same: it is side + d wide",
                 side * (1 - t) / (2 - t): "the union of two boxes side by side is not 2 * side: it is side + d",
                 side * t: "a larger t must allow a *smaller* shift",
                 (1 - t) / (1 + t): "a share of the side, not px: multiply by side",
                 -want: "the sign: the shift is a length"}
        yield f"side {side:g} px, IoU {t:g}: {want:.2f} px", _close(got, want), _slip(got, slips)
    got = answer(30.0, 1.0)
    yield "IoU 1 allows no shift at all", _close(got, 0), f"you return {got!r}"


def _matrices() -> dict[str, torch.Tensor]:
    """Overlaps (objects, anchors) that trip the usual shortcuts; 0.7 and 0.3 are exact where they stand."""
    return {
        "the three bands and their edges": torch.tensor([[0.9, 0.7, 0.69, 0.3, 0.29, 0.0]]),
        "an object whose best anchor is poor": torch.tensor([[0.8, 0.1, 0.0, 0.0], [0.0, 0.0, 0.2, 0.1]]),
        "a best anchor in between": torch.tensor([[0.8, 0.1, 0.0], [0.0, 0.2, 0.5]]),
        "two best anchors, equally good": torch.tensor([[0.4, 0.1, 0.4, 0.2]]),
        "a best anchor that prefers another object": torch.tensor([[0.1, 0.6, 0.65], [0.2, 0.5, 0.0]]),
        "an object that no anchor overlaps": torch.tensor([[0.8, 0.1, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]),
    }


@exercise("12.2", title="The second rule without its trap", hints=[
    "Start from `assign` of the notebook. The trap is in `iou == most`: for which objects must that not count?",
    "An object whose largest overlap `most` is 0 has no best anchor. Without objects `iou.max(dim=0)` fails: return "
    "before it.",
    "rescued = ((iou == most) & (most > 0)).any(dim=0); and if len(iou) == 0: return torch.full(iou.shape[1:], -1).",
], points=2, count=7)
def assign_safely(answer) -> Iterator[Case]:
    """``answer(iou, high, low)``: object of each anchor, -1 none, -2 between."""
    for name, iou in _matrices().items():
        got, want = answer(iou.clone(), 0.7, 0.3), match(iou, 0.7, 0.3, allow_low_quality=True)
        if not isinstance(got, torch.Tensor) or got.shape != want.shape:
            yield name, False, f"return one integer an anchor, shape {tuple(want.shape)}, not {got!r}"
            return
        yield name, torch.equal(got.long(), want), _why_not_matched(iou, got, want)
    got = answer(torch.zeros(0, 4), 0.7, 0.3)
    yield "a picture without objects: all anchors negative", \
        isinstance(got, torch.Tensor) and got.tolist() == [-1] * 4, f"you return {got!r}"


def _why_not_matched(iou, got, want) -> str:
    best, index = iou.max(dim=0)
    most = iou.max(dim=1, keepdim=True)[0]
    if (most == 0).any() and (got >= 0).all():
        return "the trap: every anchor is positive, because all of them share the overlap 0 with that object"
    plain = match(iou, 0.7, 0.3)
    called = ((iou == most) & (most > 0)).any(dim=0)
    if torch.equal(got, plain):
        between = (plain[called] != -1).all()
        return "the best anchor of an object may lie in between: it becomes positive as well" if between else \
            "this object has no positive anchor: the second rule is missing"
    strict = torch.where(best > 0.7, index, torch.where(best <= 0.3, -1, -2))
    edge = (best == iou.new_tensor(0.7)) | (best == iou.new_tensor(0.3))
    if edge.any() and torch.equal(got[edge], strict[edge]) and not torch.equal(got[edge], want[edge]):
        return "an IoU exactly on a threshold: 0.7 is positive (>=), 0.3 is in between (only below is negative)"
    caller = ((iou == most) & (most > 0)).int().argmax(dim=0)
    if torch.equal(got, torch.where(called, caller, plain)):
        return "a rescued anchor goes to the object that *it* overlaps most, `index`, not to the one that called"
    if (got[want == -2] == -1).any():
        return "from 0.3 to 0.7 an anchor is neither: -2, not -1"
    if ((want >= 0) & (got < 0)).any() and (got[called] >= 0).any():
        return "when several anchors tie for an object's best, all of them count (argmax gives only the first)"
    return f"you return {got.tolist()}, expected {want.tolist()}"


def _class_sets() -> dict[str, tuple]:
    """Boxes, scores, classes: positive, negative, and with odd class numbers."""
    g = torch.Generator().manual_seed(12)
    start = 40 * torch.rand(60, 2, generator=g)
    boxes = torch.cat([start, start + 8 + 12 * torch.rand(60, 2, generator=g)], dim=1)
    scores = torch.rand(60, generator=g)
    classes = torch.randint(4, (60,), generator=g)
    single = torch.zeros(60, dtype=torch.int64)
    return {"one class": (boxes, scores, single), "four classes": (boxes, scores, classes),
            "negative coordinates": (boxes - 60, scores, classes),
            "coordinates on both sides of 0": (boxes - 30, scores, classes),
            "class numbers far apart, also below 0": (boxes - 30, scores, torch.tensor([-3, 0, 7, 90])[classes])}


@exercise("12.3", title="One suppression for all classes", hints=[
    "How wide must the strip of one class be, so that no box reaches into the next? Not the largest coordinate.",
    "All boxes lie between boxes.min() and boxes.max(). Classes whose shifts differ by more than that cannot meet.",
    "room = boxes.max() - boxes.min() + 1; nms(boxes + (classes * room)[:, None], scores, threshold).",
], points=2, count=6)
def nms_by_class(answer) -> Iterator[Case]:
    """``answer(boxes, scores, classes, threshold)``: indices kept, best first."""
    for name, (boxes, scores, classes) in _class_sets().items():
        want = batched_nms(boxes, scores, classes, 0.3)
        got = answer(boxes.clone(), scores.clone(), classes.clone(), 0.3)
        if not isinstance(got, torch.Tensor) or got.ndim != 1 or got.is_floating_point() or got.dtype == torch.bool:
            yield name, False, f"return the indices of the kept boxes, a tensor (K,) of integers, not {got!r}"
            return
        if torch.equal(got, nms(boxes, scores, 0.3)):
            advice = "boxes of different classes suppress each other: nothing keeps them apart"
        elif torch.equal(got.sort()[0], want.sort()[0]):
            advice = "the right boxes in the wrong order: best score first, over all classes"
        elif set(got.tolist()) < set(want.tolist()):
            advice = "boxes of different classes still meet: with negative coordinates the largest coordinate " \
                     "is not the room that a class needs"
        else:
            advice = f"{len(got)} boxes kept, {len(want)} expected; is each class shifted by the same amount " \
                     "in x and y, and nothing but shifted?"
        yield f"{name}: {len(want)} of {len(boxes)} kept", torch.equal(got, want), advice
    none = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    got = answer(*none, 0.5)
    yield "no boxes at all", isinstance(got, torch.Tensor) and len(got) == 0, f"you return {got!r}"


def _soft(boxes, scores, sigma, weight=None, again=True, everyone=False):
    """Soft-NMS, and with the options its usual slips."""
    weight = weight or (lambda overlap: torch.exp(-overlap ** 2 / sigma))
    overlaps, scores = box_iou(boxes, boxes), scores.clone()
    left = torch.ones(len(boxes), dtype=torch.bool)
    fixed = scores.clone()
    while left.any():
        best = torch.where(left, scores if again else fixed, -1).argmax()
        left[best] = False
        others = left.clone()
        if everyone:
            others[:] = True
            others[best] = False
        scores[others] *= weight(overlaps[best, others])
    return scores


@exercise("12.4", title="Soft-NMS", hints=[
    "Keep a mask of the boxes that are left, and a copy of the scores. The best one left is fixed from now on.",
    "torch.where(left, scores, -1).argmax() finds it. Then only the scores of the boxes *still left* change, so the "
    "next best one may be another than before.",
    "left[best] = False; scores[left] *= torch.exp(-ops.box_iou(boxes, boxes)[best, left] ** 2 / sigma).",
], points=3, count=7)
def soft_nms(answer) -> Iterator[Case]:
    """``answer(boxes, scores, sigma)``: the final scores, in the order of the boxes."""
    row = torch.tensor([[0.0, 0, 10, 10], [2, 0, 12, 10], [5, 0, 15, 10], [7, 0, 17, 10], [40, 40, 50, 50]])
    marks = torch.tensor([0.8, 0.75, 0.9, 0.7, 0.3])
    g = torch.Generator().manual_seed(4)
    start = 20 * torch.rand(25, 2, generator=g)
    crowd = torch.cat([start, start + 10], dim=1)
    for name, boxes, scores, sigma in (("two boxes", row[:2], marks[:2], 0.5), ("a row of boxes", row, marks, 0.5),
                                       ("a crowd", crowd, torch.rand(25, generator=g), 0.2)):
        given = scores.clone()
        got, want = answer(boxes.clone(), given, sigma), _soft(boxes, scores, sigma)
        if not isinstance(got, torch.Tensor) or got.shape != want.shape:
            yield name, False, f"return one score a box, in the order of the boxes, shape {tuple(want.shape)}"
            return
        yield name, torch.allclose(got, want, atol=1e-5), _why_not_soft(boxes, scores, sigma, got, want)
        yield f"{name}: the scores given are not changed", torch.equal(given, scores), "work on scores.clone()"
    alone = answer(row[[0, 4]].clone(), marks[[0, 4]].clone(), 0.5)
    yield "boxes that do not touch keep their scores", torch.allclose(alone, marks[[0, 4]]), f"you return {alone}"


def _why_not_soft(boxes, scores, sigma, got, want) -> str:
    slips = {
        "the exponent is IoU squared / sigma: the square is missing": {"weight": lambda o: torch.exp(-o / sigma)},
        "the exponent is IoU^2 / sigma, without a factor 2": {"weight": lambda o: torch.exp(-o ** 2 / (2 * sigma))},
        "this is the linear form 1 - IoU; asked for is exp(-IoU^2 / sigma)": {"weight": lambda o: 1 - o},
        "the order is fixed before the scores change: look for the best one *left* again each time": {"again": False},
        "boxes that were taken already lose score again: only those still left change": {"everyone": True},
    }
    for advice, options in slips.items():
        if torch.allclose(got, _soft(boxes, scores, sigma, **options), atol=1e-5):
            return advice
    if torch.allclose(got, want.sort(descending=True)[0], atol=1e-5):
        return "the right scores, but sorted: return them in the order of the boxes"
    if torch.equal(got, scores):
        return "no score has changed"
    if ((got == 0) & (want > 0)).any():
        return "some scores are 0: soft-NMS throws nothing away"
    i = (got - want).abs().argmax()
    return f"box {int(i)} has {got[i]:.3f}, expected {want[i]:.3f}"


def _close(got, want) -> bool:
    return got is not None and abs(float(got) - want) < 1e-6


def _slip(got, slips: dict) -> str:
    if got is None:
        return "the function returns None: is there a `return`?"
    for value, advice in slips.items():
        if _close(got, value):
            return advice
    return f"you return {got!r}"
