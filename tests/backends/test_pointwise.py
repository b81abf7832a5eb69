"""Elementwise kernels against NumPy: sizes, layouts, special values, other dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
import mlkit.nn.functional as F
from mlkit.backends import numba
from tests.backends.kernel_checks import arrays, kernels_for_all_sizes, needs_numba, same

pytestmark = needs_numba

FUNCTIONS = {
    "exp": mlkit.exp,
    "log": lambda x: mlkit.log(x * x + 0.5),
    "log of any": mlkit.log,
    "erf": mlkit.erf,
    "erfc": mlkit.erfc,
    "tanh": mlkit.tanh,
    "sigmoid": mlkit.sigmoid,
    "silu": F.silu,
    "relu": F.relu,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
}
SPECIAL = np.array(
    [0, -0.0, 1e-45, -1e-40, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 88.8, -87.5, -103.9, 20.5, -50, 1e-8]
)


@pytest.fixture(scope="module", autouse=True)
def used():
    with kernels_for_all_sizes() as found:
        yield found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sizes_and_layouts(name):
    for shape in ((), (0,), (1,), (7,), (17,), (3, 5), (2, 0, 3), (2, 3, 4, 5), (33, 31)):
        for x in arrays(shape).values():
            with np.errstate(all="ignore"):
                same(FUNCTIONS[name], [x])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name):
    x = np.tile(SPECIAL, 3).astype(np.float32)
    with np.errstate(all="ignore"):
        if name.startswith(
            ("gelu", "silu", "softplus", "log of")
        ):  # NumPy's way there makes NaN of infinity times zero
            x = x[np.abs(x) < 1e30] if "gelu" in name else x[np.isfinite(x)]
            same(FUNCTIONS[name], [np.append(x, np.float32(np.nan))], tolerance=1e-5)
        else:
            same(FUNCTIONS[name], [x])


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_dtypes_are_numpys(name, dtype):
    x = np.random.default_rng(3).standard_normal((5, 7)).astype(dtype)
    with np.errstate(all="ignore"):
        same(FUNCTIONS[name], [x], exact=True)


def test_large_arrays_in_several_threads():
    from mlkit.backends.numba import pool

    before = pool.threads()
    pool.set_threads(3)
    try:
        x = np.random.default_rng(5).standard_normal((513, 301)).astype(np.float32)
        for fn in FUNCTIONS.values():
            with np.errstate(all="ignore"):
                same(fn, [x])
    finally:
        pool.set_threads(before)


def test_relu_is_exact_and_keeps_the_layout():
    x = arrays((2, 3, 4, 5))["channels last"]
    same(F.relu, [x], exact=True)
    assert F.relu(mlkit.from_numpy(x)).numpy().strides == x.strides


def test_every_override_ran(used):
    for name in numba.OVERRIDES:
        if numba.OVERRIDES[name].family.endswith(".pointwise"):
            assert used.get(name), name
    for name, _ in numba.GRADIENTS:
        if numba.GRADIENTS[name, _].family.endswith(".pointwise"):
            assert used.get(f"{name} gradient"), name
