"""Checks of the exercises of notebook 05, U-Net."""

from collections.abc import Callable, Iterator
from numbers import Integral

import torch
from torch.nn import functional as F

from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, differs, not_shaped, short, slip
from seglab.models import UNet, legal_sizes
from seglab.models.unet import DoubleConv, center_crop


@exercise("05.1", title="The centre of the skip", hints=[
    "How many rows are there too many? Half of them go at the top, the rest at the bottom, and the same for columns.",
    "top = (features.shape[-2] - height) // 2. The crop starts there and is `height` rows high.",
    "left likewise from shape[-1] and width; return features[..., top:top + height, left:left + width].",
], points=2, count=6, course=center_crop)
def centre(answer: Callable) -> Iterator[Case]:
    """``answer(features, height, width)``: the central height x width px of (N, C, H, W)."""
    ramp = torch.arange(1.0, 2 * 3 * 11 * 14 + 1).view(2, 3, 11, 14)
    cases = [("24 px -> 16 px, as in the text", torch.rand(1, 8, 24, 24), 16, 16),
             ("rows and columns differ", ramp[:, :, :10], 4, 8), ("an odd rest in both", ramp, 6, 5),
             ("nothing to cut", ramp, 11, 14), ("one pixel left", ramp[:, :, :9, :9], 1, 1)]
    for name, features, height, width in cases:
        got = answer(features, height, width)
        rest = features.shape[-2] - height, features.shape[-1] - width
        want = F.pad(features, [-(rest[1] // 2), rest[1] // 2 - rest[1], -(rest[0] // 2), rest[0] // 2 - rest[0]])
        form = not_shaped(got, want.shape, "features")
        if form and height != width and not not_shaped(got, want.transpose(2, 3).shape):
            form += ": height comes first"
        advice = form or slip(got, want, [
            (features[..., :height, :width], "this is the upper left corner: the centre was asked for"),
            (features[..., rest[0]:, rest[1]:], "this is the lower right corner: cut half of what is too much on each "
                                                "side"),
            (F.pad(features, [rest[1] // 2 - rest[1], -(rest[1] // 2), rest[0] // 2 - rest[0], -(rest[0] // 2)]),
             "an odd rest: the smaller half goes at the top and at the left (//)")])
        right = not form and close(got, want)
        if right and rest[0] % 2 and rest[1] % 2:              # a half is rounded to even by round(): ask both kinds
            more = answer(ramp[:, :, :10, :12], 7, 5)
            right, advice = close(more, ramp[:, :, 1:8, 3:8]), \
                "(10, 12) -> (7, 5): the smaller half goes at the top and at the left, rounded down by //"
        yield f"{name}: {tuple(features.shape[-2:])} -> {(height, width)}", right, advice
    leaf = torch.rand(1, 2, 7, 7, requires_grad=True)
    got = answer(leaf, 3, 3)
    flows = isinstance(got, torch.Tensor) and got.requires_grad
    yield "gradients flow through the crop", flows and close(torch.autograd.grad(got.sum(), leaf)[0].sum(), 18), \
        "crop by slicing the tensor itself: a copy through NumPy or detach() cuts the gradient"


def sizes(size: int, depth: int = 5) -> list[int] | None:
    """``[size, side after each of the 2 depth - 1 double convolutions]`` in px, None if ``size`` is illegal."""
    down, up = [size - 4], []
    for _ in range(depth - 1):
        down.append(down[-1] / 2 - 4)
    side = down[-1]
    for _ in range(depth - 1):
        side = 2 * side - 4
        up.append(side)
    path = [size, *down, *up]
    return [int(s) for s in path] if all(s == int(s) and s > 0 for s in path) else None


def _seen(size: int, depth: int) -> list[int]:
    """The sides in a real network, from its hooks."""
    with torch.device("meta"):
        net, seen = UNet(base_channels=1, depth=depth), [size]
        for block in [m for m in net.modules() if isinstance(m, DoubleConv)]:
            block.register_forward_hook(lambda _, __, out: seen.append(out.shape[-1]))
        net(torch.empty(1, 1, size, size))
    return seen


@exercise("05.2", title="Every size on the way", hints=[
    "Walk through the 2 * depth - 1 double convolutions. Before which of them is a pooling, before which an up-step?",
    "Levels 1 ... depth - 1 begin with a pooling (an odd side: return None), levels depth ... 2 * depth - 2 with a "
    "doubling. Each then costs 4 px.",
    "for level in range(2 * depth - 1): if 0 < level < depth: (odd? return None) size //= 2; if level >= depth: "
    "size *= 2; size -= 4; if size < 1: return None; append.",
], points=3, count=8, course=sizes)
def every_size(answer: Callable) -> Iterator[Case]:
    """``answer(size, depth=5)``: list of sides, or None."""
    paper = _seen(572, 5)
    got = answer(572)
    whole = isinstance(got, list | tuple) and all(isinstance(side, Integral) for side in got)
    advice = "return a list of whole numbers, on which the chapter can go on: // and not /" \
        if close(got, paper) else _path_advice(got, paper)
    yield "572 px at depth 5: the ten sides of the paper's figure", whole and close(got, paper), advice
    got = answer(188, 5)
    yield "188 px, the smallest legal side at depth 5", close(got, _seen(188, 5)), _path_advice(got, _seen(188, 5))
    for size, why in ((570, "283 - 4 = 279 px is odd and cannot be pooled: ask at every level"),
                      (172, "nothing is left on the way up: a side of 0 px or less is no output")):
        got = answer(size, 5)
        yield f"{size} px is illegal at depth 5: None", got is None, f"you return {short(got)}, but {why}"
    for size, depth in ((20, 1), (44, 2), (140, 4)):
        want, got = _seen(size, depth), answer(size, depth)
        yield f"{size} px at depth {depth}: {want}", close(got, want), _path_advice(got, want)
    wrong = [(s, d) for d in (1, 2, 3, 6, 7) for s in (*range(1, 90), *range(380, 420), *range(760, 800))
             if (answer(s, d) is None) != (s not in legal_sizes(s, d))]
    first = wrong[0] if wrong else (0, 1)
    legal = first[0] in legal_sizes(*first)
    yield "legal and illegal sides at depths 1, 2, 3, 6 and 7", not wrong, \
        f"{first[0]} px at depth {first[1]} is {'legal' if legal else 'illegal'}; does the bottom level pool?"


def _path_advice(got: object, want: list[int]) -> str:
    if got is None:
        return f"you return None, it should be {want}: a 3x3 convolution without padding costs 2 px, a double one 4"
    if close(got, want[1:]):
        return "the side that goes in comes first in the list"
    if close(got, want[-1]):
        return "that is the last side alone: return all of them, in a list"
    try:
        path = [float(side) for side in got]
    except (TypeError, ValueError):
        return f"return a list of numbers, not {short(got)}"
    place = next((k for k, (a, b) in enumerate(zip(path, want)) if a != b), min(len(path), len(want)))
    if place >= len(path) or place >= len(want):
        return f"{len(path)} sides, there should be {len(want)}: the one that goes in, and one for each of the " \
            f"{len(want) - 1} double convolutions"
    return f"after double convolution {place} you have {path[place]:g} px, it should be {want[place]}"


@exercise("05.3", title="Parameters of a U-Net", hints=[
    "A convolution from a to b channels with a k x k kernel has k*k*a*b weights and b biases.",
    "Down, level i has base * 2**i channels. An up step halves the channels; after the concatenation they are back.",
    "Sum conv(3, a, b) + conv(3, b, b) on every level down, then on the way up conv(2, 2b, b) + conv(3, 2b, b) + "
    "conv(3, b, b), and conv(1, base, num_classes) at the end.",
], points=3, count=4)
def parameter_count(answer) -> Iterator[Case]:
    """``answer(in_channels, num_classes, base_channels, depth)``: number of parameters."""
    got = answer(1, 2, 64, 5)
    slips = {
        31_030_658 - _biases(1, 2, 64, 5): "that is the number without the biases, one for every output channel",
        31_030_658 - _ups(64, 5): "the 2x2 up-convolutions have parameters too",
        31_030_658 - _concat(64, 5): "after the concatenation the first 3x3 convolution reads twice the channels",
    }
    yield "the paper's network has 31,030,658", close(got, 31_030_658, 0), \
        slip(got, 31_030_658, slips, 0) + "; net.named_parameters() has the sizes level by level"
    for case in ((3, 5, 8, 3), (1, 1, 4, 1), (2, 2, 16, 2)):
        true = sum(p.numel() for p in UNet(*case).parameters())
        got = answer(*case)
        yield f"in_channels, num_classes, base_channels, depth = {case}: {true:,}", close(got, true, 0), \
            differs(got, true, 0)


def _biases(in_channels, num_classes, base, depth):
    return sum(p.numel() for p in UNet(in_channels, num_classes, base, depth).parameters() if p.ndim == 1)


def _ups(base, depth):
    return sum(4 * 2 * w * w + w for w in (base * 2**level for level in range(depth - 1)))


def _concat(base, depth):
    return sum(9 * w * w for w in (base * 2**level for level in range(depth - 1)))


@exercise("05.4", title="Where the tiles start", hints=[
    "Tiles may overlap, they must not leave gaps, and every start has to be on the pooling grid.",
    "Step by the largest multiple of `multiple` that is not larger than the output, until a tile reaches the end.",
    "starts, step = [0], output // multiple * multiple; while starts[-1] + output < size: append starts[-1] + step. "
    "What sticks out at the end is cut off.",
], points=2, count=28)
def tile_starts(answer: Callable) -> Iterator[Case]:
    """``answer(size, output, multiple)``: starts of the output tiles along one axis."""
    for size, output, multiple in ((1000, 388, 16), (1, 52, 8), (52, 52, 8), (53, 52, 8), (100, 52, 8), (104, 52, 8),
                                   (49, 20, 4), (300, 44, 4), (17, 4, 4)):
        name = f"{size} px, output {output}, multiple {multiple}"
        got = answer(size, output, multiple)
        try:
            starts = [float(s) for s in got]
        except (TypeError, ValueError):
            yield f"{name}: a list of starts", False, f"return a list of numbers, not {short(got)}"
            return
        covered = {p for s in starts for p in range(int(s), int(s) + output)}
        missing = sorted(set(range(size)) - covered)
        yield f"{name}: every pixel is covered", not missing, \
            f"with the starts {short(starts)} pixel {missing[0] if missing else ''} belongs to no tile"
        off = [f"{s:g}" for s in starts if s % multiple]
        yield f"{name}: all starts on phase", not off, \
            f"{', '.join(off[:3])} {'is no multiple' if len(off) == 1 else 'are no multiples'} of {multiple}: " + (
                f"{output} itself is none, and stepping by it leaves the pooling grid"
                if off and float(off[0]) % output == 0 else "do not move the last tile back")
        least = 1 + max(0, -(-(size - output) // (output // multiple * multiple)))
        yield f"{name}: {least} {'tile' if least == 1 else 'tiles'}, none too many", len(starts) <= least, \
            f"{least} {'is' if least == 1 else 'are'} enough, you return {len(starts)}: " \
            f"the last tile is {output} px wide"
    starts = [float(start) for size in (1, 100) for start in answer(size, 52, 8)]
    yield "the starts are whole numbers", all(s.is_integer() and s >= 0 for s in starts), \
        "an index is an integer, and none lies in front of the picture"


@exercise("05.5", title="Deform image and labels together", hints=[
    "One call draws one field. Draw it once, use it twice.",
    "Grey values between two pixels make sense, labels between two labels do not: pass mode='nearest' for them.",
    "field = elastic_field(*image.shape[-2:], generator=generator); return warp(image, field), "
    "warp(labels[None].float(), field, 'nearest')[0].to(labels.dtype).",
], points=3, count=9)
def deform_together(answer: Callable) -> Iterator[Case]:
    """``answer(image, labels, generator)``: both deformed by one field."""
    stripes = (torch.arange(48) // 6 * 40).repeat(64, 1)
    image = stripes[None].float()
    pair = answer(image, stripes, torch.Generator().manual_seed(0))
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        yield "image and labels come back", False, f"return two things, image and labels, not {short(pair)}"
        return
    form = not_shaped(pair[0], image.shape, "an image") or not_shaped(pair[1], stripes.shape, "labels")
    yield "image and labels keep their shapes", not form, f"{form}: drop the axes that warp needed"
    if form:
        return
    moved, labels = (torch.as_tensor(part) for part in pair)
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
    again, other = (answer(image, stripes, torch.Generator().manual_seed(k)) for k in (0, 1))
    yield "the generator decides", close(again[1], labels) and not close(other[1], labels), \
        "the same generator must give the same field and another one another: hand it on to elastic_field"
    rows = torch.arange(64.0)[:, None].expand(64, 48)
    moves = [(torch.as_tensor(answer(rows[None], stripes, torch.Generator().manual_seed(k))[0])[0] - rows)[12:-12]
             for k in range(6)]
    bends = sum(float(move.std()) for move in moves) / 6
    yield "every pixel moves on its own, smoothly, by elastic_field's 10 px", 2 < bends < 8, \
        "one shift for all pixels is no deformation: elastic_field gives each a displacement" if bends < 1 else \
        f"the displacement varies by {bends:.1f} px within a picture, about 4 px was to be expected: leave sigma alone"
    fine = torch.arange(64 * 48).view(64, 48)
    got = torch.as_tensor(answer(rows[None], fine, torch.Generator().manual_seed(3))[1])
    yield "ids above 2048 survive", bool(((got > 2048) & (got % 2 == 1)).any()), \
        "half precision rounds large ids: warp the labels in float32"
