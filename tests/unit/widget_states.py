"""The states a widget can be in, a summary of its picture, and the stored summaries.

`python tests/unit/widget_states.py` writes the summaries anew; look at the widgets before you commit them.
"""

import itertools
import json
import random
from pathlib import Path

import ipywidgets
import numpy as np

STORED = Path(__file__).with_name("widget_summaries.json")
AT_MOST = 5                      # values of one control that are tried, its ends among them


def every_value(control):
    """All values of a control, from one end to the other."""
    if isinstance(control, ipywidgets.widgets.widget_selection._Selection):
        return [value for _, value in control._options_full]
    if isinstance(control, ipywidgets.Checkbox):
        return [False, True]
    count = round((control.max - control.min) / control.step)
    values = [min(control.min + k * control.step, control.max) for k in range(count + 1)]
    return [type(control.value)(round(v, 10)) for v in values]


def values(control):
    """Some values of a control: all of a menu, else five with both ends."""
    known = every_value(control)
    if isinstance(control, ipywidgets.Dropdown) or len(known) <= AT_MOST:
        return known
    return [known[round(k)] for k in np.linspace(0, len(known) - 1, AT_MOST)]


def states(panel, corners=6):
    """One control at a time over its range, the others as first shown; then some corners of all ranges together."""
    first = {name: control.value for name, control in panel.controls.items()}
    yield first
    for name, control in panel.controls.items():
        yield from (first | {name: value} for value in values(control) if value != first[name])
    ends = [(v[0], v[-1]) for v in map(values, panel.controls.values())]
    every_corner = list(itertools.product(*ends))
    for corner in random.Random(0).sample(every_corner, min(corners, len(every_corner))):
        yield dict(zip(panel.controls, corner, strict=True))


def summary(picture, rows=3, columns=6):
    """Mean grey value of each block of the picture, (rows * columns) ints: what it shows, not its pixels."""
    grey = picture.astype(np.float64).mean(axis=2)
    return [round(block.mean()) for band in np.array_split(grey, rows, axis=0)
            for block in np.array_split(band, columns, axis=1)]


def summaries(panel):
    """State, as text, to summary: the first state and both ends of every control."""
    first = {name: control.value for name, control in panel.controls.items()}
    chosen = [first] + [first | {name: values(control)[k]} for name, control in panel.controls.items() for k in (0, -1)]
    return {", ".join(f"{k}={v}" for k, v in state.items()): summary(panel.draw(**state)) for state in chosen}


if __name__ == "__main__":
    from seglab.widgets import REGISTER

    lines = [f"{json.dumps(name)}: {{\n" + ",\n".join(f"  {json.dumps(state)}: {numbers}" for state, numbers
                                                     in summaries(entry.build()).items()) + "\n}"
             for name, entry in REGISTER.items()]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
