"""Checks of the exercises of notebook 03, losses under imbalance."""

from collections.abc import Iterator

import torch
from torch import Tensor

from seglab.exercises import Case, exercise
from seglab.losses import lovasz_softmax
from seglab.losses.lovasz import jaccard_steps


def _value(got: object) -> float:
    """What an answer returned as a float; NaN when it is no number."""
    try:
        return float(got)
    except (TypeError, ValueError):
        return float("nan")


def _close(got: object, expected: float, tolerance: float = 1e-6) -> bool:
    return abs(_value(got) - expected) <= tolerance


@exercise("03.1", title="Where a constant rests", hints=[
    "Write the loss of a constant p: the lesion pixels are a share eps of all, and each of them weighs w.",
    "L(p) = -w eps log p - (1 - eps) log(1 - p), up to a factor that does not depend on p. Set dL/dp = 0.",
    "w eps / p = (1 - eps) / (1 - p), so p / (1 - p) = w eps / (1 - eps). Solve for p.",
], points=1, count=3)
def resting_point(answer) -> Iterator[Case]:
    """``answer(share, weight)``: the constant prediction that minimises weighted BCE."""
    got = _value(answer(0.01, 1.0))
    yield "without weights (w = 1) it rests at the share, 0.01", _close(got, 0.01), \
        f"you return {got:.6g}; section 5 found the minimum of BCE at p = share"
    got = _value(answer(0.01, 99.0))
    yield "at 1 % and w = 99 both classes weigh the same: 0.5", _close(got, 0.5), \
        f"you return {got:.6g}; " + ("p = w * share is only the first term: divide by the total weight, "
                                     "w * share + (1 - share)" if _close(got, 0.99)
                                     else "99 times 1 % is as much as 1 times 99 %")
    got, expected = _value(answer(0.2, 3.0)), 0.6 / 1.4
    yield "at 20 % and w = 3: 0.6 / 1.4", _close(got, expected), \
        f"you return {got:.6g}, expected {expected:.6g}; " + (
            "the background's share is 1 - share, not 1" if _close(got, 0.6 / 1.6) else
            "that is 3 / (3 + 1): the share must enter too" if _close(got, 0.75) else
            "compare the forces of both classes, w eps / p and (1 - eps) / (1 - p)")


@exercise("03.2", title="Take the weights back", hints=[
    "A weight w multiplies the frequency of lesion, and so the odds: odds_net = w * odds_world.",
    "odds = q / (1 - q). Divide by w, then go back from odds o to a probability: o / (1 + o).",
    "Simplified: q / (q + w * (1 - q)). This form has no division by zero at q = 1.",
], points=2, count=4)
def undo_weight(answer) -> Iterator[Case]:
    """``answer(q, weight)``: calibrated probabilities."""
    q = torch.tensor([[0.1, 0.5, 0.9]], dtype=torch.float64)
    got = answer(q.clone(), 1.0)
    yield "w = 1 changes nothing", _same(got, q), f"you return {_short(got)} for {_short(q)}"
    got, expected = answer(q.clone(), 99.0), q / (q + 99 * (1 - q))
    reason = "look at q = 0.5 with w = 99: the world's probability is 1 / 100"
    if _same(got, 99 * q / (99 * q + 1 - q)):
        reason = "that applies the weight once more: the odds of the net are already w times too large"
    elif _same(got, q / 99):
        reason = "the odds are divided by w, not the probability: q = 1 must stay 1"
    elif _same(got, q / 99 / (1 - q)):
        reason = "those are the odds in the world; a probability is odds / (1 + odds)"
    yield "q = 0.5 with w = 99 is 0.01 in the world", _same(got, expected), reason
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    got = answer(ends.clone(), 99.0)
    yield "0 stays 0 and 1 stays 1", _same(got, ends), \
        f"you return {_short(got)}; at q = 1 the odds are infinite, so multiply out before you divide"
    world = torch.linspace(0.01, 0.99, 30, dtype=torch.float64).view(5, 6)
    net = 7 * world / (7 * world + 1 - world)
    got = answer(net.clone(), 7.0)
    yield "there and back again, on a map of 5 x 6 px", _same(got, world, 1e-9), "values or shape differ"


