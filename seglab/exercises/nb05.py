"""Checks of the exercises of notebook 05, U-Net."""

from collections.abc import Iterator

import torch

from seglab.exercises import Case, exercise
from seglab.models import UNet, legal_sizes, output_size


@exercise("05.1", title="Which sizes are legal", hints=[
    "Walk down first: each double convolution costs 4 px, and before each pooling the side has to be even.",
    "After the last level there is no pooling. On the way up every level doubles the side, then costs 4 px again.",
    "for each of the depth - 1 poolings: size -= 4; if size % 2: return None; size //= 2. Then size -= 4 for the "
    "bottom, and depth - 1 times size = 2 * size - 4. Return None whenever size drops to 0 or below.",
], points=2, count=5)
def legal_output(answer) -> Iterator[Case]:
    """``answer(size, depth)``: output side of a valid U-Net, or None."""
    yield "572 px gives 388 px at depth 5", answer(572, 5) == 388, _walked(answer(572, 5))
    yield "188 px is the smallest legal side at depth 5 and gives 4 px", answer(188, 5) == 4, \
        f"you return {answer(188, 5)!r}; 188 -> 92 -> 44 -> 20 -> 8 px after the poolings, and 4 px after the bottom"
    yield "570 px is illegal at depth 5", answer(570, 5) is None, \
        f"you return {answer(570, 5)!r}, but 283 - 4 = 279 px is odd and cannot be pooled by 2: test every level"
    yield "172 px is illegal at depth 5", answer(172, 5) is None, \
        f"you return {answer(172, 5)!r}, but nothing is left on the way up: a side of 0 px or less is no output"
    wrong = [(s, d) for d in (1, 2, 3, 4) for s in range(1, 150) if answer(s, d) != _true_output(s, d)]
    first = wrong[0] if wrong else None
    yield "all sides up to 149 px at depths 1 to 4", not wrong, \
        first and (f"at depth {first[1]}, {first[0]} px gives {_true_output(*first)!r}, "
                   f"you return {answer(*first)!r}; does the bottom level pool?")


def _true_output(size: int, depth: int) -> int | None:
    return output_size(size, depth) if size in legal_sizes(size, depth) else None


def _walked(got: object) -> str:
    if got == 380:
        return "you return 380: one double convolution of 4 px at the bottom costs once, not once down and once up"
    if got is None:
        return "you return None: unpadded 3x3 convolutions lose 1 px at each end, so a double one costs 4 px, " \
            "and with that every side before a pooling is even"
    return f"you return {got!r}; follow the numbers of the drawn U, level by level"


@exercise("05.2", title="Parameters of a U-Net", hints=[
    "A convolution from a to b channels with a k x k kernel has k*k*a*b weights and b biases.",
    "Down, level i has base * 2**i channels. An up step halves the channels; after the concatenation they are back.",
    "Sum conv(3, a, b) + conv(3, b, b) on every level down, then on the way up conv(2, 2b, b) + conv(3, 2b, b) + "
    "conv(3, b, b), and conv(1, base, num_classes) at the end.",
], points=3, count=4)
def parameter_count(answer) -> Iterator[Case]:
    """``answer(in_channels, num_classes, base_channels, depth)``: number of parameters."""
    got = answer(1, 2, 64, 5)
    reasons = {
        31_030_658 - _biases(1, 2, 64, 5): "that is the number without the biases, one for every output channel",
        31_030_658 - _ups(64, 5): "the 2x2 up-convolutions have parameters too",
        31_030_658 - _concat(64, 5): "after the concatenation the first 3x3 convolution reads twice the channels",
    }
    yield "the paper's network has 31,030,658", got == 31_030_658, \
        f"you return {got:,}: " + reasons.get(got, "compare level by level with the sizes of net.named_parameters()")
    for case in ((3, 5, 8, 3), (1, 1, 4, 1), (2, 2, 16, 2)):
        true = sum(p.numel() for p in UNet(*case).parameters())
        got = answer(*case)
        yield f"in_channels, num_classes, base_channels, depth = {case}: {true:,}", got == true, f"you return {got:,}"


