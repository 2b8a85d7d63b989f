"""The checks of notebook 03's exercises: solutions pass, stubs fail, typical mistakes are named."""

import math

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails
from torch.nn import functional as F

from seglab.exercises import find


def resting_point(share, weight):
    return weight * share / (weight * share + 1 - share)


def undo_weight(q, weight):
    return q / (q + weight * (1 - q))


def soft_jaccard(logits, target, sigmoid=torch.sigmoid, axes=(1, 2), twice=0, above=1, mask=True, invert=False,
                 smooth=1e-5, above_too=True, per_picture=False):
    labelled = target != 255 if mask else torch.ones_like(target)
    p, g = sigmoid(logits) * labelled, (target == 1).double()
    overlap = (p * g).sum(axes)
    index = (above * overlap + above_too * smooth) / ((p + g).sum(axes) - (1 - twice) * overlap + smooth)
    loss = index if invert else 1 - index
    return loss if per_picture else loss.mean()


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


def rest_by_search(share, weight):
    from scipy.optimize import minimize_scalar
    cost = lambda p: -(weight * share * np.log(p) + (1 - share) * np.log1p(-p))
    return minimize_scalar(cost, bounds=(0, 1), method="bounded").x


def rest_on_a_grid(share, weight):
    p = torch.linspace(0.0001, 0.9999, 9999)
    return p[(-weight * share * p.log() - (1 - share) * (1 - p).log()).argmin()]


def rest_by_log_odds(share, weight):
    odds = math.exp(math.log(weight) + math.log(share) - math.log(1 - share))
    return odds / (1 + odds)


def rest_by_odds(share, weight):
    return torch.sigmoid(torch.logit(torch.tensor(share, dtype=torch.float64)) + np.log(weight))


def undo_by_odds(q, weight):
    odds = q / (1 - q) / weight
    return torch.where(q < 1, odds / (1 + odds), 1.0)


def undo_by_logits(q, weight):
    return torch.sigmoid(torch.logit(q.double()) - math.log(weight))


def undo_in_loops(q, weight):
    out = np.zeros(q.shape)
    for place in np.ndindex(q.shape):
        o = float(q[place])
        out[place] = o / (o + weight * (1 - o))
    return out


def jaccard_in_loops(logits, target):
    total = 0
    for z, y in zip(logits, target):
        p = torch.sigmoid(z)
        overlap = sum(p[i, j] for i in range(4) for j in range(5) if y[i, j] == 1)
        union = sum(p[i, j] if y[i, j] == 0 else 1 for i in range(4) for j in range(5) if y[i, j] != 255)
        total = total + 1 - (overlap + 1e-5) / (union + 1e-5)
    return total / len(logits)


def jaccard_by_where(logits, target):
    p = torch.where(target == 255, torch.zeros_like(logits), logits.sigmoid())
    g = torch.where(target == 1, 1.0, 0.0)
    both = torch.einsum("nhw,nhw->n", p, g.double())
    return 1 - ((both + 1e-5) / (p.sum((1, 2)) + g.sum((1, 2)) - both + 1e-5)).mean()


def weights_in_loops(labels, num_classes):
    f = {}
    for c in range(num_classes):
        inside = [y for y in labels if (y == c).any()]
        if inside:
            f[c] = sum((y == c).sum().item() for y in inside) / sum((y != 255).sum().item() for y in inside)
    return [float(np.median(list(f.values()))) / f[c] if c in f else 0.0 for c in range(num_classes)]


def hinted_weights(labels, num_classes):
    counts = torch.stack([(labels == c).sum((1, 2)) for c in range(num_classes)]).double()
    labelled = (labels != 255).sum((1, 2))
    frequency = counts.sum(1) / ((counts > 0) * labelled).sum(1).clamp(min=1)
    median = torch.quantile(frequency[frequency > 0], 0.5)
    return torch.where(frequency > 0, median / frequency, 0)


def weights_with_numpy(labels, num_classes):
    y = labels.numpy()
    n = np.stack([np.bincount(p[p < 255], minlength=num_classes) for p in y.reshape(len(y), -1)]).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        f = n.sum(0) / (n.sum(1, keepdims=True) * (n > 0)).sum(0)
        return np.nan_to_num(np.nanmedian(f) / f)


def hinted_jaccard(logits, target):
    labelled = target != 255
    p, g = torch.sigmoid(logits) * labelled, (target == 1).to(logits.dtype)
    overlap = (p * g).sum((1, 2))
    union = (p + g).sum((1, 2)) - overlap
    return (1 - (overlap + 1e-5) / (union + 1e-5)).mean()


def jaccard_of_the_picked(logits, target):
    """Picture by picture, from the labelled pixels alone; Dice turned into Jaccard would add smooth elsewhere."""
    losses = []
    for z, y in zip(logits, target):
        p, y = z[y != 255].sigmoid(), y[y != 255]
        losses.append(1 - (p[y == 1].sum() + 1e-5) / (p[y == 0].sum() + (y == 1).sum() + 1e-5))
    return sum(losses) / len(losses)


