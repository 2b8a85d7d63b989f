"""Checks of notebook 13: the solution and right answers in other styles pass, the blank fails, slips are named."""

import math

import numpy as np
import pytest
import torch
import torchvision
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import find
from seglab.ops import roi_align, roi_pool

# ---------------------------------------------------------------- what the chapter gives

def round_away(v):
    whole = math.trunc(v)
    return whole + int(math.copysign(abs(v - whole) >= 0.5, v))


def bin_range(start, end, p, bins, length):
    size = max(end - start + 1, 1) / bins
    first, past = start + math.floor(p * size), start + math.ceil((p + 1) * size)
    return min(max(first, 0), length), min(max(past, 0), length)


def bilinear(features, y, x):
    channels, height, width = features.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return features.new_zeros(channels)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    r, c = math.floor(y), math.floor(x)
    a, b, r1, c1 = y - r, x - c, min(r + 1, height - 1), min(c + 1, width - 1)
    return ((1 - a) * ((1 - b) * features[:, r, c] + b * features[:, r, c1])
            + a * ((1 - b) * features[:, r1, c] + b * features[:, r1, c1]))


def sample_places(start, end, bins, samples):
    side = max(end - start, 1.0)
    count = samples if samples > 0 else math.ceil(side / bins)
    return [[start + (p + (i + 0.5) / count) * side / bins for i in range(count)] for p in range(bins)]


# ---------------------------------------------------------------- answers

def pool_loop(features, box, bins, stride, whole=round_away, last=0, guard=True, value=lambda f: f.amax((1, 2)),
              cells=lambda start, end, p, bins, length: bin_range(start, end, p, bins, length), new=None,
              order=lambda box: box, place=lambda p, q: (p, q), sides=lambda height, width: (height, width), empty=0.0,
              copy=lambda f: f):
    """The solution of 13.1, or one of its slips."""
    features = copy(features)
    channels, height, width = features.shape
    height, width = sides(height, width)
    x1, y1, x2, y2 = (whole(v / stride) for v in order(box))
    pooled = new(channels, bins, bins) if new else features.new_full((channels, bins, bins), empty)
    for p in range(bins):
        top, bottom = cells(y1, y2 - last, p, bins, height)
        for q in range(bins):
            left, right = cells(x1, x2 - last, q, bins, width)
            if not guard or top < bottom and left < right:
                pooled[(slice(None), *place(p, q))] = value(features[:, top:bottom, left:right])
    return pooled


def pool_by_masks(features, box, bins, stride):
    x1, y1, x2, y2 = (round_away(v / stride) for v in box)
    rows, columns = ((torch.arange(n) >= torch.tensor([bin_range(a, b, p, bins, n)[0] for p in range(bins)])[:, None])
                     & (torch.arange(n) < torch.tensor([bin_range(a, b, p, bins, n)[1] for p in range(bins)])[:, None])
                     for a, b, n in ((y1, y2, features.shape[1]), (x1, x2, features.shape[2])))
    own = rows[:, None, :, None] & columns[None, :, None]
    lowest = features[:, None, None].masked_fill(~own, -math.inf).flatten(3).max(3)[0]
    return torch.where(own.flatten(2).any(2), lowest, torch.zeros_like(lowest))


def pool_by_lists(features, box, bins, stride):
    """Cell by cell, without tensors of the result until the end."""
    channels, height, width = features.shape
    x1, y1, x2, y2 = (round_away(v / stride) for v in box)
    values = []
    for c in range(channels):
        for p in range(bins):
            for q in range(bins):
                own = [features[c, row, column] for row in range(*bin_range(y1, y2, p, bins, height))
                       for column in range(*bin_range(x1, x2, q, bins, width))]
                values.append(torch.stack(own).max() if own else features.new_zeros(()))
    return torch.stack(values).view(channels, bins, bins)


def with_index(box):
    return torch.tensor([[0, *box]], dtype=torch.float64)


def pool_by_torchvision(features, box, bins, stride):
    return torchvision.ops.roi_pool(features[None], with_index(box).to(features), bins, 1 / stride)[0]


