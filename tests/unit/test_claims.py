"""A claim's verdict is read off its interval: held, open or refuted; sentences are made from numbers."""

import json

import numpy as np
import pytest

from seglab.claims import Runs, claim, interval, replicate, say


def runs_of(effect):
    return Runs({"a": np.zeros(len(effect)), "b": np.asarray(effect, float)})


def difference(runs):
    return runs["b"] - runs["a"]


@pytest.mark.parametrize("effect, bounds, verdict, sign", [
    ([2.0, 2.1, 2.2], {"at_least": 1}, "held", "✔"),                      # interval 1.85..2.35
    ([0.5, 2.1, 2.2], {"at_least": 1}, "open", "≈"),                      # mean 1.6, interval -0.8..4.0
    ([0.5, 0.6, 0.7], {"at_most": 1}, "held", "✔"),
    ([0.1, 0.6, 1.7], {"at_most": 1}, "open", "≈"),
    ([0.01, -0.01, 0.0], {"at_least": -0.1, "at_most": 0.1}, "held", "✔"),   # no difference that matters
    ([0.09, -0.09, 0.05], {"at_least": -0.1, "at_most": 0.1}, "open", "≈"),  # too few seeds to say so
    ([1.0, 1.0, 1.0], {"at_least": 1}, "held", "✔"),                      # on the bound, without spread
])
def test_three_verdicts(effect, bounds, verdict, sign, capsys):
    assert claim("99.1", "b is larger", runs_of(effect), difference, **bounds) is None  # a cell shows no value
    out = capsys.readouterr().out
    assert out.startswith(f"{sign} claim 99.1: b is larger  (3 seeds, mean and 95 % interval)")
    assert ("3 seeds do not decide it" in out) == (verdict == "open")


@pytest.mark.parametrize("effect, bounds", [
    ([0.0, 0.0, 0.0], {"at_least": 0.1}), ([2.0, 3.0, 4.0], {"at_most": 1}), ([-5.0, 9.0, -5.0], {"at_least": 0}),
    ([0.5, 0.6, 0.7], {"at_least": -0.1, "at_most": 0.1}),
])
def test_a_refuted_claim_stops_the_notebook(effect, bounds):
    with pytest.raises(AssertionError, match="✘ claim 99.1: b is larger"):
        claim("99.1", "b is larger", runs_of(effect), difference, **bounds)


def test_claim_records_its_verdict(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEGLAB_CLAIMS_FILE", str(tmp_path / "claims.jsonl"))
    runs = replicate(lambda seed: {"a": seed, "b": seed + 2 + 0.1 * seed}, range(4), varies="data and order")
    claim("99.1", "b is larger", runs, difference, at_least=2)
    assert "between seeds vary data and order" in capsys.readouterr().out
    with pytest.raises(AssertionError, match="claimed >= 3"):
        claim("99.1", "b is much larger", runs, difference, at_least=3)
    rows = [json.loads(line) for line in (tmp_path / "claims.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["open", "refuted"] and not any(row["holds"] for row in rows)
    assert rows[0]["varies"] == "data and order" and set(rows[0]["quantities"]) == {"a", "b"}


def test_bad_calls_are_named():
    runs = runs_of([1.0, 2.0])
    with pytest.raises(AssertionError, match="not finite"):
        claim("99.1", "nan", runs, lambda r: r["b"] * np.nan, at_least=0)
    with pytest.raises(ValueError, match="at_least or at_most"):
        claim("99.1", "x", runs, difference)
    with pytest.raises(ValueError, match="at_least must be smaller"):
        claim("99.1", "x", runs, difference, at_least=1, at_most=0)
    with pytest.raises(ValueError, match="one value a seed"):
        claim("99.1", "x", runs, lambda r: r["b"].mean(), at_least=0)
    with pytest.raises(ValueError, match="at least 2 seeds"):
        replicate(lambda seed: {"a": 1.0}, [0])
    with pytest.raises(ValueError, match="same quantities"):
        replicate(lambda seed: {str(seed): 1.0}, range(2))


def test_interval_is_student_t_and_stays_within_what_is_possible():
    mean, low, high = interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, round(low, 4), round(high, 4)) == (2.0, -0.4841, 4.4841)  # 2 ± 4.3027 / sqrt(3)
    assert interval([0.9, 1.0, 1.0], possible=(0, 1))[2] == 1.0 < interval([0.9, 1.0, 1.0])[2]


def test_possible_values_cut_the_printed_intervals(capsys):
    runs = Runs({"recall": np.array([0.9, 1.0, 1.0])})
    claim("99.1", "high", runs, lambda r: r["recall"], at_least=0.5, possible={"recall": (0, 1), "effect": (0, 1)})
    assert capsys.readouterr().out.count(", 1]") == 2


def test_a_smoke_run_gives_no_verdict(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("SEGLAB_PROFILE", "smoke")
    monkeypatch.setenv("SEGLAB_CLAIMS_FILE", str(tmp_path / "claims.jsonl"))
    seen = []
    runs = replicate(lambda seed: seen.append(seed) or {"a": 0.0, "b": float("nan")}, range(10))
    assert seen == [0, 1]
    claim("99.1", "b is larger", runs, difference, at_least=3)
    assert capsys.readouterr().out == "· claim 99.1: b is larger  (a smoke run: no verdict)\n"
    assert not (tmp_path / "claims.jsonl").exists()


@pytest.mark.parametrize("values, expected", [([1, 2, 3, 2], "up by +2.0"), ([-1, -2, -3, -2], "down"),
                                              ([-1, 1, 3, -2], "4 seeds cannot tell")])
def test_a_sentence_is_made_from_its_number(values, expected, capsys):
    say(np.array(values), above="up by {mean:+.1f}", below="down", between="{count} seeds cannot tell")
    assert capsys.readouterr().out == expected + "\n"
    with pytest.raises(ValueError, match="at least 2 seeds"):
        say(np.array([1.0]), above="", below="", between="")
