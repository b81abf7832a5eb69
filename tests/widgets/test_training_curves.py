"""What TrainingCurves sends and does, seen from the page's side."""

from __future__ import annotations

import csv
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeSource

from mlkit.observe import DirectorySource, Recorder, RecorderSource, list_runs
from mlkit_widgets import _base
from mlkit_widgets.training_curves import TrainingCurves, Watch


class Reader:
    """What a page has that puts the pieces together by size and index; a gap would fail."""

    def __init__(self, key: str = "run0") -> None:
        self.key = key
        self.stream: str | None = None
        self.curves: dict[str, dict[str, Any]] = {}
        self.events: list[Any] = []
        self.status: dict[str, Any] = {}

    def take(self, updates: list[dict[str, Any]]) -> None:
        for update in updates:
            for run in update["runs"]:
                if run["key"] == self.key:
                    self.receive(run)

    def receive(self, run: dict[str, Any]) -> None:
        if run["stream"] != self.stream:
            self.stream, self.curves, self.events = run["stream"], {}, []
        for piece in run["series"]:
            known = self.curves.get(piece["name"], {"size": piece["size"], "mean": np.empty(0), "step": np.empty(0)})
            start = piece["start"]
            if start:
                assert known["size"] == piece["size"] and start <= len(known["mean"]), "a gap"
            merged = {name: np.concatenate([known[name][:start], piece[name]]) for name in ("mean", "step")}
            self.curves[piece["name"]] = {**piece, **merged}
        assert run["events"]["start"] <= len(self.events), "a gap"
        self.events[run["events"]["start"] :] = run["events"]["items"]
        self.status = run["status"]

    def values(self, name: str = "train/loss") -> list[float]:
        return self.curves[name]["mean"].tolist()


def sync(view: Any, **runs: Any) -> None:
    view.say(kind="sync", runs=runs)


def test_a_page_gets_what_is_there_and_then_only_what_is_new(connect: Any) -> None:
    source = FakeSource()
    for step in range(5):
        source.add("train/loss", step, 1 / (step + 1))
    view, page = connect(lambda: TrainingCurves(source)), Reader()
    sync(view)
    first = view.take("update")
    page.take(first)
    assert len(first) == 1 and page.values() == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    view.widget._tick()
    assert all(not run["series"] for update in view.take("update") for run in update["runs"])
    source.add("train/loss", 5, 0.1)
    view.widget._tick()
    (update,) = view.take("update")
    (piece,) = update["runs"][0]["series"]
    assert (piece["start"], piece["mean"].tolist(), piece["points"]) == (5, [0.1], 6)
    assert piece["lowest"] == [5, 0.5, 0.1] and piece["highest"] == [0, 0.0, 1.0] and piece["last"] == [5, 0.5, 0.1]
    assert update["runs"][0]["status"]["step"] == 5


