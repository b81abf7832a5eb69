"""Folders full of runs: compared, renamed, deleted, kept within a quota; and the `mlkit runs` command."""

import json
import os
import re

import pytest

from mlkit import observe
from mlkit.cli import main
from mlkit.core.errors import DataError
from mlkit.observe import Recorder
from mlkit.observe.runs import bytes_of


def run(root, name, accuracy=0.5, lr=0.1, state="finished", created=None, size=0, error=None):
    """One run that has ended, or (state None) goes on."""
    recorder = Recorder(name, root=root, meta={"model": "Net", "hyperparameters": {"lr": lr}})
    if created is not None:
        recorder.created = recorder.created.replace(year=created)
    recorder.begin()
    for step in (1, 2, 3):
        recorder.update(step=step)
        recorder.record(step, {"train/loss": 1 / step, "valid/accuracy": accuracy * (1 if step == 2 else 0.5)})
    if size:
        (recorder.path / "checkpoints" / "big.safetensors").write_bytes(b"x" * size)
    if state is not None:
        recorder.end(state, error)
    return recorder


def names(root):
    return [re.sub(r"-\d{8}-.*", "", one.path.name) for one in observe.list_runs(root)]


def test_compare(tmp_path):
    run(tmp_path, "a", 0.5, 0.1, created=2001)
    run(tmp_path, "b", 0.9, 0.2, created=2002)
    run(tmp_path, "c", 0.7, 0.2, created=2003)
    table = observe.compare_runs(tmp_path)
    assert table.columns == ["run", "state", "lr", "step", "valid/accuracy", "time"] and len(table) == 3
    assert [row["run"][0] for row in table.rows] == ["c", "b", "a"] and table.same == {"model": "Net"}
    assert [row["valid/accuracy"] for row in table.rows] == [0.7, 0.9, 0.5]
    by = observe.compare_runs(tmp_path, sort="valid/accuracy")
    assert [row["run"][0] for row in by.rows] == ["b", "c", "a"]
    by = observe.compare_runs(tmp_path, metrics=["train/loss"], sort="lr")
    assert by.rows[0]["run"][0] == "a" and by.rows[0]["train/loss"] == pytest.approx(1 / 3)
    text = repr(table)
    assert "same in all: model Net" in text and len({len(line) > 20 for line in text.splitlines()}) == 1
    html = table._repr_html_()
    assert "valid/accuracy" in html and "same in all" in html
    with pytest.raises(DataError, match="no column 'x'"):
        observe.compare_runs(tmp_path, sort="x")
    with pytest.raises(DataError, match="curve 'valid/f1'"):
        observe.compare_runs(tmp_path, metrics="valid/f1")
    with pytest.raises(FileNotFoundError, match="not a run directory"):
        observe.compare_runs([tmp_path / "nothing"])
    assert len(observe.compare_runs(tmp_path / "nothing")) == 0


def test_rename_and_delete(tmp_path):
    recorder = run(tmp_path, "a")
    new = observe.rename_run(recorder.path, "the <best> one")
    assert new.name.startswith("the-best-one-") and new.name[-20:] == recorder.path.name[-20:]
    (summary,) = observe.list_runs(tmp_path)
    assert summary.name == "the <best> one" and summary.best["valid/accuracy"] == 0.5
    with pytest.raises(DataError, match="cannot be the name"):
        observe.rename_run(new, "///")
    observe.delete_run(new)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError):
        observe.delete_run(new)


def test_a_live_run_is_never_touched(tmp_path):
    living = run(tmp_path, "living", created=2001, size=5000, state=None)
    run(tmp_path, "ended", created=2002)
    try:
        for action in (observe.delete_run, lambda path: observe.rename_run(path, "x")):
            with pytest.raises(RuntimeError, match="is being written"):
                action(living.path)
        report = observe.tidy_runs(tmp_path, quota=0, keep=0, older_than=0)
        assert names(tmp_path) == ["living"] and [one.name for one in report.alive] == ["living"]
        living.record(4, {"train/loss": 0.1})
    finally:
        living.end("finished")
    assert observe.open_source(living.path).count("train/loss") == 4
    observe.tidy_runs(tmp_path, keep=0)
    assert not names(tmp_path)


