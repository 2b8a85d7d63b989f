"""Every claim of the course measured again over more seeds, collected in one table."""

import json
import tempfile
from pathlib import Path
from typing import Any

from seglab.coursework.execute import run
from seglab.coursework.notebook_file import read_notebook

HOLDS = {"held": "yes", "open": "not decided", "refuted": "**no**"}


def measure_claims(path: str | Path, seeds: int, timeout: int = 7200) -> list[dict[str, Any]]:
    """Run a notebook with `seeds` seeds a claim and return what each claim measured.

    The notebook file is not changed. A claim that does not hold is returned like the others, with
    `"holds": False`; so is one that its interval does not decide.

    Parameters
    ----------
    path : str or Path
        An .ipynb file.
    seeds : int
        At least 2.
    timeout : int
        Longest time for one cell, in seconds.

    Returns
    -------
    list of dict
        `id`, `text`, `effect_mean`, `low`, `high` (95 % interval), `n`, `varies`, `verdict`, `holds` and
        `quantities` (name -> mean, low, high), in the order of the notebook.

    Raises
    ------
    RuntimeError
        The notebook failed anywhere else than in a claim.
    FileNotFoundError, ValueError
        As `read_notebook`.
    """
    path = Path(path)
    notebook = read_notebook(path)
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "claims.jsonl")
        environment = {"SEGLAB_SEEDS": str(seeds), "SEGLAB_CLAIMS_FILE": str(record)}
        try:
            run(notebook, path.parent, timeout, environment, stop_at_error=False)
        except RuntimeError as error:
            raise RuntimeError(f"{path}: {error}") from error
        lines = record.read_text(encoding="utf-8").splitlines() if record.exists() else []
    claims = [json.loads(line) for line in lines]
    refuted = [f"✘ claim {claim['id']}:" for claim in claims if not claim["holds"]]
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error" and not output.evalue.startswith(tuple(refuted)):
                raise RuntimeError(f"{path}, cell {cell.id}: {output.ename}: {output.evalue}")
    return claims


def claims_table(claims: list[dict[str, Any]]) -> str:
    """Markdown table of claims, one row a claim, as `measure_claims` returns them."""
    rows = ["| claim | what | effect, mean [95 % interval] | measured | seeds | holds |", "|---|---|---|---|---|---|"]
    for claim in claims:
        measured = "<br>".join(f"{name} {mean:.4g} [{low:.4g}, {high:.4g}]"
                               for name, (mean, low, high) in claim["quantities"].items())
        effect = f"{claim['effect_mean']:.4g} [{claim['low']:.4g}, {claim['high']:.4g}]"
        seeds = f"{claim['n']}" + (f" ({claim['varies']})" if claim.get("varies") else "")
        cells = [claim["id"], claim["text"], effect, measured, seeds, HOLDS[claim["verdict"]]]
        rows.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(rows)
