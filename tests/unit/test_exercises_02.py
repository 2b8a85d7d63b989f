"""The checks of notebook 02: the solution passes, the empty stub fails, typical wrong answers fail and are named."""

import itertools

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab.classic import threshold_otsu
from seglab.exercises import find

# --- 02.1 -------------------------------------------------------------------------------------------------------------

def within(image, t):
    low, high = image[image <= t], image[image > t]
    return (low.size * low.var() + high.size * high.var()) / image.size


def otsu_within(image):
    return min(np.unique(image)[:-1], key=lambda t: within(image, t))


def otsu_maximised(image):
    return max(np.unique(image)[:-1], key=lambda t: within(image, t))


def otsu_unweighted(image):
    return min(np.unique(image)[:-1], key=lambda t: image[image <= t].var() + image[image > t].var())


def otsu_one_too_high(image):
    values = np.unique(image)
    return values[np.searchsorted(values, otsu_within(image)) + 1]


def otsu_place(image):
    return 1000 + int(np.argmin([within(image, t) for t in np.unique(image)[:-1]]))


# --- 02.2 -------------------------------------------------------------------------------------------------------------

def otsu_tiles(image, tile):
    mask = np.zeros(image.shape, bool)
    for y, x in itertools.product(range(0, image.shape[0], tile), range(0, image.shape[1], tile)):
        part = image[y : y + tile, x : x + tile]
        mask[y : y + tile, x : x + tile] = part > threshold_otsu(part)
    return mask


def tiles_whole_picture(image, tile):
    return image > threshold_otsu(image)


def tiles_without_the_rest(image, tile):
    mask = np.zeros(image.shape, bool)
    for y, x in itertools.product(range(0, image.shape[0] - tile + 1, tile), range(0, image.shape[1] - tile + 1, tile)):
        part = image[y : y + tile, x : x + tile]
        mask[y : y + tile, x : x + tile] = part > threshold_otsu(part)
    return mask


def tiles_not_strict(image, tile):
    mask = np.zeros(image.shape, bool)
    for y, x in itertools.product(range(0, image.shape[0], tile), range(0, image.shape[1], tile)):
        part = image[y : y + tile, x : x + tile]
        mask[y : y + tile, x : x + tile] = part >= threshold_otsu(part)
    return mask


def tiles_as_numbers(image, tile):
    return otsu_tiles(image, tile).astype(int)


# --- 02.3 -------------------------------------------------------------------------------------------------------------

def weights(g, beta):
    w = np.exp(-beta * np.diff(g) ** 2)
    return np.diag(w, 1) + np.diag(w, -1)


def row_laplacian(g, beta):
    W = weights(g, beta)
    return np.diag(W.sum(axis=1)) - W


def laplacian_turned_round(g, beta):
    return -row_laplacian(g, beta)


def laplacian_only_weights(g, beta):
    return weights(g, beta)


def laplacian_one_sided(g, beta):
    return np.triu(row_laplacian(g, beta))


def laplacian_two_everywhere(g, beta):
    return 2 * np.eye(len(g)) - weights(g, beta)


def laplacian_not_squared(g, beta):
    w = np.exp(-beta * np.abs(np.diff(g)))
    W = np.diag(w, 1) + np.diag(w, -1)
    return np.diag(W.sum(axis=1)) - W


# --- 02.4 -------------------------------------------------------------------------------------------------------------

def terminal_links(R, labels, K):
    links = R.astype(float).copy()
    links[:, labels == 2], links[:, labels == 1] = [[K], [0]], [[0], [K]]
    return links


def links_swapped(R, labels, K):
    links = R[::-1].astype(float).copy()
    links[:, labels == 2], links[:, labels == 1] = [[K], [0]], [[0], [K]]
    return links


def links_wrong_terminal(R, labels, K):
    links = R.astype(float).copy()
    links[:, labels == 1], links[:, labels == 2] = [[K], [0]], [[0], [K]]
    return links


def links_other_left(R, labels, K):
    links = R.astype(float).copy()
    links[0, labels == 2], links[1, labels == 1] = K, K
    return links


def links_in_place(R, labels, K):
    R[:, labels == 2], R[:, labels == 1] = [[K], [0]], [[0], [K]]
    return R


# --- 02.5 -------------------------------------------------------------------------------------------------------------

