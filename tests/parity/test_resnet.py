"""ResNet and FrozenBatchNorm2d against torchvision: names, values, gradients."""

import pytest
import torch
import torchvision
from torch import nn

from seglab.models import BasicBlock, Bottleneck, FrozenBatchNorm2d, ResNet, resnet18, resnet50


def reference_maps(net, x):
    maps = [net.relu(net.bn1(net.conv1(x)))]
    x = net.maxpool(maps[0])
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = stage(x)
        maps.append(x)
    return maps


CASES = [("resnet18", resnet18, 32, (False, False, False)), ("resnet50", resnet50, 32, (False, False, False)),
         ("resnet50", resnet50, 16, (False, False, True)), ("resnet50", resnet50, 8, (False, True, True))]


@pytest.mark.parametrize("name, build, stride, dilate", CASES)
def test_same_names_values_and_gradients(name, build, stride, dilate):
    torch.manual_seed(0)
    options = {} if name == "resnet18" else {"replace_stride_with_dilation": dilate}
    theirs = getattr(torchvision.models, name)(weights=None, **options).double()
    ours = build(output_stride=stride).double()
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(state, strict=True)
    worst = 0.0
    for size in ((2, 3, 64, 47), (1, 3, 33, 65)):
        x = torch.randn(size, dtype=torch.float64)
        theirs.eval(), ours.eval()
        for mine, ref in zip(ours.taps(x), reference_maps(theirs, x), strict=True):
            assert mine.shape == ref.shape
            worst = max(worst, (mine - ref).abs().max().item() / ref.abs().max().item())
    theirs.train(), ours.train()
    x = torch.randn(2, 3, 64, 47, dtype=torch.float64)
    for net, maps in ((theirs, reference_maps(theirs, x)), (ours, ours.taps(x))):
        net.zero_grad()
        sum((m * m).mean() for m in maps).backward()
    grads = dict(theirs.named_parameters())
    for key, p in ours.named_parameters():
        scale = max(grads[key].grad.abs().max().item(), 1e-12)
        worst = max(worst, (p.grad - grads[key].grad).abs().max().item() / scale)
    print(f"{name} at output stride {stride} against torchvision: worst relative difference {worst:.1e}")
    assert worst < 1e-9


@pytest.mark.parametrize("eps", [1e-5, 0.0])
def test_frozen_batch_norm(eps):
    torch.manual_seed(1)
    bn = nn.BatchNorm2d(5).double()
    for tensor in (bn.weight.data, bn.bias.data, bn.running_mean):
        tensor.normal_()
    bn.running_var.uniform_(0.1, 2)
    mine, theirs = FrozenBatchNorm2d(5, eps=eps).double(), torchvision.ops.FrozenBatchNorm2d(5, eps=eps).double()
    mine.load_state_dict(bn.state_dict(), strict=True)           # with num_batches_tracked: dropped
    theirs.load_state_dict(bn.state_dict(), strict=True)
    x = torch.randn(2, 5, 4, 3, dtype=torch.float64)
    assert (mine(x) - theirs(x)).abs().max() < 1e-12
    assert not list(mine.parameters())


def test_one_state_dict_for_all_output_strides():
    small = {stride: ResNet(Bottleneck, (1, 1, 2, 2), width=8, output_stride=stride) for stride in (8, 16, 32)}
    for stride, net in small.items():
        net.load_state_dict(small[32].state_dict(), strict=True)
        sizes = [m.shape[-1] for m in net(torch.randn(2, 3, 64, 64))]
        assert sizes == [64 // min(s, stride) for s in (4, 8, 16, 32)]
        assert tuple(m.shape[1] for m in net(torch.randn(2, 3, 64, 64))) == net.channels == (32, 64, 128, 256)


def test_any_size_and_every_parameter_gets_a_gradient():
    net = ResNet(BasicBlock, (1, 1, 1, 1), width=8, norm=lambda c: nn.GroupNorm(4, c))
    for size in ((1, 1), (1, 37), (31, 33)):
        assert all(m.shape[0] == 1 for m in net(torch.randn(1, 3, *size)))
    net(torch.randn(1, 3, 64, 64))[-1].square().sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().any()] == []


@pytest.mark.parametrize("options, words", [
    (dict(layers=(1, 1, 1)), "layers"), (dict(layers=(1, 1, 0, 1)), "layers"),
    (dict(output_stride=4), "output_stride"), (dict(width=0), "width must be an integer >= 1, got 0"),
    (dict(in_channels=0), "in_channels must be")])
def test_wrong_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        ResNet(BasicBlock, **{"layers": (1, 1, 1, 1), "width": 4, **options})


def test_wrong_channels():
    with pytest.raises(ValueError, match=r"images must have shape \(N, 3, H, W\) .*got \(1, 1, 8, 8\)"):
        ResNet(BasicBlock, (1, 1, 1, 1), width=4)(torch.zeros(1, 1, 8, 8))
