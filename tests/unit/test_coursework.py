"""Notebook files: normal form, execution, student copies, the reader's copies, and what nbgrader makes of them."""

import base64
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from seglab.coursework import (
    carry_answers,
    claims_table,
    clean,
    execute,
    measure_claims,
    problems,
    read_notebook,
    refresh_copies,
    student_copy,
    write_notebook,
)
from seglab.coursework.__main__ import main
from seglab.coursework.execute import run

ROOT = Path(__file__).resolve().parents[2]
SOLUTION = '''def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    if x == 0:
        return 0
    return 2 * x   # the secret
    ### END SOLUTION'''
CHECK = '''def check(name, function):
    try:
        good = function(3) == 6
    except NotImplementedError:
        good = False
    print("✔" if good else "✘", name)
    return good'''


def graded(id, **marks):
    base = {"schema_version": 3, "grade_id": id, "grade": False, "solution": False, "locked": False, "task": False}
    return {"nbgrader": base | marks}


def toy():
    """A chapter in small: prose, a value, one exercise with its check, an answer in words."""
    return new_notebook(metadata={"seglab": {"id": "99", "minutes": 1, "requires": []}}, cells=[
        new_markdown_cell("# Toy", id="title"),
        new_code_cell(CHECK, id="helper"),
        new_code_cell("a = 20 + 1\nprint(a)", id="before"),
        new_code_cell(SOLUTION, id="exercise", metadata=graded("99-1", solution=True)),
        new_code_cell('check("99.1", double)', id="proof",
                      metadata=graded("99-1-check", grade=True, locked=True, points=2)),
        new_code_cell("print(double(a))", id="after"),
    ])


@pytest.fixture
def course(tmp_path):
    """A folder of one executed notebook."""
    folder = tmp_path / "notebooks"
    write_notebook(toy(), folder / "99_toy.ipynb")
    execute(folder / "99_toy.ipynb")
    return folder


def one_cell(notebook, grade_id):
    return next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def text_of(path):
    return Path(path).read_text(encoding="utf-8")


# ---------------------------------------------------------------- execution and normal form

def test_execute_twice_gives_the_same_bytes(course):
    path = course / "99_toy.ipynb"
    first = text_of(path)
    assert execute(path) > 0
    assert text_of(path) == first
    assert problems(path) == []
    notebook = read_notebook(path)
    assert notebook.cells[-1].outputs[0].text == "42\n"
    assert [c.execution_count for c in notebook.cells if c.cell_type == "code"] == [1, 2, 3, 4, 5]


def test_execute_runs_beside_the_notebook_and_without_progress_bars(tmp_path):
    path = tmp_path / "here" / "a.ipynb"
    write_notebook(new_notebook(cells=[new_code_cell(
        "import os\nprint(os.path.basename(os.getcwd()), os.environ['SEGLAB_QUIET'])")]), path)
    execute(path)
    assert read_notebook(path).cells[0].outputs[0].text == "here 1\n"


@pytest.mark.parametrize("source, says", [("1 / 0", "ZeroDivisionError"),
                                          ("import time; time.sleep(30)", "longer than 2 s"),
                                          ("import os; os._exit(3)", "kernel died")])
def test_a_failing_cell_leaves_the_file_as_it_was(tmp_path, source, says):
    path = tmp_path / "a.ipynb"
    write_notebook(new_notebook(cells=[new_code_cell("x = 1"), new_code_cell(source)]), path)
    before = text_of(path)
    with pytest.raises(RuntimeError, match=says) as caught:
        execute(path, timeout=2)
    assert str(path) in str(caught.value)
    assert text_of(path) == before


