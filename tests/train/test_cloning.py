"""A second training from a first one: it goes on as the first would, apart from what was changed."""

import numpy as np
import pytest

import mlkit
from mlkit import nn, observe, optim
from mlkit.core.errors import CheckpointError, DataError
from mlkit.train import Callback, Trainer

from .helpers import equal, loader, network, until, weights


def make(tmp_path, model=None, **options):
    model = model or network()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    options = {"progress": False, "run_dir": tmp_path, "name": "first", **options}
    return Trainer(model, optimizer=optimizer, scheduler=optim.lr_scheduler.StepLR(optimizer, 1, 0.9), **options)


def plain_network():
    """One that draws no random numbers while it trains."""
    mlkit.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4))


def part_way(t, steps, epochs=3):
    """A training in the background that stands still after so many steps."""
    run = t.start(loader(shuffle=False), loader(64, shuffle=False), epochs=epochs, paused=True)
    until(lambda: run.status == "paused")
    while t.place["step"] < steps:
        now = t.place["step"]
        run.step()
        until(lambda now=now: t.place["step"] > now and run.status == "paused")
    return run


def test_a_clone_without_changes_ends_where_the_first_would(tmp_path):
    whole = make(tmp_path, plain_network())
    whole.fit(loader(shuffle=False), loader(64, shuffle=False), epochs=3)
    t = make(tmp_path, plain_network())
    run = part_way(t, 11)  # in the middle of the second epoch
    before = weights(t.model)
    second = run.clone()
    history = second.wait(60)
    assert second.status == "finished" and t.place["step"] == 11 and equal(weights(t.model), before)
    assert equal(weights(second.trainer.model), weights(whole.model))
    for name in ("train/loss", "valid/loss", "lr"):
        np.testing.assert_array_equal(history[name], whole.history[name])
    assert history.epochs == 3 and second.trainer.place == whole.place
    run.stop()


def test_settings_change_only_the_clone_and_both_say_so(tmp_path):
    t = make(tmp_path)
    t.hyperparameter("temperature", 1.0, apply=lambda model, value: setattr(model, "temperature", value))
    run = part_way(t, 9)
    second = run.clone(lr=0.01, temperature=3.0, name="colder")
    second.wait(60)
    assert t.lr == pytest.approx(0.05 * 0.9) and t.model.temperature == 1.0
    assert second.trainer.model.temperature == 3.0 and second.trainer.name == "colder"
    assert second.history["lr"][8] == pytest.approx(0.045) and second.history["lr"][9] == pytest.approx(0.01)
    assert run.clones == [second]
    meta = observe.open_source(second.directory).meta["cloned_from"]
    assert meta == {"run": run.directory.name, "key": t.recorder.key, "step": 9, "checkpoint": None,
                    "settings": {"lr": 0.01, "temperature": 3.0}}  # fmt: skip
    run.stop()
    (told,) = [event for event in observe.open_source(run.directory).events() if event["kind"] == "clone"]
    assert told["run"] == str(second.directory) and told["from_step"] == 9


def test_a_loss_that_speaks_of_the_first_trainer_gets_the_numbers_of_the_clone(tmp_path):
    seen = {"first": set(), "second": set()}

    def loss(output, target):
        number = t.hyperparameter("temperature", 1.0)
        seen["first" if number == 1.0 else "second"].add(number)
        return nn.functional.cross_entropy(output / number, target)

    t = make(tmp_path, loss=loss)
    run = part_way(t, 2, epochs=1)
    second = run.clone(temperature=5.0)
    second.wait(60)
    run.resume()
    run.wait(60)
    assert seen == {"first": {1.0}, "second": {5.0}} and t.hyperparameter("temperature") == 1.0


