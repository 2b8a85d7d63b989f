"""`import seglab` and its parts must add next to nothing to `import torch`."""

import statistics
import subprocess
import sys

PARTS = "data, ops, models, losses, metrics, classic, train, viz, check, claims, widgets"


def beyond_torch(code, name, at_most=None):
    """Median of fresh interpreters that have imported torch; the first one, which reads from disk, does not count."""
    program = f"import time, torch; begun = time.perf_counter(); {code}; print(time.perf_counter() - begun)"
    times = [float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
             for _ in range(6)]
    return dict(name=f"{name}, beyond import torch", rival="–", ours=statistics.median(times[1:]), theirs=None,
                difference=0.0, tolerance=0.0, limit=None, at_most=at_most)


def import_seglab():
    return beyond_torch("import seglab", "import seglab", at_most=0.3)


def import_every_part():
    """What a chapter needs at most; SciPy, scikit-image, Matplotlib and Lightning Fabric are most of it."""
    return beyond_torch(f"from seglab import {PARTS}", "import of every part of seglab")


ROWS = [import_seglab, import_every_part]
