"""Runs notebooks in a kernel of their own, from the top, as a reader would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run(notebook: Any, folder: Path, **options: Any) -> Any:
    """The notebook with its outputs; all that it writes goes into ``folder``. ``options`` are those of nbclient."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    paths = [str(ROOT), str(ROOT / "widgets"), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "MLKIT_RUNS": str(folder / "runs"),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    resources = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=400, kernel_name="python3", resources=resources, **options)
    return client.execute(env=env)


class Guide:
    """A notebook of the guide that has run: what its cells, by their ids, said and drew."""

    def __init__(self, notebook: Any):
        self.notebook = notebook
        self.cells = {cell["id"]: cell for cell in notebook.cells}

    def said(self, name: str) -> str:
        """What a cell printed, and the text of what it ended with."""
        outputs = self.cells[name]["outputs"]
        return "".join(o.get("text", "") + o.get("data", {}).get("text/plain", "") for o in outputs)

    def picture(self, name: str) -> str:
        """The widget's picture for saved notebooks, an SVG; empty where a cell has none."""
        outputs = self.cells[name].get("outputs", ())
        return "".join(o.get("data", {}).get("image/svg+xml", "") for o in outputs)


def run_guide(name: str, folder: Path, widget: str | None = None) -> Guide:
    """Run notebooks/guide/<name>.ipynb; skip where the ``widget`` that it shows has not been built."""
    nbformat = pytest.importorskip("nbformat")
    if widget and not (ROOT / "widgets/mlkit_widgets" / widget / "view.js").is_file():
        pytest.skip("the widgets have not been built: make widgets")
    return Guide(run(nbformat.read(ROOT / f"notebooks/guide/{name}.ipynb", as_version=4), folder))
