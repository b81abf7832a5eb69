"""A small real task: which of four quarters of the plane is a point in?"""

import time

import numpy as np

import mlkit
from mlkit import nn
from mlkit.data import DataLoader, TensorDataset
from mlkit.train import Trainer


def points(count=256, seed=0):
    x = np.random.default_rng(seed).standard_normal((count, 2)).astype(np.float32)
    return TensorDataset(x, ((x[:, 0] > 0) + 2 * (x[:, 1] > 0)).astype(np.int64))


def loader(count=256, batch_size=32, shuffle=True, seed=0):
    return DataLoader(points(count, seed), batch_size=batch_size, shuffle=shuffle)


def network(seed=1):
    mlkit.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))


def trainer(model=None, **options):
    options.setdefault("run_dir", False)
    options.setdefault("progress", False)
    model = model if model is not None else network()
    if "optimizer" not in options:
        options["optimizer"] = mlkit.optim.AdamW(model.parameters(), lr=1e-2)
    return Trainer(model, **options)


def weights(model):
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def until(condition, seconds=30):
    """Wait for another thread; the test fails when it never comes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
