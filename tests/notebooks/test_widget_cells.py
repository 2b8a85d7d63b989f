"""The register and the notebooks name the same widgets."""

import ast
from pathlib import Path

import pytest

from seglab.coursework import read_notebook
from seglab.widgets import REGISTER

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))


def widget_calls(notebook):
    """For every cell tagged `widget`, the register's names that it calls, and whether it makes a Panel of its own."""
    for cell in notebook.cells:
        if "widget" in cell.metadata.get("tags", []):
            called = {getattr(node.func, "id", getattr(node.func, "attr", ""))
                      for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)}
            yield sorted(called & REGISTER.keys()), "Panel" in called


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_every_widget_of_a_notebook_is_in_the_register(path):
    shown = list(widget_calls(read_notebook(path)))
    for names, panel in shown:
        assert len(names) == 1 or (panel and path.stem.startswith("00")), \
            f"{path.name}: a widget cell must call one factory of seglab.widgets.REGISTER, this one calls {names}"
        assert all(REGISTER[name].notebook == path.stem[:2] for name in names), (path.name, names)


def test_every_widget_of_the_register_is_in_its_notebook():
    found = {name for path in NOTEBOOKS for names, _ in widget_calls(read_notebook(path)) for name in names}
    assert found == set(REGISTER)
    assert all(entry.shows for entry in REGISTER.values())
