"""A loop of one's own around `mlkit.live`: what is recorded, how it is steered, how it ends."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import mlkit
from mlkit import nn, observe
from mlkit.core import events
from mlkit.core.errors import DataError
from mlkit.train import between_steps
from mlkit.train import live as room

from .helpers import equal, loader, network, until, weights


def parts(lr=0.1):
    model = network()
    return model, mlkit.optim.SGD(model.parameters(), lr=lr), nn.CrossEntropyLoss()


def train(batches, model, optimizer, loss):
    """The loop as a user writes it; gives the losses."""
    losses = []
    for x, y in batches:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def quiet(batches, *arguments, **options):
    options.setdefault("run_dir", False)
    return mlkit.live(batches, *arguments, progress=False, **options)


def test_it_changes_nothing_and_records_everything(tmp_path):
    plain, watched = parts(), parts()
    mlkit.manual_seed(5)
    for _ in range(2):
        expected = train(loader(), *plain)
    mlkit.manual_seed(5)
    live = quiet(loader(), run_dir=tmp_path)
    train(live, *watched)
    losses = train(live, *watched)
    assert losses == expected and equal(weights(plain[0]), weights(watched[0]))
    assert live.history["train/loss"][8:] == expected and live.history["lr"] == [0.1] * 16
    assert live.history.epochs == 2 and live.status == "finished"
    (run,) = observe.list_runs(tmp_path)
    assert run.state == "finished" and run.step == 16 and run.epoch == 2
    assert run.open().meta["optimizer"] == "SGD" and run.open().meta["hyperparameters"]["lr"] == 0.1
    assert not events.listeners.get("backward_start") and not room._here.stack


def test_epochs_around_it_are_one_run(tmp_path):
    model, optimizer, loss = parts()
    for epoch in range(3):
        train(quiet(loader(), run_dir=tmp_path), model, optimizer, loss)
        with mlkit.no_grad():
            for x, _ in quiet(loader(64), run_dir=tmp_path):
                model(x)
        mlkit.live.log({"valid/loss": 1.0 / (epoch + 1)})
    (run,) = observe.list_runs(tmp_path)  # and none of the validation
    assert run.state == "finished" and run.step == 24 and run.epoch == 3
    source = run.open()
    assert source.read("valid/loss")[1].tolist() == [8, 16, 24]
    assert [event["epoch"] for event in source.events() if event["kind"] == "epoch"] == [1, 2, 3]


def test_epochs_may_be_live_too(tmp_path):
    model, optimizer, loss = parts()
    states = []
    for epoch in (outer := quiet(range(3), run_dir=tmp_path)):
        train(quiet(loader()), model, optimizer, loss)
        states.append((epoch, outer.status, outer._run.recorder.status()["steps"]))
    assert states == [(0, "running", 24), (1, "running", 24), (2, "running", 24)]
    (run,) = observe.list_runs(tmp_path)
    assert run.state == "finished" and run.step == 24 and run.epoch == 3 and run.open().meta["epochs"] == 3


def test_known_epochs_keep_it_running_between_passes(tmp_path):
    model, optimizer, loss = parts()
    seen = []
    for _ in range(2):
        live = quiet(loader(), run_dir=tmp_path, epochs=2)
        train(live, model, optimizer, loss)
        seen.append((live.status, live._run.recorder.status()["steps"]))
    assert seen == [("running", 16), ("finished", 16)]


def test_another_optimizer_is_another_run(tmp_path):
    for lr in (0.1, 0.2):
        model, optimizer, loss = parts(lr)
        for _ in range(2):
            train(quiet(loader(), run_dir=tmp_path), model, optimizer, loss)
    runs = sorted(observe.list_runs(tmp_path), key=lambda run: run.last["lr"])
    assert [(run.step, run.last["lr"], run.state) for run in runs] == [(16, 0.1, "finished"), (16, 0.2, "finished")]


def test_what_is_logged_takes_precedence():
    model, optimizer, loss = parts()
    live = quiet(loader(64))
    for x, y in live:
        optimizer.zero_grad()
        output = model(x)
        (1000 * loss(output, y)).backward()
        optimizer.step()
        live.log(loss=0.5, accuracy=(output.argmax(1) == y).float().mean())
        mlkit.live.log({"aux/norm": np.float32(2)})
    assert live.history["train/loss"] == [0.5, 0.5] and live.history["aux/norm"] == [2, 2]
    assert all(0 <= value <= 1 for value in live.history["train/accuracy"])
    with pytest.raises(DataError, match="must be a number"):
        live.log(loss=mlkit.zeros(3))


def test_several_losses_and_optimizers():
    first, second = parts(0.1), parts(0.01)
    live = quiet(loader(64))
    for x, y in live:
        for model, optimizer, loss in (first, second):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    assert list(live.history) == ["lr", "train/loss", "train/loss_2"]
    assert live.history["lr"] == [0.1, 0.1] and live._run.step == 2


@pytest.mark.parametrize("way", ["break", "return", "error", "with", "with error"])
def test_leaving_early_leaves_things_right(tmp_path, way):
    model, optimizer, loss = parts()
    live = quiet(loader(), run_dir=tmp_path)

    def loop():
        for number, (x, y) in enumerate(live):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
            if number == 2:
                if way == "return":
                    return
                if "error" in way:
                    raise KeyError("gone")
                break

    if "error" in way:
        with pytest.raises(KeyError):
            if "with" in way:
                with live:
                    loop()
            else:
                loop()
    elif "with" in way:
        with live:
            loop()
    else:
        loop()
    (run,) = observe.list_runs(tmp_path)
    assert run.step == 3 and run.open().count("train/loss") == 3
    assert run.state == ("failed" if way == "with error" else "stopped")
    if way == "with error":
        assert "KeyError" in run.open().status()["error"]
    assert not room._here.stack and not events.listeners.get("backward_start")
    with between_steps(model):
        pass
    train(live, model, optimizer, loss)  # and on it goes
    assert live._run.step == 11 and live.status == "finished"


def test_stop_between_two_passes_stops_the_run(tmp_path):
    model, optimizer, loss = parts()
    live = quiet(loader(), model, optimizer, run_dir=tmp_path)
    train(live, model, optimizer, loss)
    assert live.status == "finished"
    live.stop()
    with pytest.warns(UserWarning, match="told to stop"):
        train(live, model, optimizer, loss)
    assert live.status == "stopped"


def test_it_is_steered_from_another_thread(tmp_path):
    model, optimizer, loss = parts()
    live = quiet(loader(), model, optimizer, run_dir=tmp_path)
    told = []

    def work():
        while not told:  # live.stop() below ends it
            train(live, model, optimizer, loss)
            if live.status == "stopped":
                told.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        until(lambda: live._run.step > 3)
        source = observe.open_source(live)
        live.pause()
        until(lambda: live.status == "paused")
        stood = live._run.step
        live.step()
        until(lambda: live._run.step == stood + 1 and live.status == "paused")
        live.lr = 0.0
        path = live.save_checkpoint(tmp_path / "c")
        live.resume()
        until(lambda: live._run.step > stood + 3)
        assert source.read("lr")[3][-1] == 0.0
        with between_steps(model):
            kept = weights(model)
        state = mlkit.io.load_checkpoint(path)
        assert equal(state["model"], kept) and state["step"] == stood + 1  # a rate of 0 moves nothing
        live.stop()
        thread.join(30)
        assert told
    finally:
        live.stop()
        thread.join(30)
    assert live.status == "stopped"


def test_a_stop_ends_the_passes_to_come():
    model, optimizer, loss = parts()
    counts = []
    with pytest.warns(UserWarning, match="told to stop"):
        for _ in range(3):
            live = quiet(loader(), optimizer=optimizer)
            counts.append(0)
            for x, y in live:
                loss(model(x), y).backward()
                optimizer.step()
                counts[-1] += 1
                if counts[0] == 4:
                    live.stop()
    assert counts == [4, 0, 0]


def test_another_process_steers_a_plain_script(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        textwrap.dedent("""
        import mlkit
        from mlkit import nn
        from mlkit.data import DataLoader, TensorDataset
        mlkit.manual_seed(0)
        x = mlkit.randn(64, 2)
        data = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=16)
        model = nn.Linear(2, 2)
        optimizer = mlkit.optim.SGD(model.parameters(), lr=0.1)
        for epoch in range(10**6):
            for x, y in mlkit.live(data, epochs=10**6):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), y).backward()
                optimizer.step()
            if optimizer.param_groups[0]["lr"] == 0.5:
                break
        print("over")
        """)
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "MLKIT_RUNS": str(tmp_path / "runs")})  # fmt: skip
    try:
        until(lambda: observe.list_runs(tmp_path / "runs"))
        (run,) = observe.list_runs(tmp_path / "runs")
        source = run.open()
        until(lambda: source.count("train/loss") > 8)
        source.send("pause")
        until(lambda: source.status()["state"] == "paused")
        source.send("set", "lr", 0.5)
        source.send("resume")
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out == "over\n" and err == "", err
    assert source.status()["state"] == "stopped" and source.status()["lr"] == 0.5


def test_bad_use():
    with pytest.raises(DataError, match="cannot be looped over"):
        mlkit.live(3)
    with pytest.raises(TypeError, match="has no length"):
        len(quiet(iter([1])))
    model, optimizer, loss = parts()
    model.eval()
    live = quiet(loader(64), model)
    with pytest.warns(UserWarning, match="in evaluation mode"):
        train(live, model, optimizer, loss)
    with pytest.raises(ValueError, match="at least 0"):
        live.lr = -1.0
    with pytest.raises(ValueError, match="not known before its first step"):
        quiet(loader()).lr = 0.1
    with pytest.warns(UserWarning, match="The loss is nan"):
        for _ in quiet([1]):
            (mlkit.zeros(1, requires_grad=True) / 0).sum().backward()


def test_the_next_thread_knows_nothing_of_it():
    model, optimizer, loss = parts()
    live = quiet(loader())
    iterator = iter(live)
    next(iterator)
    failed = []

    def elsewhere():
        try:
            mlkit.live.log(loss=1)
        except RuntimeError as error:
            failed.append(str(error))
        other = parts()
        train(loader(32), *other)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join(30)
    assert "no loop to log to" in failed[0]
    iterator.close()
    assert live._run.step == 0 and list(live.history) == []


def test_each_running_of_a_cell_is_a_run_of_its_own(tmp_path):
    pytest.importorskip("IPython")
    result = subprocess.run(
        [sys.executable, os.path.join(os.path.dirname(__file__), "live_cells.py"), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    said = sorted(line for line in result.stdout.splitlines() if line.startswith(("finished", "stopped", "running")))
    assert said == ["finished 8 False", "finished 8 False", "stopped 4 True"], result.stdout + result.stderr


def test_an_interrupt_before_the_first_batch_of_a_pass_leaves_a_stopped_run(tmp_path):
    """Where workers start anew in each pass, most of the time is spent there."""

    class Interrupted:
        passes = 0

        def __iter__(self):
            self.passes += 1
            if self.passes == 3:
                raise KeyboardInterrupt
            return iter(loader())

    batches, made = Interrupted(), parts()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(5):
            train(mlkit.live(batches, run_dir=tmp_path, progress=False), *made)
    (run,) = observe.list_runs(tmp_path)
    assert run.state == "stopped" and run.step == 16 and run.epoch == 2
