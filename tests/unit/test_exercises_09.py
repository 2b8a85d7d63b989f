"""The checks of notebook 09: the solution passes, the stub fails, and each typical slip is named."""
import pytest
import torch
from exercise_checks import slip_is_named

from seglab.check import check
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


SOLUTIONS = {"09.1": rate_for, "09.2": holes, "09.3": wide_identity, "09.4": mean_field_step}
MUTANTS = [
    ("09.1", lambda k, f: (f - 1) // (k - 1) or 1, "round up"),
    ("09.1", lambda k, f: max(1, -(-f // (k - 1))), "the 1 is missing"),
    ("09.1", lambda k, f: max(1, -(-f // k)), "k - 1 gaps"),
    ("09.1", lambda k, f: -(-(f - 1) // (k - 1)) if f > k else 0, "a rate is at least 1"),
    ("09.1", lambda k, f: float(rate_for(k, f)), "takes no fraction"),
    ("09.2", lambda rates: 1 + 2 * sum(rates) - holes(rates), "count the others"),
    ("09.2", lambda rates: sum(2 * (r - 1) for r in rates), "filled by the next"),
    ("09.2", lambda rates: 2 * max(rates) - 2, "the largest rate alone"),
    ("09.2", lambda rates: holes(rates) + 1, "one too many"), ("09.2", lambda rates: holes(rates) - 1, "one too few"),
    ("09.2", lambda rates: holes(rates) if not rates.clear() else 0, "rates"),
    ("09.3", lambda a, b, c, k: wide_identity(a, b, c, k) * b / c, "equation 5 says C / c_out"),
    ("09.3", lambda a, b, c, k: wide_identity(b, a, c, k), "return a tensor"),
    ("09.3", corner_tap, "t = 0 is the middle"), ("09.3", by_modulo, "groups are neighbours"),
    ("09.3", equal_indices, "only equal indices"),
    ("09.3", lambda a, b, c, k: torch.full((b, a, k, k), c / b), "identity moves nothing"),
    ("09.4", lambda psi, k, q: torch.softmax(-(q @ k) - psi, 0), "the sign of the message"),
    ("09.4", lambda psi, k, q: torch.softmax(q @ k + psi, 0), "the sign of psi"),
    ("09.4", lambda psi, k, q: torch.softmax(q @ k, 0), "the unary is forgotten"),
    ("09.4", lambda psi, k, q: torch.softmax(q @ k - psi, 1), "runs over pixels"),
    ("09.4", lambda psi, k, q: q @ k - psi, "these are scores"),
    ("09.4", lambda psi, k, q: torch.softmax(q.log() + q @ k - psi, 0), "not a product of beliefs"),
    ("09.4", in_place, "read the old beliefs"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes(id, capsys):
    assert check(id, SOLUTIONS[id]), capsys.readouterr().out


@pytest.mark.parametrize("id", SOLUTIONS)
def test_an_empty_answer_fails(id, capsys):
    def stub(*_):
        raise NotImplementedError
    assert not check(id, stub) and "not written yet" in capsys.readouterr().out
    assert not check(id, lambda *_: None)


@pytest.mark.parametrize(("id", "mutant", "says"), MUTANTS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_typical_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(set(find(id).hints)) == len(find(id).hints)
