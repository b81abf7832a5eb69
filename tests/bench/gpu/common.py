"""What the rows share: the sides that take turns, clocks, memory peaks, the result file."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.workloads import set_weights

RESULTS = Path(__file__).parents[1] / "results"


@dataclass
class Row:
    """One workload: ``make(lib)`` gives (model, x, y, loss) on the CPU; the rest says how both sides run it."""

    name: str
    make: Callable
    flops: float  # of one step, forward and backward
    autocast: bool = False  # bfloat16
    tf32: bool = False
    channels_last: bool = False  # for PyTorch, which likes it better


class Side:
    """A library with the row's model on the GPU and its training step."""

    def __init__(self, name: str, row: Row) -> None:
        self.name, self.row = name, row
        library, _, self.kind = name.partition("-")
        self.lib = lib = importlib.import_module(library)
        if library == "torch":
            lib.set_float32_matmul_precision("high" if row.tf32 else "highest")
        lib.backends.cuda.matmul.allow_tf32 = row.tf32
        lib.backends.cudnn.allow_tf32 = True
        self.memory_before = self._memory("memory_allocated")
        model, x, y, self.loss = row.make(lib)
        set_weights(lib, model)
        self.model, self.x, self.y = model.to("cuda"), x.to("cuda"), y.to("cuda")
        if library == "torch" and row.channels_last:
            self.model = self.model.to(memory_format=lib.channels_last)
            self.x = self.x.contiguous(memory_format=lib.channels_last)
        more = {"fused": True} if library == "torch" else {}
        if self.kind == "graph":
            more["capturable"] = True
        self.optimizer = lib.optim.AdamW(self.model.parameters(), lr=1e-4, **more)
        self.run = {"": self.step, "compiled": self._compiled, "graph": self._captured}[self.kind]
        self._program: Any = None

    def forward(self):
        cast = self.lib.autocast("cuda", dtype=self.lib.bfloat16) if self.row.autocast else contextlib.nullcontext()
        with cast:
            return self.loss(self.model(self.x), self.y)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.forward()
        loss.backward()
        self.optimizer.step()
        return loss

    def _compiled(self):
        """mlkit.compile of the whole step; torch.compile of the model."""
        if self._program is None:
            if self.lib.__name__ == "torch":
                self.model = self.lib.compile(self.model, mode="max-autotune-no-cudagraphs")
                self._program = self.step
            else:
                self._program = self.lib.compile(self.step)
        return self._program()

    def _captured(self):
        """PyTorch's step captured by hand as one CUDA graph."""
        if self._program is None:
            torch = self.lib
            side = torch.cuda.Stream()
            with torch.cuda.stream(side):
                for _ in range(3):
                    self.step()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            self.optimizer.zero_grad(set_to_none=True)
            with torch.cuda.graph(graph):
                self._loss = self.forward()
                self._loss.backward()
                self.optimizer.step()
            self._program = graph
        self._program.replay()
        return self._loss

    def synchronize(self) -> None:
        self.lib.cuda.synchronize()

    def _memory(self, what: str) -> int:
        return getattr(self.lib.cuda, what)()

    def peak(self) -> float:
        """MB at the most since the last call, less what was there before this side."""
        found = self._memory("max_memory_allocated") - self.memory_before
        self.lib.cuda.reset_peak_memory_stats()
        return found / 1e6


def timed(side: Side, steps: int) -> float:
    """Milliseconds a step."""
    side.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        side.run()
    side.synchronize()
    return (time.perf_counter() - start) / steps * 1e3


def measure(row: Row) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", nargs="+", default=["torch", "mlkit"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    sides: list[Side] = []
    losses: dict[str, list[float]] = {name: [] for name in options.sides}
    for name in options.sides:
        side = Side(
            name, row
        )  # when the sides before have all that they keep, so that their memory is not counted here
        sides.append(side)
        side.peak()
        for _ in range(5):
            losses[side.name].append(float(side.run().item()))
        side.memory = side.peak()
        gc.collect()
    times: dict[str, list[float]] = {s.name: [] for s in sides}
    for _ in range(options.rounds):
        for side in sides:
            times[side.name].append(timed(side, options.steps))
    base = statistics.median(times[sides[0].name])
    found = []
    for side in sides:
        middle = statistics.median(times[side.name])
        found.append(
            {
                "side": side.name,
                "ms": middle,
                "least": min(times[side.name]),
                "ratio": middle / base,
                "memory_mb": side.memory,
                "memory_ratio": side.memory / sides[0].memory,
                "tflops": row.flops / middle / 1e9,
                "losses": losses[side.name],
            }
        )
        print(
            f"{row.name:<10} {side.name:<15} {middle:8.3f} ms  x{middle / base:5.2f}  {side.memory:8.0f} MB "
            f"x{side.memory / sides[0].memory:4.2f}  {row.flops / middle / 1e9:7.2f} TFLOP/s  "
            f"losses {' '.join(f'{v:.4f}' for v in losses[side.name])}",
            flush=True,
        )
    wanted = np.array(losses[sides[0].name])
    for side in sides:
        off = np.abs(np.array(losses[side.name]) - wanted).max()
        if off > (0.02 if row.autocast else 2e-3) * max(1, np.abs(wanted).max()):
            print(f"{row.name}: the losses of {side.name} differ by {off:.3g}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"gpu-{row.name}.json").write_text(json.dumps({"row": row.name, "sides": found}, indent=1) + "\n")
