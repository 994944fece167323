"""The teacher's notebook runs from a clone, on the real weights."""

import nbformat
from nbclient import NotebookClient

from tests.conftest import ROOT


def test_notebook_runs():
    notebook = nbformat.read(ROOT / "docs" / "diffusion.ipynb", as_version=4)
    nbformat.validate(notebook)
    # kept without pictures
    assert not any(cell.get("outputs") for cell in notebook.cells)
    solutions = [cell for cell in notebook.cells if "solution" in cell.metadata.get("tags", [])]
    exercises = [cell for cell in notebook.cells if cell.source.count("**Exercise")]
    assert len(solutions) == len(exercises) == 6 and all("assert " in cell.source for cell in solutions)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT / "docs")}}).execute()
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 12
