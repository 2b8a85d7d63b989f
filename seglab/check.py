"""Proofs and exercise checks: ``check.equal``, ``check.gradient``, ``check.band``, ``check("05.3", answer)`` and
``check.use``.

A proof compares values that were computed a moment ago with those of a trusted reference and stops the
notebook if they differ. An exercise check never raises: it tells the reader what is wrong.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab.exercises import Exercise, find
from seglab.exercises.answers import MISSING, short
from seglab.exercises.trial import TooLong, Trial, quietly
from seglab.hints import hint
from seglab.runtime import smoke

__all__ = ["check", "hint"]


class Score(float):
    """Points earned, true only when every case holds. Prints as a number, which nbgrader takes for a partial score."""

    full: bool

    def __new__(cls, points: float, full: bool = False) -> "Score":
        score = super().__new__(cls, points)
        score.full = full
        return score

    def __bool__(self) -> bool:
        return self.full

    def __getnewargs__(self) -> tuple[float, bool]:
        return float(self), self.full

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """In a notebook: all digits, whatever %precision says."""
        printer.text(repr(float(self)))


def _array(value: Any, name: str) -> np.ndarray:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"{name} must be numbers, a NumPy array or a tensor, got {type(value).__name__}")
    return array


def _bound(tolerance: float) -> str:
    if tolerance == 0:
        return "exactly"
    short = f"{tolerance:.0e}"
    return f"within {short if float(short) == tolerance else f'{tolerance:g}'}"


class Check:
    """Callable ``check`` with the proofs as methods. Use the one instance of this module, ``check``."""

    def __init__(self) -> None:
        self._scores: dict[str, Score] = {}

    def equal(self, mine: Any, reference: Any, name: str = "values", tolerance: float = 0.0) -> None:
        """Prove that two sets of numbers are the same, and print one line that says so.

        Parameters
        ----------
        mine, reference : Tensor, ndarray or numbers
            Same shape. NaN equals only NaN at the same place, infinity only the same infinity.
        name : str
            What is compared, for the printed line.
        tolerance : float
            Largest absolute difference allowed, 0 for exact equality.

        Raises
        ------
        AssertionError
            With the place and both values of the worst difference.
        """
        a, b = _array(mine, "mine"), _array(reference, "reference")
        if a.shape != b.shape:
            raise AssertionError(f"✘ {name}: shape {a.shape} here, {b.shape} in the reference")
        if a.size == 0:
            raise AssertionError(f"✘ {name}: nothing to compare, both are empty")
        if a.dtype.kind in "biu" and b.dtype.kind in "biu":
            difference = (a.astype(object) - b.astype(object)).astype(float) if a.dtype.kind == "u" else \
                a.astype(np.int64) - b.astype(np.int64)
            difference = np.abs(difference).astype(float)
        else:
            a, b = a.astype(np.result_type(a, np.float64)), b.astype(np.result_type(b, np.float64))
            with np.errstate(invalid="ignore"):
                difference = np.asarray(np.abs(a - b))
            difference = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, difference)
            difference = np.where(np.isnan(difference), np.inf, difference)
        worst = np.unravel_index(np.argmax(difference), difference.shape)
        if difference[worst] > tolerance:
            wrong = int((difference > tolerance).sum())
            raise AssertionError(
                f"✘ {name}: {wrong} of {a.size} values differ by more than {tolerance:g}; worst at "
                f"{tuple(int(i) for i in worst)}: {a[worst]:.9g} here, {b[worst]:.9g} in the reference")
        shape = "×".join(map(str, a.shape)) or "1"
        print(f"✔ {name}: {shape} values equal {_bound(tolerance)}")

    def gradient(self, mine: Callable, reference: Callable, inputs: tuple[Tensor, ...] | Tensor,
                 name: str = "function", tolerance: float = 1e-10) -> None:
        """Prove that two differentiable functions agree in value and in gradient.

        Both are called on the same float64 copies of ``inputs``; the outputs are contracted with the same
        random weights, and the gradients with respect to every floating-point input are compared.

        Raises
        ------
        AssertionError
            If a value or a gradient differs by more than ``tolerance``, or no gradient flows at all.
        """
        inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
        results = []
        for function in (mine, reference):
            copies = [x.detach().double().requires_grad_() if x.is_floating_point() else x for x in inputs]
            value = function(*copies)
            weights = torch.randn(value.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
            leaves = [x for x in copies if x.requires_grad]
            grads = torch.autograd.grad((value * weights).sum(), leaves, allow_unused=True)
            grads = [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, grads, strict=True)]
            results.append((value.detach(), torch.cat([g.flatten() for g in grads])))
        self.equal(results[0][0], results[1][0], f"{name}, value", tolerance)
        if not results[1][1].any():
            raise AssertionError(f"✘ {name}: the reference's gradient is zero everywhere, this proves nothing")
        self.equal(results[0][1], results[1][1], f"{name}, gradient", tolerance)

    def band(self, name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
        """Assert that a number that training gave lies where it has to, and print one line that says so.

        Under the ``smoke`` profile, which trains next to nothing, the number is printed and not judged.

        Raises
        ------
        AssertionError
            With the number and the bounds.
        ValueError
            Without any bound.
        """
        limits = (("at least", at_least), ("at most", at_most))
        value, text = float(value), " and ".join(f"{word} {bound:g}" for word, bound in limits if bound is not None)
        if not text:
            raise ValueError("band needs at_least or at_most, got neither")
        if smoke():
            print(f"· {name}: {value:.4g} (a full run has {text})")
            return
        holds = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)  # NaN never holds
        if not holds:
            raise AssertionError(f"✘ {name}: {value:.6g}, expected {text}")
        print(f"✔ {name}: {value:.4g} ({text})")

    def __call__(self, id: str, answer: Any) -> Score:
        """Check the answer to exercise ``id``: print a line a case, return the points.

        Never raises because of the answer: an error inside it becomes a line that names it and the reader's line.

        Returns
        -------
        Score
            ``points`` of the exercise times the share of its cases that hold; true when all of them do.
        """
        head, lines, score = self._tried(find(id), answer)
        print("\n".join([head, *lines]))
        return score

    def use(self, id: str, answer: Any) -> Any:
        """Check a core exercise and return what the chapter goes on with: the answer, or else the course's function.

        Raises
        ------
        ValueError
            If the exercise is none on which a chapter goes on.
        """
        task = find(id)
        if task.course is None:
            raise ValueError(f"id must name a core exercise, got {id!r}; use check({id!r}, ...)")
        if answer is task.course:  # the cell was run again: the name already stands for the course's function
            print(f"{id} {task.title}: this is the course's function; run the cell with your own first")
            self._scores.setdefault(id, Score(0.0))
            return answer
        head, lines, score = self._tried(task, answer)
        name = getattr(answer, "__name__", "answer")
        if score:
            print("\n".join([head, *lines, f"→ the chapter goes on with your {name}"]))
            return answer
        if lines == [_BLANK]:
            print(f'{id} {task.title}: not written yet (hint("{id}") helps); the chapter goes on with the '
                  f"course's {name}")
        else:
            print("\n".join([head, *lines, f"→ until all of it holds, the chapter goes on with the course's {name}"]))
        return task.course

    def points(self, id: str) -> Score:
        """The points of the last check of exercise ``id``: the last line of a core exercise's graded cell."""
        if id not in self._scores:
            raise ValueError(f"id must name an exercise that was checked, got {id!r}")
        return self._scores[id]

    def _tried(self, task: Exercise, answer: Any) -> tuple[str, list[str], Score]:
        """Headline, a line a case, and the score."""
        self._scores[task.id] = Score(0.0)                     # also when the stop button ends the trial
        if not callable(answer):
            lines, share = [f"✘ hand over the function itself, check(\"{task.id}\", name), not {short(answer)}"], 0.0
        else:
            lines, share = self._cases(task, answer)
        good = share == 1
        score = self._scores[task.id] = Score(round(task.points * share, 2), good)
        earned = f"{score:g} of {task.points:g} points"
        head = f"{task.id} {task.title}: " + (f"all good, {earned}" if good else
                                              f'not yet, {earned}; hint("{task.id}") helps')
        return head, lines, score

    def _cases(self, task: Exercise, answer: Callable) -> tuple[list[str], float]:
        """A line a case, and the share of the cases that hold: 1 only when nothing at all is wrong."""
        trial, lines, held = Trial(answer, task.changes, task.seconds), [], 0
        stopped = ""
        with quietly([]):  # the check's own progress bars and warnings are nobody's business
            try:
                for statement, holds, advice in task.cases(trial):
                    held += bool(holds)
                    lines.append(f"✔ {statement}" if holds else f"✘ {statement}: {advice}")
            except NotImplementedError as err:
                if not str(err):
                    return [_BLANK], 0.0
                stopped = _stopped(trial, err)                 # PyTorch has no such operation for this dtype
            except TooLong:
                stopped = f"✘ your code was stopped after {task.seconds:g} s: does every loop end?"
            except KeyboardInterrupt:
                raise
            except BaseException as err:  # the reader's code may fail in any way, and the check has to go on
                stopped = _stopped(trial, err)
        tried, good = len(lines), held == len(lines) and not stopped
        if not lines and not stopped:
            raise RuntimeError(f"the check of exercise {task.id} tried nothing")
        if not good and trial.calls and trial.nones == trial.calls and not (trial.error and stopped):
            return [f"✘ {MISSING}"], 0.0
        lines += [stopped] * bool(stopped) + [f"✘ nothing else is touched: {text}" for text in trial.complaints]
        lines += [f"· your code warns: {note}" for note in trial.notes[:3]]
        if good and not trial.complaints:
            return lines, 1.0
        return lines, held / (max(task.count, tried + bool(stopped)) + len(trial.complaints))


_BLANK = "✘ not written yet"


def _stopped(trial: Trial, err: BaseException) -> str:
    try:
        what = " ".join(f"{type(err).__name__}: {err}".split())
    except Exception:  # an exception of the reader's own that cannot be printed
        what = type(err).__name__
    if trial.error is not None and trial.error[0] is err:
        return f"✘ your code stopped with {what}" + (f" ({trial.error[1]})" if trial.error[1] else "")
    if trial.calls == 0:
        return f"✘ the check stopped before it could call your function: {what}"
    return f"✘ what you return cannot be used ({what}): {MISSING if trial.last is None else short(trial.last)}"


check = Check()
