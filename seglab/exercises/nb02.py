"""Checks of the exercises of notebook 02, classic methods."""

from collections.abc import Callable, Iterator

import numpy as np

from seglab.classic import threshold_otsu
from seglab.exercises import Case, exercise
from seglab.exercises.answers import close, not_shaped, slip


@exercise("02.1", title="Otsu by what is left", hints=[
    "For each grey value t, split the pixels into `image[image <= t]` and `image[image > t]`.",
    "Each class contributes its share of the pixels times its variance: low.size / image.size * low.var().",
    "Leave the largest grey value out of the loop: nothing lies above it. Return the t with the *smallest* sum: "
    "within = lambda low, high: low.size * low.var() + high.size * high.var(); return min(np.unique(image)[:-1], "
    "key=lambda t: within(image[image <= t], image[image > t]))",
], points=2, count=9)
def otsu_within(answer: Callable) -> Iterator[Case]:
    """``answer(image)``: the grey value that leaves least variance within the two classes."""
    rng = np.random.default_rng(2)
    uneven = np.array([[10] * 30 + [11] * 20 + [60] * 3 + [70] * 3])  # few bright pixels: the weights matter
    pictures = {"the sixteen pixels of the text": np.array([[1, 1, 2, 7], [1, 2, 2, 8], [2, 1, 8, 9], [1, 2, 7, 8]]),
                "a few bright pixels": uneven, "a few dark pixels": 80 - uneven,
                "two values only": np.array([[3, 9], [9, 9]]),
                "one dark pixel": np.array([[0, 40, 41], [40, 42, 41]]),
                "one bright pixel": np.array([[0, 1, 2], [1, 2, 50]]),
                "twelve pixels": np.array([[9, 5, 12, 4], [20, 2, 4, 3], [4, 20, 2, 3]]),
                "noise": rng.integers(0, 40, (12, 12)),
                "a skewed picture": (255 * rng.random((20, 20)) ** 4).astype(np.uint8)}
    for name, image in pictures.items():
        got, want = answer(image), int(threshold_otsu(image))
        yield f"{name}: t = {want}", close(got, want, 0), _grey_value_advice(got, want, image)


def _grey_value_advice(got: object, want: int, image: np.ndarray) -> str:
    if got is None or np.ndim(got) or not close(got, got):
        return slip(got, want, {})
    values = np.unique(image).tolist()
    if got not in values:
        same = np.array_equal(image > float(got), image > want)
        return f"you return {got}: " + (
            "that splits the picture where it should, but is no grey value of it: let the loop run over "
            "np.unique(image)" if same else "that is no grey value of the picture; return t itself, not its place or a "
                                            "variance")
    if got == values[-1]:
        return f"you return {got}: nothing lies above the largest grey value, leave it out"

    def least(score: Callable) -> float:
        scores = [score(image[image <= t], image[image > t]) for t in values[:-1]]
        return values[int(np.nanargmin(scores))] if np.isfinite(scores).any() else np.nan

    slips = [
        (lambda low, high: -low.size * low.var() - high.size * high.var(),
         "the variance *within* the classes has to be as small as possible"),
        (lambda low, high: low.var() + high.var(), "is each variance weighted by the share of its class?"),
        (lambda low, high: high.size * low.var() + low.size * high.var(),
         "each variance is weighted by the share of its *own* class"),
        (lambda low, high: low.size * low.std() + high.size * high.std(),
         "variances are asked for, std() is their root"),
        (lambda low, high: sum(c.size * c.var(ddof=1) if c.size > 1 else np.nan for c in (low, high)),
         "the population variance is asked for, NumPy's var() without ddof")]
    known = [(least(score), f"you return {got}: {advice}") for score, advice in slips]
    above = values[values.index(want) + 1]
    return slip(got, want, [*known, (above, f"you return {got}, one grey value too high: t itself belongs to the dark "
                                            "class (<= t)")])


def _by_tiles(image: np.ndarray, tile: int, above: Callable = np.greater) -> np.ndarray:
    y, x = np.indices(image.shape) // tile
    mask = np.zeros(image.shape, bool)
    for number in np.unique(1000 * y + x):
        inside = 1000 * y + x == number
        pixels = image[inside]
        mask[inside] = pixels.min() < pixels.max() and above(pixels, threshold_otsu(pixels[None]))
    return mask


