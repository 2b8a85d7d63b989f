"""Times the package against its rivals in one run, on the same inputs, with their results compared: `make bench`.

Every `bench_*.py` beside this file has a list `ROWS` of functions without arguments. Each times one thing and returns

    dict(name=..., rival=..., ours=seconds, theirs=seconds,
         difference=largest absolute difference of the two results, tolerance=largest one allowed,
         limit=largest ratio ours / theirs allowed, or None,
         at_most=most seconds allowed for ours, or left out)

`theirs` may be None where there is no rival, only a time to keep. Rows where we lose are shown like the others.
"""

import importlib.util
import math
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from seglab.coursework.notebook_file import write_atomically

HERE = Path(__file__).resolve().parent
FIELDS = {"name", "rival", "ours", "theirs", "difference", "tolerance", "limit"}


def faults(row):
    """What is wrong with a row, in words: results that differ, a ratio or a time over its limit."""
    missing = FIELDS - row.keys()
    if missing:
        return [f"the row lacks {', '.join(sorted(missing))}"]
    found = []
    if not row["difference"] <= row["tolerance"]:             # also true for NaN
        found.append(f"results differ by {row['difference']:.3g}, more than {row['tolerance']:.3g}")
    if row["limit"] is not None and not row["ours"] / row["theirs"] <= row["limit"]:
        found.append(f"ratio {row['ours'] / row['theirs']:.3g}, more than {row['limit']:g}")
    if row.get("at_most") is not None and not row["ours"] <= row["at_most"]:
        found.append(f"{row['ours']:.3g} s, more than {row['at_most']:g} s")
    return found


def seconds(value):
    """A time in the unit that suits it."""
    if value is None:
        return "–"
    unit, factor = next(((u, f) for u, f in (("s", 1), ("ms", 1e3), ("µs", 1e6)) if value * f >= 1), ("µs", 1e6))
    return f"{value * factor:.3g} {unit}"


def line(row):
    """One row of the table."""
    ratio = row["ours"] / row["theirs"] if row["theirs"] else math.nan
    limits = [f"{row['limit']:g}x" if row["limit"] is not None else "",
              f"{row['at_most']:g} s" if row.get("at_most") is not None else ""]
    cells = [row["name"], row["rival"], seconds(row["ours"]), seconds(row["theirs"]),
             "–" if math.isnan(ratio) else f"{ratio:.3g}x", " and ".join(filter(None, limits)) or "–",
             f"{row['difference']:.1e}" if row["difference"] else "0"]
    return "| " + " | ".join(cells) + " |"


def environment():
    """What the numbers were measured with; nothing that names a machine."""
    def has(name):
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            return ""
    packages = ("torch", "torchvision", "numpy", "scipy", "scikit-image", "pycocotools")
    threads = os.environ.get("OMP_NUM_THREADS", "default")
    return ", ".join(filter(None, [f"{os.cpu_count()} CPU cores ({platform.machine()})", f"threads: {threads}",
                                   f"Python {platform.python_version()}", *map(has, packages)]))


def load_rows(folder):
    """The row functions of every `bench_*.py` in a folder."""
    rows = []
    for path in sorted(folder.glob("bench_*.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if not module.ROWS:
            raise ValueError(f"{path.name}: ROWS is empty")
        rows += module.ROWS
    if not rows:
        raise FileNotFoundError(f"no bench_*.py in {folder}")
    return rows


def main(folder=HERE, target=HERE.parents[1] / "BENCHMARKS.md"):
    """Measure every row, print and write the table; return 1 when a row is over its limit or results differ."""
    table = ["| what | against | ours | theirs | ours / theirs | limit | largest difference |", "|" + "---|" * 7]
    print("\n".join(table))
    wrong = []
    for measure in load_rows(folder):
        row = measure()
        found = faults(row)
        wrong += [f"{row.get('name', measure)}: {fault}" for fault in found]
        if FIELDS <= row.keys():
            table.append(line(row))
            print(table[-1], flush=True)
    text = ["# Times against the rivals", "",
            "Made by `make bench`: both sides in one run on the same inputs, medians, and the results compared.",
            "A ratio below 1 means that we are faster.", "", *table, "", environment(), ""]
    write_atomically("\n".join(text), target)
    print("\n" + ("\n".join(f"✘ {fault}" for fault in wrong) or f"all within their limits -> {target.name}"))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
