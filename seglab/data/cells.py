"""Synthetic fluorescent cells with an exactly known gap between neighbours."""

import math

import numpy as np
import torch
from scipy import ndimage

from seglab import inputs
from seglab.data.instances import boxes_of, largest_parts, relabel
from seglab.data.sample import Sample
from seglab.data.sample_set import SampleSet
from seglab.data.shapes import check_synthetic, smooth_noise


def _offsets(reach: float) -> list[tuple[int, int]]:
    """Steps (dy, dx) of one half plane, shorter than `reach` px; their negatives are the other half."""
    side = range(-math.ceil(reach), math.ceil(reach) + 1)
    return [(dy, dx) for dy in side for dx in side
            if (dy, dx) > (0, 0) and dy * dy + dx * dx < reach * reach]


def _pairs(labels: np.ndarray, step: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Two views of a map, of the pixels p and p + step that both lie on it."""
    dy, dx = step
    height, width = labels.shape
    here = (slice(0, height - dy), slice(max(-dx, 0), width - max(dx, 0)))
    there = (slice(dy, height), slice(max(dx, 0), width - max(-dx, 0)))
    return here, there


def carve(labels: np.ndarray, territory: np.ndarray, gap: int, rng: np.random.Generator) -> np.ndarray:
    """Take pixels off neighbouring cells until `gap` background pixels lie between any two.

    Parameters
    ----------
    labels : ndarray
        (H, W) int32, 0 = background; changed in place.
    territory : ndarray
        (H, W) int32, the cell that owns the pixel, background pixels near cells included: the middle
        line between two cells, from which both step back equally far.
    gap : int
        px; 0 leaves the cells touching.
    rng : numpy.random.Generator
        Decides which cell of a pair gives up the odd pixel.

    Returns
    -------
    ndarray
        labels: pixels of two different cells are at least gap + 1 px apart (centre to centre).
    """
    if gap == 0:
        return labels
    back = np.zeros(labels.shape, dtype=bool)
    for step in _offsets((gap + 1) / 2):
        here, there = _pairs(labels, step)
        other = (territory[here] != territory[there]) & (territory[here] > 0) & (territory[there] > 0)
        back[here] |= other
        back[there] |= other
    labels[back] = 0
    # where half a gap is no whole pixel, one cell of the two gives up one more
    rank = np.concatenate([[0], rng.permutation(labels.max()) + 1])[labels]
    back[:] = False
    for step in _offsets(gap + 1):
        here, there = _pairs(rank, step)
        close = (rank[here] > 0) & (rank[there] > 0)
        back[here] |= close & (rank[here] > rank[there])
        back[there] |= close & (rank[there] > rank[here])
    labels[back] = 0
    return labels


class Cells(SampleSet):
    """Crowded fluorescent cells whose nearest neighbours are `gap` px apart.

    An indexable set; picture i of a seed never changes.

    Parameters
    ----------
    size : (int, int)
        Height and width, px.
    count : int
        Cells to place; fewer where they find no room.
    radius : (float, float)
        Least and greatest mean radius, px.
    gap : int
        Background pixels between neighbouring cells, >= 0: the nearest pixels of two cells are
        never closer than gap + 1 px, centre to centre, and of crowded neighbours just that.
        0 lets them touch.
    blur : float
        Standard deviation of the optics' blur, px; it washes small gaps out.
    noise : float
        Standard deviation of the camera noise at full brightness, in grey values of 0..1.
    length : int
        Number of pictures.
    seed : int
        Use different seeds for training and testing.

    Raises
    ------
    ValueError
        Naming the argument. IndexError beyond the last picture.

    Examples
    --------
    >>> Cells(count=5, seed=1)[0]
    Sample('cells/1/0', 1 x 128 x 128 px, 5 objects)
    """

    classes = ("background", "cell")

    def __init__(self, size: tuple[int, int] = (128, 128), count: int = 20, radius: tuple[float, float] = (7.0, 12.0),
                 gap: int = 2, blur: float = 1.5, noise: float = 0.04, length: int = 10_000, seed: int = 0) -> None:
        size, length, seed = check_synthetic(size, 32, length, seed)
        count, gap = inputs.whole(count, "count", 1), inputs.whole(gap, "gap")
        blur, noise = inputs.positive(blur, "blur", zero=True), inputs.positive(noise, "noise", zero=True)
        if len(radius) != 2 or not 3 <= radius[0] <= radius[1] <= min(size) / 4:
            raise ValueError(f"radius must be 3 <= least <= most <= {min(size) / 4:g} px, got {radius}")
        if gap > 2 * radius[0]:
            raise ValueError(f"gap must be a whole number of px in 0..{2 * radius[0]:g}, got {gap}")
        if blur > 10 or noise > 1:
            raise ValueError(f"blur and noise must be in 0..10 px and 0..1, got {blur} and {noise}")
        self.size, self.count, self.radius, self.gap = size, count, radius, gap
        self.blur, self.noise, self.length, self.seed = blur, noise, length, seed
        self.items = range(length)

    def _read(self, index: int) -> Sample:
        rng = np.random.default_rng([self.seed, 2, index])
        labels, depth = self._outline(rng, *self._place(rng))
        image = self._light(rng, labels, depth)
        return Sample(
            image=torch.from_numpy(image)[None],
            semantic=torch.from_numpy((labels > 0).astype(np.int64)),
            instances=torch.from_numpy(labels),
            name=f"cells/{self.seed}/{index}",
            classes=torch.ones(int(labels.max()), dtype=torch.int64),
            boxes=torch.from_numpy(boxes_of(labels)),
        )

    def _place(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Centres (N, 2) y, x and radii (N,): clusters that grow cell by cell, flank to flank."""
        edge = 0.5 * self.radius[0]
        low, high = np.array([edge, edge]), np.array(self.size) - edge
        centres, radii = np.zeros((0, 2)), np.zeros(0)
        for _ in range(40 * self.count):
            if len(radii) == self.count:
                break
            radius = rng.uniform(*self.radius)
            if len(radii) and rng.random() < 0.85:  # beside a cell: a little nearer than two discs would lie
                mate = rng.integers(len(radii))
                angle, near = rng.uniform(0, 2 * math.pi), rng.uniform(0.84, 0.98)
                reach = near * (radius + radii[mate]) + 0.8 * self.gap
                centre = centres[mate] + reach * np.array([math.sin(angle), math.cos(angle)])
            else:
                centre = rng.uniform(low, high)
            if (centre < low).any() or (centre > high).any():
                continue
            if (np.hypot(*(centres - centre).T) < 0.82 * (radii + radius) + 0.8 * self.gap).any():
                continue
            centres, radii = np.concatenate([centres, [centre]]), np.append(radii, radius)
        return centres, radii

    def _outline(self, rng: np.random.Generator, centres: np.ndarray,
                 radii: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Label map with the exact gap, and the depth of each pixel in its cell (1 centre .. 0 edge)."""
        height, width = self.size
        nearest = np.full(self.size, 2.0)
        territory = np.zeros(self.size, dtype=np.int32)
        order = np.arange(2, 5)
        for cell, ((cy, cx), radius) in enumerate(zip(centres, radii), start=1):
            wobble, phase = rng.normal(0, 0.16, 3) / order, rng.uniform(0, 2 * math.pi, 3)
            reach = int(2.2 * radius) + 2
            rows = np.arange(max(int(cy) - reach, 0), min(int(cy) + reach + 1, height))
            columns = np.arange(max(int(cx) - reach, 0), min(int(cx) + reach + 1, width))
            window = np.ix_(rows, columns)
            down, right = rows[:, None] + 0.5 - cy, columns + 0.5 - cx
            angle = np.arctan2(down, right)[..., None]
            edge = radius * (1 + (wobble * np.cos(order * angle + phase)).sum(-1))
            distance = np.hypot(down, right) / edge  # 1 on the outline: a blob, not a disc
            mine = distance < nearest[window]
            nearest[window] = np.where(mine, distance, nearest[window])
            territory[window] = np.where(mine, cell, territory[window])
        labels = carve(np.where(nearest < 1, territory, 0).astype(np.int32), territory, self.gap, rng)

        # a wobbling outline or the carving can cut a tip off: keep the largest part, and no crumbs
        labels = largest_parts(labels)
        size = np.bincount(labels.ravel())
        labels[size[labels] < 0.3 * math.pi * self.radius[0] ** 2] = 0
        return relabel(labels), np.clip(1 - nearest, 0, 1)

    def _light(self, rng: np.random.Generator, labels: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Fluorescence: brightness per cell, brighter in the middle, chromatin, blur, haze, photon noise."""
        side = 2 ** math.ceil(math.log2(max(self.size)))
        window = (slice(0, self.size[0]), slice(0, self.size[1]))
        bright = np.concatenate([[0], rng.uniform(0.35, 1.0, labels.max())])[labels]
        grain = 1 + 0.12 * smooth_noise(rng, side, 1.6)[window] + 0.1 * smooth_noise(rng, side, 4.0)[window]
        light = bright * (0.72 + 0.28 * np.sqrt(depth)) * grain
        haze = 0.04 + 0.02 * smooth_noise(rng, side, side / 8)[window]
        if self.blur:
            glow = ndimage.gaussian_filter(light, 6 * self.blur)  # light from out of focus
            light = ndimage.gaussian_filter(light, self.blur) + 0.12 * glow
        light = 0.8 * light + haze.clip(0)
        noise = self.noise * np.sqrt(light.clip(0) + 0.05) * rng.standard_normal(self.size)
        return (light + noise).clip(0, 1).astype(np.float32)
