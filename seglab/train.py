"""The training loop every chapter uses once notebook 05 has written the plain one.

Lightning Fabric places model and data on the device, sets the precision and joins several processes. The rest is a
loop that can be read: take a batch, compute the loss, step, now and then validate and save.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from seglab.checkpoint import check_path, load_run, load_weights, save_run, save_weights
from seglab.inputs import positive, whole
from seglab.last_good import LastGood, all_finite, not_finite
from seglab.modes import evaluating, modes_kept, train_unfrozen
from seglab.runtime import device, progress

__all__ = ["History", "fit", "load_weights", "save_weights", "step_seed"]


@dataclass
class History:
    """What ``fit`` saw: the loss of every step, the validation values, and the seconds that it took."""

    loss: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)  # each with its "step"
    seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Number of steps done."""
        return len(self.loss)


def fit(model: nn.Module, batch: Callable[[torch.Generator], tuple], loss: Callable[..., Tensor], *, steps: int,
        lr: float = 1e-3, schedule: Callable[[float], float] | None = None, seed: int = 0,
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
        validate: Callable[[nn.Module], dict[str, float]] | None = None, validate_every: int = 0,
        checkpoint: str | Path | None = None, checkpoint_every: int = 50, precision: str = "32-true",
        devices: int = 1) -> History:
    """Train ``model`` in place for ``steps`` steps and return what happened.

    Parameters
    ----------
    model : Module
        Trained in place; moved to the GPU when there is one. What is frozen stays frozen: the parts on which
        ``eval()`` was called while the model is in training mode. In a model that is in evaluation mode as a whole,
        as ``fit`` leaves it, they are the parts none of whose parameters is trained (``requires_grad_(False)``).
    batch : callable
        ``batch(generator) -> (inputs, target, ...)`` draws one batch with the generator given and no other source
        of randomness. Step k of seed s always gets the same generator, so a run that was interrupted and resumed
        sees the very batches of one that was not. Tensors (also in lists or dicts) are moved to the device.
    loss : callable
        ``loss(model, inputs, target, ...) -> scalar``.
    steps : int
        Steps in total, those of a resumed checkpoint included.
    lr : float
        Learning rate, >= 0.
    schedule : callable
        From the share of the steps that is done, in 0..1, to a factor on the learning rate of every parameter
        group: ``lambda t: (1 - t) ** 0.9`` is the "poly" policy of DeepLab and PSPNet. None keeps it constant.
    seed : int
        Seed of the batches and of whatever the model draws (drop-out).
    optimizer : callable
        ``optimizer(parameters, lr=lr)``.
    validate : callable
        ``validate(model) -> {name: value}``, called in eval mode without gradients.
    validate_every : int
        Validate after every so many steps and after the last one; 0 = only after the last one.
    checkpoint : path
        A safetensors file. If it exists, training goes on from there: weights, losses and the optimizer's moments
        come from the file; rate, momentum, weight decay and the like are those of this call. It is written every
        ``checkpoint_every`` steps, at the end, and when anything stops the training. A finished one is not trained
        again.
    precision : str
        As in Lightning Fabric: "32-true", "bf16-mixed", ...
    devices : int
        Processes, one a device. More than one only in a script.

    Returns
    -------
    History
        Of all ``steps`` steps: ``fit`` never returns before the last one. The model is in evaluation mode then.

    Raises
    ------
    ValueError
        For an argument out of range, an empty batch, parameters that are not finite, and a checkpoint that is corrupt,
        a folder, or of another model, seed or class of optimizer.
    TypeError
        If ``batch`` does not return a tuple or ``loss`` no tensor.
    FloatingPointError
        When the loss, a parameter or a buffer becomes NaN or infinite; the message names the step.
    KeyboardInterrupt
        After Jupyter's stop button or Ctrl-C, with or without ``checkpoint``: a caller that collects results never
        gets a net that is trained by half. The step under way is finished first; pressed again, it is not.
    OSError
        If the checkpoint cannot be written, for one because the disk is full; the one before it stays.

    Notes
    -----
    After any of these errors, model and optimizer are in the last good state: the one before the step that failed
    or, when numbers have blown up, the last one whose loss was finite. With ``checkpoint`` that state is written,
    unless the disk is what failed, and ``fit`` with the same arguments goes on from there. A process that is killed
    loses the steps since the last writing. The price is a copy of the trained parameters and the optimizer's moments,
    in memory, refreshed in every step.
    """
    _check_arguments(steps, lr, seed, validate_every, checkpoint_every, devices)
    path = None if checkpoint is None else check_path(checkpoint)
    if broken := not_finite(model.named_parameters()):
        raise ValueError(f"model must have finite parameters, got {broken}")
    fabric = Fabric(accelerator=device().type, devices=devices, precision=precision)
    if devices > 1:
        fabric.launch()
    optim = optimizer(model.parameters(), lr=lr)
    rates = [group["lr"] for group in optim.param_groups]
    wrapped, stepper = fabric.setup(model, optim)
    history = History()
    if path is not None and path.exists():
        history = History(**load_run(path, model, optim, seed))
        if history.steps > steps:
            raise ValueError(f"steps must be >= {history.steps}, the steps of checkpoint {path.name}, got {steps}; "
                             "delete the file to start again")
    first = saved = history.steps
    good, interrupted = LastGood(model, optim, first), False
    by_design = {name for name, buffer in model.named_buffers() if not all_finite([buffer])}   # such as masks of -inf
    start, before = time.perf_counter(), history.seconds

    def state() -> list[tuple[str, Tensor]]:
        return [*model.named_parameters(), *model.named_buffers()]

    def demand_finite(broken: str, step: int) -> None:
        if _anywhere(fabric, bool(broken)):
            fresh = f"; if none helps, {path.name} was too far gone: delete it to start again" if first else ""
            raise FloatingPointError(f"{broken or 'another process diverged'} at step {step}; "
                                     f"try a smaller lr than {lr:g}{fresh}")

    def save() -> None:
        nonlocal saved
        if path is not None and fabric.is_global_zero:
            save_run(path, model, optim, seed, asdict(history))
            saved = history.steps

    with modes_kept(model), _stop_button() as stop:
        train_unfrozen(model)
        try:
            for step in progress(range(first, steps), "steps"):
                good.begin(step)
                with stop.at_once():
                    torch.manual_seed(step_seed(seed, step, fabric.global_rank))
                    generator = torch.Generator().manual_seed(step_seed(seed, step, fabric.global_rank))
                    value = _scalar(loss(wrapped, *fabric.to_device(_parts(batch(generator)))))
                    demand_finite(not_finite(good.buffers(), by_design) if torch.isfinite(value) else
                                  f"the loss became {value.item()}", step)
                    if schedule is not None:
                        for group, rate in zip(optim.param_groups, rates, strict=True):
                            group["lr"] = rate * schedule(step / steps)
                    stepper.zero_grad(set_to_none=True)
                    fabric.backward(value)
                good.keep()
                stepper.step()
                history.loss.append(value.item())
                done = step + 1
                if validate is not None and (done == steps or validate_every and done % validate_every == 0):
                    with evaluating(wrapped), torch.no_grad(), stop.at_once():
                        values = {name: float(value) for name, value in validate(wrapped).items()}
                    history.validation.append({"step": done, **values})
                history.seconds = before + time.perf_counter() - start
                interrupted = _anywhere(fabric, stop.pressed)
                if interrupted or done == steps or path is not None and done % checkpoint_every == 0:
                    demand_finite(not_finite(state(), by_design), step)
                    save()
                if interrupted:
                    break
        except BaseException as error:
            at_hand = not isinstance(error, FloatingPointError) and all_finite(model.parameters())
            kept = good.back(at_hand)
            del history.loss[kept:]
            history.validation = [values for values in history.validation if values["step"] <= kept]
            try:
                if kept != saved and not not_finite(state(), by_design):
                    save()
            except OSError as failure:
                error.add_note(str(failure))
            if path is not None and saved:
                again = "" if isinstance(error, FloatingPointError) else "; call fit again to go on"
                error.add_note(f"{path.name} keeps the state after {saved} of {steps} steps{again}")
            raise
        if interrupted or stop.pressed:
            raise KeyboardInterrupt(f"after step {history.steps} of {steps}; " + (
                f"call fit again to go on from {path.name}" if path else "pass checkpoint= to be able to go on"))
    model.eval()
    return history


