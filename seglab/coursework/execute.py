"""Running a notebook from top to bottom in a fresh kernel and storing what it shows."""

import os
import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from seglab.coursework.normal_form import clean
from seglab.coursework.notebook_file import read_notebook, write_notebook


def run(notebook: NotebookNode, folder: str | Path, timeout: int = 600, environment: dict[str, str] | None = None,
        stop_at_error: bool = True) -> float:
    """Run every cell of a notebook in a fresh kernel; the outputs appear in `notebook`.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Changed in place.
    folder : str or Path
        Where the kernel starts.
    timeout : int
        Longest time for one cell, in seconds.
    environment : dict, optional
        Variables set for the kernel, besides `SEGLAB_QUIET=1` (no progress bars).
    stop_at_error : bool
        With False, cells after a failing one run as well and the error is among the outputs.

    Returns
    -------
    float
        Seconds from the start of the kernel to the last output.

    Raises
    ------
    RuntimeError
        A cell raised, took too long, or killed the kernel; the message says what happened.
    """
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", record_timing=False,
                            store_widget_state=False, allow_errors=not stop_at_error,
                            resources={"metadata": {"path": str(folder)}})
    begun = time.perf_counter()
    try:
        client.execute(env=os.environ | {"SEGLAB_QUIET": "1"} | (environment or {}))
    except CellTimeoutError as error:
        raise RuntimeError(f"a cell took longer than {timeout} s") from error
    except DeadKernelError as error:
        raise RuntimeError("the kernel died (out of memory?)") from error
    except CellExecutionError as error:
        raise RuntimeError(str(error)) from error
    return time.perf_counter() - begun


def execute(path: str | Path, timeout: int = 600) -> float:
    """Run a notebook file from top to bottom and store its outputs in normal form.

    The kernel starts in the notebook's folder. When a cell fails the file stays as it was.

    Parameters
    ----------
    path : str or Path
        An .ipynb file; rewritten.
    timeout : int
        Longest time for one cell, in seconds.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    RuntimeError
        As `run`, with the name of the file.
    FileNotFoundError, ValueError
        As `read_notebook`.
    """
    path = Path(path)
    notebook = read_notebook(path)
    try:
        seconds = run(notebook, path.parent, timeout)
    except RuntimeError as error:
        raise RuntimeError(f"{path}: {error}") from error
    write_notebook(clean(notebook), path)
    return seconds
