"""The reader's own notebooks in `work/`: made once, refreshed while untouched, never overwritten."""

import hashlib
import json
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from seglab.coursework.normal_form import clean
from seglab.coursework.notebook_file import notebook_text, read_notebook, write_atomically
from seglab.coursework.student import student_copy

RECORD = ".seglab/copies.json"                                # name -> fingerprint of the copy as we wrote it


def refresh_copies(source: str | Path, work: str | Path) -> dict[str, str]:
    """Bring the reader's copies up to date without touching anything that the reader changed.

    What counts is what a reader writes: running a copy, opening it in JupyterLab (which stores outputs and metadata
    of its own), or an empty cell at its end changes nothing.

    Parameters
    ----------
    source : str or Path
        Folder of the course's notebooks.
    work : str or Path
        Folder of the reader's copies; made when it is missing.

    Returns
    -------
    dict
        name -> "new", "same", "refreshed" (the reader had not touched it), "kept" (edited by the reader,
        and the course has not changed) or "outdated" (edited by the reader, and the course has changed).

    Raises
    ------
    FileNotFoundError
        `source` holds no notebook.
    ValueError
        A notebook of the course is broken; copies made before it stay.
    OSError
        `work` cannot be written to.
    """
    source, work = Path(source), Path(work)
    originals = sorted(source.glob("*.ipynb"))
    if not originals:
        raise FileNotFoundError(f"no notebooks in {source}")
    record = _read_record(work / RECORD)
    state = {}
    for original in originals:
        name, target = original.name, work / original.name
        copy = student_copy(clean(read_notebook(original)))
        course, written = fingerprint(copy), record.get(name)
        mine = _prints_of(target) if target.exists() else set()
        if not target.exists():
            state[name] = "new"
        elif course in mine:
            state[name] = "same"
        elif written in mine:
            state[name] = "refreshed"
        else:
            state[name] = "kept" if course == written else "outdated"
        if state[name] in ("new", "refreshed"):
            write_atomically(notebook_text(copy), target)
        if state[name] in ("new", "refreshed", "same") and written != course:
            record[name] = course
            write_atomically(json.dumps(record, indent=1, sort_keys=True) + "\n", work / RECORD)
    return state


def fingerprint(notebook: NotebookNode) -> str:
    """SHA-256 of what an author or a reader writes into a notebook: sources, tags, nbgrader's and our metadata."""
    notebook = nbformat.from_dict(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    notebook = clean(notebook)
    written = [[cell.cell_type, cell.source, cell.metadata] for cell in notebook.cells if cell.source.strip()]
    return _sha256(json.dumps([written, notebook.metadata.get("seglab")], sort_keys=True).encode())


def _prints_of(path: Path) -> set[str]:
    """The fingerprint of a copy, and the digest of its bytes, which older records hold; none of a broken file's."""
    try:
        return {fingerprint(read_notebook(path)), _sha256(path.read_bytes())}
    except (OSError, ValueError):
        return set()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_record(path: Path) -> dict[str, str]:
    """A lost or damaged record means that nothing is known to be untouched, so every copy is kept."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