def test_a_page_that_missed_messages_or_was_reloaded_gets_the_rest(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    sync(view)
    for step in range(100):
        source.add("train/loss", step, float(step))
        source.event("message", text=str(step))
        view.widget._tick()
    view.take()
    sync(view, run0={"stream": "first", "have": {"train/loss": [1, 40]}, "events": 90})
    (update,) = view.take("update")
    (run,) = update["runs"]
    assert run["series"][0]["start"] == 40 and len(run["series"][0]["mean"]) == 60
    assert run["events"]["start"] == 90 and len(run["events"]["items"]) == 10
    page = Reader()
    sync(view, run0={"stream": "of another kernel", "have": {"train/loss": [1, 40]}, "events": 90})
    page.take(view.take("update"))
    assert page.values() == list(range(100)) and len(page.events) == 100


def test_a_million_points_travel_as_two_thousand_and_grow_in_small_pieces(connect: Any) -> None:
    recorder = Recorder("long", root=False)
    steps = np.arange(1, 1_000_001)
    values = np.sin(steps / 9000)
    values[345_678] = 5.0
    recorder.restore({"train/loss": (steps, steps / 100, values)}, 10_000.0)
    view, page = connect(lambda: TrainingCurves(RecorderSource(recorder))), Reader()
    sync(view)
    page.take(view.take("update"))
    curve = page.curves["train/loss"]
    assert curve["points"] == 1_000_000 and 1000 < len(curve["mean"]) <= 2048
    assert curve["high"].max() == 5.0 and curve["highest"] == [345_679, 3456.79, 5.0]
    for step in range(1_000_001, 1_003_001, 100):
        for at in range(step, step + 100):
            recorder.record(at, {"train/loss": 0.25})
        view.widget._tick()
        updates = view.take("update")
        assert all(len(piece["mean"]) <= 3 for update in updates for run in update["runs"] for piece in run["series"])
        page.take(updates)
    assert page.curves["train/loss"]["points"] == 1_003_000
    assert page.curves["train/loss"]["step"][-1] == 1_003_000 and page.values()[-1] == 0.25


def test_a_part_that_is_zoomed_into_comes_with_every_point(connect: Any) -> None:
    recorder = Recorder("long", root=False)
    steps = np.arange(1, 200_001)
    values = np.random.default_rng(0).standard_normal(200_000)
    recorder.restore({"train/loss": (steps, steps / 100, values)}, 2000.0)
    recorder.update(steps=200_000, epochs=20)
    view = connect(lambda: TrainingCurves(RecorderSource(recorder)))
    sync(view)
    view.take()
    for axis, scale in (("step", 1), ("time", 100), ("epoch", 10_000)):
        view.widget.x = axis
        view.widget.zoom = [50_000 / scale, 50_100 / scale]
        view.widget._tick()
        (update,) = view.take("update")
        (window,) = update["runs"][0]["windows"]
        assert window["zoom"] == [50_000 / scale, 50_100 / scale]
        inside = (window["step"] >= 50_000) & (window["step"] <= 50_100)
        np.testing.assert_array_equal(window["mean"][inside], values[49_999:50_100])
        view.widget._tick()
        assert not any(run["windows"] for update in view.take("update") for run in update["runs"]), "sent once"
    view.widget.zoom = None
    with pytest.raises(ValueError, match="two rising numbers"):
        view.widget.zoom = [3, 2]


def test_before_any_page_has_asked_everything_is_sent_for_one_that_cannot_ask(connect: Any) -> None:
    source = FakeSource()
    source.add("train/loss", 0, 1.0)
    view, page = connect(lambda: TrainingCurves(source)), Reader()
    view.widget._tick()
    source.add("train/loss", 1, 0.5)
    view.widget._announce_at = 0
    view.widget._tick()
    updates = view.take("update")
    assert [piece["start"] for update in updates for run in update["runs"] for piece in run["series"]] == [0, 0]
    page.take(updates[1:])
    assert page.values() == [1.0, 0.5]


def test_while_a_training_holds_the_kernel_everything_comes_again_for_a_page_that_cannot_ask(connect: Any) -> None:
    source = FakeSource()
    source.now |= {"mode": "blocking", "pid": os.getpid()}
    for step in range(50):
        source.add("train/loss", step, float(step))
    view = connect(lambda: TrainingCurves(source))
    sync(view)
    view.widget._announce_at = 0
    source.add("train/loss", 50, 50.0)
    view.take()
    view.widget._tick()
    reloaded = Reader()
    reloaded.take(view.take("update"))
    assert reloaded.values() == list(range(51))
    source.add("train/loss", 51, 51.0)
    view.widget._tick()
    assert [len(run["series"][0]["mean"]) for run in view.take("update")[0]["runs"]] == [1]


def test_another_run_behind_the_same_trainer_starts_the_curve_anew(connect: Any) -> None:
    source = FakeSource()
    for step in range(9):
        source.add("train/loss", step, 1.0)
    view, page = connect(lambda: TrainingCurves(source)), Reader()
    sync(view)
    page.take(view.take("update"))
    source.identity, source.series = "second", {}
    source.add("train/loss", 0, 7.0)
    view.widget._tick()
    page.take(view.take("update"))
    assert page.stream == "second" and page.values() == [7.0]


def test_several_runs_each_with_its_own_key_and_commands_to_the_one_that_is_meant(connect: Any) -> None:
    sources = [FakeSource(f"run {index}") for index in range(3)]
    for index, source in enumerate(sources):
        source.identity = f"number {index}"
        source.add("train/loss", 1, float(index))
    view = connect(lambda: Watch([*sources, sources[0]]))
    assert view.widget.sources == sources, "a run is shown once"
    sync(view)
    updates = view.take("update")
    assert updates[0]["order"] == ["run0", "run1", "run2"]
    for index in range(3):
        page = Reader(f"run{index}")
        page.take(updates)
        assert page.values() == [float(index)]
    assert view.widget.steered is sources[0]
    view.widget.selected = "run2"
    assert view.widget.steered is sources[2]
    view.say(kind="command", id=1, run="run1", command="pause")
    view.say(kind="command", id=2, run="run7", command="pause")
    assert [source.commands for source in sources] == [[], [("pause", None, None)], []]
    assert [reply["ok"] for reply in view.take("reply")] == [True, False]


def test_too_many_runs_and_none_at_all_are_told(connect: Any) -> None:
    many = []
    for index in range(25):
        many.append(FakeSource())
        many[-1].identity = str(index)
    with pytest.raises(ValueError, match="At most 24 runs"):
        connect(lambda: Watch(many))
    view = connect(lambda: Watch([]))
    ElementTree.fromstring(view.widget._draw())
    assert view.widget.steered is None
    assert "no run" in view.widget._describe()


def recorded(root: Path, name: str, values: list[float], cloned_from: Any = None) -> Path:
    recorder = Recorder(name, root=root, meta={"cloned_from": cloned_from} if cloned_from else None)
    recorder.begin()
    for step, value in enumerate(values, 1):
        recorder.record(step, {}, examples=1)
        recorder.record(step, {"train/loss": value})
    recorder.end("finished")
    assert recorder.path is not None
    return recorder.path


def test_directories_and_what_list_runs_gives(connect: Any, tmp_path: Path) -> None:
    first, second = recorded(tmp_path, "a", [3, 2, 1]), recorded(tmp_path, "b", [5, 4])
    view = connect(lambda: Watch([str(first), *list_runs(tmp_path)]))
    assert {source.path for source in view.widget.sources} == {first, second}
    sync(view)
    page = Reader("run0")
    page.take(view.take("update"))
    assert page.values() == [3, 2, 1] and page.status["state"] == "finished"


def test_a_clone_joins_the_picture_and_only_from_beside_the_run(connect: Any, tmp_path: Path) -> None:
    recorder = Recorder("first", root=tmp_path / "here")
    recorder.begin()
    recorder.record(1, {"train/loss": 1.0})
    try:
        view = connect(lambda: Watch(DirectorySource(recorder.path)))
        sync(view)
        assert view.take("update")[0]["order"] == ["run0"]
        path = recorded(
            tmp_path / "here", "second", [1, 0.5], {"key": recorder.key, "run": recorder.path.name, "step": 1}
        )
        other = recorded(tmp_path / "elsewhere", "other", [1])
        recorder.event("clone", run=str(path), from_step=1)
        recorder.event("clone", run=str(other), from_step=1)
        recorder.flush()
        view.widget._tick()
        view.widget._tick()
        (*_, update) = view.take("update")
        assert update["order"] == ["run0", "run1"] and view.widget.sources[1].path == path
        assert view.widget.selected == "run1"
        assert "2 runs" in view.widget._draw()
    finally:
        recorder.end("stopped")


def test_a_clone_button_passes_the_wish_on(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    wish = {"settings": {"lr": 0.1}, "checkpoint": None, "name": None}
    view.say(kind="command", id=1, run="run0", command="clone", value=wish)
    assert source.commands == [("clone", None, wish)]


def test_only_the_usual_panels_travel_unasked_and_others_when_chosen(connect: Any) -> None:
    source = FakeSource()
    for index in range(30):
        source.add(f"layers/{index}/norm", 1, 1.0)
        source.add(f"train/metric{index:02d}", 1, 1.0)
    source.add("train/loss", 1, 1.0)
    source.add("lr", 1, 1.0)
    view, page = connect(lambda: TrainingCurves(source)), Reader()
    sync(view)
    (update,) = view.take("update")
    page.take([update])
    assert set(page.curves) == {"train/loss", "lr", *(f"train/metric{index:02d}" for index in range(4))}
    assert len(update["runs"][0]["about"]["families"]) == 62
    view.widget.metrics = ["layers/7/norm"]
    view.widget._tick()
    (update,) = view.take("update")
    assert [piece["name"] for piece in update["runs"][0]["series"]] == ["layers/7/norm"]


def test_the_table_has_every_point_in_parts(connect: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mlkit_widgets.training_curves.table.PART", 10)
    source = FakeSource('a "strange", name')
    for step in range(35):
        source.add("train/loss", step, step / 7, seconds=step / 3)
    source.add("valid/loss", 34, 1.0)
    view = connect(lambda: TrainingCurves(source))
    texts, parts = [], 1
    while len(texts) < parts:
        view.say(kind="export", id=1, format="csv", part=len(texts))
        (reply,) = view.take("reply")
        texts.append(reply["text"])
        parts = reply["parts"]
    rows = list(csv.DictReader("".join(texts).splitlines()))
    assert parts == 6 and len(rows) == 36
    assert [float(row["value"]) for row in rows[:35]] == [step / 7 for step in range(35)]
    assert rows[3] == {"run": 'a "strange", name', "metric": "train/loss", "step": "3", "seconds": "1.0",
                       "value": repr(3 / 7)}  # fmt: skip
    path = view.widget.save(tmp_path / "points.csv")
    assert path.read_bytes().decode() == "".join(texts)
    view.say(kind="export", id=2, format="csv", part=99)
    view.say(kind="export", id=3, format="docx")
    assert ["part 99" in view.got[0]["error"], "docx" in view.got[1]["error"]] == [True, True]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_drawing_in_the_theme_that_is_asked_for(connect: Any, theme: str, tmp_path: Path) -> None:
    source = FakeSource()
    source.add("train/loss", 1, 1.0)
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="export", id=1, format="svg", theme=theme)
    (reply,) = view.take("reply")
    ElementTree.fromstring(reply["text"])
    assert ("--bg:#15191f" in reply["text"]) == (theme == "dark") and "prefers-color-scheme" not in reply["text"]
    ElementTree.parse(view.widget.save(tmp_path / "curves.svg"))
    with pytest.raises(ValueError, match=r"\.svg or \.csv"):
        view.widget.save(tmp_path / "curves.docx")
    assert not (tmp_path / "curves.docx").exists()


def test_the_picture_of_several_runs_and_of_a_part(connect: Any) -> None:
    sources = []
    for index in range(3):
        sources.append(FakeSource(f"run {index}"))
        sources[-1].identity = str(index)
        for step in range(1, 300):
            sources[-1].add("train/loss", step, 2.0 / step + index)
            sources[-1].add("valid/accuracy", step, 1 - 1 / step)
    view = connect(lambda: TrainingCurves(sources, zoom=(100, 200), log_x=True, log_y=True))
    words = "".join(ElementTree.fromstring(view.widget._draw()).itertext())
    assert "3 runs" in words and "loss · train" in words and "accuracy · valid" in words
    view.widget.hidden = ["run0", "run2"]
    assert "run 1" in "".join(ElementTree.fromstring(view.widget._draw()).itertext())


@pytest.mark.parametrize("command", ["pause", "resume", "step", "stop", "checkpoint"])
def test_a_button_reaches_the_run(connect: Any, command: str) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="command", id=4, run="run0", command=command, name=None, value=None)
    assert source.commands == [(command, None, None)]
    assert view.take("reply") == [{"kind": "reply", "ok": True, "id": 4}]


def test_a_new_learning_rate_reaches_the_run(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="command", id=1, run="run0", command="set", name="lr", value=3e-4)
    assert source.commands == [("set", "lr", 3e-4)]


def test_a_command_that_cannot_be_obeyed_is_answered_in_words(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    view.say(kind="command", id=1, run="run0", command="rm -rf")
    source.reachable = (False, "The training has finished.")
    view.say(kind="command", id=2, run="run0", command="pause")
    replies = view.take("reply")
    assert [(reply["id"], reply["ok"]) for reply in replies] == [(1, False), (2, False)]
    assert "rm -rf" in replies[0]["error"] and replies[1]["error"] == "The training has finished."
    assert source.commands == []


@pytest.mark.parametrize(
    "content",
    [
        None,
        "text",
        [],
        {"kind": "sync", "runs": {"run0": {"have": {"a": "x"}, "stream": "first"}}},
        {"kind": "sync", "runs": 3},
        {"kind": "command", "command": ["x"]},
        {"kind": "export", "format": "csv", "part": "x"},
        {},
    ],
)
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
    sync(view)
    view.take()
    monkeypatch.setattr(source, "status", lambda: 1 / 0)
    source.version += 1
    _base._tick(view.widget)
    assert view.take() == [{"kind": "problem", "text": "ZeroDivisionError: division by zero"}]


def test_a_status_with_nan_is_still_json(connect: Any) -> None:
    source = FakeSource()
    source.now["eta"] = float("nan")
    view = connect(lambda: TrainingCurves(source))
    sync(view)
    assert view.take("update")[0]["runs"][0]["status"]["eta"] is None


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


def test_at_rest_the_last_state_is_sent_once_more(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    sync(view)
    source.now["state"] = "paused"
    source.add("train/loss", 1, 1.0)
    view.widget._tick()
    assert view.take("update")[-1]["runs"][0]["status"]["state"] == "paused"
    view.widget._may_change = lambda one: False
    for _ in range(3):
        view.widget._status_sent -= 10
        view.widget._tick()
    (again,) = view.take("update")
    assert again["runs"][0]["status"]["state"] == "paused" and again["runs"][0]["series"] == []


def test_the_picture_is_renewed_when_the_run_comes_to_rest(connect: Any) -> None:
    source = FakeSource()
    view = connect(lambda: TrainingCurves(source))
    sync(view)
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
