"""Synthetic scenes of textured, occluding shapes with everything exactly known."""

import math

import numpy as np
import torch

from seglab import inputs
from seglab.data.instances import boxes_of
from seglab.data.sample import IGNORE, Sample, check_size
from seglab.data.sample_set import SampleSet

CLASSES = ("background", "ellipse", "square", "triangle", "star", "cross")
KEYPOINTS = ("centre", "top", "right", "bottom", "left")  # in the object's own, turned frame
MIN_VISIBLE = 0.3  # share of an object that the objects before it must leave to see


def signed_distance(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Implicit form of a shape of unit radius: negative inside, zero on the edge, about px outside.

    Parameters
    ----------
    shape : str
        One of `CLASSES[1:]`.
    x, y : ndarray
        Places in the shape's own frame, y upwards, in radii.

    Returns
    -------
    ndarray
        Signed distance (for the ellipse and outside corners: a first-order estimate), in radii.
    """
    if shape == "ellipse":
        return (np.sqrt((x / 0.72) ** 2 + y**2) - 1) * 0.72
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.8
    if shape == "triangle":
        return np.maximum(math.cos(math.pi / 6) * np.abs(x) + 0.5 * y, -y) - 0.5
    if shape == "star":
        fifth = 2 * math.pi / 5
        angle = np.abs((np.arctan2(x, y) + fifth / 2) % fifth - fifth / 2)  # from the nearest tip
        radius = np.hypot(x, y)
        inner = 0.42
        edge = np.array([1 - inner * math.cos(fifth / 2), inner * math.sin(fifth / 2)])  # notch to tip
        edge /= np.hypot(*edge)
        return (radius * np.cos(angle) - 1) * edge[1] + radius * np.sin(angle) * edge[0]
    if shape == "cross":
        across, along = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
        return np.maximum(across - 0.32, along - 0.95)
    raise ValueError(f"shape must be one of {', '.join(CLASSES[1:])}, got {shape!r}")


def _edge_radius(shape: str) -> np.ndarray:
    """Distance from the centre to the edge, upwards, right, down and left, in radii."""
    steps = np.linspace(0, 1.2, 1201)
    rays = ((0, 1), (1, 0), (0, -1), (-1, 0))
    return np.array([steps[np.argmax(signed_distance(shape, dx * steps, dy * steps) > 0)] for dx, dy in rays])


EDGE_RADIUS = {shape: _edge_radius(shape) for shape in CLASSES[1:]}


def smooth_noise(rng: np.random.Generator, side: int, scale: float) -> np.ndarray:
    """Gaussian noise, low-passed to features of `scale` px, periodic, mean 0 and deviation 1.

    Parameters
    ----------
    rng : numpy.random.Generator
    side : int
        Pixels a side.
    scale : float
        Standard deviation of the low-pass, px.

    Returns
    -------
    ndarray
        (side, side) float32; it tiles without a seam.
    """
    frequency = np.fft.fftfreq(side)
    keep = np.exp(-2 * (math.pi * scale) ** 2 * (frequency[:, None] ** 2 + frequency[: side // 2 + 1] ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * keep, s=(side, side))
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def check_synthetic(size: tuple[int, int], smallest: int, length: int, seed: int) -> tuple[tuple[int, int], int, int]:
    """Size, length and seed as integers, or an error for what a synthetic set cannot have."""
    return check_size(size, smallest), inputs.whole(length, "length", 1), inputs.whole(seed, "seed")


def _stroke(rng: np.random.Generator, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curved stroke through a region: the longest walk from its middle that does not leave it."""
    rows, columns = np.nonzero(inside)
    picks = rng.integers(len(rows), size=6)
    apart = np.hypot(rows[picks, None] - rows[picks], columns[picks, None] - columns[picks])
    start, end = np.unravel_index(apart.argmax(), apart.shape)  # a long stroke; the turn is any other pick
    middle = next(k for k in range(6) if k not in (start, end))
    (y0, y1, y2), (x0, x1, x2) = rows[picks[[start, middle, end]]], columns[picks[[start, middle, end]]]
    longest = int(2 * (abs(y0 - y1) + abs(y1 - y2) + abs(x0 - x1) + abs(x1 - x2))) + 2
    t = np.linspace(-1, 1, 2 * longest + 1)  # the parabola through the three points, middle one at t = 0
    y = np.rint(y1 + t * (y2 - y0) / 2 + t**2 * ((y0 + y2) / 2 - y1)).astype(int)
    x = np.rint(x1 + t * (x2 - x0) / 2 + t**2 * ((x0 + x2) / 2 - x1)).astype(int)
    fits = (y >= 0) & (y < inside.shape[0]) & (x >= 0) & (x < inside.shape[1])
    fits[fits] = inside[y[fits], x[fits]]
    after = longest + np.logical_and.accumulate(fits[longest:]).sum()
    before = longest - np.logical_and.accumulate(fits[longest::-1]).sum() + 1
    return y[before:after], x[before:after]


def _core(labels: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours all carry their label: strokes stay off the edges."""
    core = np.ones(labels.shape, dtype=bool)
    for axis in (0, 1):
        same = np.diff(labels, axis=axis) == 0
        edge = [(0, 0), (0, 0)]
        edge[axis] = (0, 1)
        core &= np.pad(same, edge, constant_values=True)
        edge[axis] = (1, 0)
        core &= np.pad(same, edge, constant_values=True)
    return core


class Shapes(SampleSet):
    """An indexable, endless-enough set of synthetic scenes; scene i of a seed never changes.

    Shapes of several classes and sizes, each with its own colours and texture (blotches, stripes or
    checks), lie over each other on a textured background. Colour and texture are drawn without
    regard to the class: only the outline tells it.

    Parameters
    ----------
    size : (int, int)
        Height and width, px.
    num_classes : int
        Classes with the background, as every model counts them: 2..6, in the order of `classes`.
    objects : (int, int)
        Least and most objects tried per scene; one that would hide an earlier object to less than
        30 %, or find no room, is left out (never the first).
    radius : (float, float)
        Least and greatest radius, px, drawn log-uniformly.
    rotation : float
        Objects are turned by at most this many degrees; up to 30 keeps "top" well defined for all.
    texture : float
        Contrast of the textures: 0 gives plain colours, 1 strong patterns.
    noise : float
        Standard deviation of the pixel noise, in grey values of 0..1.
    length : int
        Number of scenes.
    seed : int
        Use different seeds for training and testing.

    Attributes
    ----------
    classes : tuple of str
        Class names; the index is the class id.
    keypoints : tuple of str
        "centre" and the points where the edge is met "top", "right", "bottom", "left" of it, in the
        object's own turned frame.

    Raises
    ------
    ValueError
        Naming the argument. IndexError beyond the last scene.

    Notes
    -----
    `instances` are the visible parts, ids 1..N from back to front; `boxes` are those of the visible
    parts; a keypoint is visible unless another object covers it with 3 px around or it lies outside the
    picture; `scribbles` hold one stroke for every object and one for the background.

    Examples
    --------
    >>> Shapes(seed=0)[3]
    Sample('shapes/0/3', 3 x 128 x 128 px, 5 objects)
    """

    keypoints = KEYPOINTS

    def __init__(self, size: tuple[int, int] = (128, 128), num_classes: int = 4, objects: tuple[int, int] = (2, 6),
                 radius: tuple[float, float] = (8.0, 26.0), rotation: float = 30.0, texture: float = 0.5,
                 noise: float = 0.03, length: int = 10_000, seed: int = 0) -> None:
        size, length, seed = check_synthetic(size, 16, length, seed)
        num_classes = inputs.whole(num_classes, "num_classes", 2)
        if num_classes > len(CLASSES):
            raise ValueError(f"num_classes must be in 2..{len(CLASSES)} with background, got {num_classes}")
        if len(objects) != 2 or not 1 <= objects[0] <= objects[1] < math.inf:
            raise ValueError(f"objects must be 1 <= least <= most, got {objects}")
        if len(radius) != 2 or not 4 <= radius[0] <= radius[1] <= max(size):
            raise ValueError(f"radius must be 4 <= least <= most <= {max(size)} px, got {radius}")
        for name, value, high in (("rotation", rotation, 180), ("texture", texture, 1), ("noise", noise, 1)):
            if inputs.positive(value, name, zero=True) > high:
                raise ValueError(f"{name} must be in 0..{high}, got {value}")
        self.size, self.num_classes, self.objects, self.radius = tuple(size), num_classes, objects, radius
        self.rotation, self.texture, self.noise = rotation, texture, noise
        self.length, self.seed, self.items = length, seed, range(length)
        self.classes = CLASSES[:num_classes]
        # rendering noise scene by scene costs more than the scene: cut windows from a few periodic fields
        rng = np.random.default_rng([seed, 0])
        self._fields = [smooth_noise(rng, 256, scale) for scale in (1.2, 2.5, 5.0)]

    def _read(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, 1, index])
        return self._render(rng, f"shapes/{self.seed}/{index}")

    def _texture(self, rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """A pattern in -1..1 over the given rows and columns."""
        kind = rng.integers(3)
        if kind == 0:
            field = self._fields[rng.integers(len(self._fields))]
            down, right = rng.integers(256, size=2)
            return np.tanh(field[np.ix_((rows + down) % 256, (columns + right) % 256)])
        angle, wave, phase = rng.uniform(0, math.pi), rng.uniform(4, 10), rng.uniform(0, 2 * math.pi, 2)
        turn = 2 * math.pi / wave * np.array([math.cos(angle), math.sin(angle)])
        along = turn[0] * columns + turn[1] * rows[:, None] + phase[0]
        if kind == 1:
            return np.tanh(2 * np.sin(along))
        across = -turn[1] * columns + turn[0] * rows[:, None] + phase[1]
        return np.tanh(4 * np.sin(along) * np.sin(across))

    def _paint(self, rng: np.random.Generator, rows: np.ndarray, columns: np.ndarray,
               colour: np.ndarray) -> np.ndarray:
        """Texture between two colours on either side of `colour`, (h, w, 3)."""
        swing = 0.5 * self.texture * rng.uniform(0.4, 1) * rng.uniform(-0.6, 1, 3)
        return colour + self._texture(rng, rows, columns)[..., None] * swing

    def _render(self, rng: np.random.Generator, name: str) -> Sample:
        height, width = self.size
        ground = 0.5 * rng.uniform(0.2, 0.8, 3) + 0.5 * rng.uniform(0.2, 0.8)
        image = self._paint(rng, np.arange(height), np.arange(width), ground)
        labels = np.zeros(self.size, dtype=np.int32)
        classes, areas, points = [], [], []
        for _ in range(rng.integers(self.objects[0], self.objects[1] + 1)):
            class_id = int(rng.integers(1, self.num_classes))
            radius = math.exp(rng.uniform(*np.log(self.radius)))
            angle = math.radians(rng.uniform(-self.rotation, self.rotation))
            cx, cy = rng.uniform(0, width), rng.uniform(0, height)
            if not classes:  # the first one always has room
                cx, cy = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height
            colours = rng.uniform(0.05, 0.95, (8, 3)) * 0.75 + rng.uniform(0.05, 0.95, (8, 1)) * 0.25
            colour = colours[np.argmax(np.abs(colours - ground).sum(1) > 0.6)]  # the first that stands out

            rows = np.arange(max(int(cy - radius - 2), 0), min(int(cy + radius + 3), height))
            columns = np.arange(max(int(cx - radius - 2), 0), min(int(cx + radius + 3), width))
            window = np.ix_(rows, columns)
            right, up = (columns + 0.5 - cx) / radius, (cy - rows[:, None] - 0.5) / radius
            cos, sin = math.cos(angle), math.sin(angle)
            own_x, own_y = cos * right + sin * up, cos * up - sin * right
            distance = radius * signed_distance(CLASSES[class_id], own_x, own_y)
            inside = distance < 0
            paint = self._paint(rng, rows, columns, colour)
            if classes:
                left = np.bincount(labels.ravel(), minlength=len(classes) + 1)[1:]
                left = left - np.bincount(labels[window][inside], minlength=len(classes) + 1)[1:]
                whole = math.pi * radius**2 / 8  # less than this is a sliver at the picture's edge
                if (left < MIN_VISIBLE * np.array(areas)).any() or inside.sum() < whole:
                    continue
            labels[window] = np.where(inside, len(classes) + 1, labels[window])
            opaque = np.clip(0.5 - distance, 0, 1)[..., None]  # one pixel of soft edge
            image[window] += opaque * (paint - image[window])
            classes.append(class_id)
            areas.append(inside.sum())
            reach = np.concatenate([[0], EDGE_RADIUS[CLASSES[class_id]]]) * radius
            ways = np.array([[0, 0], [-sin, -cos], [cos, -sin], [sin, cos], [-cos, sin]])  # x, y, y down
            points.append([[cx, cy] + far[:, None] * ways for far in (reach, (reach - 1.5).clip(0))])

        image += self.noise * rng.standard_normal((height, width, 3), dtype=np.float32)
        semantic = np.array([0, *classes])[labels]
        return Sample(
            image=torch.from_numpy(image.clip(0, 1).astype(np.float32).transpose(2, 0, 1).copy()),
            semantic=torch.from_numpy(semantic),
            instances=torch.from_numpy(labels),
            name=name,
            classes=torch.tensor(classes),
            boxes=torch.from_numpy(boxes_of(labels)),
            keypoints=torch.from_numpy(self._visible(np.array(points), labels)),
            scribbles=torch.from_numpy(self._scribble(rng, labels, semantic)),
        )

    def _visible(self, points: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """(N, 2, K, 2) exact places and places just inside -> (N, K, 3) x, y, visible."""
        exact, inner = points[:, 0], np.floor(points[:, 1]).astype(int)
        height, width = labels.shape
        around = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1]), -1).reshape(-1, 2)  # star tips are thin
        x, y = np.moveaxis(inner[:, :, None] + around, -1, 0)
        found = labels[y.clip(0, height - 1), x.clip(0, width - 1)]
        shown = (found == np.arange(1, len(points) + 1)[:, None, None]).any(-1)
        shown &= (exact >= 0).all(-1) & (exact < (width, height)).all(-1)
        return np.concatenate([exact, shown[..., None]], axis=-1).astype(np.float32)

    def _scribble(self, rng: np.random.Generator, labels: np.ndarray, semantic: np.ndarray) -> np.ndarray:
        scribbles = np.full(labels.shape, IGNORE, dtype=np.int64)
        core = _core(labels)
        for instance in range(labels.max() + 1):
            inside = labels == instance
            if not inside.any():
                continue  # a scene without background
            calm = inside & core
            y, x = _stroke(rng, calm if calm.any() else inside)
            scribbles[y, x] = semantic[y[0], x[0]]
        return scribbles
