"""Save, load and resume: exactly, or refused with nothing changed."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

import mlkit
from mlkit import nn, observe
from mlkit.core.errors import CheckpointError
from mlkit.data import DataLoader
from mlkit.train import Callback

from .helpers import equal, loader, network, points, trainer, weights


def full_trainer(**options):
    model = network(4)
    optimizer = mlkit.optim.AdamW(model.parameters(), lr=0.02)
    scheduler = mlkit.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    return trainer(model, optimizer=optimizer, scheduler=scheduler, **options)


class StopAt(Callback):
    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_step_end(self, trainer, step, values):
        if step == self.step:
            trainer.save_checkpoint(self.path)
            trainer.stop()


@pytest.mark.parametrize("at", [1, 7, 8, 9, 20, 24])
def test_resuming_gives_the_very_weights_and_curves(tmp_path, at):
    """8 steps an epoch, 4 epochs; shuffling and dropout draw random numbers."""
    mlkit.manual_seed(3)
    whole = full_trainer()
    whole.fit(loader(), loader(64), epochs=4)

    mlkit.manual_seed(3)
    full_trainer(callbacks=[StopAt(at, tmp_path / "c.safetensors")]).fit(loader(), loader(64), epochs=4)
    mlkit.manual_seed(99)
    resumed = full_trainer()
    resumed.fit(loader(), loader(64), epochs=4, resume=tmp_path / "c.safetensors")
    assert equal(weights(resumed.model), weights(whole.model))
    for name in whole.history:
        assert resumed.history[name] == whole.history[name], name
        assert resumed.history.steps(name) == whole.history.steps(name), name
    assert resumed.history.epochs == 4


def test_a_generator_of_the_loader_is_taken_up_too(tmp_path):
    def batches():
        return DataLoader(points(), 32, True, generator=mlkit.core.rng.Generator().manual_seed(5))

    mlkit.manual_seed(3)
    whole = full_trainer()
    whole.fit(batches(), epochs=3)
    mlkit.manual_seed(3)
    full_trainer(callbacks=[StopAt(11, tmp_path / "c")]).fit(batches(), epochs=3)
    resumed = full_trainer()
    resumed.fit(batches(), epochs=3, resume=tmp_path / "c")
    assert equal(weights(resumed.model), weights(whole.model))


def test_resume_auto_after_a_kill(tmp_path):
    """The process is killed with no warning; the same command run again ends with the same weights."""
    code = """
        import importlib.util, os, signal, sys
        sys.path.insert(0, sys.argv[1])
        spec = importlib.util.spec_from_file_location("helpers", sys.argv[1] + "/helpers.py")
        helpers = importlib.util.module_from_spec(spec); spec.loader.exec_module(helpers)
        import mlkit
        from mlkit.train import Callback
        class Kill(Callback):
            def on_step_end(self, trainer, step, values):
                if step == int(sys.argv[3]): os.kill(os.getpid(), signal.SIGKILL)
        mlkit.manual_seed(3)
        t = helpers.trainer(checkpoint_dir=sys.argv[2], checkpoint_every=3, callbacks=[Kill()])
        mlkit.manual_seed(8)
        t.fit(helpers.loader(), epochs=3, resume="auto")
        t.save_checkpoint(sys.argv[2] + "/end.safetensors")
        """

    def run(folder, kill_at):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code), os.path.dirname(__file__), str(folder), str(kill_at)],
            timeout=120, check=False,
        ).returncode  # fmt: skip

    assert run(tmp_path / "whole", -1) == 0
    assert run(tmp_path / "parts", 10) == -signal.SIGKILL
    assert run(tmp_path / "parts", 20) == -signal.SIGKILL
    assert run(tmp_path / "parts", -1) == 0
    first, second = (mlkit.io.load_checkpoint(tmp_path / part / "end.safetensors") for part in ("whole", "parts"))
    assert equal(first["model"], second["model"])
    assert first["place"] == second["place"] == {"step": 24, "epoch": 3, "batch": 0, "fit_began_at_epoch": 0}


def test_best_and_last(tmp_path):
    told = []

    class Tell(Callback):
        def on_checkpoint(self, trainer, path):
            told.append(path.name)

    t = trainer(checkpoint_dir=tmp_path / "c", callbacks=[Tell()])
    history = t.fit(loader(), loader(64, shuffle=False), epochs=6)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["best.safetensors", "last.safetensors"]
    assert told.count("last.safetensors") == 6
    last = weights(t.model)
    t.load_checkpoint(tmp_path / "c" / "best.safetensors")
    assert t.evaluate(loader(64, shuffle=False))["accuracy"] == pytest.approx(history.best("valid/accuracy"))
    t.load_checkpoint(tmp_path / "c" / "last.safetensors")
    assert equal(weights(t.model), last)
    with pytest.raises(CheckpointError, match="none|checkpoint_dir"):
        trainer().fit(loader(), resume="auto")


def test_loading_begins_a_new_recording_with_the_old_curves(tmp_path):
    t = trainer(run_dir=tmp_path)
    t.fit(loader(), epochs=1)
    path = t.save_checkpoint()
    assert path == t.recorder.path / "checkpoints" / "step-00000008.safetensors"
    source = observe.open_source(t)
    identity = source.identity
    t.fit(loader(), epochs=1)
    t.load_checkpoint(path)
    assert source.identity != identity and source.count("train/loss") == 8 and t.history.epochs == 1
    t.fit(loader(), epochs=1)
    assert t.history.steps("train/loss") == list(range(1, 17)) and t.history.epochs == 2
    assert len(observe.list_runs(tmp_path)) == 2
    assert observe.open_source(t.recorder.path).count("train/loss") == 16


def other_model():
    return nn.Sequential(nn.Linear(2, 17), nn.ReLU(), nn.Dropout(0.1), nn.Linear(17, 4), nn.Linear(4, 4))


def test_a_checkpoint_of_another_model_changes_nothing(tmp_path):
    path = trainer().save_checkpoint(tmp_path / "c")
    model = other_model()
    before = weights(model)
    with pytest.raises(CheckpointError) as caught:
        trainer(model).load_checkpoint(path)
    assert "0.weight: [16, 2] in the checkpoint, [17, 2] in the model" in str(caught.value)
    assert "missing in the checkpoint: 4.bias" in str(caught.value)
    assert equal(weights(model), before)


def test_a_damaged_checkpoint_changes_nothing(tmp_path):
    t = trainer()
    path = t.save_checkpoint(tmp_path / "c")
    path.write_bytes(path.read_bytes()[:-100])
    before = weights(t.model)
    for action in (t.load_checkpoint, lambda path: t.fit(loader(), resume=path)):
        with pytest.raises(CheckpointError, match="damaged"):
            action(path)
    with pytest.raises(CheckpointError, match="There is no file"):
        t.load_checkpoint(tmp_path / "nothing")
    mlkit.io.save_checkpoint({"a": 1}, tmp_path / "other")
    with pytest.raises(CheckpointError, match="not a checkpoint of a training"):
        t.load_checkpoint(tmp_path / "other")
    assert equal(weights(t.model), before) and not t.training
    assert t.fit(loader()).epochs == 1


def test_a_different_optimizer_or_scheduler_is_refused(tmp_path):
    path = full_trainer().save_checkpoint(tmp_path / "c")
    with pytest.raises(CheckpointError, match="scheduler"):
        trainer(network(4)).load_checkpoint(path)
    model = network(4)
    two = mlkit.optim.AdamW([{"params": model[0].parameters()}, {"params": model[3].parameters()}], lr=0.1)
    with pytest.raises(CheckpointError, match=r"parameters per group in the checkpoint: \[4\]"):
        trainer(model, optimizer=two).load_checkpoint(path)


def test_a_full_disk_at_checkpoint_time_does_not_end_the_training(tmp_path):
    (tmp_path / "file").write_text("where the folder should be")
    t = trainer(checkpoint_dir=tmp_path / "file" / "c")
    with pytest.warns(UserWarning, match="The training goes on"):
        history = t.fit(loader(), epochs=2)
    assert history.epochs == 2
    failed = [event for event in t.recorder.events() if event["kind"] == "checkpoint"]
    assert len(failed) == 2 and "is a file where a folder is needed" in failed[0]["error"]
    with pytest.raises(OSError, match="is a file where a folder is needed"):
        t.save_checkpoint()


def test_a_really_full_disk(tmp_path):
    code = """
        import importlib.util, resource, sys, warnings
        spec = importlib.util.spec_from_file_location("helpers", sys.argv[1] + "/helpers.py")
        helpers = importlib.util.module_from_spec(spec); spec.loader.exec_module(helpers)
        t = helpers.trainer(checkpoint_dir=sys.argv[2])
        t.fit(helpers.loader(), epochs=1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(t.fit(helpers.loader(), epochs=1).epochs)
        print(caught[0].message)
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), os.path.dirname(__file__), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    epochs, message = result.stdout.splitlines()
    assert epochs == "2" and f"Cannot write {tmp_path / 'last.safetensors'}" in message, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
    t = trainer()
    t.load_checkpoint(tmp_path / "last.safetensors")
    assert t.place["step"] == 8


