"""The pyramid and the region proposal network against torchvision: keys, stages, losses, gradients."""
from collections import OrderedDict

import pytest
import torch
from torchvision import ops as tv
from torchvision.models.detection import rpn as tv_rpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from seglab.models import FPN, RPN, RPNHead
from seglab.models.rpn import flatten_predictions

SIZES, RATIOS = ((8,), (16,), (32,)), (0.5, 1.0, 2.0)
PADDED, IMAGES = (96, 128), [(96, 128), (81, 100)]


def report(part, reference, cases, worst):
    print(f"\n{part}: reference {reference}, {cases} cases, worst difference {worst:.1e}")


@pytest.mark.parametrize("sizes", [((32, 48), (16, 24), (8, 12), (4, 6)), ((33, 47), (17, 24), (9, 12), (5, 6)),
                                   ((1, 3), (1, 2), (1, 1), (1, 1))])
def test_pyramid(sizes):
    torch.manual_seed(0)
    channels = [4, 8, 16, 32]
    mine = FPN(channels, 12).double()
    reference = tv.FeaturePyramidNetwork(channels, 12, LastLevelMaxPool()).double()
    reference.load_state_dict(mine.state_dict(), strict=True)
    x = [torch.randn(2, c, *size, dtype=torch.float64) for c, size in zip(channels, sizes, strict=True)]
    results = []
    for run in (lambda: mine(x), lambda: list(reference(OrderedDict(enumerate(x))).values())):
        maps = run()
        module = mine if not results else reference
        loss = sum((m * torch.sin(torch.arange(m.numel()).reshape(m.shape))).sum() for m in maps)
        results.append((maps, torch.autograd.grad(loss, module.parameters())))
    assert [m.shape for m in results[0][0]] == [m.shape for m in results[1][0]] and len(results[0][0]) == 5
    assert all(torch.equal(a, b) for a, b in zip(results[0][0], results[1][0], strict=True))
    worst = max((a - b).abs().max().item() for a, b in zip(results[0][1], results[1][1], strict=True))
    report(f"FPN on {sizes[0]}, values bitwise, gradients", "FeaturePyramidNetwork", 5, worst)
    assert worst < 1e-11


def test_old_names_are_read():
    """The published files call the layers inner_blocks.0, layer_blocks.0 and conv."""
    pairs = [(FPN([4, 8], 6), lambda k: k.replace(".0.weight", ".weight").replace(".0.bias", ".bias")),
             (RPNHead(6, 3), lambda k: k.replace("conv.0.0.", "conv."))]
    for module, rename in pairs:
        parent = torch.nn.ModuleDict({"part": module})                           # under a prefix, as in the full model
        new = {k: torch.randn_like(v) for k, v in parent.state_dict().items()}
        old = {rename(k): v for k, v in new.items()}
        assert old.keys() != new.keys()
        parent.load_state_dict(old, strict=True)
        assert all(torch.equal(v, new[k]) for k, v in parent.state_dict().items())
        parent.load_state_dict(new, strict=True)


def networks(dtype=torch.float64, **options):
    """Ours and theirs with the same parameters, larger than at the start so that boxes move and scores differ."""
    torch.manual_seed(1)
    options = {"pre_nms_top_n": {"training": 60, "testing": 50}, "post_nms_top_n": {"training": 70, "testing": 40},
               "nms_thresh": 0.6, "score_thresh": 0.45} | options
    mine = RPN(6, SIZES, RATIOS, batch_size_per_image=32, **options).to(dtype)
    for name, parameter in mine.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3 if "bias" in name else 0.1)
    reference = tv_rpn.RegionProposalNetwork(
        AnchorGenerator(SIZES, (RATIOS,) * 3), tv_rpn.RPNHead(6, 3), 0.7, 0.3, 32, 0.5, options["pre_nms_top_n"],
        options["post_nms_top_n"], options["nms_thresh"], options["score_thresh"]).to(dtype)
    reference.load_state_dict(mine.state_dict(), strict=True)
    assign = reference.assign_targets_to_anchors          # its labels are float32, and its loss with them
    reference.assign_targets_to_anchors = lambda *args: [[x.to(dtype) for x in part] for part in assign(*args)]
    return mine, reference


