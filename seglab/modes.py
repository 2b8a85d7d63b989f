"""Training and evaluation mode, switched for a while and given back part by part.

``model.train(model.training)`` looks like giving the mode back and is not: it wakes every part that was frozen by
``eval()``, such as the batch norms of a backbone that is fine-tuned.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def modes_kept(model: nn.Module | Callable[..., Any]) -> Iterator[None]:
    """Inside, modes may change; afterwards every module of ``model`` has the one it came with, also after an error.

    A model that is a function and no module has no modes, and nothing happens.
    """
    modes = [(part, part.training) for part in model.modules()] if isinstance(model, nn.Module) else []
    try:
        yield
    finally:
        for part, training in modes:          # not part.train(training), which would reach down to its children
            part.training = training


@contextmanager
def evaluating(model: nn.Module | Callable[..., Any]) -> Iterator[None]:
    """Inside, ``model`` is in evaluation mode; afterwards every module has the mode it came with."""
    with modes_kept(model):
        if isinstance(model, nn.Module):
            model.eval()
        yield


def train_unfrozen(model: nn.Module) -> None:
    """Put ``model`` into training mode, except for what its user has frozen.

    In a model that is in training mode, frozen is what was put into evaluation mode. One that is in evaluation mode
    as a whole does not show it; there, frozen are the parts none of whose parameters is trained.
    """
    if not model.training:
        model.train()
        for part in model.modules():
            parameters = list(part.parameters())
            if parameters and not any(parameter.requires_grad for parameter in parameters):
                part.eval()
