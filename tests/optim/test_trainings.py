"""Whole trainings against PyTorch's loss curves: same weights at the start, same batches in the same order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import mlkit
from tests.oracle import trainings


@pytest.mark.parametrize("name", trainings.TRAININGS)
def test_loss_curve(name):
    """The first ten steps to 1e-5; all to 1e-3, since float32 sums in another order grow apart as training goes on."""
    if name == "gpt_shakespeare" and trainings.shakespeare() is None:
        pytest.skip("tiny-shakespeare is not there: set MLKIT_DATA to the folder that holds it")
    with np.load(Path(trainings.__file__).with_name("trainings.npz")) as kept:
        theirs = kept[name]
    ours = trainings.train(name, mlkit)
    assert len(ours) == len(theirs)
    assert ours[-10:].mean() < 0.7 * ours[:3].mean()  # it learns at all
    np.testing.assert_allclose(ours[:10], theirs[:10], rtol=1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
