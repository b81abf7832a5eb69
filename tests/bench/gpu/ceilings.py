"""What the card reaches at best: bytes/s of a large copy and of an elementwise kernel, FLOP/s of large products."""

from __future__ import annotations

import functools
import json
import statistics
import time

import mlkit
from tests.bench.gpu.common import RESULTS


def seconds(run, repeats: int = 7, times: int = 10) -> float:
    """The median time of one call, the GPU waited for."""
    run()
    mlkit.cuda.synchronize()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(times):
            run()
        mlkit.cuda.synchronize()
        found.append((time.perf_counter() - start) / times)
    return statistics.median(found)


def measure() -> dict[str, float]:
    """GB/s and TFLOP/s by name."""
    x = mlkit.rand(1 << 28, device="cuda")
    found = {"copy_gb_s": 2 * x.numel() * 4 / seconds(x.clone) / 1e9}
    found["relu_gb_s"] = 2 * x.numel() * 4 / seconds(x.relu) / 1e9
    half = x.to(mlkit.bfloat16)
    found["relu_bf16_gb_s"] = 2 * x.numel() * 2 / seconds(half.relu) / 1e9
    rows = x.reshape(-1, 1024)
    found["softmax_gb_s"] = 2 * x.numel() * 4 / seconds(functools.partial(rows.softmax, -1)) / 1e9
    del x, half, rows
    n = 8192
    a = mlkit.rand(n, n, device="cuda")
    for name, dtype, tf32 in (("float32", mlkit.float32, False), ("tf32", mlkit.float32, True),
                              ("bfloat16", mlkit.bfloat16, False), ("float16", mlkit.float16, False)):  # fmt: skip
        mlkit.backends.cuda.matmul.allow_tf32 = tf32
        b = a.to(dtype)
        found[f"matmul_{name}_tflops"] = 2 * n**3 / seconds(lambda b=b: b @ b, 5, 5) / 1e12
    mlkit.backends.cuda.matmul.allow_tf32 = False
    return found


if __name__ == "__main__":
    results = measure()
    for name, number in results.items():
        print(f"{name:<26}{number:10.1f}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gpu-ceilings.json").write_text(json.dumps(results, indent=1) + "\n")
