"""Proofs and exercise checks: ``check.equal``, ``check.gradient`` and ``check("05.3", answer)``.

A proof compares values that were computed a moment ago with those of a trusted reference and stops the
notebook if they differ. An exercise check never raises: it tells the reader what is wrong.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglab.exercises import find
from seglab.hints import hint

__all__ = ["check", "hint"]


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
    """Callable ``check`` with the two proofs as methods. Use the one instance of this module, ``check``."""

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

    def __call__(self, id: str, answer: Any) -> bool:
        """Check the answer to exercise ``id``: print a line a case, return whether all of them hold.

        Never raises because of the answer: an error inside it becomes a line that names it.
        """
        task = find(id)
        lines, good = [], True
        try:
            for statement, holds, advice in task.cases(answer):
                good &= bool(holds)
                lines.append(f"✔ {statement}" if holds else f"✘ {statement}: {advice}")
        except NotImplementedError:
            lines, good = ["✘ not written yet"], False
        except Exception as err:  # the reader's code may fail in any way, and the check has to go on
            lines.append(f"✘ your code stopped with {type(err).__name__}: {err}")
            good = False
        if not lines:
            raise RuntimeError(f"the check of exercise {id} tried nothing")
        head = f"{id} {task.title}: " + ("all good" if good else f'not yet, hint("{id}") helps')
        print("\n".join([head, *lines]))
        return good


check = Check()
