"""VGG-16 against torchvision's, and DeepLab v1's parameter counts and fields against the paper's table."""
import pytest
import torch
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from seglab.models import VGG16, DeepLabV1
from seglab.ops import receptive_field, receptive_field_formula


def test_torchvision_s_file_loads_and_gives_its_features():
    torch.manual_seed(0)
    reference = make_layers(cfgs["D"]).double()
    net = VGG16().double()
    file = {f"features.{name}": value for name, value in reference.state_dict().items()}
    net.load_state_dict(file, strict=True)
    worst = 0.0
    with torch.no_grad():
        for size in ((32, 32), (64, 96)):
            x = torch.randn(1, 3, *size, dtype=torch.float64)
            for taken, last in zip(net.taps(x), (5, 10, 17, 24, 31), strict=True):            # after each pooling
                worst = max(worst, (taken - reference[:last](x)).abs().max().item())
    print(f"\nVGG-16: reference torchvision, 2 sizes, worst difference {worst:.1e}")
    assert worst < 1e-12


def test_gradients_are_torchvision_s():
    torch.manual_seed(0)
    narrow = [n if n == "M" else n // 16 for n in cfgs["D"]]
    net, reference = VGG16(width=4).double(), make_layers(narrow).double()
    net.features.load_state_dict(reference.state_dict(), strict=True)
    x = torch.randn(1, 3, 32, 64, dtype=torch.float64)
    weights = torch.randn(1, 32, 1, 2, dtype=torch.float64)
    (net(x)[-1] * weights).sum().backward()
    (reference(x) * weights).sum().backward()
    for mine, theirs in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size", [(64, 64), (97, 45), (33, 70), (7, 1)])
def test_dense_maps_contain_the_sparse_ones(size):
    torch.manual_seed(0)
    nets = {s: VGG16(width=3, output_stride=s).double() for s in (8, 16, 32)}
    for s in (8, 16):
        nets[s].load_state_dict(nets[32].state_dict())
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        maps = {s: net(x)[-1] for s, net in nets.items()}
    for s in (8, 16):
        step = 32 // s
        assert maps[s].shape[2:] == tuple(-(-n // s) for n in size)
        torch.testing.assert_close(maps[s][..., ::step, ::step], maps[32], rtol=0, atol=1e-12)


def test_deeplab_scores_at_stride_8_contain_those_at_32():
    torch.manual_seed(0)
    nets = {s: DeepLabV1(5, width=2, hidden=6, output_stride=s).double().eval() for s in (8, 16, 32)}
    x = torch.randn(1, 3, 200, 131, dtype=torch.float64)
    scores = {}
    for s, net in nets.items():
        net.load_state_dict(nets[8].state_dict())
        nn.init.normal_(net.classifier.fc8.weight, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            scores[s] = net.classifier(net.backbone(x)[-1])
    for s in (8, 16):
        torch.testing.assert_close(scores[s][..., ::32 // s, ::32 // s], scores[32], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "rate", "hidden", "millions", "field"), [
    (7, 4, 4096, 134.3, 224), (4, 4, 4096, 65.1, 128), (4, 8, 4096, 65.1, 224), (3, 12, 1024, 20.5, 224)])
def test_parameters_and_field_of_the_paper_s_table(kernel, rate, hidden, millions, field):
    with torch.device("meta"):
        net = DeepLabV1(21, kernel_size=kernel, rate=rate, hidden=hidden)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == millions
    assert 8 * (kernel - 1) * rate + 32 == field              # fc6's taps and one 32 px cell of pool5


def test_the_field_of_large_fov_measured_and_computed():
    net = DeepLabV1(2, 1, width=1, hidden=1)
    coarse = nn.Sequential(Last(net.backbone), net.classifier)
    measured = receptive_field(coarse, (1, 440, 2), outputs=2)
    block = [(3, 1, 1)] * 3
    layers = [*block[:2], (2, 2, 1), *block[:2], (2, 2, 1), *block, (2, 2, 1), *block, (2, 1, 1),
              *[(3, 1, 2)] * 3, (2, 1, 2), (3, 1, 12)]
    assert measured.size[0] == receptive_field_formula(layers).size == 404
    assert measured.stride[0] == 8 and not measured.clipped[0]


class Last(nn.Module):
    """The last map of a backbone."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, x):
        return self.backbone(x)[-1]
