"""Overlap tiles: any picture size, any model of the two kinds, clear refusals."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seglab.data import mirror_indices, predict_tiled


@settings(deadline=None, max_examples=50)
@given(size=st.integers(1, 12), before=st.integers(0, 40), after=st.integers(0, 40))
def test_mirror_equals_numpy_reflect_however_far(size, before, after):
    picture = np.arange(size) * 7 + 1
    mine = picture[mirror_indices(-before, size + after, size)]
    assert np.array_equal(mine, np.pad(picture, (before, after), mode="reflect"))


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 40), width=st.integers(1, 40), margin=st.integers(0, 9),
       inner=st.integers(4, 17), multiple=st.integers(1, 4), batch=st.integers(1, 5))
def test_a_model_that_only_crops_gives_the_picture_back(height, width, margin, inner, multiple, batch):
    image = torch.rand(2, 3, height, width)

    def crop(tiles):
        assert len(tiles) <= batch
        return tiles[..., margin:tiles.shape[-2] - margin, margin:tiles.shape[-1] - margin]

    tile = inner + 2 * margin
    assert torch.equal(predict_tiled(crop, image, tile, margin, multiple, batch), image)
    assert torch.equal(predict_tiled(lambda tiles: tiles, image[0], tile, margin, multiple), image[0])


def test_module_keeps_its_modes_and_leaves_no_graph():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5))
    model[1].eval()  # frozen statistics inside a training model
    one = predict_tiled(model, torch.rand(1, 20, 20), tile=10, margin=1, multiple=2)
    assert model.training and not model[1].training and model[2].training and not one.requires_grad
    with pytest.raises(RuntimeError):
        predict_tiled(model, torch.rand(5, 20, 20), tile=10, margin=1, multiple=2)
    assert model.training and not model[1].training and model[2].training


def test_output_has_the_models_channels_and_the_pictures_size():
    model = nn.Conv2d(3, 7, 5).double()
    image = torch.rand(2, 3, 33, 18, dtype=torch.float64)
    scores = predict_tiled(model, image, tile=(12, 20), margin=2, multiple=4)
    assert scores.shape == (2, 7, 33, 18) and scores.dtype == torch.float64
    assert predict_tiled(model, image[0], tile=(12, 20), margin=2, multiple=4).shape == (7, 33, 18)


IMAGE = torch.rand(1, 20, 20)
WRONG = [
    ({"image": np.zeros((1, 20, 20))}, TypeError, "image"),
    ({"image": torch.zeros(20, 20)}, ValueError, "image"),
    ({"image": torch.zeros(1, 20, 0)}, ValueError, "image"),
    ({"image": torch.zeros(1, 20, 20, dtype=torch.uint8)}, ValueError, "image"),
    ({"margin": -1}, ValueError, "margin"),
    ({"multiple": 0}, ValueError, "multiple"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"tile": 6}, ValueError, "tile"),             # 6 - 2 * 2 < multiple
    ({"tile": (12, 12, 12)}, ValueError, "tile"),
    ({"tile": float("inf")}, (TypeError, ValueError), "tile"),
    ({"tile": (12, 12.5)}, TypeError, "tile"),
    ({"margin": float("nan")}, TypeError, "margin"),
    ({"multiple": 2.5}, TypeError, "multiple"),
    ({"batch_size": float("inf")}, TypeError, "batch_size"),
    ({"model": lambda x: x[..., 1:-1, 1:-1]}, ValueError, "model"),
    ({"model": lambda x: x[:, 0, 2:-2, 2:-2]}, ValueError, "model"),
]


@pytest.mark.parametrize(("changed", "error", "name"), WRONG)
def test_wrong_argument_is_named(changed, error, name):
    good = {"model": lambda x: x, "image": IMAGE, "tile": 12, "margin": 2, "multiple": 4, "batch_size": 2}
    with pytest.raises(error, match=name):
        predict_tiled(**{**good, **changed})


def test_nan_in_the_image_is_not_predicted_as_background():
    image = torch.zeros(1, 16, 16)
    image[0, 3, 5] = float("nan")
    with pytest.raises(ValueError, match="image must be finite, got 1 values that are NaN or infinite"):
        predict_tiled(torch.nn.Identity(), image, tile=8, margin=0, multiple=4)


@pytest.mark.parametrize(("side", "tiles"), [(1, 1), (51, 1), (52, 1), (53, 4), (99, 4), (100, 4), (101, 9), (148, 9)])
def test_no_tile_too_many(side, tiles):
    """Output tiles of 52 px at steps of 48: 52 px need one tile an axis, 100 px two."""
    seen = []

    def model(batch):
        seen.append(len(batch))
        return batch

    image = torch.rand(1, side, side)
    assert torch.equal(predict_tiled(model, image, tile=52, margin=0, multiple=8), image) and sum(seen) == tiles


def test_layout_of_the_picture_does_not_matter():
    model, image = nn.Conv2d(3, 2, 5), torch.rand(3, 30, 26)
    expected = predict_tiled(model, image, tile=20, margin=2, multiple=4)
    for form in (image.mT.contiguous().mT, image.permute(1, 2, 0).contiguous().permute(2, 0, 1)):
        assert torch.allclose(predict_tiled(model, form, tile=20, margin=2, multiple=4), expected, atol=1e-6)