def test_no_place_to_save_to():
    with pytest.raises(CheckpointError, match="no folder to save"):
        trainer().save_checkpoint()


class Turning(mlkit.data.Sampler):
    """An order that depends on how often it was asked for before, and says so in its state."""

    def __init__(self, count):
        self.count, self.turns = count, 0

    def __iter__(self):
        self.turns += 1
        return iter([(7 * self.turns + 3 * index) % self.count for index in range(self.count)])

    def __len__(self):
        return self.count

    def state_dict(self):
        return {"turns": self.turns}

    def load_state_dict(self, state):
        self.turns = state["turns"]


@pytest.mark.parametrize("at", [5, 8, 13])
def test_a_sampler_with_a_state_is_taken_up(tmp_path, at):
    def batches():
        return DataLoader(points(), 32, sampler=Turning(256))

    mlkit.manual_seed(3)
    whole = full_trainer()
    whole.fit(batches(), epochs=3)
    mlkit.manual_seed(3)
    full_trainer(callbacks=[StopAt(at, tmp_path / "c")]).fit(batches(), epochs=3)
    resumed = full_trainer(callbacks=[StopAt(-1, None)])
    resumed.fit(batches(), epochs=3, resume=tmp_path / "c")
    assert equal(weights(resumed.model), weights(whole.model))
    assert resumed.history["train/loss"] == whole.history["train/loss"]


def test_a_folder_of_checkpoints_is_taken_up(tmp_path):
    first = trainer(network(), checkpoint_dir=tmp_path / "ck", keep=2)
    first.fit(loader(), epochs=2)
    second = trainer(network())
    second.fit(loader(), epochs=2, resume=tmp_path / "ck")
    assert second.resumed_from == tmp_path / "ck" / "last.safetensors" and equal(
        weights(second.model), weights(first.model)
    )
    (tmp_path / "ck" / "last.safetensors").write_bytes(b"")
    third = trainer(network())
    with pytest.warns(UserWarning, match="damaged"):
        third.fit(loader(), epochs=2, resume=str(tmp_path / "ck"))
    assert third.resumed_from.name.startswith("recent-") and equal(weights(third.model), weights(first.model))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint in"):
        trainer(network()).fit(loader(), resume=tmp_path / "empty")


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    trainer(network()).save_checkpoint(path)
    content = bytearray(path.read_bytes())
    content[-300] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        trainer(network()).load_checkpoint(path)


def test_a_model_without_numbers_is_told(tmp_path):
    with pytest.raises(ValueError, match="(?s)'meta'.*weight.*to_empty"):
        trainer(nn.Linear(4, 2, device="meta"))
