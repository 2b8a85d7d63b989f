"""A training step of DeepLab v3+ on ResNet-50 at output stride 16, against smp's, at the same architecture."""

import sys
from pathlib import Path
from statistics import median
from unittest import mock

import segmentation_models_pytorch as smp
import torch
from stopwatch import timed
from torch.nn import functional as F

from seglab.models import DeepLabV3Plus, deeplabv3plus, dense, resnet50

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
from test_deeplabv3plus_reference import aligned, as_smp, copy_by_position  # noqa: E402

CLASSES, SHAPE, TURNS = 21, (2, 3, 128, 128), 9


def of_deeplabv3plus():
    """One step: forward, cross-entropy, backward; our network changed to smp's conventions, the same parameters."""
    torch.manual_seed(0)
    theirs = smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=CLASSES, decoder_aspp_dropout=0.0).train()
    ours = as_smp(DeepLabV3Plus(resnet50(output_stride=16), CLASSES, rates=(12, 24, 36), dropout=0.0)).train()
    copy_by_position(ours, theirs)
    images, target = torch.randn(*SHAPE), torch.randint(0, CLASSES, (SHAPE[0], *SHAPE[2:]))

    def step(model):
        model.zero_grad()
        logits = model(images)
        F.cross_entropy(logits, target).backward()
        return logits.detach()

    mine, wanted = [], []
    with mock.patch.object(deeplabv3plus, "resize", aligned), mock.patch.object(dense, "resize", aligned):
        for turn in range(TURNS):                             # in turns, so that a busy moment hits both
            sides = [(mine, ours), (wanted, theirs)]
            for times, model in sides[::-1] if turn % 2 else sides:
                times.append(timed(step, model, repeats=1))
    logits, reference = mine[0][1], wanted[0][1]
    return dict(name=f"DeepLab v3+, ResNet-50, stride 16, {'x'.join(map(str, SHAPE))}, training step",
                rival="smp DeepLabV3Plus, same layers",
                ours=median(s for s, _ in mine[1:]), theirs=median(s for s, _ in wanted[1:]),
                difference=float((logits - reference).abs().max() / reference.abs().max()), tolerance=1e-3, limit=1.0)


ROWS = [of_deeplabv3plus]
