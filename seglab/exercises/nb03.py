"""Checks of the exercises of notebook 03, losses under imbalance."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, differs, slip
from seglab.losses import lovasz_softmax

SEARCHED = 1e-4  # a minimum that was searched for, on a fine grid or by steps, is an answer too


@exercise("03.1", title="Where a constant rests", hints=[
    "Write the loss of a constant p: the lesion pixels are a share eps of all, and each of them weighs w.",
    "L(p) = -w eps log p - (1 - eps) log(1 - p), up to a factor that does not depend on p. Set dL/dp = 0.",
    "w eps / p = (1 - eps) / (1 - p), so p / (1 - p) = w eps / (1 - eps), and solved for p: "
    "return weight * share / (weight * share + 1 - share)",
], points=1, count=5)
def resting_point(answer: Callable) -> Iterator[Case]:
    """``answer(share, weight)``: the constant prediction that minimises weighted BCE."""
    for share, weight, what in ((0.01, 1.0, "without weights (w = 1) it rests at the share"),
                                (0.01, 99.0, "at 1 % and w = 99 both classes weigh the same"),
                                (0.2, 3.0, "at 20 % and w = 3"), (0.4, 0.25, "a weight below 1 pulls it down"),
                                (0.9, 2.0, "where nearly all is lesion")):
        want, got = _balance(share, weight), answer(share, weight)
        slips = [(share, "the weights must enter: 99 times 1 % is as much as 1 times 99 %"),
                 (weight * share, "p = w * share is only the first term: divide by the total weight, w * share + "
                                  "(1 - share)"),
                 (weight * share / (weight * share + 1), "the background's share is 1 - share, not 1"),
                 (weight / (weight + 1), "that is w / (w + 1): the share must enter too; section 5 found p = share at "
                                         "w = 1"),
                 (share / (share + weight * (1 - share)),
                  "the weight is the lesion's: 99 times 1 % is as much as 1 times 99 %"),
                 (1 - want, "that is the background's probability")]
        advice = slip(got, want, slips, SEARCHED)
        yield f"{what}: {want:.4g}", close(got, want, SEARCHED), advice + (
            "; compare the forces of both classes, w eps / p and (1 - eps) / (1 - p)"
            if advice.startswith("you return") else "")


def _balance(share: float, weight: float) -> float:
    """Where the two forces are equal, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        p = (low + high) / 2
        low, high = (p, high) if weight * share / p > (1 - share) / (1 - p) else (low, p)
    return (low + high) / 2


@exercise("03.2", title="Take the weights back", hints=[
    "A weight w multiplies the frequency of lesion, and so the odds: odds_net = w * odds_world.",
    "odds = q / (1 - q). Divide by w, then go back from odds o to a probability: o / (1 + o).",
    "Simplified, and without a division by zero at q = 1: return q / (q + weight * (1 - q))",
], points=2, count=5)
def undo_weight(answer: Callable) -> Iterator[Case]:
    """``answer(q, weight)``: calibrated probabilities."""
    q = torch.tensor([[0.1, 0.5, 0.9]], dtype=torch.float64)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    world = torch.linspace(0.01, 0.99, 30, dtype=torch.float64).view(5, 6)
    net = 7 * world / (7 * world + 1 - world)
    for name, given, weight, want in (
            ("w = 1 changes nothing", q, 1.0, q),
            ("q = 0.5 with w = 99 is 0.01 in the world", q, 99.0, q / (99 - 98 * q)),
            ("0 stays 0 and 1 stays 1", ends, 99.0, ends),
            ("there and back again, on a map of 5 x 6 px", net, 7.0, world),
            ("a single probability", torch.tensor(0.5), 3.0, torch.tensor(0.25))):
        got = answer(given, weight)
        slips = [(weight * given / (weight * given + 1 - given),
                  "that applies the weight once more: the odds of the net are already w times too large"),
                 (given / weight, "the odds are divided by w, not the probability: q = 1 must stay 1"),
                 (given / weight / (1 - given), "those are the odds in the world; a probability is odds / (1 + odds)"),
                 (torch.tensor([0.0, torch.nan]), "at q = 1 the odds are infinite, so multiply out before you divide"),
                 (want.mean(), "one number came back: every pixel keeps its own")]
        yield name, close(got, want), slip(got, want, slips)


