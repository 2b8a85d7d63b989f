"""Checks of the exercises of notebook 14, Mask R-CNN."""

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.exercises import Case, exercise
from seglab.exercises.answers import MISSING, close, differs, not_shaped, numbers, short, slip


@exercise("14.1", title="The class of a RoI", hints=[
    "Two things are asked at once: look up the class of the object, and say 0 where there is no object.",
    "matched is -1 for background, and an index of -1 means the *last* entry in Python. Put something useful where -1 "
    "leads, or overwrite those entries afterwards.",
    "Put a 0 in front: torch.cat([labels.new_zeros(1), labels])[matched + 1]. It also works when labels is empty.",
], points=2, count=6)
def class_of_rois(answer: Callable) -> Iterator[Case]:
    """``answer(matched, labels)``: class of each RoI, 0 = background."""
    integers = True
    for name, matched, labels in (("three objects", [1, -1, 0, 2, 2, -1], [3, 1, 2]),
                                  ("every RoI on an object", [0, 1, 0], [2, 2]),
                                  ("one object, mostly background", [-1, -1, 0, -1], [3]),
                                  ("classes up to 90", [0, 1, -1, 1], [90, 1])):
        want = [labels[k] if k >= 0 else 0 for k in matched]
        matched, labels = torch.tensor(matched), torch.tensor(labels)
        got = answer(matched, labels)
        integers &= getattr(got, "dtype", None) in (torch.int64, np.int64)
        slips = [(labels[matched], "background RoIs take the class of the *last* object: an index of -1 wraps round"),
                 (torch.where(matched >= 0, labels[matched] - 1, 0),
                  "the classes are 1..K-1 already; minus 1 turns the first class into background"),
                 (labels[matched.clamp(min=0)], "background RoIs take the class of object 0: clamping is not enough, "
                                                "set them to 0 afterwards"),
                 (torch.where(matched >= 0, labels[matched] + 1, 0), "off by one: labels already count the background"),
                 (torch.where(matched >= 0, matched + 1, 0), "this is the number of the object, not its class"),
                 (torch.where(matched > 0, labels[matched], 0), "object 0 is an object too: >= 0, not > 0"),
                 (torch.where(matched >= 0, 1, 0), "this says whether there is an object, not of which class"),
                 (torch.where(matched >= 0, labels[matched], -1), "background is class 0; -1 means 'not used'")]
        yield f"{name}: {want}", close(got, want), slip(got, want, slips)
    got = answer(torch.tensor([-1, -1, -1]), torch.zeros(0, dtype=torch.int64))
    yield "a picture without objects: all background", close(got, [0, 0, 0]), differs(got, [0, 0, 0])
    integers &= getattr(got, "dtype", None) in (torch.int64, np.int64)
    yield "the classes are int64, also without objects", integers, "cross entropy wants int64 classes"


@exercise("14.2", title="The offsets of the true class", hints=[
    "The 4K numbers of a row are K groups of four. Give the row that shape first.",
    "deltas.unflatten(1, (-1, 4)) has shape (R, K, 4), also for R = 0, where view and reshape cannot guess K. Then "
    "pick, for row r, class classes[r]: indexing with two tensors does exactly that.",
    "deltas.unflatten(1, (-1, 4))[torch.arange(len(deltas)), classes]",
], points=2, count=6)
def own_offsets(answer: Callable) -> Iterator[Case]:
    """``answer(deltas, classes)``: (R, 4K), (R,) -> (R, 4)."""
    for k, classes in ((4, [1, 3, 2]), (2, [1, 0]), (6, [5, 1, 3, 2, 0]), (3, [2])):
        deltas = torch.arange(len(classes) * 4 * k, dtype=torch.float32).view(len(classes), 4 * k)
        want = [deltas[r, 4 * c:4 * c + 4].tolist() for r, c in enumerate(classes)]
        classes = torch.tensor(classes)
        grouped, rows = deltas.view(len(classes), k, 4), torch.arange(len(classes))
        got = answer(deltas, classes)
        slips = [(grouped[rows, classes - 1], "off by one: the background has four offsets too, they come first"),
                 (deltas.view(len(classes), 4, k)[rows, :, classes],
                  "the four offsets of a class lie side by side: the groups have 4 entries, not K"),
                 (grouped[:, classes[0]], "every row takes the class of the first one: index with rows and classes"),
                 (grouped[:, classes], "you have every row with every class: index with rows and classes together"),
                 (deltas[:, :4], "these are the offsets of class 0, the background"),
                 (grouped[rows, classes].flatten(), "the right numbers in one row: four for each RoI")]
        yield f"K = {k}, classes {classes.tolist()}", close(got, want), slip(got, want, slips)
    deltas = torch.randn(3, 8, requires_grad=True)
    got = answer(deltas, torch.tensor([1, 0, 1]))
    flows = isinstance(got, Tensor) and got.requires_grad
    second, first = [0] * 4 + [1] * 4, [1] * 4 + [0] * 4
    yield "gradients flow to the offsets picked, and to no others", \
        flows and close(torch.autograd.grad(got.sum(), deltas)[0], [second, first, second]), \
        "the wrong offsets were picked" if flows else "pick by indexing only; detach() or a copy cuts the gradient"
    try:
        got = answer(torch.zeros(0, 16), torch.zeros(0, dtype=torch.int64))
        form = not_shaped(got, (0, 4), "a tensor")
    except RuntimeError as err:
        form = f"your code stops with '{' '.join(str(err).split())}': without a row there is nothing to stack, and " \
            "view and reshape cannot guess a -1"
    yield "no RoI at all, R = 0: shape (0, 4)", not form, form


