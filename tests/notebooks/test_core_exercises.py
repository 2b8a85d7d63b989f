"""A chapter goes on with what the reader wrote: right answers to its core exercises are called by the cells after them.

In a student copy the core exercises are filled in, each under a counter, and every other blank stays open. `check.use`
hands the counted function on only if it holds; what the counter shows after the check, the chapter itself called.
"""

import os
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell

from seglab.coursework import read_notebook, student_copy
from seglab.coursework.execute import run

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
CORE = re.compile(r'(\w+) = check\.use\("(\d\d\.\d+)", \1\)')
SMOKE = {"SEGLAB_PROFILE": "smoke", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
COUNTER = '''
import functools

def counted(answer):
    @functools.wraps(answer, updated=())
    def call(*args, **kwargs):
        call.calls += 1
        return answer(*args, **kwargs)
    call.calls = 0
    return call
'''
BEFORE = "{name}_by_the_check = {name}.calls"
AFTER = 'print("{name}", {name}.calls - {name}_by_the_check)'


def cores(notebook):
    """Index of the check's cell -> name of the function, for each core exercise."""
    found = {i: CORE.match(c.source) for i, c in enumerate(notebook.cells) if c.cell_type == "code"}
    return {i: match[1] for i, match in found.items() if match}


def filled(path, answers):
    """The student copy with the core exercises solved and counted: by `answers` (name -> source), or the solutions."""
    source = read_notebook(path)
    copy, names = student_copy(source), cores(source)
    for i, name in names.items():
        answer = answers.get(name, source.cells[i - 1].source)
        copy.cells[i - 1].source = f"{answer}\n{COUNTER}\n{name} = counted({name})"
        copy.cells[i + 1].source = BEFORE.format(name=name)              # in place of the hint
    copy.cells.append(new_code_cell("\n".join(AFTER.format(name=name) for name in names.values())))
    return copy, list(names.values())


def calls(copy, names):
    """How often the cells after its check called each function: name -> number."""
    run(copy, FOLDER, timeout=300, environment=SMOKE)
    text = "".join(o.get("text", "") for o in copy.cells[-1].outputs)
    found = {name: int(number) for name, number in re.findall(r"^(\w+) (\d+)$", text, re.M)}
    assert list(found) == names
    return found


# right, and not the solution: the proofs of the chapter have to hold for a sum in another order
ANOTHER_STYLE = {"roi_pool_loop": """
def roi_pool_loop(features, box, bins, stride):
    x1, y1, x2, y2 = (round_away(v / stride) for v in box)
    def bin(p, q):
        rows, columns = (slice(*bin_range(*side)) for side in ((y1, y2, p, bins, features.shape[1]),
                                                              (x1, x2, q, bins, features.shape[2])))
        cells = features[:, rows, columns].flatten(1)
        return cells.max(1).values if cells.numel() else 0 * features[:, 0, 0]
    return torch.stack([torch.stack([bin(p, q) for q in range(bins)], 1) for p in range(bins)], 1)
""", "roi_align_loop": """
def roi_align_loop(features, box, bins, stride, samples=2):
    pooled = features.new_zeros(len(features), bins, bins)
    columns = sample_places(box[0] / stride, box[2] / stride, bins, samples)
    for p, rows in enumerate(sample_places(box[1] / stride, box[3] / stride, bins, samples)):
        for q in range(bins):
            for x in reversed(columns[q]):
                for y in reversed(rows):
                    pooled[:, p, q] += bilinear(features, y, x) / len(rows) / len(columns[q])
    return pooled
"""}

WITH_CORE = [path for path in sorted(FOLDER.glob("*.ipynb")) if cores(read_notebook(path))]


@pytest.mark.parametrize("path", WITH_CORE, ids=lambda p: p.stem)
def test_a_chapter_runs_on_the_readers_functions(path):
    called = calls(*filled(path, ANOTHER_STYLE))
    assert all(called.values()), f"the chapter never calls what the reader wrote: {called}"


def test_a_wrong_answer_is_not_gone_on_with():
    wrong = {"roi_pool_loop": "def roi_pool_loop(features, box, bins, stride):\n    return features"}
    copy, names = filled(FOLDER / "13_roialign_vs_roipool.ipynb", wrong)
    with pytest.raises(RuntimeError, match="no attribute 'calls'"):
        calls(copy, names)
