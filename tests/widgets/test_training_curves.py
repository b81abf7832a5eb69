"""What TrainingCurves sends and does, seen from the page's side."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest
from fakes import FakeSource

from mlkit_widgets import _base
from mlkit_widgets.training_curves import TrainingCurves, widget


def curve(updates: list[dict[str, Any]], name: str = "train/loss") -> np.ndarray:
    """What a page has that puts the pieces together by their absolute index; a gap would fail."""
    values: list[float] = []
    for update in updates:
        for series in update["series"]:
            if series["name"] == name:
                assert series["start"] <= len(values), "a gap"
                values[series["start"] :] = series["values"].tolist()
    return np.array(values)


def test_a_page_gets_what_is_there_and_then_only_what_is_new(connect: Any) -> None:
    source = FakeSource()
    for step in range(5):
        source.add("train/loss", step, 1 / (step + 1))
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="sync", stream=None, have={}, events=0)
    first = view.take("update")
    assert len(first) == 1 and curve(first).tolist() == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    view.widget._tick()
    assert all(not update["series"] for update in view.take("update"))
    source.add("train/loss", 5, 0.1)
    view.widget._tick()
    (update,) = view.take("update")
    assert [(item["start"], item["values"].tolist()) for item in update["series"]] == [(5, [0.1])]
    assert update["status"]["step"] == 5


def test_a_page_that_missed_messages_or_was_reloaded_gets_the_rest(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="sync", stream=None, have={}, events=0)
    for step in range(100):
        source.add("train/loss", step, float(step))
        source.event("message", text=str(step))
        view.widget._tick()
    view.take()
    view.say(kind="sync", stream="first", have={"train/loss": 40}, events=90)
    (update,) = view.take("update")
    assert update["series"][0]["start"] == 40 and len(update["series"][0]["values"]) == 60
    assert update["events"]["start"] == 90 and len(update["events"]["items"]) == 10
    view.say(kind="sync", stream="of another kernel", have={"train/loss": 40}, events=90)
    assert len(curve(view.take("update"))) == 100


def test_a_long_curve_comes_in_pieces_that_the_page_asks_for(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widget, "CHUNK", 10)
    source = FakeSource()
    for step in range(35):
        source.add("train/loss", step, float(step))
    view = connect(lambda: TrainingCurves(source))
    updates: list[dict[str, Any]] = []
    while not updates or updates[-1]["more"]:
        view.say(kind="sync", stream="first", have={"train/loss": len(curve(updates))}, events=0)
        updates += view.take("update")
    assert [len(update["series"][0]["values"]) for update in updates] == [10, 10, 10, 5]
    assert curve(updates).tolist() == list(range(35))


def test_before_any_page_has_asked_everything_is_sent_for_one_that_cannot_ask(connect: Any) -> None:
    source = FakeSource()
    source.add("train/loss", 0, 1.0)
    view = connect(lambda: TrainingCurves(source))
    view.widget._tick()
    source.add("train/loss", 1, 0.5)
    view.widget._announce_at = 0
    view.widget._tick()
    updates = view.take("update")
    assert [series["start"] for update in updates for series in update["series"]] == [0, 0]
    assert curve(updates[1:]).tolist() == [1.0, 0.5]


def test_another_run_behind_the_same_trainer_starts_the_curve_anew(connect: Any) -> None:
    source = FakeSource()
    for step in range(9):
        source.add("train/loss", step, 1.0)
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="sync", stream=None, have={}, events=0)
    view.take()
    source.identity, source.series = "second", {}
    source.add("train/loss", 0, 7.0)
    view.widget._tick()
    (update,) = view.take("update")
    assert update["stream"] == "second"
    assert [(item["start"], item["values"].tolist()) for item in update["series"]] == [(0, [7.0])]


@pytest.mark.parametrize("command", ["pause", "resume", "step", "stop", "checkpoint"])
def test_a_button_reaches_the_run(connect: Any, command: str) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="command", id=4, command=command, name=None, value=None)
    assert source.commands == [(command, None, None)]
    assert view.take("reply") == [{"kind": "reply", "ok": True, "id": 4}]


def test_a_new_learning_rate_reaches_the_run(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="command", id=1, command="set", name="lr", value=3e-4)
    assert source.commands == [("set", "lr", 3e-4)]


def test_a_command_that_cannot_be_obeyed_is_answered_in_words(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="command", id=1, command="rm -rf")
    source.reachable = (False, "The training has finished.")
    view.say(kind="command", id=2, command="pause")
    replies = view.take("reply")
    assert [(reply["id"], reply["ok"]) for reply in replies] == [(1, False), (2, False)]
    assert "rm -rf" in replies[0]["error"] and replies[1]["error"] == "The training has finished."
    assert source.commands == []


@pytest.mark.parametrize("content", [None, "text", [], {"kind": "sync", "have": {"a": "x"}, "stream": "first"}, {}])
def test_nonsense_from_a_page_does_no_harm(connect: Any, content: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.widget._on_custom_message(view.widget, content, [])
    assert source.commands == []


def test_a_run_that_breaks_is_reported_to_the_page_and_left_alone(
    connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="sync", stream=None, have={}, events=0)
    view.take()
    monkeypatch.setattr(source, "status", lambda: 1 / 0)
    source.version += 1
    _base._tick(view.widget)
    assert view.take() == [{"kind": "problem", "text": "ZeroDivisionError: division by zero"}]


def test_a_status_with_nan_is_still_json(connect: Any) -> None:
    source = FakeSource()
    source.now["eta"] = float("nan")
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="sync", stream=None, have={}, events=0)
    assert view.take("update")[0]["status"]["eta"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"x": "hours"}, "'step', 'epoch' or 'time'"),
        ({"smoothing": 1.0}, "less than 1"),
        ({"smoothing": -0.1}, "at least 0"),
        ({"metrics": "loss"}, r"metrics=\['loss'\]"),
    ],
)
def test_options_out_of_range_are_refused(connect: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        connect(lambda: TrainingCurves(FakeSource(), **options))


def test_every_display_carries_a_picture_and_words_for_when_there_is_no_kernel(connect: Any) -> None:
    source = FakeSource(title="run <1> & more")
    for step in range(1, 400):
        source.add("train/loss", step, 2.0 / step)
        source.add("lr", step, 0.01)
    source.add("valid/accuracy", 399, 0.97)
    view = connect(lambda: TrainingCurves(source))
    bundle, _ = view.widget._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.widget.model_id
    assert "valid accuracy 0.97" in bundle["text/plain"]
    root = ElementTree.fromstring(bundle["image/svg+xml"])
    words = "".join(root.itertext())
    assert "run <1> & more" in words and "learning rate" in words
    assert len(root.findall(".//{*}polyline")) >= 3
    assert len(bundle["image/svg+xml"]) < 40_000
    assert "script" not in bundle["image/svg+xml"] and "http" not in bundle["image/svg+xml"].replace(
        "http://www.w3.org/2000/svg", ""
    )


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0], [0.0, 0.0], [-1.0, float("inf"), 2.0]])
@pytest.mark.parametrize("log_y", [False, True])
@pytest.mark.parametrize("x", ["step", "epoch", "time"])
def test_the_picture_is_drawn_whatever_was_recorded(connect: Any, values: list[float], log_y: bool, x: str) -> None:
    source = FakeSource()
    for step, value in enumerate(values):
        source.add("train/loss", step, value)
        source.add("valid/loss", step, value)
    view = connect(lambda: TrainingCurves(source, log_y=log_y, x=x))
    svg = view.widget._draw()
    ElementTree.fromstring(svg)
    assert "nan" not in svg.lower().replace('nan"', "") or not values


def test_the_picture_is_renewed_when_the_run_comes_to_rest(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="sync", stream=None, have={}, events=0)
    source.add("train/loss", 1, 1.0)
    view.widget._tick()
    source.now["state"] = "finished"
    source.add("train/loss", 2, 0.5)
    view.widget._tick()
    assert "finished" in view.widget._picture


def test_messages_from_a_reloaded_page_go_where_the_page_sent_them(connect: Any) -> None:
    class Comm:
        comm_id = "c"
        _reply_subshell_id = "of a page that is gone"

        def _reply_subshell_for(self, data: Any, default: Any) -> Any:
            return self._reply_subshell_id

        def on_msg(self, callback: Any) -> None:
            pass

        def close(self) -> None:
            pass

    view = connect(lambda: TrainingCurves(FakeSource()))
    view.widget.comm = Comm()
    assert view.widget.comm._reply_subshell_for({}, "of the new page") == "of the new page"