@exercise("03.3", title="Soft Jaccard with unlabelled pixels", hints=[
    "Two things must be 0 at an unlabelled pixel: its truth, and its probability.",
    "labelled = target != 255; multiply the sigmoid by it; g = (target == 1). Sums over (1, 2) keep pictures apart.",
    "labelled = target != 255; p, g = torch.sigmoid(logits) * labelled, (target == 1).to(logits.dtype); "
    "overlap = (p * g).sum((1, 2)); union = (p + g).sum((1, 2)) - overlap; "
    "return (1 - (overlap + 1e-5) / (union + 1e-5)).mean()",
], points=3, count=7)
def soft_jaccard(answer: Callable) -> Iterator[Case]:
    """``answer(logits, target)``: mean soft Jaccard loss over pictures."""
    draw = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(3, 4, 5, dtype=torch.float64, generator=draw)
    target = torch.randint(0, 2, (3, 4, 5), generator=draw)
    target[0] = 0
    target[0, 0, 0] = 1
    half, one = target.clone(), target.clone()
    half[1, :2] = 255
    one[2] = 255
    for name, t in (("labelled everywhere, three pictures", target), ("half of a picture unlabelled", half),
                    ("one of three pictures without any label: it costs 0 and counts as a picture", one)):
        got, want = answer(logits, t), np.mean([_jaccard(z, y) for z, y in zip(logits, t)])
        p, g, labelled = logits.sigmoid(), (t == 1).double(), t != 255
        seen, overlap = p * labelled, (p * labelled * g).sum((1, 2))
        size = (seen + g).sum((1, 2))
        marked = [k for k in range(3) if labelled[k].any()]
        slips = [((1 - overlap / size.clamp(min=1e-9)).mean(), "the union counts the overlap twice: subtract it once"),
                 ((1 - 2 * overlap / size.clamp(min=1e-9)).mean(), "that is the Dice loss"),
                 (_jaccard(logits.flatten(), t.flatten()),
                  "that is one Jaccard over the batch: sum over (1, 2) only, then average the pictures"),
                 (np.mean([_jaccard(z.sigmoid(), y) for z, y in zip(logits, t)]), "the sigmoid is applied twice"),
                 (np.mean([_jaccard(z, y, probabilities=True) for z, y in zip(logits, t)]),
                  "logits are not probabilities yet: apply the sigmoid"),
                 (1 - want, "that is the index itself; a loss is 1 - index"),
                 (np.mean([_jaccard(logits[k], t[k]) for k in marked]),
                  "the mean runs over all pictures, the one without a label (which costs 0) among them"),
                 (np.mean([_jaccard(z, torch.where(y == 255, 0, y)) for z, y in zip(logits, t)]),
                  "unlabelled pixels were taken for background: at 255 both p and g must be 0, in the union too")]
        advice = slip(got, want, slips, 1e-4) or differs(got, want)
        yield name, close(got, want), advice + ("; at 255 both p and g must be 0, in the union too"
                                                if (t == 255).any() and "255" not in advice else "")
    leaf, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    got = answer(leaf, half)
    flows = isinstance(got, Tensor) and got.requires_grad
    grad = torch.autograd.grad(got.sum(), leaf)[0] if flows else torch.zeros_like(logits)
    yield "no gradient at unlabelled pixels", flows and not grad[half == 255].any(), \
        "multiply the probabilities by the mask before the sums" if flows else "the loss hangs on no graph"
    loss = torch.stack([_soft(z, y) for z, y in zip(other, half)]).mean()
    want = torch.autograd.grad(loss, other)[0]
    yield "the right gradient everywhere else", close(grad, want, 1e-7), \
        f"{differs(grad, want, 1e-7)}; the sigmoid and both sums take part, and the mask comes before the sums"
    quiet = torch.full((1, 4, 5), -14.0, dtype=torch.float64)  # the sum of p is about as small as smooth
    got = answer(quiet, torch.zeros(1, 4, 5, dtype=torch.long))
    want = 1 - 1e-5 / (20 / (1 + np.exp(14)) + 1e-5)
    yield "a picture without lesion where the net sees next to none", close(got, want, 1e-5), \
        slip(got, want, [(1, "without `smooth` above an empty picture costs 1, whatever is predicted")], 1e-5) + \
        "; smooth = 1e-5 stands above and below"
    got = answer(logits[:1], torch.full((1, 4, 5), 255))
    yield "a batch without any label costs 0", close(got, 0), \
        f"{differs(got, 0)}; with 1e-5 above and below the index is 1"


