"""Reading and writing notebook files: clear errors on the way in, all or nothing on the way out."""

import os
import tempfile
from pathlib import Path

import nbformat


def read_notebook(path):
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
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(notebook, relax_add_props=True)
    except (nbformat.reader.NotJSONError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a notebook: it is not JSON") from error
    except (nbformat.ValidationError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not a valid notebook: {str(error).splitlines()[0]}") from error
    ids = [cell.id for cell in notebook.cells if "id" in cell]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        raise ValueError(f"{path}: cell ids must differ, these occur twice: {', '.join(twice)}")
    return notebook


def notebook_text(notebook):
    """Return the text that `write_notebook` stores: sorted keys, one-space indent, newline at the end."""
    return nbformat.writes(notebook) + "\n"


def write_notebook(notebook, path):
    """Write a notebook so that an interrupt leaves the old file or the new one, never half of it."""
    write_atomically(notebook_text(notebook), path)


def write_atomically(text, path):
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