def test_clean_keeps_what_an_author_wrote_and_drops_what_changes_by_itself():
    notebook = toy()
    cell = notebook.cells[2]
    cell.metadata = nbformat.from_dict({"tags": ["widget"], "execution": {"iopub.status.busy": "now"}, "trusted": True})
    cell.execution_count = 17
    cell.outputs = [
        new_output("stream", text="10 %\r50 %\r"), new_output("stream", text="90 %\rdone\n"),
        new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "d2ad"},
                                    "image/png": "iVBORw0=", "text/plain": "Panel(t)"},
                   metadata={"needs": 1, "image/png": {"width": 30, "height": 20, "needs_background": "light"}}),
        new_output("execute_result", {"text/plain": "<object at 0x7f33aa10>"}, execution_count=17),
    ]
    notebook.metadata["widgets"] = {"state": {}}
    before = json.dumps(notebook)
    cleaned = clean(notebook)
    assert json.dumps(notebook) == before, "the argument is not touched"
    assert cleaned.metadata.seglab.id == "99" and "widgets" not in cleaned.metadata
    cell = cleaned.cells[2]
    assert cell.metadata == {"tags": ["widget"]} and cell.execution_count == 1 and cell.id == "before"
    stream, picture, value = cell.outputs
    assert stream.text == "done\n"
    assert set(picture.data) == {"image/png", "text/plain"}
    assert picture.metadata == {"image/png": {"width": 30, "height": 20}}, "the size in which it is shown stays"
    assert value.data["text/plain"] == "<object at 0xADDR>" and value.execution_count == 1
    assert cleaned.cells[3].metadata.nbgrader.grade_id == "99-1"
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize("spoil, says", [
    (lambda nb: nb.cells[2].update(execution_count=None, outputs=[]), "cell before was not run"),
    (lambda nb: nb.cells[2].outputs.append(new_output("error", ename="KeyError", evalue="'x'", traceback=[])),
     "stores an error: KeyError"),
    (lambda nb: nb.cells[2].outputs.append(new_output("stream", name="stderr", text="UserWarning: old\n")),
     "stores a warning: UserWarning: old"),
    (lambda nb: nb.cells[2].outputs.append(new_output("stream", text="saved in /home/me/x.png\n")),
     "names a place on one machine: /home/me/x.png"),
    (lambda nb: nb.cells[0].update(source="look into /Users/ann/data"), "/Users/ann/data"),
    (lambda nb: nb.cells[0].update(source="x" * 1_600_000), "1.60 MB"),
    (lambda nb: nb.metadata.update(widgets={}), "not in normal form"),
])
def test_problems_are_named(course, spoil, says):
    path = course / "99_toy.ipynb"
    notebook = read_notebook(path)
    spoil(notebook)
    write_notebook(notebook, path)
    assert any(says in problem for problem in problems(path)), problems(path)


