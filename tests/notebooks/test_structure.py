"""Every notebook of the course has the same parts: head, short cells, proofs, claims, a widget, exercises, foot."""

import re
import statistics
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from seglab.coursework import problems, read_notebook
from seglab.exercises import find

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

HEAD = {                                                      # part -> how the reader recognises it
    "what you will build": r"build",
    "goals": r"able to",
    "what to know before": r"before|prerequisite|need to know|assumes",
    "minutes": r"minute",
    "the numbers you should see": r"you should see|you will see|numbers",
}
FOOT = ["Recap", "Common mistakes", "Next", "References"]
UNTESTABLE = re.compile(r"\b(interact|interactive|interactive_output|clear_output|Output)\s*\(")
SIDE = re.compile(r'check\("(\d\d\.\d+)", (\w+)\)')
CORE = re.compile(r'(\w+) = check\.use\("(\d\d\.\d+)", (\w+)\)\ncheck\.points\("(\d\d\.\d+)"\)')
# chapters whose second edition, with core exercises, is still to come
WITHOUT_CORE = {"00", "01", "02", "03", "06", "09", "10", "11", "12", "14", "17"}


def code_cells(notebook):
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def tags(cell):
    return cell.metadata.get("tags", [])


def head_faults(notebook, name):
    meta, number = notebook.metadata.get("seglab", {}), name[:2]
    first = next((i for i, c in enumerate(notebook.cells) if c.cell_type == "code"), len(notebook.cells))
    head = "\n".join(c.source for c in notebook.cells[:first])
    if meta.get("id") != number:
        yield f"metadata seglab.id must be {number!r}, is {meta.get('id')!r}"
    if not isinstance(meta.get("minutes"), int | float) or not 0 < meta["minutes"] < 60:
        yield f"metadata seglab.minutes must be a number of minutes, is {meta.get('minutes')!r}"
    requires = meta.get("requires")
    if not isinstance(requires, list) or not all(re.fullmatch(r"\d\d", str(r)) and r < number for r in requires):
        yield f"metadata seglab.requires must list numbers of earlier notebooks, is {requires!r}"
    if not head.startswith("# "):
        yield "the first cell must be the title, '# ...'"
    yield from (f"the head lacks {part}" for part, sign in HEAD.items() if not re.search(sign, head, re.I))


def foot_faults(notebook):
    prose = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    headings = re.findall(r"^#+ +(.*)$", prose, re.M)
    for part in FOOT:
        if not any(part.lower() in h.lower() for h in headings[-8:]):
            yield f"the foot lacks the heading {part!r}"


def cell_faults(notebook):
    sizes = {c.id: sum(bool(line.strip()) for line in c.source.splitlines()) for c in code_cells(notebook)}
    if sizes and statistics.median(sizes.values()) > 6:
        yield f"the median code cell has {statistics.median(sizes.values())} lines, more than 6"
    yield from (f"cell {i} has {n} lines, more than 40" for i, n in sizes.items() if n > 40)
    for before, cell in zip([None, *notebook.cells], notebook.cells):
        if re.search(r"^assert check", cell.source, re.M):
            yield f"cell {cell.id}: check never raises and is not asserted; it returns points"
        if re.search(r"!\[[^]]*\]\(\s*https?:|<img[^>]+https?:", cell.source):
            yield f"cell {cell.id} shows a picture from the web: nobody can see it offline"
        if cell.cell_type == "code":
            for name in UNTESTABLE.findall(cell.source):
                yield f"cell {cell.id} uses {name}, which the tests cannot follow: use seglab.widgets.Panel"
            if before is not None and "### BEGIN SOLUTION" in cell.source and before.cell_type != "markdown":
                yield f"cell {cell.id}: an exercise needs its task in the cell before"