class _StopButton:
    """The handler of interrupts: they stop training between two steps, and inside one only who presses twice."""

    def __init__(self) -> None:
        self.pressed = self._interruptible = False

    def __call__(self, number: int, frame: Any) -> None:
        if self.pressed and self._interruptible:
            raise KeyboardInterrupt
        self.pressed = True

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a second press is obeyed at once; elsewhere it would leave half a step or half a file."""
        self._interruptible = True
        try:
            yield
        finally:
            self._interruptible = False


@contextmanager
def _stop_button() -> Iterator[_StopButton]:
    button = _StopButton()
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        yield button
        return
    previous = signal.signal(signal.SIGINT, button)
    try:
        yield button
    finally:
        signal.signal(signal.SIGINT, previous)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of one step in one process: 32 bits, mixed, because PyTorch's CPU generator ignores the bits above."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


def _anywhere(fabric: Fabric, happened: bool) -> bool:
    """Whether it happened in any process: one that stops alone leaves the others waiting for its gradients."""
    if fabric.world_size == 1:
        return happened
    return bool(fabric.all_reduce(torch.tensor(float(happened), device=fabric.device), reduce_op="sum") > 0)


def _parts(drawn: Any) -> tuple | list:
    if not isinstance(drawn, (tuple, list)) or not drawn:
        raise TypeError(f"batch must return a tuple (inputs, target, ...), got {type(drawn).__name__}")
    inputs = drawn[0]
    if isinstance(inputs, Tensor) and not inputs.numel() or isinstance(inputs, (tuple, list)) and not inputs:
        got = f"shape {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else "an empty list"
        raise ValueError(f"inputs of a batch must hold at least one picture, got {got}")
    return drawn


def _scalar(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1:
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"loss must return a tensor with one number, got {got}")
    return value


def _check_arguments(steps: int, lr: float, seed: int, validate_every: int, checkpoint_every: int,
                     devices: int) -> None:
    for name, value, least in (("steps", steps, 1), ("seed", seed, 0), ("validate_every", validate_every, 0),
                               ("checkpoint_every", checkpoint_every, 1), ("devices", devices, 1)):
        whole(value, name, least)
    positive(lr, "lr", zero=True)
    if devices > 1 and (hasattr(sys, "ps1") or sys.flags.interactive):
        raise ValueError(f"devices must be 1 in a notebook or an interactive session, got {devices}; "
                         "more processes need a script that is started from a terminal")
