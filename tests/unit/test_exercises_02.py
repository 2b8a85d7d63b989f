"""Checks of notebook 02: the solution and right answers in other styles pass, the blank fails, slips are named."""

import itertools

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails
from scipy import sparse
from skimage import filters

from seglab.classic import grid_edges, threshold_otsu

# --- 02.1 -------------------------------------------------------------------------------------------------------------


def within(low, high):
    return low.size * low.var() + high.size * high.var()


def otsu_within(image, score=within, dark=np.less_equal, values=lambda image: np.unique(image)[:-1], best=min):
    with np.errstate(all="ignore"):
        return best(values(image), key=lambda t: score(image[dark(image, t)], image[~dark(image, t)]))


def otsu_with_loops(image):
    pixels, best, least = [int(v) for v in image.ravel()], None, float("inf")
    for t in sorted(set(pixels))[:-1]:
        total = 0.0
        for group in ([v for v in pixels if v <= t], [v for v in pixels if v > t]):
            mean = sum(group) / len(group)
            total += len(group) / len(pixels) * (sum((v - mean) ** 2 for v in group) / len(group))
        if total < least:
            best, least = t, total
    return best


def otsu_in_torch(image):
    pixels = torch.from_numpy(image.astype(np.float32))
    values = pixels.unique()[:-1]
    scores = [sum(len(c) / pixels.numel() * c.var(unbiased=False) for c in (pixels[pixels <= t], pixels[pixels > t]))
              for t in values]
    return values[torch.stack(scores).argmin()]


def otsu_between(image):
    """Otsu's own form, from a histogram of all whole numbers."""
    h = np.bincount(image.ravel()) / image.size
    w, m = np.cumsum(h), np.cumsum(h * np.arange(len(h)))
    with np.errstate(invalid="ignore", divide="ignore"):
        between = np.nan_to_num((m[-1] * w - m) ** 2 / (w * (1 - w)), nan=-1, posinf=-1)
    return int(np.argmax(np.round(between, 12)))


def otsu_by_histogram(image):
    values, counts = np.unique(image, return_counts=True)
    values, p = values.astype(float), counts / counts.sum()
    scores = []
    for k in range(1, len(values)):
        parts = [(values[:k], p[:k]), (values[k:], p[k:])]
        scores.append(sum((w * v**2).sum() - (w * v).sum() ** 2 / w.sum() for v, w in parts))
    return int(values[np.argmin(scores)])


def hinted_otsu(image):
    within = lambda low, high: low.size * low.var() + high.size * high.var()
    return min(np.unique(image)[:-1], key=lambda t: within(image[image <= t], image[image > t]))


def otsu_one_too_high(image):
    values = np.unique(image)
    return values[np.searchsorted(values, otsu_within(image)) + 1]


def otsu_any_number(image):
    """The last of all whole numbers that split the picture best."""
    t = otsu_within(image)
    return image[image > t].min() - 1


# --- 02.2 -------------------------------------------------------------------------------------------------------------

def otsu_tiles(image, tile, otsu=threshold_otsu, above=np.greater, last=0, constant=False):
    mask = np.zeros(image.shape, bool)
    for y, x in itertools.product(range(0, image.shape[0] - last * (tile - 1), tile),
                                  range(0, image.shape[1] - last * (tile - 1), tile)):
        part = image[y:y + tile, x:x + tile]
        mask[y:y + tile, x:x + tile] = above(part, otsu(part)) if part.min() < part.max() else constant
    return mask


