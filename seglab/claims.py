"""Claims: an experiment repeated over seeds, its mean with an interval, and an assertion about the effect."""

import json
import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from scipy import stats

from seglab.runtime import progress

Runs = dict[str, np.ndarray]


def replicate(experiment: Callable[[int], Mapping[str, float]], seeds: Iterable[int]) -> Runs:
    """Run ``experiment(seed)`` for each seed and collect every quantity it returns.

    Returns
    -------
    dict of str to ndarray
        One float64 value a seed, in the order of ``seeds``.

    Raises
    ------
    ValueError
        If there are fewer than two seeds or two runs return different quantities.
    """
    seeds = list(seeds)
    if len(seeds) < 2:
        raise ValueError(f"seeds must hold at least 2 seeds for an interval, got {len(seeds)}")
    rows = [dict(experiment(seed)) for seed in progress(seeds, "seeds")]
    if any(row.keys() != rows[0].keys() for row in rows):
        raise ValueError(f"experiment must return the same quantities for every seed, "
                         f"got {sorted({k for row in rows for k in row})}")
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and Student-t confidence interval of the mean, ``(mean, low, high)``."""
    mean, error = float(np.mean(values)), float(stats.sem(values))
    if error == 0:
        return mean, mean, mean
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def claim(id: str, text: str, runs: Runs, effect: Callable[[Runs], np.ndarray], *,
          at_least: float | None = None, at_most: float | None = None) -> None:
    """State a claim, show what was measured, and stop if it does not hold.

    Parameters
    ----------
    id : str
        Notebook and number, ``"06.1"``.
    text : str
        The claim in words.
    runs : dict of str to ndarray
        From :func:`replicate`.
    effect : callable
        From ``runs`` to one value a seed, usually a difference of two quantities: paired, so that what
        varies between seeds but not between the two arms cancels.
    at_least, at_most : float
        Bounds on the mean effect; at least one is needed.

    Raises
    ------
    AssertionError
        If the mean effect lies outside the bounds.
    """
    if at_least is None and at_most is None:
        raise ValueError("claim needs at_least or at_most, got neither")
    values = np.asarray(effect(runs), dtype=float)
    count = len(next(iter(runs.values())))
    if values.shape != (count,):
        raise ValueError(f"effect must return one value a seed, shape ({count},), got {values.shape}")
    if not np.isfinite(values).all():
        raise AssertionError(f"✘ claim {id}: the effect is not finite: {values}")
    mean, low, high = interval(values)
    holds = (at_least is None or mean >= at_least) and (at_most is None or mean <= at_most)
    _record(id, text, runs, (mean, low, high), count, holds)
    limits = ((">=", at_least), ("<=", at_most))
    bounds = " and ".join(f"{sign} {bound:g}" for sign, bound in limits if bound is not None)
    width = max(map(len, [*runs, "effect"]))
    lines = [f"{'✔' if holds else '✘'} claim {id}: {text}  ({count} seeds, mean and 95 % interval)"]
    for name, measured in [*runs.items(), ("effect", values)]:
        m, lo, hi = interval(measured)
        lines.append(f"    {name:<{width}}  {m:9.4g}  [{lo:.4g}, {hi:.4g}]" +
                     (f"   expected {bounds}" if name == "effect" else ""))
    if not holds:
        raise AssertionError("\n".join(lines))
    print("\n".join(lines))


def _record(id: str, text: str, runs: Runs, effect: tuple[float, float, float], count: int, holds: bool) -> None:
    """Append the claim to the file named by ``SEGLAB_CLAIMS_FILE``, from which ``make claims`` makes a table."""
    path = os.environ.get("SEGLAB_CLAIMS_FILE")
    if path:
        row = {"id": id, "text": text, "effect_mean": effect[0], "low": effect[1], "high": effect[2], "n": count,
               "holds": holds, "quantities": {name: interval(values) for name, values in runs.items()}}
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
