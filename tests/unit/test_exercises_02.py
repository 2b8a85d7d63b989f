"""The checks of notebook 02: the solution passes, the empty stub fails, typical wrong answers fail and are named."""

import itertools

import numpy as np
import pytest

from seglab.check import check
from seglab.classic import threshold_otsu
from seglab.exercises import find


def stub(*args):
    raise NotImplementedError()


def verdict(capsys, id, answer):
    good = check(id, answer)
    return good, capsys.readouterr().out


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


SOLUTIONS = {"02.1": otsu_within, "02.2": otsu_tiles, "02.3": row_laplacian, "02.4": terminal_links,
             "02.5": contrast_beta}
MUTANTS = [
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
    ("02.4", links_in_place, "copy"),
    ("02.5", beta_without_two, "factor 2"),
    ("02.5", beta_four_neighbours, "diagonals"),
    ("02.5", beta_mean_of_channels, "summed over the channels"),
    ("02.5", beta_mean_of_means, "one mean over all pairs"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes(capsys, id):
    good, said = verdict(capsys, id, SOLUTIONS[id])
    assert good and "✘" not in said, said


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_stub_fails_as_not_written(capsys, id):
    good, said = verdict(capsys, id, stub)
    assert not good and "not written yet" in said


@pytest.mark.parametrize("id, mutant, word", MUTANTS, ids=lambda v: getattr(v, "__name__", str(v)))
def test_a_typical_mistake_is_named(capsys, id, mutant, word):
    good, said = verdict(capsys, id, mutant)
    assert not good
    assert any(word in line for line in said.splitlines() if line.startswith("✘")), said


@pytest.mark.parametrize("id", SOLUTIONS)
def test_an_error_in_the_answer_is_reported(capsys, id):
    good, said = verdict(capsys, id, lambda *args: 1 / 0)
    assert not good and "ZeroDivisionError" in said


def test_each_exercise_has_three_hints_that_grow():
    for id in SOLUTIONS:
        assert len(find(id).hints) >= 3
