"""Command line of the course's notebooks: `python -m seglab.coursework COMMAND ...`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from seglab.coursework import (
    carry_answers,
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
from seglab.coursework.notebook_file import notebook_text, write_atomically

SAYS = {
    "new": "new copy",
    "refreshed": "brought up to date (you had not changed it)",
    "outdated": ("you edited it, so it stays; the course has a newer one: rename yours, run this again, then\n"
                 "    python -m seglab.coursework carry RENAMED {path}    brings your answers into the new one"),
}
CARRY_SAYS = {"carried": "carried", "same": "there already", "blank": "blank in the old copy",
              "aside": "put beside the exercise, into a cell that does not run: the new copy has another answer, "
                       "or the exercise has changed"}


def run_execute(options: argparse.Namespace) -> None:
    """Run notebooks in fresh kernels and store their outputs."""
    for path in options.notebooks:
        print(f"{path} ...", end=" ", flush=True)
        seconds = execute(path, timeout=options.timeout)
        print(f"{seconds:.1f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)


def run_clean(options: argparse.Namespace) -> None:
    """Put notebooks into the form in which they are committed."""
    for path in options.notebooks:
        notebook = clean(read_notebook(path))
        if notebook_text(notebook) != path.read_text(encoding="utf-8"):
            write_notebook(notebook, path)
            print(f"cleaned {path}")


def run_check(options: argparse.Namespace) -> bool:
    """Say what keeps notebooks from being committed."""
    found = [f"{path}: {problem}" for path in options.notebooks for problem in problems(path)]
    print("\n".join(found) or f"{len(options.notebooks)} notebooks are fit to be committed")
    return bool(found)


def run_claims(options: argparse.Namespace) -> bool:
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


def run_student(options: argparse.Namespace) -> None:
    """Write copies with blank exercises into a folder."""
    for path in options.notebooks:
        target = options.to / path.name
        if target.resolve() == path.resolve():
            raise ValueError(f"--to {options.to} would overwrite the solutions")
        write_notebook(student_copy(clean(read_notebook(path))), target)
        print(target)


def run_sources(options: argparse.Namespace) -> None:
    """Lay notebooks out as nbgrader wants its sources: one folder an assignment."""
    for path in options.notebooks:
        target = options.to / path.stem / path.name
        write_notebook(clean(read_notebook(path)), target)
        print(target)


def run_lab_copies(options: argparse.Namespace) -> None:
    """Make or refresh the reader's copies."""
    for name, state in refresh_copies(options.source, options.work).items():
        if state in SAYS:
            path = options.work / name
            print(f"{path}: {SAYS[state].format(path=path)}")


def run_carry(options: argparse.Namespace) -> None:
    """Bring the answers of an old copy into a new one."""
    state, others = carry_answers(options.old, options.new)
    for exercise, what in state.items():
        print(f"{exercise}: {CARRY_SAYS[what]}")
    if others:
        print(f"{others} other cells of {options.old} are not in {options.new}: what the course has changed, and any "
              f"notes of your own, which stay in {options.old}")


def parser() -> argparse.ArgumentParser:
    """The command line, one sub-command a task."""
    root = argparse.ArgumentParser(prog="python -m seglab.coursework", description=__doc__.splitlines()[0])
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], bool | None]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        sub.set_defaults(run=run)
        return sub

    for name, run in [("execute", run_execute), ("clean", run_clean), ("check", run_check),
                      ("claims", run_claims), ("student", run_student), ("sources", run_sources)]:
        sub = command(name, run)
        sub.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK")
        if name == "execute":
            sub.add_argument("--timeout", type=int, default=600, help="seconds for one cell (default: 600)")
        if name == "claims":
            sub.add_argument("--seeds", type=int, default=10, help="seeds a claim (default: 10)")
            sub.add_argument("--to", type=Path, default=Path("CLAIMS.md"), metavar="FILE", help="the table")
        if name in ("student", "sources"):
            sub.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where the copies go")
    sub = command("lab-copies", run_lab_copies)
    sub.add_argument("source", type=Path, help="folder of the course's notebooks")
    sub.add_argument("work", type=Path, help="folder of the reader's copies")
    sub = command("carry", run_carry)
    sub.add_argument("old", type=Path, help="your earlier copy; it is only read")
    sub.add_argument("new", type=Path, help="the new copy")
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when all is well, 1 when something was found wanting, 2 on an error."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
