"""A reader's copy runs from the first cell to the last, untouched and with a wrong answer in every blank.

Under the profile `smoke`: training is cut to a few steps and no number that it gives is judged, everything else is as
the reader meets it.
"""

import os
from pathlib import Path

import pytest

from seglab.coursework import read_notebook, student_copy
from seglab.coursework.execute import run

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
BLANK = "raise NotImplementedError()"
SMOKE = {"SEGLAB_PROFILE": "smoke", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def untouched(path):
    return student_copy(read_notebook(path))


def all_wrong(path):
    """The copy with `return "wrong"` in every blank."""
    copy = untouched(path)
    blanks = [c for c in copy.cells if c.cell_type == "code" and BLANK in c.source]
    assert blanks, "no exercise"
    for cell in blanks:
        cell.source = cell.source.replace(BLANK, 'return "wrong"')
        compile(cell.source, cell.id, "exec")
    return copy


def said(copy):
    """What the checks printed, cell by cell."""
    graded = [c for c in copy.cells if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("grade")]
    return {c.id: "".join(o.get("text", "") for o in c.outputs) for c in graded}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_an_untouched_copy_runs_to_its_end(path):
    copy = untouched(path)
    run(copy, FOLDER, timeout=300, environment=SMOKE)
    assert all("not written yet" in text for text in said(copy).values()), said(copy)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_copy_with_wrong_answers_runs_to_its_end(path):
    copy = all_wrong(path)
    run(copy, FOLDER, timeout=300, environment=SMOKE)
    assert all("✘" in text and "not written yet" not in text for text in said(copy).values()), said(copy)


def test_a_copy_that_stops_is_noticed():
    copy = untouched(NOTEBOOKS[0])
    copy.cells[1].source += "\nraise KeyError('planted')"
    with pytest.raises(RuntimeError, match="planted"):
        run(copy, FOLDER, timeout=60, environment=SMOKE)
