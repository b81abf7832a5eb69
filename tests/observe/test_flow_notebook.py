"""The guide's notebook on gradients runs from the top and says what its text says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def test_the_guide_shows_what_it_tells_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("matplotlib")
    if not (ROOT / "widgets/mlkit_widgets/gradient_flow/view.js").is_file():
        pytest.skip("the widgets have not been built: make widgets")
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    path = os.pathsep.join([str(ROOT), str(ROOT / "widgets"), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    notebook = nbformat.read(ROOT / "notebooks/guide/watching-gradients.ipynb", as_version=4)
    client.NotebookClient(notebook, timeout=400, kernel_name="python3").execute()
    cells = {cell["id"]: cell for cell in notebook.cells}

    def said(name: str) -> str:
        return "".join(output.get("text", "") for output in cells[name]["outputs"])

    def picture(name: str) -> str:
        data: list[Any] = [output["data"] for output in cells[name]["outputs"] if "data" in output]
        return "".join(one.get("image/svg+xml", "") for one in data)

    assert said("findings").startswith("Vanishing gradients: layers 1 to") and "Sigmoid" in said("findings")
    assert "Nothing to complain of" in said("repair")
    right = [float(said(name).split("test accuracy")[1].split("%")[0]) for name in ("train", "repair")]
    assert right[0] < 20 and right[1] > 85
    assert said("wild").startswith("Exploding gradients") and said("dead").startswith("Dead units")
    assert "Nothing to complain of" in said("run")
    assert "Gradient flow of" in picture("healthy") and "Gradient flow of" in picture("run")
