"""What the tests of every chapter's exercises ask of a check."""

from seglab.check import check
from seglab.exercises import find


def solution_passes_and_blank_fails(id, solution, capsys):
    """The solution passes every case and gets all points; the blank fails and is called by its name."""
    score = check(id, solution)
    out = capsys.readouterr().out
    assert score, out
    assert "✘" not in out and float(score) == find(id).points
    assert out.count("\n✔") == find(id).count, f"{id} has {out.count(chr(10) + '✔')} cases, count says {find(id).count}"

    def stub(*_):
        raise NotImplementedError
    score = check(id, stub)
    assert not score and float(score) == 0, f"{id}: the blank passes"
    assert "not written yet" in capsys.readouterr().out


def slip_is_named(id, mutant, says, capsys):
    """A typical wrong answer fails, with advice that names the mistake, and does not get all points."""
    score = check(id, mutant)
    out = capsys.readouterr().out
    assert not score, f"{id}: {mutant} passes"
    assert float(score) < find(id).points
    assert says in out, f"{id}: expected {says!r} in\n{out}"


def other_style_passes(id, answer, capsys):
    """A right answer in another style (loops, float32, NumPy) passes."""
    score = check(id, answer)
    assert score, f"{id}: a right answer is refused\n{capsys.readouterr().out}"
    capsys.readouterr()
