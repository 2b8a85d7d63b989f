"""Where data lie: the committed folder `data/`, the registry in it, and the folder of public sets."""

import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any


class DataUnavailable(RuntimeError):
    """Data that are neither committed nor on this machine; the message says how to get them."""


def data_folder() -> Path:
    """Path of the checkout's `data/` folder (committed pictures, registry, small weights).

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        When the package runs without its checkout, for example from a wheel.
    """
    folder = Path(__file__).resolve().parents[2] / "data"
    if not (folder / "datasets.toml").is_file():
        raise FileNotFoundError(
            f"no committed data at {folder}: seglab runs from its checkout. Clone the repository and "
            "install it in place with `python -m pip install -e .`")
    return folder


@cache
def registry() -> dict[str, Any]:
    """The content of `data/datasets.toml`: tables `committed`, `packages` and `public`.

    Returns
    -------
    dict
    """
    return tomllib.loads((data_folder() / "datasets.toml").read_text(encoding="utf-8"))


def dataset_root(name: str) -> Path:
    """Folder of a public set under `SEGLAB_DATA`.

    Parameters
    ----------
    name : str
        A name of the registry's table `public`: dsb2018, bbbc039, isbi2012, camvid, ...

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        For a name that is not in the registry.
    DataUnavailable
        When SEGLAB_DATA is not set or holds no such folder; says which files belong where, and
        where they come from.
    """
    known = registry()["public"]
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}, got {name!r}")
    base = os.environ.get("SEGLAB_DATA")
    if not base:
        raise missing(name, f"SEGLAB_DATA/{known[name]['folder']}", "SEGLAB_DATA is not set")
    root = Path(base).expanduser() / known[name]["folder"]
    if not root.is_dir():
        raise missing(name, root, "there is no such folder")
    return root


def missing(name: str, root: str | os.PathLike, problem: str) -> DataUnavailable:
    """The error for a public set that is not where it should be.

    Parameters
    ----------
    name : str
        Name of the set in the registry.
    root : path
        Where it was looked for.
    problem : str
        What is wrong there.

    Returns
    -------
    DataUnavailable
    """
    entry = registry()["public"][name]
    return DataUnavailable(
        f"{entry['title']}: {problem}.\nExpected in {root} :{entry['layout']}\n"
        f"Get it from {entry['where']} ({entry['licence']}) and let SEGLAB_DATA name the folder around it.")
