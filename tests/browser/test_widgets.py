"""Every widget of the course answers when its controls are moved, in a real JupyterLab in a real browser."""

from pathlib import Path

import pytest
from driver import CHROMIUM, FLAGS, drag, move_every_control, press, pull, run_all, serve
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from seglab.coursework import clean, read_notebook, write_notebook

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))

PANELS = {
    "imports": """
import numpy as np
from ipywidgets import Dropdown, IntSlider
from seglab.widgets import Panel

def bar(t, colour="red"):
    rgb = np.zeros((60, 256, 3), np.uint8)
    rgb[:, :t, {"red": 0, "blue": 2}[colour]] = 255
    return rgb""",
    "training": 'raise RuntimeError("only widget cells may run here")',
    "setup": "STEP = 1",
    "good": """
Panel(lambda t, colour: bar(t // STEP, colour), t=IntSlider(100, 0, 255, description="good"),
      colour=Dropdown(options=["red", "blue"], description="colour"))""",
    "broken": """
def breaks(t):
    if t != 100:
        raise KeyError("no such layer")
    return bar(t)
Panel(breaks, t=IntSlider(100, 0, 255, description="broken"))""",
    "deaf": """
deaf = IntSlider(100, 0, 255, description="deaf")
panel = Panel(bar, t=deaf)
deaf.unobserve_all()
panel""",
    "at the end": 'Panel(bar, t=IntSlider(255, 0, 255, description="at the end"))',
}


def widget_cells(notebook):
    """A notebook with only the first code cell (the imports) and the cells tagged `widget` or `widget-setup`.

    Opening a whole chapter would train its networks again just to move a slider.
    """
    code = [c for c in notebook.cells if c.cell_type == "code"]
    keep = [c for c in code if c is code[0] or {"widget", "widget-setup"} & set(c.metadata.get("tags", []))]
    for cell in keep:
        cell.outputs, cell.execution_count = [], None
    return new_notebook(cells=keep, metadata=notebook.metadata)


def fixture_notebook():
    tags = {"training": [], "imports": [], "setup": ["widget-setup"]}
    cells = [new_code_cell(source.strip(), id=name.replace(" ", "-"), metadata={"tags": tags.get(name, ["widget"])})
             for name, source in PANELS.items()]
    return new_notebook(cells=[new_markdown_cell("# Panels", id="title"), *cells])


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of every notebook's widget cells (it saves what it opens, so never the originals)."""
    folder, scratch = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("lab")
    notebooks = {path.name: widget_cells(read_notebook(path)) for path in NOTEBOOKS} | {
        "panels.ipynb": widget_cells(fixture_notebook()),
        "warns.ipynb": new_notebook(cells=[new_code_cell("import warnings\nwarnings.warn('old')")]),
        "fails.ipynb": new_notebook(cells=[new_code_cell("1 / 0"), new_code_cell("2")]),
    }
    for name, notebook in notebooks.items():
        write_notebook(clean(notebook), folder / name)        # names the kernel: Lab would ask for one
    with serve(folder, scratch) as address:
        yield address


@pytest.fixture(scope="module")
def screenshots():
    """Folder of the pictures that this run leaves behind, one a widget: build/screenshots."""
    folder = Path(__file__).resolve().parents[2] / "build/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, headless=True, args=FLAGS,
            viewport={"width": 1200, "height": 1400})
        yield browser.pages[0]
        browser.close()


def test_a_panel_that_works_and_panels_that_do_not(page, lab):
    """Negative controls: a broken callback and a control that nobody observes must both be noticed."""
    run_all(page, lab("panels.ipynb"))

    def slider(name):
        return page.locator(".widget-slider", has=page.get_by_text(name, exact=True))

    good = page.locator(".jp-CodeCell", has=slider("good"))
    assert move_every_control(page, good) == {"good": True, "colour": True}
    assert drag(page, slider("at the end")), "a slider at its right end is dragged to the left"
    assert not drag(page, slider("broken"))
    pull(page, slider("broken"), 60)
    assert page.locator(".seglab-error", has_text="no such layer").is_visible(), "the panel says what went wrong"
    assert drag(page, slider("good")), "the mouse goes on working after an error elsewhere"
    assert press(page, slider("deaf")) is False, "so are keys that change nothing"
    assert press(page, slider("good")) is True
    assert not drag(page, slider("deaf"))


@pytest.mark.parametrize("name, says", [("fails.ipynb", "ZeroDivisionError"), ("warns.ipynb", "UserWarning: old")])
def test_an_error_or_a_warning_is_noticed(page, lab, name, says):
    with pytest.raises(AssertionError, match=says):
        run_all(page, lab(name))


WITH_WIDGETS = [p for p in NOTEBOOKS if any("widget" in c.metadata.get("tags", []) for c in read_notebook(p).cells)]


@pytest.mark.parametrize("path", WITH_WIDGETS, ids=lambda p: p.stem)
def test_every_control_of_a_notebook_changes_its_picture(page, lab, path, screenshots):
    run_all(page, lab(path.name))
    tagged = [c for c in read_notebook(path).cells if "widget" in c.metadata.get("tags", [])]
    shown = page.locator(".jp-CodeCell", has=page.locator(".jupyter-widgets"))
    playwright.expect(shown, "every cell tagged 'widget' shows one").to_have_count(len(tagged), timeout=20_000)
    for number, cell in enumerate(shown.all()):
        answers = move_every_control(page, cell)
        cell.screenshot(path=screenshots / f"{path.stem}-{number}.png")
        assert answers, f"widget {number} of {path.name} has no slider and no menu"
        assert all(answers.values()), f"widget {number} of {path.name}: moved, but the picture stayed: {answers}"
        error = cell.locator(".seglab-error")
        assert error.count() == 0, f"widget {number} of {path.name} shows {error.first.inner_text()}"
