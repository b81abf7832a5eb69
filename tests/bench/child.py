"""One side of a comparison in a process of its own: it builds a workload and runs steps when told to.

Started by ``python -m tests.bench`` as ``python -m tests.bench.child SIDE WORKLOAD THREADS``. Reads one command per
line from stdin ("run N", "losses N", "end") and answers with one JSON object per line. SIDE is ``mlkit``,
``mlkit-compiled``, ``torch``, ``torch-channels-last`` or ``torch-compiled`` (``-channels-last``).
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time


def resident() -> float:
    """MB this process holds now (its peak where the platform does not tell)."""
    try:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return peak()


def peak() -> float:
    """MB this process has held at most, since the last ``reset_peak`` where Linux can reset it."""
    try:
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) * 1024 / 1e6
    except (OSError, StopIteration):
        import resource

        found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return (found if sys.platform == "darwin" else found * 1024) / 1e6


def reset_peak() -> None:
    try:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")
    except OSError:
        pass


def make_step(lib, work, side: str):
    """The training step (or inference) as a function without arguments that returns a tensor."""
    model, x, y = work.model, work.x, work.y
    torch = lib.__name__ == "torch"
    if side.endswith("channels-last"):
        model.to(memory_format=lib.channels_last)
        x = x.contiguous(memory_format=lib.channels_last)
    if work.loss is None:
        model.eval()
        run = model
        if side.startswith("torch-compiled"):
            run = lib.compile(model, dynamic=False)  # else the batch of two made the next one dynamic, which is slower
        elif side == "mlkit-compiled":
            run = lib.compile(model)

        def infer():
            with lib.inference_mode() if torch else lib.no_grad():
                return run(x)

        return infer

    return make_training(lib, work, side, x, y)[0]


def make_training(lib, work, side: str = "mlkit", x=None, y=None):
    """(the training step as a function without arguments, its optimizer)."""
    model = work.model
    x, y = work.x if x is None else x, work.y if y is None else y
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    fused = {"fused": True} if lib.__name__ == "torch" else {}
    if work.optimizer == "adamw":
        optimizer = lib.optim.AdamW(trained, lr=1e-3, **fused)
    elif work.optimizer == "sgd":
        optimizer = lib.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=5e-4, **fused)
    else:
        optimizer = None

    def forward(x, y):
        return work.loss(model(x), y)

    if side.startswith("torch-compiled"):
        forward = lib.compile(forward, dynamic=False)

    def step(x, y):
        if optimizer is None:
            for p in trained:
                p.grad = None
        else:
            optimizer.zero_grad()
        loss = forward(x, y)
        loss.backward()
        if optimizer is not None:
            optimizer.step()
        return loss

    if side == "mlkit-compiled":
        step = lib.compile(step)
    return lambda: step(x, y), optimizer


def build(lib, name: str, batch: int | None = None):
    from tests.bench.workloads import TRAINING, WORKLOADS

    make, usual, *_ = WORKLOADS[name]
    work = make(lib, usual if batch is None else batch)
    if name not in TRAINING:
        work.loss = None
    return work


def main() -> None:
    side, name, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    start = time.perf_counter()
    lib = importlib.import_module("torch" if side.startswith("torch") else "mlkit")
    imported = time.perf_counter() - start
    if lib.__name__ == "torch":
        lib.set_num_threads(threads)
    if side == "mlkit-compiled" and not hasattr(lib, "compile"):
        print(json.dumps({"missing": "mlkit.compile is not there"}), flush=True)
        return
    rss_import = resident()
    # Kernels are loaded (and compiled, the first time) by one step on a batch of two, so that the memory of the
    # compilers does not count as the workload's.
    small = make_step(lib, build(lib, name, 2), side)
    started = time.perf_counter()
    small()
    warm = time.perf_counter() - started
    del small
    gc.collect()
    rss_warm = resident()
    peak_before = peak()
    reset_peak()
    step = make_step(lib, build(lib, name), side)
    print(json.dumps({"ready": True, "version": lib.__version__, "import": imported, "warm": warm}), flush=True)
    for line in sys.stdin:
        word, *count = line.split()
        if word == "end":
            break
        wall, cpu, losses = [], [], []
        for _ in range(int(count[0])):
            a, b = time.perf_counter(), time.process_time()
            out = step()
            wall.append(time.perf_counter() - a)
            cpu.append(time.process_time() - b)
            if word == "losses":
                losses.append(float(out.detach().sum() if out.ndim else out.detach()))
            del out
        print(json.dumps({"wall": wall, "cpu": cpu, "losses": losses}), flush=True)
    memory = {"gross": max(peak(), peak_before), "import": rss_import, "net": max(peak() - rss_warm, 0.0)}
    print(json.dumps({"memory": memory}), flush=True)


if __name__ == "__main__":
    main()