def no_last_cell_but_one(start, end, p, bins, length):
    """Bins without the second rounding outwards."""
    size = max(end - start + 1, 1) / bins
    first, past = start + math.floor(p * size), start + math.floor((p + 1) * size)
    return min(max(first, 0), length), min(max(past, 0), length)


def align_loop(features, box, bins, stride, samples=2, divide=None, whole=lambda v: v, order=lambda box: box, new=None,
               place=lambda p, q: (p, q), value=None, copy=lambda f: f, count=None, places=sample_places,
               off=0.0):
    """The solution of 13.3, or one of its slips."""
    features = copy(features)
    x1, y1, x2, y2 = (whole(v / stride) - off for v in order(box))
    pooled = (new or features.new_zeros)(len(features), bins, bins)
    count = count or samples
    for p, rows in enumerate(places(y1, y2, bins, count)):
        for q, columns in enumerate(places(x1, x2, bins, count)):
            values = [bilinear(features, y, x) for y in rows for x in columns]
            number = divide(rows, columns, samples) if divide else len(values)
            pooled[(slice(None), *place(p, q))] = value(values) if value else sum(values) / number
    return pooled


def align_by_matrices(features, box, bins, stride, samples=2):
    matrices = []
    for start, end, length in ((box[1], box[3], features.shape[1]), (box[0], box[2], features.shape[2])):
        places = torch.tensor(sample_places(start / stride, end / stride, bins, samples), dtype=torch.float64)
        hats = 1 - (places.clamp(0, length - 1)[..., None] - torch.arange(length)).abs()
        on_map = (places >= -1) & (places <= length)
        matrices.append((hats.clamp(min=0) * on_map[..., None]).mean(1).to(features))
    a_y, a_x = matrices
    return torch.einsum("pr,crs,qs->cpq", a_y, features, a_x)


def align_by_torchvision(features, box, bins, stride, samples=2):
    return torchvision.ops.roi_align(features[None], with_index(box).to(features), bins, 1 / stride, samples)[0]


def align_running_mean(features, box, bins, stride, samples=2):
    """In place, sample after sample, backwards."""
    pooled = torch.zeros(len(features), bins, bins, dtype=features.dtype)
    columns = sample_places(box[0] / stride, box[2] / stride, bins, samples)
    for p, ys in enumerate(sample_places(box[1] / stride, box[3] / stride, bins, samples)):
        for q in range(bins):
            for y in reversed(ys):
                for x in reversed(columns[q]):
                    pooled[:, p, q] += bilinear(features, y, x) / len(ys) / len(columns[q])
    return pooled


def only_those_on_the_map(features, box, bins, stride, samples=2):
    """The mean over the samples that lie on the map."""
    x1, y1, x2, y2 = (v / stride for v in box)
    _, height, width = features.shape
    pooled = features.new_zeros(len(features), bins, bins)
    for p, rows in enumerate(sample_places(y1, y2, bins, samples)):
        for q, columns in enumerate(sample_places(x1, x2, bins, samples)):
            values = [bilinear(features, y, x) for y in rows for x in columns
                      if -1 <= y <= height and -1 <= x <= width]
            if values:
                pooled[:, p, q] = sum(values) / len(values)
    return pooled


def places_of_any_size(start, end, bins, samples):
    """Without the rule that a box of less than a cell counts as one."""
    side = end - start
    count = samples if samples > 0 else max(1, math.ceil(side / bins))
    return [[start + (p + (i + 0.5) / count) * side / bins for i in range(count)] for p in range(bins)]


def sorted_box(box):
    x1, y1, x2, y2 = box
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def swapped_box(box):
    return box[1], box[0], box[3], box[2]


def shared_rows(cells, bins):
    return sum(math.ceil((p + 1) * cells / bins) - math.floor(p * cells / bins) for p in range(bins)) - cells


