"""The guide's notebook on looking inside runs from the top and says what its text says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_guide_shows_what_it_tells_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    if not (ROOT / "widgets/mlkit_widgets/graph_inspector/view.js").is_file():
        pytest.skip("the widgets have not been built: make widgets")
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    path = os.pathsep.join([str(ROOT), str(ROOT / "widgets"), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setenv("PYTHONPATH", path)
    notebook = nbformat.read(ROOT / "notebooks/guide/looking-inside.ipynb", as_version=4)
    client.NotebookClient(notebook, timeout=400, kernel_name="python3").execute()
    cells = {cell["id"]: cell for cell in notebook.cells}

    def said(name: str) -> str:
        return "".join(
            output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cells[name]["outputs"]
        )

    def picture(name: str) -> str:
        return "".join(output.get("data", {}).get("image/svg+xml", "") for output in cells[name]["outputs"])

    right = int(said("number").split("the label is")[1].split()[0])
    assert f"linear in 3 (Linear): output[0, {right}] =" in said("number")
    assert "max_pool2d in 1.3" in said("back") and "conv2d in 1.0" in said("back")
    shares = [float(line.split(":")[1].split()[0]) for line in said("if").splitlines()]
    assert len(shares) == 4 and len(set(shares)) == 4 and all(0 < share < 1 for share in shares)
    assert "then ShapeError" in said("error") and "the first NaN comes from mul" in said("nan")
    for name in ("open", "gradient", "error", "nan", "playground"):
        assert picture(name).startswith("<svg")
