import time

import numpy as np
import pytest
import torch

from seglab.ops import dense_crf
from seglab.widgets.crf import crf_marginals, crf_picture, crf_playground, disc_and_bar

START = dict(w1=5.0, theta_alpha=10.0, theta_beta=25.0, w2=1.0, theta_gamma=2.0, iterations=5)


@pytest.mark.parametrize("change", [{}, dict(w1=0.0), dict(w2=0.0), dict(theta_alpha=1.0), dict(theta_beta=3.0),
                                    dict(theta_gamma=0.5), dict(iterations=0), dict(w1=20.0, iterations=10),
                                    dict(w1=0.0, w2=10.0, theta_gamma=8.0, iterations=10)])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_marginals_are_those_of_the_package(change, seed):
    values = START | change
    image, p, _ = disc_and_bar(seed)
    reference = dense_crf(-torch.stack([1 - p, p]).double().log(), image, **values)[1].numpy()
    np.testing.assert_allclose(crf_marginals(**values, seed=seed), reference, rtol=0, atol=2e-3)
    assert ((crf_marginals(**values, seed=seed) > 0.5) != (reference > 0.5)).sum() <= 1


def test_the_story_that_the_sliders_tell():
    _, p, truth = disc_and_bar()
    bar = truth.numpy() == 2

    def found(q):
        return (q > 0.5)[bar].mean()
    assert 0.5 < found(p.numpy()) < 0.9 and found(crf_marginals(**START)) > 0.9
    assert found(crf_marginals(**START | dict(w1=0.0, w2=3.0, iterations=10))) < 0.1


def test_every_state_draws_a_picture_of_one_size_and_the_same_again():
    shape = crf_picture(**START).shape
    for change in (dict(w1=0.0), dict(w1=20.0), dict(theta_alpha=40.0), dict(theta_beta=100.0), dict(w2=10.0),
                   dict(theta_gamma=8.0), dict(iterations=0), dict(iterations=10)):
        picture = crf_picture(**START | change)
        assert picture.dtype == np.uint8 and picture.shape == shape
        np.testing.assert_array_equal(picture, crf_picture(**START | change))


def test_the_sliders_drive_the_panel():
    panel = crf_playground()
    assert set(panel.controls) == set(START)
    for name, control in panel.controls.items():
        first, before = control.value, panel.image.value
        assert first == START[name]
        for value in (control.min, control.max):
            control.value = value
            assert panel.image.value != before and not panel.error.value, name
        control.value = first
        assert panel.image.value == before


@pytest.mark.parametrize("change", [dict(theta_alpha=0), dict(theta_beta=-1), dict(theta_gamma=0), dict(w1=-1),
                                    dict(w2=-1), dict(iterations=-1)])
def test_bad_input(change):
    with pytest.raises(ValueError, match=f"{next(iter(change))} must be"):
        crf_picture(**START | change)


def test_a_repaint_takes_less_than_150_ms():
    times = []
    for theta in (9.0, 11.0, 13.0, 15.0):                        # a new bilateral kernel each time
        start = time.perf_counter()
        crf_picture(**START | dict(theta_alpha=theta, iterations=10))
        times.append(time.perf_counter() - start)
    print(f"\nCRF playground: {1e3 * min(times):.0f} ms a repaint")
    assert min(times) < 0.15
