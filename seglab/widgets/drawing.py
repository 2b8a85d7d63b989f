"""What the widgets' pictures are put together from: a canvas, a strip of text above, pictures side by side.

All sizes and places are CSS px, those of the page. The arrays hold ``DENSITY`` pixels for each, which keeps lines and
letters sharp on a high-density screen. Pillow draws a line of text in a tenth of the time that a matplotlib figure
takes, which a slider's move needs.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

DENSITY = 2         # pixels for each CSS px
LINE = 17           # px from one line of text to the next
GUTTER = 8
LETTERS = 13        # px

Color = str | tuple[int, int, int]


@lru_cache
def font(size: float = LETTERS, mono: bool = False) -> ImageFont.FreeTypeFont:
    """The letters of the pictures; of one width each with ``mono``, for tables."""
    if mono:
        from matplotlib import font_manager  # only here: it reads the list of all fonts

        return ImageFont.truetype(font_manager.findfont("DejaVu Sans Mono"), DENSITY * size)
    return ImageFont.load_default(DENSITY * size)


class Canvas:
    """A page of ``width`` x ``height`` px to draw on, in one colour at first."""

    def __init__(self, width: float, height: float, color: Color = "white") -> None:
        self.width, self.height = width, height
        self.picture = Image.new("RGB", (round(DENSITY * width), round(DENSITY * height)), color)
        self.pen = ImageDraw.Draw(self.picture)

    def paste(self, rgb: np.ndarray, x: float, y: float) -> None:
        """Put a picture that has its pixels already (from a canvas, :func:`enlarge`, :func:`fitted`) at a place."""
        self.picture.paste(Image.fromarray(rgb), (round(DENSITY * x), round(DENSITY * y)))

    def line(self, points: Sequence[tuple[float, float]], fill: Color, width: float = 1) -> None:
        """A line through the middles of px (x, y)."""
        middle = (DENSITY - 1) / 2
        self.pen.line([(DENSITY * x + middle, DENSITY * y + middle) for x, y in points], fill=fill,
                      width=DENSITY * width)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Color | None = None,
                  outline: Color | None = None, width: int = 1) -> None:
        """From px (x0, y0) to px (x1, y1), both inside."""
        self.pen.rectangle(_inclusive(x0, y0, x1, y1), fill=fill, outline=outline, width=DENSITY * width)

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: Color | None = None,
                outline: Color | None = None) -> None:
        """In the box from px (x0, y0) to px (x1, y1)."""
        self.pen.ellipse(_inclusive(x0, y0, x1, y1), fill=fill, outline=outline, width=DENSITY)

    def text(self, x: float, y: float, words: str, size: float = LETTERS, fill: Color = "black",
             anchor: str | None = None, mono: bool = False, stroke: Color | None = None) -> None:
        """Words at a place, left and below it unless a Pillow ``anchor`` says otherwise; ``stroke`` is an edge round
        each letter."""
        self.pen.text((DENSITY * x, DENSITY * y), words, fill=fill, font=font(size, mono), anchor=anchor,
                      stroke_width=2 * DENSITY if stroke else 0, stroke_fill=stroke)

    def array(self) -> np.ndarray:
        """The page, ``(H, W, 3)`` uint8."""
        return np.asarray(self.picture)


def _inclusive(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    return [DENSITY * x0, DENSITY * y0, DENSITY * x1 + DENSITY - 1, DENSITY * y1 + DENSITY - 1]


def text_width(words: str, size: float = LETTERS) -> float:
    """Px that a line of text takes."""
    return font(size).getlength(words) / DENSITY


def enlarge(rgb: np.ndarray, scale: int) -> np.ndarray:
    """Every pixel as a square of ``scale`` px."""
    return rgb.repeat(DENSITY * scale, axis=0).repeat(DENSITY * scale, axis=1)


def fitted(rgb: np.ndarray, width: float, height: float | None = None, smooth: bool = False) -> np.ndarray:
    """The picture stretched to ``width`` x ``height`` px; without a height that of its own proportions."""
    height = width * rgb.shape[0] / rgb.shape[1] if height is None else height
    size = max(1, round(DENSITY * width)), max(1, round(DENSITY * height))
    way = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return rgb if size == rgb.shape[1::-1] else np.asarray(Image.fromarray(rgb).resize(size, way))


def titled(rgb: np.ndarray, *lines: str) -> np.ndarray:
    """The picture under a white strip with lines of text, 5 + 17 px each high."""
    strip = 5 + LINE * len(lines)
    canvas = Canvas(rgb.shape[1] / DENSITY, rgb.shape[0] / DENSITY + strip)
    canvas.paste(rgb, 0, strip)
    for k, text in enumerate(lines):
        canvas.text(2, 3 + LINE * k, text)
    return canvas.array()


def beside(*pictures: np.ndarray, gap: int = GUTTER) -> np.ndarray:
    """Pictures of one height in a row, ``gap`` px of white between them."""
    gutter = np.full((pictures[0].shape[0], DENSITY * gap, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gutter, picture)][1:], axis=1)
