"""The form in which notebooks are committed: outputs kept, everything that changes by itself removed."""

import base64
import io
import re
from pathlib import Path

import nbformat
import numpy as np
from nbformat import NotebookNode
from PIL import Image

from seglab.coursework.notebook_file import notebook_text, read_notebook

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
AUTHORED = {"tags", "nbgrader"}                               # cell metadata that an author writes
WIDGET = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
OVERWRITTEN = re.compile(r"^.*\r(?=.)", re.M)                 # all but the last state of a \r progress bar
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:work|root|home|tmp|Users|usr|var)/[^\s'\"`)]*")
LARGEST = 1_500_000                                           # bytes
HEAVY = 110_000                                               # bytes of a picture from which on it gets fewer colours


def clean(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook in its committed form.

    Kept: sources, cell ids, outputs, tags, nbgrader's cell metadata and the notebook's `seglab` metadata.
    Pictures keep the size in which they are shown. Dropped: execution times, widget state and model ids, memory
    addresses, overwritten progress bars.
    Execution counts are renumbered 1..n. PNG pictures are stored with a palette of 256 colours, heavy ones with 128,
    heavy grey ones with 64, which more than halves the file and, with it, what every change adds to the history.
    Cleaning twice changes nothing more.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        Format 4; it is not changed.
    """
    notebook = nbformat.from_dict(notebook)
    kept = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    if "seglab" in notebook.metadata:
        kept["seglab"] = notebook.metadata.seglab
    notebook.metadata = nbformat.from_dict(kept)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    count = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in AUTHORED and v})
        if cell.cell_type != "code":
            continue
        cell.outputs = _clean_outputs(cell.outputs)
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
    return notebook


def _clean_outputs(outputs: list[NotebookNode]) -> list[NotebookNode]:
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            if kept and kept[-1].output_type == "stream" and kept[-1].name == output.name:
                kept[-1].text = OVERWRITTEN.sub("", kept[-1].text + output.text)
                continue
            output.text = OVERWRITTEN.sub("", output.text)
        elif "data" in output:
            output.metadata = nbformat.from_dict(_display_sizes(output.metadata))
            if len(output.data) > 1:
                output.data.pop(WIDGET, None)                 # model ids are random; the still picture stays
            if "image/png" in output.data:
                output.data["image/png"] = _with_palette(output.data["image/png"])
            if "text/plain" in output.data:
                output.data["text/plain"] = ADDRESS.sub("0xADDR", output.data["text/plain"])
        kept.append(output)
    return kept


def _display_sizes(metadata: dict) -> dict[str, dict[str, int]]:
    """Width and height in CSS px at which a picture is shown: one with more pixels is sharp on a dense screen."""
    sizes = {kind: {side: said[side] for side in ("width", "height") if side in said}
             for kind, said in metadata.items() if kind.startswith("image/") and isinstance(said, dict)}
    return {kind: size for kind, size in sizes.items() if size}


def _with_palette(encoded: str) -> str:
    """A PNG (base64 text) with a palette; one that has a palette already, or is no PNG, stays as it is."""
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(encoded)))
    except (OSError, ValueError):
        return encoded
    if picture.mode == "P":
        return encoded
    page = Image.new("RGBA", picture.size, "white")
    page.alpha_composite(picture.convert("RGBA"))
    page = page.convert("RGB")
    for colours in (256, 64 if _grey(page) else 128):
        small = io.BytesIO()
        page.quantize(colours, dither=Image.Dither.NONE).save(small, "png", optimize=True)
        if small.tell() <= HEAVY:
            break
    return base64.b64encode(small.getvalue()).decode()


def _grey(page: Image.Image) -> bool:
    """Hardly a pixel in colour: feature maps, whose greys need fewer steps than the colours of an overlay."""
    pixels = np.asarray(page).astype(int)
    return float((np.ptp(pixels, axis=2) > 16).mean()) < 0.002


def problems(path: str | Path) -> list[str]:
    """List what keeps a notebook file from being committed, in words; an empty list means that it is fit.

    A fit notebook is in normal form, every code cell was run, no output is an error or a warning, no text
    names a place on the author's machine, and the file has at most 1.5 MB.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_notebook`.
    """
    notebook = read_notebook(path)
    found = []
    if notebook_text(clean(notebook)) != Path(path).read_text(encoding="utf-8"):
        found.append("not in normal form (run: python -m seglab.coursework clean)")
    for cell in notebook.cells:
        texts = [cell.source]
        if cell.cell_type == "code":
            if cell.source.strip() and cell.execution_count is None:
                found.append(f"cell {cell.id} was not run")
            for output in cell.outputs:
                if output.output_type == "error":
                    found.append(f"cell {cell.id} stores an error: {output.ename}: {output.evalue}")
                if output.get("name") == "stderr":
                    found.append(f"cell {cell.id} stores a warning: {output.text.strip().splitlines()[0]}")
                texts += [output.get("text", "")]
                texts += [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
        for path_found in MACHINE_PATH.findall("\n".join(texts)):
            found.append(f"cell {cell.id} names a place on one machine: {path_found}")
    size = Path(path).stat().st_size
    if size > LARGEST:
        found.append(f"{size / 1e6:.2f} MB, more than {LARGEST / 1e6} MB: draw smaller figures or fewer")
    return found
