"""LSTM with 512 units, sequences of 128, batch 64, float32 with TF32 products."""

from __future__ import annotations

from tests.bench.gpu.common import Row, measure
from tests.bench.workloads import classes, numbers


def make(lib, batch: int = 64):
    nn = lib.nn

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(512, 512, batch_first=True)
            self.head = nn.Linear(512, 65)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    cross_entropy = nn.CrossEntropyLoss()
    return (
        Reader(),
        lib.from_numpy(numbers("x", (batch, 128, 512), 0.5)),
        lib.from_numpy(classes("y", (batch, 128), 65)),
        lambda out, y: cross_entropy(out.reshape(-1, 65), y.reshape(-1)),
    )


ROW = Row("lstm", make, flops=6 * 64 * 128 * (8 * 512 * 512 + 512 * 65), tf32=True)

if __name__ == "__main__":
    measure(ROW)
