"""What the widgets' pictures are put together from: a strip of text above, pictures side by side, enlarged pixels.

Pillow draws a line of text in a tenth of the time that a matplotlib figure takes, which a slider's move needs.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LINE = 17           # px from one line of text to the next
GUTTER = 8


def enlarge(rgb: np.ndarray, scale: int) -> np.ndarray:
    """Every pixel as a square of ``scale`` px: ``(H, W, 3)`` -> ``(scale * H, scale * W, 3)``."""
    return rgb.repeat(scale, axis=0).repeat(scale, axis=1)


def titled(rgb: np.ndarray, *lines: str) -> np.ndarray:
    """The picture ``(H, W, 3)`` uint8 under a white strip with lines of text, 5 + 17 px each high."""
    height = 5 + LINE * len(lines)
    canvas = Image.new("RGB", (rgb.shape[1], rgb.shape[0] + height), "white")
    canvas.paste(Image.fromarray(rgb), (0, height))
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for k, text in enumerate(lines):
        draw.text((2, 3 + LINE * k), text, fill="black", font=font)
    return np.asarray(canvas)


def beside(*pictures: np.ndarray) -> np.ndarray:
    """Pictures of one height ``(H, W_i, 3)`` in a row, 8 px of white between them."""
    gutter = np.full((pictures[0].shape[0], GUTTER, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gutter, picture)][1:], axis=1)
