"""Killed with no warning at random moments and begun again, a training ends with the very same bits."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlkit.io import load_checkpoint

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SCRIPT = Path(__file__).with_name("kill_run.py")


def end_of(folder):
    """Everything of the last checkpoint but the times of its points."""
    state = load_checkpoint(folder / "end")
    history = state.pop("history")
    state["curves"] = {name: (steps, values) for name, (steps, _, values) in history["series"].items()}
    state["epochs"] = history["epochs"]
    return state


def same(a, b, place=""):
    assert type(a) is type(b), place
    if isinstance(a, dict):
        assert list(a) == list(b), place
        for key in a:
            same(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), place
        for at, (one, other) in enumerate(zip(a, b)):
            same(one, other, f"{place}.{at}")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), place
    else:
        assert a == b or (a != a and b != b), (place, a, b)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "kills"),
    [
        ("plain", 18),  # early stopping with the best weights, a plateau schedule, a checkpoint every two steps
        ("all", 16),  # fp16 with a gradient scale, averaged weights, accumulation, clipping, several checkpoints kept
        ("workers", 8),  # worker processes, one-cycle schedule
        ("writing", 8),  # each kill while a checkpoint is being written
    ],
)
def test_killed_at_random_moments(tmp_path, mode, kills):
    result = subprocess.run(
        [sys.executable, SCRIPT, tmp_path, mode, str(kills), "7"],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    killed, chains, while_writing = map(int, result.stdout.split())
    assert killed == kills and chains >= 1
    if mode == "writing":
        assert while_writing >= kills // 2
    whole = end_of(tmp_path / "whole")
    assert whole["place"]["step"] > 30
    for chain in range(chains):
        same(whole, end_of(tmp_path / f"chain-{chain}"))
