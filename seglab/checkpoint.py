"""States of a model and its optimizer: in safetensors files, and in memory while a step is under way.

A file is written beside its place and moved there, so that there is the old one or the new one and never half of
one. Its checksum covers the tensors and the facts, and is compared before anything is changed.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

CHECKSUM = "seglab.sha256"
RUN = "seglab"                                            # the facts of a run stand under this name
FORM = ("amsgrad", "centered", "momentum")                # options that decide what an optimizer keeps a parameter


def save_weights(path: str | Path, model: nn.Module, **facts: Any) -> None:
    """Write a model's weights as safetensors, with ``facts`` (recipe, score) as readable metadata, atomically.

    Names are those of the plain model, also for one from ``torch.compile``. Tensors that share memory (one head for
    all levels) are written once for each name.

    Raises
    ------
    ValueError
        If ``path`` is a folder.
    OSError
        If the file cannot be written, for one because the disk is full; an older file stays as it was.
    """
    _write(Path(path), _plain(model.state_dict()), {name: json.dumps(value) for name, value in facts.items()})


def load_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Load weights written by :func:`save_weights` strictly into ``model``; return the facts stored with them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        For a folder, a file that is corrupt, and the weights of another model; ``model`` is then as it was.
    """
    tensors, metadata = _read(Path(path))
    load_state(model, tensors, Path(path))
    return {name: json.loads(value) for name, value in metadata.items() if name != CHECKSUM}


def save_run(path: Path, model: nn.Module, optim: torch.optim.Optimizer, seed: int, history: dict[str, Any]) -> None:
    """Write all that training needs to go on: model, optimizer, seed and what was seen so far."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    state = optim.state_dict()
    for index, entries in state["state"].items():
        tensors |= {f"optim.{index}.{name}": torch.as_tensor(v) for name, v in entries.items() if v is not None}
    facts = {"seed": seed, "optimizer": type(optim).__name__, "groups": _form(state["param_groups"]),
             "history": history}
    _write(path, _plain(tensors), {RUN: json.dumps(facts)})


def load_run(path: Path, model: nn.Module, optim: torch.optim.Optimizer, seed: int) -> dict[str, Any]:
    """Load what :func:`save_run` wrote and return its history; rates, decays and the like stay those of ``optim``.

    Raises
    ------
    ValueError
        For a file of another kind, seed, model or optimizer, or a corrupt one; nothing is changed then.
    """
    tensors, metadata = _read(path)
    if RUN not in metadata or CHECKSUM not in metadata:
        raise ValueError(f"checkpoint {path} was not written by fit of this version; "
                         "choose another path, this file is left as it is")
    facts = json.loads(metadata[RUN])
    if facts["seed"] != seed:
        raise ValueError(f"checkpoint {path} was trained with seed {facts['seed']}, got seed={seed}")
    if facts["optimizer"] != type(optim).__name__:
        raise ValueError(f"checkpoint {path} was trained with the optimizer {facts['optimizer']}, "
                         f"got {type(optim).__name__}")
    groups = optim.state_dict()["param_groups"]
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "optim": {}}
    for name, value in tensors.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = value
    before = load_state(model, parts["model"], path)
    if facts["groups"] != _form(groups):
        model.load_state_dict(before)
        raise ValueError(f"checkpoint {path} was trained with other parameter groups of {facts['optimizer']}: "
                         f"{facts['groups']}, got {_form(groups)}")
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optim"].items():
        index, entry = name.split(".", 1)
        state.setdefault(int(index), {})[entry] = value
    optim.load_state_dict({"state": state, "param_groups": groups})
    return facts["history"]


def load_state(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Load tensors under plain names strictly; return the state before, which a model that does not fit keeps."""
    mine = model.state_dict()
    names = {_plain_name(name): name for name in mine}
    before = {name: value.clone() for name, value in mine.items()}
    try:
        model.load_state_dict({names.get(name, name): value for name, value in tensors.items()})
    except RuntimeError as err:                           # raised at the end, when what fits has been copied already
        model.load_state_dict(before)
        raise ValueError(f"checkpoint {path} holds another model than the one given: {err}") from None
    return before


