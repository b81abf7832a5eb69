"""The notebook about live training runs from the top, without a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlkit_widgets import _base

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "guide" / "live-training.ipynb"


def test_it_runs_from_the_top(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_base, "read_view", lambda folder, name: "export default {}")
    monkeypatch.setattr(_base.pump, "add", lambda widget: None)
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path))
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    run, second, loop = names["run"], names["second"], names["loop"]
    assert run.status == second.status == "finished" and len(run.history["valid/accuracy"]) == 60
    assert run.hyperparameters["dropout"] == names["model"][3].p == 0.3 and run.lr == 0.001
    assert second.lr == 0.0003 and second.trainer.recorder.meta["cloned_from"]["run"] == run.directory.name
    assert loop.hyperparameters["temperature"] == 1.0 and loop.status == "finished"
    assert len(list(tmp_path.iterdir())) == 3
