"""Steering: from this thread, another thread, another process; good letters and bad ones."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from mlkit import observe
from mlkit.observe.mailbox import Mailbox, Message, check_message


def test_letters_arrive_in_order_and_once(tmp_path):
    box = Mailbox(tmp_path / "mailbox")
    box.send("pause")
    box.send("set", "lr", 0.5)
    box.send("stop")
    assert box.collect() == ([Message("pause"), Message("set", "lr", 0.5), Message("stop")], [])
    assert box.collect() == ([], [])
    assert list(box.folder.iterdir()) == []


def test_letters_in_quick_succession_are_all_found(tmp_path):
    """The folder's time stamp is coarser than the time between two letters."""
    box, found = Mailbox(tmp_path), []
    for number in range(200):
        box.send("set", "lr", number)
        found += box.collect()[0]
    deadline = time.monotonic() + 10
    while len(found) < 200 and time.monotonic() < deadline:
        found += box.collect()[0]
    assert [message.value for message in found] == list(range(200))


@pytest.mark.parametrize(
    "letter",
    ["", "not json", "[1]", '{"command": "explode"}', '{"command": "set", "name": "lr"}',
     '{"command": "set", "value": 1}',
     '{"command": "set", "name": "lr", "value": "1"}', '{"command": "set", "name": "lr", "value": NaN}',
     '{"command": "set", "name": "lr", "value": true}', '{"command": ["pause"]}', " " * 70_000],
)  # fmt: skip
def test_bad_letters_are_put_aside_and_told(tmp_path, letter):
    (tmp_path / "1-a.json").write_text(letter)
    (tmp_path / "2-b.json").write_text('{"command": "pause"}')
    messages, rejected = Mailbox(tmp_path).collect()
    assert messages == [Message("pause")]
    assert len(rejected) == 1 and rejected[0].startswith("1-a.json: ")
    assert [path.name for path in (tmp_path / "rejected").iterdir()] == ["1-a.json"]


def test_a_letter_that_is_a_link_is_not_followed(tmp_path):
    secret = tmp_path / "elsewhere.json"
    secret.write_text('{"command": "stop"}')
    (tmp_path / "box").mkdir()
    os.symlink(secret, tmp_path / "box" / "1-a.json")
    messages, rejected = Mailbox(tmp_path / "box").collect()
    assert messages == [] and len(rejected) == 1
    assert secret.exists()


def test_letters_do_not_choose_where_a_checkpoint_goes():
    assert check_message("checkpoint", None, "/etc/passwd") == Message("checkpoint")


def test_the_sender_is_told_of_a_bad_wish(tmp_path):
    with pytest.raises(ValueError, match="does not know the command 'explode'"):
        Mailbox(tmp_path).send("explode")
    with pytest.raises(ValueError, match="finite number"):
        Mailbox(tmp_path).send("set", "lr", float("inf"))
    assert list(tmp_path.iterdir()) == []


def test_pause_step_resume_stop():
    states = []
    control = observe.Control(on_state=states.append)
    assert control.poll() == "go"
    control.send("pause")
    assert control.poll() == "wait"
    control.send("step")
    control.send("step")
    assert [control.poll(), control.poll(trained=True), control.poll(trained=True)] == ["go", "go", "wait"]
    control.send("resume")
    assert [control.poll(), control.poll(trained=True)] == ["go", "go"]
    control.send("step")  # pressed while running: one more step, then pause
    assert [control.poll(), control.poll(trained=True)] == ["go", "wait"]
    control.send("stop")
    control.send("resume")
    assert control.poll() == "stop"
    assert states == ["paused", "running", "paused", "running", "paused", "stopping"]


def test_validation_does_not_use_up_a_step():
    control = observe.Control()
    control.send("pause")
    control.send("step")
    assert [control.poll(), control.poll(), control.poll(trained=True)] == ["go", "go", "wait"]


def test_set_is_applied_between_steps_and_an_error_there_is_reported():
    applied, problems = [], []

    def on_set(name, value):
        if name == "nonsense":
            raise ValueError("there is no nonsense to set")
        applied.append((name, value))

    control = observe.Control(on_set=on_set, on_problem=problems.append)
    control.send("set", "lr", 0.5)
    control.send("set", "nonsense", 1.0)
    assert control.foreseen({"lr": 0.1, "eps": 0.0}) == {"lr": 0.5, "eps": 0.0} and applied == []
    assert control.poll() == "go"
    assert control.foreseen({"lr": 0.1}) == {"lr": 0.1} and applied == [("lr", 0.5)]
    assert problems == ["set: there is no nonsense to set"]


def test_a_loop_of_quick_steps_looks_into_its_mailbox_now_and_then(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("mlkit.observe.control.time.monotonic", lambda: now[0])
    control = observe.Control()
    control.mailbox = Mailbox(tmp_path / "mailbox")
    assert control.poll() == "go"
    control.mailbox.send("pause")
    looks = []
    for _ in range(100):  # steps of one millisecond
        now[0] += 0.001
        looks.append(control.poll())
    assert "wait" in looks[:25] and set(looks[25:]) == {"wait"}
    control.send("resume")  # from this process: at once
    assert control.poll() == "go"


def test_waiting_ends_at_once_when_a_command_comes():
    control = observe.Control()
    threading.Timer(0.05, control.send, ["resume"]).start()
    control.wait(timeout=30)
    assert control.poll() == "go"


def test_another_process_pauses_a_run_through_its_directory(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    recorder.begin()
    control = observe.Control(on_state=recorder.set_state)
    control.mailbox = recorder.directory.mailbox
    code = "import sys; from mlkit import observe; observe.open_source(sys.argv[1]).send('pause')"
    subprocess.run([sys.executable, "-c", code, str(recorder.path)], check=True, timeout=60)
    deadline = time.monotonic() + 10
    while control.poll() != "wait" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert json.loads((recorder.path / "status.json").read_text())["state"] == "paused"
    recorder.end("stopped")
    with pytest.raises(RuntimeError, match="was stopped"):
        observe.open_source(recorder.path).send("resume")


def test_reachable_says_why_not(tmp_path):
    recorder = observe.Recorder(root=tmp_path)
    source = observe.RecorderSource(recorder, send=lambda *message: None)
    assert source.reachable == (False, "The training has not started yet.")
    recorder.begin(mode="blocking")
    assert not source.reachable[0] and "trainer.start" in source.reachable[1]
    assert not observe.open_source(recorder.path).reachable[0]
    recorder.end("finished")
    recorder.begin(mode="background")
    assert source.reachable == observe.open_source(recorder.path).reachable == (True, "")
    recorder.end("finished")
    assert source.reachable == (False, "The training has finished.")
