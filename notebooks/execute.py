"""Run notebooks and save them with their outputs: ``python notebooks/execute.py [NAME ...]``; without a name, all."""

from __future__ import annotations

import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import nbformat
import PIL.Image
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
COLORS = 64  # of a picture: curves need few, and a notebook stays small


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a new kernel in a folder; cells tagged ``skip-execution`` (they install) are left out.

    Returns:
        the same notebook, with its outputs and without anything that differs between machines except the numbers.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    metadata = dict(notebook.metadata)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources=where, coalesce_streams=True, record_timing=False
    ).execute()
    notebook.metadata = metadata  # without the kernel's version of Python
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = reduce_colors(output.data["image/png"])
    return notebook


def reduce_colors(png: str) -> str:
    """The same picture with a palette, in base64."""
    with PIL.Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        file = io.BytesIO()
        picture.convert("RGB").quantize(COLORS, dither=PIL.Image.Dither.NONE).save(file, "PNG", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def main(names: list[str]) -> None:
    for name in names or sorted(path.stem for path in FOLDER.glob("*.ipynb")):
        path = FOLDER / f"{name}.ipynb"
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(nbformat.read(path, as_version=4), Path(folder))
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(FOLDER.parent)  # the code of this clone
    main(sys.argv[1:])
