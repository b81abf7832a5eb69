"""The canvas of ModelBuilder without a browser: what it sends, what it answers, its training and its still picture."""

from __future__ import annotations

import json
import time
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.data import TensorDataset
from mlkit_widgets.model_builder.picture import draw
from mlkit_widgets.model_builder.widget import POINTS, _thin


def canvas(connect: Any, *args: Any, **options: Any) -> Any:
    """The page of a builder's canvas."""
    return connect(lambda: mlkit.ModelBuilder(*args, **options).widget)


def step(view: Any, do: str, **more: Any) -> dict[str, Any]:
    view.take()
    view.say(kind="step", id=1, do=do, graph=None, **more)
    return view.take("reply")[-1]


def test_a_page_gets_blocks_shapes_costs_and_code(connect: Any) -> None:
    view = canvas(connect, "CNN")
    widget = view.widget
    assert [b["type"] for b in widget._document["blocks"]][:3] == ["Input", "Conv2d", "ReLU"]
    shapes = widget._shapes["CNN"]
    assert shapes["values"]["flatten.output"] == [["N", 1568], ""]
    assert shapes["total"][0] == 20490 and shapes["problems"] == []
    assert "class CNN" in widget._code["text"]
    assert widget._palette["groups"][0]["name"] == "Inputs"
    linear = next(b for g in widget._palette["groups"] for b in g["blocks"] if b["name"] == "Linear")
    assert [p["name"] for p in linear["properties"]] == ["in_features", "out_features", "bias"]
    json.dumps([widget._palette, widget._document, widget._shapes, widget._training, widget._code])
    assert "CNN: 10 blocks, 20,490 parameters" in widget._describe()


def test_a_step_changes_the_builder_and_every_page(connect: Any) -> None:
    view = canvas(connect)
    assert step(view, "add", type="Input")["select"] == ["input"]
    assert step(view, "add", type="Linear", after="input")["ok"]
    assert view.widget._shapes["Net"]["values"]["linear.output"][0] == ["N", 1, 8, 64]
    assert view.widget._history["undo"] == "Add Linear"
    view.widget.builder.undo()
    assert len(view.widget._document["blocks"]) == 1 and view.widget._history["redo"] == "Add Linear"


def test_what_is_done_in_a_cell_shows_on_the_canvas(connect: Any) -> None:
    view = canvas(connect, "MLP")
    builder = view.widget.builder
    builder.history.set("linear", "out_features", 32)
    assert view.widget._shapes["MLP"]["problems"][0]["block"] == "linear_2"
    builder.undo()
    assert view.widget._shapes["MLP"]["problems"] == []
    builder.code = builder.code.replace("nn.ReLU", "nn.GELU")
    assert [b["type"] for b in view.widget._document["blocks"]][2] == "GELU"
    builder.document = mlkit.ModelBuilder("CNN").document
    assert view.widget._document["name"] == "CNN"


def test_what_is_refused_is_said_and_changes_nothing(connect: Any) -> None:
    view = canvas(connect, "MLP")
    before = view.widget._document
    for message in ({"do": "set", "block": "linear", "name": "out_features", "value": -1}, {"do": "fly"}, {}):
        view.take()
        view.say(kind="step", id=7, **message)
        reply = view.take("reply")[-1]
        assert reply["ok"] is False and reply["id"] == 7 and reply["error"]
    assert "1 or more" in step(view, "set", block="linear", name="out_features", value=-1)["error"]
    assert view.widget._document == before


def test_a_model_that_is_not_whole_says_what_is_missing_instead_of_code(connect: Any) -> None:
    view = canvas(connect)
    assert "has no Output" in view.widget._code["missing"] and view.widget._code["text"] == ""
    assert view.widget._training["objections"] == [{"message": "The canvas is empty.", "repair": ""}]
    step(view, "add", type="Linear")
    problem = view.widget._shapes["Net"]["problems"][0]
    assert problem["open"] is True and problem["message"] == "Nothing is linked to input."


