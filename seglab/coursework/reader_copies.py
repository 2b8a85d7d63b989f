"""The reader's own notebooks in `work/`: made once, refreshed while untouched, never overwritten."""

import hashlib
import json
from pathlib import Path

from .normal_form import clean
from .notebook_file import notebook_text, read_notebook, write_atomically
from .student import student_copy

RECORD = ".seglab/copies.json"                                # name -> sha256 of the copy as we wrote it


def refresh_copies(source, work):
    """Bring the reader's copies up to date without touching anything that the reader changed.

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
        text = notebook_text(student_copy(clean(read_notebook(original))))
        written = record.get(name)
        if not target.exists():
            state[name] = "new"
        elif target.is_file() and _sha256(target.read_bytes()) == written:
            state[name] = "same" if _sha256(text.encode()) == written else "refreshed"
        else:
            state[name] = "kept" if _sha256(text.encode()) == written else "outdated"
        if state[name] in ("new", "refreshed"):
            write_atomically(text, target)
            record[name] = _sha256(text.encode())
            write_atomically(json.dumps(record, indent=1, sort_keys=True) + "\n", work / RECORD)
    return state


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _read_record(path):
    """A lost or damaged record means that nothing is known to be untouched, so every copy is kept."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