def proof_faults(notebook):
    source = "\n".join(c.source for c in code_cells(notebook))
    if not re.search(r"\bcheck\.(equal|gradient)\(", source):
        yield "no proof: nothing is compared with check.equal or check.gradient"
    claims = [c for c in code_cells(notebook) if re.search(r"^\s*claim\(", c.source, re.M)]
    if not claims:
        yield "no measured claim"
    yield from (f"cell {c.id}: a claim's numbers differ between machines, it needs the tag nbval-ignore-output"
                for c in claims if "nbval-ignore-output" not in tags(c))
    widgets = [c for c in code_cells(notebook) if "widget" in tags(c)]
    if not widgets:
        yield "no widget: no cell has the tag 'widget'"
    yield from (f"cell {c.id}: the widget has no still picture for readers without a kernel"
                for c in widgets if not any("image/png" in o.get("data", {}) for o in c.outputs))


def exercise_faults(notebook, name, least=4):
    cells, found, cores = notebook.cells, [], 0
    for i, cell in enumerate(cells):
        if cell.cell_type != "code" or "### BEGIN SOLUTION" not in cell.source:
            continue
        marks = cell.metadata.get("nbgrader", {})
        after = cells[i + 1] if i + 1 < len(cells) else None
        side, core = (form.fullmatch(after.source.strip()) if after is not None else None for form in (SIDE, CORE))
        if core and not (core[1] == core[3] and core[2] == core[4]):
            yield f"cell {after.id}: a core exercise uses and scores one function: {core[1]} and {core[3]}, " \
                  f"{core[2]} and {core[4]}"
        if not side and not core:
            yield f'cell {cell.id}: the cell after a solution must be check("{name[:2]}.k", function) or, for a core ' \
                  f'one, function = check.use("{name[:2]}.k", function) and check.points("{name[:2]}.k")'
            continue
        id, function = (core[2], core[3]) if core else side.groups()
        found.append(id)
        cores += bool(core)
        behind = cells[i + 2].source if i + 2 < len(cells) else ""
        if not re.match(rf'# hint\("{re.escape(id)}"\)', behind):
            yield f'exercise {id}: the cell after the check must be # hint("{id}")'
        grade_id = id.replace(".", "-")
        expected = [(marks, {"grade_id": grade_id, "solution": True, "grade": False, "locked": False}),
                    (after.metadata.get("nbgrader", {}),
                     {"grade_id": f"{grade_id}-check", "solution": False, "grade": True, "locked": True})]
        for has, wants in expected:
            for key, value in wants.items():
                if has.get(key) != value:
                    yield f"exercise {id}: nbgrader metadata {key} must be {value!r}, is {has.get(key)!r}"
        if not re.search(rf"^(def|class) {function}\b", cell.source, re.M):
            yield f"exercise {id}: check is called on {function}, which the solution cell does not define"
        if not re.search(r"\bmin(utes?)?\b", cells[i - 1].source):
            yield f"exercise {id}: the task says neither difficulty nor minutes"
        try:
            task = find(id)
        except ValueError as error:
            yield f"exercise {id} is not registered in seglab.exercises: {error}"
            continue
        if after.metadata.get("nbgrader", {}).get("points") != task.points:
            points = after.metadata.get("nbgrader", {}).get("points")
            yield f"exercise {id} has {points} points here, {task.points} in seglab.exercises"
        if bool(core) != (task.course is not None):
            yield f"exercise {id} is core in one place only: the cell and seglab.exercises must agree"
    if len(found) < least:
        yield f"{len(found)} exercises, at least {least} are due"
    if cores < 2 and name[:2] not in WITHOUT_CORE:
        yield f"{cores} core exercises (check.use), at least 2 are due"
    first = next((c.source for c in code_cells(notebook)), "")
    if found and not re.search(r"^from seglab\.check import .*\bhint\b", first, re.M):
        yield "the first code cell must import hint from seglab.check"
    if found != [f"{name[:2]}.{k}" for k in range(1, len(found) + 1)]:
        yield f"exercises must be numbered in reading order, are {found}"