def test_from_a_checkpoint_with_more_epochs_and_after_the_end(tmp_path):
    t = make(tmp_path, checkpoint_dir=tmp_path / "kept")
    run = part_way(t, 8)
    path = run.save_checkpoint(run.directory / "checkpoints" / "early.safetensors")
    early = weights(t.model)
    run.resume()
    run.wait(60)
    again = run.clone("early.safetensors", lr=0.0, epochs=1)
    again.wait(60)
    assert equal(weights(again.trainer.model), early), "a rate of 0 moves nothing"
    assert again.trainer.recorder.meta["cloned_from"]["checkpoint"] == path.name
    assert again.trainer.checkpoint_dir == again.directory / "checkpoints"
    assert (again.directory / "checkpoints" / "last.safetensors").exists()
    more = run.clone()
    assert more.wait(60).epochs == 6, "none was left: as many again"
    with pytest.raises(CheckpointError, match="no checkpoint nowhere"):
        run.clone("nowhere.safetensors")
    assert len(run.clones) == 2


def test_what_cannot_be_cloned_says_why(tmp_path):
    t = make(tmp_path)
    with pytest.raises(RuntimeError, match="nothing to clone yet"):
        t.clone()

    class Holds(Callback):
        def __init__(self):
            self.file = open(__file__)  # noqa: SIM115

    holds = Holds()
    t = make(tmp_path, callbacks=[holds])
    t.fit(loader(), epochs=1)
    with pytest.raises(DataError, match="its callbacks cannot be copied"):
        t.clone()
    holds.file.close()
    with pytest.raises(ValueError, match="no 'height' to set"):
        t.clone(height=3)
    assert t.clones == []


def test_by_the_mailbox_and_by_the_source_of_an_ended_run(tmp_path):
    t = make(tmp_path)
    run = t.start(loader(), epochs=10**6)
    outside = observe.open_source(run.directory)
    until(lambda: outside.status().get("clonable"))
    outside.clone({"lr": 0.001}, name="from outside")
    until(lambda: len(t.clones) == 1)
    assert t.clones[0].trainer.name == "from outside"
    t.clones[0].stop()
    outside.clone({"height": 1.0})
    until(lambda: any("no 'height'" in str(event.get("text")) for event in outside.events()))
    run.stop()
    until(lambda: outside.status()["state"] == "stopped")
    with pytest.raises(RuntimeError, match="another process cannot"):
        outside.clone()
    inside = observe.open_source(run)
    inside.clone({"lr": 0.002})
    assert len(t.clones) == 2
    t.clones[1].stop()


def test_it_can_be_cloned_again_and_keeps_its_own_callbacks(tmp_path):
    class Counts(Callback):
        def __init__(self):
            self.steps = 0

        def on_step_end(self, trainer, step, values):
            self.steps += 1

    counts = Counts()
    t = make(tmp_path, callbacks=[counts])
    run = part_way(t, 5, epochs=1)
    second = run.clone()
    second.wait(60)
    third = second.clone(epochs=1)
    third.wait(60)
    assert counts.steps == 5 and second.trainer.callbacks[0].steps == 8 and third.trainer.callbacks[0].steps == 16
    run.stop()


def test_a_run_that_has_ended_says_how_a_second_one_is_made_from_its_checkpoint(tmp_path):
    run = part_way(make(tmp_path, plain_network()), 3)
    run.save_checkpoint()
    run.stop()
    possible, words = observe.open_source(str(run.directory)).clonable
    code = words.partition("\n\n")[2].splitlines()
    assert not possible and "run.clone(lr=...)" in words and "make its model, optimizer and Trainer as before" in words
    trainer = make(tmp_path, plain_network(), name="second")  # as another notebook makes it
    names = {"trainer": trainer, "train_loader": loader(shuffle=False)}
    exec("\n".join(code).replace("epochs=...", "epochs=1").replace("lr = ...", "lr = 0.125"), names)
    names["run"].wait()
    assert trainer.resumed_from.parent.parent == run.directory and trainer.place["step"] > 3
    first = run.history["lr"]
    assert names["run"].history["lr"][: len(first)] == first, "the curves go on"

    bare = part_way(make(tmp_path, plain_network(), name="bare"), 2)
    bare.stop()
    possible, words = observe.open_source(str(bare.directory)).clonable
    assert not possible and "left no checkpoint" in words and "checkpoint_dir" in words
