import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from seglab.ops import receptive_field, receptive_field_formula


def test_one_layer_by_hand():
    field = receptive_field(nn.Conv2d(3, 4, 5, stride=3), (3, 40, 50))
    assert field.size == (5, 5) and field.stride == (3, 3) and field.offset == (2, 2)
    assert field.clipped == (False, False)


def test_axes_are_separate():
    field = receptive_field(nn.Conv2d(1, 1, (3, 7), stride=(1, 2), padding=(1, 0)), (1, 30, 41))
    assert field.size == (3, 7) and field.stride == (1, 2) and field.offset == (0, 3)


def test_same_padding_centres_on_the_pixel_itself():
    model = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1) for _ in range(4)])
    field = receptive_field(model, (1, 40, 40))
    assert field.size == (9, 9) and field.offset == (0, 0)
    assert receptive_field_formula([(3, 1, 1, 1)] * 4)[:] == (9, 1, 0)


class Everything(nn.Module):
    """Functional pooling, batch normalisation, drop-out, a skip, up-sampling, and weights that cancel or are zero."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1), nn.BatchNorm2d(2)
        with torch.no_grad():
            self.a.weight[0], self.a.weight[1] = 1, -1
            self.b.weight.zero_()

    def forward(self, x):
        a = F.relu(self.norm(self.a(x)))
        low = F.max_pool2d(F.dropout(a, 0.5, self.training), 2)
        return self.b(torch.cat([a, F.interpolate(low, scale_factor=2)], 1))


def test_cancelling_weights_pooling_and_normalisation_hide_nothing():
    field = receptive_field(Everything(), (1, 40, 40))
    # 3 pixels of the pooled map's doubles lie in 2 pooled pixels: 4 px, and the 3x3 before adds 2
    assert field.size == (6, 6) and field.stride == (1, 1) and len(field.sizes[0]) in (1, 2)


def test_the_model_is_left_exactly_as_it_was():
    model = Everything().train()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    mode = [m.training for m in model.modules()]
    receptive_field(model, (1, 40, 40))
    assert [m.training for m in model.modules()] == mode and torch.equal(torch.get_rng_state(), state)
    for name, value in model.state_dict().items():
        assert value.dtype == before[name].dtype and torch.equal(value, before[name]), name
    assert all(p.grad is None for p in model.parameters())


def test_a_field_that_reaches_the_border_says_so():
    field = receptive_field(nn.Conv2d(1, 1, 9, padding=4), (1, 6, 60))
    assert field.clipped == (True, False) and field.size == (6, 9)
    assert field.stride[0] != field.stride[0] and field.stride[1] == 1


class Mean(nn.Module):
    def forward(self, x):
        return x + x.mean((2, 3), keepdim=True)


def test_global_pooling_sees_everything():
    field = receptive_field(Mean(), (1, 20, 30))
    assert field.size == (20, 30) and field.clipped == (True, True)


def test_one_output_pixel():
    field = receptive_field(nn.Conv2d(1, 1, 5), (1, 5, 5))
    assert field.size == (5, 5) and field.offset[0] != field.offset[0]           # no second pixel, no stride


def test_mapping_with_out():
    class Wrapped(nn.Module):
        def forward(self, x):
            return {"out": F.avg_pool2d(x, 3), "aux": x}
    assert receptive_field(Wrapped(), (1, 20, 20)).size == (3, 3)


class Broken(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


@pytest.mark.parametrize("model, shape, error, text", [
    (lambda x: x, (1, 8, 8), TypeError, "model"), (nn.Identity(), (8, 8), ValueError, "input_shape"),
    (nn.Identity(), (1, 0, 8), ValueError, "input_shape"), (nn.Identity(), (1, 8.5, 8), TypeError, "input_shape"),
    (Broken(lambda x: [x]), (1, 8, 8), TypeError, "tensor"),
    (Broken(lambda x: x[0]), (1, 8, 8), ValueError, "one image"),
    (Broken(lambda x: x / 0), (1, 8, 8), ValueError, "finite output"),
    (Broken(lambda x: torch.zeros(1, 1, 4, 4)), (1, 8, 8), ValueError, "do not depend")])
def test_bad_input(model, shape, error, text):
    with pytest.raises(error, match=text):
        receptive_field(model, shape)


@pytest.mark.parametrize("layers, expected", [
    ([], (1, 1, 0)), ([(3, 1, 1)], (3, 1, 1)), ([(2, 2, 1)], (2, 2, 0.5)), ([(3, 1, 4)], (9, 1, 4)),
    ([(2, 2, 1), (2, 1 / 2, 1)], (2, 1, 0)), ([(4, 1 / 2, 1, 1)], (2, 0.5, -0.25))])
def test_recurrences_by_hand(layers, expected):
    assert receptive_field_formula(layers)[:] == expected


@pytest.mark.parametrize("layer", [(3, 1), (3, 1, 1, 0, 0), (0, 1, 1), (3, 0, 1), (3, 1, -1), (3, 1, 1, -1)])
def test_bad_layers(layer):
    with pytest.raises(ValueError, match="kernel"):
        receptive_field_formula([layer])
