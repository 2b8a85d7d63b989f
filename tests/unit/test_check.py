"""Proofs fail when values differ, exercise checks never raise, hints escalate, claims assert."""

import numpy as np
import pytest
import torch

from seglab import exercises
from seglab.check import check, hint
from seglab.claims import claim, interval, replicate
from seglab.exercises import exercise, find
from seglab.hints import _GIVEN


def test_equal_prints_one_line_and_raises_with_the_worst_place(capsys):
    check.equal(torch.ones(2, 3), np.ones((2, 3)), "ones")
    assert capsys.readouterr().out == "✔ ones: 2×3 values equal exactly\n"
    with pytest.raises(AssertionError, match=r"1 of 4 values differ .* worst at \(1, 0\): 5 here, 3 in the reference"):
        check.equal([[1, 2], [5, 4]], [[1, 2], [3, 4]])


@pytest.mark.parametrize(("mine", "reference"), [
    ([1.0], [1.0 + 2e-6]), ([float("nan")], [1.0]), ([float("inf")], [-float("inf")]), ([1.0, 2.0], [1.0]), ([], []),
    ([True], [False]), (np.array([255], np.uint8), np.array([0], np.uint8)), ([1 + 1j], [1 - 1j]),
])
def test_equal_sees_every_kind_of_difference(mine, reference):
    with pytest.raises(AssertionError, match="✘"):
        check.equal(mine, reference, tolerance=1e-6)


def test_equal_accepts_the_same_special_values_and_half_types(capsys):
    check.equal([float("nan"), float("inf")], [float("nan"), float("inf")])
    check.equal(torch.ones(2, dtype=torch.bfloat16), torch.ones(2))
    check.equal(np.array([0, 255], np.uint8), [0, 255])
    check.equal(1.5, 1.4, tolerance=0.2)
    assert "within" not in capsys.readouterr().out.splitlines()[0]
    check.equal(1.0, 1.0, "one", tolerance=0.015)
    assert capsys.readouterr().out.endswith("within 0.015\n")
    with pytest.raises(AssertionError, match=r"worst at \(\): 1.5 here"):
        check.equal(1.5, 1.4)
    with pytest.raises(TypeError, match="mine must be numbers"):
        check.equal(object(), 1)


def test_gradient_compares_value_and_gradient():
    x = torch.randn(5, generator=torch.Generator().manual_seed(0))
    check.gradient(lambda x: x * x, lambda x: x.square(), x)
    with pytest.raises(AssertionError, match="value"):
        check.gradient(lambda x: x * 2, lambda x: x.square(), x)
    with pytest.raises(AssertionError, match="gradient"):
        check.gradient(lambda x: x.detach() * x, lambda x: x.square(), x)
    with pytest.raises(AssertionError, match="proves nothing"):
        check.gradient(lambda x: x * 0, lambda x: x * 0, x)


@pytest.fixture
def toy():
    @exercise("99.1", title="Doubling", hints=["think", "2 * x"])
    def cases(answer):
        yield "3 becomes 6", answer(3) == 6, "double it"
        yield "0 stays 0", answer(0) == 0, "no offset"

    yield
    del exercises._REGISTRY["99.1"]
    _GIVEN.clear()


def test_check_says_what_is_wrong_and_never_raises(toy, capsys):
    def stub(x):
        raise NotImplementedError

    assert check("99.1", lambda x: 2 * x)
    assert "99.1 Doubling: all good\n✔ 3 becomes 6" in capsys.readouterr().out
    for wrong, message in [(lambda x: x + 3, "✘ 0 stays 0: no offset"), (stub, "not written yet"),
                           (lambda x: x["a"], "your code stopped with TypeError"), (None, "TypeError")]:
        assert check("99.1", wrong) is False
        assert message in capsys.readouterr().out


def test_hints_escalate_and_the_last_one_repeats(toy, capsys):
    for expected in ("Hint 1 of 2 for 99.1: think", "Hint 2 of 2 for 99.1: 2 * x", "(that was the last one): 2 * x"):
        hint("99.1")
        assert expected in capsys.readouterr().out


def test_an_unknown_exercise_is_named_with_those_that_exist(toy):
    with pytest.raises(ValueError, match="id must name an exercise, got '99.7'; notebook 99 has: 99.1"):
        find("99.7")
    with pytest.raises(ValueError, match="id must look like"):
        exercise("5.1", "t", ["a", "b"])


def test_claim_prints_and_records_and_fails(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGLAB_CLAIMS_FILE", str(tmp_path / "claims.jsonl"))
    runs = replicate(lambda seed: {"a": seed, "b": seed + 2 + 0.1 * seed}, range(4))
    claim("99.1", "b is larger", runs, lambda r: r["b"] - r["a"], at_least=2)
    assert "✔ claim 99.1: b is larger  (4 seeds" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="✘ claim 99.1: b is smaller"):
        claim("99.1", "b is smaller", runs, lambda r: r["b"] - r["a"], at_most=0)
    with pytest.raises(AssertionError, match="expected >= 3"):
        claim("99.1", "b is much larger", runs, lambda r: r["b"] - r["a"], at_least=3)
    with pytest.raises(AssertionError, match="not finite"):
        claim("99.1", "nan", runs, lambda r: r["a"] * np.nan, at_least=0)
    with pytest.raises(ValueError, match="at_least or at_most"):
        claim("99.1", "x", runs, lambda r: r["a"])
    with pytest.raises(ValueError, match="one value a seed"):
        claim("99.1", "x", runs, lambda r: r["a"].mean(), at_least=0)
    assert len((tmp_path / "claims.jsonl").read_text().splitlines()) == 3


def test_interval_is_student_t():
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, round(low, 4), round(high, 4)) == (2.0, -0.4841, 4.4841)  # 2 ± 4.3027 / sqrt(3)
    with pytest.raises(ValueError, match="at least 2 seeds"):
        replicate(lambda seed: {"a": 1.0}, [0])
    with pytest.raises(ValueError, match="same quantities"):
        replicate(lambda seed: {str(seed): 1.0}, range(2))
