"""GPT-2 124M (12 layers of 768), context 1024, batch 16, bfloat16 autocast, flash attention."""

from __future__ import annotations

from tests.bench.gpu.common import Row, measure
from tests.bench.workloads import classes, gpt

BATCH, LENGTH, WIDTH, LAYERS, VOCABULARY = 16, 1024, 768, 12, 50304


def make(lib, batch: int = BATCH):
    work = gpt(lib, 1, LENGTH, WIDTH, LAYERS, 12, VOCABULARY)
    x, y = (lib.from_numpy(classes(name, (batch, LENGTH), VOCABULARY)) for name in "xy")
    return work.model, x, y, work.loss


_WEIGHTS = LAYERS * 12 * WIDTH * WIDTH + WIDTH * VOCABULARY
ROW = Row(
    "gpt2",
    make,
    flops=BATCH * LENGTH * (6 * _WEIGHTS + 6 * LAYERS * LENGTH * WIDTH),  # causal: half of the 12 L n d
    autocast=True,
    tf32=True,
)

if __name__ == "__main__":
    measure(ROW)
