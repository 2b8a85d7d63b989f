"""Command line of the course's notebooks: `python -m seglab.coursework COMMAND ...`."""

import argparse
import sys
from pathlib import Path

from . import (
    claims_table,
    clean,
    execute,
    measure_claims,
    problems,
    read_notebook,
    refresh_copies,
    student_copy,
    write_notebook,
)
from .notebook_file import notebook_text, write_atomically

SAYS = {
    "new": "new copy",
    "refreshed": "brought up to date (you had not changed it)",
    "outdated": "you edited it, so it stays; the course has a newer one: rename yours and run this again",
}


def run_execute(options):
    """Run notebooks in fresh kernels and store their outputs."""
    for path in options.notebooks:
        print(f"{path} ...", end=" ", flush=True)
        seconds = execute(path, timeout=options.timeout)
        print(f"{seconds:.1f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)


def run_clean(options):
    """Put notebooks into the form in which they are committed."""
    for path in options.notebooks:
        notebook = clean(read_notebook(path))
        if notebook_text(notebook) != path.read_text(encoding="utf-8"):
            write_notebook(notebook, path)
            print(f"cleaned {path}")


def run_check(options):
    """Say what keeps notebooks from being committed."""
    found = [f"{path}: {problem}" for path in options.notebooks for problem in problems(path)]
    print("\n".join(found) or f"{len(options.notebooks)} notebooks are fit to be committed")
    return bool(found)


def run_claims(options):
    """Measure the claims of notebooks over more seeds and write the table."""
    claims = []
    for path in options.notebooks:
        print(f"{path} ...", end=" ", flush=True)
        found = measure_claims(path, options.seeds)
        print(f"{len(found)} claims, {sum(not c['holds'] for c in found)} do not hold", flush=True)
        claims += found
    import torch  # slow, and only for the line that says what it ran on

    from seglab.runtime import profile

    text = (f"# Every claim of the course, measured over seeds 0 to {options.seeds - 1}\n\n"
            f"Made by `make claims`; the notebooks themselves use fewer seeds. An effect is paired over seeds.\n"
            f"PyTorch {torch.__version__}, profile {profile().name}.\n\n{claims_table(claims)}\n")
    write_atomically(text, options.to)
    print(options.to)
    return not all(claim["holds"] for claim in claims)


def run_student(options):
    """Write copies with blank exercises into a folder."""
    for path in options.notebooks:
        target = options.to / path.name
        if target.resolve() == path.resolve():
            raise ValueError(f"--to {options.to} would overwrite the solutions")
        write_notebook(student_copy(clean(read_notebook(path))), target)
        print(target)


def run_lab_copies(options):
    """Make or refresh the reader's copies."""
    for name, state in refresh_copies(options.source, options.work).items():
        if state in SAYS:
            print(f"{options.work / name}: {SAYS[state]}")


def parser():
    """The command line, one sub-command a task."""
    root = argparse.ArgumentParser(prog="python -m seglab.coursework", description=__doc__.splitlines()[0])
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    def command(name, run):
        sub = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        sub.set_defaults(run=run)
        return sub

    for name, run in [("execute", run_execute), ("clean", run_clean), ("check", run_check),
                      ("claims", run_claims), ("student", run_student)]:
        sub = command(name, run)
        sub.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
        if name == "execute":
            sub.add_argument("--timeout", type=int, default=600, help="seconds for one cell (default: 600)")
        if name == "claims":
            sub.add_argument("--seeds", type=int, default=10, help="seeds a claim (default: 10)")
            sub.add_argument("--to", type=Path, default=Path("CLAIMS.md"), metavar="FILE", help="the table")
        if name == "student":
            sub.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where the copies go")
    sub = command("lab-copies", run_lab_copies)
    sub.add_argument("source", type=Path, help="folder of the course's notebooks")
    sub.add_argument("work", type=Path, help="folder of the reader's copies")
    return root


def main(arguments=None):
    """Run one command; return 0 when all is well, 1 when something was found wanting, 2 on an error."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
