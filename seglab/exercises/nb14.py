"""Checks of the exercises of notebook 14, Mask R-CNN."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from seglab.exercises import Case, exercise


def _same(got, want: Tensor) -> bool:
    return isinstance(got, Tensor) and got.shape == want.shape and \
        torch.allclose(got.double(), want.double(), atol=1e-6)


def _came(got) -> str:
    if got is None:
        return "the function returns None: is there a `return`?"
    if isinstance(got, Tensor):
        return f"you return {got.tolist() if got.numel() <= 12 else 'a tensor of shape ' + str(tuple(got.shape))}"
    return f"you return {got!r}"


@exercise("14.1", title="The class of a RoI", hints=[
    "Two things are asked at once: look up the class of the object, and say 0 where there is no object.",
    "matched is -1 for background, and an index of -1 means the *last* entry in Python. Put something useful where -1 "
    "leads, or overwrite those entries afterwards.",
    "Put a 0 in front: torch.cat([labels.new_zeros(1), labels])[matched + 1]. It also works when labels is empty.",
], points=2, count=7)
def class_of_rois(answer) -> Iterator[Case]:
    """``answer(matched, labels)``: class of each RoI, 0 = background."""
    for name, matched, labels in (("three objects", [1, -1, 0, 2, 2, -1], [3, 1, 2]),
                                  ("every RoI on an object", [0, 1, 0], [2, 2]),
                                  ("one object, mostly background", [-1, -1, 0, -1], [3])):
        matched, labels = torch.tensor(matched), torch.tensor(labels)
        want = torch.where(matched >= 0, labels[matched.clamp(min=0)], 0)
        kept = matched.clone(), labels.clone()
        got = answer(matched, labels)
        slips = [(labels[matched], "background RoIs take the class of the *last* object: an index of -1 wraps round"),
                 (torch.where(matched >= 0, labels[matched] - 1, 0),
                  "the classes are 1..K-1 already; minus 1 turns the first class into background"),
                 (labels[matched.clamp(min=0)], "background RoIs take the class of object 0: clamping is not enough, "
                                                "set them to 0 afterwards"),
                 (torch.where(matched >= 0, labels[matched] + 1, 0), "off by one: labels already count the background"),
                 (torch.where(matched >= 0, matched + 1, 0), "this is the number of the object, not its class"),
                 (torch.where(matched > 0, labels[matched], 0), "object 0 is an object too: >= 0, not > 0"),
                 (torch.where(matched >= 0, labels[matched], -1), "background is class 0; -1 means 'not used'")]
        yield f"{name}: {want.tolist()}", _same(got, want), \
            next((text for value, text in slips if _same(got, value)), _came(got))
        yield f"{name}: int64, and the arguments are left alone", \
            isinstance(got, Tensor) and got.dtype == torch.int64 and torch.equal(matched, kept[0]) and \
            torch.equal(labels, kept[1]), "cross entropy wants int64 classes; and do not write into the arguments"
    got = answer(torch.tensor([-1, -1, -1]), torch.zeros(0, dtype=torch.int64))
    yield "a picture without objects: all background", _same(got, torch.zeros(3)), _came(got)


@exercise("14.2", title="The offsets of the true class", hints=[
    "The 4K numbers of a row are K groups of four. Give the row that shape first.",
    "deltas.unflatten(1, (-1, 4)) has shape (R, K, 4), also for R = 0, where view cannot guess K. Then pick, for row "
    "r, class classes[r]: indexing with two tensors does exactly that.",
    "deltas.unflatten(1, (-1, 4))[torch.arange(len(deltas)), classes]",
], points=2, count=5)
def own_offsets(answer) -> Iterator[Case]:
    """``answer(deltas, classes)``: (R, 4K), (R,) -> (R, 4)."""
    for k, classes in ((4, [1, 3, 2]), (2, [1, 1]), (6, [5, 1, 3, 2, 4])):
        classes = torch.tensor(classes)
        deltas = torch.arange(len(classes) * 4 * k, dtype=torch.float32).view(len(classes), 4 * k)
        grouped, rows = deltas.view(len(classes), k, 4), torch.arange(len(classes))
        want = grouped[rows, classes]
        got = answer(deltas.clone(), classes.clone())
        slips = [(grouped[rows, classes - 1], "off by one: the background has four offsets too, they come first"),
                 (deltas.view(len(classes), 4, k)[rows, :, classes],
                  "the four offsets of a class lie side by side: the groups have 4 entries, not K"),
                 (grouped[:, classes[0]], "every row takes the class of the first one: index with rows and classes"),
                 (deltas[:, :4], "these are the offsets of class 0, the background")]
        if k == len(classes) + 1:
            slips.append((grouped[:, classes][rows, 0], "every row takes the class of the first one"))
        shape = isinstance(got, Tensor) and got.shape == (len(classes), len(classes), 4)
        text = "you have every row with every class: index with rows and classes together" if shape else \
            next((text for value, text in slips if _same(got, value)), _came(got))
        yield f"K = {k}, classes {classes.tolist()}", _same(got, want), text
    deltas = torch.randn(3, 8, requires_grad=True)
    got = answer(deltas, torch.tensor([1, 0, 1]))
    flows = isinstance(got, Tensor) and got.requires_grad
    second, first = [0] * 4 + [1] * 4, [1] * 4 + [0] * 4
    yield "gradients flow to the offsets picked, and to no others", \
        flows and torch.autograd.grad(got.sum(), deltas)[0].tolist() == [second, first, second], \
        "the wrong offsets were picked" if flows else "pick by indexing only; detach() or a copy cuts the gradient"
    got = answer(torch.zeros(0, 16), torch.zeros(0, dtype=torch.int64))
    yield "no positive RoI: shape (0, 4)", isinstance(got, Tensor) and got.shape == (0, 4), _came(got)


def _mask_case() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 4, 5, 5, generator=generator, dtype=torch.float64)
    return logits, torch.tensor([2, 1, 3]), torch.rand(3, 5, 5, generator=generator, dtype=torch.float64)


@exercise("14.3", title="The mask loss", hints=[
    "First pick one mask a RoI, as in 14.2: logits[rows, classes] has shape (P, m, m).",
    "Then it is an ordinary binary cross entropy, from logits, averaged over all P * m * m pixels.",
    "own = logits[torch.arange(len(logits)), classes]; return F.binary_cross_entropy_with_logits(own, targets)",
], points=3, count=4)
def mask_loss(answer) -> Iterator[Case]:
    """``answer(logits, classes, targets)``: mean BCE on the mask of the true class."""
    logits, classes, targets = _mask_case()
    rows = torch.arange(len(logits))
    bce, own = F.binary_cross_entropy_with_logits, logits[rows, classes]
    spread = torch.zeros_like(logits)
    spread[rows, classes] = targets
    log_p = logits.log_softmax(1)
    want = bce(own, targets)
    slips = [(bce(logits, targets[:, None].expand_as(logits)),
              "all K masks are trained on the target: only the one of the true class may be"),
             (bce(logits, spread), "the other masks are trained to be empty: they must not be in the loss at all"),
             (bce(logits[rows, classes - 1], targets),
              "off by one: channel 0 is the background's, it exists but is not used"),
             (bce(own, targets, reduction="sum"), "a mean over the pixels is asked, this is their sum"),
             (bce(own, targets, reduction="sum") / len(logits), "divide by P * m * m, not by P alone"),
             (bce(own, (targets > 0.5).double()), "the targets were rounded: fractions on the outline stay"),
             (bce(own.sigmoid(), targets), "sigmoid twice: binary_cross_entropy_with_logits takes logits"),
             (-(targets * log_p[rows, classes] + (1 - targets) * log_p[:, 0]).mean(),
              "a softmax makes the classes compete; each mask is a sigmoid of its own"),
             (((own.sigmoid() - targets) ** 2).mean(), "this is the squared error")]
    z = logits.clone().requires_grad_()
    got = answer(z, classes.clone(), targets.clone())
    scalar = isinstance(got, Tensor) and got.ndim == 0
    plain = got.detach() if isinstance(got, Tensor) else got
    yield f"three RoIs of three classes: {float(want):.4f}", scalar and _same(plain, want), \
        next((text for value, text in slips if _same(plain, value)), _came(plain))
    if not (scalar and got.requires_grad):
        yield "it has a gradient", False, "return a scalar tensor that depends on the logits"
        return
    grad = torch.autograd.grad(got, z)[0]
    others = grad[torch.arange(4) != classes[:, None]]
    yield "the gradient of all other masks is exactly 0", not others.any(), \
        f"it is up to {float(others.abs().max()):.2g} there: they still take part in the loss"
    yield "the gradient of the true mask is (sigmoid - target) / (P m m)", \
        torch.allclose(grad[rows, classes], (own.sigmoid() - targets) / targets.numel()), "is the mean over P * m * m?"
    large = answer(logits * 1e4, classes, targets)
    yield "finite for logits of ten thousand", isinstance(large, Tensor) and bool(torch.isfinite(large)), \
        "log(sigmoid(z)) overflows: use binary_cross_entropy_with_logits"


def _window(box, m, grow=True, whole=int, end=1):
    x1, y1, x2, y2 = (float(v) for v in box)
    factor = (m + 2) / m if grow else 1
    half_w, half_h, x, y = (x2 - x1) / 2 * factor, (y2 - y1) / 2 * factor, (x1 + x2) / 2, (y1 + y2) / 2
    return whole(x - half_w), whole(y - half_h), whole(x + half_w) + end, whole(y + half_h) + end


def _window_about_corner(box, m):
    x1, y1, x2, y2 = (float(v) for v in box)
    return int(x1), int(y1), int(x1 + (x2 - x1) * (m + 2) / m) + 1, int(y1 + (y2 - y1) * (m + 2) / m) + 1


@exercise("14.4", title="Where a mask is pasted", hints=[
    "Half the width of the grown box is (x2 - x1) / 2 * (m + 2) / m, measured from the centre (x1 + x2) / 2.",
    "int() truncates. The last pixel belongs to the window, so its exclusive edge is one further.",
    "left = int(x - half_w), right = int(x + half_w) + 1, and alike for y, with (x, y) the centre.",
], points=3, count=7)
def paste_window(answer) -> Iterator[Case]:
    """``answer(box, m)``: whole pixels (left, top, right, bottom), right and bottom exclusive."""
    boxes = ([10.4, 20.3, 38.4, 48.3], [3.3, 7.9, 31.7, 15.2], [0.4, 0.9, 5.1, 60.6], [50.6, 30.5, 90.9, 100.7])
    for box in boxes:
        got, want = answer(torch.tensor(box), 28), _window(torch.tensor(box), 28)
        try:
            got = tuple(got)
        except TypeError:
            yield f"box {box}", False, _came(got)
            return
        slips = [(_window(box, 28, whole=round), "rounded: the corners are cut by truncation, int()"),
                 (_window(box, 28, end=0), "the last pixel is missing: both ends count, so right = int(...) + 1"),
                 (_window(box, 28, grow=False), "the box did not grow, but the mask has a frame of one pixel round it"),
                 (_window_about_corner(box, 28), "the box grows about its centre, not about its upper left corner"),
                 (_window(box, 14), "the factor is (m + 2) / m: one of the m pixels at *each* side"),
                 (_window(box, 56), "the factor is (m + 2) / m: one of the m pixels at each side, not half a pixel")]
        text = next((text for value, text in slips if got == value), f"you return {got}")
        yield f"box {box}: {want}", got == want, text
    got = answer(torch.tensor([10.4, 20.3, 38.4, 48.3]), 28)
    yield "four ints", all(isinstance(v, int) for v in got), \
        f"slices need ints, got {[type(v).__name__ for v in got]}"
    got = tuple(answer(torch.tensor([5.3, 5.6, 19.3, 33.6]), 14))
    yield "m = 14: (4, 3, 21, 36)", got == (4, 3, 21, 36), \
        "28 is written where m belongs" if got == _window([5.3, 5.6, 19.3, 33.6], 28) else f"you return {got}"
    got = tuple(answer(torch.tensor([7.2, 7.2, 7.2, 7.2]), 28))
    yield "a box without area still has one pixel", got == (7, 7, 8, 8), f"you return {got}"
