"""What one small operation costs: forward and backward of 33 x (add, mul, matmul) on 32 x 32 float32, one thread.

``python -m tests.bench.bench_chain --torch-python PATH`` runs mlkit and PyTorch in processes of their own, taking
turns, and prints both and their ratio. Without ``--torch-python`` it prints mlkit alone.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

LINKS = 33
ROOT = Path(__file__).parents[2]


def seconds_per_op(library_name: str, rounds: int = 60) -> float:
    """The best time per operation, forward and backward, of ``rounds`` runs of the chain."""
    import importlib

    library = importlib.import_module(library_name)
    if library_name == "torch":
        library.set_num_threads(1)
    a = library.ones(32, 32) * 0.01
    b = library.ones(32, 32) * 0.5
    w = (library.eye(32) * 0.9).requires_grad_()
    x = library.ones(32, 32).requires_grad_()

    def run() -> None:
        y = x
        for _ in range(LINKS):
            y = (y + a) * b
            y = y @ w
        y.sum().backward()
        x.grad = w.grad = None

    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return best / (3 * LINKS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch-python", help="a Python with PyTorch")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(seconds_per_op(options.child))
        return
    one = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    env = {**os.environ, **one, "PYTHONPATH": str(ROOT)}
    found: dict[str, list[float]] = {"mlkit": [], "torch": []}
    for _ in range(options.turns):
        for name, python in (("mlkit", sys.executable), ("torch", options.torch_python)):
            if python:
                command = [python, "-m", "tests.bench.bench_chain", "--child", name]
                done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=True)
                found[name].append(float(done.stdout))
    ours = min(found["mlkit"]) * 1e6
    if not found["torch"]:
        print(f"chain: mlkit {ours:.2f} us per op")
        return
    theirs = min(found["torch"]) * 1e6
    print(f"chain: mlkit {ours:.2f} us per op, PyTorch {theirs:.2f}, ratio {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
