"""The machine a notebook runs on: device, profile of sizes, seeds and progress bars."""

import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

PROFILES = ("laptop", "gpu", "smoke")
T = TypeVar("T")


def device() -> torch.device:
    """The device to compute on: a CUDA GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Profile:
    """The sizes a notebook runs at: ``laptop`` (two CPU cores), ``gpu`` (full size) or ``smoke`` (does it run?)."""

    name: str
    device: torch.device

    def pick(self, *, laptop: T, gpu: T, smoke: T | None = None) -> T:
        """The value for this profile. Both stand in the cell, so a reader sees what the other would be.

        ``smoke`` is for the few sizes that decide how long a notebook runs; without it that of the laptop is taken.
        """
        if self.name == "smoke" and smoke is not None:
            return smoke
        return gpu if self.name == "gpu" else laptop

    def steps(self, *, laptop: int, gpu: int, least: int = 2) -> int:
        """A number of training steps: as :meth:`pick`, under ``smoke`` the ``least`` that the cells after it need."""
        return min(least, laptop) if self.name == "smoke" else self.pick(laptop=laptop, gpu=gpu)


def profile() -> Profile:
    """The profile in force: ``gpu`` when PyTorch sees a GPU, else ``laptop``.

    The environment variable ``SEGLAB_PROFILE`` overrides the choice of sizes, never that of the device. ``smoke`` is
    for tests of whole notebooks: steps and seeds are cut to a minimum, claims and bands are shown without a verdict.

    Raises
    ------
    ValueError
        If ``SEGLAB_PROFILE`` is none of ``laptop``, ``gpu``, ``smoke``.
    """
    where = device()
    name = os.environ.get("SEGLAB_PROFILE") or ("gpu" if where.type == "cuda" else "laptop")
    if name not in PROFILES:
        raise ValueError(f"SEGLAB_PROFILE must be one of {', '.join(PROFILES)}, got {name!r}")
    return Profile(name, where)


def smoke() -> bool:
    """Is this only a test of whether the notebook runs, in which no number that training gave is judged?"""
    return os.environ.get("SEGLAB_PROFILE") == "smoke"


def seed_everything(seed: int) -> torch.Generator:
    """Seed Python, NumPy and PyTorch; return a CPU generator with the same seed."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be an integer >= 0, got {seed!r}")
    random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)
    torch.manual_seed(int(seed))
    return torch.Generator().manual_seed(int(seed))


def seeds(count: int) -> range:
    """The seeds of a claim: ``range(count)``, or as many as ``SEGLAB_SEEDS`` says (``make claims`` sets 10).

    Under the ``smoke`` profile two, the fewest that have an interval.
    """
    if smoke():
        return range(2)
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
