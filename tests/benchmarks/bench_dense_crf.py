"""Dense CRF on 48x48, all pairs of pixels, against the same sums written with SciPy's distance matrices."""

import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax
from stopwatch import timed

from seglab.ops import dense_crf

SIZE, LABELS = 48, 21


def case():
    """Unary (21, 48, 48) and image (3, 48, 48), float64."""
    g = torch.Generator().manual_seed(0)
    return (-torch.randn(LABELS, SIZE, SIZE, generator=g, dtype=torch.float64).log_softmax(0),
            torch.rand(3, SIZE, SIZE, generator=g, dtype=torch.float64))


def with_distance_matrices(unary, image, iterations=10):
    """The rival: two matrices of squared distances, normalised, and the same updates; default weights."""
    psi, colour = unary.numpy().reshape(LABELS, -1), 255 * image.numpy().reshape(3, -1).T
    place = np.indices((SIZE, SIZE)).reshape(2, -1).T.astype(float)
    kernel = 0
    for weight, features in ((10, np.hstack([place / 80, colour / 13])), (3, place / 3)):
        k = np.exp(-cdist(features, features, "sqeuclidean") / 2)
        scale = 1 / np.sqrt(k.sum(1))
        kernel = kernel + weight * scale[:, None] * k * scale
    q = softmax(-psi, axis=0)
    for _ in range(iterations):
        q = softmax(q @ kernel - psi, axis=0)
    return q.reshape(unary.shape)


def exact_mean_field():
    unary, image = case()
    ours, mine = timed(dense_crf, unary, image)
    theirs, reference = timed(with_distance_matrices, unary, image)
    return dict(name=f"dense CRF, {SIZE}x{SIZE}, {LABELS} labels, 10 iterations", rival="SciPy distance matrices",
                ours=ours, theirs=theirs, difference=float(np.abs(mine.numpy() - reference).max()), tolerance=1e-10,
                limit=None, at_most=1.0)


ROWS = [exact_mean_field]
