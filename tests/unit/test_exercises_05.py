"""Every check of notebook 05 passes the solution, fails the stub, and names what typical wrong answers got wrong."""

import pytest
import torch
from torch.nn import functional as F

from seglab.check import check
from seglab.data import displacement_field, warp


def legal_output(size, depth, cost=4, at_bottom=True, odd=True, empty=True, pools=None):
    for _ in range(depth - 1 if pools is None else pools(depth)):
        size -= cost
        if odd and size % 2 or empty and size < 1:
            return None
        size //= 2
    size -= cost * at_bottom
    for _ in range(depth - 1):
        size = 2 * size - cost
    return size if size > 0 or not empty else None


def parameter_count(inputs, classes, base, depth, bias=1, up=True, concat=2):
    def conv(k, a, b):
        return k * k * a * b + bias * b

    widths = [base * 2**level for level in range(depth)]
    return (sum(conv(3, a, b) + conv(3, b, b) for a, b in zip([inputs, *widths], widths, strict=False))
            + sum(up * conv(2, 2 * b, b) + conv(3, concat * b, b) + conv(3, b, b) for b in widths[:-1])
            + conv(1, base, classes))


def tile_starts(size, output, multiple):
    return list(range(0, size, output // multiple * multiple))


def tiles_moved_back(size, output, multiple):
    starts = tile_starts(size, output, multiple)
    return starts[:-1] + [max(0, size - output)]


def deform(image, labels, generator, mode="nearest", twice=False, image_mode="bilinear", fixed=False, cast=True):
    generator = torch.Generator().manual_seed(7) if fixed else generator
    field = displacement_field(labels.shape, generator=generator)
    moved = warp(image, field, image_mode)
    if twice:
        field = displacement_field(labels.shape, generator=generator)
    labels_moved = warp(labels[None].float(), field, mode)[0]
    return moved, labels_moved.to(labels.dtype) if cast else labels_moved


def without(function, **changes):
    return lambda *args: function(*args, **changes)


SOLUTIONS = {"05.1": legal_output, "05.2": parameter_count, "05.3": tile_starts, "05.4": deform}
MUTANTS = [
    ("05.1", without(legal_output, cost=0), "unpadded 3x3 convolutions lose 1 px at each end"),
    ("05.1", without(legal_output, odd=False), "is odd and cannot be pooled"),
    ("05.1", without(legal_output, empty=False), "nothing is left on the way up"),
    ("05.1", without(legal_output, at_bottom=False), "you return 452"),
    ("05.1", without(legal_output, pools=lambda depth: depth), "you return"),
    ("05.2", without(parameter_count, bias=0), "the number without the biases"),
    ("05.2", without(parameter_count, up=False), "up-convolutions have parameters too"),
    ("05.2", without(parameter_count, concat=1), "reads twice the channels"),
    ("05.2", lambda *_: 31_030_658, "you return 31,030,658"),
    ("05.3", lambda size, output, multiple: list(range(0, size, output)), "off the pooling grid"),
    ("05.3", tiles_moved_back, "do not move the last tile back"),
    ("05.3", lambda size, output, multiple: tile_starts(size, output, multiple)[:-1] or [0], "you return [0, 384]"),
    ("05.3", lambda size, output, multiple: list(range(0, size - output, output // multiple * multiple)) or [0],
     "belongs to no tile"),
    ("05.3", lambda size, output, multiple: list(range(0, size, multiple)), "tiles are enough"),
    ("05.4", without(deform, mode="bilinear"), "interpolating labels invents new ones"),
    ("05.4", without(deform, twice=True), "the same field, drawn once"),
    ("05.4", without(deform, image_mode="nearest"), "the image deserves bilinear interpolation"),
    ("05.4", without(deform, fixed=True), "the generator decides"),
    ("05.4", without(deform, cast=False), "convert back"),
    ("05.4", lambda image, labels, generator: (image, labels), "the labels came back as they were"),
    ("05.4", lambda image, labels, generator: (F.pad(image, [1] * 4), labels), "drop the axes"),
]


def stub(*args):
    raise NotImplementedError


@pytest.mark.parametrize("id", SOLUTIONS)
def test_solution_passes_and_stub_fails(id, capsys):
    assert check(id, SOLUTIONS[id]), capsys.readouterr().out
    assert not check(id, stub)
    assert "not written yet" in capsys.readouterr().out


@pytest.mark.parametrize(("id", "mutant", "says"), MUTANTS)
def test_a_wrong_answer_is_told_what_is_wrong(id, mutant, says, capsys):
    assert not check(id, mutant)
    assert says in "\n".join(line for line in capsys.readouterr().out.splitlines() if line.startswith("✘"))