def test_addresses_on_the_web_and_relative_paths_are_no_problem(course):
    path = course / "99_toy.ipynb"
    notebook = read_notebook(path)
    notebook.cells[0].source = "[a](https://x.org/home/a.html), `work/05.ipynb`, ../data/nuclei, ~/work/x"
    write_notebook(notebook, path)
    assert problems(path) == []


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    write_notebook(toy(), path)
    before = text_of(path)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_notebook(new_notebook(), path)
    assert text_of(path) == before and [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


# ---------------------------------------------------------------- wrong input

@pytest.mark.parametrize("content, says", [
    (None, "no notebook at"), ("print(1)", "not JSON"), (b"\xff\xfe\x00", "not JSON"), ("[1, 2]", "of format 4"),
    ("{}", "of format 4"), ('{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "of format 4"),
    ('{"cells": [], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}', "of format 4"),
    ('{"cells": [1], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "not a valid notebook"),
    ('{"cells": [{"cell_type": "cold"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "not a valid notebook"),
    ('{"cells": [], "nbformat": 4, "nbformat_minor": 5}', "not a valid notebook"),
])
def test_a_file_that_is_no_notebook(tmp_path, content, says):
    path = tmp_path / "a.ipynb"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises((FileNotFoundError, ValueError), match=says) as caught:
        read_notebook(path)
    assert str(path) in str(caught.value)


def test_cells_of_an_older_format_get_an_id_that_stays(tmp_path):
    content = json.loads(nbformat.writes(toy()))
    content["nbformat_minor"] = 4
    for cell in content["cells"]:
        del cell["id"]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content))
    assert [c.id for c in read_notebook(path).cells] == [f"cell-{i:02}" for i in range(6)]


def test_two_cells_with_the_same_id(tmp_path):
    notebook = toy()
    notebook.cells[1].id = "title"
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(notebook))
    with pytest.raises(ValueError, match="ids must differ.*title"):
        read_notebook(path)


@pytest.mark.parametrize("source", [
    SOLUTION.replace("    ### END SOLUTION", ""), SOLUTION.replace("    ### BEGIN SOLUTION\n", ""),
    SOLUTION + "\n### END SOLUTION", SOLUTION.replace("if x", "### BEGIN SOLUTION\n    if x"),
    "### BEGIN SOLUTION\n### END HIDDEN TESTS", "### BEGIN HIDDEN TESTS\nassert 1"])
def test_unbalanced_marks(source):
    notebook = toy()
    notebook.cells[3].source = source
    notebook.cells[3].metadata = {}
    with pytest.raises(ValueError, match="cell exercise: the marks must pair up"):
        student_copy(notebook)


# ---------------------------------------------------------------- student copies

def test_student_copy_is_blank_where_the_solution_was_and_equal_elsewhere(course):
    source = read_notebook(course / "99_toy.ipynb")
    copy = student_copy(source)
    assert "secret" not in json.dumps(copy) and "42" not in json.dumps(copy)
    assert copy.cells[3].source == ('def double(x):\n    """Twice x."""\n    # YOUR CODE HERE\n'
                                    '    raise NotImplementedError()')
    for i in (0, 1, 2, 4, 5):
        assert copy.cells[i].source == source.cells[i].source
    assert all(c.execution_count is None and c.outputs == [] for c in copy.cells if c.cell_type == "code")
    assert [c.id for c in copy.cells] == [c.id for c in source.cells]
    assert "secret" in json.dumps(source), "the source is not touched"


def test_two_solutions_in_a_cell_an_answer_in_words_and_hidden_tests():
    notebook = new_notebook(cells=[
        new_code_cell("### BEGIN SOLUTION\na = 1\n### END SOLUTION\nb = 2\nif b:\n    ### BEGIN SOLUTION\n    c = 3\n"
                      "    ### END SOLUTION"),
        new_markdown_cell("Why?\n### BEGIN SOLUTION\nBecause.\n### END SOLUTION"),
        new_code_cell("assert 1\n### BEGIN HIDDEN TESTS\nassert 2\n### END HIDDEN TESTS"),
    ])
    code, words, tests = (cell.source for cell in student_copy(notebook).cells)
    assert code == ("# YOUR CODE HERE\nraise NotImplementedError()\nb = 2\nif b:\n    # YOUR CODE HERE\n"
                    "    raise NotImplementedError()")
    assert words == "Why?\nYOUR ANSWER HERE" and tests == "assert 1"


def test_student_copy_runs_to_the_blank_and_with_the_solution_to_the_end(course, tmp_path):
    source = read_notebook(course / "99_toy.ipynb")
    copy = student_copy(source)
    run(copy, tmp_path, stop_at_error=False)
    assert copy.cells[2].outputs[0].text == "21\n"
    assert copy.cells[4].outputs[0].text == "✘ 99.1\n", "the check speaks, it does not raise"
    assert copy.cells[5].outputs[0].ename == "NotImplementedError"
    filled = student_copy(source)
    filled.cells[3].source = source.cells[3].source
    run(filled, tmp_path)
    assert filled.cells[4].outputs[0].text == "✔ 99.1\n" and filled.cells[5].outputs[0].text == "42\n"


LEAKS = {                                                     # the forms of a secret that nbgrader takes out
    "between marks": new_code_cell("a = 1\n### BEGIN SOLUTION\nb = 'SECRET'\n### END SOLUTION",
                                   metadata=graded("a", solution=True)),
    "a whole cell without marks": new_code_cell("SECRET = 1", metadata=graded("a", solution=True)),
    "a written answer": new_markdown_cell("SECRET", metadata=graded("a", solution=True, grade=True, points=2)),
    "a written answer between marks": new_markdown_cell("Why?\n### BEGIN SOLUTION\nSECRET\n### END SOLUTION",
                                                        metadata=graded("a", solution=True, grade=True, points=2)),
    "hidden tests": new_code_cell("f()\n# BEGIN HIDDEN TESTS\nassert 'SECRET'\n# END HIDDEN TESTS",
                                  metadata=graded("a", grade=True, locked=True, points=2)),
    "text behind the mark": new_code_cell("### BEGIN SOLUTION\na = 1\n### END SOLUTION\n  ### BEGIN SOLUTION (2 P)\n  b"
                                          " = 'SECRET'\n### END SOLUTION (2 P)", metadata=graded("a", solution=True)),
    "a marking scheme": new_markdown_cell("Draw.\n=== BEGIN MARK SCHEME ===\nSECRET\n=== END MARK SCHEME ===\nEnd.",
                                          metadata=graded("a", task=True, locked=True, points=2)),
}


@pytest.mark.parametrize("cell", LEAKS.values(), ids=LEAKS)
def test_nothing_is_handed_out_and_what_is_left_is_what_nbgrader_releases(cell):
    preprocessors = pytest.importorskip("nbgrader.preprocessors")
    notebook = new_notebook(cells=[cell])
    ours = student_copy(notebook)
    theirs = nbformat.from_dict(notebook)
    for name in ("ClearSolutions", "ClearHiddenTests", "ClearMarkScheme"):
        theirs, _ = getattr(preprocessors, name)().preprocess(theirs, {})
    assert "SECRET" in notebook.cells[0].source and "SECRET" not in json.dumps(ours)
    assert ours.cells[0].source == theirs.cells[0].source


def test_a_picture_goes_with_the_answer_that_shows_it():
    picture = {"image/png": "aVZCT1J3MD0="}
    cell = new_markdown_cell("![task](attachment:task.png)\n### BEGIN SOLUTION\n![](attachment:answer.png)\n"
                             "### END SOLUTION", attachments={"task.png": picture, "answer.png": picture})
    assert student_copy(new_notebook(cells=[cell])).cells[0].attachments == {"task.png": picture}


NOISY = """
import sys
quiet = check
def check(id, answer):
    print("a warning", file=sys.stderr)
    return quiet(id, answer)
"""


def test_nbgrader_grades_a_real_chapter(tmp_path):
    """Its own command line with the course's configuration: a blank, a wrong type, and a right answer that warns and
    whose check was deleted."""
    pytest.importorskip("nbgrader")
    name = "00_start_here"
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                                "SEGLAB_PROFILE": "smoke", "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
                                "IPYTHONDIR": str(tmp_path / "ipython")}

    def nbgrader(*arguments):
        done = subprocess.run([sys.executable, "-m", "nbgrader", *arguments], cwd=tmp_path,
                              env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]

    source = read_notebook(ROOT / f"notebooks/{name}.ipynb")
    assert main(["sources", str(ROOT / f"notebooks/{name}.ipynb"), "--to", str(tmp_path / "grading/source")]) == 0
    nbgrader("generate_assignment", name)
    released = read_notebook(tmp_path / f"grading/release/{name}/{name}.ipynb")
    for mine, theirs in zip(student_copy(source).cells, released.cells, strict=True):
        assert mine.source == theirs.source

    solution = one_cell(source, "00-1").source
    for student, answer in {"blank": None, "wrong": solution.replace(".item()", ""), "right": solution + NOISY}.items():
        notebook = nbformat.from_dict(released)
        one_cell(notebook, "00-1").source = answer or one_cell(notebook, "00-1").source
        if student == "right":
            notebook.cells.remove(one_cell(notebook, "00-1-check"))
        write_notebook(notebook, tmp_path / f"grading/submitted/{student}/{name}/{name}.ipynb")
    nbgrader("autograde", name)
    nbgrader("generate_feedback", name)
    nbgrader("export")
    header, *rows = [line.split(",") for line in text_of(tmp_path / "grading/grades.csv").splitlines()]
    scores = {row[header.index("student_id")]: float(row[header.index("score")]) for row in rows}
    assert scores["blank"] == 0 and scores["right"] == 1 and 0 <= scores["wrong"] < 1
    assert "python float" in text_of(tmp_path / f"grading/feedback/wrong/{name}/{name}.html").lower()


