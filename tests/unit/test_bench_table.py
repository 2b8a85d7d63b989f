"""The table of `make bench` notices every way in which a row can be wrong."""

import importlib.util
import math
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks/run.py"
SPEC = importlib.util.spec_from_file_location("bench_run", PATH)
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)

GOOD = dict(name="a", rival="b", ours=0.5, theirs=1.0, difference=0.0, tolerance=0.0, limit=1.0)


@pytest.mark.parametrize("change, says", [
    ({"difference": 1e-3}, "results differ"), ({"difference": math.nan}, "results differ"),
    ({"ours": 1.5}, "ratio 1.5, more than 1"), ({"at_most": 0.4}, "0.5 s, more than 0.4 s"),
])
def test_a_row_that_is_wrong(change, says):
    fault, = bench.faults(GOOD | change)
    assert says in fault


def test_rows_that_are_right():
    assert bench.faults(GOOD) == []
    assert bench.faults(GOOD | {"ours": 3.0, "limit": None}) == [], "losing without a limit is shown, not punished"
    assert bench.faults(GOOD | {"theirs": None, "limit": None, "at_most": 1.0}) == []
    assert bench.faults({"name": "a"}) == ["the row lacks difference, limit, ours, rival, theirs, tolerance"]


def test_the_table_and_the_verdict(tmp_path, capsys):
    (tmp_path / "bench_a.py").write_text(f"ROWS = [lambda: {GOOD!r}]")
    assert bench.main(tmp_path, tmp_path / "B.md") == 0
    assert "| a | b | 500 ms | 1 s | 0.5x | 1x | 0 |" in (tmp_path / "B.md").read_text()
    (tmp_path / "bench_b.py").write_text(f"ROWS = [lambda: {GOOD | {'name': 'slow', 'ours': 2.0}!r}]")
    assert bench.main(tmp_path, tmp_path / "B.md") == 1
    assert "✘ slow: ratio 2, more than 1" in capsys.readouterr().out
    assert "| slow | b | 2 s | 1 s | 2x | 1x | 0 |" in (tmp_path / "B.md").read_text(), "rows that lose are shown"


def test_nothing_to_measure(tmp_path):
    with pytest.raises(FileNotFoundError, match="no bench_"):
        bench.load_rows(tmp_path)
    (tmp_path / "bench_a.py").write_text("ROWS = []")
    with pytest.raises(ValueError, match="ROWS is empty"):
        bench.load_rows(tmp_path)
