"""The number of BLAS threads is put back, also after an error and with threads."""

from __future__ import annotations

import pytest

import mlkit
from mlkit.backends.numpy import blas

needs_openblas = pytest.mark.skipif(blas._openblas() is None, reason="NumPy here uses another BLAS")


@needs_openblas
def test_one_thread_inside_and_as_before_outside():
    get, put = blas._openblas()
    before = get()
    put(2)
    try:
        with blas.one_thread():
            assert get() == 1
        assert get() == 2
        with pytest.raises(ZeroDivisionError), blas.one_thread():
            1 / 0
        assert get() == 2
        mlkit.nn.Conv2d(1, 1, 1)(mlkit.zeros(1, 1, 2, 2))
        assert get() == 2
    finally:
        put(before)
