"""Checks of the exercises of notebook 13, RoIAlign against RoIPool."""

import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral

import torch
from torch import Tensor

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, differs, not_shaped, slip
from seglab.ops import roi_align, roi_pool

EXACT = 1e-9  # float64 in, float64 out: the chapter proves what it gets to 1e-12
_NOTHING = "all bins are 0: was none of them filled?"
TOY = torch.tensor([[[1, 0, 2, 1, 0, 3, 1], [0, 4, 1, 7, 2, 0, 2], [2, 1, 9, 3, 8, 1, 0], [0, 6, 2, 5, 1, 4, 3],
                     [1, 0, 3, 0, 2, 1, 5]]], dtype=torch.float64)
TOY_BOX = (22.4, 9.6, 84.8, 59.2)


def _features(channels: int, height: int, width: int, seed: int) -> Tensor:
    """Features (channels, height, width), float64, no two alike."""
    return torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def roi_pool_loop(features: Tensor, box: Sequence[float], bins: int, stride: float) -> Tensor:
    """RoIPool of one box (px) on features (C, H, W): (C, bins, bins)."""
    rois = torch.tensor([[0.0, *(v / stride for v in box)]], dtype=torch.float64, device=features.device)
    return roi_pool(features[None], rois, bins)[0]


def roi_align_loop(features: Tensor, box: Sequence[float], bins: int, stride: float, samples: int = 2) -> Tensor:
    """RoIAlign of one box (px) on features (C, H, W): (C, bins, bins)."""
    rois = torch.tensor([[0.0, *(v / stride for v in box)]], dtype=torch.float64, device=features.device)
    return roi_align(features[None], rois, bins, sampling_ratio=samples)[0]


def _away(v: float) -> int:
    """Halves away from zero."""
    return int(math.copysign(math.floor(abs(v) + 0.5), v))


