"""Files that hold the weights of a model, or a whole run from which training goes on: safetensors with a checksum.

A file is written beside its place and moved there, so that there is the old one or the new one and never half of
one. Its checksum covers the tensors and the facts, and is compared before anything is changed.
"""

import hashlib
import json
import os
from collections.abc import Mapping
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
    facts = {"seed": int(seed), "optimizer": type(optim).__name__, "groups": _form(state["param_groups"]),
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
    except SafetensorError as err:
        raise ValueError(f"checkpoint {path} is corrupt ({err}); delete it to start again") from None
    if CHECKSUM in metadata and json.dumps(_checksum(tensors, metadata)) != metadata[CHECKSUM]:
        raise ValueError(f"checkpoint {path} is corrupt (its checksum is another); delete it to start again")
    return tensors, metadata


def check_path(path: str | Path) -> Path:
    """The path, or ValueError if there is a folder."""
    if Path(path).is_dir():
        raise ValueError(f"checkpoint must be a file, got the folder {path}")
    return Path(path)