def steps(image, directions=4):
    image = image.astype(float)
    every = [image[:, 1:] - image[:, :-1], image[1:] - image[:-1],
             image[1:, 1:] - image[:-1, :-1], image[1:, :-1] - image[:-1, 1:]]
    return [(s**2).sum(axis=2).ravel() for s in every[:directions]]


def contrast_beta(image):
    return 1 / (2 * np.concatenate(steps(image)).mean())


def beta_without_two(image):
    return 1 / np.concatenate(steps(image)).mean()


def beta_four_neighbours(image):
    return 1 / (2 * np.concatenate(steps(image, 2)).mean())


def beta_mean_of_channels(image):
    return contrast_beta(image) * image.shape[2]


def beta_mean_of_means(image):
    return 1 / (2 * np.mean([s.mean() for s in steps(image)]))


def otsu_between(image):
    """Otsu's own form, from the histogram."""
    h = np.bincount(image.ravel()) / image.size
    w, m = np.cumsum(h), np.cumsum(h * np.arange(len(h)))
    with np.errstate(invalid="ignore", divide="ignore"):
        between = np.nan_to_num((m[-1] * w - m) ** 2 / (w * (1 - w)), nan=-1, posinf=-1)
    return int(np.argmax(np.round(between, 12)))


def otsu_in_loops(image):
    best = None
    for t in sorted(set(image.ravel().tolist()))[:-1]:
        low, high = [v for v in image.ravel().tolist() if v <= t], [v for v in image.ravel().tolist() if v > t]
        cost = sum((v - sum(part) / len(part)) ** 2 for part in (low, high) for v in part)
        if best is None or cost < best[0] - 1e-9:
            best = cost, t
    return float(best[1])


def otsu_sample_variance(image):
    cost = {t: sum(p.size * p.var(ddof=1) if p.size > 1 else np.inf for p in (image[image <= t], image[image > t]))
            for t in np.unique(image)[:-1]}
    return min(cost, key=cost.get)


