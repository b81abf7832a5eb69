"""Pausing, stepping, stopping, changing: from this thread, from another process, by the keyboard, at the end."""

import asyncio
import json
import os
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import mlkit
from mlkit import nn, observe
from mlkit.train import Callback

from .helpers import equal, loader, network, trainer, until, weights

ENDLESS = 10**6


@pytest.fixture
def started():
    """Start trainings that are ended after the test."""
    runs = []

    def start(*arguments, **options):
        t = trainer(**options)
        runs.append(t.start(*(arguments or (loader(),)), epochs=ENDLESS))
        return t, runs[-1]

    yield start
    for run in runs:
        run.stop()
        assert run.done
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("mlkit")]


def step_of(t):
    return t.recorder.status()["step"]


def test_start_returns_at_once_and_wait_gives_the_history():
    t = trainer()
    run = t.start(loader(), loader(64), epochs=2)
    history = run.wait(timeout=60)
    assert run.done and run.status == "finished" and history.epochs == 2 and run.error is None
    assert repr(run) == "<Run Sequential: finished, step 16 of 16>"


def test_pause_stands_still_resume_goes_on(started):
    t, run = started()
    until(lambda: step_of(t) > 3)
    run.pause()
    until(lambda: run.status == "paused")
    stood = step_of(t)
    time.sleep(0.2)
    assert step_of(t) == stood == t.recorder.count("train/loss")
    t.resume()
    until(lambda: step_of(t) > stood + 3)
    assert run.status == "running"


def test_step_does_exactly_one(started):
    t, run = started()
    run.pause()
    until(lambda: run.status == "paused")
    for _ in range(3):
        before = step_of(t)
        run.step()
        until(lambda before=before: run.status == "paused" and step_of(t) > before)
        time.sleep(0.05)
        assert step_of(t) == before + 1


def test_a_run_can_begin_paused():
    t = trainer()
    before = weights(t.model)
    run = t.start(loader(), epochs=1, paused=True)
    until(lambda: run.status == "paused")
    time.sleep(0.05)
    assert step_of(t) == 0 and equal(weights(t.model), before)
    run.step()
    until(lambda: run.status == "paused" and step_of(t) == 1)
    run.resume()
    assert len(run.wait(60)["train/loss"]) == 8


def test_stop_keeps_the_model_and_gives_the_history(started):
    t, run = started()
    until(lambda: step_of(t) > 3)
    history = run.stop()
    assert run.status == "stopped" and run.done and not t.training
    assert len(history["train/loss"]) == step_of(t)
    kept = weights(t.model)
    time.sleep(0.05)
    assert equal(weights(t.model), kept)
    assert run.stop().keys() == history.keys()  # again: nothing happens
    with pytest.raises(RuntimeError, match=r"Cannot pause: the training has ended \(stopped\)"):
        run.pause()
    with pytest.raises(RuntimeError, match="no training is running"):
        t.resume()
    assert t.fit(loader(), epochs=1).epochs >= 1


def test_the_learning_rate_changes_at_a_step(started):
    t, run = started()
    until(lambda: step_of(t) > 2)
    run.lr = 0.5
    assert run.lr == 0.5
    until(lambda: t.recorder.read("lr")[3][-1] == 0.5)
    rates = t.recorder.read("lr")[3].tolist()
    assert set(rates) == {0.01, 0.5} and rates == sorted(rates)
    assert {"kind": "hyper", "name": "lr", "value": 0.5, "old": 0.01}.items() <= [
        event for event in run.trainer.recorder.events() if event["kind"] == "hyper"
    ][-1].items()
    for bad in (float("nan"), -1.0, float("inf")):
        with pytest.raises(ValueError, match="lr must be a finite number"):
            run.lr = bad
    assert run.lr == 0.5
    run.set("weight_decay", 0.125)
    assert run.hyperparameters["weight_decay"] == 0.125  # from the next step on, and said at once
    until(lambda: t.optimizer.param_groups[0]["weight_decay"] == 0.125)


def test_setting_keeps_group_ratios_and_schedules():
    model = network()
    optimizer = mlkit.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.1}, {"params": model[3].parameters(), "lr": 0.01}], lr=0.1
    )
    scheduler = mlkit.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
    t = trainer(model, optimizer=optimizer, scheduler=scheduler)
    t.lr = 1.0
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1.0, 0.1])
    assert t.fit(loader(32, 32), epochs=3)["lr"] == pytest.approx([1.0, 0.5, 0.25])
    with pytest.raises(ValueError, match="There is no 'momentu' to set. There are: lr"):
        t.set("momentu", 0.5)