# ---------------------------------------------------------------- the reader's copies

def test_a_copy_is_made_once_refreshed_while_untouched_and_never_overwritten(course, tmp_path):
    work, path = tmp_path / "work", course / "99_toy.ipynb"
    copy = work / "99_toy.ipynb"
    assert refresh_copies(course, work) == {"99_toy.ipynb": "new"}
    assert "secret" not in text_of(copy)
    assert refresh_copies(course, work) == {"99_toy.ipynb": "same"}

    source = read_notebook(path)
    source.cells[0].source = "# Toy, second edition"
    write_notebook(source, path)
    assert refresh_copies(course, work) == {"99_toy.ipynb": "refreshed"}
    assert "second edition" in text_of(copy)

    mine = read_notebook(copy)
    mine.cells[3].source = "def double(x): return x + x"
    write_notebook(mine, copy)
    edited = copy.read_bytes()
    assert refresh_copies(course, work) == {"99_toy.ipynb": "kept"}
    source.cells[0].source = "# Toy, third edition"
    write_notebook(source, path)
    assert refresh_copies(course, work) == {"99_toy.ipynb": "outdated"}
    assert copy.read_bytes() == edited

    copy.rename(work / "mine.ipynb")
    assert refresh_copies(course, work) == {"99_toy.ipynb": "new"}
    assert "third edition" in text_of(copy) and (work / "mine.ipynb").read_bytes() == edited


