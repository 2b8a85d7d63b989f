"""The machine a notebook runs on: device, profile of sizes, seeds and progress bars."""

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

PROFILES = ("laptop", "gpu")
T = TypeVar("T")


def device() -> torch.device:
    """The device to compute on: a CUDA GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Profile:
    """The sizes a notebook runs at: ``laptop`` (two CPU cores) or ``gpu`` (full size)."""

    name: str
    device: torch.device

    def pick(self, *, laptop: T, gpu: T) -> T:
        """The value for this profile. Both stand in the cell, so a reader sees what the other would be."""
        return laptop if self.name == "laptop" else gpu


def profile() -> Profile:
    """The profile in force: ``gpu`` when PyTorch sees a GPU, else ``laptop``.

    The environment variable ``SEGLAB_PROFILE`` overrides the choice of sizes, never that of the device.

    Raises
    ------
    ValueError
        If ``SEGLAB_PROFILE`` is neither ``laptop`` nor ``gpu``.
    """
    where = device()
    name = os.environ.get("SEGLAB_PROFILE") or ("gpu" if where.type == "cuda" else "laptop")
    if name not in PROFILES:
        raise ValueError(f"SEGLAB_PROFILE must be one of {', '.join(PROFILES)}, got {name!r}")
    return Profile(name, where)


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch; return a CPU generator with the same seed."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be an integer >= 0, got {seed!r}")
    random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)
    torch.manual_seed(int(seed))
    return torch.Generator().manual_seed(int(seed))


def seeds(count: int) -> range:
    """The seeds of a claim: ``range(count)``, or as many as ``SEGLAB_SEEDS`` says (``make claims`` sets 10)."""
    wanted = os.environ.get("SEGLAB_SEEDS")
    if wanted is None:
        return range(count)
    if not wanted.isdigit() or int(wanted) < 2:
        raise ValueError(f"SEGLAB_SEEDS must be an integer >= 2, got {wanted!r}")
    return range(int(wanted))


def progress(iterable: Iterable[T], desc: str = "", **kwargs: Any) -> Iterable[T]:
    """A tqdm bar while somebody looks; the bare iterable when ``SEGLAB_QUIET`` is set (stored or tested output)."""
    if os.environ.get("SEGLAB_QUIET"):
        return iterable
    from tqdm.auto import tqdm

    return tqdm(iterable, desc=desc, leave=False, **kwargs)