def test_a_run_that_is_just_beginning_is_not_touched(tmp_path):
    folder = tmp_path / "new-20260101-000000-abcd"
    folder.mkdir()
    (folder / "meta.json").write_text("{}")
    observe.tidy_runs(tmp_path, keep=0)
    assert folder.exists()
    os.utime(folder, (0, 0))
    observe.tidy_runs(tmp_path, keep=0)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"keep": 2}, ["d", "c"]),
        ({"quota": "25 kB"}, ["d", "c"]),
        ({"quota": 10**9}, ["d", "c", "b", "a"]),
        ({"states": ["failed"]}, ["d", "b", "a"]),
        ({"states": ["finished"], "keep": 1}, ["d", "c"]),
        ({"older_than": 1}, ["d", "c", "b", "a"]),
        ({"older_than": 0}, []),
    ],
)
def test_tidy(tmp_path, options, left):
    for year, name in enumerate("abcd", start=2001):
        run(tmp_path, name, created=year, size=10_000, state="failed" if name == "c" else "finished")
    would = observe.tidy_runs(tmp_path, dry_run=True, **options)
    assert len(names(tmp_path)) == 4
    report = observe.tidy_runs(tmp_path, **options)
    assert names(tmp_path) == left and [one.name for one in report.removed] == [one.name for one in would.removed]
    assert report.freed >= 10_000 * (4 - len(left)) and f" {4 - len(left)} run" in repr(report)


def test_an_interrupted_tidying_is_finished_by_the_next(tmp_path):
    recorder = run(tmp_path, "a")
    recorder.path.rename(tmp_path / f".deleted-{recorder.path.name}")
    assert observe.list_runs(tmp_path) == []
    observe.tidy_runs(tmp_path, keep=5)
    assert not list(tmp_path.iterdir())


def test_a_deleted_run_that_goes_on_gets_a_new_folder(tmp_path):
    recorder = run(tmp_path, "a")
    observe.delete_run(recorder.path)
    recorder.begin()
    recorder.record(4, {"train/loss": 0.1})
    recorder.end("finished")
    assert observe.open_source(recorder.path).count("train/loss") == 4


def test_sizes_and_bad_limits(tmp_path):
    assert [bytes_of(text) for text in ("1kb", "2 MiB", "3", "0.5G")] == [1000, 2 * 1024**2, 3, 5 * 10**8]
    for bad in ("much", "-1", "1 XB"):
        with pytest.raises(DataError, match="is no size"):
            observe.tidy_runs(tmp_path, quota=bad)
    with pytest.raises(DataError, match="say what is too much"):
        observe.tidy_runs(tmp_path)
    with pytest.raises(DataError, match="must not be negative"):
        observe.tidy_runs(tmp_path, keep=-1)


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLKIT_RUNS", str(tmp_path))
    for words in (
        ["runs"],
        ["runs", "list"],
        ["runs", "list", str(tmp_path)],
        ["runs", "list", "--root", str(tmp_path)],
    ):
        assert main(words) == 0 and f"no runs in {tmp_path}" in capsys.readouterr().out, words
    a = run(tmp_path, "a", 0.5, 0.1, created=2001)
    b = run(tmp_path, "b", 0.9, 0.2, created=2002, state="failed", error="ValueError: bad")

    def said(*words, status=0):
        assert main(["runs", *words]) == status
        captured = capsys.readouterr()
        return captured.out if status == 0 else captured.err

    lines = said("list").splitlines()
    assert len(lines) == 4 and lines[1].startswith(b.path.name) and "valid/accuracy 0.9" in lines[1]
    assert [one["name"] for one in json.loads(said("list", "--json"))] == ["b", "a"]
    assert said("compare", "--sort", "valid/accuracy").splitlines()[1].startswith(b.path.name)
    rows = json.loads(said("compare", "a-", "last", "--metric", "train/loss", "--json"))["rows"]
    assert [row["run"] for row in rows] == [a.path.name, b.path.name]
    text = said("show")
    assert "ValueError: bad" in text and "valid/accuracy" in text and re.search(r"lr +0\.2", text)
    assert json.loads(said("show", "a", "--json"))["best"]["valid/accuracy"] == 0.5
    assert said("rename", "a-", "first").strip().startswith("first-")
    assert "would remove" in said("tidy", "--keep", "1", "--dry-run") and len(observe.list_runs()) == 2
    assert "removed first-" in said("tidy", "--keep", "1") and len(observe.list_runs()) == 1
    assert "There is no run 'zzz'" in said("show", "zzz", status=1)
    assert "say what is too much" in said("tidy", status=1)
    living = run(tmp_path, "c", state=None)
    try:
        assert "is being written" in said("delete", "c", status=2)
    finally:
        living.end("finished")
    assert said("delete", "b", "c").count("deleted") == 2 and not observe.list_runs()
