"""`import seglab` and its parts must add next to nothing to `import torch`."""

import statistics
import subprocess
import sys
import time


def seconds_of(code, repeats=5):
    """Median seconds of a fresh interpreter that runs `code`."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def import_seglab():
    seconds_of("import torch, seglab", repeats=1)             # the first one reads from disk
    torch = seconds_of("import torch")
    both = seconds_of("import torch, seglab")
    return dict(name="import seglab, beyond import torch", rival="–", ours=max(both - torch, 0.0), theirs=None,
                difference=0.0, tolerance=0.0, limit=None, at_most=0.3)


ROWS = [import_seglab]
