"""The checks of notebook 03's exercises: solutions pass, stubs fail, typical mistakes are named."""

import pytest
import torch
from torch.nn import functional as F

from seglab.check import check
from seglab.exercises import find


def resting_point(share, weight):
    return weight * share / (weight * share + 1 - share)


def undo_weight(q, weight):
    return q / (q + weight * (1 - q))


def soft_jaccard(logits, target, sigmoid=torch.sigmoid, axes=(1, 2), twice=0, above=1, mask=True, invert=False):
    labelled = target != 255 if mask else torch.ones_like(target)
    p, g = sigmoid(logits) * labelled, (target == 1).double()
    overlap = (p * g).sum(axes)
    index = (above * overlap + 1e-5) / ((p + g).sum(axes) - (1 - twice) * overlap + 1e-5)
    return (index if invert else 1 - index).mean()


def median_frequency_weights(labels, num_classes, whole=False, flip=False, middle=None, absent=True, ignore=True):
    counts = torch.stack([(labels == c).sum((1, 2)) for c in range(num_classes)]).double()
    labelled = (labels != 255 if ignore else labels > -1).sum((1, 2)).double()
    frequency = counts.sum(1) / (labelled.sum() if whole else ((counts > 0) * labelled).sum(1).clamp(min=1))
    occurs = frequency > 0
    centre = torch.quantile(frequency[occurs] if absent else frequency, 0.5) if middle is None else middle(frequency)
    weights = frequency / centre if flip else centre / frequency.clamp(min=1e-300)
    return torch.where(occurs, weights, 0.0)


def lovasz_hinge(z, g, relu=F.relu, sign=1, descending=True, sort_labels=True):
    errors, order = relu(1 - sign * torch.where(g == 1, z, -z)).flatten().sort(descending=descending)
    truth = g.flatten()[order] if sort_labels else g.flatten()
    jaccard = 1 - (truth.sum() - truth.cumsum(0)) / (truth.sum() + (1 - truth).cumsum(0)).clamp(min=1)
    return (errors * torch.cat([jaccard[:1], jaccard.diff()])).sum()


def double_sigmoid(x):
    return torch.sigmoid(torch.sigmoid(x))


def lovasz_with_sigmoid(z, g):
    errors, order = (g - z.sigmoid()).abs().flatten().sort(descending=True)
    truth = g.flatten()[order]
    jaccard = 1 - (truth.sum() - truth.cumsum(0)) / (truth.sum() + (1 - truth).cumsum(0))
    return (errors * torch.cat([jaccard[:1], jaccard.diff()])).sum()


SOLUTIONS = {"03.1": resting_point, "03.2": undo_weight, "03.3": soft_jaccard, "03.4": median_frequency_weights,
             "03.5": lovasz_hinge}

MUTANTS = [
    ("03.1", lambda e, w: e, "99 times 1 %"),
    ("03.1", lambda e, w: w * e, "divide by the total weight"),
    ("03.1", lambda e, w: w * e / (w * e + 1), "share"),
    ("03.1", lambda e, w: w / (w + 1), "p = share"),
    ("03.1", lambda e, w: e / (e + w * (1 - e)), "99 times 1 %"),
    ("03.2", lambda q, w: w * q / (w * q + 1 - q), "already w times too large"),
    ("03.2", lambda q, w: q / w, "not the probability"),
    ("03.2", lambda q, w: q / w / (1 - q), "w = 1 changes nothing"),
    ("03.2", lambda q, w: q / (1 - q) / w / (1 + q / (1 - q) / w), "multiply out"),
    ("03.2", lambda q, w: (q / (q + w * (1 - q))).mean(), "w = 1 changes nothing"),
    ("03.3", lambda z, t: soft_jaccard(z, t, twice=1), "subtract it once"),
    ("03.3", lambda z, t: soft_jaccard(z, t, twice=1, above=2), "Dice loss"),
    ("03.3", lambda z, t: soft_jaccard(z, t, axes=(0, 1, 2)), "average the pictures"),
    ("03.3", lambda z, t: soft_jaccard(z, t, sigmoid=double_sigmoid), "sigmoid is applied twice"),
    ("03.3", lambda z, t: soft_jaccard(z, t, sigmoid=lambda x: x), "apply the sigmoid"),
    ("03.3", lambda z, t: soft_jaccard(z, t, mask=False), "both p and g must be 0"),
    ("03.3", lambda z, t: soft_jaccard(z, t, invert=True), "1 - index"),
    ("03.3", lambda z, t: soft_jaccard(z.detach(), t) + 0 * z.sum(), "before the sums"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, whole=True), "only the pictures that contain the class"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, flip=True), "upside down"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, middle=lambda f: f.mean()), "not the median"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, middle=lambda f: torch.tensor(1.0)), "multiply by the median"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, absent=False), "over classes that occur"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, ignore=False), "255 is no class"),
    ("03.4", lambda y, n: median_frequency_weights(y, n).tolist(), "not a tensor"),
    ("03.5", lovasz_with_sigmoid, "leave the sigmoid out"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, relu=lambda x: x), "must cost 0, not less"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, sign=-1), "wrong way round"),
    ("03.5", lambda z, g: F.relu(1 - torch.where(g == 1, z, -z)).mean(), "mean hinge"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, descending=False), "from large to small"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, sort_labels=False), "from large to small"),
    ("03.5", lambda z, g: lovasz_hinge(z.detach(), g) + 0 * z.sum(), "flows through the errors"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_solution_passes(id, capsys):
    assert check(id, SOLUTIONS[id]), capsys.readouterr().out


@pytest.mark.parametrize("id", SOLUTIONS)
def test_stub_fails(id, capsys):
    def stub(*args):
        raise NotImplementedError

    assert not check(id, stub)
    assert "not written yet" in capsys.readouterr().out
    assert not check(id, lambda *args: None)


@pytest.mark.parametrize("id, mutant, message", MUTANTS, ids=[f"{id}-{k}" for k, (id, _, _) in enumerate(MUTANTS)])
def test_mistake_is_named(id, mutant, message, capsys):
    assert not check(id, mutant)
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("✘")]
    assert wrong and any(message in line for line in wrong), wrong


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate_and_every_exercise_has_mutants(id):
    hints = find(id).hints
    assert len(hints) >= 3 and len(set(hints)) == len(hints)
    assert sum(mutant[0] == id for mutant in MUTANTS) >= 3
