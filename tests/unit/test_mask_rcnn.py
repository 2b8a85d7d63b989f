"""Mask R-CNN on its own: bad input, edge cases, the alternatives of the ablations, training with fit, memory."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from seglab.metrics import COCOEvaluator
from seglab.models import (
    BasicBlock,
    DetectionTransform,
    FasterRCNN,
    MaskHead,
    MaskPredictor,
    MaskRCNN,
    MLPMaskPredictor,
    ResNet,
    ResNetFPN,
    RoIPooler,
    TwoMLPHead,
    check_targets,
    mask_targets,
    paste_masks,
    sigmoid_mask_loss,
    softmax_mask_loss,
    softmax_mask_probabilities,
)
from seglab.ops import roi_pool

OPTIONS = dict(min_size=64, max_size=128, image_mean=(0.5,) * 3, image_std=(0.25,) * 3,
               anchor_sizes=((8,), (16,), (32,), (64,)), rpn_pre_nms_top_n_train=60, rpn_pre_nms_top_n_test=60,
               rpn_post_nms_top_n_train=40, rpn_post_nms_top_n_test=30, rpn_batch_size_per_image=32,
               box_batch_size_per_image=24, box_detections_per_img=10)


def small(kind=MaskRCNN, seed=0, **changes):
    torch.manual_seed(seed)
    backbone = ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1), width=8), 16, levels=(0, 1, 2))
    parts = dict(box_head=TwoMLPHead(16 * 49, 32))
    if kind is MaskRCNN:
        parts |= dict(mask_head=MaskHead(16, (16,)), mask_predictor=MaskPredictor(16, 16, 4))
    return kind(backbone, 4, **{**OPTIONS, **parts, **changes})


def target(boxes=((4, 4, 30, 20), (20, 30, 50, 60)), size=(64, 64), form="instances", dtype=torch.float32):
    labels = torch.zeros(size, dtype=torch.int32)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        labels[y1:y2, x1:x2] = i + 1
    masks = labels == torch.arange(1, len(boxes) + 1)[:, None, None]
    return {"boxes": torch.tensor(boxes, dtype=dtype).reshape(-1, 4),
            "labels": torch.arange(len(boxes)) % 3 + 1, form: labels if form == "instances" else masks}


def picture(size=(64, 64), dtype=torch.float32, seed=0):
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def finite_step(model, images, targets):
    losses = model.train()(images, targets)
    assert all(torch.isfinite(v) for v in losses.values()), losses
    model.zero_grad()
    sum(losses.values()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())
    return losses


NAN = float("nan")
BAD = [
    ({"boxes": torch.tensor([[0.0, 0, NAN, 9]])}, ValueError, r"targets\[0\]\['boxes'\] must be finite.*row 0"),
    ({"boxes": torch.tensor([[0.0, 0, 0, 9]])}, ValueError, r"\['boxes'\] must be finite.*row 0"),
    ({"boxes": torch.tensor([[9.0, 9, 3, 3]])}, ValueError, r"\['boxes'\]"),
    ({"boxes": torch.zeros(1, 5)}, ValueError, r"\['boxes'\] must have shape \(N, 4\)"),
    ({"boxes": torch.tensor([[1, 2, 3, 4]])}, TypeError, r"\['boxes'\] must be floating"),
    ({"boxes": [[1, 2, 3, 4]]}, TypeError, r"\['boxes'\] must be a tensor"),
    ({"labels": torch.tensor([0])}, ValueError, r"\['labels'\] must lie in 1..3"),
    ({"labels": torch.tensor([4])}, ValueError, r"\['labels'\] must lie in 1..3"),
    ({"labels": torch.tensor([1, 2])}, ValueError, r"\['labels'\] must have shape \(1,\)"),
    ({"labels": torch.tensor([1.0])}, TypeError, r"\['labels'\] must be integers"),
    ({"instances": torch.zeros(9, 9, dtype=torch.int64)}, ValueError, r"\['instances'\] must have shape \(64, 64\)"),
    ({"instances": torch.full((64, 64), 2)}, ValueError, r"\['instances'\] must lie in 0..1"),
    ({"instances": torch.zeros(64, 64)}, TypeError, r"\['instances'\] must be integers"),
    ({"instances": torch.zeros(64, 64, dtype=torch.bool)}, TypeError, r"\['instances'\] must be integers"),
    ({"masks": torch.zeros(1, 64, 64, dtype=torch.bool)}, ValueError, "either 'masks' or 'instances'"),
    ({"instances": None}, TypeError, r"\['instances'\] must be a tensor"),
]


@pytest.mark.parametrize("change, error, message", BAD)
def test_bad_targets_are_named(change, error, message):
    good = target(((4, 4, 30, 20),))
    with pytest.raises(error, match=message):
        small()([picture()], [{**good, **change}])


@pytest.mark.parametrize("change, error, message", [
    ({"masks": torch.zeros(2, 64, 64, dtype=torch.bool)}, ValueError, r"\['masks'\] must have shape \(1, 64, 64\)"),
    ({"masks": torch.zeros(1, 60, 64, dtype=torch.bool)}, ValueError, r"\['masks'\] must have shape \(1, 64, 64\)"),
    ({"masks": torch.full((1, 64, 64), 0.5)}, ValueError, r"\['masks'\] must hold 0 and 1, got values between"),
    ({"masks": torch.full((1, 64, 64), NAN)}, ValueError, r"\['masks'\] must lie in 0..1, got nan"),
    ({"masks": torch.full((1, 64, 64), 255, dtype=torch.uint8)}, ValueError, "must lie in 0..1, .*: divide by 255")])
def test_bad_masks_are_named(change, error, message):
    with pytest.raises(error, match=message):
        small()([picture()], [{**target(((4, 4, 30, 20),), form="masks"), **change}])


def test_bad_calls_are_named():
    model, good = small(), target()
    for images, targets, message in [([picture()], None, "targets must be given in training"),
                                     ([picture()], [good, good], "one dictionary a picture, 1, got 2"),
                                     ([picture()], good, "targets must be a list"),
                                     ([picture()], [{"boxes": good["boxes"]}], "must hold 'labels'"),
                                     ([picture() * NAN], [good], r"images\[0\] must be finite"),
                                     ([picture()[:2]], [good], r"images\[0\] must have shape \(3, H, W\)"),
                                     ([(picture() * 255).byte()], [good], r"images\[0\] must be floats .*divide by"),
                                     ([picture() * 255], [good], r"images\[0\] must lie in 0..1, .*divide by"),
                                     ([picture().numpy()], [good], r"images\[0\] must be a tensor, got ndarray")]:
        with pytest.raises((ValueError, TypeError), match=message):
            model(images, targets)
    with pytest.raises(TypeError, match="images must be a list"):
        model.eval()([])
    with pytest.raises(ValueError, match="num_classes"):
        FasterRCNN(ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1), width=8), 16), 1)
    with pytest.raises(ValueError, match="out_channels"):
        MaskRCNN(nn.Sequential(nn.Conv2d(3, 8, 3)), 2)
    with pytest.raises(ValueError, match="levels"):
        ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1), width=8), 16, levels=(1, 0))
    with pytest.raises(ValueError, match="min_size"):
        DetectionTransform(min_size=0)
    with pytest.raises(ValueError, match="image_mean"):
        DetectionTransform(image_mean=(0.5,))
    with pytest.raises(ValueError, match="output_size"):
        RoIPooler(0)
    with pytest.raises(ValueError, match="one tensor a picture, 2, got 1"):
        RoIPooler(7)([torch.zeros(2, 3, 8, 8)], [torch.zeros(1, 4)], (32, 32))


def test_bad_calls_of_the_mask_functions_are_named():
    boxes = torch.tensor([[0.0, 0, 5, 5]])
    for arguments, message in [((torch.zeros(2, 7, 7), boxes, (9, 9)), "masks must have shape"),
                               ((torch.zeros(2, 1, 7, 7), boxes, (9, 9)), r"boxes must have shape \(2, 4\)"),
                               ((torch.zeros(1, 1, 7, 7), boxes * NAN, (9, 9)), "boxes must be finite")]:
        with pytest.raises(ValueError, match=message):
            paste_masks(*arguments)
    maps, first = torch.zeros(9, 9, dtype=torch.int64), torch.tensor([0])
    for arguments, message in [((maps[0], first, boxes, 7), "maps must have shape"),
                               ((maps, first, boxes[0], 7), "objects and boxes must have shape"),
                               ((maps, first, boxes * NAN, 7), "boxes must be finite"),
                               ((maps, first - 1, boxes, 7), "objects must be rows"),
                               ((maps[None], first + 1, boxes, 7), "objects must be rows")]:
        with pytest.raises(ValueError, match=message):
            mask_targets(*arguments)
    with pytest.raises(TypeError, match="maps must be a label map of integers"):
        mask_targets(maps.float(), first, boxes, 7)
    assert mask_targets(maps, first[:0], boxes[:0], 7).shape == (0, 7, 7)


@pytest.mark.parametrize("form", ["instances", "masks"])
def test_pictures_without_objects(form):
    model = small()
    full, empty = target(form=form), target((), form=form)
    finite_step(model, [picture(), picture(seed=1)], [full, empty])
    losses = finite_step(model, [picture(), picture(seed=1)], [empty, empty])      # nowhere in the whole batch
    assert losses["loss_mask"] == losses["loss_box_reg"] == losses["loss_rpn_box_reg"] == 0
    assert losses["loss_classifier"] > 0
    bare = {"boxes": torch.tensor([]), "labels": torch.tensor([], dtype=torch.int64),
            form: empty["instances"] if form == "instances" else torch.tensor([])}
    finite_step(model, [picture()], [bare])


def test_one_pixel_boxes_and_hidden_objects():
    boxes = ((4, 4, 5, 5), (63, 63, 64, 64), (20, 30, 50, 60))
    finite_step(small(), [picture()], [target(boxes)])
    hidden = target(boxes)
    hidden["instances"][hidden["instances"] == 1] = 0                              # covered: a box without a pixel
    finite_step(small(), [picture()], [hidden])


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (17, 9), (64, 200), (31, 33)])
def test_pictures_of_any_size(size):
    model = small()
    box = (0, 0, max(size[1] // 2, 1), max(size[0] // 2, 1))
    finite_step(model, [picture(size)], [target((box,), size)])
    found = model.eval()([picture(size)])[0]
    assert found["masks"].shape[1:] == (1, *size)
    assert (found["boxes"] >= 0).all() and (found["boxes"] <= torch.tensor([size[1], size[0]] * 2) + 1e-4).all()


def test_no_detections_and_no_proposals():
    for change in (dict(box_score_thresh=1.0), dict(rpn_score_thresh=1.0)):
        found = small(**change).eval()([picture((40, 50)), picture()])
        assert [tuple(d["masks"].shape) for d in found] == [(0, 1, 40, 50), (0, 1, 64, 64)]
        assert all(d["boxes"].shape == (0, 4) and len(d["labels"]) == len(d["scores"]) == 0 for d in found)
    model = small(rpn_score_thresh=1.0)
    assert finite_step(model, [picture()], [target()])["loss_mask"] > 0            # the true boxes are RoIs too
    losses = finite_step(model, [picture()], [target(())])                         # not a single RoI
    assert losses["loss_classifier"] == losses["loss_box_reg"] == losses["loss_mask"] == 0


class OneMap(nn.Conv2d):
    """A backbone without pyramid: one map of stride 16, 8 channels."""

    def __init__(self):
        super().__init__(3, 8, 16, 16)


def test_backbone_with_a_single_map():
    model = small(box_score_thresh=0.0)
    plain = MaskRCNN(OneMap(), 4, mask_head=MaskHead(8, ()), **{**OPTIONS, "anchor_sizes": ((16, 32),)},
                     box_score_thresh=0.0)
    finite_step(plain, [picture()], [target()])
    assert plain.roi_heads.mask_predictor.conv5_mask.in_channels == 8
    assert len(plain.eval()([picture()])[0]["boxes"]) and model.roi_heads.mask_head.out_channels == 16


def test_batch_is_not_mixed_up():
    """A picture gives the same detections alone and beside others (of a size that pads it alike)."""
    model = small(box_score_thresh=0.0).eval()
    images = [picture(seed=i) for i in range(3)]
    with torch.no_grad():
        together, alone = model(images), [model([image])[0] for image in images]
    for a, b in zip(together, alone):
        assert len(a["boxes"]) > 0 and all((a[k].float() - b[k].float()).abs().max() < 1e-4 for k in a)


def test_double_precision_channels_last_and_views():
    model = small(box_score_thresh=0.0)
    finite_step(small().double(), [picture(dtype=torch.float64)], [target(dtype=torch.float64)])
    model.eval()
    with torch.no_grad():
        plain = model([picture()])[0]
        strided = model([picture().permute(1, 2, 0).contiguous().permute(2, 0, 1)])[0]
        last = model.to(memory_format=torch.channels_last)([picture()])[0]
    assert len(plain["boxes"]) and plain["boxes"].dtype == torch.float32
    for other in (strided, last):
        assert all(torch.allclose(plain[k].float(), other[k].float(), atol=1e-3) for k in plain)


def test_autocast_computes_boxes_and_losses_in_single_precision():
    model, images, targets = small(box_score_thresh=0.0), [picture()], [target()]
    torch.manual_seed(0)
    expected = model(images, targets)
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(0)
        losses = finite_step(model, images, targets)
        found = model.eval()(images)[0]
    for name, value in losses.items():
        assert value.dtype == torch.float32 and (value - expected[name]).abs() < 0.05 * expected[name] + 1e-3, name
    assert all(found[name].dtype == torch.float32 for name in ("boxes", "scores", "masks"))


def test_inputs_are_left_as_they_are():
    images, targets = [picture((50, 60))], [target(size=(50, 60), boxes=((4, 4, 30, 20),))]
    copies = images[0].clone(), {k: v.clone() for k, v in targets[0].items()}
    small()(images, targets)
    assert torch.equal(images[0], copies[0]) and all(torch.equal(targets[0][k], v) for k, v in copies[1].items())
    assert list(targets[0]) == list(copies[1])


def test_nothing_is_remembered_between_calls():
    """The reference keeps the scales of the first picture it sees; here a small one first changes nothing."""
    model = small(box_score_thresh=0.0).eval()
    with torch.no_grad():
        before = model([picture((64, 100))])[0]
        model([picture((9, 9))])
        after = model([picture((64, 100))])[0]
    assert all(torch.equal(before[k], after[k]) for k in before)


def test_without_mask_branch_and_alternatives():
    images, targets = [picture()], [target()]
    plain = small(FasterRCNN)
    bare = [{k: v for k, v in targets[0].items() if k != "instances"}]
    assert list(finite_step(plain, images, bare)) == ["loss_classifier", "loss_box_reg", "loss_objectness",
                                                      "loss_rpn_box_reg"]
    assert set(plain.eval()(images)[0]) == {"boxes", "labels", "scores"}
    alternatives = {
        "class-agnostic": dict(mask_predictor=MaskPredictor(16, 16, 1)),
        "softmax": dict(mask_loss=softmax_mask_loss, mask_probabilities=softmax_mask_probabilities),
        "MLP": dict(mask_head=nn.Identity(), mask_predictor=MLPMaskPredictor(16 * 49, 32, 4, 14),
                    mask_roi_pool=RoIPooler(7)),
        "RoIPool": dict(mask_roi_pool=RoIPooler(14, roi_pool), box_roi_pool=RoIPooler(7, roi_pool))}
    for name, change in alternatives.items():
        model = small(box_score_thresh=0.0, **change)
        assert finite_step(model, images, targets)["loss_mask"] > 0, name
        masks = model.eval()(images)[0]["masks"]
        assert masks.shape[1:] == (1, 64, 64) and 0 <= masks.min() and 0 < masks.max() <= 1, name
    with pytest.raises(ValueError, match="K >= 2"):
        softmax_mask_loss(torch.zeros(1, 1, 7, 7), torch.ones(1).long(), torch.zeros(1, 7, 7))


def test_softmax_masks_compete_and_sigmoid_masks_do_not():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, 6, 6, generator=generator, requires_grad=True)
    labels, wanted = torch.tensor([1, 2, 3, 1, 2]), torch.rand(5, 6, 6, generator=generator)
    other = torch.arange(4) != labels[:, None]
    for loss, competes in ((sigmoid_mask_loss, False), (softmax_mask_loss, True)):
        gradient, = torch.autograd.grad(loss(logits, labels, wanted), logits)
        assert bool((gradient[other] != 0).any()) is competes
    # two classes, all else far below: the softmax of the pair is the sigmoid of the difference
    pair = torch.full((5, 4, 6, 6), -1e4)
    pair[:, 0] = 0
    pair[range(5), labels] = logits[range(5), labels].detach()
    expected = sigmoid_mask_loss(logits, labels, wanted).detach()
    assert (softmax_mask_loss(pair, labels, wanted) - expected).abs() < 1e-5


def test_check_targets_gives_copies_and_int64():
    given = target()
    given["labels"] = given["labels"].int()
    checked = check_targets([given], [(64, 64)], 4)[0]
    assert checked["labels"].dtype == torch.int64 and given["labels"].dtype == torch.int32
    assert checked["boxes"] is given["boxes"] and checked is not given


MEMORY = """
import resource, sys, torch
from seglab.models import BasicBlock, MaskHead, MaskRCNN, ResNet, ResNetFPN, TwoMLPHead
torch.manual_seed(0)
model = MaskRCNN(ResNetFPN(ResNet(BasicBlock, (1, 1, 1, 1), width=8), 16), 2, min_size=512, max_size=512,
                 anchor_sizes=((8,), (16,), (32,), (64,), (128,)), box_head=TwoMLPHead(16 * 49, 32),
                 mask_head=MaskHead(16, (16,)), rpn_pre_nms_top_n_train=500, rpn_post_nms_top_n_train=500)
