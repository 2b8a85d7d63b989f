"""The last good state of a training run, kept in memory while a step is under way, and what "finite" means for it."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class LastGood:
    """The last state of model and optimizer that is known to be good, kept in memory.

    A state is good when the loss computed with it was finite. That is known in the middle of the next step, after the
    forward pass has moved the running means; so these are copied before it, and parameters and optimizer after it.
    It takes the memory of the trained parameters, the buffers and the optimizer's state once more.
    """

    def __init__(self, model: nn.Module, optim: torch.optim.Optimizer, steps: int) -> None:
        self.optim = optim
        self.steps: int | None = None                     # of the state kept
        self._now = steps                                 # of the state in the model
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._copies: list[Tensor] = []
        self._parts = [(f"{name}." if name else "", part) for name, part in model.named_modules()]
        self._buffers: dict[str, Tensor] = {}
        self._kept_buffers: dict[str, Tensor] = {}
        self._state: dict[Tensor, dict[str, Any]] = {}

    def buffers(self) -> list[tuple[str, Tensor]]:
        """As ``model.named_buffers()``, in a fifth of the time, which counts in every step."""
        return [(prefix + name, buffer) for prefix, part in self._parts for name, buffer in part._buffers.items()
                if buffer is not None]

    def begin(self, steps: int) -> None:
        """Before the forward pass, when the model has done ``steps`` steps."""
        self._now = steps
        self._buffers = {name: buffer.clone() for name, buffer in self.buffers()}

    @torch.no_grad()
    def keep(self) -> None:
        """After it, when the loss is finite: the state with which it was computed is the last good one."""
        self._copies = self._copies or [torch.empty_like(p) for p in self._parameters]
        old, new = [*self._copies], [*self._parameters]
        for parameter, entries in self.optim.state.items():
            kept = self._state.setdefault(parameter, {})
            for name, value in entries.items():
                if isinstance(value, Tensor) and name in kept:
                    old.append(kept[name])
                    new.append(value)
                else:
                    kept[name] = value.clone() if isinstance(value, Tensor) else value
        if old:
            torch._foreach_copy_(old, new)                # one call: a thousand small copies cost more than the bytes
        self.steps, self._kept_buffers = self._now, self._buffers

    @torch.no_grad()
    def back(self, current: bool) -> int:
        """Put the last good state into model and optimizer and return its number of steps.

        With ``current`` the state before the step under way is good enough although no loss was computed with it.
        """
        if self.steps != self._now:
            self._put(self._buffers)
            if self.steps is None or current:
                return self._now
        self._put(self._kept_buffers)
        for parameter, copy in zip(self._parameters, self._copies, strict=True):
            parameter.copy_(copy)
        self.optim.state.clear()
        self.optim.state.update(self._state)
        return self.steps

    def _put(self, buffers: dict[str, Tensor]) -> None:
        for name, buffer in self.buffers():
            if name in buffers:                           # one that was registered since then has no earlier state
                buffer.copy_(buffers[name])


@torch.no_grad()
def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity. One sum a tensor; only sums that overflow are looked at closely."""
    tensors = [t for t in tensors if t.is_floating_point()]
    sums = [t.sum(dtype=torch.promote_types(t.dtype, torch.float32)) for t in tensors]
    if not sums or torch.stack([s.float() for s in sums]).sum().isfinite():
        return True
    return all(bool(t.isfinite().all()) for t in tensors)


def not_finite(named: Iterable[tuple[str, Tensor]], exempt: Iterable[str] = ()) -> str:
    """The first name whose tensor holds NaN or infinity, with what it holds; "" if there is none."""
    named = [(name, tensor) for name, tensor in named if name not in exempt]
    if all_finite([tensor for _, tensor in named]):
        return ""
    return next(f"{'nan' if tensor.isnan().any() else 'inf'} in {name}" for name, tensor in named
                if not all_finite([tensor]))
