"""Two trainings never write to one folder of checkpoints, and a killed one does not keep it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import mlkit
from mlkit import nn, optim
from mlkit.data import DataLoader, TensorDataset
from mlkit.train import Trainer

pytest.importorskip("fcntl")


def trainer(folder) -> Trainer:
    model = nn.Linear(3, 1)
    return Trainer(
        model, nn.MSELoss(), optim.SGD(model.parameters(), 0.01), checkpoint_dir=folder, progress=False, run_dir=False
    )


def loader() -> DataLoader:
    return DataLoader(TensorDataset(mlkit.randn(16, 3), mlkit.randn(16, 1)), batch_size=4)


def test_a_second_training_is_refused_until_the_first_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("mlkit.train.occupying.PATIENCE_SECONDS", 0.1)
    first, second = trainer(tmp_path / "kept"), trainer(tmp_path / "kept")
    run = first.start(loader(), epochs=10_000)
    try:
        with pytest.raises(RuntimeError, match="(?s)Another training writes.*checkpoint_dir of its own"):
            second.fit(loader(), epochs=1)
        assert trainer(tmp_path / "other").fit(loader(), epochs=1)
    finally:
        run.stop()
        run.wait(30)
    second.fit(loader(), epochs=1)
    second.fit(loader(), epochs=1)


def test_a_killed_training_lets_the_folder_go(tmp_path):
    program = textwrap.dedent(
        f"""
        from tests.train.test_occupying import loader, trainer
        from mlkit.data import DataLoader
        print("ready", flush=True)
        data = loader()
        trainer({str(tmp_path)!r}).fit(DataLoader(data.dataset, 4, num_workers=1, persistent_workers=True,
                                                  multiprocessing_context="fork"), epochs=10**6)
        """
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True, env={
        **os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)})  # fmt: skip
    try:
        assert child.stdout is not None and child.stdout.readline()
        until = time.monotonic() + 60
        while not list(tmp_path.glob("*.safetensors")):
            assert time.monotonic() < until and child.poll() is None
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        trainer(tmp_path).fit(loader(), epochs=1)
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
