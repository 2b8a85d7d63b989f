"""Checks of the exercises in notebook 02, classic methods."""

import numpy as np

from seglab.classic import threshold_otsu
from seglab.exercises import exercise


def _otsu_pictures():
    rng = np.random.default_rng(2)
    uneven = np.array([[10] * 30 + [11] * 20 + [60] * 3 + [70] * 3])  # few bright pixels: the weights matter
    return {"the sixteen pixels of the text": np.array([[1, 1, 2, 7], [1, 2, 2, 8], [2, 1, 8, 9], [1, 2, 7, 8]]),
            "a few bright pixels": uneven,
            "two values only": np.array([[3, 9], [9, 9]]),
            "noise": rng.integers(0, 40, (12, 12)),
            "a skewed picture": (255 * rng.random((20, 20)) ** 4).astype(np.uint8)}


@exercise("02.1", title="Otsu by what is left", hints=[
    "For each grey value t, split the pixels into `image[image <= t]` and `image[image > t]`.",
    "Each class contributes its share of the pixels times its variance: low.size / image.size * low.var().",
    "Leave the largest grey value out of the loop: nothing lies above it. Return the t with the *smallest* sum, for "
    "example with min(values, key=...).",
], points=2, count=5)
def otsu_within(answer):
    for name, image in _otsu_pictures().items():
        got, want = answer(image.copy()), int(threshold_otsu(image))
        values = np.unique(image)
        if got is None:
            advice = "the function returns None: is there a `return`?"
        elif np.ndim(got) != 0:
            advice = f"a single grey value is wanted, got shape {np.shape(got)}"
        elif got not in values:
            advice = f"{got} is no grey value of the picture; return t itself, not its place or a variance"
        elif got == values[-1] or got == values[0] and want != values[0]:
            advice = (f"got {got}, an extreme of the picture: one class is (nearly) empty there. Is the sum "
                      "minimised, and is each variance weighted by the share of its class?")
        elif got == values[np.searchsorted(values, want) + 1]:
            advice = f"got {got}, one grey value too high: t itself belongs to the dark class (<= t)"
        else:
            advice = f"got {got}, the least within-class variance is at {want}. Is each variance weighted by its share?"
        yield f"{name}: t = {want}", np.ndim(got) == 0 and got == want, advice


