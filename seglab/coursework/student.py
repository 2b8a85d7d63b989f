"""Student copies: the same notebook with blank exercises.

Uses nbgrader's marks and cell metadata, so that one source serves both: reading alone with `check`, and a
class that is graded with nbgrader.
"""

import re

import nbformat
from nbformat import NotebookNode

# As nbgrader reads them: a line that holds the words anywhere is a mark, whatever stands before or behind them.
MARK = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")
CODE_STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
TEXT_STUB = ("YOUR ANSWER HERE",)


def student_copy(notebook: NotebookNode) -> NotebookNode:
    """Return a copy with every solution blank and no outputs.

    * What stands between `BEGIN SOLUTION` and `END SOLUTION` becomes a stub that raises NotImplementedError (in
      words: `YOUR ANSWER HERE`); hidden tests and marking schemes go. A cell that nbgrader calls a solution and
      that has no marks is blank altogether. All as nbgrader's release does it.
    * Outputs and execution counts go, as in a notebook that nobody has run, and pictures of a blank answer.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Format 4; it is not changed.

    Raises
    ------
    ValueError
        Marks are unbalanced: something would be handed out that should not.
    """
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        before, stub = cell.source, CODE_STUB if cell.cell_type == "code" else TEXT_STUB
        solution = cell.metadata.get("nbgrader", {}).get("solution", False)
        cell.source = _without_regions(cell, stub)
        if solution and "BEGIN SOLUTION" not in before:
            cell.source = "\n".join(stub)
        if "attachments" in cell:
            cell.attachments = {k: v for k, v in cell.attachments.items() if f"attachment:{k}" in cell.source}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _without_regions(cell: NotebookNode, stub: tuple[str, ...]) -> str:
    """The source of a cell without its marked regions, a stub where a solution stood."""
    kept, inside = [], ""
    for line in cell.source.split("\n"):
        mark = MARK.search(line)
        if mark is None:
            kept += [line] * (not inside)
            continue
        end, region = mark[1] == "END", mark[2]
        if inside != (region if end else ""):
            raise ValueError(f"cell {cell.id}: the marks must pair up, got {line.strip()!r} "
                             + (f"inside of {inside}" if inside else "without its beginning"))
        if region == "SOLUTION" and not end:
            indent = re.match(r"\s*", line)[0]
            kept += [indent + text for text in stub]
        inside = "" if end else region
    if inside:
        raise ValueError(f"cell {cell.id}: the marks must pair up, got no END {inside}")
    return "\n".join(kept)