def _soft(z: Tensor, y: Tensor, probabilities: bool = False) -> Tensor:
    """1 - soft Jaccard of one picture, from its labelled pixels alone: the union is what is marked, and p beside it."""
    p, y = (z if probabilities else z.sigmoid())[y != 255], y[y != 255]
    return 1 - (p[y == 1].sum() + 1e-5) / (p[y == 0].sum() + (y == 1).sum() + 1e-5)


def _jaccard(z: Tensor, y: Tensor, probabilities: bool = False) -> float:
    return float(_soft(z, y, probabilities))


@exercise("03.4", title="Median-frequency weights", hints=[
    "Count class by class and picture by picture: a table (classes, pictures) of pixel counts.",
    "The denominator of class c sums the labelled pixels of those pictures whose count of c is above 0.",
    "counts = torch.stack([(labels == c).sum((1, 2)) for c in range(num_classes)]).double(); labelled = (labels != "
    "255).sum((1, 2)); frequency = counts.sum(1) / ((counts > 0) * labelled).sum(1).clamp(min=1); "
    "median = torch.quantile(frequency[frequency > 0], 0.5), for an even number of classes the mean of the middle two; "
    "return torch.where(frequency > 0, median / frequency, 0)",
], points=3, count=8)
def median_frequency_weights(answer: Callable) -> Iterator[Case]:
    """``answer(labels, num_classes)``: weight of each class."""
    three = torch.zeros(2, 4, 5, dtype=torch.long)
    three[0, 0] = 1                                                     # class 1: 5 of 20 px, in picture 0 alone
    three[1, 0, :2] = 2                                                 # class 2: 2 of 20 px, in picture 1 alone
    void = three.clone()
    void[0, 3] = 255
    four = three.clone()
    four[1, 3] = 3
    for name, labels, count, frequency in (
            ("three classes in two pictures", three, 3, [33 / 40, 5 / 20, 2 / 20]),
            ("unlabelled pixels are in no count", void, 3, [28 / 35, 5 / 15, 2 / 20]),
            ("classes that never occur weigh 0 and leave the median alone", void, 5, [28 / 35, 5 / 15, 2 / 20, 0, 0]),
            ("an even number of classes: the mean of the middle two", four, 4, [28 / 40, 5 / 20, 2 / 20, 5 / 20]),
            ("two classes that differ", torch.tensor([[[0, 0, 0, 1]]]), 2, [3 / 4, 1 / 4]),
            ("class 0 never occurs", torch.tensor([[[1, 1, 2, 1]], [[255, 2, 1, 255]]]), 3, [0, 4 / 6, 2 / 6]),
            ("one class alone weighs 1", torch.full((2, 1, 3), 1), 3, [0, 1, 0]),
            ("a picture without any label", torch.tensor([[[0, 0, 0, 1]], [[255] * 4]]), 2, [3 / 4, 1 / 4])):
        f = np.array(frequency)
        occurs, plain = f > 0, np.array([(labels == c).sum() / (labels != 255).sum() for c in range(count)])
        every = np.array([(labels == c).sum() / labels[[bool((y == c).any()) for y in labels]].numel() if occurs[c]
                          else 0 for c in range(count)])

        def weighed(frequency: np.ndarray, middle: float, occurs: np.ndarray = occurs) -> np.ndarray:
            return np.where(occurs, middle / np.where(occurs, frequency, 1), 0)

        want, middle = weighed(f, np.median(f[occurs])), np.sort(f[occurs])
        low, high = middle[(len(middle) - 1) // 2], middle[len(middle) // 2]
        got = answer(labels, count)
        slips = [(weighed(plain, np.median(plain[occurs])),
                  "f of class 1 is 5 / 20, not 5 / 40: count only the pictures that contain the class"),
                 (f / np.median(f[occurs]), "upside down: a rare class must weigh more"),
                 (weighed(f, f[occurs].mean()), "that divides the mean frequency, not the median"),
                 (weighed(f, 1), "that is 1 / f; multiply by the median frequency"),
                 (weighed(f, np.median(f)), "the median is over classes that occur"),
                 (weighed(f, low), "torch.median takes the lower of the middle two: the median is their mean"),
                 (weighed(f, high), "that is the upper of the middle two: the median is their mean"),
                 (weighed(every, np.median(every[occurs])),
                  "255 is no class, and its pixels are not labelled pixels of the picture either"),
                 (np.where(occurs, want, 1), "a class that never occurs weighs 0"),
                 (np.where(occurs, want, np.inf), "no division by 0: a class that never occurs weighs 0")]
        yield name, close(got, want), slip(got, want, slips)


@exercise("03.5", title="Lovász hinge", hints=[
    "Only the errors change: relu(1 - s) instead of |g - p|. They may exceed 1.",
    "Sort the errors from large to small, put the labels in the same order, and use the Jaccard steps of section 10.",
    "errors, order = F.relu(1 - torch.where(g == 1, z, -z)).flatten().sort(descending=True); truth = "
    "g.flatten()[order]; jaccard = 1 - (truth.sum() - truth.cumsum(0)) / (truth.sum() + (1 - truth).cumsum(0)); "
    "return (errors * torch.cat([jaccard[:1], jaccard.diff()])).sum()",
], points=4, count=8)
def lovasz_hinge(answer: Callable) -> Iterator[Case]:
    """``answer(z, g)``: Lovász hinge of one picture."""
    z = torch.tensor([[3.0, -0.5], [0.25, -2.0]], dtype=torch.float64)
    g = torch.tensor([[1, 1], [0, 0]])
    draw = torch.Generator().manual_seed(5)
    large = 3 * torch.randn(9, 7, dtype=torch.float64, generator=draw), torch.randint(0, 2, (9, 7), generator=draw)
    cases = (("four pixels by hand", z, g), ("a picture of 9 x 7 px", *large),
             ("an empty mask: the largest error alone", z, g * 0), ("a full mask", z, g * 0 + 1),
             ("everything right by more than 1", 5 * (2.0 * g.double() - 1), g),
             ("one pixel, missed", z[:1, 1:], g[:1, 1:]), ("one pixel, invented", z[1:, :1], g[1:, :1]))
    for name, z, g in cases:
        got, want = answer(z, g), float(_hinge(z, g))
        s = torch.where(g == 1, z, -z)
        slips = [(lovasz_softmax(z[None, None], g[None]).item(),
                  "that is the version with probabilities: leave the sigmoid out, the error is max(0, 1 - s)"),
                 (float(_hinge(z, g, floor=False)), "pixels with s > 1 must cost 0, not less: max(0, 1 - s)"),
                 (float(_hinge(-z, g)), "the sign is the wrong way round: s = z for lesion"),
                 (float(F.relu(1 - s).mean()), "that is the mean hinge: weigh the sorted errors by the Jaccard steps"),
                 (float(F.relu(1 - s).sum()), "that is the sum of the errors: weigh them with the Jaccard steps")]
        advice = slip(got, want, slips)
        yield f"{name}: {want:.4f}", close(got, want), advice + (
            "; is the order from large to small, and are the labels sorted along with the errors?"
            if advice.startswith("you return") else "")
    mine, reference = large[0].clone().requires_grad_(), large[0].clone().requires_grad_()
    got = answer(mine, large[1])
    flows = isinstance(got, Tensor) and got.requires_grad
    grads = [torch.autograd.grad(value, leaf)[0] if flows else torch.zeros_like(leaf)
             for value, leaf in ((got, mine), (_hinge(reference, large[1]), reference))]
    yield "its gradient", flows and close(*grads), \
        "the Jaccard steps are constants; the gradient flows through the errors"


def _hinge(z: Tensor, g: Tensor, floor: bool = True) -> Tensor:
    """By definition: the Jaccard loss with the worst k pixels taken for wrong, k = 0, 1, ...; its steps are weights."""
    errors = 1 - torch.where(g == 1, z, -z).flatten()
    errors, order = (errors.relu() if floor else errors).sort(descending=True)
    truth, losses = g.flatten()[order].bool().tolist(), []
    for k in range(len(truth) + 1):
        missed, false = sum(truth[:k]), k - sum(truth[:k])
        marked = sum(truth)
        losses.append(1 - (marked - missed) / (marked + false) if marked + false else 0.0)
    return sum(error * (after - before) for error, (before, after) in zip(errors, pairwise(losses)))
