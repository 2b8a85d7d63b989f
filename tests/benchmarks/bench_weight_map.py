"""Weight map of 1000 objects at 1024x1024 against one full distance transform an object, equality beside it."""
import time

import numpy as np
from scipy.ndimage import distance_transform_edt

from seglab.ops import unet_weight_map


def discs(count=1000, size=1024, seed=0):
    """Label map of `count` discs of random radius on a grid, some of them touching."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(count ** 0.5))
    pitch = size / side
    y, x = np.mgrid[:size, :size]
    row, column = (y / pitch).astype(int), (x / pitch).astype(int)
    radius = rng.uniform(0.3, 0.52, (side, side)) * pitch
    inside = np.hypot(y - (row + 0.5) * pitch, x - (column + 0.5) * pitch) <= radius[row, column]
    cell = row * side + column + 1
    return np.where(inside & (cell <= count), cell, 0).astype(np.int32)


def one_transform_an_object(labels, w0=10.0, sigma=5.0):
    """The rival: a whole-image distance transform for each object, keeping the two smallest."""
    d1, d2 = np.full((2, *labels.shape), np.inf)
    for n in np.unique(labels[labels > 0]):
        d = distance_transform_edt(labels != n)
        np.minimum(d2, np.maximum(d1, d), out=d2)
        np.minimum(d1, d, out=d1)
    return 1 + np.where(labels == 0, w0 * np.exp(-(d1 + d2) ** 2 / (2 * sigma ** 2)), 0)


def seconds(function, *arguments, repeat=1):
    """Best time of `repeat` runs, and the result."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = function(*arguments)
        times.append(time.perf_counter() - start)
    return min(times), result


def rows():
    """One dict a row: name, seconds of both, ratio, limit on the ratio, worst difference of the two results."""
    table = []
    for count, size, limit in ((1000, 1024, 0.01), (200, 512, 0.1)):
        labels = discs(count, size)
        ours, mine = seconds(unet_weight_map, labels, repeat=3)
        theirs, reference = seconds(one_transform_an_object, labels)
        table.append({"name": f"weight map, {count} objects, {size}x{size}", "ours": ours, "rival": theirs,
                      "rival_name": "one full EDT an object", "ratio": ours / theirs, "limit": limit,
                      "difference": float(np.abs(mine - reference).max())})
        assert table[-1]["difference"] < 1e-6, table[-1]
    return table


def main():
    """Print the table and fail where a limit is missed."""
    for row in rows():
        print("{name:<38} {ours:7.3f} s   {rival_name} {rival:7.3f} s   ratio {ratio:.4f} (limit {limit})   "
              "worst difference {difference:.1e}".format(**row))
        assert row["ratio"] <= row["limit"] and row["ours"] <= 2, row


if __name__ == "__main__":
    main()
