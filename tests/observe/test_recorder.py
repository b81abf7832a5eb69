"""Recording, in memory and in a run directory, read back by other threads and processes."""

import json
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlkit import observe
from mlkit.observe import format as layout
from mlkit.observe.series import Series


@given(st.text(min_size=1, max_size=30))
def test_series_names_survive_being_file_names(name):
    file = layout.file_name(name)
    assert layout.series_name(file) == name
    assert "/" not in file and "\0" not in file and not file.startswith(".")


def test_the_documented_file_name():
    assert layout.file_name("train/loss") == "train__loss.bin"


@given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(allow_nan=False), st.floats(allow_nan=False)), max_size=700))
def test_series_returns_what_it_was_given(points):
    series = Series()
    for at in range(0, len(points), 90):
        some = points[at : at + 90]
        assert series.extend(*zip(*some, strict=True)) == len(some)
    assert list(zip(series.steps(), series.times(), series.values(), strict=True)) == points
    assert list(series.values(300)) == [value for _, _, value in points[300:]]


def test_what_threads_record_while_others_read_is_all_there(monkeypatch):
    monkeypatch.setattr("mlkit.observe.recorder.MOST_NOTES", 100)
    recorder = observe.Recorder(root=False)
    recorder.begin()
    done = threading.Event()
    seen = []

    def write(name):
        for step in range(3000):
            recorder.record(step, {name: step, "both": step}, examples=2 if name == "a" else None)

    def read():
        while not done.is_set():
            seen.append(recorder.count("both"))
            assert recorder.version >= seen[-1]

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert seen == sorted(seen)
    for name in "ab":
        _, steps, times, values = recorder.read(name)
        assert steps.tolist() == values.tolist() == list(range(3000))
        assert (np.diff(times) >= 0).all()
    assert recorder.count("both") == 6000 and recorder.step == 2999
    assert recorder.status()["examples_per_second"] > 0
    recorder.end("finished")


def test_a_name_or_value_that_cannot_be_kept_is_refused_where_it_is_given():
    recorder = observe.Recorder(root=False)
    with pytest.raises(ValueError):
        recorder.record(1, {"": 1.0})
    with pytest.raises((TypeError, ValueError)):
        recorder.record(1, {"loss": "high"})
    assert recorder.count("loss") == 0


def test_the_status_asks_for_its_details_until_the_end():
    recorder, lr = observe.Recorder(root=False), [0.5]
    recorder.details = lambda: {"lr": lr[0]}
    recorder.begin()
    assert recorder.status()["lr"] == 0.5
    lr[0] = 0.25
    assert recorder.status()["lr"] == 0.25
    recorder.end("finished")
    lr[0] = 9.0  # the optimizer goes on elsewhere
    assert recorder.status()["lr"] == 0.25


def test_json_has_no_nan():
    value = {"a": float("nan"), "b": [np.float32(1.5), np.int64(3), float("inf")], 1: {"x"}}
    assert json.loads(layout.to_json(value)) == {"a": None, "b": [1.5, 3, None], "1": ["x"]}


