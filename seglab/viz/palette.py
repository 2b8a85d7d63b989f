"""The colours of the course, (r, g, b) in 0..255: a label keeps its colour, and a colour means one thing in a figure.

| name | colour | stands for |
|---|---|---|
| ``LABEL_COLORS[k]`` | | class or object k in turn: 1 orange, 2 sky blue, 3 green, ...; 0 black; last void |
| ``OBJECT``, ``BACKGROUND`` | orange, dark blue | seeds, scribbles and areas of *the* object and of what surrounds it |
| ``TRUTH``, ``PREDICTION`` | white, purple | outlines and boxes on pictures, drawn with a dark edge beside them |
| ``CORRECT``, ``MISSED``, ``FALSE`` | green, vermilion, sky blue | what a prediction gets right, leaves out, makes up |
| ``VOID`` | grey | pixels that do not count |
"""

import numpy as np

# Okabe and Ito (2008), colour-blind safe; background first, then classes in a fixed order, void last.
LABEL_COLORS = np.array([(0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178),
                         (213, 94, 0), (204, 121, 167), (153, 153, 153)], dtype=np.uint8)
OBJECT, BACKGROUND = (230, 159, 0), (0, 114, 178)
TRUTH, PREDICTION = (255, 255, 255), (204, 121, 167)
CORRECT, MISSED, FALSE = (0, 158, 115), (213, 94, 0), (86, 180, 233)
VOID = (153, 153, 153)
