"""The Python behind a model document in JupyterLab."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("anywidget")

import mlkit  # noqa: E402
from mlkit.builder import ModelBuilder  # noqa: E402
from mlkit.core.errors import DataError  # noqa: E402
from mlkit.io.safetensors import load_model  # noqa: E402
from mlkit_widgets import lab  # noqa: E402


def test_a_document_comes_back_as_it_would_be_saved() -> None:
    written = ModelBuilder("MLP").document.to_text()
    assert lab.open(written, "mlp")._repr_json_()["version"]
    assert lab.text()["text"] == written


def test_an_empty_file_begins_a_model_named_after_it() -> None:
    for name, known in (("my-first net", "MyFirstNet"), ("3d", "Net"), ("", "Net")):
        lab.open(" \n", name)
        assert json.loads(lab.text()["text"])["name"] == known


def test_a_change_of_the_file_is_a_step_and_a_bad_one_changes_nothing() -> None:
    lab.open(ModelBuilder("MLP").document.to_text(), "mlp")
    other = ModelBuilder("MLP")
    other.history.set("linear", "out_features", 9)
    lab.replace(other.document.to_text())
    assert '"out_features": 9' in lab.text()["text"]
    with pytest.raises(DataError, match="Nonsense"):
        lab.replace(lab.text()["text"].replace('"ReLU"', '"Nonsense"'))
    assert '"out_features": 9' in lab.text()["text"]
    builder = lab._of_document()
    builder.undo()
    assert '"out_features": 9' not in lab.text()["text"]


def test_weights_are_kept_beside_the_document_and_nowhere_else(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    lab.open(ModelBuilder("MLP").document.to_text(), "mlp")
    builder = lab._of_document()
    assert builder.widget._home == {"kind": "document"}
    lab.keep("mlp-weights.safetensors")
    again = ModelBuilder("MLP").model
    load_model(again, tmp_path / "mlp-weights.safetensors")
    assert mlkit.equal(again.linear.weight, builder.model.linear.weight)
    for name in ("../elsewhere.safetensors", "/tmp/elsewhere.safetensors", "weights.pt", ""):
        with pytest.raises(DataError, match="not the name of a .safetensors file"):
            lab.keep(name)
    assert [path.name for path in tmp_path.iterdir()] == ["mlp-weights.safetensors"]


def test_a_class_of_a_notebook_is_not_known_here_and_that_is_said() -> None:
    text = ModelBuilder("MLP").document.to_text().replace('"ReLU"', '"Gate"')
    with pytest.raises(DataError, match=r"no block 'Gate'(.|\n)*load the file there with ModelBuilder"):
        lab.open(text, "mlp")
