"""Pulls the functions and classes that a chapter builds out of its notebook, to compare them with the package's."""

import ast
from pathlib import Path
from types import SimpleNamespace

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def definitions(name: str, wanted: list[str]) -> SimpleNamespace:
    """The named functions and classes of ``notebooks/NAME.ipynb`` as they stand there, ready to call.

    Runs the notebook's imports, its constants in capitals and every function and class, in order, and nothing else;
    what needs a computed value to be defined is left out. If a name is defined several times, the last one counts.
    """
    space: dict = {"__name__": f"notebook_{name}"}
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type != "code":
            continue
        source = "\n".join(line for line in cell.source.splitlines() if not line.startswith(("%", "!")))
        for node in ast.parse(source).body:
            constant = isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) and t.id.isupper()
                                                            for t in node.targets)
            if constant or isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
                try:
                    exec(compile(ast.Module([node], []), f"{name}.ipynb", "exec"), space)
                except NameError:  # hangs on something computed, which is not run here
                    continue
    missing = [w for w in wanted if w not in space]
    assert not missing, f"{name}.ipynb no longer defines {', '.join(missing)}"
    return SimpleNamespace(**{w: space[w] for w in wanted})
