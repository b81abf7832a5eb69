"""What GradientFlow sends, seen from the page's side, and the same in plain Python."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlkit
from mlkit import nn, optim
from mlkit.observe import GradientFlow as Recorded
from mlkit.train import Trainer
from mlkit_widgets import _base
from mlkit_widgets.gradient_flow import GradientFlow, widget


@pytest.fixture(autouse=True)
def nothing_watched() -> Iterator[None]:
    mlkit.manual_seed(0)
    yield
    from mlkit.observe.flow import attach

    for flow in list(attach._attached.values()):
        flow.detach()


def small(activation: Any = nn.ReLU, depth: int = 1) -> Any:
    layers: list[Any] = []
    for _ in range(depth):
        layers += [nn.Linear(4, 4), activation()]
    return nn.Sequential(*layers, nn.Linear(4, 3))


def train(model: Any, steps: int) -> None:
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(mlkit.randn(64, 4)), mlkit.randint(0, 3, (64,))).backward()
        optimizer.step()


def together(updates: list[dict[str, Any]], run: int = 0) -> tuple[list[int], np.ndarray]:
    """What a page has that puts the pieces together by their index; a gap would fail."""
    steps: list[int] = []
    numbers: list[np.ndarray] = []
    for update in updates:
        piece = update["runs"][run]
        assert piece["start"] <= len(steps), "a gap"
        del steps[piece["start"] :], numbers[piece["start"] :]
        steps += piece["steps"].tolist()
        numbers += list(piece["numbers"])
    return steps, np.array(numbers)


def test_a_page_gets_what_is_there_and_then_only_what_is_new(connect: Any) -> None:
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    train(model, 4)
    page.say(kind="sync", streams=[], have=[])
    updates = page.take("update")
    (run,) = updates[0]["runs"]
    assert [one["name"] for one in run["layers"]] == ["0", "1", "2"] and run["order"] == [0, 1, 2]
    train(model, 2)
    page.widget._tick()
    more = page.take("update")
    assert more[0]["runs"][0]["start"] == 4
    steps, numbers = together(updates + more)
    assert steps == [1, 2, 3, 4, 5, 6]
    flow = page.widget.flow
    for at, quantity in enumerate(widget.NAMES):
        assert np.array_equal(numbers[:, 0, at], flow.history("0", quantity)[1].astype(np.float32), equal_nan=True)
    page.widget._tick()
    assert page.take("update") == []


def test_a_reloaded_page_gets_everything_and_one_that_missed_messages_the_rest(connect: Any) -> None:
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    train(model, 6)
    stream = page.widget.flow.identity
    page.say(kind="sync", streams=[stream], have=[4])
    assert page.take("update")[0]["runs"][0]["start"] == 4
    page.say(kind="sync", streams=["of another kernel"], have=[4])
    assert together(page.take("update"))[0] == [1, 2, 3, 4, 5, 6]


def test_a_long_recording_comes_in_pieces_that_the_page_asks_for(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "CHUNK", 45)  # three samples of three layers
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    train(model, 8)
    updates: list[dict[str, Any]] = []
    while not updates or updates[-1]["runs"][0]["more"]:
        page.say(kind="sync", streams=page.widget._streams, have=[len(together(updates)[0])])
        updates += page.take("update")
    assert [len(update["runs"][0]["steps"]) for update in updates] == [3, 3, 2]
    assert together(updates)[0] == list(range(1, 9))


def test_before_any_page_has_asked_everything_is_sent_for_one_that_cannot_ask(connect: Any) -> None:
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    train(model, 2)
    page.widget._tick()
    train(model, 2)
    page.widget._announce_at = 0
    page.widget._tick()
    assert [update["runs"][0]["start"] for update in page.take("update")] == [0, 0]


def test_findings_travel_as_text(connect: Any) -> None:
    model = small(nn.Sigmoid, 10)
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    train(model, 10)
    page.say(kind="sync", streams=[], have=[])
    (update,) = page.take("update")
    (finding,) = update["findings"]
    assert finding["kind"] == "vanishing" and finding["layers"][0] == "0" and finding["advice"]
    assert str(page.widget.findings()).startswith("Vanishing gradients")
    assert page.widget.table()["0"]["flags"] == ["vanishing"]


def test_the_spread_of_the_chosen_layer_travels_and_changes_with_the_choice(connect: Any) -> None:
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    train(model, 5)
    page.say(kind="sync", streams=[], have=[])
    (first,) = page.take("spread")
    assert (first["layer"], first["of"], first["log"]) == ("0", "gradient", True)
    (run,) = first["runs"]
    assert run["steps"].tolist() == [1, 2, 3, 4, 5] and run["shares"].shape == (5, widget.BINS)
    assert run["shares"].sum(axis=1) == pytest.approx(np.ones(5), abs=0.1)
    assert (np.diff(run["marks"], axis=1) >= 0).all()
    page.widget.layer = "1"
    page.widget.quantity = "dead"
    page.widget._tick()
    (second,) = page.take("spread")
    assert (second["layer"], second["of"], second["log"]) == ("1", "activation", False)
    page.say(kind="show", layer="2", of="activation")  # a page shows the first layer that has what was chosen
    assert page.take("spread")[0]["layer"] == "2"
    page.say(kind="show", layer="9", of="activation")
    page.say(kind="show", layer="0", of="loss")
    assert [reply["ok"] for reply in page.take()] == [False, False]
    values = np.quantile(page.widget.flow.spread("1", "activation")[1][-1], 0.5)
    assert second["runs"][0]["marks"][-1, 1] == pytest.approx(values, abs=0.05)
    page.widget._tick()
    assert page.take("spread") == []


def test_a_long_history_of_spreads_is_thinned_to_what_a_screen_shows(connect: Any) -> None:
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    train(model, 400)
    page.say(kind="sync", streams=[], have=[])
    (spread,) = page.take("spread")
    steps = spread["runs"][0]["steps"]
    assert len(steps) == widget.COLUMNS and steps[0] == 1 and steps[-1] == 400


def test_two_runs_are_compared_and_chosen_from_those_beside_it(connect: Any, tmp_path: Path) -> None:
    runs = []
    for at in range(2):
        model = small(depth=1 + at)
        trainer = Trainer(
            model, name=f"run {at}", run_dir=tmp_path, progress=False, gradient_flow=Recorded(model, every=1)
        )
        trainer.fit([(mlkit.randn(8, 4), mlkit.randint(0, 3, (8,)))] * 6)
        runs.append(trainer.recorder.path)
    (tmp_path / "no run").mkdir()
    page = connect(lambda: GradientFlow(runs[0]))
    page.say(kind="sync", streams=[], have=[])
    (update,) = page.take("update")
    assert len(update["runs"]) == 1 and update["others"] == [runs[1].name]
    page.widget.compare = runs[1].name
    page.widget._tick()
    page.widget._spread_at = 0
    (update,) = page.take("update")
    assert [run["title"] for run in update["runs"]] == [runs[0].name, runs[1].name]
    assert update["runs"][1]["start"] == 0 and len(update["runs"][1]["layers"]) == 5
    page.widget._tick()
    (spread,) = page.take("spread")
    assert [len(run["steps"]) for run in spread["runs"]] == [6, 6]
    assert "dashed" in page.widget._draw()
    page.widget.compare = "../../etc"  # no name of a run: nothing is opened
    page.widget._tick()
    assert page.widget._other is None and len(page.take("update")[0]["runs"]) == 1
    both = connect(lambda: GradientFlow(runs[0], compare=runs[1]))
    assert both.widget.compare == runs[1].name


def test_a_run_without_samples_yet_is_waited_for(connect: Any, tmp_path: Path) -> None:
    from mlkit.observe import Recorder

    recorder = Recorder("early", root=tmp_path)
    recorder.begin("background")
    assert recorder.path is not None
    page = connect(lambda: GradientFlow(recorder.path, layer="0"))
    page.say(kind="sync", streams=[], have=[])
    (first,) = page.take("update")
    assert "Waiting for the first sample" in first["waiting"] and first["runs"][0]["steps"].size == 0
    assert "Waiting for the first sample of this run." in page.widget._draw()
    model = small()
    flow = Recorded(model, every=1, run_dir=tmp_path / "other")
    train(model, 3)
    flow.detach()
    assert flow.directory is not None
    (flow.directory / "gradients").rename(recorder.path / "gradients")
    page.widget.flow._recording._look_at = 0.0
    page.widget._tick()
    update = page.take("update")[-1]
    assert update["waiting"] == "" and update["runs"][0]["steps"].tolist() == [1, 2, 3]
    assert update["runs"][0]["start"] == 0 and update["runs"][0]["stream"] != first["runs"][0]["stream"]
    recorder.end("finished")


def test_what_can_be_given(connect: Any, tmp_path: Path) -> None:
    model = small()
    trainer = Trainer(model, run_dir=tmp_path, progress=False)
    page = connect(lambda: GradientFlow(trainer, every=1))
    trainer.fit([(mlkit.randn(8, 4), mlkit.randint(0, 3, (8,)))] * 3)
    flow = page.widget.flow
    assert flow.attached and len(flow) == 3
    for same in (model, trainer, flow):
        assert connect(lambda same=same: GradientFlow(same)).widget.flow is flow
    assert connect(lambda: GradientFlow(str(trainer.recorder.path))).widget.flow.steps.tolist() == [1, 2, 3]
    page.widget.detach()
    assert not flow.attached
    with pytest.raises(TypeError, match="Expected a GradientFlow"):
        GradientFlow(3)
    with pytest.raises(FileNotFoundError, match="no run directory"):
        GradientFlow(tmp_path / "nothing")
    with pytest.raises(KeyError, match="There are: 0, 1, 2"):
        GradientFlow(flow, layer="7")
    for options, words in (({"quantity": "loss"}, "quantity must be"), ({"spread": "pie"}, "'heatmap' or 'ridge'")):
        with pytest.raises(ValueError, match=words):
            GradientFlow(flow, **options)


def test_the_picture_is_a_card_with_everything_in_it_and_text_is_escaped(connect: Any) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for at in range(10):
                self.add_module(f"<b>{at}</b>", nn.Linear(4, 4))

        def forward(self, x: Any) -> Any:
            for layer in self.children():
                x = mlkit.sigmoid(layer(x))
            return x

    model = Net()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    ElementTree.fromstring(page.widget._draw())
    assert "Nothing has been recorded yet." in page.widget._draw()
    train(model, 10)
    for quantity in widget.NAMES:
        page.widget.quantity = quantity
        ElementTree.fromstring(page.widget._draw())
    page.widget.quantity = "gradient"
    svg = page.widget._draw()
    assert "&lt;b&gt;0&lt;/b&gt;" in svg and "<b>" not in svg
    assert "Vanishing gradients:" in svg and "step 10, 10 samples" in svg and svg.count("<polyline") == 10
    assert page.widget._describe() == "GradientFlow of Net: 20 layers, 10 samples, step 10, vanishing"
    bundle = page.widget._bundle()
    assert bundle["image/svg+xml"].startswith("<svg") and bundle["text/plain"].startswith("GradientFlow of Net")
    pytest.importorskip("matplotlib")
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")


def test_the_picture_is_renewed_when_the_training_rests(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    page.say(kind="sync", streams=[], have=[])
    train(model, 5)
    page.widget._tick()
    monkeypatch.setattr(widget, "REST_SECONDS", 0.0)
    page.take()
    page.widget._tick()
    assert "step 5" in page.widget._picture
    assert page.take("verdict")[0]["verdict"].startswith("Nothing to complain of at step 5")


def test_a_run_that_breaks_is_reported_and_nonsense_does_no_harm(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, run_dir=False))
    for content in (
        None,
        "text",
        {"kind": "sync", "have": "x"},
        {"kind": "sync", "streams": 3},
        {},
        {"kind": "command"},
    ):
        page.widget._on_custom_message(page.widget, content, [])
    page.take()
    monkeypatch.setattr(Recorded, "samples", lambda *_: 1 / 0)
    train(model, 2)
    page.widget._answered = True
    _base._tick(page.widget)
    assert page.take("problem") == [{"kind": "problem", "text": "ZeroDivisionError: division by zero"}]


def test_figures_come_from_the_widget_too(connect: Any) -> None:
    pytest.importorskip("matplotlib").use("agg")
    model = small()
    page = connect(lambda: GradientFlow(model, every=1, quantity="weight", run_dir=False))
    train(model, 3)
    assert page.widget.plot().get_ylabel() == "weight norm"
    assert page.widget.plot("gradient", "0", kind="heatmap").get_title() == "gradients of 0"
