"""A training that is killed and begun again, many times: ``kill_run.py <folder> <mode> <kills> <seed>``.

The training runs in a fork of this process, so that a new beginning costs no imports. See test_kills.py.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

import mlkit
from mlkit import nn
from mlkit.data import DataLoader, Dataset, TensorDataset
from mlkit.train import Callback, EarlyStopping, Trainer

SAMPLES = 192


class Points(Dataset):
    """Points of the plane, made anew from their number, for worker processes; moved a little at random."""

    def __init__(self, noise=0.0):
        self.noise = noise

    def __getitem__(self, index):
        x = np.random.default_rng(index).standard_normal(2).astype(np.float32)
        label = int(x[0] > 0) + 2 * int(x[1] > 0)
        if self.noise:
            x = x + self.noise * mlkit.randn(2).numpy() + np.float32(self.noise * random.random())
        return x, label

    def __len__(self):
        return SAMPLES


class Drifting(Callback):
    """A callback with a state that the weights depend on: it adds noise whose size it remembers."""

    def __init__(self):
        self.size, self.epochs = 1e-3, 0

    def on_epoch_start(self, trainer, epoch):
        self.epochs += 1

    def on_before_optimizer_step(self, trainer):
        self.size *= 0.99
        for parameter in trainer.model.parameters():
            parameter.grad.add_(self.size * self.epochs * mlkit.randn(parameter.shape))
        parameter.grad.mul_(1 + 1e-3 * float(np.random.standard_normal()))

    def state_dict(self):
        return {"size": self.size, "epochs": self.epochs}

    def load_state_dict(self, state):
        self.size, self.epochs = state["size"], state["epochs"]


def network(width):
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
                         nn.Dropout(0.2), nn.Linear(width, 4))  # fmt: skip


def build(folder, mode):
    """(trainer, training loader, validation loader, epochs)."""
    mlkit.manual_seed(3)
    np.random.seed(4)
    random.seed(5)
    model = network(200 if mode == "writing" else 16)
    optimizer = mlkit.optim.AdamW(model.parameters(), lr=0.02)
    schedules = mlkit.optim.lr_scheduler
    options = {"optimizer": optimizer, "metrics": ["accuracy", "f1"], "callbacks": [Drifting()], "checkpoint_every": 3}
    if mode == "plain":
        options |= {"scheduler": schedules.ReduceLROnPlateau(optimizer, patience=1, factor=0.5), "checkpoint_every": 2}
        options["callbacks"].append(EarlyStopping("valid/loss", patience=4, restore_best=True))
    elif mode == "all":
        options |= {
            "precision": "fp16",
            "ema": 0.9,
            "accumulate": 3,
            "grad_clip": 0.5,
            "scheduler": "cosine",
            "keep": 2,
        }
    elif mode == "writing":
        options |= {"checkpoint_every": 2, "ema": 0.9}
    elif mode == "workers":
        options |= {"scheduler": "onecycle", "checkpoint_every": 2}
    trainer = Trainer(model, checkpoint_dir=folder, run_dir=False, progress=False, **options)
    if mode == "workers":
        train = DataLoader(Points(0.1), batch_size=16, shuffle=True, num_workers=2, persistent_workers=True)
    else:
        pairs = [Points()[index] for index in range(SAMPLES)]
        data = TensorDataset(np.stack([x for x, _ in pairs]), np.array([y for _, y in pairs]))
        train = DataLoader(data, batch_size=16, shuffle=True)
    valid = DataLoader(train.dataset, batch_size=64, shuffle=True)  # draws random numbers, too
    return trainer, train, valid, {"plain": 15, "all": 20, "writing": 3, "workers": 8}[mode]


def train(folder, mode):
    """The training as a user writes it; run again after a kill, it goes on."""
    trainer, train, valid, epochs = build(folder, mode)
    trainer.fit(train, valid, epochs=epochs, resume="auto")
    trainer.save_checkpoint(folder / "end")


def begin(folder, mode):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        sys.stdout = sys.stderr
        train(folder, mode)
        status = 0
    finally:
        os._exit(status)


def ended(child, seconds):
    """The child's exit status, or None when it still runs after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.0005)


def writes(folder):
    """Whether a checkpoint is being written: a file aside is there."""
    return folder.is_dir() and any(name.endswith(".partial") for name in os.listdir(folder))


def main():
    folder, mode, kills, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    moments = random.Random(seed)
    began = time.monotonic()
    child = begin(folder / "whole", mode)
    assert ended(child, 300) == 0
    whole = time.monotonic() - began
    killed, chains, while_writing = 0, 0, 0
    while killed < kills or child:
        current = folder / f"chain-{chains}"
        child = begin(current, mode)
        status = None
        if mode == "writing" and killed < kills:
            skip = moments.randrange(1, 4)  # not always the first that is written
            while status is None and skip:
                status = ended(child, 0)
                if writes(current):
                    skip -= 1
                    while skip and writes(current) and status is None:
                        status = ended(child, 0)
        else:
            status = ended(child, moments.uniform(0, 0.25 * whole) if killed < kills else 300)
        if status is None:
            while_writing += writes(current)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            killed += 1
        else:
            assert status == 0, f"the training failed with status {status}"
            chains, child = chains + 1, 0
            if killed >= kills:
                break
    print(killed, chains, while_writing)


if __name__ == "__main__":
    main()
