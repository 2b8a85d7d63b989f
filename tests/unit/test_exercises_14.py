"""Checks of notebook 14: the solution and right answers in other styles pass, the blank fails, slips are named."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import find

bce = F.binary_cross_entropy_with_logits


def class_of_rois(matched, labels):
    return torch.cat([labels.new_zeros(1), labels])[matched + 1]


def class_in_loops(matched, labels):
    return torch.tensor([int(labels[k]) if k >= 0 else 0 for k in matched.tolist()])


def class_by_mask(matched, labels):
    classes = torch.zeros_like(matched)
    classes[matched >= 0] = labels[matched[matched >= 0]]
    return classes


def class_in_numpy(matched, labels):
    return np.append(labels.numpy(), 0)[matched.numpy()]


def class_by_one_hot(matched, labels):
    return ((matched[:, None] == torch.arange(len(labels))) * labels).sum(1)


def crashes_on_no_object(matched, labels):
    return torch.where(matched >= 0, labels[matched], 0)


def adds_in_place(matched, labels):
    matched += 1
    return torch.cat([labels.new_zeros(1), labels])[matched]


def own_offsets(deltas, classes):
    return deltas.unflatten(1, (-1, 4))[torch.arange(len(deltas)), classes]


def offsets_row_by_row(deltas, classes):
    result = deltas.new_zeros(len(deltas), 4)
    for r, c in enumerate(classes.tolist()):
        result[r] = deltas[r, 4 * c:4 * (c + 1)]
    return result


def offsets_by_gather(deltas, classes):
    return deltas.gather(1, 4 * classes[:, None] + torch.arange(4))


def offsets_by_one_hot(deltas, classes):
    k = deltas.shape[1] // 4
    return torch.einsum("rkd,rk->rd", deltas.reshape(len(deltas), k, 4).double(), F.one_hot(classes, k).double())


def own_mask(logits, classes):
    return logits[torch.arange(len(logits)), classes]


def mask_loss(logits, classes, targets):
    return bce(own_mask(logits, classes), targets)


def loss_in_loops(logits, classes, targets):
    total = sum(F.softplus(z[c]) - z[c] * y for z, c, y in zip(logits, classes.tolist(), targets))
    return total.sum() / targets.numel()


def loss_by_logsigmoid(logits, classes, targets):
    z = own_mask(logits, classes)
    return -(targets * F.logsigmoid(z) + (1 - targets) * F.logsigmoid(-z)).mean()


def loss_in_single_precision(logits, classes, targets):
    z = logits.float().gather(1, classes[:, None, None, None].expand(-1, 1, *logits.shape[2:]))[:, 0]
    return torch.nn.BCEWithLogitsLoss()(z, targets.float())


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


def by_hand(logits, classes, targets, small=0.0):
    p = own_mask(logits, classes).sigmoid()
    return -(targets * (p + small).log() + (1 - targets) * (1 - p + small).log()).mean()


def half_a_gradient(logits, classes, targets):
    """The right value, half of the gradient."""
    loss = mask_loss(logits, classes, targets)
    return (loss + loss.detach()) / 2


def window(box, m, grow=True, whole=int, end=1):
    x1, y1, x2, y2 = (float(v) for v in box)
    factor = (m + 2) / m if grow else 1
    w, h, x, y = (x2 - x1) / 2 * factor, (y2 - y1) / 2 * factor, (x1 + x2) / 2, (y1 + y2) / 2
    return whole(x - w), whole(y - h), whole(x + w) + end, whole(y + h) + end


def window_of_tensors(box, m):
    """In float32, a tensor of integers."""
    corners = torch.tensor(box).view(2, 2)
    grown = corners.mean(0) + (corners - corners.mean(0)) * ((m + 2) / m)
    return (grown.long() + torch.tensor([[0], [1]])).flatten()


def window_in_numpy(box, m):
    low, high = np.array(box[:2]), np.array(box[2:])
    room = (high - low) / m
    return [*np.trunc(low - room).astype(int), *(np.trunc(high + room).astype(int) + 1)]


def window_with_trunc(box, m):
    x1, y1, x2, y2 = box
    wide, high = (x2 - x1) * (1 + 2 / m), (y2 - y1) * (1 + 2 / m)
    x, y = x1 + (x2 - x1) / 2, y1 + (y2 - y1) / 2
    return [math.trunc(x - wide / 2), math.trunc(y - high / 2), math.trunc(x + wide / 2 + 1),
            math.trunc(y + high / 2 + 1)]


def from_the_corner(box, m):
    x1, y1, x2, y2 = (float(v) for v in box)
    return int(x1), int(y1), int(x1 + (x2 - x1) * (m + 2) / m) + 1, int(y1 + (y2 - y1) * (m + 2) / m) + 1


def rounded_up(box, m):
    left, top, *_ = window(box, m)
    return left, top, *window(box, m, whole=math.ceil, end=0)[2:]


SOLUTIONS = {"14.1": class_of_rois, "14.2": own_offsets, "14.3": mask_loss, "14.4": window}
OTHERS = [
    ("14.1", class_in_loops),
    ("14.1", class_by_mask),
    ("14.1", class_in_numpy),
    ("14.1", class_by_one_hot),
    ("14.2", offsets_row_by_row),
    ("14.2", offsets_by_gather),
    ("14.2", offsets_by_one_hot),
    ("14.2", lambda d, k: torch.take_along_dim(d.unflatten(1, (-1, 4)), k[:, None, None], 1)[:, 0]),
    ("14.3", loss_in_loops),
    ("14.3", loss_by_logsigmoid),
    ("14.3", loss_in_single_precision),
    ("14.3", lambda z, k, y: bce(own_mask(z, k), y, reduction="sum") / max(y.numel(), 1)),
    ("14.4", window_of_tensors),
    ("14.4", window_in_numpy),
    ("14.4", window_with_trunc),
]
MUTANTS = [
    ("14.1", lambda m, k: k[m], "wraps round"),
    ("14.1", lambda m, k: torch.where(m >= 0, k[m] - 1, 0), "turns the first class into background"),
    ("14.1", lambda m, k: k[m.clamp(min=0)], "clamping is not enough"),
    ("14.1", lambda m, k: torch.where(m >= 0, k[m] + 1, 0), "off by one"),
    ("14.1", lambda m, k: m + 1, "not its class"),
    ("14.1", lambda m, k: torch.where(m > 0, k[m], 0), "object 0 is an object"),
    ("14.1", lambda m, k: (m >= 0).long(), "not of which class"),
    ("14.1", lambda m, k: torch.where(m >= 0, k[m], -1), "background is class 0"),
    ("14.1", lambda m, k: class_of_rois(m, k).float(), "int64"),
    ("14.1", lambda m, k: class_of_rois(m, k).int(), "int64"),
    ("14.1", adds_in_place, "it changes `matched`"),
    ("14.1", crashes_on_no_object, "IndexError"),
    ("14.1", lambda m, k: None, "return"),
    ("14.2", lambda d, k: own_offsets(d, k - 1), "off by one"),
    ("14.2", lambda d, k: d.view(len(d), 4, -1)[torch.arange(len(d)), :, k], "lie side by side"),
    ("14.2", lambda d, k: d.view(len(d), -1, 4)[:, k[0]], "class of the first one"),
    ("14.2", lambda d, k: d.view(len(d), -1, 4)[:, k], "every row with every class"),
    ("14.2", lambda d, k: d[:, :4], "background"),
    ("14.2", lambda d, k: own_offsets(d, k).flatten(), "four for each RoI"),
    ("14.2", lambda d, k: own_offsets(d.detach(), k), "cuts the gradient"),
    ("14.2", lambda d, k: torch.from_numpy(own_offsets(d, k).detach().numpy()), "cuts the gradient"),
    ("14.2", lambda d, k: own_offsets(d, k.clamp_(min=1)), "it changes `k`"),
    ("14.2", lambda d, k: d.view(len(d), -1, 4)[torch.arange(len(d)), k], "cannot guess a -1"),
    ("14.2", lambda d, k: torch.stack([row[4 * c:4 * c + 4] for row, c in zip(d, k)]), "nothing to stack"),
    ("14.2", lambda d, k: None, "return"),
    ("14.3", lambda z, k, y: bce(z, y[:, None].expand_as(z)), "all K masks are trained"),
    ("14.3", masks_that_should_be_empty, "must not be in the loss at all"),
    ("14.3", lambda z, k, y: mask_loss(z, k - 1, y), "off by one"),
    ("14.3", lambda z, k, y: bce(own_mask(z, k), y, reduction="sum"), "their sum"),
    ("14.3", lambda z, k, y: bce(own_mask(z, k), y, reduction="sum") / len(z), "not by P alone"),
    ("14.3", lambda z, k, y: bce(own_mask(z, k), y, reduction="none"), "a single number"),
    ("14.3", lambda z, k, y: -mask_loss(z, k, y), "the sign"),
    ("14.3", lambda z, k, y: -(y * F.logsigmoid(own_mask(z, k))).mean(), "the term (1 - y) is missing"),
    ("14.3", lambda z, k, y: mask_loss(z, k, (y > 0.5).to(y)), "fractions on the outline stay"),
    ("14.3", lambda z, k, y: mask_loss(z.sigmoid(), k, y), "sigmoid twice"),
    ("14.3", competing, "compete"),
    ("14.3", lambda z, k, y: ((own_mask(z, k).sigmoid() - y) ** 2).mean(), "squared error"),
    ("14.3", leaks, "still take part"),
    ("14.3", half_a_gradient, "is it the mean over P * m * m?"),
    ("14.3", by_hand, "overflows"),
    ("14.3", lambda z, k, y: by_hand(z, k, y, 1e-8), "a small number under the logarithm"),
    ("14.3", lambda z, k, y: F.binary_cross_entropy(own_mask(z, k).sigmoid(), y), "sigmoid() first"),
    ("14.3", lambda z, k, y: mask_loss(z.clamp(-20, 20), k, y), "clamp()"),
    ("14.3", lambda z, k, y: mask_loss(z, k, y).detach(), "depends on the logits"),
    ("14.3", lambda z, k, y: mask_loss(z, k, y).item(), "depends on the logits"),
    ("14.3", lambda z, k, y: mask_loss(z, k, y.round_()), "it changes `y`"),
    ("14.3", lambda z, k, y: mask_loss(z.squeeze(0), k, y), "your code stopped with"),
    ("14.3", lambda z, k, y: None, "return"),
    ("14.4", lambda b, m: window(b, m, whole=round), "rounded"),
    ("14.4", lambda b, m: window(b, m, whole=math.floor), "floor() goes down below 0"),
    ("14.4", lambda b, m: window(b, m, end=0), "the last pixel is missing"),
    ("14.4", lambda b, m: window(b, m, grow=False), "did not grow"),
    ("14.4", from_the_corner, "about its centre"),
    ("14.4", rounded_up, "needs the next one too"),
    ("14.4", lambda b, m: window(b, m / 2), "at *each* side"),
    ("14.4", lambda b, m: window(b, 2 * m), "not half a pixel"),
    ("14.4", lambda b, m: window(b, 28), "28 is written where m belongs"),
    ("14.4", lambda b, m: tuple(window(b, m)[k] for k in (1, 0, 3, 2)), "x and y are swapped"),
    ("14.4", lambda b, m: tuple(window(b, m)[k] for k in (0, 2, 1, 3)), "the order is left, top"),
    ("14.4", lambda b, m: (*window(b, m)[:2], window(b, m)[2] - window(b, m)[0], window(b, m)[3] - window(b, m)[1]),
     "not a width and a height"),
    ("14.4", lambda b, m: tuple(float(v) for v in window(b, m)), "slices need ints"),
    ("14.4", lambda b, m: torch.tensor(window(b, m)).float(), "slices need ints"),
    ("14.4", lambda b, m: window(b, m)[:2], "four numbers"),
    ("14.4", lambda b, m: None, "return"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize(("id", "answer"), OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize(("id", "mutant", "says"), MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(find(id).hints[0]) > 20