@exercise("03.3", title="Soft Jaccard with unlabelled pixels", hints=[
    "Two things must be 0 at an unlabelled pixel: its truth, and its probability.",
    "labelled = target != 255; multiply the sigmoid by it; g = (target == 1). Sums over (1, 2) keep pictures apart.",
    "overlap = (p * g).sum((1, 2)); union = (p + g).sum((1, 2)) - overlap; "
    "return (1 - (overlap + 1e-5) / (union + 1e-5)).mean()",
], points=3, count=4)
def soft_jaccard(answer) -> Iterator[Case]:
    """``answer(logits, target)``: mean soft Jaccard loss over pictures."""
    draw = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(3, 4, 5, dtype=torch.float64, generator=draw)
    target = torch.randint(0, 2, (3, 4, 5), generator=draw)
    target[0] = 0
    target[0, 0, 0] = 1
    got, expected = _value(answer(logits.clone(), target.clone())), _jaccard(logits, target).item()
    p, g = logits.sigmoid(), target.double()
    overlap = (p * g).sum((1, 2))
    reason = f"you return {got:.6f}, expected {expected:.6f}"
    if _close(got, (1 - overlap / (p + g).sum((1, 2))).mean().item(), 1e-4):
        reason = "the union counts the overlap twice: subtract it once"
    elif _close(got, (1 - 2 * overlap / (p + g).sum((1, 2))).mean().item(), 1e-4):
        reason = "that is the Dice loss"
    elif _close(got, _jaccard(logits.reshape(1, 4, 15), target.reshape(1, 4, 15)).item(), 1e-4):
        reason = "that is one Jaccard over the batch: sum over (1, 2) only, then average the pictures"
    elif _close(got, _jaccard(p, target, already=False).item(), 1e-4):
        reason = "the sigmoid is applied twice"
    elif _close(got, _jaccard(logits, target, already=True).item(), 1e-4):
        reason = "logits are not probabilities yet: apply the sigmoid"
    elif _close(1 - got, expected, 1e-4):
        reason = "that is the index itself; a loss is 1 - index"
    yield "labelled everywhere, three pictures", _close(got, expected), reason
    target[1, :2] = 255
    got, expected = _value(answer(logits.clone(), target.clone())), _jaccard(logits, target).item()
    yield "half of a picture unlabelled", _close(got, expected), \
        f"you return {got:.6f}, expected {expected:.6f}: at 255 both p and g must be 0, in the union too"
    leaf = logits.clone().requires_grad_()
    grad, = torch.autograd.grad(answer(leaf, target.clone()), leaf)
    yield "no gradient at unlabelled pixels, and some elsewhere", \
        not grad[target == 255].any() and bool(grad[target != 255].any()), \
        "multiply the probabilities by the mask before the sums"
    nothing = torch.full((1, 4, 5), 255)
    got = _value(answer(logits[:1].clone(), nothing))
    yield "a picture without any label costs 0", _close(got, 0.0), \
        f"you return {got:.6g}; with 1e-5 above and below the index is 1"


def _jaccard(logits: Tensor, target: Tensor, already: bool = False) -> Tensor:
    labelled = target != 255
    p, g = (logits if already else logits.sigmoid()) * labelled, (target == 1).to(logits.dtype)
    overlap = (p * g).sum((1, 2))
    return (1 - (overlap + 1e-5) / ((p + g).sum((1, 2)) - overlap + 1e-5)).mean()


@exercise("03.4", title="Median-frequency weights", hints=[
    "Count class by class and picture by picture: a table (classes, pictures) of pixel counts.",
    "The denominator of class c sums the labelled pixels of those pictures whose count of c is above 0.",
    "frequency = counts.sum(1) / ((counts > 0) * labelled).sum(1); the median over frequency[frequency > 0] (for an "
    "even number of classes the mean of the middle two); weight 0 where the frequency is 0.",
], points=3, count=3)
def median_frequency_weights(answer) -> Iterator[Case]:
    """``answer(labels, num_classes)``: weight of each class."""
    labels = torch.zeros(2, 4, 5, dtype=torch.long)
    labels[0, 0] = 1                                                    # class 1: 5 of 20 px, in picture 0 alone
    labels[1, 0, :2] = 2                                                # class 2: 2 of 20 px, in picture 1 alone
    frequency = torch.tensor([33 / 40, 5 / 20, 2 / 20], dtype=torch.float64)
    expected = 0.25 / frequency
    got = answer(labels.clone(), 3)
    reason = f"you return {_short(got)}, expected {_short(expected)}"
    overall = torch.tensor([33 / 40, 5 / 40, 2 / 40], dtype=torch.float64)
    if _same(got, overall.median() / overall):
        reason = "f of class 1 is 5 / 20, not 5 / 40: count only the pictures that contain the class"
    elif _same(got, frequency / 0.25):
        reason = "upside down: a rare class must weigh more"
    elif _same(got, frequency.mean() / frequency):
        reason = "that divides the mean frequency, not the median"
    elif _same(got, 1 / frequency):
        reason = "that is 1 / f; multiply by the median frequency"
    yield "three classes in two pictures", _same(got, expected), reason
    labels[0, 3] = 255
    frequency = torch.tensor([28 / 35, 5 / 15, 2 / 20], dtype=torch.float64)
    got = answer(labels.clone(), 3)
    yield "unlabelled pixels are in no count", _same(got, frequency.median() / frequency), \
        f"you return {_short(got)}: 255 is no class, and its pixels are not labelled pixels of the picture either"
    got = answer(labels.clone(), 5)
    expected = torch.cat([frequency.median() / frequency, torch.zeros(2, dtype=torch.float64)])
    yield "classes that never occur weigh 0 and leave the median alone", _same(got, expected), \
        f"you return {_short(got)}: no division by 0, and the median is over classes that occur"


