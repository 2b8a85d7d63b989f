"""Checks of notebook 05: the solution and right answers in other styles pass, the blank fails, slips are named."""

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails
from torch.nn import functional as F

from seglab.data import displacement_field, warp


def center_crop(features, height, width, top=lambda rest: rest // 2):
    y, x = (top(rest) for rest in (features.shape[-2] - height, features.shape[-1] - width))
    return features[..., y:y + height, x:x + width]


def by_negative_padding(features, height, width):
    down, right = features.shape[2] - height, features.shape[3] - width
    return F.pad(features, (-(right // 2), -(right - right // 2), -(down // 2), -(down - down // 2)))


def by_index(features, height, width):
    rows = torch.arange(height) + (features.shape[2] - height) // 2
    columns = torch.arange(width) + (features.shape[3] - width) // 2
    return features.index_select(2, rows).index_select(3, columns)


def sizes(size, depth=5, cost=4, odd=True, empty=True, pools=lambda depth: depth - 1, first=True, bottom=True):
    path = [size] if first else []
    for level in range(2 * depth - 1):
        if 0 < level <= pools(depth):
            if odd and size % 2:
                return None
            size //= 2
        if level >= depth:
            size *= 2
        size -= cost if bottom or level != depth - 1 else 0
        if empty and size < 1:
            return None
        path.append(size)
    return path


def sizes_recursive(size, depth=5):
    """NumPy integers in a tuple, by recursion."""
    def below(side, level):
        side = side - 4
        if side < 1:
            return None
        if level == depth:
            return (side,)
        if side % 2:
            return None
        rest = below(side // 2, level + 1)
        if rest is None or 2 * rest[-1] - 4 < 1:
            return None
        return (side, *rest, 2 * rest[-1] - 4)

    rest = below(np.int64(size), 1)
    return None if rest is None else (size, *rest)


def parameter_count(inputs, classes, base, depth, bias=1, up=True, concat=2):
    def conv(k, a, b):
        return k * k * a * b + bias * b

    widths = [base * 2**level for level in range(depth)]
    return (sum(conv(3, a, b) + conv(3, b, b) for a, b in zip([inputs, *widths], widths, strict=False))
            + sum(up * conv(2, 2 * b, b) + conv(3, concat * b, b) + conv(3, b, b) for b in widths[:-1])
            + conv(1, base, classes))


def tile_starts(size, output, multiple):
    step = output // multiple * multiple
    return list(range(0, max(size - output, 0) + step, step))[:1 + max(0, -(-(size - output) // step))]


def one_at_a_time(size, output, multiple):
    starts = [0]
    while starts[-1] + output < size:
        starts.append(starts[-1] + output // multiple * multiple)
    return np.array(starts)


def from_the_end(size, output, multiple):
    """Another valid set: the last tile as far left as it may be."""
    starts = tile_starts(size, output, multiple)
    last = -(-max(size - output, 0) // multiple) * multiple
    return torch.tensor([*starts[:-1], last])


def tiles_moved_back(size, output, multiple):
    starts = tile_starts(size, output, multiple)
    return starts[:-1] + [max(0, size - output)]


def deform(image, labels, generator, mode="nearest", twice=False, image_mode="bilinear", fixed=False, cast=True,
           sigma=10.0, shift=False):
    generator = torch.Generator().manual_seed(7) if fixed else generator
    field = displacement_field(labels.shape, sigma=sigma, generator=generator)
    if shift:
        field = field[:, :1, :1].expand_as(field) * 1
    moved = warp(image, field, image_mode)
    if twice:
        field = displacement_field(labels.shape, generator=generator)
    labels_moved = warp(labels[None].float(), field, mode)[0]
    return moved, labels_moved.to(labels.dtype) if cast else labels_moved


def without(function, **changes):
    return lambda *args: function(*args, **changes)


def half_precision(image, labels, generator):
    field = displacement_field(labels.shape, generator=generator)
    return warp(image, field), warp(labels[None].half().float(), field, "nearest")[0].to(labels.dtype)


def deform_in_double(image, labels, generator):
    field = displacement_field(labels.shape, generator=generator)
    return warp(image, field), warp(labels[None].double(), field.double(), "nearest").long()[0]


def paints_the_image(image, labels, generator):
    moved = deform(image, labels, generator)
    image.zero_()
    return moved


SOLUTIONS = {"05.1": center_crop, "05.2": sizes, "05.3": parameter_count, "05.4": tile_starts, "05.5": deform}
OTHERS = [
    ("05.1", by_negative_padding), ("05.1", by_index), ("05.1", lambda f, h, w: center_crop(f, h, w).contiguous()),
    ("05.2", sizes_recursive), ("05.2", lambda *a: sizes(*a) and tuple(sizes(*a))),
    ("05.2", lambda size, depth=5: None if sizes(size, depth) is None else list(np.array(sizes(size, depth)))),
    ("05.3", lambda *a: float(parameter_count(*a))), ("05.3", lambda *a: np.int64(parameter_count(*a))),
    ("05.3", lambda i, c, b, d: torch.tensor(parameter_count(i, c, b, d))),
    ("05.4", one_at_a_time), ("05.4", from_the_end), ("05.4", lambda *a: tuple(tile_starts(*a))),
    ("05.4", lambda *a: (s for s in tile_starts(*a))),
    ("05.5", lambda *a: list(deform(*a))),
    ("05.5", lambda image, labels, generator: tuple(part.to(kind) for part, kind in zip(
        deform(image.double(), labels, generator), (torch.float32, labels.dtype)))),
    ("05.5", deform_in_double),
]
MUTANTS = [
    ("05.1", lambda f, h, w: f[..., :h, :w], "upper left corner"),
    ("05.1", lambda f, h, w: f[..., -h:, -w:], "lower right corner"),
    ("05.1", without(center_crop, top=lambda rest: (rest + 1) // 2), "the smaller half goes at the top"),
    ("05.1", without(center_crop, top=lambda rest: rest // 4), "at ("),
    ("05.1", lambda f, h, w: center_crop(f, w, h), "height comes first"),
    ("05.1", lambda f, h, w: center_crop(f, h, h), "return features of shape"),
    ("05.1", lambda f, h, w: f[..., (f.shape[2] - h) // 2:-(f.shape[2] - h) // 2, (f.shape[3] - w) // 2:
                               -(f.shape[3] - w) // 2], "return features of shape"),
    ("05.1", lambda f, h, w: center_crop(f, h, w).detach(), "cuts the gradient"),
    ("05.1", lambda f, h, w: F.adaptive_max_pool2d(f, (h, w)), "at ("),
    ("05.1", lambda f, h, w: center_crop(f, h, w)[0], "return features of shape"),
    ("05.1", without(center_crop, top=lambda rest: round(rest / 2)), "rounded down by //"),
    ("05.2", lambda *a: sizes(*a) and [float(side) for side in sizes(*a)], "a list of whole numbers"),
    ("05.2", lambda *a: sizes(*a) and np.array(sizes(*a)), "a list of whole numbers"),
    ("05.4", lambda size, output, multiple: [s - multiple for s in tile_starts(size, output, multiple)] if size == 1
     else tile_starts(size, output, multiple), "in front of the picture"),
    ("05.2", without(sizes, cost=2), "after double convolution 1 you have 18 px, it should be 16"),
    ("05.2", without(sizes, cost=0), "a 3x3 convolution without padding costs 2 px"),
    ("05.2", without(sizes, odd=False), "is odd and cannot be pooled"),
    ("05.2", without(sizes, empty=False), "nothing is left on the way up"),
    ("05.2", without(sizes, bottom=False), "after double convolution 5 you have 32"),
    ("05.2", without(sizes, pools=lambda depth: depth), "after double convolution"),
    ("05.2", without(sizes, pools=lambda depth: min(depth, 5) - 1), "at depth"),
    ("05.2", without(sizes, first=False), "comes first in the list"),
    ("05.2", lambda size, depth=5: (sizes(size, depth) or [None])[-1], "the last side alone"),
    ("05.2", lambda size, depth=5: sizes(size, 5), "at depth"),
    ("05.2", lambda size, depth=5: sizes(size, depth) if size % 2**(depth - 1) == 12 % 2**(depth - 1) else None,
     "380 px at depth 6 is legal"),
    ("05.3", without(parameter_count, bias=0), "the number without the biases"),
    ("05.3", without(parameter_count, up=False), "up-convolutions have parameters too"),
    ("05.3", without(parameter_count, concat=1), "reads twice the channels"),
    ("05.3", lambda *_: 31_030_658, "you return 3.103e+07"),
    ("05.3", lambda i, c, b, d: parameter_count(1, c, b, d), "you return"),
    ("05.3", lambda i, c, b, d: parameter_count(i, 2, b, d), "you return"),
    ("05.3", lambda i, c, b, d: parameter_count(i, c, 64, d), "you return"),
    ("05.3", lambda i, c, b, d: parameter_count(i, c, b, 5), "you return"),
    ("05.4", lambda size, output, multiple: list(range(0, size, output)), "stepping by it leaves the pooling grid"),
    ("05.4", tiles_moved_back, "do not move the last tile back"),
    ("05.4", lambda size, output, multiple: tile_starts(size, output, multiple)[:-1] or [0], "belongs to no tile"),
    ("05.4", lambda size, output, multiple: list(range(0, size - output, output // multiple * multiple)) or [0],
     "belongs to no tile"),
    ("05.4", lambda size, output, multiple: list(range(0, size, multiple)), "the last tile is"),
    ("05.4", lambda size, output, multiple: list(range(0, size, output // multiple * multiple)), "1 is enough"),
    ("05.4", lambda size, output, multiple: list(range(0, size + 1, output // multiple * multiple)), "you return 2"),
    ("05.4", lambda size, output, multiple: [s + 4 for s in tile_starts(size, output, multiple)], "belongs to no tile"),
    ("05.4", lambda size, output, multiple: len(tile_starts(size, output, multiple)), "return a list of numbers"),
    ("05.5", without(deform, mode="bilinear"), "interpolating labels invents new ones"),
    ("05.5", without(deform, twice=True), "the same field, drawn once"),
    ("05.5", without(deform, image_mode="nearest"), "the image deserves bilinear interpolation"),
    ("05.5", without(deform, fixed=True), "the generator decides"),
    ("05.5", without(deform, cast=False), "convert back"),
    ("05.5", without(deform, sigma=3.0), "leave sigma alone"),
    ("05.5", without(deform, shift=True), "one shift for all pixels"),
    ("05.5", half_precision, "half precision rounds large ids"),
    ("05.5", paints_the_image, "it changes `image`"),
    ("05.5", lambda image, labels, generator: (image, labels), "the labels came back as they were"),
    ("05.5", lambda image, labels, generator: (F.pad(image, [1] * 4), labels), "drop the axes"),
    ("05.5", lambda image, labels, generator: deform(image, labels, generator)[1], "return two things"),
    ("05.5", lambda image, labels, generator: print(end=""), "is there a `return`?"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_solution_passes_and_stub_fails(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize(("id", "answer"), OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize(("id", "mutant", "says"), MUTANTS)
def test_a_wrong_answer_is_told_what_is_wrong(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)
