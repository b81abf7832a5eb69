"""How much of a training step is matrix products: no step can be quicker than its products alone.

    MLKIT_BENCH_PYTORCH=/a/python/with/torch python -m tests.bench.products

For each row: the products of the linear layers (forward, by the input, by the weight; one thread, CPU time, milliseconds)
by mlkit's kernels and by PyTorch, PyTorch's whole step, and the first as a share of the last: the ratio that a step of mlkit
would have if everything else cost nothing. The processes take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def mlp(batch: int) -> list[tuple[int, int, int, bool]]:
    """(rows, inputs, outputs, whether the input wants a gradient) of each layer."""
    return [(batch, 784, 256, False), (batch, 256, 128, True), (batch, 128, 10, True)]


def block(rows: int, width: int) -> list[tuple[int, int, int, bool]]:
    wide = 4 * width
    return [(rows, i, o, True) for i, o in ((width, 3 * width), (width, width), (width, wide), (wide, width))]


ROWS = {
    "mlp-64": mlp(64),
    "mlp-512": mlp(512),
    "gpt-32": block(2048, 128) * 4 + [(2048, 128, 65, True)],
    "gpt2-block-4": block(1024, 768),
}


def multiplications(name: str) -> int:
    """Floating-point operations of a row's products, two for each multiplication."""
    return sum(2 * n * i * o * (3 if wants else 2) for n, i, o, wants in ROWS[name])


def arrays(name: str):
    rng = np.random.default_rng(0)
    make = lambda *shape: rng.standard_normal(shape, dtype=np.float32)  # noqa: E731
    return [(make(n, i), make(o, i), make(o), make(n, o), wants) for n, i, o, wants in ROWS[name]]


def by_mlkit(name: str):
    from mlkit.backends import numba
    from mlkit.core import backend

    library, given = backend.load("numpy"), arrays(name)
    forward, gradients = library.m.linear, library.gradients

    def run():
        for x, w, b, g, wants in given:
            forward(x, w, b)
            if wants:
                gradients["linear", "input"](lambda m, g, w: np.matmul(g, w), library.m, g, w)
            gradients["linear", "weight"](lambda m, g, x, shape: np.matmul(g.T, x), library.m, g, x, w.shape)

    assert numba.usable()
    return run


def by_torch(name: str):
    import torch

    torch.set_num_threads(1)
    given = [tuple(torch.from_numpy(a) for a in row[:4]) + row[4:] for row in arrays(name)]

    def run():
        with torch.inference_mode():
            for x, w, b, g, wants in given:
                torch.nn.functional.linear(x, w, b)
                if wants:
                    g @ w
                g.t() @ x

    return run


def child(side: str, name: str) -> None:
    if side == "step":
        import torch

        from tests.bench.child import build, make_step

        torch.set_num_threads(1)
        run = make_step(torch, build(torch, name), "torch")
    else:
        run = (by_torch if side == "torch" else by_mlkit)(name)
    for _ in range(3):
        run()
    print("ready", flush=True)
    for line in sys.stdin:
        times, end = [], time.process_time() + float(line)
        while not times or time.process_time() < end:
            began = time.process_time_ns()
            run()
            times.append((time.process_time_ns() - began) / 1e6)
        print(json.dumps(times), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.products", description=__doc__)
    parser.add_argument("--torch-python", default=os.environ.get("MLKIT_BENCH_PYTORCH"))
    parser.add_argument("--only", default=",".join(ROWS), help="rows, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="of CPU in each turn")
    options = parser.parse_args()
    if not options.torch_python:
        parser.error("MLKIT_BENCH_PYTORCH names no Python with PyTorch")
    names = "OPENBLAS_NUM_THREADS OMP_NUM_THREADS MKL_NUM_THREADS NUMBA_NUM_THREADS".split()
    env = {**os.environ, **dict.fromkeys(names, "1"), "PYTHONPATH": str(ROOT)}
    print(f"{'row':14} {'GFLOP':>7} {'mlkit':>8} {'PyTorch':>8} {'its step':>9} {'share':>6}")
    for name in options.only.split(","):
        started = {}
        for side in ("mlkit", "torch", "step"):
            python = sys.executable if side == "mlkit" else options.torch_python
            command = [python, "-m", "tests.bench.products", "--child", side, name]
            pipe = subprocess.PIPE
            started[side] = subprocess.Popen(command, env=env, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)
        times: dict[str, list[float]] = {side: [] for side in started}
        for process in started.values():
            while (line := process.stdout.readline()) and line.strip() != "ready":  # type: ignore[union-attr]
                pass
        for _ in range(options.rounds):
            for side, process in started.items():
                process.stdin.write(f"{options.seconds}\n")  # type: ignore[union-attr]
                process.stdin.flush()  # type: ignore[union-attr]
                times[side] += json.loads(process.stdout.readline())  # type: ignore[union-attr]
        for process in started.values():
            process.communicate()
        ours, theirs, step = (statistics.median(times[side]) for side in ("mlkit", "torch", "step"))
        flop = multiplications(name) / 1e9
        print(f"{name:14} {flop:7.3f} {ours:8.3f} {theirs:8.3f} {step:9.3f} {ours / step:6.2f}", flush=True)


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main()
