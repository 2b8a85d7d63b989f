"""The same code on a GPU: the U-Net computes the same, training runs there, tiles come back to the image's device."""

import pytest
import torch

from seglab.data import load_nuclei, predict_tiled
from seglab.losses import cross_entropy
from seglab.models import UNet
from seglab.train import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")


@pytest.fixture
def net():
    torch.manual_seed(0)
    return UNet(base_channels=8, depth=3)


def test_tiled_prediction_equals_the_cpu_s(net):
    image = load_nuclei("test").image.double()
    expected = predict_tiled(net.double(), image, tile=84, margin=20, multiple=4)
    got = predict_tiled(net.cuda(), image, tile=84, margin=20, multiple=4)
    assert got.device.type == "cpu"
    torch.testing.assert_close(got, expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_fit_trains_on_the_gpu_and_resumes(net, tmp_path, precision):
    def batch(generator):
        images = torch.rand(2, 1, 84, 84, generator=generator)
        return images, (images[:, 0, 20:64, 20:64] > 0.5).long()

    def loss(net, images, target):
        return cross_entropy(net(images), target)

    arguments = {"lr": 1e-3, "checkpoint": tmp_path / "run.safetensors", "precision": precision}
    assert fit(net, batch, loss, steps=5, **arguments).steps == 5
    assert next(net.parameters()).device.type == "cuda"
    history = fit(net, batch, loss, steps=40, **arguments)
    assert history.steps == 40 and history.loss[-1] < history.loss[0]
