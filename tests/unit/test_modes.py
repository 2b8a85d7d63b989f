"""Modes come back part by part, wherever the package switches them."""

import pytest
import torch
from torch import nn

from seglab.data import predict_tiled
from seglab.models import latency, small_mask_rcnn
from seglab.modes import evaluating, modes_kept
from seglab.widgets.detection_stages import record_stages


def net_with_frozen_norm():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Sequential(nn.Dropout()))
    net[1].eval()
    return net


def modes(model):
    return [part.training for part in model.modules()]


def test_modes_come_back_one_by_one():
    net = net_with_frozen_norm()
    before = modes(net)
    with modes_kept(net):
        net.train()
        assert net[1].training
    assert modes(net) == before == [True, True, False, True, True]


def test_evaluating_reaches_every_part_and_gives_back_also_after_an_error():
    net = net_with_frozen_norm()
    before = modes(net)
    with pytest.raises(KeyError), evaluating(net):
        assert not any(modes(net))
        raise KeyError
    assert modes(net) == before


def test_an_awake_part_of_a_sleeping_model_stays_awake():
    net = net_with_frozen_norm().eval()
    net[2].train()                                                     # dropout at test time
    before = modes(net)
    with evaluating(net):
        assert not any(modes(net))
    assert modes(net) == before


def test_a_function_has_no_modes():
    with evaluating(torch.relu), modes_kept(torch.relu):
        pass


@pytest.mark.parametrize("use", [
    lambda net: latency(net, torch.rand(1, 1, 8, 8), repeats=1, warm_up=0),
    lambda net: predict_tiled(net, torch.rand(1, 8, 8), tile=8, margin=0, multiple=1),
], ids=["latency", "predict_tiled"])
def test_frozen_batch_norm_stays_frozen(use):
    net = net_with_frozen_norm()
    before, mean = modes(net), net[1].running_mean.clone()
    use(net)
    assert modes(net) == before and torch.equal(net[1].running_mean, mean)


def test_recording_a_detector_leaves_its_frozen_backbone_alone():
    model = small_mask_rcnn(4).train()
    model.backbone.eval()
    before = modes(model)
    record_stages(model, torch.rand(3, 128, 128))
    assert modes(model) == before