def _biases(in_channels, num_classes, base, depth):
    return sum(p.numel() for p in UNet(in_channels, num_classes, base, depth).parameters() if p.ndim == 1)


def _ups(base, depth):
    return sum(4 * 2 * w * w + w for w in (base * 2**level for level in range(depth - 1)))


def _concat(base, depth):
    return sum(9 * w * w for w in (base * 2**level for level in range(depth - 1)))


@exercise("05.3", title="Where the tiles start", hints=[
    "Tiles may overlap, they must not leave gaps, and every start has to be on the pooling grid.",
    "Step by the largest multiple of `multiple` that is not larger than the tile's output.",
    "step = output // multiple * multiple; list(range(0, size, step)). What sticks out at the end is cut off.",
], points=2, count=16)
def tile_starts(answer) -> Iterator[Case]:
    """``answer(size, output, multiple)``: starts of the output tiles along one axis."""
    starts = list(answer(1000, 388, 16))
    advice = "388 is no multiple of 16: stepping by it puts every second tile off the pooling grid" \
        if 388 in starts else f"you return {starts}"
    yield "1000 px, output 388, multiple 16: starts 0, 384, 768", starts == [0, 384, 768], advice
    for size, output, multiple in ((1, 52, 8), (52, 52, 8), (104, 52, 8), (49, 20, 4), (300, 44, 4)):
        starts = list(answer(size, output, multiple))
        name = f"{size} px, output {output}, multiple {multiple}"
        covered = {p for s in starts for p in range(s, s + output)}
        missing = sorted(set(range(size)) - covered)
        yield f"{name}: every pixel is covered", not missing, \
            f"with the starts {starts} pixel {missing[0] if missing else ''} belongs to no tile"
        yield f"{name}: all starts on phase", all(s % multiple == 0 for s in starts), \
            f"{[s for s in starts if s % multiple]} are no multiples of {multiple}: do not move the last tile back"
        least = -(-size // (output // multiple * multiple))
        yield f"{name}: no tile too many", len(starts) == least, f"{least} tiles are enough, you return {len(starts)}"


@exercise("05.4", title="Deform image and labels together", hints=[
    "One call draws one field. Draw it once, use it twice.",
    "Grey values between two pixels make sense, labels between two labels do not: pass mode='nearest' for them.",
    "field = elastic_field(*image.shape[-2:], generator=generator); return warp(image, field), "
    "warp(labels[None].float(), field, 'nearest')[0].to(labels.dtype).",
], points=3, count=7)
def deform_together(answer) -> Iterator[Case]:
    """``answer(image, labels, generator)``: both deformed by one field."""
    stripes = (torch.arange(48) // 6 * 40).repeat(64, 1)
    image = stripes[None].float()
    moved, labels = answer(image, stripes, torch.Generator().manual_seed(0))
    yield "image and labels keep their shapes", moved.shape == image.shape and labels.shape == stripes.shape, \
        f"got {tuple(moved.shape)} and {tuple(labels.shape)}: drop the axes that warp needed"
    yield "something moves", not torch.equal(labels, stripes), "the labels came back as they were"
    yield "no label that was not there before", set(labels.unique().tolist()) <= set(stripes.unique().tolist()), \
        "interpolating labels invents new ones between 40 and 80: use nearest neighbour for them"
    yield "labels keep their integer type", labels.dtype == stripes.dtype, \
        f"got {labels.dtype}; convert back with .to(labels.dtype)"
    agree = ((moved[0] - labels).abs() <= 40).float().mean().item()
    inner = (moved[0] - labels).abs() < 1
    yield "image and labels still lie on each other", agree == 1 and inner.float().mean() > 0.5, \
        "the label under a pixel is not the stripe seen there: both must be moved by the same field, drawn once"
    yield "grey values are interpolated", bool((moved % 40 != 0).any()), \
        "only grey values of the original occur: the image deserves bilinear interpolation"
    again = answer(image, stripes, torch.Generator().manual_seed(0))
    other = answer(image, stripes, torch.Generator().manual_seed(1))
    yield "the generator decides", torch.equal(again[1], labels) and not torch.equal(other[1], labels), \
        "the same generator must give the same field and another one another: hand it on to elastic_field"