def opened_in_jupyterlab(path, *edits):
    """What JupyterLab writes when somebody runs a copy to its end and saves it."""
    notebook = json.loads(text_of(path))
    notebook["metadata"]["language_info"] = {"name": "python", "version": "3.13.1", "file_extension": ".py"}
    for number, cell in enumerate(notebook["cells"]):
        cell["metadata"] = {"editable": True, "slideshow": {"slide_type": ""}, "tags": []} | cell["metadata"]
        if cell["cell_type"] == "code":
            cell["execution_count"] = number + 40
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["ran\n"]}]
    notebook["cells"].append({"cell_type": "code", "id": "behind", "metadata": {}, "source": [], "outputs": [],
                              "execution_count": None})
    for edit in edits:
        edit(notebook["cells"])
    Path(path).write_text(json.dumps(notebook, indent=1))


def test_an_opened_copy_is_not_an_edited_one(course, tmp_path):
    work, path = tmp_path / "work", course / "99_toy.ipynb"
    copy = work / "99_toy.ipynb"
    refresh_copies(course, work)
    opened_in_jupyterlab(copy)
    before = text_of(copy)
    assert refresh_copies(course, work) == {"99_toy.ipynb": "same"} and text_of(copy) == before
    source = read_notebook(path)
    source.cells[0].source = "# Toy, second edition"
    write_notebook(source, path)
    assert refresh_copies(course, work) == {"99_toy.ipynb": "refreshed"} and "second edition" in text_of(copy)
    opened_in_jupyterlab(copy, lambda cells: cells[0].update(source="# Toy, my notes"))
    assert refresh_copies(course, work) == {"99_toy.ipynb": "kept"}
    source.cells[3].metadata["nbgrader"]["grade_id"] = "99-7"
    write_notebook(source, path)
    assert refresh_copies(course, work) == {"99_toy.ipynb": "outdated"} and "my notes" in text_of(copy)


def test_a_record_of_bytes_as_earlier_versions_kept_it(course, tmp_path):
    work = tmp_path / "work"
    refresh_copies(course, work)
    digest = hashlib.sha256((work / "99_toy.ipynb").read_bytes()).hexdigest()
    (work / ".seglab/copies.json").write_text(json.dumps({"99_toy.ipynb": digest}))
    source = read_notebook(course / "99_toy.ipynb")
    source.cells[0].source = "# Toy, second edition"
    write_notebook(source, course / "99_toy.ipynb")
    assert refresh_copies(course, work) == {"99_toy.ipynb": "refreshed"}


# ---------------------------------------------------------------- answers carried into a new copy

BLANK = "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"


