"""The largest difference between the CPU and the GPU, per op and dtype: ``python -m tests.bench.gpu.differences``.

Both start from the same rounded numbers; differences are relative to the largest value of the CPU's result. Gradients are
compared with the outputs where the op has one.
"""

from __future__ import annotations

import json

import numpy as np

import mlkit
from tests.bench.gpu.common import RESULTS
from tests.ops.make_inputs import arrays_for, cases
from tests.ops.test_every_op import ELSEWHERE
from tests.ops.test_every_op_cuda import run_on

DTYPES = ("float64", "float32", "float16", "bfloat16", "complex128", "complex64")


def difference(op, sample, dtype: str) -> float | None:
    """The largest relative difference; None where the op does not take that dtype."""
    arrays, attributes = arrays_for(op, sample)
    kind = getattr(mlkit, dtype)
    letter = "c" if dtype.startswith("complex") else "f"
    if not any(a.dtype.kind == letter for a in arrays):
        return None
    arrays = [mlkit.tensor(a).to(kind).numpy() if a.dtype.kind == letter else a for a in arrays]
    try:
        wanted = run_on("cpu", op, arrays, attributes)
    except Exception:  # the CPU refuses that dtype: there is nothing to compare
        return None
    worst = 0.0
    for (_, a, _), (_, b, _) in zip(run_on("cuda", op, arrays, attributes), wanted, strict=True):
        a, b = (x.astype(np.complex128 if letter == "c" else np.float64) for x in (a, b))
        same = np.isfinite(b)
        assert (np.isfinite(a) == same).all(), f"{op.name} {dtype}: one is not finite where the other is"
        if same.any():
            worst = max(worst, float(abs(a - b)[same].max() / max(abs(b[same]).max(), 1e-30)))
    return worst


def main() -> None:
    found: dict[str, dict[str, float]] = {}
    for case in cases():
        op, sample = case.values
        if op.name in ELSEWHERE:
            continue
        for dtype in DTYPES:
            try:
                d = difference(op, sample, dtype)
            except Exception as error:
                print(f"{op.name} {dtype}: {type(error).__name__}: {str(error).splitlines()[0][:120]}")
                continue
            if d is not None:
                row = found.setdefault(op.name, {})
                row[dtype] = max(row.get(dtype, 0.0), d)
    for dtype in DTYPES:
        rows = sorted(((r[dtype], name) for name, r in found.items() if dtype in r), reverse=True)
        print(f"{dtype}: {len(rows)} ops; " + ", ".join(f"{name} {d:.1e}" for d, name in rows[:6]))
    RESULTS.joinpath("gpu-differences.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