def _bce(z: Tensor, y: Tensor) -> Tensor:
    """Binary cross entropy a pixel, from logits."""
    return z.clamp(min=0) - z * y + torch.log1p(torch.exp(-z.abs()))


@exercise("14.3", title="The mask loss", hints=[
    "First pick one mask a RoI, as in 14.2: logits[rows, classes] has shape (P, m, m).",
    "Then it is an ordinary binary cross entropy, from logits, averaged over all P * m * m pixels.",
    "own = logits[torch.arange(len(logits)), classes]; return F.binary_cross_entropy_with_logits(own, targets)",
], points=3, count=6)
def mask_loss(answer: Callable) -> Iterator[Case]:
    """``answer(logits, classes, targets)``: mean BCE on the mask of the true class."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 4, 5, 5, generator=generator, dtype=torch.float64)
    classes, targets = torch.tensor([2, 1, 3]), torch.rand(3, 5, 5, generator=generator, dtype=torch.float64)
    rows = torch.arange(3)
    own = logits[rows, classes]
    got, want = answer(logits, classes, targets), _bce(own, targets).mean()
    plain = close(got, want)
    yield f"three RoIs of three classes: {float(want):.4f}", plain, \
        slip(got, want, _mask_slips(logits, classes, targets))
    got, want = answer(logits[:1], classes[:1], targets[:1]), _bce(own[:1], targets[:1]).mean()
    yield f"a single RoI: {float(want):.4f}", close(got, want), differs(got, want)
    leaf = logits.clone().requires_grad_()
    got = answer(leaf, classes, targets)
    if not (isinstance(got, Tensor) and got.ndim == 0 and got.requires_grad):
        yield "it has a gradient", False, MISSING if got is None else \
            "return a scalar tensor that depends on the logits"
        return
    grad, = torch.autograd.grad(got, leaf)
    others = torch.arange(4) != classes[:, None]
    yield "the gradient of all other masks is exactly 0", not grad[others].any(), \
        f"it is up to {float(grad[others].abs().max()):.2g} there: they still take part in the loss"
    want = (own.sigmoid() - targets) / targets.numel()
    yield "the gradient of the true mask is (sigmoid - target) / (P m m)", close(grad[rows, classes], want, 1e-8), \
        f"{differs(grad[rows, classes], want, 1e-8)}; is it the mean over P * m * m?"
    for name, z in (("logits of thirty in float32", 10 * logits.float()), ("logits of ten thousand", 1e4 * logits)):
        leaf, y = z.clone().requires_grad_(), targets.to(z)
        got, own = answer(leaf, classes, y), z[rows, classes].double()
        want, slope = _bce(own, y.double()).mean(), (own.sigmoid() - y.double()) / y.numel()
        finite = numbers(got) is not None and bool(np.isfinite(numbers(got)).all())
        grad, = torch.autograd.grad(got, leaf)
        wrong = differs(got, want) or differs(grad[rows, classes], slope)
        advice = "log(sigmoid(z)) overflows: use binary_cross_entropy_with_logits" \
            if not finite or not grad.isfinite().all() else wrong if not plain else \
            "value or gradient is cut off: sigmoid() first, clamp() or a small number under the logarithm change it; " \
            f"use binary_cross_entropy_with_logits ({wrong})"
        yield f"value and gradient for {name}", not wrong, advice


def _mask_slips(logits: Tensor, classes: Tensor, targets: Tensor) -> list[tuple[Tensor, str]]:
    """What the usual slips give."""
    rows = torch.arange(len(logits))
    own, log_p, spread = logits[rows, classes], logits.log_softmax(1), torch.zeros_like(logits)
    spread[rows, classes] = targets
    return [(_bce(logits, targets[:, None].expand_as(logits)).mean(),
             "all K masks are trained on the target: only the one of the true class may be"),
            (_bce(logits, spread).mean(),
             "the other masks are trained to be empty: they must not be in the loss at all"),
            (_bce(logits[rows, classes - 1], targets).mean(),
             "off by one: channel 0 is the background's, it exists but is not used"),
            (_bce(own, targets).sum(), "a mean over the pixels is asked, this is their sum"),
            (_bce(own, targets).sum() / len(logits), "divide by P * m * m, not by P alone"),
            (_bce(own, (targets > 0.5).double()).mean(), "the targets were rounded: fractions on the outline stay"),
            (_bce(own.sigmoid(), targets).mean(), "sigmoid twice: binary_cross_entropy_with_logits takes logits"),
            (_bce(own, targets), "a single number is asked: the mean over all pixels"),
            (-_bce(own, targets).mean(), "the sign: a loss falls when the masks get better"),
            (-(targets * F.logsigmoid(own)).mean(), "pixels outside the object count too: the term (1 - y) is missing"),
            (-(targets * log_p[rows, classes] + (1 - targets) * log_p[:, 0]).mean(),
             "a softmax makes the classes compete; each mask is a sigmoid of its own"),
            (((own.sigmoid() - targets) ** 2).mean(), "this is the squared error")]


def _window(box: Sequence[float], m: int, grow: bool = True, whole: Callable = int, end: int = 1) -> tuple:
    x1, y1, x2, y2 = box
    room = 1 / m if grow else 0                                 # of one pixel of the mask, on each side
    left, right = x1 - room * (x2 - x1), x2 + room * (x2 - x1)
    top, bottom = y1 - room * (y2 - y1), y2 + room * (y2 - y1)
    return whole(left), whole(top), whole(right) + end, whole(bottom) + end


def _window_about_corner(box: Sequence[float], m: int) -> tuple:
    x1, y1, x2, y2 = box
    return int(x1), int(y1), int(x1 + (x2 - x1) * (m + 2) / m) + 1, int(y1 + (y2 - y1) * (m + 2) / m) + 1


@exercise("14.4", title="Where a mask is pasted", hints=[
    "Half the width of the grown box is (x2 - x1) / 2 * (m + 2) / m, measured from the centre (x1 + x2) / 2.",
    "int() truncates. The last pixel belongs to the window, so its exclusive edge is one further.",
    "x1, y1, x2, y2 = box; x, y = (x1 + x2) / 2, (y1 + y2) / 2; w, h = (x2 - x1) / 2 * (m + 2) / m, (y2 - y1) / 2 * "
    "(m + 2) / m; return int(x - w), int(y - h), int(x + w) + 1, int(y + h) + 1.",
], points=3, count=9)
def paste_window(answer: Callable) -> Iterator[Case]:
    """``answer(box, m)``: whole pixels (left, top, right, bottom), right and bottom exclusive."""
    cases = [("", (10.4, 20.3, 38.4, 48.3), 28), ("", (3.3, 7.9, 31.7, 15.2), 28), ("", (50.6, 30.5, 90.9, 100.7), 28),
             ("at the rim of the picture, ", (0.4, 0.9, 5.1, 60.6), 28),
             ("m = 14, ", (5.3, 5.6, 19.3, 33.6), 14), ("m = 16, edges on whole pixels, ", (8.0, 8.0, 40.0, 40.0), 16),
             ("m = 16, beyond the rim, ", (0.0, 0.0, 12.0, 20.0), 16), ("without area, ", (7.2, 7.2, 7.2, 7.2), 28)]
    whole = True
    for name, box, m in cases:
        got, want = answer(box, m), _window(box, m)
        slips = [((*_window(box, m)[:2], *_window(box, m, whole=np.ceil, end=0)[2:]),
                  "ceil() is int() + 1 only between whole pixels: a corner on a whole pixel needs the next one too"),
                 (_window(box, 28), "28 is written where m belongs"),
                 (_window(box, m, whole=round), "rounded: the corners are cut by truncation, int()"),
                 (_window(box, m, whole=np.floor), "floor() goes down below 0; int() goes towards 0"),
                 (_window(box, m, end=0), "the last pixel is missing: both ends count, so right = int(...) + 1"),
                 (_window(box, m, grow=False), "the box did not grow, but the mask has a frame of one pixel round it"),
                 (_window_about_corner(box, m), "the box grows about its centre, not about its upper left corner"),
                 (_window(box, m / 2), "the factor is (m + 2) / m: one of the m pixels at *each* side"),
                 (_window(box, 2 * m), "the factor is (m + 2) / m: one of the m pixels at each side, not half a pixel"),
                 (np.array(want)[[1, 0, 3, 2]], "x and y are swapped: left, top, right, bottom"),
                 (np.array(want)[[0, 2, 1, 3]], "the order is left, top, right, bottom"),
                 (np.array(want) - [0, 0, want[0], want[1]], "right and bottom are places, not a width and a height")]
        form = not_shaped(got, (4,), "four numbers, something")
        yield f"{name}box {box}: {want}", not form and close(got, want), form or slip(got, want, slips)
        whole &= not form and all(map(_is_index, got))
    yield "four whole numbers that a slice takes", whole, f"slices need ints, you return {short(got)}"


def _is_index(value: object) -> bool:
    """Is this something that a slice takes?"""
    with suppress(TypeError):
        operator.index(value)
        return not isinstance(value, bool)
    return False
