"""Checks of the exercises in notebook 02, classic methods."""

from collections.abc import Callable, Iterator

import numpy as np

from seglab.classic import threshold_otsu
from seglab.exercises import Case, exercise
from seglab.exercises.answers import MISSING, close, not_shaped, numbers, short, slip


def _otsu_pictures() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    uneven = np.array([[10] * 30 + [11] * 20 + [60] * 3 + [70] * 3])  # few bright pixels: the weights matter
    return {"the sixteen pixels of the text": np.array([[1, 1, 2, 7], [1, 2, 2, 8], [2, 1, 8, 9], [1, 2, 7, 8]]),
            "a few bright pixels": uneven,
            "two values only": np.array([[3, 9], [9, 9]]),
            "noise": rng.integers(0, 40, (12, 12)),
            "five pixels": np.array([[0, 2, 3, 5, 7]]),
            "one bright pixel": np.array([[4, 4, 5, 4, 90]]),
            "a skewed picture": (255 * rng.random((20, 20)) ** 4).astype(np.uint8)}


@exercise("02.1", title="Otsu by what is left", hints=[
    "For each grey value t, split the pixels into `image[image <= t]` and `image[image > t]`.",
    "Each class contributes its share of the pixels times its variance: low.size / image.size * low.var().",
    "Leave the largest grey value out of the loop: nothing lies above it. Return the t with the *smallest* sum, for "
    "example with min(values, key=...).",
], points=2, count=7)
def otsu_within(answer: Callable) -> Iterator[Case]:
    """``answer(image)``: Otsu's threshold of an integer picture."""
    for name, image in _otsu_pictures().items():
        got, want = answer(image), int(threshold_otsu(image))
        values = np.unique(image)
        advice = _why_not_otsu(numbers(got), want, image, values)
        yield f"{name}: t = {want}", close(got, want), MISSING if got is None else advice


def _why_not_otsu(got: np.ndarray | None, want: int, image: np.ndarray, values: np.ndarray) -> str:
    if got is None or got.ndim:
        return "a single grey value is wanted, got " + ("no number" if got is None else f"shape {got.shape}")
    if got not in values:
        return f"{got:g} is no grey value of the picture; return t itself, not its place or a variance"
    sample = {t: sum(part.size * part.var(ddof=1) if part.size > 1 else np.inf
                     for part in (image[image <= t], image[image > t])) for t in values[:-1]}
    if min(sample, key=lambda t: sample[t]) == got:
        return f"got {got:g}: that is the sample variance, which divides by n - 1; var() without ddof is asked for"
    if got == values[-1] or got == values[0] and want != values[0]:
        return (f"got {got:g}, an extreme of the picture: one class is (nearly) empty there. Is the sum minimised, and "
                "is each variance weighted by the share of its class?")
    if got == values[np.searchsorted(values, want) + 1]:
        return f"got {got:g}, one grey value too high: t itself belongs to the dark class (<= t)"
    return f"got {got:g}, the least within-class variance is at {want}. Is each variance weighted by its share?"


def _tiles(image: np.ndarray, tile: int) -> np.ndarray:
    mask = np.zeros(image.shape, bool)
    for y in range(0, image.shape[0], tile):
        for x in range(0, image.shape[1], tile):
            part = image[y : y + tile, x : x + tile]
            mask[y : y + tile, x : x + tile] = part > threshold_otsu(part)
    return mask