def tiles_joined(image, tile):
    rows = []
    for y in range(-(-image.shape[0] // tile)):
        row = []
        for x in range(-(-image.shape[1] // tile)):
            part = image[y * tile:(y + 1) * tile, x * tile:(x + 1) * tile]
            row.append(part > part.max() if len(np.unique(part)) == 1 else part > otsu_with_loops(part))
        rows.append(np.hstack(row))
    return np.vstack(rows)


def tiles_with_skimage(image, tile):
    mask = torch.zeros(image.shape, dtype=torch.bool)
    for y in range(0, image.shape[0], tile):
        for x in range(0, image.shape[1], tile):
            part = image[y:min(y + tile, image.shape[0]), x:min(x + tile, image.shape[1])]
            if np.ptp(part) > 0:
                mask[y:y + tile, x:x + tile] = torch.from_numpy(part > filters.threshold_otsu(part))
    return mask


def hinted_tiles(image, tile, otsu=threshold_otsu):
    mask = np.zeros(image.shape, bool)
    for y in range(0, image.shape[0], tile):
        for x in range(0, image.shape[1], tile):
            part = image[y:y + tile, x:x + tile]
            if part.min() < part.max():
                mask[y:y + tile, x:x + tile] = part > otsu(part)
    return mask


def tiles_of_a_square(image, tile):
    side = min(image.shape)
    mask = np.zeros(image.shape, bool)
    mask[:side, :side] = otsu_tiles(image[:side, :side], tile)
    return mask


def tiles_of_the_mean(image, tile):
    return otsu_tiles(image, tile, otsu=np.mean)


def tiles_of_strips(image, tile):
    return np.vstack([part > threshold_otsu(part) if np.ptp(part) else part > part
                      for part in (image[y:y + tile] for y in range(0, image.shape[0], tile))])


# --- 02.3 -------------------------------------------------------------------------------------------------------------

def weights(g, beta, step=lambda d: d**2):
    w = np.exp(-beta * step(np.diff(g)))
    return np.diag(w, 1) + np.diag(w, -1)


def row_laplacian(g, beta, **how):
    W = weights(g, beta, **how)
    return np.diag(W.sum(axis=1)) - W


def laplacian_by_loops(g, beta):
    n = len(g)
    L = [[0.0] * n for _ in range(n)]
    for i in range(n - 1):
        w = float(np.exp(-beta * (g[i] - g[i + 1]) ** 2))
        L[i][i] += w
        L[i + 1][i + 1] += w
        L[i][i + 1] = L[i + 1][i] = -w
    return L


def laplacian_by_incidence(g, beta):
    """L = Dᵀ diag(w) D with the difference operator D."""
    D = np.diff(np.eye(len(g)), axis=0)
    return D.T @ np.diag(np.exp(-beta * (D @ g) ** 2)) @ D


def laplacian_in_torch(g, beta):
    g = torch.from_numpy(g).float()
    w = torch.exp(-beta * g.diff() ** 2)
    W = torch.diag(w, 1) + torch.diag(w, -1)
    return torch.diag(W.sum(1)) - W


def laplacian_from_sparse(g, beta):
    if len(g) == 1:
        return np.zeros((1, 1))
    w = np.exp(-beta * (g[1:] - g[:-1]) ** 2)
    W = sparse.diags_array([w, w], offsets=[1, -1])
    return (sparse.diags_array(np.asarray(W.sum(axis=1)).ravel()) - W).toarray()


def laplacian_all_pairs(g, beta):
    W = np.exp(-beta * (g[:, None] - g) ** 2) * (1 - np.eye(len(g)))
    return np.diag(W.sum(axis=1)) - W


def laplacian_of_a_ring(g, beta):
    W = weights(g, beta)
    if len(g) > 2:
        W[0, -1] = W[-1, 0] = np.exp(-beta * (g[0] - g[-1]) ** 2)
    return np.diag(W.sum(axis=1)) - W


def laplacian_normalised(g, beta):
    L = row_laplacian(g, beta)
    return L / np.maximum(np.diag(L), 1e-300)[:, None]


# --- 02.4 -------------------------------------------------------------------------------------------------------------

def terminal_links(R, labels, K):
    links = R.astype(float).copy()
    links[:, labels == 2], links[:, labels == 1] = [[K], [0]], [[0], [K]]
    return links


def links_by_loop(R, labels, K):
    source, sink = [], []
    for p, label in enumerate(labels):
        source.append(float(R[0, p]) if label == 0 else K if label == 2 else 0)
        sink.append(float(R[1, p]) if label == 0 else K if label == 1 else 0)
    return [source, sink]


def links_by_where(R, labels, K):
    return np.stack([np.where(labels == 2, K, np.where(labels == 1, 0, R[0])),
                     np.where(labels == 1, K, np.where(labels == 2, 0, R[1]))]).astype(np.float32)


def links_by_select(R, labels, K):
    return torch.tensor(np.array([np.choose(labels, [R[0], 0 * R[0], 0 * R[0] + K]),
                                  np.choose(labels, [R[1], 0 * R[1] + K, 0 * R[1]])]))


def hinted_links(R, labels, K):
    links = R.astype(float)
    links[:, labels == 2] = [[K], [0]]
    links[:, labels == 1] = [[0], [K]]
    return links


def links_swapped(R, labels, K):
    return terminal_links(R[::-1], labels, K)


def links_wrong_terminal(R, labels, K):
    return terminal_links(R, (3 - labels) % 3, K)


def links_other_left(R, labels, K):
    links = R.astype(float).copy()
    links[0, labels == 2], links[1, labels == 1] = K, K
    return links


def links_in_place(R, labels, K):
    R[:, labels == 2], R[:, labels == 1] = [[K], [0]], [[0], [K]]
    return R


def links_one_kind(R, labels, K):
    """elif: a picture with seeds of one kind only."""
    links = R.astype(float).copy()
    if (labels == 1).any():
        links[:, labels == 1] = [[0], [K]]
    elif (labels == 2).any():
        links[:, labels == 2] = [[K], [0]]
    return links


def links_first_seed(R, labels, K):
    links = R.astype(float).copy()
    for kind, column in ((1, (0, K)), (2, (K, 0))):
        if (labels == kind).any():
            links[:, np.argmax(labels == kind)] = column
    return links


def links_added(R, labels, K):
    links = R.astype(float).copy()
    links[0] += K * (labels == 2)
    links[1] += K * (labels == 1)
    return links


def links_largest(R, labels, K):
    return terminal_links(R, labels, max(K, R.max()))


def links_infinite(R, labels, K):
    return terminal_links(R, labels, np.inf)


# --- 02.5 -------------------------------------------------------------------------------------------------------------

def steps(image, directions=4):
    every = [image[:, 1:] - image[:, :-1], image[1:] - image[:-1],
             image[1:, 1:] - image[:-1, :-1], image[1:, :-1] - image[:-1, 1:]]
    return [(s**2).sum(axis=2).ravel() for s in every[:directions]]


def contrast_beta(image):
    return 1 / (2 * np.concatenate(steps(image.astype(float))).mean())


def beta_by_loops(image):
    height, width = image.shape[:2]
    total, pairs = 0.0, 0
    for y, x in itertools.product(range(height), range(width)):
        for dy, dx in ((0, 1), (1, -1), (1, 0), (1, 1)):
            if y + dy < height and 0 <= x + dx < width:
                total += sum((float(a) - float(b)) ** 2 for a, b in zip(image[y, x], image[y + dy, x + dx]))
                pairs += 1
    return pairs / (2 * total)


def beta_by_edges(image):
    edges, _ = grid_edges(image.shape[:2], 2)
    z = image.reshape(-1, image.shape[2]).astype(np.float32)
    return 1 / (2 * ((z[edges[:, 0]] - z[edges[:, 1]]) ** 2).sum(axis=1).mean())


def beta_in_torch(image):
    z = torch.from_numpy(image).double()
    parts = [z[:, 1:] - z[:, :-1], z[1:] - z[:-1], z[1:, 1:] - z[:-1, :-1], z[1:, :-1] - z[:-1, 1:]]
    return 0.5 / torch.cat([p.pow(2).sum(2).flatten() for p in parts]).mean()


def beta_both_ways(image):
    """Every pair twice, once from either end: the mean is the same."""
    z = image.astype(float)
    parts = [p for dz in (z, z[::-1, ::-1]) for p in steps(dz)]
    return 1 / (2 * np.concatenate(parts).mean())


def hinted_beta(image):
    image = image.astype(float)
    steps = [image[:, 1:] - image[:, :-1], image[1:] - image[:-1], image[1:, 1:] - image[:-1, :-1],
             image[1:, :-1] - image[:-1, 1:]]
    return 1 / (2 * np.concatenate([(s**2).sum(axis=2).ravel() for s in steps]).mean())


def forgotten_return(*arguments):
    hinted_links(np.ones((2, 2)), np.ones(2), 3)


def in_floats(function):
    return lambda image: function(image.astype(float))


SOLUTIONS = {"02.1": otsu_within, "02.2": otsu_tiles, "02.3": row_laplacian, "02.4": terminal_links,
             "02.5": contrast_beta}
OTHERS = [
    *[("02.1", f) for f in (otsu_with_loops, otsu_in_torch, otsu_between, otsu_by_histogram, hinted_otsu)],
    ("02.1", lambda image: float(otsu_within(image.astype(float)))),
    *[("02.2", f) for f in (tiles_joined, tiles_with_skimage, hinted_tiles)],
    ("02.2", lambda image, tile: otsu_tiles(image, tile, otsu=otsu_within)),
    ("02.2", lambda image, tile: np.asfortranarray(otsu_tiles(image, tile)).tolist()),
    *[("02.3", f) for f in (laplacian_by_loops, laplacian_by_incidence, laplacian_in_torch, laplacian_from_sparse)],
    *[("02.4", f) for f in (links_by_loop, links_by_where, links_by_select, hinted_links)],
    *[("02.5", f) for f in (beta_by_loops, beta_by_edges, beta_in_torch, beta_both_ways, hinted_beta)],
]
MUTANTS = [
    ("02.1", lambda image: otsu_within(image, best=max), "as small as possible"),
    ("02.1", lambda image: otsu_within(image, lambda a, b: a.var() + b.var()), "weighted by the share of its class"),
    ("02.1", lambda image: otsu_within(image, lambda a, b: b.size * a.var() + a.size * b.var()), "its *own* class"),
    ("02.1", lambda image: otsu_within(image, lambda a, b: a.size * a.std() + b.size * b.std()), "std() is their root"),
    ("02.1", lambda image: otsu_within(image, lambda a, b: sum(c.size * c.var(ddof=1) if c.size > 1 else np.inf
                                                               for c in (a, b))), "without ddof"),
    ("02.1", otsu_one_too_high, "belongs to the dark class"),
    ("02.1", otsu_any_number, "is no grey value of it: let the loop"),
    ("02.1", lambda image: int(np.argmin([within(image[image <= t], image[image > t]) for t in np.unique(image)[:-1]])),
     "no grey value of the picture"),
    ("02.1", lambda image: otsu_within(image, values=np.unique, best=max), "you return"),
    ("02.1", lambda image: np.unique(image)[-1], "leave it out"),
    ("02.1", lambda image: otsu_within(image, values=lambda image: np.unique(image)[1:-1] if len(np.unique(image)) > 2
                                       else np.unique(image)[:-1]), "you return"),
    ("02.1", lambda image: otsu_within(image, values=lambda image: np.unique(image)[:-2] if len(np.unique(image)) > 2
                                       else np.unique(image)[:-1]), "you return"),
    ("02.1", lambda image: np.median(image), "you return"),
    ("02.1", lambda image: image.mean(), "no grey value of the picture"),
    ("02.1", lambda image: image > otsu_within(image), "you return shape"),
    ("02.1", lambda image: min(within(image[image <= t], image[image > t]) for t in np.unique(image)[:-1]),
     "not its place or a variance"),
    ("02.1", forgotten_return, "is there a `return`?"),

    ("02.2", lambda image, tile: image > threshold_otsu(image) if np.ptp(image) else image > image,
     "one threshold for the whole picture"),
    ("02.2", lambda image, tile: otsu_tiles(image, tile, last=1), "edge"),
    ("02.2", lambda image, tile: otsu_tiles(image, tile, above=np.greater_equal), "strictly >"),
    ("02.2", lambda image, tile: otsu_tiles(image, tile, constant=True), "nothing in it stands out"),
    ("02.2", lambda image, tile: otsu_tiles(image, tile).astype(int), "boolean"),
    ("02.2", lambda image, tile: otsu_tiles(image, 16), "at ("),
    ("02.2", tiles_of_a_square, "at ("),
    ("02.2", tiles_of_the_mean, "at ("),
    ("02.2", tiles_of_strips, "at ("),
    ("02.2", lambda image, tile: ~otsu_tiles(image, tile), "at ("),
    ("02.2", lambda image, tile: otsu_tiles(image, tile)[::-1], "at ("),
    ("02.2", lambda image, tile: otsu_tiles(image, tile)[:tile, :tile], "return a mask of shape"),
    ("02.2", lambda image, tile: [otsu_tiles(image, tile)], "return a mask of shape"),
    ("02.2", lambda image, tile: otsu_tiles(image, tile, otsu=lambda part: part[999]), "your code stopped"),
    ("02.2", forgotten_return, "is there a `return`?"),

    ("02.3", lambda g, beta: -row_laplacian(g, beta), "sign"),
    ("02.3", weights, "weights W"),
    ("02.3", lambda g, beta: np.abs(row_laplacian(g, beta)), "are negative: L = D - W"),
    ("02.3", lambda g, beta: np.triu(row_laplacian(g, beta)), "not symmetric"),
    ("02.3", lambda g, beta: 2 * np.eye(len(g)) - weights(g, beta), "the diagonal is not"),
    ("02.3", lambda g, beta: np.eye(len(g)) - weights(g, beta), "the diagonal is not"),
    ("02.3", lambda g, beta: row_laplacian(g, beta, step=np.abs), "squared"),
    ("02.3", lambda g, beta: row_laplacian(g, beta / 2), "only beta in front"),
    ("02.3", lambda g, beta: row_laplacian(g, -beta), "weights differ"),
    ("02.3", lambda g, beta: row_laplacian(g, beta / (10 * max(g.std(), 1e-9))), "only beta in front"),
    ("02.3", lambda g, beta: row_laplacian(g, 5.0), "weights differ"),
    ("02.3", laplacian_all_pairs, "only pixels side by side"),
    ("02.3", laplacian_of_a_ring, "the ends of the row are not"),
    ("02.3", laplacian_normalised, "not symmetric"),
    ("02.3", lambda g, beta: row_laplacian(g, beta)[:-1, :-1], "return an array of shape"),
    ("02.3", lambda g, beta: sparse.csr_array(row_laplacian(g, beta)), "return an array of shape"),
    ("02.3", forgotten_return, "is there a `return`?"),

    ("02.4", links_swapped, "swapped"),
    ("02.4", links_wrong_terminal, "wrong terminal"),
    ("02.4", links_other_left, "other terminal must be 0"),
    ("02.4", links_in_place, "work on R.copy()"),
    ("02.4", links_one_kind, "every seed of either kind gets its K"),
    ("02.4", links_first_seed, "every seed of either kind gets its K"),
    ("02.4", links_added, "terminal must be K alone"),
    ("02.4", links_largest, "terminal must be K alone"),
    ("02.4", links_infinite, "terminal must be K alone"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels, 50.0), "terminal must be K alone"),
    ("02.4", lambda R, labels, K: R.astype(float), "was left as it is"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels, K).T, "return the two rows of capacities"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels, K)[0], "return the two rows of capacities"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels, K) * (labels > 0), "keeps its costs R"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels * (labels == 2), K), "a seed of background and was left"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels, K) if R.shape[1] > 1 else None, "is there a `return`?"),
    ("02.4", forgotten_return, "is there a `return`?"),

    ("02.5", in_floats(lambda z: 1 / np.concatenate(steps(z)).mean()), "factor 2"),
    ("02.5", in_floats(lambda z: 2 * np.concatenate(steps(z)).mean()), "1 divided by that"),
    ("02.5", in_floats(lambda z: 1 / (2 * np.concatenate(steps(z, 2)).mean())), "diagonals"),
    ("02.5", in_floats(lambda z: 1 / (2 * np.concatenate(steps(z, 3)).mean())), "one diagonal is missing"),
    ("02.5", in_floats(lambda z: contrast_beta(z) * z.shape[2]), "summed over the channels"),
    ("02.5", in_floats(lambda z: 1 / (2 * np.mean([s.mean() for s in steps(z)]))), "one mean over all pairs"),
    ("02.5", in_floats(lambda z: 1 / (2 * np.mean([s.mean() for s in steps(z) if s.size]))), "one mean over all pairs"),
    ("02.5", in_floats(lambda z: 1 / (2 * np.sqrt(np.concatenate(steps(z))).mean())), "square the steps"),
    ("02.5", lambda z: 1 / (2 * np.concatenate(steps(z)).mean()), "turn the picture into floats"),
    ("02.5", lambda z: 1 / (2 * np.concatenate(steps(z.astype(np.int8))).mean()), "you return"),
    ("02.5", lambda z: contrast_beta(z) ** 0.5, "you return"),
    ("02.5", lambda z: contrast_beta(z / 255) if z.dtype == np.uint8 else contrast_beta(z), "you return"),
    ("02.5", lambda z: 1 / (2 * contrast_beta(z)), "you return"),
    ("02.5", lambda z: contrast_beta(z[..., :1]), "you return"),
    ("02.5", lambda z: [contrast_beta(z)], "you return shape"),
    ("02.5", forgotten_return, "is there a `return`?"),
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
