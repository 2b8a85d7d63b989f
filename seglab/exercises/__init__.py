"""The registry of exercises: what ``check("05.3", answer)`` runs and what ``hint("05.3")`` says.

One module a notebook (``nb05.py``) holds the checks of its exercises. A check is a generator that
tries the reader's answer case by case and yields ``(statement, holds, advice)``.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Case = tuple[str, bool, str]


@dataclass(frozen=True)
class Exercise:
    """One exercise: its identifier ``NN.k``, title, escalating hints and the generator that checks an answer."""

    id: str
    title: str
    hints: tuple[str, ...]
    cases: Callable[[Any], Iterator[Case]]


_REGISTRY: dict[str, Exercise] = {}


def exercise(id: str, title: str, hints: list[str]) -> Callable[[Callable[[Any], Iterator[Case]]], Callable]:
    """Register the decorated generator as the check of exercise ``id`` (``"05.3"``: notebook 05, third exercise)."""
    if not re.fullmatch(r"\d\d\.\d+", id):
        raise ValueError(f"id must look like '05.3', got {id!r}")
    if len(hints) < 2:
        raise ValueError(f"hints must escalate: exercise {id} needs at least 2, got {len(hints)}")

    def register(cases: Callable[[Any], Iterator[Case]]) -> Callable:
        if id in _REGISTRY and _REGISTRY[id].cases.__module__ != cases.__module__:
            raise ValueError(f"exercise {id} is registered twice: in {_REGISTRY[id].cases.__module__} "
                             f"and {cases.__module__}")
        _REGISTRY[id] = Exercise(id, title, tuple(hints), cases)
        return cases

    return register


def find(id: str) -> Exercise:
    """The exercise with this identifier; imports the module of its notebook when first asked.

    Raises
    ------
    ValueError
        If there is no such exercise; the message lists those of the same notebook.
    """
    number = str(id).split(".")[0]
    try:
        importlib.import_module(f"{__name__}.nb{number}")
    except ModuleNotFoundError as err:
        if err.name != f"{__name__}.nb{number}":
            raise
    if id not in _REGISTRY:
        known = ", ".join(sorted(k for k in _REGISTRY if k.startswith(number + "."))) or "none"
        raise ValueError(f"id must name an exercise, got {id!r}; notebook {number} has: {known}")
    return _REGISTRY[id]