def tiles_by_padding(image, tile):
    out = np.zeros(image.shape, bool)
    for y in range(-(-image.shape[0] // tile)):
        for x in range(-(-image.shape[1] // tile)):
            where = np.s_[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile]
            out[where] = image[where] > threshold_otsu(image[where])
    return torch.from_numpy(out)


def laplacian_in_loops(g, beta):
    n = len(g)
    L = [[0.0] * n for _ in range(n)]
    for i in range(n - 1):
        w = float(np.exp(-beta * (g[i] - g[i + 1]) ** 2))
        L[i][i + 1] = L[i + 1][i] = -w
        L[i][i] += w
        L[i + 1][i + 1] += w
    return L


def laplacian_by_incidence(g, beta):
    A = np.diff(np.eye(len(g)), axis=0)
    return A.T @ np.diag(np.exp(-beta * np.diff(g) ** 2)) @ A


def links_in_loops(R, labels, K):
    out = []
    for p in range(R.shape[1]):
        out.append([K, 0] if labels[p] == 2 else [0, K] if labels[p] == 1 else [R[0, p], R[1, p]])
    return np.array(out, np.float32).T


def links_one_kind(R, labels, K):
    links = R.astype(float).copy()
    if (labels == 1).any():
        links[:, labels == 1] = [[0], [K]]
    elif (labels == 2).any():
        links[:, labels == 2] = [[K], [0]]
    return links


def links_first_seed(R, labels, K):
    links = R.astype(float).copy()
    for kind, column in ((2, [K, 0]), (1, [0, K])):
        if (labels == kind).any():
            links[:, np.argmax(labels == kind)] = column
    return links


def beta_in_loops(image):
    h, w, total, pairs = *image.shape[:2], 0.0, 0
    for y, x, (dy, dx) in itertools.product(range(h), range(w), ((0, 1), (1, 0), (1, 1), (1, -1))):
        if y + dy < h and 0 <= x + dx < w:
            total += sum((float(a) - float(b)) ** 2 for a, b in zip(image[y, x], image[y + dy, x + dx]))
            pairs += 1
    return pairs / (2 * total)


def beta_in_bytes(image):
    every = [image[:, 1:] - image[:, :-1], image[1:] - image[:-1],
             image[1:, 1:] - image[:-1, :-1], image[1:, :-1] - image[:-1, 1:]]
    return 1 / (2 * np.concatenate([(s**2).sum(axis=2).ravel() for s in every]).mean())


def beta_of_lengths(image):
    return 1 / (2 * np.mean(np.sqrt(np.concatenate(steps(image)))))


SOLUTIONS = {"02.1": otsu_within, "02.2": otsu_tiles, "02.3": row_laplacian, "02.4": terminal_links,
             "02.5": contrast_beta}
OTHERS = [
    ("02.1", otsu_between), ("02.1", otsu_in_loops), ("02.1", lambda image: torch.tensor(int(otsu_within(image)))),
    ("02.2", tiles_by_padding), ("02.2", lambda image, tile: otsu_tiles(image, tile).tolist()),
    ("02.2", lambda image, tile: np.asfortranarray(otsu_tiles(image, tile))),
    ("02.3", laplacian_in_loops), ("02.3", laplacian_by_incidence),
    ("02.3", lambda g, beta: torch.from_numpy(row_laplacian(g, beta)).float()),
    ("02.4", links_in_loops), ("02.4", lambda *a: terminal_links(*a).tolist()),
    ("02.4", lambda R, labels, K: np.where(labels == 2, [[K], [0]], np.where(labels == 1, [[0], [K]], R))),
    ("02.5", beta_in_loops), ("02.5", lambda image: np.float32(contrast_beta(image))),
    ("02.5", lambda image: 0.5 / torch.from_numpy(np.concatenate(steps(image))).mean()),
]
MUTANTS = [
    ("02.1", otsu_sample_variance, "the sample variance"),
    ("02.1", lambda image: [otsu_within(image)], "a single grey value"),
    ("02.1", lambda image: image.mean(), "no grey value of the picture"),
    ("02.2", lambda image, tile: otsu_tiles(image, 16), "differ from a threshold"),
    ("02.2", lambda image, tile: ~otsu_tiles(image, tile), "differ from a threshold"),
    ("02.2", lambda image, tile: otsu_tiles(image, tile)[:-1], "return a mask of shape"),
    ("02.3", lambda g, beta: 2 * row_laplacian(g, beta), "the weights differ"),
    ("02.3", lambda g, beta: row_laplacian(g, 2 * beta), "the weights differ"),
    ("02.3", lambda g, beta: row_laplacian(g, beta)[:, :-1], "return an array of shape"),
    ("02.4", links_one_kind, "not one or the other"), ("02.4", links_first_seed, "not one or the other"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels, 50.0), "not one or the other"),
    ("02.4", lambda R, labels, K: terminal_links(R, labels, K).T, "shape (2, N)"),
    ("02.5", beta_in_bytes, "convert to float before you subtract"), ("02.5", beta_of_lengths, "square the steps"),
    ("02.5", lambda image: contrast_beta(image) ** 0.5, "you return"),
    ("02.5", lambda image: steps(image)[0], "a single number"),
    ("02.1", otsu_maximised, "minimised"),
    ("02.1", otsu_unweighted, "weighted"),
    ("02.1", otsu_one_too_high, "belongs to the dark class"),
    ("02.1", otsu_place, "no grey value of the picture"),
    ("02.1", lambda image: None, "return"),
    ("02.2", tiles_whole_picture, "one threshold for the whole picture"),
    ("02.2", tiles_without_the_rest, "edge"),
    ("02.2", tiles_not_strict, "strictly >"),
    ("02.2", tiles_as_numbers, "boolean"),
    ("02.2", lambda image, tile: None, "return"),
    ("02.3", laplacian_turned_round, "sign"),
    ("02.3", laplacian_only_weights, "weights W"),
    ("02.3", laplacian_one_sided, "not symmetric"),
    ("02.3", laplacian_two_everywhere, "diagonal"),
    ("02.3", laplacian_not_squared, "squared"),
    ("02.4", links_swapped, "swapped"),
    ("02.4", links_wrong_terminal, "wrong terminal"),
    ("02.4", links_other_left, "other terminal must be 0"),
    ("02.4", links_in_place, "it changes `R`"),
    ("02.5", beta_without_two, "factor 2"),
    ("02.5", beta_four_neighbours, "diagonals"),
    ("02.5", beta_mean_of_channels, "summed over the channels"),
    ("02.5", beta_mean_of_means, "one mean over all pairs"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_blank_fails(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, answer", OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize("id, mutant, word", MUTANTS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_typical_mistake_is_named(id, mutant, word, capsys):
    slip_is_named(id, mutant, word, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_an_error_in_the_answer_is_reported(capsys, id):
    slip_is_named(id, lambda *args: 1 / 0, "ZeroDivisionError", capsys)


def test_each_exercise_has_three_hints_that_grow():
    for id in SOLUTIONS:
        assert len(find(id).hints) >= 3
