"""Repaint time of every widget: from the move of a control to the new PNG, the slowest control's median."""

import statistics
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from widget_states import values  # noqa: E402

from seglab.widgets import REGISTER  # noqa: E402


def repaint(name):
    """A row without a rival, only with a time to keep."""
    panel, slowest = REGISTER[name].build(), 0.0
    for control in panel.controls.values():
        first, times = control.value, []
        for value in [v for v in values(control) if v != first] * 3:
            for target in (value, first):
                start = time.perf_counter()
                control.value = target
                times.append(time.perf_counter() - start)
        slowest = max(slowest, statistics.median(times))
    if panel.error.value:
        raise RuntimeError(f"{name}: {panel.error.value}")
    return dict(name=f"widget {name} (notebook {REGISTER[name].notebook}), a move", rival="–", ours=slowest,
                theirs=None, difference=0.0, tolerance=0.0, limit=None, at_most=0.150)


ROWS = [partial(repaint, name) for name in REGISTER]
