"""Losses, forward and backward, against PyTorch, torchvision and segmentation_models_pytorch."""

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from stopwatch import timed
from torchvision.ops import sigmoid_focal_loss

from seglab.losses import cross_entropy, dice_loss, focal_loss, lovasz_softmax


def case(classes):
    """Logits (4, classes, 256, 256) and a target in which every class occurs."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(4, classes, 256, 256, generator=generator),
            torch.randint(0, max(classes, 2), (4, 256, 256), generator=generator))


def row(name, rival, mine, reference, classes, limit=None):
    """Time value and gradient of both on the same batch, and compare the gradients."""
    logits, target = case(classes)
    leaf = logits.requires_grad_()

    def run(loss):
        return torch.autograd.grad(loss(leaf, target), leaf)[0]

    ours, grad = timed(run, mine, repeats=7)
    theirs, expected = timed(run, reference, repeats=7)
    return dict(name=f"{name}, 4x{classes}x256x256", rival=rival, ours=ours, theirs=theirs,
                difference=float((grad - expected).abs().max()), tolerance=1e-7, limit=limit)


def of_cross_entropy():
    """What checking the arguments costs: the arithmetic is PyTorch's."""
    return row("cross entropy", "F.cross_entropy", cross_entropy, F.cross_entropy, 21, limit=1.5)


def of_cross_entropy_of_two_classes():
    """The least arithmetic for as many checks: ours must lose by one pass over the target and a look at the logits."""
    return row("cross entropy", "F.cross_entropy", cross_entropy, F.cross_entropy, 2, limit=1.5)


def of_dice():
    """Dice over the batch, 21 classes."""
    return row("Dice", "smp DiceLoss", lambda z, t: dice_loss(z, t, per_image=False, smooth=0.0),
               smp.losses.DiceLoss("multiclass"), 21)


def of_focal():
    """Binary focal loss."""
    return row("focal", "torchvision sigmoid_focal_loss", focal_loss,
               lambda z, t: sigmoid_focal_loss(z[:, 0], t.float(), reduction="mean"), 1, limit=1.0)


def of_lovasz():
    """Lovász-softmax, picture by picture there, all pictures and classes in one sort here."""
    return row("Lovász-softmax", "smp LovaszLoss", lovasz_softmax,
               smp.losses.LovaszLoss("multiclass", per_image=True), 5)


ROWS = [of_cross_entropy, of_cross_entropy_of_two_classes, of_dice, of_focal, of_lovasz]