def test_await_gives_the_history_and_others_run_meanwhile():
    async def main():
        run = trainer().start(loader(), epochs=30)
        turns = 0

        async def other():
            nonlocal turns
            while not run.done:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        history = await run
        await task
        again = await run
        return history, again, turns

    history, again, turns = asyncio.run(main())
    assert history.epochs == again.epochs == 30 and turns > 1


def test_wait_with_a_timeout_leaves_it_running(started):
    t, run = started()
    with pytest.raises(TimeoutError, match=r"still running after 0\.05 s"):
        run.wait(0.05)
    assert t.training


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 4)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 3:
            raise ArithmeticError("the fourth call fails")
        return self.layer(x)


def test_an_error_ends_the_run_and_is_kept(tmp_path):
    t = trainer(Broken(), run_dir=tmp_path)
    run = t.start(loader(), epochs=2)
    with pytest.raises(ArithmeticError, match="fourth call"):
        run.wait(60)
    assert run.status == "failed" and isinstance(run.error, ArithmeticError)
    status = json.loads((run.directory / "status.json").read_text())
    assert status["state"] == "failed" and status["error"] == "ArithmeticError: the fourth call fails"
    assert "the fourth call fails" in repr(run)
    assert observe.open_source(run.directory).count("train/loss") == 3

    async def main():
        await run

    with pytest.raises(ArithmeticError):
        asyncio.run(main())


def test_a_failing_callback_fails_the_run():
    class Bad(Callback):
        def on_step_end(self, trainer, step, values):
            raise KeyError("in the callback")

    run = trainer(callbacks=[Bad()]).start(loader())
    with pytest.raises(KeyError, match="in the callback"):
        run.wait(60)


def test_two_trainings_at_once(started):
    t, run = started()
    with pytest.raises(RuntimeError, match="training already"):
        t.fit(loader())
    with pytest.raises(RuntimeError, match="Another trainer .* is training this very model"):
        trainer(t.model).fit(loader())
    with pytest.raises(RuntimeError, match="training already"):
        t.load_checkpoint("any")
    assert trainer().fit(loader(), epochs=1).epochs == 1  # another model: nothing in the way
    assert not run.done


def test_evaluate_and_checkpoint_take_their_turn(started, tmp_path):
    t, run = started()
    until(lambda: step_of(t) > 3)
    for _ in range(5):
        assert 0 <= t.evaluate(loader(64))["accuracy"] <= 1
        path = run.save_checkpoint(tmp_path / "now.safetensors")
        with t.between_steps():
            stood, first = step_of(t), weights(t.model)
            time.sleep(0.02)
            assert step_of(t) == stood and equal(weights(t.model), first)
    assert path.exists() and t.model.training


def test_the_source_steers_and_shows(started):
    t, run = started()
    for source in (observe.open_source(run), observe.open_source(t)):
        until(lambda: step_of(t) > 3)
        assert source.reachable == (True, "")
        source.send("pause")
        until(lambda source=source: source.status()["state"] == "paused")
        source.send("set", "lr", 0.2)
        until(lambda source=source: source.status()["lr"] == 0.2)
        with pytest.raises(ValueError, match="There is no 'height' to set"):
            source.send("set", "height", 3)
        start, steps, times, values = source.read("train/loss", 2)
        assert start == 2 and steps[0] == 3 and len(steps) == len(values) == source.count("train/loss") - 2
        source.send("resume")
        until(lambda source=source: source.status()["state"] == "running")
    run.stop()
    assert source.reachable == (False, "The training was stopped.")
    with pytest.raises(RuntimeError, match="was stopped"):
        source.send("pause")


def test_a_trainer_can_be_watched_before_it_trains():
    t = trainer()
    source = observe.open_source(t)
    identity = source.identity
    assert source.status()["state"] == "ready" and source.names() == []
    assert source.reachable == (False, "The training has not started yet.")
    t.fit(loader(), epochs=1)
    assert source.status()["state"] == "finished" and source.count("train/loss") == 8
    assert source.identity == identity


# -- from outside ------------------------------------------------------------------------------------------------------


