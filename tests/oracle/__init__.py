"""Numbers to compare with, and the scripts that made them."""

from __future__ import annotations

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
