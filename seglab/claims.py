"""Claims: an experiment repeated over seeds, and a verdict that is read off the interval of its effect.

``claim`` has three verdicts. ✔ the whole 95 % interval lies on the claimed side of the bound. ≈ the mean does, the
interval does not: this many seeds do not decide it. ✘ otherwise, and the notebook stops.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy import stats

from seglab.runtime import progress, smoke

VERDICTS = {"held": "✔", "open": "≈", "refuted": "✘"}


class Runs(dict[str, np.ndarray]):
    """Quantity -> one float64 value a seed. ``varies`` says in words what differs between two seeds."""

    varies: str = ""


def replicate(experiment: Callable[[int], Mapping[str, float]], seeds: Iterable[int], varies: str = "") -> Runs:
    """Run ``experiment(seed)`` for each seed and collect every quantity it returns.

    Parameters
    ----------
    experiment : callable
        ``experiment(seed) -> {quantity: value}``.
    seeds : iterable of int
        At least two; under the ``smoke`` profile the first two are run.
    varies : str
        What differs between two seeds, for the reader of the interval: "data, initialisation and order of the batches".

    Returns
    -------
    Runs
        One float64 value a seed, in the order of ``seeds``.

    Raises
    ------
    ValueError
        If there are fewer than two seeds or two runs return different quantities.
    """
    seeds = list(seeds)[:2 if smoke() else None]
    if len(seeds) < 2:
        raise ValueError(f"seeds must hold at least 2 seeds for an interval, got {len(seeds)}")
    rows = [dict(experiment(seed)) for seed in progress(seeds, "seeds")]
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError(f"experiment must return the same quantities for every seed, "
                         f"got {sorted({k for row in rows for k in row})}")
    runs = Runs({name: np.array([float(row[name]) for row in rows]) for name in rows[0]})
    runs.varies = varies
    return runs


def interval(values: np.ndarray, level: float = 0.95,
             possible: tuple[float, float] = (-np.inf, np.inf)) -> tuple[float, float, float]:
    """Mean and Student-t confidence interval of the mean, ``(mean, low, high)``, cut to what is ``possible``.

    A share that was measured as 0.98, 1.00 and 0.99 has an interval that ends at 1 and not above it.
    """
    values = np.asarray(values, float)
    mean, error = float(np.mean(values)), float(stats.sem(values))
    if error == 0:
        return mean, mean, mean
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean, max(mean - half, possible[0]), min(mean + half, possible[1])


def claim(id: str, text: str, runs: Mapping[str, np.ndarray], effect: Callable[[Mapping], np.ndarray], *,
          at_least: float | None = None, at_most: float | None = None,
          possible: Mapping[str, tuple[float, float]] | None = None) -> None:
    """State a claim, show what was measured, say what the interval decides, and stop if the claim does not hold.

    Parameters
    ----------
    id : str
        Notebook and number, ``"06.1"``.
    text : str
        The claim in words.
    runs : Runs
        From :func:`replicate`.
    effect : callable
        From ``runs`` to one value a seed, usually a difference of two quantities: paired, so that what
        varies between seeds but not between the two arms cancels.
    at_least, at_most : float
        Bounds on the effect; at least one is needed. Both together are a claim that there is *no difference that
        matters*: the interval has to lie inside the band.
    possible : mapping
        Quantity (or "effect") -> the smallest and the largest value that it can take.

    Raises
    ------
    AssertionError
        If the mean effect lies outside the bounds: the claim is refuted (✘). Under the ``smoke`` profile nothing is
        judged.
    """
    if at_least is None and at_most is None:
        raise ValueError("claim needs at_least or at_most, got neither")
    if at_least is not None and at_most is not None and not at_least < at_most:
        raise ValueError(f"at_least must be smaller than at_most, got {at_least} and {at_most}")
    values = np.asarray(effect(runs), dtype=float)
    count = len(next(iter(runs.values())))
    if values.shape != (count,):
        raise ValueError(f"effect must return one value a seed, shape ({count},), got {values.shape}")
    possible = dict(possible or {})
    if not np.isfinite(values).all() and not smoke():
        raise AssertionError(f"✘ claim {id}: the effect is not finite: {values}")
    measured = {name: interval(v, possible=possible.get(name, (-np.inf, np.inf))) for name, v in runs.items()}
    measured["effect"] = mean, low, high = interval(values, possible=possible.get("effect", (-np.inf, np.inf)))
    floor = -np.inf if at_least is None else at_least
    roof = np.inf if at_most is None else at_most
    verdict = "held" if floor <= low and high <= roof else "open" if floor <= mean <= roof else "refuted"
    if smoke():
        print(f"· claim {id}: {text}  (a smoke run: no verdict)")
        return
    _record(id, text, measured, getattr(runs, "varies", ""), count, verdict)
    limits = ((">=", at_least), ("<=", at_most))
    bounds = " and ".join(f"{sign} {bound:g}" for sign, bound in limits if bound is not None)
    width = max(map(len, measured))
    varies = f"; between seeds vary {runs.varies}" if getattr(runs, "varies", "") else ""
    lines = [f"{VERDICTS[verdict]} claim {id}: {text}  ({count} seeds, mean and 95 % interval{varies})"]
    lines += [f"    {name:<{width}}  {m:9.4g}  [{lo:.4g}, {hi:.4g}]" for name, (m, lo, hi) in measured.items()]
    lines[-1] += f"   claimed {bounds}"
    if verdict == "open":
        lines.append(f"    the mean is on the claimed side, the interval is not: {count} seeds do not decide it")
    if verdict == "refuted":
        raise AssertionError("\n".join(lines))
    print("\n".join(lines))


def say(values: np.ndarray, *, above: str, below: str, between: str, bound: float = 0.0) -> None:
    """Print the sentence that the numbers allow, so that no sentence stays when the numbers have changed.

    Parameters
    ----------
    values : array (seeds,)
        One value a seed, usually a paired difference.
    above, below, between : str
        Said when the whole 95 % interval lies above ``bound``, below it, or neither. ``{mean}``, ``{low}``,
        ``{high}``, ``{count}`` stand for the numbers and take a format: ``"{mean:+.1f} points"``.
    bound : float

    Raises
    ------
    ValueError
        For fewer than two values.
    """
    values = np.asarray(values, float).ravel()
    if len(values) < 2:
        raise ValueError(f"values must hold at least 2 seeds for an interval, got {len(values)}")
    mean, low, high = interval(values)
    text = above if low > bound else below if high < bound else between
    print(text.format(mean=mean, low=low, high=high, count=len(values)))


def _record(id: str, text: str, measured: Mapping[str, tuple[float, float, float]], varies: str, count: int,
            verdict: str) -> None:
    """Append the claim to the file named by ``SEGLAB_CLAIMS_FILE``, from which ``make claims`` makes a table."""
    path = os.environ.get("SEGLAB_CLAIMS_FILE")
    if path:
        mean, low, high = measured["effect"]
        row = {"id": id, "text": text, "effect_mean": mean, "low": low, "high": high, "n": count, "varies": varies,
               "verdict": verdict, "holds": verdict == "held",
               "quantities": {name: values for name, values in measured.items() if name != "effect"}}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