def test_memory_and_directory_tell_the_same(tmp_path):
    recorder = observe.Recorder("my net", root=tmp_path, meta={"epochs": 2})
    recorder.begin()
    for step in range(1, 1001):
        recorder.record(step, {"train/loss": 1 / step, "lr": 0.1})
        recorder.record(step, {}, examples=32)
    recorder.event("epoch", epoch=1)
    recorder.end("finished")

    memory, disk = observe.open_source(recorder), observe.open_source(recorder.path)
    assert memory.names() == disk.names() == ["lr", "train/loss"]
    for name in memory.names():
        assert memory.count(name) == disk.count(name) == 1000
        for ours, theirs in zip(memory.read(name, 990), disk.read(name, 990), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert memory.events() == disk.events()
    assert disk.events(1) == disk.events()[1:]
    assert memory.title == disk.title and memory.title.startswith("my-net-")
    ours, theirs = memory.status(), disk.status()
    for key in ("state", "step", "epoch", "elapsed", "pid", "lr"):
        assert ours[key] == theirs[key], key
    assert theirs["state"] == "finished" and theirs["step"] == 1000 and theirs["examples_per_second"] > 0
    meta = json.loads((recorder.path / "meta.json").read_text())
    assert meta["format"] == 1 and meta["name"] == "my net" and meta["epochs"] == 2 and meta["pid"] == os.getpid()
    assert not (recorder.path / "lock").exists()
    assert sorted(path.name for path in recorder.path.iterdir()) == [
        "checkpoints", "events.jsonl", "mailbox", "meta.json", "scalars", "status.json",
    ]  # fmt: skip


def test_points_on_disk_are_the_documented_records(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    recorder.begin()
    recorder.record(7, {"train/loss": 0.25})
    recorder.end("finished")
    data = (recorder.path / "scalars" / "train__loss.bin").read_bytes()
    assert len(data) == 24
    assert int.from_bytes(data[:8], "little") == 7
    assert np.frombuffer(data[16:], "<f8")[0] == 0.25


def test_a_live_reader_in_another_thread_misses_nothing(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    recorder.begin()
    disk, seen, done = observe.open_source(recorder.path), [], threading.Event()

    def follow():
        last = False
        while True:
            _, _, _, values = disk.read("x", len(seen))
            seen.extend(values)
            if last:
                return
            last = done.is_set()
            time.sleep(0.01)

    thread = threading.Thread(target=follow)
    thread.start()
    for step in range(3000):
        recorder.record(step, {"x": step})
        if step % 100 == 0:
            time.sleep(0.01)
    recorder.set_state("paused")  # writes at once
    done.set()
    thread.join(30)
    assert seen == list(range(3000))
    assert disk.status()["state"] == "paused"
    recorder.end("stopped")


def test_version_changes_with_every_change_and_only_then(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    recorder.begin()
    memory, disk = observe.open_source(recorder), observe.open_source(recorder.path)
    versions = [(memory.version, disk.version)]
    recorder.record(1, {"a": 1.0})
    recorder.flush()
    versions.append((memory.version, disk.version))
    recorder.event("message", text="hello")
    recorder.flush()
    versions.append((memory.version, disk.version))
    recorder.end("finished")
    versions.append((memory.version, disk.version))
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in zip(versions, versions[1:], strict=False))
    assert (memory.version, disk.version) == versions[-1]


def test_a_torn_last_record_is_ignored(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    recorder.begin()
    recorder.record(1, {"a": 1.0})
    recorder.end("finished")
    with open(recorder.path / "scalars" / "a.bin", "ab") as file:
        file.write(b"\1" * 11)
    with open(recorder.path / "events.jsonl", "ab") as file:
        file.write(b'{"kind": "mess')
    disk = observe.open_source(recorder.path)
    assert disk.count("a") == 1 and list(disk.read("a")[3]) == [1.0]
    assert [event["kind"] for event in disk.events()] == ["state", "state"]


def test_a_full_series_says_so_once(monkeypatch):
    monkeypatch.setattr("mlkit.observe.recorder.Series", lambda: Series(10))
    recorder = observe.Recorder(root=False)
    recorder.begin()
    for step in range(50):
        recorder.record(step, {"a": step})
    recorder.end("finished")
    assert recorder.count("a") == 10
    messages = [event["text"] for event in recorder.events() if event["kind"] == "message"]
    assert len(messages) == 1 and "full at 10 points" in messages[0]


def test_no_place_for_the_directory_gives_one_warning_and_memory_works(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    recorder = observe.Recorder(root=tmp_path / "runs")
    with pytest.warns(UserWarning, match="MLKIT_RUNS") as caught:
        recorder.begin()
        recorder.record(1, {"a": 1.0})
        recorder.end("finished")
        recorder.begin()
        recorder.end("finished")
    assert len(caught) == 1
    assert recorder.path is None and recorder.count("a") == 1
    assert any(event["kind"] == "message" and "recorded in memory" in event["text"] for event in recorder.events())


def test_a_full_disk_is_told_once_and_nothing_is_misread_later(tmp_path):
    code = """
        import resource, sys, warnings
        from mlkit import observe
        recorder = observe.Recorder(root=sys.argv[1])
        recorder.begin()
        resource.setrlimit(resource.RLIMIT_FSIZE, (4001, resource.RLIM_INFINITY))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for step in range(1000):
                recorder.record(step, {"a": step})
                if step % 50 == 0: recorder.flush()
        print(len(caught), caught[0].message)
        torn = observe.open_source(recorder.path).count("a")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        recorder.end("finished")
        print(torn, list(observe.open_source(recorder.path).read("a")[3]) == list(range(1000)))
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    first, second = result.stdout.splitlines()
    assert first.startswith("1 ") and "The run goes on" in first
    assert second == "166 True"


def test_a_killed_run_is_lost(tmp_path, monkeypatch):
    code = """
        import os, signal, sys
        from mlkit import observe
        recorder = observe.Recorder("dying", root=sys.argv[1])
        recorder.begin(); recorder.record(1, {"a": 1.0}); recorder.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], timeout=60, check=False)
    (summary,) = observe.list_runs(tmp_path)
    source = summary.open()
    assert source.status()["state"] == "running"  # its last word is fresh
    later = time.time() + 11
    monkeypatch.setattr("mlkit.observe.source.time.time", lambda: later)
    assert source.status()["state"] == "lost"
    assert source.reachable == (False, "The training's process has ended without saying so.")
    assert list(source.read("a")[3]) == [1.0]


def test_a_living_process_is_never_lost(tmp_path, monkeypatch):
    recorder = observe.Recorder(root=tmp_path)
    recorder.begin()
    source = observe.open_source(recorder.path)
    later = time.time() + 1000
    monkeypatch.setattr("mlkit.observe.source.time.time", lambda: later)
    assert source.status()["state"] == "running"
    recorder.end("finished")


def test_heartbeat_goes_on_while_a_step_takes_long(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    recorder.begin()
    first = observe.open_source(recorder.path).status()["updated"]
    deadline = time.monotonic() + 20
    while observe.open_source(recorder.path).status()["updated"] == first and time.monotonic() < deadline:
        time.sleep(0.05)
    assert observe.open_source(recorder.path).status()["updated"] > first
    recorder.end("finished")
    assert "mlkit-recorder" not in [thread.name for thread in threading.enumerate()]


def test_list_runs_newest_first_and_what_is_no_run(tmp_path):
    for name in ("one", "two"):
        recorder = observe.Recorder(name, root=tmp_path)
        recorder.begin()
        recorder.record(3, {"valid/accuracy": 0.5})
        recorder.end("finished")
    (tmp_path / "notes").mkdir()
    runs = observe.list_runs(tmp_path)
    assert {run.name for run in runs} == {"one", "two"}
    assert runs[0].created >= runs[1].created and runs[0].last == {"valid/accuracy": 0.5}
    with pytest.raises(FileNotFoundError, match="It holds 2 runs"):
        observe.open_source(tmp_path)
    with pytest.raises(FileNotFoundError, match="list_runs"):
        observe.open_source(tmp_path / "nothing")
    with pytest.raises(TypeError, match="Trainer, a Run"):
        observe.open_source(3)


def test_continuing_a_run_goes_on_counting(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    for part in range(2):
        recorder.begin()
        recorder.record(part, {"a": part})
        recorder.end("finished")
    assert len(list(tmp_path.iterdir())) == 1
    disk = observe.open_source(recorder.path)
    assert list(disk.read("a")[3]) == [0.0, 1.0]
    times = disk.read("a")[2]
    assert times[1] >= times[0]
