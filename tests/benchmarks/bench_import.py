"""`import seglab` and its parts must add next to nothing to `import torch`."""

import subprocess
import sys

from stopwatch import timed


def seconds_of(code, repeats=5):
    """Median seconds of a fresh interpreter that runs `code`."""
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True), repeats=repeats)[0]


PARTS = "data, ops, models, losses, metrics, classic, train, viz, check, claims, widgets"


def beyond_torch(code, name, at_most=None):
    seconds_of(f"import torch; {code}", repeats=1)            # the first one reads from disk
    torch, both = seconds_of("import torch"), seconds_of(f"import torch; {code}")
    return dict(name=f"{name}, beyond import torch", rival="–", ours=max(both - torch, 0.0), theirs=None,
                difference=0.0, tolerance=0.0, limit=None, at_most=at_most)


def import_seglab():
    return beyond_torch("import seglab", "import seglab", at_most=0.3)


def import_every_part():
    """What a chapter needs at most; SciPy, scikit-image, Matplotlib and Lightning Fabric are most of it."""
    return beyond_torch(f"from seglab import {PARTS}", "import of every part of seglab")


ROWS = [import_seglab, import_every_part]