@exercise("02.2", title="One threshold a tile", hints=[
    "Two loops: y over range(0, height, tile), x over range(0, width, tile). NumPy cuts a slice that runs over the "
    "edge by itself.",
    "`part = image[y:y + tile, x:x + tile]`, and the same slice of the mask gets `part > otsu(part)`. If part.min() == "
    "part.max() there is nothing to separate: leave the mask False there.",
    "mask = np.zeros(image.shape, bool); for y in range(0, image.shape[0], tile): for x in range(0, image.shape[1], "
    "tile): part = image[y:y + tile, x:x + tile]; if part.min() < part.max(): mask[y:y + tile, x:x + tile] = part > "
    "otsu(part). After the loops return mask",
], points=2, count=7)
def otsu_tiles(answer: Callable) -> Iterator[Case]:
    """``answer(image, tile)``: boolean mask, each tile above its own threshold."""
    rng = np.random.default_rng(3)
    ramp = (np.arange(48) * 4)[None] + 60 * (rng.random((32, 48)) < 0.3) + rng.integers(0, 5, (32, 48))
    flat = np.full((8, 8), 7)
    flat[:4, :4] = rng.integers(0, 9, (4, 4))
    cases = {"48 x 32 px in tiles of 16": (ramp, 16), "tiles of 20 px that do not fit": (ramp, 20),
             "a tall picture of uint8": (ramp.T.astype(np.uint8), 14), "one tile larger than the picture": (ramp, 64),
             "tiles with one grey value have no object": (flat, 4), "a picture of one grey value": (flat[4:], 3),
             "tiles of a single pixel have no object": (ramp, 1)}
    for name, (image, tile) in cases.items():
        got, want = answer(image, tile), _by_tiles(image, tile)
        form = not_shaped(got, want.shape, "a mask")
        if not form and np.asarray(got).dtype != bool:
            form = f"a boolean mask is asked for, got {np.asarray(got).dtype}"
        slips = []
        if not form:
            mask, height, width = np.asarray(got), *image.shape
            fits = height // tile * tile, width // tile * tile
            if image.min() < image.max():
                slips += [(image > threshold_otsu(image), "this is one threshold for the whole picture: call otsu on "
                                                          "the tile")]
            slips += [(_by_tiles(image, tile, np.greater_equal), "too much is foreground: Otsu's value itself is dark, "
                                                                 "object is strictly >")]
            y, x = np.indices(image.shape) // tile
            for number in np.unique(1000 * y + x):
                part, inside = image[1000 * y + x == number], mask[1000 * y + x == number]
                if part.min() == part.max() and inside.any():
                    slips += [(mask, "a constant tile must stay False: nothing in it stands out")]
            whole = mask[:fits[0], :fits[1]] == want[:fits[0], :fits[1]]
            if whole.size and whole.all() and fits != image.shape:
                slips += [(mask, "the smaller tiles at the right or bottom edge are missing: let the loops run to the "
                                 "end")]
        yield name, not form and close(got, want), form or slip(got, want, slips)


