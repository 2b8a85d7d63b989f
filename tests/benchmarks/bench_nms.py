"""Suppression and proposals in plain tensor operations against torchvision, box for box."""

import torch
import torchvision
from stopwatch import timed
from torchvision.models.detection import rpn as tv_rpn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from seglab.models import RPN
from seglab.ops import nms


def crowd(count, objects, seed=0):
    """Boxes as a proposal network gives them: `count` wobbling around `objects` places of an 800 x 1088 image."""
    g = torch.Generator().manual_seed(seed)
    owner = torch.arange(count) % objects
    centre = (torch.rand(objects, 2, generator=g) * torch.tensor([1088.0, 800.0]))[owner]
    side = (20 + 150 * torch.rand(objects, 2, generator=g))[owner]
    centre = centre + 0.15 * side * torch.randn(count, 2, generator=g)
    side = side * torch.exp(0.2 * torch.randn(count, 2, generator=g))
    return torch.cat([centre - side / 2, centre + side / 2], dim=1), torch.rand(count, generator=g)


def against_torchvision(count, objects, threshold, where):
    boxes, scores = crowd(count, objects)
    for function in (nms, torchvision.ops.nms):
        function(boxes, scores, threshold)
    ours, mine = timed(nms, boxes, scores, threshold, repeats=21)
    theirs, reference = timed(torchvision.ops.nms, boxes, scores, threshold, repeats=21)
    same = len(mine) == len(reference) and bool((mine == reference).all())
    return dict(name=f"NMS, {count} boxes {where}, {len(mine)} kept", rival="torchvision.ops.nms (C++)", ours=ours,
                theirs=theirs, difference=0.0 if same else float("inf"), tolerance=0.0, limit=None)


def proposals():
    return against_torchvision(1000, 60, 0.7, "around 60 objects")


def many_proposals():
    return against_torchvision(3000, 60, 0.7, "around 60 objects")


def detections():
    """Here the C++ loop wins: few boxes stay, so that it has little to do, while ours calls some 25 operators for each
    block of 128 boxes, however little they compute."""
    return against_torchvision(1000, 20, 0.5, "around 20 objects (few stay: the C++ loop has little to do)")


def lawn():
    return against_torchvision(3000, 3000, 0.7, "anywhere")


def boxes_apart():
    """70,000 boxes that do not touch: all of them stay, and every pair would be looked at."""
    start = 12.0 * torch.cartesian_prod(torch.arange(265), torch.arange(265))[:70_000]
    boxes, scores = torch.cat([start, start + 10], 1), torch.rand(70_000, generator=torch.Generator().manual_seed(0))
    ours, mine = timed(nms, boxes, scores, 0.5)
    theirs, reference = timed(torchvision.ops.nms, boxes, scores, 0.5, repeats=1)
    return dict(name="NMS, 70,000 boxes apart", rival="torchvision.ops.nms (C++)", ours=ours, theirs=theirs,
                difference=0.0 if torch.equal(mine, reference) else float("inf"), tolerance=0.0, limit=1.0, at_most=3.0)


def proposal_filter():
    """From the head's maps of an 800 x 1088 image (five levels, 217,413 anchors) to 1000 boxes."""
    torch.manual_seed(0)
    ours, sizes = RPN().eval(), ((32,), (64,), (128,), (256,), (512,))
    theirs = tv_rpn.RegionProposalNetwork(AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 5), ours.head, 0.7, 0.3, 256, 0.5,
                                          ours.pre_nms_top_n, ours.post_nms_top_n, 0.7).eval()
    features = [torch.zeros(1, 1, -(-800 // s), -(-1088 // s)) for s in (4, 8, 16, 32, 64)]
    anchors = ours.anchors(features, (800, 1088))
    count = sum(map(len, anchors))
    logits = torch.linspace(-4, 4, count)[torch.randperm(count)][None]      # no ties: torchvision sorts them anyhow
    deltas = 0.2 * torch.randn(1, count, 4)

    def reference():
        decoded = theirs.box_coder.decode(deltas, [torch.cat(anchors)]).view(1, -1, 4)
        return theirs.filter_proposals(decoded, logits, [(800, 1088)], [len(a) for a in anchors])[0][0]

    seconds, mine = timed(lambda: ours.filter_proposals(logits, deltas, anchors, [(800, 1088)])[0][0], repeats=15)
    their_seconds, boxes = timed(reference, repeats=15)
    return dict(name=f"proposals of one 800 x 1088 image, {len(mine)} kept", rival="torchvision's filter_proposals",
                ours=seconds, theirs=their_seconds, difference=float((mine - boxes).abs().max()), tolerance=0.0,
                limit=None)


ROWS = [proposals, many_proposals, detections, lawn, boxes_apart, proposal_filter]