def copy_with(path, **sources):
    """A copy whose solution cells are the given ones: grade_id (a_b for a-b) -> source."""
    cells = [new_markdown_cell("# Toy")]
    for id, source in sources.items():
        make = new_markdown_cell if source.startswith(("YOUR ANSWER", "Because")) else new_code_cell
        cells.append(make(source, metadata=graded(id.replace("_", "-"), solution=True)))
    write_notebook(new_notebook(cells=cells), path)
    return path


def sources_of(path):
    return [cell.source for cell in read_notebook(path).cells[1:]]


def test_answers_are_carried_by_grade_id_and_only_once(tmp_path, capsys):
    mine = "def double(x):\n    return x + x  # mine"
    old = copy_with(tmp_path / "old.ipynb", a_1=mine, a_2="Because.", a_3=BLANK)
    new = copy_with(tmp_path / "new.ipynb", a_3=BLANK.replace("x", "value"), a_2="YOUR ANSWER HERE", a_1=BLANK)
    before = old.read_bytes()
    assert carry_answers(old, new) == ({"a-1": "carried", "a-2": "carried", "a-3": "blank"}, 0)
    assert sources_of(new) == [BLANK.replace("x", "value"), "Because.", mine] and old.read_bytes() == before
    once = new.read_bytes()
    assert carry_answers(old, new)[0] == {"a-1": "same", "a-2": "same", "a-3": "blank"} and new.read_bytes() == once
    assert main(["carry", str(old), str(new)]) == 0 and "a-1: there already" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["def double(x):\n    return 2 * x  # newer",
                                   "def twice(x):\n    raise NotImplementedError()",
                                   "half = x / 2\n" + BLANK, "def double(x:", None])
def test_an_answer_that_has_no_blank_to_go_to_is_put_beside(tmp_path, place):
    mine = "def double(x):\n    return x + x"
    old = copy_with(tmp_path / "old.ipynb", a_1=mine, a_2=BLANK)
    new = copy_with(tmp_path / "new.ipynb", **({"a_1": place} if place else {}), a_2=BLANK)
    kept = sources_of(new)
    assert carry_answers(old, new)[0]["a-1"] == "aside"
    now = sources_of(new)
    assert [text for text in now if text in kept] == kept, "nothing of the new copy is lost"
    aside, = set(now) - set(kept)
    assert mine in aside and "a-1" in aside
    carry_answers(old, new)
    assert sources_of(new) == now, "carrying twice changes nothing more"


def test_copies_of_two_chapters_and_notes_of_the_reader(tmp_path, capsys):
    old = copy_with(tmp_path / "old.ipynb", a_1="def double(x): return x + x")
    other = copy_with(tmp_path / "other.ipynb", b_1=BLANK)
    before = other.read_bytes()
    assert main(["carry", str(old), str(other)]) == 2
    assert "must be copies of one chapter" in capsys.readouterr().err and other.read_bytes() == before
    notebook = read_notebook(old)
    notebook.cells.append(new_markdown_cell("a note of mine"))
    write_notebook(notebook, old)
    assert main(["carry", str(old), str(copy_with(tmp_path / "new.ipynb", a_1=BLANK))]) == 0
    said = capsys.readouterr().out
    assert "a-1: carried" in said and "1 other cells of" in said


@pytest.mark.parametrize("damage", [lambda f: f.unlink(), lambda f: f.write_text("{"), lambda f: f.write_text("[]"),
                                    lambda f: f.write_text('{"99_toy.ipynb": 5}')])
def test_without_a_record_everything_counts_as_edited(course, tmp_path, damage):
    refresh_copies(course, tmp_path / "work")
    damage(tmp_path / "work/.seglab/copies.json")
    copy = tmp_path / "work/99_toy.ipynb"
    copy.write_text("my own file")
    assert refresh_copies(course, tmp_path / "work") == {"99_toy.ipynb": "outdated"}
    assert copy.read_text() == "my own file"


def test_copies_from_an_empty_folder_or_into_a_place_that_cannot_be_written(course, tmp_path):
    with pytest.raises(FileNotFoundError, match="no notebooks in"):
        refresh_copies(tmp_path / "nowhere", tmp_path / "work")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write in"):
        refresh_copies(course, tmp_path / "file")


