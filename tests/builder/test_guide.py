"""The guide "Build a model from blocks" runs from its top."""

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "guide" / "build-a-model.ipynb"


@pytest.mark.slow
def test_the_guide_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path / "runs"))
    notebook = nbformat.read(NOTEBOOK, 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    text = {c.id: "".join(o.get("text", "") for o in c.get("outputs", [])) for c in notebook.cells}
    for cell in ("train", "edit-code"):  # beside it may stand that kernels were compiled
        assert float(re.search(r"accuracy ([\d.]+)", text[cell])[1]) >= 0.95, text[cell]
    assert "class CNN(nn.Sequential)" in text["show-code"] and text["save"].endswith("True\n")
    pictures = [o for c in notebook.cells for o in c.get("outputs", []) if "image/svg+xml" in o.get("data", {})]
    assert len(pictures) == 3