def faults(notebook, name):
    """What a notebook lacks, in words. The start page explains the course and is spared what a chapter needs."""
    found = [*head_faults(notebook, name), *cell_faults(notebook)]
    if name.startswith("00"):
        return found + [*exercise_faults(notebook, name, least=1)]
    return found + [*foot_faults(notebook), *proof_faults(notebook), *exercise_faults(notebook, name)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_has_every_part(path):
    found = faults(read_notebook(path), path.name)
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_fit_to_be_committed(path):
    found = problems(path)
    assert not found, "\n".join(["", *found])


def test_readme_lists_every_notebook_with_its_minutes():
    table = dict(re.findall(r"^\| *\[(\d\d_\w+)\]\(notebooks/\1\.ipynb\) *\|.*\| *([\d.]+) *\|$",
                            (ROOT / "README.md").read_text(encoding="utf-8"), re.M))
    minutes = {path.stem: read_notebook(path).metadata.seglab.minutes for path in NOTEBOOKS}
    assert {name: float(m) for name, m in table.items()} == minutes


# ---------------------------------------------------------------- each rule seen red

def chapter():
    """A notebook with every part, none of it real but the exercises' names, which are those of chapter 05."""
    head = "# U-Net\nYou will build ... be able to ... Before: 04. 2 minutes. You should see 0.9."
    cells = [new_markdown_cell(head, id="title"),
             new_code_cell("from seglab.check import check, hint", id="imports"),
             new_code_cell("check.equal(a, b)", id="proof"),
             new_code_cell('claim("05.1", "x", runs, effect)', id="claim", metadata={"tags": ["nbval-ignore-output"]}),
             new_code_cell("Panel(draw, t=slider)", id="panel", metadata={"tags": ["widget"]},
                           outputs=[new_output("display_data", {"image/png": "iVBORw0="})])]
    for k in (1, 2, 3, 4):
        marks = {"schema_version": 3, "task": False, "grade_id": f"05-{k}", "solution": True, "grade": False,
                 "locked": False}
        judge = marks | {"grade_id": f"05-{k}-check", "solution": False, "grade": True, "locked": True, "points": 2}
        asked = f'f{k} = check.use("05.{k}", f{k})\ncheck.points("05.{k}")' if k < 3 else f'check("05.{k}", f{k})'
        cells += [new_markdown_cell(f"**Exercise 05.{k}** (easy, 5 min)", id=f"task-{k}"),
                  new_code_cell(f"def f{k}(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION",
                                id=f"solution-{k}", metadata={"nbgrader": marks}),
                  new_code_cell(asked, id=f"check-{k}", metadata={"nbgrader": judge}),
                  new_code_cell(f'# hint("05.{k}")  # for a hint', id=f"hint-{k}")]
    cells.append(new_markdown_cell("\n".join(f"## {part}" for part in FOOT), id="foot"))
    return new_notebook(cells=cells, metadata={"seglab": {"id": "05", "minutes": 2, "requires": ["04"]}})


def cell(notebook, id):
    return next(c for c in notebook.cells if c.id == id)


@pytest.fixture
def registered(monkeypatch):
    """Chapter 05 as if it had exactly the exercises 05.1 to 05.4, two of them core, with two points each."""
    def only(id):
        if id not in ("05.1", "05.2", "05.3", "05.4"):
            raise ValueError("no such exercise")
        return SimpleNamespace(points=2, course=len if id < "05.3" else None)
    monkeypatch.setitem(exercise_faults.__globals__, "find", only)


def test_a_complete_chapter_has_no_fault(registered):
    assert faults(chapter(), "05_unet.ipynb") == []


@pytest.mark.parametrize("spoil, says", [
    (lambda nb: nb.metadata.seglab.update(id="06"), "seglab.id"),
    (lambda nb: nb.metadata.seglab.update(minutes="two"), "seglab.minutes"),
    (lambda nb: nb.metadata.seglab.update(requires=["07"]), "seglab.requires"),
    (lambda nb: nb.cells[0].update(source="U-Net, build, be able to, before, minutes, numbers"), "must be the title"),
    (lambda nb: nb.cells[0].update(source="# U-Net\nbuild, able to, before, numbers"), "lacks minutes"),
    (lambda nb: cell(nb, "foot").update(source="## Recap\n## Next\n## References"), "'Common mistakes'"),
    (lambda nb: cell(nb, "imports").update(source="\n".join(["x = 1"] * 41)), "41 lines"),
    (lambda nb: [c.update(source=c.source + "\nx = 1" * 6) for c in nb.cells if c.cell_type == "code"], "median"),
    (lambda nb: cell(nb, "imports").update(source="interact(f, x=3)"), "uses interact"),
    (lambda nb: cell(nb, "imports").update(source="with widgets.Output():\n    pass"), "uses Output"),
    (lambda nb: cell(nb, "task-1").update(source="![](https://x.org/a.png) 5 min"), "from the web"),
    (lambda nb: cell(nb, "proof").update(source="print(a == b)"), "no proof"),
    (lambda nb: cell(nb, "claim").update(source="print('better')"), "no measured claim"),
    (lambda nb: cell(nb, "claim").update(metadata={}), "nbval-ignore-output"),
    (lambda nb: cell(nb, "panel").update(metadata={}), "no widget"),
    (lambda nb: cell(nb, "panel").update(outputs=[]), "no still picture"),
    (lambda nb: nb.cells.remove(cell(nb, "check-2")), "the cell after a solution"),
    (lambda nb: [nb.cells.remove(cell(nb, f"{part}-4")) for part in ("task", "solution", "check")], "3 exercises"),
    (lambda nb: cell(nb, "check-2").update(source='check("05.2", f2)'), "1 core exercises"),
    (lambda nb: cell(nb, "check-2").update(source='check("05.2", f2)'), "core in one place only"),
    (lambda nb: cell(nb, "check-3").update(source='f3 = check.use("05.3", f3)\ncheck.points("05.3")'),
     "core in one place only"),
    (lambda nb: cell(nb, "check-1").update(source='f1 = check.use("05.1", f1)\ncheck.points("05.2")'),
     "uses and scores one function"),
    (lambda nb: cell(nb, "check-1").update(source='g = check.use("05.1", f1)\ncheck.points("05.1")'),
     "uses and scores one function"),
    (lambda nb: cell(nb, "check-1").update(source='f1 = check.use("05.1", f1)'), "the cell after a solution"),
    (lambda nb: cell(nb, "check-3").update(source='assert check("05.3", f3)'), "the cell after a solution"),
    (lambda nb: nb.cells.remove(cell(nb, "hint-3")), 'must be # hint("05.3")'),
    (lambda nb: cell(nb, "imports").update(source="from seglab.check import check"), "must import hint"),
    (lambda nb: nb.cells.remove(cell(nb, "task-1")), "needs its task"),
    (lambda nb: cell(nb, "task-1").update(source="Do it."), "neither difficulty nor minutes"),
    (lambda nb: cell(nb, "solution-1").metadata.nbgrader.update(solution=False), "solution must be True"),
    (lambda nb: cell(nb, "check-1").metadata.nbgrader.update(grade_id="05-1"), "grade_id must be '05-1-check'"),
    (lambda nb: cell(nb, "check-1").metadata.nbgrader.update(points=3), "has 3 points here, 2 in"),
    (lambda nb: cell(nb, "check-3").update(source='check("05.3", g)'), "does not define"),
    (lambda nb: cell(nb, "check-3").update(source='check("05.9", f3)'), "not registered"),
    (lambda nb: cell(nb, "check-3").update(source='check("05.2", f3)'), "reading order"),
])
def test_a_missing_part_is_noticed(registered, spoil, says):
    notebook = chapter()
    spoil(notebook)
    found = faults(notebook, "05_unet.ipynb")
    assert any(says in fault for fault in found), found


def test_the_start_page_is_spared_what_a_chapter_needs(registered):
    notebook = chapter()
    notebook.metadata.seglab.update(id="00", requires=[])
    nothing = {"foot", "panel", "claim",
               *(f"{part}-{k}" for k in (1, 2, 3, 4) for part in ("task", "solution", "check", "hint"))}
    notebook.cells = [c for c in notebook.cells if c.id not in nothing]
    assert faults(notebook, "00_start_here.ipynb") == ["0 exercises, at least 1 are due"]