def _members(start: float, end: float, bins: int, length: int, whole: Callable = _away, last: int = 1,
             far: Callable = math.ceil) -> Tensor:
    """Which cells belong to which bin, (bins, length) bool; start and end in cells, and usual slips."""
    first, past = whole(start), whole(end) + last
    size = max(past - first, 1)
    cells = torch.arange(length)
    return torch.stack([(cells >= first + p * size // bins) & (cells < first + far((p + 1) * size / bins))
                        for p in range(bins)])


def _pooled(features: Tensor, box: Sequence[float], bins: int, stride: float, reduce: Callable | None = None,
            empty: float = 0.0, **slips: object) -> Tensor:
    """RoIPool of one box by masks: every bin reads the whole map, what is not its own is -infinity."""
    x1, y1, x2, y2 = (v / stride for v in box)
    rows, columns = _members(y1, y2, bins, features.shape[1], **slips), \
        _members(x1, x2, bins, features.shape[2], **slips)
    own = rows[:, None, :, None] & columns[None, :, None, :]                             # (bins, bins, H, W)
    values = features[:, None, None]
    some = own.any(3).any(2)
    if reduce is not None:
        found = reduce(torch.where(own, values, 0).sum((3, 4)), own.sum((2, 3)).clamp(min=1))
    else:
        found = torch.where(own, values, -math.inf).amax((3, 4))
    return torch.where(some, found, empty)


def _form(got: object, features: Tensor, shape: Sequence[int]) -> str:
    """What is wrong with the form of a pooled RoI, in words; empty if it is a tensor of this shape and the right type.

    The chapter goes on with what the reader's function returns, so that it has to be a tensor of the features' dtype.
    """
    wrong = not_shaped(got, tuple(shape), "a tensor")
    if wrong or not isinstance(got, Tensor):
        return wrong or f"return a tensor, not {type(got).__name__}"
    return "" if got.dtype == features.dtype else \
        f"the result is {got.dtype} where the features are {features.dtype}: " \
        "start from features.new_zeros(...), it takes their dtype"


def _gradient(answer: Callable, right: Callable, features: Tensor) -> tuple[bool, str]:
    """Does the gradient of the reader's function agree with that of the right one? Advice if not."""
    leaf = features.clone().requires_grad_()
    got, want = answer(leaf), right(leaf)
    form = _form(got, features, want.shape)
    if form:
        return False, form
    weights = _features(*want.shape, seed=9)
    theirs, = torch.autograd.grad((want * weights).sum(), leaf)
    mine = torch.autograd.grad((got * weights).sum(), leaf, allow_unused=True)[0] if got.requires_grad else None
    if mine is None:
        return False, "no gradient comes back to the features: compute with the tensor itself; detach(), item(), " \
            "tolist() and NumPy cut it"
    return close(mine, theirs, EXACT), f"at the features, {differs(mine, theirs, EXACT)}"


@exercise("13.1", title="RoIPool in loops", hints=[
    "Both roundings are given: round_away(v / stride) for each of the four corners, and bin_range for the cells of one "
    "bin along one axis. Rows go with y and the height, columns with x and the width.",
    "Start from features.new_zeros(C, bins, bins). For bin (p, q), rows top:bottom and columns left:right, the value "
    "is features[:, top:bottom, left:right].amax((1, 2)), if there is any cell.",
    "channels, height, width = features.shape; pooled = features.new_zeros(channels, bins, bins); x1, y1, x2, y2 = "
    "(round_away(v / stride) for v in box); for p and q in range(bins): top, bottom = bin_range(y1, y2, p, bins, "
    "height); left, right = bin_range(x1, x2, q, bins, width); if top < bottom and left < right: pooled[:, p, q] = "
    "features[:, top:bottom, left:right].amax((1, 2)); at the end return pooled.",
], points=3, count=11, course=roi_pool_loop)
def pool_in_loops(answer: Callable) -> Iterator[Case]:
    """``answer(features, box, bins, stride)``: the largest feature of each bin, halves away from zero."""
    wide, tall, cold = _features(3, 6, 9, 1), _features(2, 9, 5, 2), _features(2, 5, 7, 3) - 20
    cases = [("the toy of the text, 2 x 2 bins", TOY, TOY_BOX, 2, 16),
             ("three channels, a map wider than high, 3 x 3 bins", wide, (18.0, 25.0, 120.0, 70.0), 3, 16),
             ("stride 8, a map higher than wide", tall, (3.0, 9.0, 37.0, 64.0), 4, 8),
             ("corners on halves of a cell", wide, (-8.0, 8.0, 72.0, 40.0), 2, 16),
             ("negative features, a box that leaves the map: bins without a cell stay 0", cold,
              (76.0, -40.0, 150.0, 59.2), 3, 16),
             ("a box off the map: all 0", cold, (500.0, 20.0, 540.0, 60.0), 2, 16),
             ("a reversed box is one cell", wide, (90.0, 70.0, 40.0, 30.0), 2, 16),
             ("an empty box, more bins than cells", tall, (20.0, 30.0, 20.0, 30.0), 3, 8)]
    for name, features, box, bins, stride in cases:
        got, want = answer(features, box, bins, stride), _pooled(features, box, bins, stride)
        form = _form(got, features, want.shape)
        yield name, not form and close(got, want, EXACT), \
            form or slip(got, want, _pool_slips(features, box, bins, stride), EXACT)
    single = wide.float()
    got, want = answer(single, (18.0, 25.0, 120.0, 70.0), 3, 16), _pooled(single, (18.0, 25.0, 120.0, 70.0), 3, 16)
    form = _form(got, single, want.shape)
    yield "float32 in, float32 out", not form and close(got, want), form or differs(got, want)
    for name, features, box in (("the gradient goes to the largest cell of each bin", wide, (18.0, 25.0, 120.0, 70.0)),
                                ("the gradient of a box that leaves the map", cold, (60.0, -40.0, 150.0, 59.2))):
        holds, advice = _gradient(lambda f, box=box: answer(f, box, 3, 16), lambda f, box=box: _pooled(f, box, 3, 16),
                                  features)
        yield name, holds, advice


def _pool_slips(features: Tensor, box: tuple, bins: int, stride: float) -> list[tuple[Tensor, str]]:
    """What the usual slips give."""
    x1, y1, x2, y2 = box
    slip_of = {
        "the last cell is missing: both corner cells belong to the RoI": {"last": 0},
        "Python's round() and torch.round send halves to the even neighbour: use round_away": {"whole": round},
        "floor(v + 0.5) sends negative halves up: use round_away": {"whole": lambda v: math.floor(v + 0.5)},
        "the corners are cut off, not rounded: use round_away": {"whole": int},
        "the far end of a bin is rounded up, so that no cell is lost: use bin_range": {"far": math.floor},
        "this is the mean of the cells: asked for is the largest": {"reduce": lambda total, count: total / count},
        "a bin without a cell is 0, not the lowest number there is": {"empty": -math.inf},
        "this is the smallest feature of a bin, not the largest": None,
    }
    results = [(torch.zeros_like(_pooled(features, box, bins, stride)), _NOTHING)]
    results += [(-_pooled(-features, box, bins, stride) if options is None else
                _pooled(features, box, bins, stride, **options), text) for text, options in slip_of.items()]
    right = _pooled(features, box, bins, stride)
    results += [(right.transpose(1, 2), "rows and columns are swapped: pooled[:, p, q] has the row p, from y, first"),
                (_pooled(features, (y1, x1, y2, x2), bins, stride), "x and y are swapped: a box is x1, y1, x2, y2"),
                (_pooled(features[:, :features.shape[2], :features.shape[1]], box, bins, stride),
                 "height and width are swapped: rows end at the height, columns at the width"),
                (right.clamp(min=0), "the maximum starts at 0, and these features are negative"),
                (right.amax(0, keepdim=True).expand_as(right), "each channel has its own maximum: amax((1, 2))"),
                (_pooled(features.abs(), box, bins, stride), "the largest feature, not the largest magnitude"),
                (_pooled(features, (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), bins, stride),
                 "do not sort the corners: a reversed box counts as one cell")]
    if stride != 16:
        results.append((_pooled(features, box, bins, 16), "16 is written where `stride` belongs"))
    return results


@exercise("13.2", title="Rows that bins share", hints=[
    "Write down, for each bin p, its first row and one past its last. How many rows does it have?",
    "Bin p goes from floor(p * cells / bins) to ceil((p + 1) * cells / bins), exclusive. Sum the lengths over p.",
    "sum(math.ceil((p + 1) * cells / bins) - math.floor(p * cells / bins) for p in range(bins)) - cells",
], points=1, count=10)
def shared_rows(answer: Callable) -> Iterator[Case]:
    """``answer(cells, bins)``: rows of all bins together, less the rows there are."""
    whole = True
    for cells, bins in ((4, 2), (5, 2), (6, 7), (7, 7), (10, 4), (1, 7), (23, 7), (3, 1), (16, 6)):
        got, want = answer(cells, bins), bins - math.gcd(cells, bins)
        ends = [(p * cells / bins, (p + 1) * cells / bins) for p in range(bins)]
        inward = sum(max(math.floor(past) - math.ceil(first), 0) for first, past in ends) - cells
        slips = {want + cells: "this counts the rows of all bins: take off those there are",
                 -want: "the wrong way round: bins together have at least as many rows as the RoI",
                 0: "both ends rounded down: then no row is shared; the far end of a bin is rounded *up*",
                 inward: "rounded inwards: the first row is rounded down, the end up",
                 bins - 1: "not all neighbours share a row: where p * cells / bins is whole, they meet cleanly",
                 cells % bins: "the remainder says how many rows are left over, not how many are shared"}
        yield f"{cells} rows in {bins} bins: {want}", close(got, want), slip(got, want, slips)
        whole &= isinstance(got, Integral) or "int" in str(getattr(got, "dtype", ""))
    yield "a number of rows is an int", whole, "return a whole number, not a float"


def _matrices() -> dict[str, tuple[Tensor, Tensor]]:
    """A_y and A_x that trip the usual shortcuts."""
    a_y = torch.tensor([[0.5, 0.5, 0, 0, 0, 0], [0, 0.25, 0.75, 0, 0, 0]], dtype=torch.float64)
    a_x = torch.tensor([[0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 1]], dtype=torch.float64)
    gaps = torch.tensor([[0, 0.5, 0.5, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.9, 0.1, 0]], dtype=torch.float64)
    tiny = torch.tensor([[1e-7, 1 - 1e-7, 0, 0, 0]], dtype=torch.float64)
    return {"bins that share rows": (a_y, a_x),
            "rows between two bins that nobody reads": (gaps, a_x),
            "columns that nobody reads, and a weight of 0.0000001": (tiny, gaps),
            "a bin off the map": (torch.cat([a_y, torch.zeros(1, 6, dtype=torch.float64)]), a_x[:2]),
            "a box off the map": (torch.zeros(2, 6, dtype=torch.float64), a_x),
            "all cells": (torch.full((1, 3), 1 / 3), torch.eye(2))}


@exercise("13.4", title="The share of cells that are read", hints=[
    "Cell (r, c) has the weight A_y[p, r] * A_x[q, c] in bin (p, q). When is it read by *no* bin?",
    "Row r is read if any bin p has A_y[p, r] != 0: `(a_y != 0).any(0)`, one bool a row of the map.",
    "rows, columns = (a_y != 0).any(0), (a_x != 0).any(0); answer: rows.double().mean() * columns.double().mean()",
], points=2, count=6)
def share_read(answer: Callable) -> Iterator[Case]:
    """``answer(a_y, a_x)``: share of the cells of the map that the pooled RoI depends on."""
    for name, (a_y, a_x) in _matrices().items():
        got = answer(a_y, a_x)
        leaf = torch.zeros(a_y.shape[1], a_x.shape[1], dtype=a_y.dtype, requires_grad=True)
        want = float((torch.autograd.grad((a_y @ leaf @ a_x.T).sum(), leaf)[0] != 0).double().mean())
        rows, columns = (a_y != 0).any(0), (a_x != 0).any(0)
        r, c = (float(v.double().mean()) for v in (rows, columns))
        spans = [float(read.nonzero().max() - read.nonzero().min() + 1) / len(read) if read.any() else 0.0
                 for read in (rows, columns)]
        above = [float((a > 1e-3).any(0).double().mean()) for a in (a_y, a_x)]
        slips = {(r + c) / 2: "a cell is read if its row *and* its column are: multiply the shares",
                 1 - (1 - r) * (1 - c): "this is row *or* column: a cell needs both",
                 float((a_y != 0).double().mean() * (a_x != 0).double().mean()):
                     "this is the share of non-zero weights; a row that one bin reads is read",
                 float((a_y != 0).any(1).double().mean() * (a_x != 0).any(1).double().mean()):
                     "any(1) asks which *bins* read something; the rows of the map are the columns of A_y: any(0)",
                 spans[0] * spans[1]: "from the first to the last row read there may be rows that nobody reads",
                 above[0] * above[1]: "a small weight is an influence too: compare with 0",
                 float((a_y != 0).all(0).double().mean() * (a_x != 0).all(0).double().mean()):
                     "one bin that reads a row is enough: any, not all",
                 float(rows.sum() * columns.sum()): "this is the number of cells: divide by H * W"}
        yield f"{name}: {want:.3f}", close(got, want), slip(got, want, slips)


@exercise("13.5", title="RoIAlign backwards", hints=[
    "In one channel, L changes by G[p, q] for a unit of pooled[p, q], and that by A_y[p, r] * A_x[q, c] for a unit of "
    "F[r, c]. Sum over p and q.",
    "dL/dF[r, c] = sum over p, q of A_y[p, r] G[p, q] A_x[q, c]. Which of the matrices is transposed?",
    "a_y.T @ g @ a_x: shapes (H, P) (C, P, Q) (Q, W); matmul keeps the channel in front.",
], points=2, count=5)
def roi_align_backward(answer: Callable) -> Iterator[Case]:
    """``answer(g, a_y, a_x)``: the gradient at the features."""
    generator = torch.Generator().manual_seed(0)
    for channels, p, q, height, width in ((1, 2, 2, 2, 2), (3, 2, 4, 5, 7), (2, 3, 3, 6, 6), (1, 1, 1, 4, 3)):
        a_y, a_x, g = (torch.rand(shape, generator=generator, dtype=torch.float64)
                       for shape in ((p, height), (q, width), (channels, p, q)))
        statement = f"{channels} channels, {p} x {q} bins, {height} x {width} cells"
        yield statement, *_backwards(answer(g, a_y, a_x), g, a_y, a_x)
    a_y, a_x = _matrices()["a bin off the map"]
    g = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    yield "cells that no bin reads get 0", *_backwards(answer(g, a_y, a_x), g, a_y, a_x)


def _backwards(got: object, g: Tensor, a_y: Tensor, a_x: Tensor) -> tuple[bool, str]:
    """Is this the gradient? Advice if not."""
    leaf = torch.zeros(len(g), a_y.shape[1], a_x.shape[1], dtype=torch.float64, requires_grad=True)
    want = torch.autograd.grad(a_y @ leaf @ a_x.T, leaf, g)[0]
    weight = a_y.sum(0)[:, None] * a_x.sum(0)
    slips = [(torch.linalg.pinv(a_y) @ g @ torch.linalg.pinv(a_x).T,
              "this is the pseudo-inverse: a gradient undoes nothing, it is the transpose"),
             (want / weight.where(weight > 0, 1),
              "normalised: the gradient is not a weighted mean, what many bins read gets more"),
             (want.sum(0, keepdim=True).expand_as(want), "the channels do not mix: g keeps its first axis")]
    if g.shape[1] == g.shape[2]:
        slips.append((a_y.T @ g.transpose(1, 2) @ a_x, "the two axes of g are swapped: rows of g go with A_y"))
    if a_y.shape == a_x.shape and a_y.shape[0] == a_y.shape[1]:
        slips += [(a_y @ g @ a_x.T, "this is the forward pass again: transpose the other matrix"),
                  (a_y.T @ g @ a_x.T, "A_x is transposed once too often"),
                  (a_y @ g @ a_x, "A_y is not transposed: its columns are the rows of the map")]
    form = not_shaped(got, want.shape, "a tensor")
    return not form and close(got, want), form or slip(got, want, slips)


def _sampled(features: Tensor, box: Sequence[float], bins: int, stride: float, samples: int, shift: float = 0.0,
             least: float = 1.0) -> Tensor:
    """Values of all samples, (C, bins, bins, rows, columns), by interpolation along one axis after the other."""
    def along(start: float, end: float, values: Tensor, axis: int) -> Tensor:
        side, length = max(end - start, least), values.shape[axis]
        count = samples if samples > 0 else math.ceil(side / bins)
        place = start + (torch.arange(bins * count, dtype=torch.float64) + 0.5) * side / (bins * count) - shift
        counts = (place >= -1) & (place <= length)
        place = place.clamp(0, length - 1)
        hats = (1 - (place[:, None] - torch.arange(length)).abs()).clamp(min=0) * counts[:, None]
        read = torch.movedim(torch.movedim(values, axis, -1) @ hats.T.to(values), -1, axis)
        return read.unflatten(axis, (bins, count))
    x1, y1, x2, y2 = (v / stride for v in box)
    return along(x1, x2, along(y1, y2, features, 1), 3).permute(0, 1, 3, 2, 4)


def _inside(features: Tensor, box: Sequence[float], bins: int, stride: float, samples: int) -> Tensor:
    """How many samples of each bin lie on the map, (1, bins, bins)."""
    return _sampled(torch.ones_like(features[:1]), box, bins, stride, samples).sum((3, 4))


@exercise("13.3", title="RoIAlign in loops", hints=[
    "Divide the box by the stride and round nothing. sample_places(y1, y2, bins, samples) gives a list of rows for "
    "each bin p, sample_places(x1, x2, ...) a list of columns for each bin q.",
    "The value of bin (p, q) is the sum of bilinear(features, y, x) over all pairs of its rows and columns, each (C,), "
    "divided by len(rows) * len(columns): with adaptive samples the two may differ.",
    "pooled = features.new_zeros(len(features), bins, bins); x1, y1, x2, y2 = (v / stride for v in box); for p, rows "
    "in enumerate(sample_places(y1, y2, bins, samples)): for q, columns in enumerate(sample_places(x1, x2, bins, "
    "samples)): pooled[:, p, q] = sum(bilinear(features, y, x) for y in rows for x in columns) / (len(rows) * "
    "len(columns)); at the end return pooled.",
], points=3, count=12, course=roi_align_loop)
def align_in_loops(answer: Callable) -> Iterator[Case]:
    """``answer(features, box, bins, stride, samples=2)``: the mean of the samples of each bin."""
    wide, tall, cold = _features(3, 5, 8, 4), _features(2, 8, 4, 5), _features(2, 5, 7, 6) - 20
    cases = [("the toy of the text, samples not given: 2", TOY, TOY_BOX, 2, 16, ()),
             ("three channels, a map wider than high, 3 samples", wide, (18.0, 25.0, 110.0, 60.0), 2, 16, (3,)),
             ("stride 8, a map higher than wide, 1 sample", tall, (3.0, 9.0, 27.0, 50.0), 4, 8, (1,)),
             ("adaptive: rows and columns differ in number", wide, (10.0, 12.0, 90.0, 60.0), 2, 16, (-1,)),
             ("corners on halves of a cell", wide, (8.0, 24.0, 72.0, 40.0), 2, 16, (2,)),
             ("a box that leaves the map: all samples count", cold, (70.0, -40.0, 150.0, 59.2), 2, 16, (2,)),
             ("a box off the map: all 0", cold, (500.0, 20.0, 540.0, 60.0), 2, 16, (2,)),
             ("a reversed box counts as one cell", wide, (90.0, 50.0, 40.0, 30.0), 2, 16, (2,)),
             ("an empty box, adaptive", tall, (20.0, 30.0, 20.0, 30.0), 3, 8, (-1,))]
    for name, features, box, bins, stride, samples in cases:
        count = samples[0] if samples else 2
        got = answer(features, box, bins, stride, *samples)
        want = _sampled(features, box, bins, stride, count).mean((3, 4))
        form = _form(got, features, want.shape)
        yield name, not form and close(got, want, EXACT), \
            form or slip(got, want, _align_slips(features, box, bins, stride, count), EXACT)
    single, inner = wide.float(), (18.0, 25.0, 110.0, 60.0)
    got, want = answer(single, inner, 2, 16, 2), _sampled(single.double(), inner, 2, 16, 2).mean((3, 4))
    form = _form(got, single, want.shape)
    yield "float32 in, float32 out", not form and close(got, want), form or differs(got, want)
    for name, features, box, count in (("the gradient goes to every cell that was read", wide, inner, 2),
                                       ("the gradient of a box that leaves the map, adaptive", cold,
                                        (70.0, -40.0, 150.0, 59.2), -1)):
        holds, advice = _gradient(lambda f, b=box, n=count: answer(f, b, 2, 16, n),
                                  lambda f, b=box, n=count: _sampled(f, b, 2, 16, n).mean((3, 4)), features)
        yield name, holds, advice


def _align_slips(features: Tensor, box: tuple, bins: int, stride: float, samples: int) -> list[tuple[Tensor, str]]:
    """What the usual slips give."""
    grid = _sampled(features, box, bins, stride, samples)
    rows, columns = grid.shape[3:]
    total, mean = grid.sum((3, 4)), grid.mean((3, 4))
    x1, y1, x2, y2 = box
    stepped = [stride * _away(v / stride) for v in box]
    adaptive = [(total, "with -1 the number of samples is not `samples`: divide by len(rows) * len(columns)")]
    results = [(torch.zeros_like(mean), _NOTHING), *(adaptive if samples == -1 else []),
               (total, "this is the sum of the samples: divide by their number"),
               (total / rows, "divide by the number of pairs, rows times columns"),
               (total / columns, "divide by the number of pairs, rows times columns"),
               (total / rows**2, "rows and columns may differ in number: divide by len(rows) * len(columns)"),
               (total / columns**2, "rows and columns may differ in number: divide by len(rows) * len(columns)"),
               (total / (rows + columns), "divide by rows *times* columns"),
               (total / _inside(features, box, bins, stride, samples).clamp(min=1),
                "divide by all samples of the bin, also by those off the map"),
               (grid.amax((3, 4)), "this is the largest sample: asked for is the mean"),
               (_sampled(features, stepped, bins, stride, samples).mean((3, 4)),
                "the box was rounded to cells: divide by the stride, and leave it there"),
               (_sampled(features, box, bins, stride, samples, 0.5).mean((3, 4)),
                "there is no half pixel in this formula: the value of cell i is at i"),
               (_sampled(features, box, bins, stride, samples, least=0.0 if samples > 0 else 1e-9).mean((3, 4)),
                "a box of less than a cell counts as one cell: use sample_places"),
               (mean.transpose(1, 2), "rows and columns are swapped: pooled[:, p, q] has the row p, from y, first"),
               (_sampled(features, (y1, x1, y2, x2), bins, stride, samples).mean((3, 4)),
                "x and y are swapped: a box is x1, y1, x2, y2"),
               (mean.mean(0, keepdim=True).expand_as(mean), "each channel for itself: bilinear gives (C,)"),
               (_sampled(features, (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), bins, stride,
                         samples).mean((3, 4)), "do not sort the corners: a reversed box counts as one cell")]
    if samples != 2:
        results.append((_sampled(features, box, bins, stride, 2).mean((3, 4)), "2 is written where `samples` belongs"))
    if samples != 1:
        results.append((_sampled(features, box, bins, stride, 1).mean((3, 4)),
                        "this is one sample in the middle of each bin"))
    if stride != 16:
        results.append((_sampled(features, box, bins, 16, samples).mean((3, 4)),
                        "16 is written where `stride` belongs"))
    return results


@exercise("13.6", title="RoIAlign with the maximum", hints=[
    "Start from roi_align_loop: only the last line of the inner loop changes. What does `sum(...) / count` become?",
    "Collect bilinear(features, y, x), each (C,), for all y in rows and x in columns, stack to (samples^2, C) and "
    "take the maximum over the first axis.",
    "pooled[:, p, q] = torch.stack([bilinear(features, y, x) for y in rows[p] for x in columns[q]]).amax(0), with "
    "rows = sample_places(y1, y2, bins, samples), columns = sample_places(x1, x2, bins, samples) and x1, y1, x2, y2 = "
    "(v / stride for v in box).",
], points=3, count=7)
def roi_align_max(answer: Callable) -> Iterator[Case]:
    """``answer(features, box, bins, stride, samples)``: the largest sample of each bin."""
    features = _features(2, 6, 8, 3)
    cold, inner = features - 20, (11.0, 5.0, 100.0, 70.0)
    for name, f, box, bins, stride, samples in (
            ("2 x 2 samples", features, inner, 3, 16, 2),
            ("3 x 3 samples, other bins, stride 8", features, (3.0, 20.0, 50.0, 36.0), 2, 8, 3),
            ("negative features", cold, inner, 3, 16, 2),
            ("adaptive samples", features, (3.0, 20.0, 110.0, 50.0), 2, 16, -1),
            ("a box smaller than a cell", features, (40.0, 40.0, 44.0, 43.0), 2, 16, 2),
            ("a box that leaves the map", features, (90.0, 60.0, 150.0, 120.0), 2, 16, 2),
            ("negative features, a box that leaves the map: a sample off it is 0", cold, (90.0, 60.0, 150.0, 120.0), 2,
             16, 2)):
        got, grid = answer(f, box, bins, stride, samples), _sampled(f, box, bins, stride, samples)
        want, stepped = grid.amax((3, 4)), [stride * _away(v / stride) for v in box]
        on_map = _sampled(torch.ones_like(f), box, bins, stride, samples) > 0
        slips = [(grid.mean((3, 4)), "this is the mean of the samples"),
                 (want.clamp(min=0), "the maximum starts at 0, and these features are negative: start from the first "
                                     "sample"),
                 (_sampled(f, stepped, bins, stride, samples).amax((3, 4)),
                  "the box was rounded to cells: divide by the stride, and leave it there"),
                 (_sampled(f, box, bins, stride, 1).amax((3, 4)), "this is one sample in the middle of each bin"),
                 (_sampled(f, box, bins, stride, 2).amax((3, 4)), "2 is written where `samples` belongs"),
                 (want.transpose(1, 2), "rows and columns are swapped"),
                 (grid.amin((3, 4)), "this is the smallest sample"),
                 (grid.sum((3, 4)), "this is the sum of the samples"),
                 (torch.where(on_map, grid, -math.inf).amax((3, 4)).nan_to_num(neginf=0),
                  "a sample off the map takes part, with the value 0, as in `bilinear`"),
                 (roi_pool_loop(f, box, bins, stride), "this is RoIPool: the largest *cell*, in a rounded box")]
        form = not_shaped(got, want.shape, "a tensor")
        yield name, not form and close(got, want), form or slip(got, want, slips)