class LastGood:
    """The last state of model and optimizer that is known to be good, kept in memory.

    A state is good when the loss computed with it was finite. That is known in the middle of the next step, after the
    forward pass has moved the running means; so these are copied before it, and parameters and optimizer after it.
    It takes the memory of the trained parameters, the buffers and the optimizer's state once more.
    """

    def __init__(self, model: nn.Module, optim: torch.optim.Optimizer, steps: int) -> None:
        self.model, self.optim = model, optim
        self.steps: int | None = None                     # of the state kept
        self._now = steps                                 # of the state in the model
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._copies: list[Tensor] = []
        self._buffers: list[Tensor] = []
        self._kept_buffers: list[Tensor] = []
        self._state: dict[Tensor, dict[str, Any]] = {}

    def begin(self, steps: int) -> None:
        """Before the forward pass, when the model has done ``steps`` steps."""
        self._now = steps
        self._buffers = [buffer.clone() for buffer in self.model.buffers()]

    @torch.no_grad()
    def keep(self) -> None:
        """After it, when the loss is finite: the state with which it was computed is the last good one."""
        if self._copies:
            torch._foreach_copy_(self._copies, self._parameters)
        else:
            self._copies = [p.clone() for p in self._parameters]
        for parameter, entries in self.optim.state.items():
            kept = self._state.setdefault(parameter, {})
            for name, value in entries.items():
                if isinstance(value, Tensor) and name in kept:
                    kept[name].copy_(value)
                else:
                    kept[name] = value.clone() if isinstance(value, Tensor) else value
        self.steps, self._kept_buffers = self._now, self._buffers

    @torch.no_grad()
    def back(self, current: bool) -> int:
        """Put the last good state into model and optimizer and return its number of steps.

        With ``current`` the state before the step under way is good enough although no loss was computed with it.
        """
        if self.steps != self._now:
            _fill(self.model.buffers(), self._buffers)
            if self.steps is None or current:
                return self._now
        _fill(self._parameters, self._copies)
        _fill(self.model.buffers(), self._kept_buffers)
        self.optim.state.clear()
        self.optim.state.update(self._state)
        return self.steps


@torch.no_grad()
def all_finite(tensors: Iterable[Tensor]) -> bool:
    """Whether no tensor holds NaN or infinity. One sum a tensor; only sums that overflow are looked at closely."""
    tensors = [t for t in tensors if t.is_floating_point()]
    sums = [t.sum(dtype=torch.promote_types(t.dtype, torch.float32)) for t in tensors]
    if not sums or torch.stack([s.float() for s in sums]).sum().isfinite():
        return True
    return all(bool(t.isfinite().all()) for t in tensors)


def _fill(tensors: Iterable[Tensor], copies: Iterable[Tensor]) -> None:
    for tensor, copy in zip(tensors, copies):
        tensor.copy_(copy)


def _form(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"parameters": len(group["params"]), "on": [name for name in FORM if group.get(name)]} for group in groups]


def _plain_name(name: str) -> str:
    return name.replace("_orig_mod.", "")                 # what torch.compile puts before the names of its model


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU under plain names, each tensor with memory of its own: safetensors refuses tied ones otherwise."""
    tensors, owners = {}, set()
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        if value.untyped_storage().data_ptr() in owners:
            value = value.clone()
        owners.add(value.untyped_storage().data_ptr())
        tensors[_plain_name(name)] = value
    return tensors


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps(sorted((k, v) for k, v in metadata.items() if k != CHECKSUM)).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    check_path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, {**metadata, CHECKSUM: json.dumps(_checksum(tensors, metadata))})
        os.replace(partial, path)  # a reader sees the old file or the new one, never half of one
    except (OSError, SafetensorError) as err:
        raise OSError(f"checkpoint {path} could not be written ({err}); an older file there is left as it was") from err
    finally:
        with suppress(OSError):                           # what matters is the error above
            partial.unlink()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    check_path(path)
    if not path.exists():
        raise FileNotFoundError(f"no such checkpoint: {path}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
    except (SafetensorError, ValueError) as err:          # a header that is no UTF-8 is a ValueError
        raise ValueError(f"checkpoint {path} is corrupt ({err}); delete it to start again") from None
    if CHECKSUM in metadata and json.dumps(_checksum(tensors, metadata)) != metadata[CHECKSUM]:
        raise ValueError(f"checkpoint {path} is corrupt (its checksum is another); delete it to start again")
    return tensors, metadata


def check_path(path: str | Path) -> Path:
    """The path, or ValueError if there is a folder."""
    if Path(path).is_dir():
        raise ValueError(f"checkpoint must be a file, got the folder {path}")
    return Path(path)