def hinted_hinge(z, g):
    errors, order = F.relu(1 - torch.where(g == 1, z, -z)).flatten().sort(descending=True)
    truth = g.flatten()[order]
    jaccard = 1 - (truth.sum() - truth.cumsum(0)) / (truth.sum() + (1 - truth).cumsum(0))
    return (errors * torch.cat([jaccard[:1], jaccard.diff()])).sum()


def hinge_with_sets(z, g):
    errors = (1 - z * (2 * g - 1)).clamp(min=0).flatten()
    lesion, wrong, before, loss = set(g.flatten().nonzero().flatten().tolist()), set(), 0.0, 0.0
    for i in errors.argsort(descending=True).tolist():
        wrong.add(i)
        now = len(wrong) / len(lesion | wrong)
        loss, before = loss + errors[i] * (now - before), now
    return loss


def hinge_by_definition(z, g):
    """The Lovász extension as an integral over thresholds of the errors."""
    errors, marked = F.relu(1 - torch.where(g == 1, z, -z)).flatten(), g.flatten() == 1
    levels = torch.cat([errors.sort(descending=True).values, errors.new_zeros(1)])
    total = 0.0 * z.sum()
    for above, below in zip(levels[:-1], levels[1:]):
        wrong = errors >= above.detach()
        union = (marked | wrong).sum()
        total = total + (above - below) * (wrong.sum() / union if union else 0)
    return total


def only_labelled_pictures(logits, target):
    kept = [k for k in range(len(target)) if (target[k] != 255).any()]
    return soft_jaccard(logits[kept], target[kept]) if kept else 0 * logits.sum()


SOLUTIONS = {"03.1": resting_point, "03.2": undo_weight, "03.3": soft_jaccard, "03.4": median_frequency_weights,
             "03.5": lovasz_hinge}