@exercise("02.3", title="The Laplacian of a row", hints=[
    "Pixel i has at most two neighbours, i - 1 and i + 1. np.diff(g) gives all the steps at once: n - 1 of them.",
    "The weights stand beside the diagonal, on both sides and negative: np.diag(w, 1) + np.diag(w, -1) is W.",
    "The diagonal holds the sum of the weights that leave the pixel: w = np.exp(-beta * np.diff(g) ** 2); "
    "W = np.diag(w, 1) + np.diag(w, -1); return np.diag(W.sum(axis=1)) - W",
], points=2, count=7)
def row_laplacian(answer: Callable) -> Iterator[Case]:
    """``answer(g, beta)``: the dense Laplacian of a row."""
    noise = np.random.default_rng(4).random(7)
    for name, g, beta in (("even ground", np.ones(4), 5.0), ("one step", np.array([0.0, 0.0, 1.0, 1.0]), 2.0),
                          ("noise", noise, 20.0), ("β = 0: all weights are 1", noise, 0.0),
                          ("steps larger than 1", 3 * noise, 0.5), ("two pixels", np.array([0.2, 0.9]), 3.0),
                          ("a single pixel", np.ones(1), 1.0)):
        n = len(g)
        W = np.array([[np.exp(-beta * (g[i] - g[j]) ** 2) if abs(i - j) == 1 else 0.0 for j in range(n)]
                      for i in range(n)])
        want, got = np.diag(W @ np.ones(n)) - W, answer(g, beta)
        form = not_shaped(got, want.shape)
        slips = []
        if not form:
            found = np.asarray(got, float)
            degrees = np.diag(np.diag(found))
            slips = [(-want, "the sign is turned round: the diagonal is positive, the weights beside it negative "
                             "(L = D - W)"),
                     (W, "these are the weights W; the Laplacian is D - W, with their row sums on the diagonal"),
                     (np.diag(W @ np.ones(n)) + W, "the weights beside the diagonal are negative: L = D - W")]
            if not close(found, found.T):
                slips += [(got, "not symmetric: the weight between i and i + 1 belongs in both rows")]
            elif n > 2 and found[0, -1] != 0:
                slips += [(got, "only pixels side by side are neighbours; the ends of the row are not")]
            elif close(found - degrees, -W):
                slips += [(got, "the weights are right, the diagonal is not: it must make each row sum to 0, and "
                                "pixels at the ends have one neighbour only")]
            elif not close(found.sum(axis=1), np.zeros(n)):
                slips += [(got, "the rows do not sum to 0: the diagonal is the sum of the weights beside it")]
            else:
                slips += [(got, "the weights differ from exp(-beta * step**2): is the step squared, and only beta in "
                                "front of it?")]
        yield f"{name}: the Laplacian", not form and close(got, want), form or slip(got, want, slips)


@exercise("02.4", title="The sign trap", hints=[
    "A pixel that ends up as background is cut from the source. What must that cost?",
    "links[0], the source's link, carries R[0], the cost of *background*; links[1] carries R[1].",
    "Copy R, then overwrite: links = R.astype(float); links[:, labels == 2] = [[K], [0]]; links[:, labels == 1] = "
    "[[0], [K]]; return links",
], points=2, count=9)
def terminal_links(answer: Callable) -> Iterator[Case]:
    """``answer(R, labels, K)``: capacities of the links to source and sink."""
    R = np.array([[1.0, 2.0, 7.0, 9.0, 4.0], [8.0, 6.0, 3.0, 2.0, 5.0]])
    cases = [("a free pixel: what is cut is what is paid", R, [0, 0, 0, 0, 0], 50.0),
             ("an object seed cannot change sides", R, [0, 0, 0, 2, 0], 50.0),
             ("a background seed cannot change sides", R, [1, 0, 0, 0, 0], 50.0),
             ("a seed of either kind", R, [0, 2, 0, 1, 0], 50.0),
             ("two seeds of either kind", R, [1, 2, 0, 2, 1], 50.0),
             ("nothing but seeds", R, [2, 1, 1, 2, 2], 50.0),
             ("K smaller than the costs", R, [1, 0, 2, 0, 0], 0.5),
             ("costs in whole numbers", np.array([[3, 0, 12], [5, 9, 0]]), [1, 0, 2], 40),
             ("a single pixel", R[:, :1], [2], 50.0)]
    for name, costs, labels, K in cases:
        got = answer(costs, np.array(labels), K)
        pairs = [(K, 0) if kind == 2 else (0, K) if kind == 1 else column for kind, column in zip(labels, costs.T)]
        want = np.array(pairs, float).T
        form = not_shaped(got, want.shape, "the two rows of capacities, an array")
        yield name, not form and close(got, want), form or _link_advice(np.asarray(got, float), want, costs, labels, K)


def _link_advice(got: np.ndarray, want: np.ndarray, R: np.ndarray, labels: list[int], K: float) -> str:
    """What is wrong with the first column that is."""
    wrong = [i for i in range(len(labels)) if not close(got[:, i], want[:, i])]
    if not wrong:
        return ""
    kind, column = labels[wrong[0]], got[:, wrong[0]].tolist()
    if kind == 0 and close(column, R[::-1, wrong[0]]):
        return "swapped: cutting the source's link makes a pixel background, so that link costs R of *background*"
    if kind == 0:
        return f"a pixel without a seed keeps its costs R: pixel {wrong[0]} has {column}, it should have " \
               f"{want[:, wrong[0]].tolist()}"
    name = "object" if kind == 2 else "background"
    if close(column, want[::-1, wrong[0]]):
        return f"this ties the {name} seed to the wrong terminal: its own terminal gets K, the other 0"
    if close(column, R[:, wrong[0]]):
        return f"pixel {wrong[0]} is a seed of {name} and was left as it is: every seed of either kind gets its K"
    if K in column:
        return f"got {column}: the link to the other terminal must be 0, whatever R says"
    return f"got {column}: the link to the seed's own terminal must be K alone"


