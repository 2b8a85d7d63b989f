"""The same code on a GPU: networks and operators compute the same, training runs there, tiles come back."""

from functools import partial

import pytest
import torch

from seglab.data import Shapes, load_nuclei, predict_tiled
from seglab.losses import cross_entropy
from seglab.models import BasicBlock, DeepLabV3, PSPNet, ResNet, UNet, small_mask_rcnn
from seglab.ops import batched_nms, dense_crf, roi_align, roi_pool
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


@pytest.mark.parametrize("pool", [lambda x, rois: roi_align(x, rois, 7, 0.25, 2), lambda x, rois: roi_align(x, rois, 7),
                                  lambda x, rois: roi_pool(x, rois, 7, 0.25)])
def test_pooled_rois_and_their_gradients_equal_the_cpu_s(pool):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 8, 24, 31, generator=generator, dtype=torch.float64)
    corner = 60 * torch.rand(40, 2, generator=generator, dtype=torch.float64)
    size = 60 * torch.rand(40, 2, generator=generator, dtype=torch.float64)
    rois = torch.cat([torch.arange(40)[:, None] % 2, corner, corner + size], dim=1)
    answers = []
    for where in ("cpu", "cuda"):
        x = features.to(where).requires_grad_()
        pooled = pool(x, rois.to(where))
        assert pooled.device.type == where
        pooled.square().sum().backward()
        answers.append((pooled.detach().cpu(), x.grad.cpu()))
    for mine, reference in zip(*reversed(answers), strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-9, rtol=0)


def test_suppression_equals_the_cpu_s():
    generator = torch.Generator().manual_seed(0)
    corner = 80 * torch.rand(500, 2, generator=generator)
    boxes = torch.cat([corner, corner + 5 + 30 * torch.rand(500, 2, generator=generator)], dim=1)
    scores, classes = torch.rand(500, generator=generator), torch.arange(500) % 3
    kept = batched_nms(boxes.cuda(), scores.cuda(), classes.cuda(), 0.5)
    assert kept.device.type == "cuda" and torch.equal(kept.cpu(), batched_nms(boxes, scores, classes, 0.5))


def test_crf_takes_tensors_of_the_gpu():
    generator = torch.Generator().manual_seed(0)
    unary, image = torch.rand(2, 12, 14, generator=generator), torch.rand(3, 12, 14, generator=generator)
    torch.testing.assert_close(torch.as_tensor(dense_crf(unary.cuda(), image.cuda())).cpu(),
                               torch.as_tensor(dense_crf(unary, image)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [DeepLabV3, PSPNet])
def test_a_dense_model_equals_the_cpu_s(kind):
    torch.manual_seed(0)
    net = kind(3, partial(ResNet, BasicBlock, (1, 1, 1, 1), 8)).eval().double()
    images = torch.rand(2, 3, 65, 48, dtype=torch.float64)
    expected = net(images)
    torch.testing.assert_close(net.cuda()(images.cuda()).cpu(), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_mask_rcnn_trains_and_detects_on_the_gpu(precision):
    scenes = Shapes(size=(128, 128), seed=3)

    def batch(generator):
        chosen = [scenes[int(i)] for i in torch.randint(50, (4,), generator=generator)]
        return ([s.image for s in chosen],
                [{"boxes": s.boxes, "labels": s.classes, "instances": s.instances} for s in chosen])

    torch.manual_seed(0)
    model = small_mask_rcnn()
    history = fit(model, batch, lambda net, images, targets: sum(net(images, targets).values()), steps=30, lr=1e-3,
                  precision=precision)
    assert sum(history.loss[-5:]) < sum(history.loss[:5])
    found = model.eval()([scenes[60].image.cuda()])[0]
    assert found["masks"].device.type == "cuda" and found["masks"].shape[-2:] == (128, 128)
