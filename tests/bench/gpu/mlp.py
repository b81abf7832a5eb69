"""MLP 784-1024-1024-10, batch 512, float32 with TF32 products."""

from __future__ import annotations

from tests.bench.gpu.common import Row, measure
from tests.bench.workloads import classes, numbers


def make(lib, batch: int = 512):
    nn = lib.nn
    model = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    return (
        model,
        lib.from_numpy(numbers("x", (batch, 784))),
        lib.from_numpy(classes("y", (batch,), 10)),
        nn.CrossEntropyLoss(),
    )


ROW = Row("mlp", make, flops=6 * 512 * (784 * 1024 + 1024 * 1024 + 1024 * 10), tf32=True)

if __name__ == "__main__":
    measure(ROW)