@exercise("02.5", title="How large is a step?", hints=[
    "There are four directions: right, down and the two diagonals. Two slices of the picture subtracted give all the "
    "steps of one. In uint8, 3 - 5 is 254: turn the picture into floats first.",
    "For one direction: ((image[:, 1:] - image[:, :-1])**2).sum(axis=2), a number for each pair.",
    "Put the numbers of all four directions into one array before taking the mean, there are not equally many in each: "
    "image = image.astype(float); steps = [image[:, 1:] - image[:, :-1], image[1:] - image[:-1], image[1:, 1:] - "
    "image[:-1, :-1], image[1:, :-1] - image[:-1, 1:]]; "
    "return 1 / (2 * np.concatenate([(s**2).sum(axis=2).ravel() for s in steps]).mean())",
], points=2, count=8)
def contrast_beta(answer: Callable) -> Iterator[Case]:
    """``answer(image)``: β of a picture (H, W, C)."""
    rng = np.random.default_rng(5)
    slope = np.tile(np.arange(5.0)[:, None], (4, 1, 3))
    for name, image in (("noise", rng.random((6, 9, 3))), ("a slope across", slope),
                        ("one channel", rng.random((7, 4, 1))), ("a narrow picture", rng.random((2, 12, 3))),
                        ("a single row", rng.random((1, 9, 3))), ("a picture of uint8", rng.integers(
                            0, 256, (5, 8, 3)).astype(np.uint8)),
                        ("a dark picture of uint8", rng.integers(0, 9, (5, 8, 3)).astype(np.uint8)),
                        ("whole numbers of int64", rng.integers(0, 256, (5, 8, 3)))):
        height, width, channels = image.shape
        pixels = {(y, x): image[y, x].astype(float).tolist() for y in range(height) for x in range(width)}
        steps = [[sum((a - b) ** 2 for a, b in zip(colour, pixels[y + dy, x + dx], strict=True))
                  for (y, x), colour in pixels.items() if (y + dy, x + dx) in pixels]
                 for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1))]
        every = np.concatenate(steps)
        want, got = 1 / (2 * every.mean()), answer(image)
        twice = np.concatenate([*steps, *steps[:2]])
        slips = [
            (1 / every.mean(), "the factor 2 in the denominator is missing"),
            (2 * every.mean(), "β is 1 divided by that"),
            (1 / (2 * np.concatenate(steps[:2]).mean()), "these are 4-neighbours: the two diagonals are pairs as well"),
            (1 / (2 * np.concatenate(steps[:3]).mean()), "one diagonal is missing: down to the left"),
            (1 / (2 * twice.mean()), "some pairs are counted twice: each pair once"),
            (channels / (2 * every.mean()), "the squared difference is summed over the channels, not averaged"),
            (1 / (2 * np.mean([np.mean(s) for s in steps if s])),
             "take one mean over all pairs, not the mean of four means: the directions have unequal numbers of pairs"),
            (1 / (2 * np.mean(np.sqrt(every))), "square the steps before the mean"),
            (np.nan, "NaN: a direction without any pair has no mean; take one mean over all pairs")]
        if image.dtype == np.uint8:
            ends = [(image[:, 1:], image[:, :-1]), (image[1:], image[:-1]), (image[1:, 1:], image[:-1, :-1]),
                    (image[1:, :-1], image[:-1, 1:])]
            for kind in (float, np.uint8):  # wrapped round in the difference alone, or in its square as well
                squares = [((a - b).astype(kind) ** 2).sum(axis=2).ravel() for a, b in ends]
                slips += [(1 / (2 * np.concatenate(squares).mean()),
                           "in uint8, 3 - 5 is 254 and 20² is 144: turn the picture into floats first")]
        tolerance = 1e-5 * min(want, 1)
        yield f"{name}: β = {want:.4g}", close(got, want, tolerance), slip(got, want, slips, tolerance)