@exercise("02.2", title="One threshold a tile", hints=[
    "Two loops: y over range(0, height, tile), x over range(0, width, tile). NumPy cuts a slice that runs over the "
    "edge by itself.",
    "`part = image[y:y + tile, x:x + tile]`, and the same slice of the mask gets `part > otsu(part)`.",
    "If part.min() == part.max() there is nothing to separate: leave the mask False there.",
], points=2, count=6)
def otsu_tiles(answer: Callable) -> Iterator[Case]:
    """``answer(image, tile)``: mask of each tile above its own threshold."""
    rng = np.random.default_rng(3)
    ramp = (np.arange(48) * 4)[None] + 60 * (rng.random((32, 48)) < 0.3) + rng.integers(0, 5, (32, 48))
    cases = {"48 x 32 px in tiles of 16": (ramp, 16), "tiles of 20 px that do not fit": (ramp, 20),
             "one tile larger than the picture": (ramp, 64), "tiles of 7 px on 29 x 41 px": (ramp[:29, :41], 7)}
    for name, (image, tile) in cases.items():
        got, want = answer(image, tile), _tiles(image, tile)
        wrong = _mask_advice(got, want)
        if not wrong and not close(got, want):
            mask, fits = numbers(got) > 0, [side // tile * tile for side in image.shape]
            if close(mask, image > threshold_otsu(image)):
                wrong = "this is one threshold for the whole picture: call otsu on the tile"
            elif close(mask[: fits[0], : fits[1]], want[: fits[0], : fits[1]]):
                wrong = "the smaller tiles at the right or bottom edge are missing: let the loops run to the end"
            elif (mask >= want).all():
                wrong = "too much is foreground: Otsu's value itself is dark, object is strictly >"
            else:
                wrong = f"{(mask != want).sum()} pixels differ from a threshold for each tile"
        yield name, not wrong, wrong
    flat = np.full((8, 8), 7)
    flat[:4, :4] = rng.integers(0, 9, (4, 4))
    for name, image in (("a tile with one grey value has no object", flat), ("nor has one that is all zero", flat * 0)):
        got = answer(image, 4)
        wrong = _mask_advice(got, image > 0)
        yield name, not wrong and not numbers(got)[4:].any(), \
            wrong or "a constant tile must stay False: nothing in it stands out"


def _mask_advice(got: object, want: np.ndarray) -> str:
    """What is wrong with the form of a mask, in words; empty when the form is right."""
    form = not_shaped(got, want.shape, "a mask")
    if form or str(getattr(got, "dtype", np.asarray(got).dtype)).endswith("bool"):
        return form
    return f"a boolean mask is wanted, got {np.asarray(got).dtype}"


@exercise("02.3", title="The Laplacian of a row", hints=[
    "Pixel i has at most two neighbours, i - 1 and i + 1. np.diff(g) gives all the steps at once: n - 1 of them.",
    "The weights stand beside the diagonal, on both sides and negative: np.diag(w, 1) + np.diag(w, -1) is W.",
    "The diagonal holds the sum of the weights that leave the pixel: L = np.diag(W.sum(axis=1)) - W.",
], points=2, count=5)
def row_laplacian(answer: Callable) -> Iterator[Case]:
    """``answer(g, beta)``: graph Laplacian (n, n) of a row."""
    for name, g, beta in (("even ground", np.ones(4), 5.0), ("one step", np.array([0.0, 0.0, 1.0, 1.0]), 2.0),
                          ("noise", np.random.default_rng(4).random(7), 20.0),
                          ("two pixels", np.array([0.2, 0.7]), 3.0), ("a single pixel", np.ones(1), 1.0)):
        n = len(g)
        want = np.zeros((n, n))
        for i in range(n - 1):                                 # each edge adds w [[1, -1], [-1, 1]]
            want[i : i + 2, i : i + 2] += np.exp(-beta * (g[i] - g[i + 1]) ** 2) * np.array([[1, -1], [-1, 1]])
        got = answer(g, beta)
        if form := not_shaped(got, want.shape):
            yield f"{name}: the Laplacian", False, form
            continue
        came, off = numbers(got), want - np.diag(np.diag(want))
        advice = slip(got, want, [
            (-want, "the sign is turned round: the diagonal is positive, the weights beside it negative (L = D - W)"),
            (-off, "these are the weights W; the Laplacian is D - W, with their row sums on the diagonal")])
        if advice.startswith("at ("):
            if not close(came, came.T):
                advice = "not symmetric: the weight between i and i + 1 belongs in both rows"
            elif close(came - np.diag(np.diag(came)), off):
                advice = ("the weights are right, the diagonal is not: it must make each row sum to 0, and pixels at "
                          "the ends have one neighbour only")
            elif not close(came.sum(axis=1), np.zeros(n)):
                advice = "the rows do not sum to 0: the diagonal is the sum of the weights beside it"
            else:
                advice = "the weights differ from exp(-beta * step**2): is the step squared, with only beta before it?"
        yield f"{name}: the Laplacian", close(got, want), advice


@exercise("02.4", title="The sign trap", hints=[
    "A pixel that ends up as background is cut from the source. What must that cost?",
    "links[0], the source's link, carries R[0], the cost of *background*; links[1] carries R[1].",
    "Copy R, then overwrite: columns with labels == 2 become (K, 0), columns with labels == 1 become (0, K).",
], points=2, count=7)
def terminal_links(answer: Callable) -> Iterator[Case]:
    """``answer(R, labels, K)``: capacities (2, N), source to pixel and pixel to sink."""
    R = np.array([[1.0, 2.0, 7.0, 9.0], [8.0, 6.0, 3.0, 2.0]])

    def call(labels: list[int], K: float) -> np.ndarray | None:
        got = answer(R, np.array(labels), K)
        return None if not_shaped(got, R.shape) else numbers(got)

    free = call([0, 0, 0, 0], 50.0)
    if free is None:
        yield "a free pixel: what is cut is what is paid", False, "return the two rows of capacities, shape (2, N)"
        return
    swapped = close(free, R[::-1])
    yield "a free pixel: what is cut is what is paid", close(free, R), \
        ("swapped: cutting the source's link makes a pixel background, so that link costs R of *background*" if swapped
         else f"without seeds the links are the costs R themselves, got {short(free)}")
    for kind, labels, column, want in (("object", [0, 0, 0, 2], 3, [50.0, 0.0]),
                                       ("background", [1, 0, 0, 0], 0, [0.0, 50.0])):
        got = call(labels, 50.0)
        column_got = None if got is None else got[:, column].tolist()
        if column_got == want[::-1]:
            advice = f"this ties the {kind} seed to the wrong terminal: its own terminal gets K, the other 0"
        elif column_got is not None and 50.0 in column_got:
            advice = f"got {column_got}: the link to the other terminal must be 0, whatever R says"
        else:
            advice = f"got {column_got}: the link to the seed's own terminal must be K alone"
        yield f"{'an' if kind == 'object' else 'a'} {kind} seed stays on its side", column_got == want, advice
        others = [i for i in range(4) if i != column]  # the swap of the rows was complained about above
        kept_costs = got is not None and any(close(got[:, others], rows[:, others]) for rows in (R, R[::-1]))
        yield f"the neighbours of the {kind} seed keep their costs", kept_costs, \
            "only the seed's own column may change"
    for name, labels in (("seeds of both kinds in one picture", [1, 0, 2, 0]), ("two seeds of each kind", [2, 1, 1, 2])):
        got, base = call(labels, 30.0), R[::-1] if swapped else R
        marks = np.array(labels)
        want = np.where(marks == 2, [[30.0], [0.0]], np.where(marks == 1, [[0.0], [30.0]], base))
        yield name, close(got, want), "return shape (2, N)" if got is None else \
            "every seed of either kind gets its links: two rules, not one or the other"


@exercise("02.5", title="How large is a step?", hints=[
    "There are four directions: right, down and the two diagonals. Two slices of the picture subtracted give all the "
    "steps of one.",
    "For one direction: ((image[:, 1:] - image[:, :-1])**2).sum(axis=2), a number for each pair.",
    "Convert the picture to float first. Put the numbers of all four directions into one array (np.concatenate of their "
    "ravel()s) before taking the mean: "
    "there are not equally many in each.",
], points=2, count=7)
def contrast_beta(answer: Callable) -> Iterator[Case]:
    """``answer(image)``: beta of a picture (H, W, C)."""
    rng = np.random.default_rng(5)
    slope = np.tile(np.arange(5.0)[:, None], (4, 1, 3))
    byte = rng.integers(0, 256, (6, 7, 3)).astype(np.uint8)
    for name, image in (("noise", rng.random((6, 9, 3))), ("a slope across", slope),
                        ("one channel", rng.random((7, 4, 1))), ("a narrow picture", rng.random((2, 12, 3))),
                        ("a single row", rng.random((1, 5, 2))), ("grey values of one byte", byte),
                        ("... as signed numbers", byte.astype(int))):
        square = image.astype(float)
        parts = [((a - b) ** 2).sum(axis=2).ravel() for a, b in (
            (square[:, 1:], square[:, :-1]), (square[1:], square[:-1]), (square[1:, 1:], square[:-1, :-1]),
            (square[1:, :-1], square[:-1, 1:]))]
        want, got = 1 / (2 * np.concatenate(parts).mean()), answer(image)
        steps = np.concatenate(parts)
        slips = [(2, "the factor 2 in the denominator is missing"),
                 (steps.mean() / np.concatenate(parts[:2]).mean(),
                  "these are 4-neighbours: the two diagonals are pairs as well"),
                 (image.shape[2], "the squared difference is summed over the channels, not averaged"),
                 (steps.mean() / np.mean([p.mean() for p in parts if p.size]),
                  "take one mean over all pairs, not the mean of four means: there are not equally many in each"),
                 (steps.mean() / np.sqrt(steps).mean(), "square the steps before the mean")]
        form = not_shaped(got, (), "a single number")
        advice = form or slip(numbers(got) / want, 1, slips)
        if image.dtype == np.uint8 and advice.startswith("you return"):
            advice = "uint8 arithmetic wraps round at 0 and 256: convert to float before you subtract"
        elif advice.startswith("you return"):
            advice = f"you return {float(numbers(got)):.4g}"
        yield f"{name}: β = {want:.4g}", not form and close(numbers(got) / want, 1), advice
