"""Running a notebook from top to bottom in a fresh kernel and storing what it shows."""

import os
import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from .normal_form import clean
from .notebook_file import read_notebook, write_notebook


def execute(path, timeout=600):
    """Run every cell in a fresh kernel and store the outputs in normal form.

    The kernel starts in the notebook's folder with `SEGLAB_QUIET=1`, so that no progress bar is stored.
    When a cell fails the file stays as it was.

    Parameters
    ----------
    path : str or Path
        An .ipynb file; rewritten.
    timeout : int
        Longest time for one cell, in seconds.

    Returns
    -------
    float
        Seconds from kernel start to the last output.

    Raises
    ------
    RuntimeError
        A cell raised, took too long, or killed the kernel; the message says which cell.
    FileNotFoundError, ValueError
        As `read_notebook`.
    """
    path = Path(path)
    notebook = read_notebook(path)
    client = NotebookClient(notebook, timeout=timeout, kernel_name="python3", record_timing=False,
                            store_widget_state=False, resources={"metadata": {"path": str(path.parent)}})
    begun = time.perf_counter()
    try:
        client.execute(env=os.environ | {"SEGLAB_QUIET": "1"})
    except CellTimeoutError as error:
        raise RuntimeError(f"{path}: a cell took longer than {timeout} s") from error
    except DeadKernelError as error:
        raise RuntimeError(f"{path}: the kernel died (out of memory?)") from error
    except CellExecutionError as error:
        raise RuntimeError(f"{path}: {error}") from error
    seconds = time.perf_counter() - begun
    write_notebook(clean(notebook), path)
    return seconds
