"""Augmentation: one field for picture and labels, the same values where nothing moves, no new label."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.data import augment, displacement_field, elastic_deform, load_nuclei, warp


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def toy(height=24, width=32, seed=0):
    """Picture whose grey value is the label / 10, so that the two cannot part unseen."""
    labels = torch.randint(0, 10, (height // 8, width // 8), generator=rng(seed)).repeat_interleave(8, 0)
    labels = labels.repeat_interleave(8, 1)
    return (labels / 10).float()[None], labels


@settings(deadline=None, max_examples=40)
@given(height=st.integers(1, 20), width=st.integers(1, 20),
       dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_zero_field_is_the_identity_bit_by_bit(height, width, dtype):
    image = torch.rand(2, height, width, generator=rng()).to(dtype)
    labels = torch.randint(0, 70_000, (height, width), generator=rng(), dtype=torch.int32)
    for moved, given_ in zip(elastic_deform(image, labels, sigma=0.0), (image, labels)):
        assert moved.dtype == given_.dtype and torch.equal(moved, given_)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), sigma=st.floats(0, 60), grid=st.integers(2, 5),
       dtype=st.sampled_from([torch.uint8, torch.int32, torch.int64, torch.float32, torch.bool]))
def test_labels_of_the_output_occur_in_the_input(seed, sigma, grid, dtype):
    image, labels = toy(seed=seed)
    labels = labels.to(dtype)
    moved, moved_labels = elastic_deform(image, labels, grid, sigma, rng(seed))
    assert moved_labels.dtype == dtype
    assert set(moved_labels.unique().tolist()) <= set(labels.unique().tolist())
    assert 0 <= moved.min() and moved.max() <= 1  # bilinear stays between its neighbours


def test_picture_and_labels_move_together():
    image, labels = toy(64, 64)
    one_hot = torch.nn.functional.one_hot(labels, 10).permute(2, 0, 1).float()
    moved, moved_labels = elastic_deform(one_hot, labels, sigma=6.0, generator=rng(3))
    assert (moved.argmax(0) == moved_labels).float().mean() > 0.97
    lit, turned, also = augment(image, labels, rng(4), extra=labels[None], grey_scale=0, grey_shift=0)
    assert torch.equal(turned, also[0])
    assert ((lit[0] - turned / 10).abs() < 1e-6).float().mean() > 0.75  # all but the interpolated edges


def test_nearest_picks_the_pixel_at_the_displaced_place():
    labels = torch.arange(35).reshape(5, 7)
    field = torch.zeros(2, 5, 7)
    field[0], field[1] = 1, -2  # look one row down and two columns left: the picture moves up and right
    assert torch.equal(warp(labels, field, "nearest")[:-1, 2:], labels[1:, :-2])
    assert torch.equal(warp(labels.double(), field)[:-1, 2:], labels[1:, :-2].double())


def test_field_has_the_stated_deviation_at_its_nodes_and_is_smooth():
    fields = torch.stack([displacement_field((65, 33), 3, 10.0, rng(seed)) for seed in range(400)])
    nodes = fields[..., ::32, ::16]
    assert nodes.shape == (400, 2, 3, 3)
    assert nodes.std(0).mean() == pytest.approx(10, rel=0.03) and nodes.mean().abs() < 0.6
    assert fields.diff(dim=-1).abs().max() < 5  # px a px: no folds the size of a pixel
    corr = np.corrcoef(nodes.flatten(1).T.numpy()) - np.eye(18)
    assert np.abs(corr).max() < 0.25  # rows, columns and nodes are drawn apart


def test_same_generator_state_same_result_and_options_do_not_shift_the_draws():
    sample = load_nuclei("val")
    image, labels = sample.image, sample.instances
    once, again = augment(image, labels, rng(5)), augment(image, labels, rng(5))
    assert torch.equal(once[0], again[0]) and torch.equal(once[1], again[1])
    with_grey = once[1]
    assert torch.equal(with_grey, augment(image, labels, rng(5), grey_scale=0, grey_shift=0)[1])
    one, other = rng(6), rng(6)
    augment(image, labels, one)
    augment(image, labels, other, flips=False, rotations=False, grey_scale=0, grey_shift=0)
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=other))


def test_flips_and_turns_reach_all_eight_symmetries_and_keep_the_shape():
    labels = torch.arange(16).reshape(4, 4)
    seen = {tuple(augment(torch.zeros(1, 4, 4), labels, rng(seed), sigma=0)[1].flatten().tolist())
            for seed in range(200)}
    assert len(seen) == 8
    oblong = torch.arange(12).reshape(3, 4)
    seen = {tuple(augment(torch.zeros(1, 3, 4), oblong, rng(seed), sigma=0)[1].flatten().tolist())
            for seed in range(100)}
    assert len(seen) == 4
    still = augment(torch.zeros(1, 4, 4), labels, rng(), sigma=0, flips=False, rotations=False)[1]
    assert torch.equal(still, labels)


def test_grey_values_change_and_stay_in_range():
    image, labels = toy()
    lit = torch.stack([augment(image, labels, rng(seed), sigma=0, flips=False, rotations=False)[0]
                       for seed in range(50)])
    assert lit.min() >= 0 and lit.max() <= 1 and lit.mean((1, 2, 3)).std() > 0.02
    assert torch.equal(image, toy()[0])  # the input is not written to


WRONG = [
    (lambda i, x: elastic_deform(i.numpy(), x), TypeError, "image"),
    (lambda i, x: elastic_deform((i * 255).byte(), x), TypeError, "image"),
    (lambda i, x: elastic_deform(i, x.numpy()), TypeError, "labels"),
    (lambda i, x: elastic_deform(i, x[:-1]), ValueError, "labels"),
    (lambda i, x: elastic_deform(i[:, :0], x[:0]), ValueError, "image"),
    (lambda i, x: elastic_deform(i, x, grid=1), ValueError, "grid"),
    (lambda i, x: elastic_deform(i, x, sigma=-1), ValueError, "sigma"),
    (lambda i, x: elastic_deform(i, x, sigma=float("nan")), ValueError, "sigma"),
    (lambda i, x: displacement_field((0, 4)), ValueError, "size"),
    (lambda i, x: warp(i, torch.zeros(2, 3, 3)), ValueError, "field"),
    (lambda i, x: warp(i, torch.zeros(2, 24, 32), "cubic"), ValueError, "mode"),
    (lambda i, x: augment(i, x, extra=x[1:]), ValueError, "extra"),
    (lambda i, x: elastic_deform(i, x, sigma=float("inf")), ValueError, "sigma"),
    (lambda i, x: elastic_deform(i * float("nan"), x), ValueError, "image"),
    (lambda i, x: displacement_field((4, 4), grid=2.5), TypeError, "grid"),
    (lambda i, x: augment(i, x, sigma=float("inf")), ValueError, "sigma"),
    (lambda i, x: augment(i, None), TypeError, "labels"),
    (lambda i, x: augment(i, x, flips="up-down"), ValueError, "flips"),
    (lambda i, x: augment(i, x, grey_shift=float("inf")), ValueError, "grey_shift"),
    (lambda i, x: augment(i, x, grey_scale=-1), ValueError, "grey_scale"),
    (lambda i, x: augment(i, x, grey_shift=float("nan")), ValueError, "grey_shift"),
]


@pytest.mark.parametrize(("call", "error", "name"), WRONG)
def test_wrong_argument_is_named(call, error, name):
    with pytest.raises(error, match=name):
        call(*toy())


def test_left_right_alone_keeps_the_sky_above():
    labels = torch.arange(12).reshape(3, 4)
    seen = {tuple(augment(torch.zeros(1, 3, 4), labels, rng(seed), sigma=0, flips="left-right", rotations=False)[1]
                  .flatten().tolist()) for seed in range(40)}
    assert seen == {tuple(labels.flatten().tolist()), tuple(labels.flip(1).flatten().tolist())}


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8,
                                   torch.uint16, torch.uint32, torch.uint64])
def test_label_maps_of_every_dtype(dtype):
    image, labels = toy(24, 24)
    expected = augment(image, labels, rng(3), extra=labels[None])
    moved = augment(image, labels.to(dtype), rng(3), extra=labels[None].to(dtype))
    for one, other in zip(moved[1:], expected[1:]):
        assert one.dtype == dtype and torch.equal(one, other.to(dtype))
    deformed, expected = (elastic_deform(image, form, generator=rng(1))[1] for form in (labels.to(dtype), labels))
    assert deformed.dtype == dtype and torch.equal(deformed, expected.to(dtype))


def test_memory_layout_does_not_matter():
    image, labels = toy(24, 32)
    image = image.repeat(3, 1, 1) * torch.tensor([1., 0.5, 0.2])[:, None, None]
    expected = augment(image, labels, rng(3))
    forms = [(image.mT.contiguous().mT, labels.T.contiguous().T),
             (image.repeat_interleave(2, -1)[..., ::2], labels.repeat_interleave(2, 0)[::2]),
             (image.permute(1, 2, 0).contiguous().permute(2, 0, 1), labels)]
    for form in forms:
        for one, other in zip(augment(*form, rng(3)), expected):
            assert torch.equal(one, other) and one.is_contiguous()


def test_picture_of_0_to_255_is_refused():
    image, labels = toy()
    with pytest.raises(ValueError, match=r"image must lie in 0\.\.1, got .*255"):
        augment(image * 255, labels, rng())
    assert elastic_deform(image * 255, labels)[0].max() > 200                   # any grey values may be deformed