def test_a_mismatch_comes_with_both_shapes_and_repairs(connect: Any) -> None:
    view = canvas(connect, "MLP")
    step(view, "set", block="linear", name="out_features", value=5)
    problem = view.widget._shapes["MLP"]["problems"][0]
    assert problem["link"] == "relu.output -> linear_2.input" and not problem["open"]
    assert problem["came"] == ["N", 5] and problem["wanted"] == ["N", "*", 128]
    assert problem["repairs"] == ["Set in_features of linear_2 to 5"]
    assert step(view, "repair", block="linear_2", number=0)["select"] == ["linear_2"]
    assert view.widget._shapes["MLP"]["problems"] == []


def test_code_that_cannot_be_read_names_its_line(connect: Any) -> None:
    view = canvas(connect, "MLP")
    code = view.widget._code["text"].replace("nn.ReLU()", "nn.Nonsense()")
    reply = step(view, "code", text=code)
    assert reply["ok"] is False and "line 16: nn.Nonsense is no block" in reply["error"]


def data() -> TensorDataset:
    x = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    return TensorDataset(x, (x[:, 0] > 0).astype(np.int64))


def test_training_shows_curves_health_and_its_end(connect: Any, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path))
    view = canvas(connect, data={"mine": data()})
    for kind, after in (
        ("Input", None),
        ("Linear", "input"),
        ("ReLU", "linear"),
        ("Linear", "relu"),
        ("Output", "linear_2"),
    ):
        step(view, "add", type=kind, after=after)
    step(view, "training", name="epochs", value=3)
    view.take()
    view.say(kind="train", id=2)
    assert {"kind": "reply", "ok": True, "id": 2} in view.got
    states = []
    for _ in range(2000):
        view.widget._looked = 0.0
        view.widget._tick()
        states += [m["state"] for m in view.got if m["kind"] == "training"]
        if states and states[-1] in ("finished", "failed"):
            break
        time.sleep(0.02)
    last = [m for m in view.take("training") if m["state"] == "finished"][-1]
    assert len(last["curves"]["train/loss"][0]) == 3 and "Net/linear" in last["health"]
    assert last["step"] == last["steps"] == 3

    view.say(kind="sync")  # a reloaded page sees the same
    assert view.take("training")[-1]["curves"] == last["curves"]
    view.widget.builder.run.wait(30)
    assert "No training" in step(view, "steer", what="stop")["error"]


def test_a_training_that_cannot_begin_says_why(connect: Any) -> None:
    view = canvas(connect, "MLP")
    view.say(kind="train", id=3)
    for _ in range(2000):
        failed = [message for message in view.got if message.get("state") == "failed"]
        if failed:
            break
        time.sleep(0.02)
    assert "The data gives (N, 1, 8, 8)" in failed[-1]["error"]


def test_long_curves_are_thinned_to_their_means() -> None:
    steps, values = _thin(np.arange(10_000), np.arange(10_000) / 10)
    assert len(steps) == len(values) == POINTS
    assert np.all(np.diff(values) > 0) and abs(np.mean(values) - 499.95) < 0.1
    assert _thin([1, 2], [np.nan, 3.0]) == [[1.0, 2.0], [None, 3.0]]


@pytest.mark.parametrize("start", [None, "CNN", "ResNet block", "Transformer block"])
def test_the_picture_of_a_saved_notebook_shows_blocks_and_shapes(connect: Any, start: Any) -> None:
    view = canvas(connect, start)
    picture = view.widget._draw()
    ElementTree.fromstring(picture)
    builder = view.widget.builder
    for block in builder.document.main.blocks:
        assert block.name in picture
    if start == "CNN":
        assert "N×16×28×28" in picture and "20,490 parameters" in picture


def test_text_of_a_document_is_escaped_in_the_picture() -> None:
    class Script(nn.Module):
        def forward(self, input):
            return input

    builder = mlkit.ModelBuilder("MLP", blocks=[Script])
    builder.history.comment("relu", "<script>alert(1)</script>")
    assert "<script" not in draw(builder.document, builder.shapes()["MLP"], builder.types)
