"""The student copy of every notebook: it holds no solution, is unchanged up to the first blank, and checks pass when
the blanks are filled.
"""

import re
from pathlib import Path

import pytest
from definitions import define

from seglab.coursework import read_notebook, student_copy

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
SOLUTION = re.compile(r"### BEGIN SOLUTION *\n(.*?)[ \t]*### END SOLUTION", re.S)
CHECK = re.compile(r'\bcheck(?:\.use)?(\("\d\d\.\d+", \w+\))')


def verdicts(cells):
    """What each exercise check says when only definitions were run: expression of the check -> True or False."""
    space, said = {"__name__": "student"}, {}
    for cell in cells:
        if cell.cell_type == "code":
            define(cell, space)
            if not cell.source.startswith("#"):
                said |= {call: bool(eval(f"check{call}", space)) for call in CHECK.findall(cell.source)}
    return said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_student_copy(path, capsys):
    source = read_notebook(path)
    copy = student_copy(source)
    blanks = [i for i, c in enumerate(source.cells) if c.cell_type == "code" and "### BEGIN SOLUTION" in c.source]
    assert blanks, "no exercise"

    told = "\n".join(cell.source for cell in copy.cells)
    for cell in source.cells:
        for answer in SOLUTION.findall(cell.source):
            assert answer.strip() and answer not in told, f"cell {cell.id}: its solution stands in the copy"
    assert [c.source for c in copy.cells[:blanks[0]]] == [c.source for c in source.cells[:blanks[0]]]
    assert not any(c.get("outputs") for c in copy.cells), "an output may show what a solution computes"

    blank = verdicts(copy.cells)
    assert len(blank) == len(blanks) and not any(blank.values()), f"a check is content with a blank: {blank}"
    assert "not written yet" in capsys.readouterr().out
    for i in blanks:
        copy.cells[i].source = source.cells[i].source
    filled = verdicts(copy.cells)
    assert filled.keys() == blank.keys() and all(filled.values()), capsys.readouterr().out
