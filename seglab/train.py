"""The training loop every chapter uses once notebook 05 has written the plain one.

Lightning Fabric places model and data on the device, sets the precision and joins several processes. The rest is
forty lines that can be read: take a batch, compute the loss, step, now and then validate and save.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from seglab.runtime import device, progress


@dataclass
class History:
    """What ``fit`` saw: the loss of every step, the validation values, and whether it was interrupted."""

    loss: list[float] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)  # each with its "step"
    seconds: float = 0.0
    interrupted: bool = False

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
        Trained in place; moved to the GPU when there is one.
    batch : callable
        ``batch(generator) -> (inputs, target, ...)`` draws one batch with the generator given and no other source
        of randomness. Step k of seed s always gets the same generator, so a run that was interrupted and resumed
        sees the very batches of one that was not. Tensors (also in lists or dicts) are moved to the device.
    loss : callable
        ``loss(model, inputs, target, ...) -> scalar``.
    steps : int
        Steps in total, those of a resumed checkpoint included.
    lr : float
        Learning rate.
    schedule : callable
        From the share of the steps that is done, in 0..1, to a factor on ``lr``: ``lambda t: (1 - t) ** 0.9`` is the
        "poly" policy of DeepLab and PSPNet. None keeps ``lr`` constant.
    seed : int
        Seed of the batches and of whatever the model draws (drop-out).
    optimizer : callable
        ``optimizer(parameters, lr=lr)``.
    validate : callable
        ``validate(model) -> {name: value}``, called in eval mode without gradients.
    validate_every : int
        Validate after every so many steps and after the last one; 0 = only after the last one.
    checkpoint : path
        A safetensors file. If it exists, training goes on from there; it is written every ``checkpoint_every``
        steps, at the end, and when you interrupt the kernel. A finished one is not trained again.
    precision : str
        As in Lightning Fabric: "32-true", "bf16-mixed", ...
    devices : int
        Processes, one a device.

    Returns
    -------
    History
        With ``interrupted=True`` when Jupyter's stop button or Ctrl-C ended it; the step under way is finished first.
        Call ``fit`` again with the same arguments to go on.

    Raises
    ------
    ValueError
        For steps < 1, a checkpoint of another model or seed, or a corrupt checkpoint.
    FloatingPointError
        When the loss becomes NaN or infinite; the message names the step. The checkpoint keeps the last good step.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be an integer >= 1, got {steps!r}")
    fabric = Fabric(accelerator=device().type, devices=devices, precision=precision)
    if devices > 1:
        fabric.launch()
    optim = optimizer(model.parameters(), lr=lr)
    wrapped, optim = fabric.setup(model, optim)
    history, path = History(), Path(checkpoint) if checkpoint is not None else None
    if path is not None and path.exists():
        history = _load(path, model, optim, seed)
        if history.steps > steps:
            raise ValueError(f"steps must be >= {history.steps}, the steps of checkpoint {path.name}, got {steps}; "
                             "delete the file to start again")
    start, before = time.perf_counter(), history.seconds
    wrapped.train()
    with _stop_button() as stop:
        for step in progress(range(history.steps, steps), "steps"):
            torch.manual_seed(step_seed(seed, step, fabric.global_rank))
            generator = torch.Generator().manual_seed(step_seed(seed, step, fabric.global_rank))
            value = loss(wrapped, *fabric.to_device(batch(generator)))
            if not torch.isfinite(value):
                raise FloatingPointError(f"the loss became {value.item()} at step {step}; try a smaller lr than {lr:g}")
            if schedule is not None:
                for group in optim.param_groups:
                    group["lr"] = lr * schedule(step / steps)
            optim.zero_grad(set_to_none=True)
            fabric.backward(value)
            optim.step()
            history.loss.append(value.item())
            done = step + 1
            if validate is not None and (done == steps or validate_every and done % validate_every == 0):
                history.validation.append({"step": done, **_validate(wrapped, validate)})
            history.seconds = before + time.perf_counter() - start
            history.interrupted = stop.is_set() and done < steps
            last = history.interrupted or done == steps
            if path is not None and fabric.is_global_zero and (last or done % checkpoint_every == 0):
                _save(path, model, optim, seed, history)
            if history.interrupted:
                print(f"interrupted after step {done} of {steps}; " +
                      (f"call fit again to go on from {path.name}" if path else "pass checkpoint= to be able to go on"))
                break
    wrapped.eval()
    return history


@contextmanager
def _stop_button() -> Iterator[threading.Event]:
    """Turn the first interrupt into a flag, so that training stops between two steps and never inside one."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        yield stop
        return

    def handler(number: int, frame: Any) -> None:
        if stop.is_set():  # pressed twice: whoever insists gets the plain KeyboardInterrupt
            raise KeyboardInterrupt
        stop.set()

    previous = signal.signal(signal.SIGINT, handler)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of one step in one process: 32 bits, mixed, because PyTorch's CPU generator ignores the bits above."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1)[0])


@torch.no_grad()
def _validate(model: nn.Module, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
    model.eval()
    values = {name: float(value) for name, value in validate(model).items()}
    model.train()
    return values


def save_weights(path: str | Path, model: nn.Module, **facts: Any) -> None:
    """Write a model's weights as safetensors, with ``facts`` (recipe, score) as readable metadata, atomically."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    _write(Path(path), tensors, {name: json.dumps(value) for name, value in facts.items()})


def load_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Load weights written by :func:`save_weights` strictly into ``model``; return the facts stored with them."""
    tensors, metadata = _read(Path(path))
    _load_strictly(model, tensors, Path(path))
    return {name: json.loads(value) for name, value in metadata.items()}


def _save(path: Path, model: nn.Module, optim: Any, seed: int, history: History) -> None:
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    state = optim.state_dict()
    for index, entries in state["state"].items():
        tensors |= {f"optim.{index}.{name}": torch.as_tensor(value).detach().cpu().contiguous()
                    for name, value in entries.items() if value is not None}
    metadata = {"seed": seed, "groups": state["param_groups"], "loss": history.loss, "validation": history.validation,
                "seconds": history.seconds}
    _write(path, tensors, {"seglab": json.dumps(metadata)})


def _load(path: Path, model: nn.Module, optim: Any, seed: int) -> History:
    tensors, metadata = _read(path)
    if "seglab" not in metadata:
        raise ValueError(f"checkpoint {path} was not written by fit; choose another path, this file is left as it is")
    facts = json.loads(metadata["seglab"])
    if facts["seed"] != seed:
        raise ValueError(f"checkpoint {path} was trained with seed {facts['seed']}, got seed={seed}")
    split = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    _load_strictly(model, split, path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optim."):
            _, index, entry = name.split(".", 2)
            state.setdefault(int(index), {})[entry] = value
    optim.load_state_dict({"state": state, "param_groups": facts["groups"]})
    return History(facts["loss"], facts["validation"], facts["seconds"])


def _load_strictly(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as err:
        raise ValueError(f"checkpoint {path} holds another model than the one given: {err}") from None


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(tensors, partial, metadata)
        os.replace(partial, path)  # a reader sees the old file or the new one, never half of one
    finally:
        partial.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if not path.exists():
        raise FileNotFoundError(f"no such checkpoint: {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return load_file(path), metadata
    except SafetensorError as err:
        raise ValueError(f"checkpoint {path} is corrupt ({err}); delete it to start again") from None
