"""Mean field against loops over all pairs (to 1e-12), and against the authors' lattice code (labels and energy)."""
import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.data import Shapes
from seglab.ops import crf_energy, dense_crf


def pair_kernels(image, theta_alpha, theta_beta, theta_gamma):
    """The two kernels as dictionaries over pairs of pixels; image (C, H, W) in grey values."""
    pixels = list(product(range(image.shape[1]), range(image.shape[2])))
    bilateral, gaussian = {}, {}
    for i, (yi, xi) in enumerate(pixels):
        for j, (yj, xj) in enumerate(pixels):
            far = (yi - yj) ** 2 + (xi - xj) ** 2
            colour = sum((float(c[yi, xi]) - float(c[yj, xj])) ** 2 for c in image)
            bilateral[i, j] = math.exp(-far / (2 * theta_alpha**2) - colour / (2 * theta_beta**2))
            gaussian[i, j] = math.exp(-far / (2 * theta_gamma**2))
    return pixels, bilateral, gaussian


def couplings(image, w1, theta_alpha, theta_beta, w2, theta_gamma, normalization):
    pixels, *kernels = pair_kernels(image, theta_alpha, theta_beta, theta_gamma)
    n, k = len(pixels), {}
    for weight, kernel in zip((w1, w2), kernels, strict=True):
        rows = [sum(kernel[i, j] for j in range(n)) for i in range(n)]
        for i, j in product(range(n), repeat=2):
            if normalization == "symmetric":
                k[i, j] = k.get((i, j), 0) + weight * kernel[i, j] / math.sqrt(rows[i] * rows[j])
            else:
                k[i, j] = k.get((i, j), 0) + (weight * kernel[i, j] if i != j else 0)
    return pixels, k


def mean_field_in_loops(unary, image, w1, theta_alpha, theta_beta, w2, theta_gamma, iterations, normalization):
    """Algorithm 1 of the paper, one pixel, one label, one neighbour at a time."""
    pixels, k = couplings(image, w1, theta_alpha, theta_beta, w2, theta_gamma, normalization)
    labels = range(len(unary))
    psi = [[float(unary[l][p]) for l in labels] for p in pixels]
    q = [[math.exp(-u) / sum(math.exp(-v) for v in us) for u in us] for us in psi]
    for _ in range(iterations):
        new = []
        for i in range(len(pixels)):
            message = [sum(k[i, j] * q[j][l] for j in range(len(pixels))) for l in labels]
            pairwise = [sum(message[m] for m in labels if m != l) for l in labels]
            odds = [math.exp(-psi[i][l] - pairwise[l] + min(pairwise)) for l in labels]
            new.append([o / sum(odds) for o in odds])
        q = new
    return np.array(q).T.reshape(unary.shape)


def energy_in_loops(labels, unary, image, w1, theta_alpha, theta_beta, w2, theta_gamma, normalization):
    pixels, k = couplings(image, w1, theta_alpha, theta_beta, w2, theta_gamma, normalization)
    total = sum(float(unary[labels[p]][p]) for p in pixels)
    for i in range(len(pixels)):
        for j in range(i + 1, len(pixels)):
            total += k[i, j] * (labels[pixels[i]] != labels[pixels[j]])
    return total


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**31), st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(1, 4), st.integers(1, 3),
       st.integers(0, 4), st.sampled_from(["symmetric", None]))
def test_loops_over_all_pairs(seed, size, labels, channels, iterations, normalization):
    rng = np.random.default_rng(seed)
    unary, image = rng.uniform(0, 4, (labels, *size)), rng.random((channels, *size))
    w1, w2 = rng.uniform(0, 3, 2)
    thetas = rng.uniform(0.5, 60, 3)
    parameters = (w1, thetas[0], thetas[1], w2, thetas[2])
    mine = dense_crf(torch.from_numpy(unary), torch.from_numpy(image), *map(float, parameters), iterations,
                     normalization)
    reference = mean_field_in_loops(unary, image * 255, *parameters, iterations, normalization)
    np.testing.assert_allclose(mine.numpy(), reference, rtol=0, atol=1e-12)
    x = rng.integers(labels, size=size)
    energy = crf_energy(torch.from_numpy(x), torch.from_numpy(unary), torch.from_numpy(image),
                        *map(float, parameters), normalization)
    assert energy == pytest.approx(energy_in_loops(x, unary, image * 255, *parameters, normalization), abs=1e-10)


def test_worst_difference_to_loops():
    rng, worst = np.random.default_rng(0), 0.0
    for normalization in ("symmetric", None):
        unary, image = rng.uniform(0, 4, (3, 7, 8)), rng.random((3, 7, 8))
        arguments = (2.0, 5.0, 30.0, 1.0, 2.0, 10, normalization)
        mine = dense_crf(torch.from_numpy(unary), torch.from_numpy(image), *arguments).numpy()
        worst = max(worst, np.abs(mine - mean_field_in_loops(unary, image * 255, *arguments)).max())
    print(f"\ndense CRF: reference loops over all pairs, 2 cases, worst difference {worst:.1e}")
    assert worst < 1e-12


def test_labels_and_energy_of_the_lattice_code():
    """pydensecrf wraps the authors' code, whose sums are approximate: compare labels and energy, not marginals."""
    reference = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 is not installed")
    agreement, gaps = [], []
    for index in range(4):
        scene = Shapes(size=(40, 48), num_classes=3, objects=(1, 2), radius=(8, 14), texture=0.2, seed=1)[index]
        g = torch.Generator().manual_seed(index)
        logits = 2 * torch.nn.functional.one_hot(scene.semantic, 3).permute(2, 0, 1).double()
        unary = -(logits + 1.5 * torch.randn(logits.shape, generator=g, dtype=torch.float64)).log_softmax(0)
        image = (scene.image * 255).round().to(torch.uint8)
        arguments = dict(w1=6.0, theta_alpha=15.0, theta_beta=20.0, w2=3.0, theta_gamma=2.0)
        mine = dense_crf(unary, image, **arguments, iterations=5).argmax(0)
        crf = reference.DenseCRF2D(48, 40, 3)
        crf.setUnaryEnergy(np.ascontiguousarray(unary.flatten(1).float().numpy()))
        crf.addPairwiseGaussian(sxy=2, compat=3)
        crf.addPairwiseBilateral(sxy=15, srgb=20, rgbim=np.ascontiguousarray(image.permute(1, 2, 0).numpy()), compat=6)
        theirs = torch.from_numpy(np.array(crf.inference(5)).argmax(0).reshape(40, 48))
        agreement.append((mine == theirs).double().mean().item())
        energies = [crf_energy(x, unary, image, **arguments) for x in (unary.argmin(0), mine, theirs)]
        gaps.append(abs(energies[1] - energies[2]) / (energies[0] - energies[2]))
    print(f"\ndense CRF: reference pydensecrf, 4 pictures, labels agree on {100 * min(agreement):.1f} % or more, "
          f"energies within {100 * max(gaps):.2f} % of what is gained over the unary")
    assert min(agreement) > 0.985 and max(gaps) < 0.01
