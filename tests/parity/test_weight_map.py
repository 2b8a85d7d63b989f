"""The fast weight map against one whole-image distance transform an object."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from seglab.data import Cells, load_nuclei
from seglab.ops import unet_weight_map


def brute_force(labels, w0=10.0, sigma=5.0):
    """w_c = 1; sorts the distances to all instances at every pixel."""
    ids = [n for n in np.unique(labels) if n]
    if len(ids) < 2:
        return np.ones(labels.shape)
    distances = np.sort([distance_transform_edt(labels != n) for n in ids], axis=0)
    return 1 + (labels == 0) * w0 * np.exp(-(distances[0] + distances[1]) ** 2 / (2 * sigma ** 2))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2 ** 31), st.integers(1, 40), st.integers(1, 40), st.integers(0, 12),
       st.floats(0, 30), st.floats(0.3, 20))
def test_random_label_maps(seed, height, width, count, w0, sigma):
    rng = np.random.default_rng(seed)
    dense = rng.random((height, width)) < rng.choice([0.02, 0.2, 0.9])
    labels = rng.integers(0, count + 1, (height, width)) * dense
    mine, reference = unet_weight_map(labels, w0, sigma), brute_force(labels, w0, sigma)
    np.testing.assert_allclose(mine, reference, rtol=0, atol=1e-6 * (1 + w0))


def test_cells_and_nuclei():
    worst, cases = 0.0, 0
    maps = [Cells(size=(128, 128), gap=gap, seed=3)[gap].instances.numpy() for gap in range(4)]
    for labels in [*maps, load_nuclei("test").instances.numpy()]:
        for sigma in (2.0, 5.0, 9.0):
            worst = max(worst, np.abs(unet_weight_map(labels, sigma=sigma) - brute_force(labels, sigma=sigma)).max())
            cases += 1
    print(f"\nweight map: reference one EDT an object, {cases} cases, worst difference {worst:.1e}")
    assert 0 < worst < 1e-6
