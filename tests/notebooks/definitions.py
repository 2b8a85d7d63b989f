"""Pulls the functions and classes that a chapter builds out of its notebook, without running what it computes."""

import ast
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def define(cell, space):
    """Run the imports, constants in capitals, functions and classes of a cell; not what it computes or draws.

    What hangs on something that the notebook computed stays undefined.
    """
    source = "\n".join(line for line in cell.source.splitlines() if not line.startswith(("%", "!")))
    for node in ast.parse(source).body:
        names = node.targets if isinstance(node, ast.Assign) else [None]
        constant = all(isinstance(name, ast.Name) and name.id.isupper() for name in names)
        if constant or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
            with suppress(NameError):
                exec(compile(ast.Module([node], []), f"cell {cell.id}", "exec"), space)


def definitions(name, wanted):
    """The named functions and classes of `notebooks/NAME.ipynb` as they stand there, ready to call.

    If a name is defined several times, the last one counts.
    """
    space = {"__name__": f"notebook_{name}"}
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            define(cell, space)
    missing = [w for w in wanted if w not in space]
    assert not missing, f"{name}.ipynb no longer defines {', '.join(missing)}"
    return SimpleNamespace(**{w: space[w] for w in wanted})