def features(dtype=torch.float64):
    g = torch.Generator().manual_seed(2)
    return [torch.randn(2, 6, PADDED[0] // s, PADDED[1] // s, generator=g, dtype=dtype) for s in (8, 16, 32)]


def truth(dtype=torch.float64):
    return [torch.tensor([[10, 12, 30, 31], [60.5, 40, 100, 70], [0, 0, 9, 7]], dtype=dtype),
            torch.tensor([[50, 20, 66, 61]], dtype=dtype)]


def run_reference(module, maps, boxes=None):
    images = ImageList(torch.zeros(len(maps[0]), 3, *PADDED, dtype=maps[0].dtype), IMAGES[:len(maps[0])])
    targets = None if boxes is None else [{"boxes": b} for b in boxes]
    return module(images, OrderedDict(enumerate(maps)), targets)


def test_flattening():
    logits, deltas = networks()[0].head(features())
    want = tv_rpn.concat_box_prediction_layers(logits, deltas)
    assert torch.equal(flatten_predictions(logits, 1).reshape(-1, 1), want[0])
    assert torch.equal(flatten_predictions(deltas, 4).reshape(-1, 4), want[1])


def test_anchors_of_sizes_that_the_stride_does_not_divide():
    """Rows 6 px and columns 8 px apart: torchvision divides the padded size by the map's, whatever the stride was."""
    mine, reference = networks()
    size, maps = (20, 24), [torch.zeros(1, 6, n, n, dtype=torch.float64) for n in (3, 2, 1)]
    want = reference.anchor_generator(ImageList(torch.zeros(1, 3, *size), [size]), maps)[0]
    assert torch.equal(torch.cat(mine.anchors(maps, size)), want)


@pytest.mark.parametrize("threshold", [0.2, 0.6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("training", [False, True])
def test_proposals(dtype, training, threshold):
    mine, reference = networks(dtype, nms_thresh=threshold)
    mine.train(training), reference.train(training)
    logits, deltas = mine.head(features(dtype))
    anchors = mine.anchors(logits, PADDED)
    flat, steps = flatten_predictions(logits, 1)[..., 0], flatten_predictions(deltas, 4)
    boxes, scores = mine.filter_proposals(flat, steps, anchors, IMAGES)
    decoded = reference.box_coder.decode(steps.detach(), [torch.cat(anchors)] * 2).view(2, -1, 4)
    want_boxes, want_scores = reference.filter_proposals(decoded, flat.reshape(-1, 1), IMAGES,
                                                         [len(a) for a in anchors])
    limit = mine.post_nms_top_n["training" if training else "testing"]
    for got, want in zip([*boxes, *scores], [*want_boxes, *want_scores], strict=True):
        assert 10 < len(got) <= limit and got.shape == want.shape
        assert (got - want).abs().max() <= (1e-4 if dtype == torch.float32 else 1e-12)
        assert not got.requires_grad
    if threshold == 0.2:                                             # levels did not suppress each other
        assert len(tv.nms(boxes[0], scores[0], threshold)) < len(boxes[0])
    report(f"proposal filter, {str(dtype)[6:]}", "filter_proposals", sum(map(len, boxes)),
           max((a - b).abs().max().item() for a, b in zip(boxes, want_boxes, strict=True)))


def test_proposals_from_end_to_end():
    mine, reference = (m.eval() for m in networks(score_thresh=0.0))
    got, losses = mine(features(), PADDED, IMAGES)
    want, _ = run_reference(reference, features())
    assert losses == {}
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape and len(a) == 40 and (a - b).abs().max() < 1e-12


@pytest.mark.parametrize("case", ["objects", "one image without", "no objects at all"])
def test_losses_and_gradients(case):
    boxes = truth()
    if case != "objects":
        boxes[1] = torch.zeros(0, 4, dtype=torch.float64)
    if case == "no objects at all":
        boxes[0] = torch.zeros(0, 4, dtype=torch.float64)
    results = []
    for module, run in zip(networks(), (lambda m: m(features(), PADDED, IMAGES, boxes),
                                        lambda m: run_reference(m, features(), boxes)), strict=True):
        torch.manual_seed(5)
        _, losses = run(module.train())
        total = 1.3 * losses["loss_objectness"] + 0.7 * losses["loss_rpn_box_reg"]
        grads = torch.autograd.grad(total, module.parameters())
        results.append((losses, [torch.rand(1), *grads]))                        # the next random number agrees too
    assert results[0][0].keys() == results[1][0].keys()
    for name, value in results[1][0].items():
        assert abs(results[0][0][name].item() - value.item()) < 1e-12
        assert value > 0 or (case == "no objects at all" and "box" in name)
    worst = max((a - b).abs().max().item() for a, b in zip(results[0][1], results[1][1], strict=True))
    report(f"RPN losses and gradients, {case}", "RegionProposalNetwork", len(results[0][1]), worst)
    assert worst < 1e-12