def step(count):
    ids = torch.arange(count)
    corner = torch.stack([ids % 45, ids // 45], 1) * 11
    labels = torch.zeros(512, 512, dtype=torch.int32)
    for i, (x, y) in enumerate(corner.tolist()):
        labels[y:y + 8, x:x + 8] = i + 1
    target = {"boxes": torch.cat([corner, corner + 8], 1).float(), "labels": torch.ones_like(ids), "instances": labels}
    sum(model([torch.rand(3, 512, 512)], [target]).values()).backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1 << 20)
few = [step(10) for _ in range(2)][-1]
print(step(2000) - few)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read with resource")
def test_2000_instances_need_less_than_100_mb_more_than_10():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    more = float(done.stdout)
    print(f"a training step on 2,000 instances at 512x512 px needs {more:.0f} MB more than on 10")
    assert more < 100


INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("form, dtype", [*(("instances", dtype) for dtype in INTEGERS),
                                         *(("masks", dtype) for dtype in (*INTEGERS, torch.bool, torch.float32))])
def test_every_type_and_layout_of_the_truth_gives_the_same_losses(form, dtype):
    good = target(((4, 4, 30, 20), (30, 30, 60, 50)), form=form)
    transposed = good[form].to(dtype).transpose(-1, -2).contiguous().transpose(-1, -2)
    model, image = small().train(), picture()
    wanted = None
    for truth in (good, good | {form: good[form].to(dtype)}, good | {form: transposed, "labels": good["labels"].to(
            dtype if dtype in INTEGERS else torch.int64)}):
        torch.manual_seed(0)
        losses = torch.stack(list(model([image], [truth]).values()))
        wanted = losses if wanted is None else wanted
        assert torch.equal(losses, wanted) and losses.isfinite().all()


@pytest.mark.parametrize("form", ["masks", "instances"])
def test_detections_and_targets_go_into_the_evaluator_as_they_are(form):
    model = small().eval()
    model.roi_heads.score_thresh = 0.0
    truth, found = target(((4, 4, 30, 20),), form=form), model([picture()])[0]
    assert len(found["labels"])
    for kind in ("segm", "bbox"):
        evaluator = COCOEvaluator(kind)
        evaluator.update(truth, found)
        assert 0 <= evaluator.compute()["AP"] <= 1
        perfect = COCOEvaluator(kind)
        perfect.update(truth, {**truth, "scores": torch.ones(1)})
        assert perfect.compute()["AP"] == pytest.approx(1.0)
