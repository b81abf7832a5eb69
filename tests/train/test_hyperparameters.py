"""Numbers of one's own: registered, turned while it trains, kept in checkpoints; from here and from another process."""

import json
import time

import pytest

import mlkit
from mlkit import nn, observe
from mlkit.observe.mailbox import Mailbox
from mlkit.train import Trainer

from .helpers import loader, network, until


def make(tmp_path=None, **options):
    model = network()
    return Trainer(model, optimizer="sgd", lr=0.1, progress=False,
                   run_dir=False if tmp_path is None else tmp_path, **options)  # fmt: skip


def test_a_number_is_registered_once_and_changes_from_the_next_step_on():
    seen = []

    def loss(output, target):
        seen.append(t.hyperparameter("temperature", 0.5, low=0.1))
        return nn.functional.cross_entropy(output / seen[-1], target)

    t = make(loss=loss)
    steps = t.steps(loader(), epochs=1)
    next(steps)
    next(steps)
    assert t.hyperparameters["temperature"] == 0.5
    t.set("temperature", 2)
    next(steps)
    assert seen == [0.5, 0.5, 2.0]
    (event,) = [event for event in t.recorder.events() if event["kind"] == "hyper"]
    assert (event["name"], event["old"], event["value"], event["step"]) == ("temperature", 0.5, 2.0, 2)
    assert t.recorder.status()["registered"] == {"temperature": {"low": 0.1, "high": None, "integer": False}}


def test_apply_puts_the_value_into_the_model():
    t = make()
    t.model.append(nn.Dropout(0.5))
    t.hyperparameter("dropout", 0.25, low=0, high=0.9, apply=lambda model, p: setattr(model[-1], "p", p))
    assert t.model[-1].p == 0.25
    t.set("dropout", 0.75)
    assert t.model[-1].p == 0.75
    with pytest.raises(ValueError, match=r"dropout must be at most 0.9, got 0.95"):
        t.set("dropout", 0.95)
    assert t.model[-1].p == 0.75


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("lr", 1.0), "number of the optimizer already"),
        (("", 1.0), "1 to 60 characters"),
        (("new",), "no hyperparameter 'new' yet"),
        (("new", float("nan")), "finite number"),
        (("new", True), "finite number"),
        (("new", "high"), "finite number"),
    ],
)
def test_what_cannot_be_registered_says_why(arguments, words):
    t = make()
    with pytest.raises(ValueError, match=words):
        t.hyperparameter(*arguments)
    assert "new" not in t.hyperparameters
    with pytest.raises(ValueError, match="low .* must not be larger"):
        t.hyperparameter("new", 1.0, low=2, high=1)


def test_a_whole_number_stays_one():
    t = make()
    assert t.hyperparameter("k", 3) == 3
    t.set("k", 5.0)
    assert t.hyperparameter("k") == 5 and isinstance(t.hyperparameter("k"), int)
    with pytest.raises(ValueError, match="whole number"):
        t.set("k", 2.5)


def test_a_checkpoint_keeps_them(tmp_path):
    t = make(tmp_path)
    t.hyperparameter("temperature", 1.0)
    t.fit(loader(), epochs=1)
    t.set("temperature", 3.0)
    path = t.save_checkpoint()
    again = make()
    again.hyperparameter("temperature", 1.0)
    again.load_checkpoint(path)
    assert again.hyperparameter("temperature") == 3.0


def test_another_process_turns_them_by_the_mailbox(tmp_path):
    t = make(tmp_path)
    t.hyperparameter("temperature", 1.0, high=10)
    run = t.start(loader(), epochs=10**6)
    try:
        source = observe.open_source(run.directory)
        until(lambda: source.status()["state"] == "running" and run.directory is not None)
        source.set("temperature", 4.0)
        until(lambda: t.hyperparameter("temperature") == 4.0)
        until(lambda: source.status()["hyperparameters"]["temperature"] == 4.0)
        source.set("temperature", 40.0)  # only the run knows the limits
        until(lambda: any("at most 10" in str(event.get("text")) for event in source.events()))
        assert run.hyperparameters["temperature"] == 4.0
    finally:
        run.stop()


def test_in_a_loop_of_ones_own(tmp_path):
    model = network()
    optimizer = mlkit.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    loop = mlkit.live(loader(), model, optimizer, run_dir=tmp_path, progress=False)
    for inputs, targets in loop:
        seen.append(mlkit.live.hyperparameter("temperature", 0.5))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs) / seen[-1], targets).backward()
        optimizer.step()
        if len(seen) == 2:
            loop.set("temperature", 2.0)
            with pytest.raises(ValueError, match="no 'height' to set"):
                loop.set("height", 1.0)
    assert seen == [0.5, 0.5] + [2.0] * (len(seen) - 2) and len(seen) > 3
    source = observe.open_source(loop.directory)
    assert source.status()["registered"] == {"temperature": {"low": None, "high": None, "integer": False}}
    (event,) = [event for event in source.events() if event["kind"] == "hyper"]
    assert (event["name"], event["value"], event["step"]) == ("temperature", 2.0, 2)
    assert source.clonable[0] is False and "Trainer" in source.clonable[1]
    with pytest.raises(RuntimeError, match="inside of a loop"):
        mlkit.live.hyperparameter("temperature")


@pytest.mark.parametrize(
    "value",
    [
        {"settings": {"lr": "fast"}},
        {"settings": [1]},
        {"checkpoint": "../../other"},
        {"name": 3},
        "now",
        {"name": "x" * 99},
    ],
)
def test_letters_that_ask_for_a_strange_clone_are_rejected(tmp_path, value):
    box = Mailbox(tmp_path / "mailbox")
    with pytest.raises(ValueError):
        box.send("clone", None, value)
    box.folder.mkdir(exist_ok=True)
    (box.folder / f"{time.time_ns()}-a.json").write_text(json.dumps({"command": "clone", "value": value}))
    letters, rejected = box.collect()
    assert letters == [] and len(rejected) == 1
