"""Pyramid and region proposal network: shapes, awkward images, bad inputs."""
import doctest
import importlib

import pytest
import torch

from seglab.models import FPN, RPN, RPNHead, assign_levels

SIZES = ((8,), (16,))


def small(**options):
    torch.manual_seed(0)
    return RPN(4, SIZES, batch_size_per_image=16, **options)


def maps(height=32, width=48, images=1, **kind):
    g = torch.Generator().manual_seed(1)
    return [torch.randn(images, 4, -(-height // s), -(-width // s), generator=g).to(**kind) for s in (8, 16)]


def test_examples_in_the_docstrings():
    assert doctest.testmod(importlib.import_module("seglab.models.fpn")) == (0, 1)


def test_the_pyramid_has_one_map_more():
    fpn = FPN([2, 3], 5)
    assert [tuple(m.shape) for m in fpn([torch.zeros(1, 2, 9, 7), torch.zeros(1, 3, 5, 4)])] == [
        (1, 5, 9, 7), (1, 5, 5, 4), (1, 5, 3, 2)]
    with pytest.raises(ValueError, match="must hold 2 maps, got 1"):
        fpn([torch.zeros(1, 2, 9, 7)])


def test_a_coarse_map_reaches_the_finest():
    fpn = FPN([2, 2], 3)
    coarse = torch.zeros(1, 2, 4, 4, requires_grad=True)
    fpn([torch.zeros(1, 2, 8, 8), coarse])[0].sum().backward()
    assert coarse.grad.abs().min() > 0


def test_levels_of_awkward_boxes():
    boxes = torch.tensor([[0.0, 0, 0, 9], [9, 9, 3, 12], [0, 0, 1, 1], [0, 0, 1e6, 1e6]])
    assert assign_levels(boxes).tolist() == [0, 0, 0, 3]
    assert assign_levels(boxes[:0]).shape == (0,)
    with pytest.raises(ValueError, match="finite"):
        assign_levels(torch.tensor([[0, 0, float("nan"), 1]]))


def test_the_head_is_shared_and_starts_undecided():
    head = RPNHead(4, 3)
    logits, deltas = head(maps(images=2))
    assert [tuple(x.shape) for x in logits + deltas] == [(2, 3, 4, 6), (2, 3, 2, 3), (2, 12, 4, 6), (2, 12, 2, 3)]
    assert head.cls_logits.weight.std() < 0.02 and not head.cls_logits.bias.any()


@pytest.mark.parametrize("height, width", [(3, 5), (8, 8), (17, 33), (1, 64)])
def test_small_images(height, width):
    rpn = small().train()
    proposals, losses = rpn(maps(height, width), (height, width), [(height, width)], [torch.tensor([[0.0, 0, 3, 1]])])
    assert all(torch.isfinite(loss) for loss in losses.values()) and losses["loss_rpn_box_reg"] > 0
    for boxes in proposals:
        assert (boxes >= 0).all() and (boxes[:, 2] <= width).all() and (boxes[:, 3] <= height).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.parametrize("boxes", [torch.zeros(0, 4), torch.tensor([[5.0, 5, 5, 9]]), torch.tensor([[9.0, 9, 4, 4]]),
                                   torch.tensor([[500.0, 500, 520, 530]])],
                         ids=["none", "without area", "reversed", "outside"])
def test_objects_that_no_anchor_can_learn(boxes):
    """They make no anchor positive, and nothing infinite; torchvision's rule would make all anchors positive."""
    rpn = small().train()
    _, losses = rpn(maps(), (32, 48), [(32, 48)], [boxes])
    sum(losses.values()).backward()
    assert losses["loss_rpn_box_reg"] == 0 and 0.6 < losses["loss_objectness"] < 0.8
    assert all(torch.isfinite(p.grad).all() for p in rpn.parameters())


def test_one_pixel_objects_are_learned():
    _, losses = small().train()(maps(), (32, 48), [(32, 48)], [torch.tensor([[20.0, 20, 21, 21]])])
    assert losses["loss_rpn_box_reg"] > 0


def test_layout_and_type():
    rpn = small().eval()
    want = rpn(maps(), (32, 48), [(32, 48)])[0][0]
    got = rpn([m.contiguous(memory_format=torch.channels_last) for m in maps()], (32, 48), [(32, 48)])[0][0]
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)
    double = rpn.double()(maps(dtype=torch.float64), (32, 48), [(32, 48)])[0][0]
    assert double.dtype == torch.float64 and len(double) == len(want)


def test_no_gradient_through_proposals():
    rpn = small(post_nms_top_n={"training": 7, "testing": 5})
    for mode, count in ((True, 7), (False, 5)):
        proposals, losses = rpn.train(mode)(maps(), (32, 48), [(32, 48)], [torch.zeros(0, 4)])
        assert len(proposals[0]) == count and not proposals[0].requires_grad
        assert bool(losses) == mode


def test_score_threshold_can_leave_nothing():
    proposals, _ = small(score_thresh=1.0).eval()(maps(), (32, 48), [(32, 48)])
    assert proposals[0].shape == (0, 4)


@pytest.mark.parametrize("call, says", [
    (lambda: small().train()(maps(), (32, 48), [(32, 48)]), "in training, got none"),
    (lambda: small().train()(maps(), (32, 48), [(32, 48)], [torch.zeros(0, 4)] * 2), "1 images in training, got 2"),
    (lambda: small().train()(maps(), (32, 48), [(32, 48)], [torch.full((1, 4), float("nan"))]), r"boxes\[0\] must be"),
    (lambda: small().eval()(maps()[:1], (32, 48), [(32, 48)]), "must hold 2 maps"),
    (lambda: RPN(4, ((8,), (16, 32))), "equally many sizes"),
    (lambda: small().eval()([m * float("nan") for m in maps()], (32, 48), [(32, 48)]), "must be finite"),
])
def test_bad_input(call, says):
    with pytest.raises(ValueError, match=says):
        call()
