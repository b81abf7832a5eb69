"""A folder of runs as the monitor lists and draws it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mlkit.observe import Recorder
from mlkit_widgets.training_curves import TrainingMonitor


def run(root: Path, name: str, state: str = "finished", begin: bool = True) -> Recorder:
    recorder = Recorder(name, root=root, meta={"model": "Net"})
    if begin:
        recorder.begin()
        recorder.record(1, {}, examples=8)
        recorder.update(steps=4)
        recorder.record(1, {"train/loss": 1.0})
        recorder.flush()
    if state != "running":
        recorder.end(state)
    return recorder


def scan(view: Any) -> dict[str, Any]:
    view.widget._scanned_at = 0.0
    view.widget._tick()
    return view.widget._library


def shown(view: Any) -> list[str]:
    return [source.title for source in view.widget.sources]


def test_an_empty_folder_and_one_that_is_not_there_yet(connect: Any, tmp_path: Path) -> None:
    view = connect(lambda: TrainingMonitor(tmp_path / "later"))
    assert view.widget._library == {"root": str(tmp_path / "later"), "runs": [], "more": 0, "shown": []}
    assert "no run" in repr(view.widget)
    recorder = run(tmp_path / "later", "first", "running")
    try:
        assert recorder.path is not None
        assert [line["name"] for line in scan(view)["runs"]] == [recorder.path.name]
        assert shown(view) == [recorder.path.name], "a run that begins is drawn unasked"
    finally:
        recorder.end("stopped")


def test_live_runs_are_drawn_first_else_the_newest(connect: Any, tmp_path: Path) -> None:
    old = run(tmp_path, "old")
    alive = run(tmp_path, "alive", "running")
    try:
        view = connect(lambda: TrainingMonitor(tmp_path))
        assert alive.path is not None and old.path is not None
        assert shown(view) == [alive.path.name]
        (line,) = [line for line in view.widget._library["runs"] if line["name"] == alive.path.name]
        assert (line["state"], line["share"], line["model"]) == ("running", 0.25, "Net")
    finally:
        alive.end("finished")
    states = {line["name"]: line["state"] for line in scan(view)["runs"]}
    assert states == {alive.path.name: "finished", old.path.name: "finished"}


def test_what_is_ticked_is_drawn_and_sent_and_strange_names_are_refused(connect: Any, tmp_path: Path) -> None:
    paths = [run(tmp_path, name).path for name in "abc"]
    names = [path.name for path in paths if path is not None]
    view = connect(lambda: TrainingMonitor(tmp_path))
    view.say(kind="sync", runs={})
    view.say(kind="watch", id=1, names=names[:2])
    assert view.take("reply") == [{"kind": "reply", "ok": True, "id": 1}]
    assert set(shown(view)) == set(names[:2]) == set(view.widget._library["shown"])
    view.widget._tick()
    (update,) = view.take("update")
    assert {run["about"]["title"] for run in update["runs"]} == set(names[:2])
    view.say(kind="watch", id=2, names=["../../etc"])
    assert "no run '../../etc'" in view.take("reply")[0]["error"]
    view.say(kind="watch", id=3, names=[])
    view.widget._tick()
    assert [update["order"] for update in view.take("update")] == [[]]
    view.widget.show(names[2])
    assert shown(view) == [names[2]] and view.widget.selected == view.widget._followed[0].key
    with pytest.raises(ValueError, match="no run 'nothing'"):
        view.widget.show("nothing")


def test_a_run_that_is_deleted_leaves_the_picture_and_a_new_one_waits_when_told_so(
    connect: Any, tmp_path: Path
) -> None:
    path = run(tmp_path, "a").path
    view = connect(lambda: TrainingMonitor(tmp_path, follow_new=False))
    assert path is not None and shown(view) == [path.name]
    shutil.rmtree(path)
    assert scan(view)["runs"] == [] and shown(view) == []
    alive = run(tmp_path, "b", "running")
    try:
        assert len(scan(view)["runs"]) == 1 and shown(view) == []
    finally:
        alive.end("stopped")
