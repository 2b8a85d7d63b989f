"""Where the committed data lie: the folder `data/` beside the package."""

from pathlib import Path


def data_folder():
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
