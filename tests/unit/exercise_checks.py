"""What the tests of every chapter's exercises ask of a check."""

from seglab.check import check


def solution_passes_and_blank_fails(id, solution, capsys):
    """The solution passes every case; the blank of the student copy fails and is called by its name."""
    assert check(id, solution), capsys.readouterr().out
    assert "✘" not in capsys.readouterr().out

    def stub(*_):
        raise NotImplementedError
    assert not check(id, stub), f"{id}: the blank passes"
    assert "not written yet" in capsys.readouterr().out


def slip_is_named(id, mutant, says, capsys):
    """A typical wrong answer fails, with advice that names the mistake."""
    assert not check(id, mutant), f"{id}: {mutant} passes"
    out = capsys.readouterr().out
    assert says in out, f"{id}: expected {says!r} in\n{out}"
