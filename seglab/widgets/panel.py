"""The shell of every widget: controls above a picture that is redrawn whenever one of them moves."""

import base64
import html
import struct
import zlib
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np

HELP = ("<span style='color:#666;font-size:11px'>← and → move the slider that has the focus, Space opens a menu. "
        "Nothing moves at all? The kernel was restarted: run the notebook's first cell and this one again.</span>")


def to_png(rgb: np.ndarray) -> bytes:
    """PNG bytes of an ``(H, W, 3)`` uint8 picture.

    Written here, in half the time that Pillow takes: enlarged pixels repeat from line to line, so one filter serves.
    """
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        came = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise TypeError(f"rgb must be a uint8 array of shape (H, W, 3), got {came}")
    height, width = rgb.shape[:2]
    rows = rgb.reshape(height, -1)
    lines = np.empty((height, 1 + 3 * width), np.uint8)        # a byte that says "less the line above", and the line
    lines[:, 0], lines[:1, 1:] = 2, rows[:1]
    np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(*part) for part in ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class Panel(ipywidgets.VBox):
    """``Panel(draw, w0=slider, ...)`` shows ``draw(w0=slider.value, ...)`` and redraws it when a control moves.

    Parameters
    ----------
    draw : callable
        Pure function from the values of the controls to an ``(H, W, 3)`` uint8 picture.
    width : int
        Width on the page in CSS px; the height follows.
    **controls : ipywidgets.ValueWidget
        One control an argument of ``draw``, each with a description, by which it is seen and read aloud.

    Raises
    ------
    ValueError
        For a control without a description.

    Notes
    -----
    A picture may have more pixels than ``width``, which makes it sharp on a dense screen. The stored notebook keeps a
    still PNG, which readers without a kernel see at the same width. An error while drawing is
    shown under the picture: in a callback it would reach only the log. The picture that was right stays above it.
    """

    def __init__(self, draw: Callable[..., np.ndarray], width: int = 640, **controls: Any) -> None:
        silent = [name for name, control in controls.items() if not control.description]
        if silent:
            raise ValueError(f"controls must each have a description, got none for {', '.join(silent)}")
        self.draw, self.controls, self.width = draw, controls, width
        self.image = ipywidgets.Image(
            format="png", layout=ipywidgets.Layout(width=f"{width}px", align_self="flex-start"))
        self.error = ipywidgets.HTML()
        for control in controls.values():
            control.observe(self._redraw, "value")
        self._redraw()
        super().__init__([*controls.values(), self.image, self.error, ipywidgets.HTML(HELP)])

    def _redraw(self, change: Any = None) -> None:
        try:
            self.image.value = to_png(self.draw(**{name: c.value for name, c in self.controls.items()}))
            self.error.value = ""
        except Exception as err:
            if change is None:  # at construction the reader sees the traceback itself
                raise
            self.error.value = (f"<pre class='seglab-error' style='color:#b00'>{type(err).__name__}: "
                                f"{html.escape(str(err))}</pre>")

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["image/png"] = base64.b64encode(self.image.value).decode()
        bundle["text/plain"] = f"Panel({', '.join(self.controls)})"
        wide, high = struct.unpack(">II", self.image.value[16:24])
        return bundle, {"image/png": {"width": self.width, "height": round(self.width * high / wide)}}
