"""Pulls the functions and classes that a chapter builds out of its notebook, to compare them with the package's."""

import ast
from pathlib import Path
from types import SimpleNamespace

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def definitions(name: str, wanted: list[str]) -> SimpleNamespace:
    """The named functions and classes of ``notebooks/NAME.ipynb`` as they stand there, ready to call.

    Runs the notebook's imports, its constants in capitals and every function and class, in order, and nothing else. If a
    name is defined several times (loop version, then vectorised), the last one counts; ``NAME_k`` is not needed
    because chapters give their versions names of their own.
    """
    space: dict = {"__name__": f"notebook_{name}"}
    for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type != "code":
            continue
        source = "\n".join(line for line in cell.source.splitlines() if not line.startswith(("%", "!")))
        keep = [node for node in ast.parse(source).body
                if isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef))
                or isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) and t.id.isupper() for t in node.targets)]
        exec(compile(ast.Module(keep, []), f"{name}.ipynb", "exec"), space)
    missing = [w for w in wanted if w not in space]
    assert not missing, f"{name}.ipynb no longer defines {', '.join(missing)}"
    return SimpleNamespace(**{w: space[w] for w in wanted})
