"""`import seglab` and its parts must add next to nothing to `import torch`."""

import subprocess
import sys

from stopwatch import timed


def seconds_of(code, repeats=5):
    """Median seconds of a fresh interpreter that runs `code`."""
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True), repeats=repeats)[0]


def import_seglab():
    seconds_of("import torch, seglab", repeats=1)             # the first one reads from disk
    torch = seconds_of("import torch")
    both = seconds_of("import torch, seglab")
    return dict(name="import seglab, beyond import torch", rival="–", ours=max(both - torch, 0.0), theirs=None,
                difference=0.0, tolerance=0.0, limit=None, at_most=0.3)


ROWS = [import_seglab]
