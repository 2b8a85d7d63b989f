"""The check of notebook 00 passes the solution, fails the stub and names typical mistakes."""

import pytest

from seglab.check import check


def stub(prediction, truth):
    raise NotImplementedError


def test_solution_passes_and_stub_fails(capsys):
    assert check("00.1", lambda p, t: (p == t).float().mean().item())
    assert not check("00.1", stub)
    assert "not written yet" in capsys.readouterr().out


@pytest.mark.parametrize(("mutant", "says"), [
    (lambda p, t: (p == t).sum().item(), "did you count pixels"),
    (lambda p, t: (p == t).float().mean(), ".item() takes the number out"),
    (lambda p, t: 1 - (p == t).float().mean().item() if (p != t).any() else 1.0, "share of wrong pixels"),
    (lambda p, t: (p == t)[t > 0].float().mean().item(), "background pixels count like all others"),
])
def test_a_wrong_answer_is_told_what_is_wrong(mutant, says, capsys):
    assert not check("00.1", mutant)
    assert says in capsys.readouterr().out
