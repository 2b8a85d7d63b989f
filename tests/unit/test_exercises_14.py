"""The checks of notebook 14: the solution passes, the stub fails, and each typical slip is named."""
import pytest
import torch
import torch.nn.functional as F
from exercise_checks import slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import find

bce = F.binary_cross_entropy_with_logits


def class_of_rois(matched, labels):
    return torch.cat([labels.new_zeros(1), labels])[matched + 1]


def own_offsets(deltas, classes):
    return deltas.unflatten(1, (-1, 4))[torch.arange(len(deltas)), classes]


def own_mask(logits, classes):
    return logits[torch.arange(len(logits)), classes]


def mask_loss(logits, classes, targets):
    return bce(own_mask(logits, classes), targets)


def window(box, m, grow=True, whole=int, end=1):
    x1, y1, x2, y2 = (float(v) for v in box)
    factor = (m + 2) / m if grow else 1
    w, h, x, y = (x2 - x1) / 2 * factor, (y2 - y1) / 2 * factor, (x1 + x2) / 2, (y1 + y2) / 2
    return whole(x - w), whole(y - h), whole(x + w) + end, whole(y + h) + end


def from_the_corner(box, m):
    x1, y1, x2, y2 = (float(v) for v in box)
    return int(x1), int(y1), int(x1 + (x2 - x1) * (m + 2) / m) + 1, int(y1 + (y2 - y1) * (m + 2) / m) + 1


def masks_that_should_be_empty(logits, classes, targets):
    wanted = torch.zeros_like(logits)
    wanted[torch.arange(len(logits)), classes] = targets
    return bce(logits, wanted)


def competing(logits, classes, targets):
    log_p = logits.log_softmax(1)
    return -(targets * own_mask(log_p, classes) + (1 - targets) * log_p[:, 0]).mean()


def leaks(logits, classes, targets):
    """The right value, but the other masks get a gradient."""
    rest = logits.sum() - own_mask(logits, classes).sum()
    return mask_loss(logits, classes, targets) + (rest - rest.detach())


def by_hand(logits, classes, targets):
    p = own_mask(logits, classes).sigmoid()
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


def crashes_on_no_object(matched, labels):
    return torch.where(matched >= 0, labels[matched], 0)


def in_place(matched, labels):
    result = class_of_rois(matched, labels)
    matched.clamp_(min=0)
    return result


SOLUTIONS = {"14.1": class_of_rois, "14.2": own_offsets, "14.3": mask_loss, "14.4": window}
MUTANTS = [
    ("14.1", lambda m, k: k[m], "wraps round"),
    ("14.1", lambda m, k: torch.where(m >= 0, k[m] - 1, 0), "turns the first class into background"),
    ("14.1", lambda m, k: k[m.clamp(min=0)], "clamping is not enough"),
    ("14.1", lambda m, k: torch.where(m >= 0, k[m] + 1, 0), "off by one"),
    ("14.1", lambda m, k: m + 1, "not its class"),
    ("14.1", lambda m, k: torch.where(m > 0, k[m], 0), "object 0 is an object"),
    ("14.1", lambda m, k: torch.where(m >= 0, k[m], -1), "background is class 0"),
    ("14.1", lambda m, k: class_of_rois(m, k).float(), "int64"),
    ("14.1", in_place, "do not write into the arguments"),
    ("14.1", crashes_on_no_object, "IndexError"),
    ("14.1", lambda m, k: None, "return"),
    ("14.2", lambda d, k: own_offsets(d, k - 1), "off by one"),
    ("14.2", lambda d, k: d.view(len(d), 4, -1)[torch.arange(len(d)), :, k], "lie side by side"),
    ("14.2", lambda d, k: d.view(len(d), -1, 4)[:, k[0]], "class of the first one"),
    ("14.2", lambda d, k: d.view(len(d), -1, 4)[:, k], "every row with every class"),
    ("14.2", lambda d, k: d[:, :4], "background"),
    ("14.2", lambda d, k: own_offsets(d.detach(), k), "cuts the gradient"),
    ("14.2", lambda d, k: d.view(len(d), -1, 4)[torch.arange(len(d)), k], "ambiguous"),
    ("14.2", lambda d, k: torch.stack([row[4 * c:4 * c + 4] for row, c in zip(d, k)]), "stack expects"),
    ("14.2", lambda d, k: None, "return"),
    ("14.3", lambda z, k, y: bce(z, y[:, None].expand_as(z)), "all K masks are trained"),
    ("14.3", masks_that_should_be_empty, "must not be in the loss at all"),
    ("14.3", lambda z, k, y: mask_loss(z, k - 1, y), "off by one"),
    ("14.3", lambda z, k, y: bce(own_mask(z, k), y, reduction="sum"), "their sum"),
    ("14.3", lambda z, k, y: bce(own_mask(z, k), y, reduction="sum") / len(z), "not by P alone"),
    ("14.3", lambda z, k, y: mask_loss(z, k, (y > 0.5).double()), "fractions on the outline stay"),
    ("14.3", lambda z, k, y: mask_loss(z.sigmoid(), k, y), "sigmoid twice"),
    ("14.3", competing, "compete"),
    ("14.3", lambda z, k, y: ((own_mask(z, k).sigmoid() - y) ** 2).mean(), "squared error"),
    ("14.3", leaks, "still take part"),
    ("14.3", by_hand, "overflows"),
    ("14.3", lambda z, k, y: mask_loss(z, k, y).detach(), "depends on the logits"),
    ("14.3", lambda z, k, y: None, "return"),
    ("14.4", lambda b, m: window(b, m, whole=round), "rounded"),
    ("14.4", lambda b, m: window(b, m, end=0), "the last pixel is missing"),
    ("14.4", lambda b, m: window(b, m, grow=False), "did not grow"),
    ("14.4", from_the_corner, "about its centre"),
    ("14.4", lambda b, m: window(b, m / 2), "at *each* side"),
    ("14.4", lambda b, m: window(b, 2 * m), "not half a pixel"),
    ("14.4", lambda b, m: window(b, 28), "28 is written where m belongs"),
    ("14.4", lambda b, m: tuple(float(v) for v in window(b, m)), "slices need ints"),
    ("14.4", lambda b, m: None, "return"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(find(id).hints[0]) > 20
