"""Student copies: the same notebook with blank exercises.

Uses nbgrader's marks and cell metadata, so that one source serves both: reading alone with `check`, and a
class that is graded with nbgrader.
"""

import re

import nbformat

SOLUTION = re.compile(r"^(?P<indent>[ \t]*)### BEGIN SOLUTION *\n(?:.*\n)*?[ \t]*### END SOLUTION *$", re.M)
HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS *\n(?:.*\n)*?[ \t]*### END HIDDEN TESTS *(?:\n|\Z)", re.M)
MARK = re.compile(r"^[ \t]*### (BEGIN|END) (SOLUTION|HIDDEN TESTS) *$", re.M)
ASSERTED = re.compile(r"^assert (check\(.*\)) *$", re.M)
STUB = {"code": r"\g<indent># YOUR CODE HERE\n\g<indent>raise NotImplementedError()",
        "markdown": "YOUR ANSWER HERE"}


def student_copy(notebook):
    """Return a copy with every solution blank and no outputs.

    * What stands between `### BEGIN SOLUTION` and `### END SOLUTION` becomes
      `raise NotImplementedError()`; hidden tests go.
    * `assert check(...)` becomes `check(...);`: an unsolved exercise then shows its advice without a
      traceback, and "Run All" goes on. nbgrader puts the assertion back when it grades, because the cell
      is locked.
    * Outputs and execution counts go, as in a notebook that nobody has run.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Format 4; it is not changed.

    Raises
    ------
    ValueError
        Marks are unbalanced, or a cell that nbgrader calls a solution has no marks (all of it would be
        handed out).
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        marks = MARK.findall(cell.source)
        pairs = list(zip(marks[::2], marks[1::2]))
        if 2 * len(pairs) != len(marks) or any(a[0] != "BEGIN" or b != ("END", a[1]) for a, b in pairs):
            raise ValueError(f"cell {cell.id}: the solution marks do not pair up")
        cell.source = SOLUTION.sub(STUB.get(cell.cell_type, ""), cell.source)
        cell.source = HIDDEN.sub("", cell.source).rstrip("\n")
        if cell.cell_type != "code":
            continue
        if cell.metadata.get("nbgrader", {}).get("solution") and ("BEGIN", "SOLUTION") not in marks:
            raise ValueError(f"cell {cell.id} is a solution for nbgrader but has no "
                             "### BEGIN SOLUTION / ### END SOLUTION: its answer would be handed out")
        cell.source = ASSERTED.sub(r"\1;", cell.source)
        cell.outputs, cell.execution_count = [], None
    return notebook
