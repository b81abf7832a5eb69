"""The runs that a server can see: found, read in little, and sent commands."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from mlkit.lab import runs as module
from mlkit.lab.machine import memory_of, read_table
from mlkit.lab.runs import POINTS, Runs
from mlkit.observe import Recorder


@pytest.fixture(autouse=True)
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLKIT_RUNS", raising=False)
    monkeypatch.setattr(module, "AGE", 0.0)


def train(root: Path, name: str = "net", steps: int = 5, end: str | None = "finished") -> Recorder:
    recorder = Recorder(name, root=root)
    recorder.begin("background")
    for step in range(steps):
        recorder.record(step + 1, {"train/loss": 1.0 / (step + 1)})
    if end:
        recorder.end(end)
    else:
        recorder.flush()
    return recorder


def test_runs_are_found_below_the_folder_and_where_the_settings_say(tmp_path: Path) -> None:
    root = tmp_path / "work"
    for folder in (root / "runs", root / "course/week-1/runs", root / ".hidden/runs", tmp_path / "else", root / "mine"):
        folder.mkdir(parents=True)
        train(folder, folder.parent.name)
    found = Runs(root).answer()
    assert sorted(row["folder"] for row in found["runs"]) == ["course/week-1/runs", "runs"]
    found = Runs(root).answer(["mine", str(tmp_path / "else"), "no-such-folder", "  "])
    assert sorted(row["folder"] for row in found["runs"]) == sorted(
        ["course/week-1/runs", "runs", "mine", str(tmp_path / "else")]
    )


def test_a_row_says_where_the_run_is(tmp_path: Path) -> None:
    train(tmp_path / "runs", "net", 5)
    (row,) = Runs(tmp_path).answer()["runs"]
    assert (row["name"], row["state"], row["alive"], row["reachable"]) == ("net", "finished", False, False)
    assert "finished" in row["reason"]
    assert row["series"]["train/loss"][0] == [1, 2, 3, 4, 5]
    assert row["series"]["train/loss"][1][0] == 1.0
    assert row["last"]["train/loss"] == pytest.approx(0.2)
    json.dumps(row, allow_nan=False)


def test_long_curves_are_thinned_and_gaps_stay(tmp_path: Path) -> None:
    recorder = Recorder("long", root=tmp_path / "runs")
    recorder.begin("background")
    for step in range(3_000):
        recorder.record(step, {"train/loss": math.nan if step == 2_999 else 3_000.0 - step})
    recorder.end("failed", error="It became NaN.")
    (row,) = Runs(tmp_path).answer()["runs"]
    steps, values = row["series"]["train/loss"]
    assert POINTS // 2 < len(steps) == len(values) <= POINTS and steps == sorted(steps) and steps[-1] == 2_999
    assert values[-1] is None and values[:-1] == sorted(values[:-1], reverse=True)
    assert row["last"]["train/loss"] is None and row["error"] == "It became NaN."
    json.dumps(row, allow_nan=False)


def test_a_growing_curve_is_the_one_that_is_read_at_once_but_only_what_is_new_is_read(tmp_path: Path) -> None:
    recorder = Recorder("growing", root=tmp_path / "runs")
    recorder.begin("background")
    growing, random, at = Runs(tmp_path), np.random.default_rng(0), 0
    for size in (1, 1, 30, 16, 1, 50, 3, 700, 5, 64, 1_000, 2, 9_000, 300, 300):
        for value in random.normal(size=size):
            at += 1
            recorder.record(at, {"train/loss": float(value)})
        recorder.flush()
        (row,) = growing.answer()["runs"]
        assert row["series"] == Runs(tmp_path).answer()["runs"][0]["series"], f"at {at} points"
        assert POINTS // 2 < len(row["series"]["train/loss"][0]) <= POINTS or at <= POINTS
        assert row["series"]["train/loss"][0][-1] == at
    asked: list[int] = []
    source = growing._sources[Path(row["id"])]
    read = source.read
    source.read = lambda name, start=0, stop=None: asked.append((stop or 0) - start) or read(name, start, stop)  # type: ignore[method-assign, func-returns-value]
    for _ in range(100):
        at += 1
        recorder.record(at, {"train/loss": 1.0})
    recorder.end("finished")
    growing.answer()
    assert sum(asked) <= 64, "a hundred new points of eleven thousand"
    asked.clear()
    growing.answer()
    assert asked == []


def test_an_ended_run_is_read_again_when_it_goes_on(tmp_path: Path) -> None:
    train(tmp_path / "runs", "net", 5)
    seen = Runs(tmp_path)
    (row,) = seen.answer()["runs"]
    assert row["state"] == "finished" and seen.answer()["runs"][0] is row
    status = Path(row["id"], "status.json")
    status.write_text(status.read_text().replace("finished", "failed"))
    assert seen.answer()["runs"][0]["state"] == "failed"


def test_a_command_reaches_the_mailbox_of_a_shown_run_only(tmp_path: Path) -> None:
    going = train(tmp_path / "runs", "going", end=None)
    try:
        seen = Runs(tmp_path)
        (row,) = seen.answer()["runs"]
        assert row["alive"] and row["reachable"]
        seen.send(row["id"], "pause")
        (letter,) = Path(row["id"], "mailbox").glob("*.json")
        assert json.loads(letter.read_text()) == {"command": "pause"}
        with pytest.raises(ValueError, match="does not know the command"):
            seen.send(row["id"], "explode")
        outside = train(tmp_path / "outside", "other", end=None)
        with pytest.raises(LookupError, match="none of the runs"):
            seen.send(str(next((tmp_path / "outside").iterdir())), "pause")
        outside.end("finished")
    finally:
        going.end("finished")
    with pytest.raises(RuntimeError, match="finished"):
        seen.send(row["id"], "pause")


def test_what_is_going_on_comes_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    first = train(tmp_path / "runs", "first", end=None)
    for i in range(4):
        train(tmp_path / "runs", f"later-{i}")
    found = Runs(tmp_path).answer()
    assert found["runs"][0]["name"] == "first" and found["total"] == 5
    first.end("finished")
    assert len(Runs(tmp_path).answer(most=2)["runs"]) == 2


def test_a_folder_that_mlkit_did_not_write_does_no_harm(tmp_path: Path) -> None:
    strange = tmp_path / "runs/strange"
    strange.mkdir(parents=True)
    (strange / "meta.json").write_text("[1, 2")
    (strange / "status.json").write_text('{"state": 7, "step": "many", "error": ["<b>"]}')
    train(tmp_path / "runs", "good")
    rows = {row["title"]: row for row in Runs(tmp_path).answer()["runs"]}
    assert len(rows) == 2 and rows["strange"]["step"] is None
    json.dumps(list(rows.values()), allow_nan=False)


def test_memory_of_a_process() -> None:
    import os

    assert memory_of(os.getpid()) > 1e6  # type: ignore[operator]
    assert memory_of(None) is None and memory_of(2**22 + 1) is None


def test_the_drivers_table_is_read_line_by_line() -> None:
    text = "0, NVIDIA H200, 1024, 143771\n1, Odd, [N/A], 5\n\nnonsense\n"
    assert read_table(text) == [{"device": "cuda:0", "name": "NVIDIA H200", "used": 1024 << 20, "total": 143771 << 20}]
