"""Timing for the benchmarks."""

import statistics
import time


def timed(function, *arguments, repeats=3):
    """Median wall-clock seconds of `repeats` calls, and the result of the last one."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        result = function(*arguments)
        times.append(time.perf_counter() - begun)
    return statistics.median(times), result
