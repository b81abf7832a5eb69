"""Numbers to compare with, and the scripts that made them."""

from __future__ import annotations

import zipfile
from functools import cache
from pathlib import Path

import numpy as np


@cache
def _kept() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("torch.npz")) as kept:
        return dict(kept)


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


@cache
def kept_layers() -> dict[str, np.ndarray]:
    """PyTorch's arrays of the layers and functional forms (see make_torch.save)."""
    found: dict[str, np.ndarray] = {}
    for file in ("torch_c1.npz", "torch_c1_cases.npz"):
        with zipfile.ZipFile(Path(__file__).with_name(file)) as archive:
            data = archive.read("data.bin")
            index = archive.read("index.txt").decode().split("\n")
        for line in index:
            if "|" not in line:
                name, _, other = line.partition("=")
                found[name] = found[other]
                continue
            name, dtype, shape, start = line.split("|")
            sizes = tuple(int(n) for n in shape.split(",") if n)
            count = int(np.prod(sizes)) if sizes else 1
            found[name] = np.frombuffer(data, np.dtype(dtype), count, int(start)).reshape(sizes)
    return found


def expected_layer(prefix: str) -> dict[str, np.ndarray]:
    """PyTorch's arrays of one case or layer, by key."""
    found = {k[len(prefix) + 1 :]: v for k, v in kept_layers().items() if k.startswith(prefix + "/")}
    assert found, f"no numbers kept for {prefix}: run python -m tests.oracle.make_torch"
    return found


def differences(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray], loose: bool = False) -> list[str]:
    """What differs, a line each: keys, dtypes, shapes, values."""
    lines = [f"only in one: {sorted(set(got) ^ set(wanted))}"] if set(got) != set(wanted) else []
    for key in set(got) & set(wanted):
        a, b = got[key], wanted[key]
        if a.dtype.kind == b.dtype.kind == "U":
            if a.tolist() != b.tolist():
                lines.append(f"{key}: {a.tolist()} is not {b.tolist()}")
        elif a.dtype != b.dtype or a.shape != b.shape:
            lines.append(f"{key}: {a.dtype} {a.shape} is not {b.dtype} {b.shape}")
        elif b.dtype.kind in "fc":
            rtol, atol = (1e-5, 1e-6) if b.dtype == np.float32 or loose else (1e-9, 1e-11)
            if not np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True):
                lines.append(f"{key}: differs by {np.abs(a - b).max()}")
        elif not (a == b).all():
            lines.append(f"{key}: {a} is not {b}")
    return lines
