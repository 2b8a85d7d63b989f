"""A reader's answers brought from an old copy of a notebook into a newer one, with nothing lost on the way."""

import ast
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_raw_cell

from seglab.coursework.notebook_file import read_notebook, write_notebook
from seglab.coursework.student import TEXT_STUB

CARRIED, SAME, ASIDE, BLANK = "carried", "same", "aside", "blank"


def carry_answers(old: str | Path, new: str | Path) -> tuple[dict[str, str], int]:
    """Bring the answers of an old copy into a new one; exercises are recognised by nbgrader's ``grade_id``.

    An answer takes the place of the blank. Where that would lose something (the new copy holds another answer, asks
    for a function of another name, or no longer has the exercise) the old answer is put beside it, into a cell that
    does not run. ``old`` is only read, and carrying twice changes nothing more.

    Parameters
    ----------
    old, new : str or Path
        Two copies of one chapter; ``new`` is rewritten.

    Returns
    -------
    (dict, int)
        ``grade_id`` -> "carried", "same" (the new copy had it already), "aside" (put beside) or "blank" (nothing to
        bring); and how many other cells of the old copy the new one lacks: notes of the reader, or what the course
        has changed.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_notebook`, and ValueError if the two copies have no exercise in common; nothing is written then.
    """
    source, target = read_notebook(old), read_notebook(new)
    answers, places = _solutions(source), _solutions(target)
    if not answers.keys() & places.keys():
        raise ValueError(f"{old} and {new} must be copies of one chapter, got no exercise that is in both")
    state = {id: _carry(id, cell, places.get(id), target) for id, cell in answers.items()}
    known = {cell.source.strip() for cell in target.cells} | {""}
    graded = {cell.source.strip() for cell in source.cells if "nbgrader" in cell.metadata}
    others = sum(cell.source.strip() not in known | graded for cell in source.cells)
    if set(state.values()) & {CARRIED, ASIDE}:
        write_notebook(target, new)
    return state, others


def _solutions(notebook: NotebookNode) -> dict[str, NotebookNode]:
    marked = [(cell.metadata.get("nbgrader", {}), cell) for cell in notebook.cells]
    return {marks["grade_id"]: cell for marks, cell in marked if marks.get("solution") and marks.get("grade_id")}


def _carry(id: str, answer: NotebookNode, place: NotebookNode | None, target: NotebookNode) -> str:
    if place is not None and place.source == answer.source:
        return SAME
    if _is_blank(answer):
        return BLANK
    if place is not None and _is_blank(place) and _defined(place) <= _defined(answer):
        place.source = answer.source
        if place.cell_type == "code":
            place.outputs, place.execution_count = [], None
        return CARRIED
    text = f"Your earlier answer to {id}:\n\n{answer.source}"
    if any(cell.cell_type == "raw" and cell.source == text for cell in target.cells):
        return SAME
    after = len(target.cells) if place is None else target.cells.index(place) + 1
    target.cells.insert(after, new_raw_cell(text))
    return ASIDE


def _is_blank(cell: NotebookNode) -> bool:
    """Does the cell hold nothing but what the course put there: signatures, docstrings and stubs?"""
    if cell.cell_type != "code":
        return TEXT_STUB[0] in cell.source
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:
        return False
    return all(_says_nothing(node) for node in tree.body)


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return all(map(_says_nothing, node.body))
    stub = isinstance(node, ast.Raise) and "NotImplementedError" in ast.unparse(node)
    docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return stub or docstring or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _defined(cell: NotebookNode) -> set[str]:
    """Names of the functions and classes at the top of a cell; none where it is no code that can be read."""
    try:
        body = ast.parse(cell.source).body if cell.cell_type == "code" else []
    except SyntaxError:
        return set()
    return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