def _tiles(image, tile):
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
], points=2, count=4)
def otsu_tiles(answer):
    rng = np.random.default_rng(3)
    ramp = (np.arange(48) * 4)[None] + 60 * (rng.random((32, 48)) < 0.3) + rng.integers(0, 5, (32, 48))
    cases = {"48 x 32 px in tiles of 16": (ramp, 16), "tiles of 20 px that do not fit": (ramp, 20),
             "one tile larger than the picture": (ramp, 64)}
    for name, (image, tile) in cases.items():
        got, want = answer(image.copy(), tile), _tiles(image, tile)
        wrong = _mask_advice(got, want)
        if not wrong and not np.array_equal(got, want):
            whole, fits = image > threshold_otsu(image), [side // tile * tile for side in image.shape]
            if np.array_equal(got, whole):
                wrong = "this is one threshold for the whole picture: call otsu on the tile"
            elif np.array_equal(np.asarray(got)[: fits[0], : fits[1]], want[: fits[0], : fits[1]]):
                wrong = "the smaller tiles at the right or bottom edge are missing: let the loops run to the end"
            elif (np.asarray(got) >= want).all():
                wrong = "too much is foreground: Otsu's value itself is dark, object is strictly >"
            else:
                wrong = f"{(np.asarray(got) != want).sum()} pixels differ from a threshold for each tile"
        yield name, not wrong, wrong
    flat = np.full((8, 8), 7)
    flat[:4, :4] = rng.integers(0, 9, (4, 4))
    got = answer(flat.copy(), 4)
    wrong = _mask_advice(got, flat > 0)
    yield "a tile with one grey value has no object", not wrong and not np.asarray(got)[4:].any(), \
        wrong or "a constant tile must stay False: nothing in it stands out"


def _mask_advice(got, want):
    """What is wrong with the form of a mask, in words; empty when the form is right."""
    if got is None:
        return "the function returns None: is there a `return`?"
    if np.shape(got) != want.shape:
        return f"a mask of shape {want.shape} is wanted, got {np.shape(got)}"
    if np.asarray(got).dtype != bool:
        return f"a boolean mask is wanted, got {np.asarray(got).dtype}"
    return ""


@exercise("02.3", title="The Laplacian of a row", hints=[
    "Pixel i has at most two neighbours, i - 1 and i + 1. np.diff(g) gives all the steps at once: n - 1 of them.",
    "The weights stand beside the diagonal, on both sides and negative: np.diag(w, 1) + np.diag(w, -1) is W.",
    "The diagonal holds the sum of the weights that leave the pixel: L = np.diag(W.sum(axis=1)) - W.",
], points=2, count=4)
def row_laplacian(answer):
    for name, g, beta in (("even ground", np.ones(4), 5.0), ("one step", np.array([0.0, 0.0, 1.0, 1.0]), 2.0),
                          ("noise", np.random.default_rng(4).random(7), 20.0), ("a single pixel", np.ones(1), 1.0)):
        w = np.exp(-beta * np.diff(g) ** 2)
        W = np.diag(w, 1) + np.diag(w, -1)
        want, got = np.diag(W.sum(axis=1)) - W, answer(g.copy(), beta)
        if got is None or np.shape(got) != want.shape:
            shape = "None" if got is None else np.shape(got)
            yield f"{name}: the Laplacian", False, f"an array of shape {want.shape} is wanted, got {shape}"
            continue
        got = np.asarray(got, float)
        off = got - np.diag(np.diag(got))
        if np.allclose(got, -want) and want.any():
            advice = "the sign is turned round: the diagonal is positive, the weights beside it negative (L = D - W)"
        elif np.allclose(got, W) and want.any():
            advice = "these are the weights W; the Laplacian is D - W, with their row sums on the diagonal"
        elif not np.allclose(got, got.T):
            advice = "not symmetric: the weight between i and i + 1 belongs in both rows"
        elif np.allclose(off, want - np.diag(np.diag(want))):
            advice = ("the weights are right, the diagonal is not: it must make each row sum to 0, and pixels at the "
                      "ends have one neighbour only")
        elif not np.allclose(got.sum(axis=1), 0):
            advice = "the rows do not sum to 0: the diagonal is the sum of the weights beside it"
        else:
            advice = "the weights differ from exp(-beta * step**2): is the step squared, and only beta in front of it?"
        yield f"{name}: the Laplacian", np.allclose(got, want), advice


@exercise("02.4", title="The sign trap", hints=[
    "A pixel that ends up as background is cut from the source. What must that cost?",
    "links[0], the source's link, carries R[0], the cost of *background*; links[1] carries R[1].",
    "Copy R, then overwrite: columns with labels == 2 become (K, 0), columns with labels == 1 become (0, K).",
], points=2, count=6)
def terminal_links(answer):
    R = np.array([[1.0, 2.0, 7.0, 9.0], [8.0, 6.0, 3.0, 2.0]])
    kept = R.copy()

    def call(labels, K):
        got = answer(kept, np.array(labels), K)
        return None if got is None or np.shape(got) != R.shape else np.asarray(got, float)

    free = call([0, 0, 0, 0], 50.0)
    if free is None:
        yield "an array of shape (2, N) comes back", False, "return the two rows of capacities, shape (2, N)"
        return
    swapped = np.array_equal(free, R[::-1])
    yield "a free pixel: what is cut is what is paid", np.array_equal(free, R), \
        ("swapped: cutting the source's link makes a pixel background, so that link costs R of *background*" if swapped
         else f"without seeds the links are the costs R themselves, got {free.tolist()}")
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
        yield f"{'an' if kind == 'object' else 'a'} {kind} seed cannot change sides", column_got == want, advice
        others = [i for i in range(4) if i != column]  # the swap of the rows was complained about above
        kept_costs = got is not None and any(np.array_equal(got[:, others], rows[:, others]) for rows in (R, R[::-1]))
        yield f"the neighbours of the {kind} seed keep their costs", kept_costs, "only the seed's own column may change"
    yield "R is left as it was", np.array_equal(kept, R), "R was changed in place: work on a copy, it is still needed"


@exercise("02.5", title="How large is a step?", hints=[
    "There are four directions: right, down and the two diagonals. Two slices of the picture subtracted give all the "
    "steps of one.",
    "For one direction: ((image[:, 1:] - image[:, :-1])**2).sum(axis=2), a number for each pair.",
    "Put the numbers of all four directions into one array (np.concatenate of their ravel()s) before taking the mean: "
    "there are not equally many in each.",
], points=2, count=4)
def contrast_beta(answer):
    rng = np.random.default_rng(5)
    slope = np.tile(np.arange(5.0)[:, None], (4, 1, 3))
    for name, image in (("noise", rng.random((6, 9, 3))), ("a slope across", slope),
                        ("one channel", rng.random((7, 4, 1))), ("a narrow picture", rng.random((2, 12, 3)))):
        parts = [((a - b) ** 2).sum(axis=2).ravel() for a, b in (
            (image[:, 1:], image[:, :-1]), (image[1:], image[:-1]), (image[1:, 1:], image[:-1, :-1]),
            (image[1:, :-1], image[:-1, 1:]))]
        want, got = 1 / (2 * np.concatenate(parts).mean()), answer(image.copy())
        if got is None or np.ndim(got) != 0:
            yield name, False, f"a single number is wanted, got {type(got).__name__}"
            continue
        channels, four = image.shape[2], np.concatenate(parts[:2]).mean()
        slips = {
            1 / np.concatenate(parts).mean(): "the factor 2 in the denominator is missing",
            1 / (2 * four): "these are 4-neighbours: the two diagonals are pairs as well",
            channels / (2 * np.concatenate(parts).mean()): "the squared difference is summed over the channels, not "
                                                           "averaged",
            1 / (2 * np.mean([p.mean() for p in parts])): "take one mean over all pairs, not the mean of four means: "
                                                          "the directions have unequal numbers of pairs",
            1 / (2 * np.mean(np.sqrt(np.concatenate(parts)))): "square the steps before the mean",
        }
        slip = next((words for value, words in slips.items() if np.isclose(got, value)), "")
        yield f"{name}: β = {want:.4g}", bool(np.isclose(got, want)), slip or f"got {got:.4g}"
