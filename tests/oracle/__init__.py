"""Numbers to compare with, and the scripts that made them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np


@cache
def _kept() -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for path in sorted(Path(__file__).parent.glob("torch*.npz")):
        with np.load(path) as kept:
            found.update(unpack(kept) if "index" in kept else kept)
    return found


def pack(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Many small arrays as two, for a file without thousands of entries: their bytes, and what is where."""
    index = [[key, a.dtype.str, a.shape] for key, a in arrays.items()]
    data = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays.values())
    return {"index": np.array(json.dumps(index)), "bytes": np.frombuffer(data, np.uint8)}


def unpack(kept) -> dict[str, np.ndarray]:
    """The arrays that ``pack`` put together."""
    data, place, found = kept["bytes"].tobytes(), 0, {}
    for key, dtype, shape in json.loads(kept["index"].item()):
        count = int(np.prod(shape))
        found[key] = np.frombuffer(data, dtype, count, place).reshape(shape)
        place += count * np.dtype(dtype).itemsize
    return found


def expected(prefix: str) -> dict[str, np.ndarray]:
    """PyTorch's arrays of one case or program, by key."""
    found = {k[len(prefix) + 1 :]: v for k, v in _kept().items() if k.startswith(prefix + "/")}
    assert found, f"no numbers kept for {prefix}: run python -m tests.oracle.make_torch"
    return found


def compare(got: dict[str, np.ndarray], prefix: str, loose: bool = False) -> None:
    """Same keys, dtypes, shapes and values."""
    wanted = expected(prefix)
    assert sorted(got) == sorted(wanted)
    for key, array in wanted.items():
        assert got[key].dtype == array.dtype, key
        assert got[key].shape == array.shape, key
        if array.dtype.kind in "fc":
            rough = loose or array.dtype in (np.float32, np.complex64)
            rtol, atol = (1e-5, 1e-6) if rough else (1e-9, 1e-11)
            np.testing.assert_allclose(got[key], array, rtol=rtol, atol=atol, err_msg=key)
        else:
            np.testing.assert_array_equal(got[key], array, err_msg=key)
