"""The registry of exercises: what ``check("05.3", answer)`` runs and what ``hint("05.3")`` says.

One module a notebook (``nb05.py``) holds the checks of its exercises. A check is a generator that
tries the reader's answer case by case and yields ``(statement, holds, advice)``. What it calls is a
:class:`~seglab.exercises.trial.Trial` of the answer, so that no answer can harm it; what it compares with is in
:mod:`~seglab.exercises.answers`.
"""

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Case = tuple[str, bool, str]


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes
    ----------
    id, title : str
        Identifier ``NN.k`` and title.
    hints : tuple of str
        They escalate; the last one nearly spells out the answer.
    cases : callable
        The generator that checks an answer.
    points : float
        For all cases; the share of the cases that hold gives as much of it.
    count : int
        How many cases a right answer meets.
    course : callable or None
        The course's own function, for a *core* exercise: the chapter goes on with it while the reader's does not hold.
    changes : tuple of str
        Arguments that the answer is asked to change; all others have to come out as they went in.
    seconds : float
        The longest that one call may take.
    """

    id: str
    title: str
    hints: tuple[str, ...]
    cases: Callable[[Any], Iterator[Case]]
    points: float
    count: int
    course: Callable | None
    changes: tuple[str, ...]
    seconds: float


_REGISTRY: dict[str, Exercise] = {}


def exercise(id: str, title: str, hints: list[str], *, points: float, count: int, course: Callable | None = None,
             changes: tuple[str, ...] = (), seconds: float = 10.0) -> Callable[[Callable], Callable]:
    """Register the decorated generator as the check of exercise ``id`` (``"05.3"``: notebook 05, third exercise).

    The arguments are the attributes of :class:`Exercise`.

    Raises
    ------
    ValueError
        For an id of another form, fewer than two hints, ``points`` <= 0, ``count`` < 1, or an id taken twice.
    """
    if not re.fullmatch(r"\d\d\.\d+", id):
        raise ValueError(f"id must look like '05.3', got {id!r}")
    if len(hints) < 2:
        raise ValueError(f"hints must escalate: exercise {id} needs at least 2, got {len(hints)}")
    if not points > 0 or count < 1:
        raise ValueError(f"points must be > 0 and count >= 1, got {points!r} and {count!r} for exercise {id}")

    def register(cases: Callable[[Any], Iterator[Case]]) -> Callable:
        if id in _REGISTRY and _REGISTRY[id].cases.__module__ != cases.__module__:
            raise ValueError(f"id must not be taken, got {id}, which stands in {_REGISTRY[id].cases.__module__} "
                             f"and {cases.__module__}")
        _REGISTRY[id] = Exercise(id, title, tuple(hints), cases, points, count, course, changes, seconds)
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