OTHERS = [
    ("03.1", rest_by_odds), ("03.1", rest_by_log_odds), ("03.1", rest_by_search), ("03.1", rest_on_a_grid),
    ("03.1", lambda e, w: np.float32(resting_point(e, w))),
    ("03.1", lambda e, w: 1 / (1 + (1 - e) / (w * e))),
    ("03.2", undo_by_odds), ("03.2", undo_by_logits), ("03.2", lambda q, w: undo_weight(q.float(), w)),
    ("03.2", undo_in_loops), ("03.2", lambda q, w: undo_weight(q.numpy(), w)),
    ("03.2", lambda q, w: q / (w - (w - 1) * q)),
    ("03.3", hinted_jaccard), ("03.3", jaccard_of_the_picked), ("03.3", jaccard_in_loops), ("03.3", jaccard_by_where),
    ("03.3", lambda z, t: soft_jaccard(z.float(), t)),
    ("03.4", hinted_weights), ("03.4", weights_with_numpy), ("03.4", weights_in_loops),
    ("03.4", lambda y, n: median_frequency_weights(y, n).float()),
    ("03.4", lambda y, n: np.array(weights_in_loops(y, n))),
    ("03.5", hinted_hinge), ("03.5", hinge_with_sets), ("03.5", hinge_by_definition),
    ("03.5", lambda z, g: lovasz_hinge(z.float(), g)),
    ("03.5", lambda z, g: lovasz_hinge(z.T.contiguous(), g.T.contiguous())),
]
MUTANTS = [
    ("03.1", lambda e, w: 0.5, "you return 0.5, it should be 0.4286"),
    ("03.1", lambda e, w: w * e / (1 - e), "you return"),
    ("03.1", lambda e, w: math.log(w * e / (1 - e)), "you return"),
    ("03.1", lambda e, w: None, "is there a `return`?"),
    ("03.2", lambda q, w: undo_weight(q.clone(), w) + q.zero_(), "it changes `q`"),
    ("03.2", lambda q, w: q / (q + w), "at ("),
    ("03.2", lambda q, w: q / (w * (1 - q)), "those are the odds"),
    ("03.2", lambda q, w: torch.sigmoid(torch.logit(q.float()) / w), "at ("),
    ("03.2", lambda q, w: None, "is there a `return`?"),
    ("03.3", lambda z, t: soft_jaccard(z, t, smooth=1.0), "you return"),
    ("03.3", lambda z, t: soft_jaccard(z, t, smooth=1e-6), "smooth = 1e-5 stands above and below"),
    ("03.3", lambda z, t: soft_jaccard(z, t, smooth=0.0), "without `smooth` above an empty picture costs 1"),
    ("03.3", lambda z, t: soft_jaccard(z, t, above_too=False), "without `smooth` above an empty picture costs 1"),
    ("03.3", lambda z, t: soft_jaccard(z, t, per_picture=True), "shape"),
    ("03.3", lambda z, t: soft_jaccard(z, t) * len(t), "you return"),
    ("03.3", lambda z, t: soft_jaccard(z, t).item(), "the loss hangs on no graph"),
    ("03.3", lambda z, t: soft_jaccard(z, t, sigmoid=lambda x: (x > 0).double()) + 0 * z.sum(), "you return"),
    ("03.3", lambda z, t: soft_jaccard(z.nan_to_num(), t, sigmoid=lambda x: x.sigmoid().detach() + 0 * x),
     "the sigmoid and both sums take part"),
    ("03.3", lambda z, t: None, "is there a `return`?"),
    ("03.4", lambda y, n: hinted_weights(y, n)[hinted_weights(y, n) > 0], "you return shape"),
    ("03.4", lambda y, n: hinted_weights(y, n) / hinted_weights(y, n).sum(), "at ("),
    ("03.4", lambda y, n: hinted_weights(y[:, :1], n), "at ("),
    ("03.4", lambda y, n: hinted_weights(y[:1], n), "at ("),
    ("03.4", lambda y, n: torch.cat([y.new_zeros(1).double(), hinted_weights(y, n)[1:]]), "at (0)"),
    ("03.4", lambda y, n: hinted_weights(y, n).round(), "at ("),
    ("03.4", lambda y, n: torch.where(hinted_weights(y, n) > 0, hinted_weights(y, n), torch.inf), "no division by 0"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, middle=lambda f: f[f > 0].max()), "at ("),
    ("03.4", lambda y, n: None, "is there a `return`?"),
    ("03.5", lambda z, g: lovasz_hinge(z, g) / z.numel(), "you return"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, relu=lambda x: F.relu(x) ** 2), "you return"),
    ("03.5", lambda z, g: lovasz_hinge(z, 1 - g), "you return"),
    ("03.5", lambda z, g: lovasz_hinge(2 * z, g), "you return"),
    ("03.5", lambda z, g: lovasz_hinge(z, g).item(), "its gradient"),
    ("03.5", lambda z, g: lovasz_hinge(z[:1], g[:1]), "you return"),
    ("03.5", lambda z, g: F.relu(1 - torch.where(g == 1, z, -z)).max(), "you return"),
    ("03.5", lambda z, g: None, "is there a `return`?"),
    ("03.1", lambda e, w: 1 - resting_point(e, w), "the background's probability"),
    ("03.1", lambda e, w: resting_point(e, w) * 100, "you return"),
    ("03.1", lambda e, w: resting_point(min(e, 0.3), w), "you return"),
    ("03.2", lambda q, w: undo_weight(q, 99.0), "at ("),
    ("03.2", lambda q, w: undo_weight(q, w).clamp(0.02, 0.98), "at ("),
    ("03.2", lambda q, w: undo_weight(q, w).flatten(), "shape"),
    ("03.3", only_labelled_pictures, "the mean runs over all pictures"),
    ("03.3", lambda z, t: soft_jaccard(z, torch.where(t == 255, 0, t)), "taken for background"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, middle=lambda f: f[f > 0].median()),
     "lower of the middle two"),
    ("03.4", lambda y, n: median_frequency_weights(y, n, middle=lambda f: f[f > 0].sort()[0][int((f > 0).sum()) // 2]),
     "upper of the middle two"),
    ("03.4", lambda y, n: median_frequency_weights(y, n) + (median_frequency_weights(y, n) == 0), "weighs 0"),
    ("03.5", lambda z, g: F.relu(1 - torch.where(g == 1, z, -z)).sum(), "the sum of the errors"),
    ("03.5", lambda z, g: lovasz_hinge(z, g) if g.any() else 0 * z.sum(), "you return"),
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
    ("03.5", lovasz_with_sigmoid, "leave the sigmoid out"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, relu=lambda x: x), "must cost 0, not less"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, sign=-1), "wrong way round"),
    ("03.5", lambda z, g: F.relu(1 - torch.where(g == 1, z, -z)).mean(), "mean hinge"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, descending=False), "from large to small"),
    ("03.5", lambda z, g: lovasz_hinge(z, g, sort_labels=False), "from large to small"),
    ("03.5", lambda z, g: lovasz_hinge(z.detach(), g) + 0 * z.sum(), "flows through the errors"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_blank_fails(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, answer", OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize("id, mutant, message", MUTANTS, ids=[f"{id}-{k}" for k, (id, _, _) in enumerate(MUTANTS)])
def test_mistake_is_named(id, mutant, message, capsys):
    slip_is_named(id, mutant, message, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate_and_every_exercise_has_mutants(id):
    hints = find(id).hints
    assert len(hints) >= 3 and len(set(hints)) == len(hints)
    assert sum(mutant[0] == id for mutant in MUTANTS) >= 3