# ---------------------------------------------------------------- claims over more seeds

CLAIMS = """from seglab.claims import claim, replicate
from seglab.runtime import seeds
NAN = float('nan')
runs = replicate(lambda seed: {'without': seed, 'with|map': seed + 2.0}, seeds(3))"""
GAIN = 'lambda r: r["with|map"] - r["without"]'


def test_claims_are_collected_whether_they_hold_or_not(tmp_path):
    path = tmp_path / "98_claims.ipynb"
    write_notebook(new_notebook(cells=[
        new_code_cell(CLAIMS), new_code_cell(f'claim("98.1", "It | helps", runs, {GAIN}, at_least=1)'),
        new_code_cell(f'claim("98.2", "It harms", runs, {GAIN}, at_most=-1)'),
        new_code_cell('claim("98.3", "Some of it", runs, lambda r: r["without"], at_least=1)')]), path)
    before = text_of(path)
    first, second, third = claims = measure_claims(path, seeds=4)
    assert text_of(path) == before
    assert first["holds"] and not second["holds"] and first["n"] == 4 and first["effect_mean"] == 2.0
    table = claims_table(claims).splitlines()
    assert len(table) == 5 and table[2].startswith("| 98.1 | It / helps | 2 [2, 2] | without 1.5 [")
    assert table[2].endswith("| 4 | yes |") and table[3].endswith("| **no** |")
    assert table[4].endswith("| not decided |") and third["verdict"] == "open" and not third["holds"]
    assert {row.count("|") for row in table} == {7}
    assert main(["claims", str(path), "--seeds", "3", "--to", str(tmp_path / "CLAIMS.md")]) == 1
    assert "over seeds 0 to 2" in text_of(tmp_path / "CLAIMS.md")


@pytest.mark.parametrize("source", ["1 / 0", "claim('98.3', '', runs, lambda r: r['without'] * NAN, at_least=0)"])
def test_any_other_failure_is_no_result(tmp_path, source):
    path = tmp_path / "98_claims.ipynb"
    write_notebook(new_notebook(cells=[new_code_cell(CLAIMS), new_code_cell(source)]), path)
    with pytest.raises(RuntimeError, match="98_claims.ipynb, cell .*(ZeroDivisionError|not finite)"):
        measure_claims(path, seeds=2)


# ---------------------------------------------------------------- command line

def test_command_line(course, tmp_path, capsys):
    path, work = str(course / "99_toy.ipynb"), tmp_path / "work"
    assert main(["check", path]) == 0 and "fit to be committed" in capsys.readouterr().out
    assert main(["student", path, "--to", str(tmp_path / "build")]) == 0
    assert "secret" not in text_of(tmp_path / "build/99_toy.ipynb")
    assert main(["lab-copies", str(course), str(work)]) == 0 and "new copy" in capsys.readouterr().out
    assert main(["lab-copies", str(course), str(work)]) == 0 and capsys.readouterr().out == ""
    notebook = read_notebook(path)
    notebook.metadata["widgets"] = {}
    write_notebook(notebook, path)
    assert main(["check", path]) == 1 and "not in normal form" in capsys.readouterr().out
    assert main(["clean", path]) == 0 and main(["check", path]) == 0
    assert main(["student", path, "--to", str(course)]) == 2
    assert "would overwrite the solutions" in capsys.readouterr().err
    assert main(["check", str(tmp_path / "no.ipynb")]) == 2 and "error: no notebook at" in capsys.readouterr().err


def test_pictures_are_stored_with_a_palette_once():
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (60, 80), dtype=np.uint8)
    rgba = np.dstack([grey, grey, grey // 2, np.full_like(grey, 255)])
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "png")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    output = new_output("display_data", {"image/png": encoded, "text/plain": "<Figure>"})
    once = clean(new_notebook(cells=[new_code_cell("1", outputs=[output], execution_count=1)]))
    stored = once.cells[0].outputs[0].data["image/png"]
    picture = Image.open(io.BytesIO(base64.b64decode(stored)))
    assert picture.mode == "P" and len(stored) < len(encoded) / 2
    assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - rgba[..., :3]).mean() < 12
    assert clean(once) == once