def shared_rows_by_the_chapter(cells, bins):
    ranges = [bin_range(0, cells - 1, p, bins, cells) for p in range(bins)]
    return sum(past - first for first, past in ranges) - cells


def shared_rows_by_counting(cells, bins):
    read = np.zeros(cells, int)
    for p in range(bins):
        read[p * cells // bins:-(-(p + 1) * cells // bins)] += 1
    return (read - 1).sum()


def counts_rounded_inwards(cells, bins):
    return sum(max(math.floor((p + 1) * cells / bins) - math.ceil(p * cells / bins), 0) for p in range(bins)) - cells


def share_read(a_y, a_x, some=lambda a: (a != 0).any(0)):
    rows, columns = some(a_y), some(a_x)
    return float(rows.double().mean() * columns.double().mean())


def share_in_loops(a_y, a_x):
    rows, columns = ([k for k, column in enumerate(zip(*a.tolist())) if any(column)] for a in (a_y, a_x))
    return len(rows) * len(columns) / (a_y.shape[1] * a_x.shape[1])


def share_by_gradient(a_y, a_x):
    leaf = torch.ones(a_y.shape[1], a_x.shape[1], dtype=a_y.dtype, requires_grad=True)
    (a_y @ leaf @ a_x.T).sum().backward()
    return leaf.grad.ne(0).float().mean()


def share_in_numpy(a_y, a_x):
    weights = np.einsum("pr,qs->rs", np.abs(a_y.numpy()), np.abs(a_x.numpy()))
    return np.float32(np.count_nonzero(weights) / weights.size)


def first_to_last(a):
    read = (a != 0).any(0)
    places = read.nonzero()[:, 0]
    if len(places):
        read[places.min():places.max() + 1] = True
    return read


def backward(g, a_y, a_x):
    return a_y.T @ g @ a_x


def backward_in_loops(g, a_y, a_x):
    result = np.zeros((len(g), a_y.shape[1], a_x.shape[1]))
    for p, row in enumerate(a_y.numpy()):
        for q, column in enumerate(a_x.numpy()):
            result += g.numpy()[:, p, q, None, None] * np.outer(row, column)
    return result


def normalised(g, a_y, a_x):
    weight = a_y.sum(0)[:, None] * a_x.sum(0)
    return backward(g, a_y, a_x) / torch.where(weight > 0, weight, 1)


def samples_of(features, box, bins, stride, samples):
    """Each sample a bin of its own: (C, bins, samples, bins, samples)."""
    side = max((box[2] - box[0]) / stride, 1.0), max((box[3] - box[1]) / stride, 1.0)
    n, m = (samples if samples > 0 else math.ceil(s / bins) for s in (side[1], side[0]))
    grid = roi_align(features[None], with_index(box), (bins * n, bins * m), 1 / stride, 1)[0]
    return grid.unflatten(2, (bins, m)).unflatten(1, (bins, n))


def largest(features, box, bins, stride, samples):
    return samples_of(features, box, bins, stride, samples).amax((2, 4))


def largest_in_loops(features, box, bins, stride, samples):
    x1, y1, x2, y2 = (v / stride for v in box)
    rows, columns = (sample_places(a, b, bins, samples) for a, b in ((y1, y2), (x1, x2)))
    return torch.stack([torch.stack([torch.stack([bilinear(features, y, x) for y in ys for x in xs]).amax(0)
                                     for xs in columns], 1) for ys in rows], 1)


def largest_one_by_one(features, box, bins, stride, samples):
    """In NumPy's float32, a running maximum."""
    x1, y1, x2, y2 = (v / stride for v in box)
    pooled = np.full((len(features), bins, bins), -np.inf, np.float32)
    for p, ys in enumerate(sample_places(y1, y2, bins, samples)):
        for q, xs in enumerate(sample_places(x1, x2, bins, samples)):
            for y in ys:
                for x in xs:
                    pooled[:, p, q] = np.maximum(pooled[:, p, q], bilinear(features, y, x).numpy())
    return pooled


def largest_on_the_map(features, box, bins, stride, samples):
    values = samples_of(features, box, bins, stride, samples)
    on_map = samples_of(torch.ones_like(features), box, bins, stride, samples) > 0
    return torch.where(on_map, values, -math.inf).amax((2, 4)).nan_to_num(neginf=0)


def rounds_first(features, box, bins, stride, samples):
    return largest(features, [stride * math.floor(v / stride + 0.5) for v in box], bins, stride, samples)


def changes(function, **slips):
    return lambda *args: function(*args, **slips)


def through_numpy(features):
    return torch.from_numpy(features.detach().numpy().copy())


SOLUTIONS = {"13.1": pool_loop, "13.2": shared_rows, "13.3": align_loop, "13.4": share_read, "13.5": backward,
             "13.6": largest}
OTHERS = [
    ("13.1", find("13.1").course),
    ("13.1", pool_by_masks),
    ("13.1", pool_by_lists),
    ("13.1", pool_by_torchvision),
    ("13.1", lambda f, box, bins, stride: roi_pool(f[None], [with_index(box)[:, 1:]], bins, 1 / stride)[0]),
    ("13.2", shared_rows_by_the_chapter),
    ("13.2", shared_rows_by_counting),
    ("13.2", lambda cells, bins: bins - math.gcd(cells, bins)),
    ("13.2", lambda cells, bins: torch.tensor(shared_rows(cells, bins))),
    ("13.3", find("13.3").course),
    ("13.3", align_by_matrices),
    ("13.3", align_by_torchvision),
    ("13.3", align_running_mean),
    ("13.4", share_in_loops),
    ("13.4", share_by_gradient),
    ("13.4", share_in_numpy),
    ("13.5", backward_in_loops),
    ("13.5", lambda g, a_y, a_x: torch.einsum("pr,cpq,qs->crs", a_y.float(), g.float(), a_x.float())),
    ("13.5", lambda g, a_y, a_x: (a_x.T @ (a_y.T @ g).transpose(1, 2)).transpose(1, 2)),
    ("13.6", largest_in_loops),
    ("13.6", largest_one_by_one),
    ("13.6", lambda f, box, bins, s, n: largest(f.float().double(), box, bins, s, n)),
]
MUTANTS = [
    ("13.1", lambda f, box, bins, stride: f.new_zeros(len(f), bins, bins), "was none of them filled?"),
    ("13.1", changes(pool_loop, whole=round), "halves to the even neighbour"),
    ("13.1", changes(pool_loop, whole=lambda v: math.floor(v + 0.5)), "sends negative halves up"),
    ("13.1", changes(pool_loop, whole=int), "cut off, not rounded"),
    ("13.1", changes(pool_loop, last=1), "the last cell is missing"),
    ("13.1", changes(pool_loop, cells=no_last_cell_but_one), "the far end of a bin is rounded up"),
    ("13.1", changes(pool_loop, value=lambda f: f.mean((1, 2))), "the mean of the cells"),
    ("13.1", changes(pool_loop, value=lambda f: f.amin((1, 2))), "the smallest feature"),
    ("13.1", changes(pool_loop, value=lambda f: f.amax((1, 2)).clamp(min=0)), "starts at 0"),
    ("13.1", changes(pool_loop, value=lambda f: f.max()), "its own maximum"),
    ("13.1", changes(pool_loop, value=lambda f: f.abs().amax((1, 2))), "magnitude"),
    ("13.1", changes(pool_loop, empty=-math.inf), "a bin without a cell is 0"),
    ("13.1", changes(pool_loop, guard=False), "your code stopped with"),
    ("13.1", changes(pool_loop, place=lambda p, q: (q, p)), "rows and columns are swapped"),
    ("13.1", changes(pool_loop, order=swapped_box), "x and y are swapped"),
    ("13.1", changes(pool_loop, order=sorted_box), "do not sort the corners"),
    ("13.1", changes(pool_loop, sides=lambda height, width: (width, height)), "height and width are swapped"),
    ("13.1", lambda f, box, bins, stride: pool_loop(f, box, bins, 16), "16 is written where `stride` belongs"),
    ("13.1", lambda f, box, bins, stride: pool_loop(f, box, 2, stride), "return a tensor of shape (3, 3, 3)"),
    ("13.1", changes(pool_loop, new=torch.zeros), "start from features.new_zeros"),
    ("13.1", lambda f, *rest: pool_loop(f.double(), *rest), "the result is torch.float64"),
    ("13.1", changes(pool_loop, copy=torch.Tensor.detach), "no gradient comes back"),
    ("13.1", changes(pool_loop, copy=lambda f: f.detach().requires_grad_()), "no gradient comes back"),
    ("13.1", lambda *args: pool_loop(through_numpy(args[0]), *args[1:]).numpy(), "return a tensor, not ndarray"),
    ("13.1", changes(pool_loop, value=lambda f: f.mean((1, 2)) + (f.amax((1, 2)) - f.mean((1, 2))).detach()),
     "at the features, at ("),
    ("13.1", lambda *args: pool_loop(*args)[None], "return a tensor of shape"),
    ("13.1", lambda *args: print(end=""), "is there a `return`?"),
    ("13.2", lambda c, b: shared_rows(c, b) + c, "take off those there are"),
    ("13.2", lambda c, b: -shared_rows(c, b), "wrong way round"),
    ("13.2", lambda c, b: 0, "rounded *up*"),
    ("13.2", lambda c, b: b - 1, "meet cleanly"),
    ("13.2", lambda c, b: c % b, "how many rows are left over"),
    ("13.2", counts_rounded_inwards, "inwards"),
    ("13.2", lambda c, b: float(shared_rows(c, b)), "a whole number, not a float"),
    ("13.2", lambda c, b: 1 if c % b else 0, "you return 1, it should be 6"),
    ("13.2", lambda c, b: [shared_rows(c, b)], "you return shape (1,)"),
    ("13.2", lambda c, b: None, "return"),
    ("13.3", lambda f, box, bins, stride, samples=2: f.new_zeros(len(f), bins, bins), "was none of them filled?"),
    ("13.3", changes(align_loop, divide=lambda rows, columns, n: 1), "divide by their number"),
    ("13.3", changes(align_loop, divide=lambda rows, columns, n: len(rows)), "rows times columns"),
    ("13.3", changes(align_loop, divide=lambda rows, columns, n: len(rows) ** 2), "may differ in number"),
    ("13.3", changes(align_loop, divide=lambda rows, columns, n: n ** 2), "is not `samples`"),
    ("13.3", changes(align_loop, divide=lambda rows, columns, n: len(rows) + len(columns)), "rows *times* columns"),
    ("13.3", changes(align_loop, divide=lambda rows, columns, n: 4), "it should be"),
    ("13.3", only_those_on_the_map, "also by those off the map"),
    ("13.3", changes(align_loop, value=lambda values: torch.stack(values).amax(0)), "the largest sample"),
    ("13.3", changes(align_loop, whole=round_away), "the box was rounded"),
    ("13.3", changes(align_loop, whole=math.floor), "it should be"),
    ("13.3", changes(align_loop, off=0.5), "no half pixel"),
    ("13.3", changes(align_loop, places=places_of_any_size), "counts as one cell: use sample_places"),
    ("13.3", changes(align_loop, place=lambda p, q: (q, p)), "rows and columns are swapped"),
    ("13.3", changes(align_loop, order=swapped_box), "x and y are swapped"),
    ("13.3", changes(align_loop, order=sorted_box), "do not sort the corners"),
    ("13.3", changes(align_loop, count=2), "2 is written where `samples` belongs"),
    ("13.3", changes(align_loop, count=1), "one sample in the middle"),
    ("13.3", lambda f, box, bins, stride, samples: align_loop(f, box, bins, stride, samples), "missing 1 required"),
    ("13.3", lambda f, box, bins, stride, samples=3: align_loop(f, box, bins, stride, samples), "it should be"),
    ("13.3", lambda f, box, bins, stride, samples=2: align_loop(f, box, bins, 16, samples), "where `stride` belongs"),
    ("13.3", changes(align_loop, value=lambda values: sum(values).mean() / len(values)), "each channel for itself"),
    ("13.3", changes(align_loop, new=torch.zeros), "start from features.new_zeros"),
    ("13.3", changes(align_loop, copy=torch.Tensor.detach), "no gradient comes back"),
    ("13.3", changes(align_loop, value=lambda values: values[0] + (sum(values) / len(values) - values[0]).detach()),
     "at the features, at ("),
    ("13.3", lambda *args: align_loop(through_numpy(args[0]), *args[1:]).numpy(), "return a tensor, not ndarray"),
    ("13.3", lambda *args: print(end=""), "is there a `return`?"),
    ("13.4", lambda y, x: float(((y != 0).any(0).double().mean() + (x != 0).any(0).double().mean()) / 2), "multiply"),
    ("13.4", lambda y, x: float(1 - (y == 0).all(0).double().mean() * (x == 0).all(0).double().mean()), "needs both"),
    ("13.4", lambda y, x: float((y != 0).double().mean() * (x != 0).double().mean()), "non-zero weights"),
    ("13.4", lambda y, x: float((y != 0).any(1).double().mean() * (x != 0).any(1).double().mean()), "any(0)"),
    ("13.4", lambda y, x: float((y != 0).any(0).sum() * (x != 0).any(0).sum()), "divide by H * W"),
    ("13.4", changes(share_read, some=first_to_last), "rows that nobody reads"),
    ("13.4", changes(share_read, some=lambda a: (a > 1e-3).any(0)), "compare with 0"),
    ("13.4", changes(share_read, some=lambda a: (a != 0).all(0)), "any, not all"),
    ("13.4", lambda y, x: 100 * share_read(y, x), "it should be"),
    ("13.4", lambda y, x: None, "return"),
    ("13.5", lambda g, y, x: torch.linalg.pinv(y) @ g @ torch.linalg.pinv(x).T, "undoes nothing"),
    ("13.5", normalised, "normalised"),
    ("13.5", lambda g, y, x: y @ g @ x.T, "forward pass"),
    ("13.5", lambda g, y, x: y.T @ g @ x.T, "once too often"),
    ("13.5", lambda g, y, x: y @ g @ x, "A_y is not transposed"),
    ("13.5", lambda g, y, x: y.T @ g.transpose(1, 2) @ x, "swapped"),
    ("13.5", lambda g, y, x: backward(g.sum(0, keepdim=True).expand_as(g), y, x), "channels do not mix"),
    ("13.5", lambda g, y, x: backward(g, y, x)[0], "return a tensor"),
    ("13.5", lambda g, y, x: 2 * backward(g, y, x), "it should be"),
    ("13.5", lambda g, y, x: backward(g.mul_(1.5), y, x) / 1.5, "it changes `g`"),
    ("13.5", lambda g, y, x: None, "return"),
    ("13.6", lambda *a: samples_of(*a).mean((2, 4)), "the mean"),
    ("13.6", lambda *a: samples_of(*a).sum((2, 4)), "the sum"),
    ("13.6", lambda *a: largest(*a).clamp(min=0), "negative"),
    ("13.6", rounds_first, "rounded to cells"),
    ("13.6", lambda f, box, bins, s, n: largest(f, box, bins, s, 1), "one sample"),
    ("13.6", lambda f, box, bins, s, n: largest(f, box, bins, s, 2), "2 is written where `samples`"),
    ("13.6", lambda *a: largest(*a).transpose(1, 2), "swapped"),
    ("13.6", lambda *a: samples_of(*a).amin((2, 4)), "smallest"),
    ("13.6", largest_on_the_map, "takes part, with the value 0"),
    ("13.6", lambda f, box, bins, s, n: pool_loop(f, box, bins, s), "this is RoIPool"),
    ("13.6", lambda *a: largest(*a).sum(), "return a tensor"),
    ("13.6", lambda *a: None, "return"),
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