def script(tmp_path, body):
    """A training in a process of its own."""
    path = tmp_path / "train.py"
    path.write_text(
        "import sys\n" + f"sys.path.insert(0, {os.path.dirname(__file__)!r})\n"
        "import importlib.util\n"
        + textwrap.dedent(
            """
            spec = importlib.util.spec_from_file_location("helpers", sys.path[0] + "/helpers.py")
            helpers = importlib.util.module_from_spec(spec); spec.loader.exec_module(helpers)
            loader, trainer = helpers.loader, helpers.trainer
            from mlkit.train import Callback
            class Say(Callback):
                def on_step_end(self, trainer, step, values):
                    if step == 5: print("started", flush=True)
            """
        )
        + textwrap.dedent(body)
    )
    return subprocess.Popen(
        [sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "MLKIT_RUNS": str(tmp_path / "runs")},
    )  # fmt: skip


def test_another_process_steers_a_blocking_fit(tmp_path):
    process = script(tmp_path, """
        history = trainer(run_dir=None, callbacks=[Say()]).fit(loader(), epochs=10**6)
        print("lr", history["lr"][-1], "then the next line runs")
        """)  # fmt: skip
    try:
        assert process.stdout.readline() == "started\n"
        (summary,) = observe.list_runs(tmp_path / "runs")
        source = summary.open()
        until(lambda: source.count("train/loss") > 5)
        assert source.reachable == (True, "")
        source.send("pause")
        until(lambda: source.status()["state"] == "paused")
        stood = source.count("train/loss")
        time.sleep(0.3)
        assert source.count("train/loss") == stood == source.status()["step"]
        source.send("step")
        until(lambda: source.count("train/loss") == stood + 1)
        source.send("checkpoint")
        until(lambda: list((summary.path / "checkpoints").iterdir()))
        (summary.path / "mailbox" / "0-x.json").write_text('{"command": "explode"}')
        until(lambda: any("not understood" in event.get("text", "") for event in source.events()))
        source.send("set", "lr", 0.125)
        source.send("resume")
        until(lambda: source.count("train/loss") > stood + 5)
        source.send("stop")
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "lr 0.125 then the next line runs\n" and err == "", err
    assert source.status()["state"] == "stopped"
    assert [event["kind"] for event in source.events()].count("checkpoint") == 1


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_ends_fit_cleanly_and_the_next_line_runs(tmp_path, presses):
    process = script(tmp_path, """
        import time
        class Slow(Callback):
            def on_step_end(self, trainer, step, values):
                if step >= 5: time.sleep(0.5)
        t = trainer(run_dir=None, callbacks=[Say(), Slow()])
        history = t.fit(loader(), epochs=10**6)
        try:
            print(t.recorder.state, len(history["train/loss"]) == t.place["step"], flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("an interrupt is an interrupt again", flush=True)
        """)  # fmt: skip
    try:
        assert process.stdout.readline() == "started\n"
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert process.stdout.readline() == "stopped True\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "an interrupt is an interrupt again\n" and "Traceback" not in err, err
    (summary,) = observe.list_runs(tmp_path / "runs")
    assert summary.state == "stopped"


def test_the_end_of_the_interpreter_ends_a_background_run(tmp_path):
    process = script(tmp_path, """
        import time
        run = trainer(run_dir=None).start(loader(), epochs=10**6)
        while run._recorder.status()["step"] < 5: time.sleep(0.01)
        """)  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err == "", err
    (summary,) = observe.list_runs(tmp_path / "runs")
    assert summary.state == "stopped" and summary.step >= 5
    assert summary.open().count("train/loss") == summary.step
    assert not (summary.path / "lock").exists()


def test_the_progress_of_a_log_is_one_line_per_epoch(tmp_path):
    process = script(tmp_path, "trainer(progress=True).fit(loader(), epochs=3)")
    out, err = process.communicate(timeout=60)
    lines = err.splitlines()
    assert len(lines) == 3 and lines[0].startswith("epoch 1/3: train/loss ") and out == ""


def test_the_progress_in_a_terminal_is_one_line(tmp_path):
    pty, fcntl, termios = (pytest.importorskip(name) for name in ("pty", "fcntl", "termios"))
    path = tmp_path / "train.py"
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = script(tmp_path, "")
    process.wait(60)
    path.write_text(path.read_text() + "trainer(progress=True).fit(loader(), epochs=3)\n")
    process = subprocess.Popen([sys.executable, path], stderr=side, stdout=side, cwd=tmp_path)
    os.close(side)
    shown = b""
    while True:
        try:
            part = os.read(main, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    process.wait(60)
    os.close(main)
    assert shown.count(b"\n") == 1 and b"epoch 3/3" in shown and b"24/24" in shown and b"loss=" in shown
