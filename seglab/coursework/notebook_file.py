"""Reading and writing notebook files: clear errors on the way in, all or nothing on the way out."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode


def read_notebook(path: str | Path) -> NotebookNode:
    """Read a notebook of format 4.

    Parameters
    ----------
    path : str or Path
        An .ipynb file.

    Returns
    -------
    nbformat.NotebookNode

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is not JSON, not a notebook, or two of its cells have the same id.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no notebook at {path}")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:                               # neither JSON nor UTF-8
        raise ValueError(f"{path} is not a notebook: it is not JSON") from error
    if not isinstance(content, dict) or content.get("nbformat") != 4 or not isinstance(content.get("cells"), list):
        raise ValueError(f"{path} is not a notebook of format 4")
    _settle_ids(path, content)
    try:
        notebook = nbformat.from_dict(content)
        nbformat.validate(notebook, relax_add_props=True)
        return nbformat.reads(nbformat.writes(notebook), as_version=4)         # joins the lines of every source
    except (nbformat.ValidationError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a valid notebook: {str(error).splitlines()[0]}") from error


def _settle_ids(path: Path, content: dict[str, Any]) -> None:
    """Give cells of an older format an id that stays; nbformat would make up a random one, also for a double."""
    for number, cell in enumerate(content["cells"]):
        if isinstance(cell, dict):
            cell.setdefault("id", f"cell-{number:02}")
    content["nbformat_minor"] = 5
    ids = [cell["id"] for cell in content["cells"] if isinstance(cell, dict)]
    twice = sorted({str(i) for i in ids if ids.count(i) > 1})
    if twice:
        raise ValueError(f"{path}: cell ids must differ, these occur twice: {', '.join(twice)}")


def notebook_text(notebook: NotebookNode) -> str:
    """Return the text that `write_notebook` stores: sorted keys, one-space indent, newline at the end."""
    return nbformat.writes(notebook) + "\n"


def write_notebook(notebook: NotebookNode, path: str | Path) -> None:
    """Write a notebook so that an interrupt leaves the old file or the new one, never half of it."""
    write_atomically(notebook_text(notebook), path)


def write_atomically(text: str, path: str | Path) -> None:
    """Write text beside `path`, then rename it over `path`.

    Raises
    ------
    OSError
        The folder cannot be made or written to; the message names it.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise OSError(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(beside, path.stat().st_mode & 0o777 if path.exists() else 0o644)   # mkstemp makes 0600
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
