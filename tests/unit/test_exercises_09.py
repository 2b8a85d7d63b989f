"""The checks of notebook 09: the solution passes, the stub fails, and each typical slip is named."""
import math

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails

from seglab.exercises import find


def rate_for(kernel, field):
    return max(1, -(-(field - 1) // (kernel - 1)))


def holes(rates):
    reached = {0}
    for r in rates:
        reached = {p + s * r for p in reached for s in (-1, 0, 1)}
    return 1 + 2 * sum(rates) - len(reached)


def wide_identity(c_in, c_out, c, kernel):
    w = torch.zeros(c_out, c_in, kernel, kernel)
    same = torch.arange(c_out)[:, None] * c // c_out == torch.arange(c_in) * c // c_in
    w[:, :, kernel // 2, kernel // 2] = same * c / c_out
    return w


def mean_field_step(psi, k, q):
    return torch.softmax(q @ k - psi, dim=0)


def corner_tap(c_in, c_out, c, kernel):
    return wide_identity(c_in, c_out, c, kernel).roll((-(kernel // 2),) * 2, (2, 3))


def by_modulo(c_in, c_out, c, kernel):
    w = torch.zeros(c_out, c_in, kernel, kernel)
    w[:, :, kernel // 2, kernel // 2] = c / c_out * (torch.arange(c_out)[:, None] % c == torch.arange(c_in) % c)
    return w


def equal_indices(c_in, c_out, c, kernel):
    w = torch.zeros(c_out, c_in, kernel, kernel)
    w[:, :, kernel // 2, kernel // 2] = c / c_out * torch.eye(c_out, c_in)
    return w


def in_place(psi, k, q):
    q.copy_(torch.softmax(q @ k - psi, 0))
    return q


def by_search(kernel, field):
    rate = 1
    while (kernel - 1) * rate + 1 < field:
        rate += 1
    return rate


def by_convolving(rates):
    counts = np.ones(1)
    for r in rates:
        taps = np.zeros(2 * r + 1)
        taps[::r] = 1
        counts = np.convolve(counts, taps)
    return (counts == 0).sum()


def by_products(rates):
    from itertools import product
    return 1 + 2 * sum(rates) - len({sum(steps) for steps in product(*[(-r, 0, r) for r in rates])})


def identity_in_loops(c_in, c_out, c, kernel):
    w = np.zeros((c_out, c_in, kernel, kernel), np.float32)
    for b in range(c_out):
        for a in range(c_in):
            if math.floor(a * c / c_in) == math.floor(b * c / c_out):
                w[b, a, kernel // 2, kernel // 2] = c / c_out
    return w


def identity_by_kron(c_in, c_out, c, kernel):
    middle = torch.zeros(kernel, kernel, dtype=torch.float64)
    middle[kernel // 2, kernel // 2] = c / c_out
    return torch.kron(torch.eye(c), torch.ones(c_out // c, c_in // c))[..., None, None] * middle


def update_in_loops(psi, k, q):
    new = np.zeros(q.shape)
    for i in range(q.shape[1]):
        scores = [sum(float(k[i, j] * q[x, j]) for j in range(q.shape[1])) - float(psi[x, i]) for x in range(len(q))]
        top = max(scores)
        new[:, i] = [math.exp(v - top) for v in scores]
        new[:, i] /= new[:, i].sum()
    return new


def one_after_the_other(psi, k, q):
    q = q.clone()
    for i in range(q.shape[1]):
        q[:, i] = torch.softmax(q @ k[:, i] - psi[:, i], 0)
    return q


def without_itself(psi, k, q):
    return torch.softmax(q @ (k - k.diag().diag()) - psi, 0)


def plain_exponentials(psi, k, q):
    e = torch.exp(q @ k - psi)
    return e / e.sum(0)


def psi_in_place(psi, k, q):
    psi -= q @ k
    return torch.softmax(-psi, 0)


def diagonal_in_place(psi, k, q):
    k.fill_diagonal_(0)
    return torch.softmax(q @ k - psi, 0)


def sorted_in_place(rates):
    rates.sort()
    return holes(rates)


SOLUTIONS = {"09.1": rate_for, "09.2": holes, "09.3": wide_identity, "09.4": mean_field_step}
OTHERS = [
    ("09.1", by_search), ("09.1", lambda k, f: max(1.0, np.ceil((f - 1) / (k - 1)))),
    ("09.1", lambda k, f: torch.tensor(max(1, math.ceil((f - 1) / (k - 1))))),
    ("09.2", by_convolving), ("09.2", by_products), ("09.2", lambda rates: torch.tensor(float(holes(rates)))),
    ("09.3", identity_in_loops), ("09.3", identity_by_kron), ("09.3", lambda *a: wide_identity(*a).half()),
    ("09.4", update_in_loops), ("09.4", lambda psi, k, q: mean_field_step(psi.float(), k.float(), q.float())),
    ("09.4", lambda psi, k, q: torch.exp(torch.log_softmax(torch.einsum("lj,ij->li", q, k) - psi, 0))),
]
MUTANTS = [
    ("09.1", lambda k, f: (f - 1) // (k - 1) or 1, "round up"),
    ("09.1", lambda k, f: max(1, -(-f // (k - 1))), "the 1 is missing"),
    ("09.1", lambda k, f: max(1, -(-f // k)), "k - 1 gaps"),
    ("09.1", lambda k, f: -(-(f - 1) // (k - 1)) if f > k else 0, "a rate is at least 1"),
    ("09.1", lambda k, f: -(-(f - 1) // (k - 1)), "a rate is at least 1"),
    ("09.1", lambda k, f: max(1, (f - 1) / (k - 1)), "takes no fraction"),
    ("09.1", lambda k, f: rate_for(k, f) + 1, "not the smallest"),
    ("09.1", lambda k, f: (k - 1) * rate_for(k, f) + 1, "you return"),
    ("09.1", lambda k, f: [rate_for(k, f)], "you return"),
    ("09.2", lambda rates: 1 + 2 * sum(rates) - holes(rates), "count the others"),
    ("09.2", lambda rates: sum(2 * (r - 1) for r in rates), "filled by the next"),
    ("09.2", lambda rates: 2 * max(rates) - 2, "the largest rate alone"),
    ("09.2", lambda rates: holes(rates) + 1, "one too many"), ("09.2", lambda rates: holes(rates) - 1, "one too few"),
    ("09.2", lambda rates: holes(rates) if not rates.clear() else 0, "it changes `rates`"),
    ("09.2", sorted_in_place, "it changes `rates`"),
    ("09.2", lambda rates: holes(rates) // 2, "to both"),
    ("09.2", lambda rates: (1 + 2 * sum(rates))**2 - (1 + 2 * sum(rates) - holes(rates))**2, "along one axis"),
    ("09.2", lambda rates: holes(rates[:3]), "you return"),
    ("09.3", lambda a, b, c, k: wide_identity(a, b, c, k) * b / c, "equation 5 says C / c_out"),
    ("09.3", lambda a, b, c, k: wide_identity(b, a, c, k), "return a tensor"),
    ("09.3", lambda a, b, c, k: wide_identity(a, b, c, k) * b / c * (c // b), "// rounds it down to 0"),
    ("09.3", lambda a, b, c, k: wide_identity(a, b, c, k)[..., 0, 0], "return a tensor"),
    ("09.3", lambda a, b, c, k: wide_identity(a, b, c, k) * a / b, "times too large"),
    ("09.3", corner_tap, "t = 0 is the middle"), ("09.3", by_modulo, "groups are neighbours"),
    ("09.3", equal_indices, "only equal indices"),
    ("09.3", lambda a, b, c, k: torch.full((b, a, k, k), c / b), "identity moves nothing"),
    ("09.4", lambda psi, k, q: torch.softmax(-(q @ k) - psi, 0), "the sign of the message"),
    ("09.4", lambda psi, k, q: torch.softmax(q @ k + psi, 0), "the sign of psi"),
    ("09.4", lambda psi, k, q: torch.softmax(q @ k, 0), "the unary is forgotten"),
    ("09.4", lambda psi, k, q: torch.softmax(q @ k - psi, 1), "runs over pixels"),
    ("09.4", lambda psi, k, q: q @ k - psi, "these are scores"),
    ("09.4", lambda psi, k, q: torch.softmax(q.log() + q @ k - psi, 0), "not a product of beliefs"),
    ("09.4", in_place, "it changes `q`"), ("09.4", psi_in_place, "it changes `psi`"),
    ("09.4", diagonal_in_place, "j = i is missing"), ("09.4", without_itself, "j = i is missing"),
    ("09.4", one_after_the_other, "reads the old q everywhere"),
    ("09.4", plain_exponentials, "takes the largest score"),
    ("09.4", lambda psi, k, q: torch.softmax(q @ k - psi, 0)[:, 0], "return a tensor (K, N)"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_blank_fails(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize(("id", "answer"), OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


@pytest.mark.parametrize(("id", "mutant", "says"), MUTANTS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_typical_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(set(find(id).hints)) == len(find(id).hints)