@exercise("03.5", title="Lovász hinge", hints=[
    "Only the errors change: relu(1 - s) instead of |g - p|. They may exceed 1.",
    "Sort the errors from large to small, put the labels in the same order, and use the Jaccard steps of section 10.",
    "errors, order = F.relu(1 - torch.where(g == 1, z, -z)).flatten().sort(descending=True); "
    "truth = g.flatten()[order]; then the three lines of lovasz().",
], points=4, count=4)
def lovasz_hinge(answer) -> Iterator[Case]:
    """``answer(z, g)``: Lovász hinge of one picture."""
    z = torch.tensor([[3.0, -0.5], [0.25, -2.0]], dtype=torch.float64)
    g = torch.tensor([[1, 1], [0, 0]])
    # errors 0, 1.5, 1.25, 0: the missed lesion pixel costs 1/2 of the Jaccard index, then the false one 1/6
    expected = 1.5 / 2 + 1.25 / 6
    got = _value(answer(z.clone(), g.clone()))
    reason = f"you return {got:.6f}, expected 1.5 / 2 + 1.25 / 6 = {expected:.6f}; is the order from large to small?"
    if _close(got, lovasz_softmax(z[None, None], g[None]).item()):
        reason = "that is the version with probabilities: leave the sigmoid out, the error is max(0, 1 - s)"
    elif _close(got, _hinge(z, g, floor=False).item()):
        reason = "pixels with s > 1 must cost 0, not less: max(0, 1 - s)"
    elif _close(got, _hinge(-z, g).item()):
        reason = "the sign is the wrong way round: s = z for lesion"
    elif _close(got, torch.relu(1 - torch.where(g == 1, z, -z)).mean().item()):
        reason = "that is the mean hinge: weigh the sorted errors with the Jaccard steps"
    yield "four pixels by hand", _close(got, expected), reason
    draw = torch.Generator().manual_seed(5)
    z, g = 3 * torch.randn(9, 7, dtype=torch.float64, generator=draw), torch.randint(0, 2, (9, 7), generator=draw)
    got = _value(answer(z.clone(), g.clone()))
    yield "a picture of 9 x 7 px", _close(got, _hinge(z, g).item()), \
        f"you return {got:.6f}, expected {_hinge(z, g).item():.6f}; the labels must be sorted along with the errors"
    mine, reference = z.clone().requires_grad_(), z.clone().requires_grad_()
    grads = [torch.autograd.grad(f(leaf, g), leaf)[0] for f, leaf in ((answer, mine), (_hinge, reference))]
    yield "its gradient", _same(*grads), "the Jaccard steps are constants; the gradient flows through the errors"
    empty = torch.zeros(3, 3, dtype=torch.long)
    got, expected = _value(answer(z[:3, :3].clone(), empty)), _hinge(z[:3, :3], empty).item()
    yield "an empty mask: the largest error alone", _close(got, expected), \
        f"you return {got:.6f}, expected {expected:.6f}"


def _hinge(z: Tensor, g: Tensor, floor: bool = True) -> Tensor:
    errors = 1 - torch.where(g == 1, z, -z).flatten()
    errors, order = (errors.relu() if floor else errors).sort(descending=True)
    return (errors * jaccard_steps(g.flatten()[order].to(z.dtype))).sum()


def _same(got: object, expected: Tensor, tolerance: float = 1e-6) -> bool:
    if not isinstance(got, Tensor) or got.shape != expected.shape:
        return False
    return bool(((got.double() - expected).abs() <= tolerance).all())


def _short(values: object) -> str:
    if not isinstance(values, Tensor):
        return f"a {type(values).__name__}, not a tensor"
    return "(" + ", ".join(f"{v:.4g}" for v in values.flatten()[:6].tolist()) + ")"
