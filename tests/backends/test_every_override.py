"""Every override of the registry against NumPy: a new one is tested by being there.

The samples are those of the op itself, and for kernels that want more rows or rounder sizes than samples have, the ones
below; each in float32 (contiguous, strange in memory, with a NaN, empty) and in float64.
"""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.backends import numba
from mlkit.core.dispatch import ops
from mlkit.ops import REGISTRY
from mlkit.ops.registry import Sample
from tests.backends.kernel_checks import kernels_for_all_sizes, needs_numba, same
from tests.ops.make_inputs import arrays_for

pytestmark = needs_numba

#: samples that kernels take which leave the op's own ones to NumPy
LARGER: dict[str, list] = {
    "linear": [((33, 32), (48, 32), (48,)), ((2, 20, 16), (32, 16))],
    "lstm_sequence": [((3, 5, 64), (5, 16), (5, 16), (64, 16)), ((2, 14, 192), (14, 48), (14, 48), (192, 48))],
    "attention": [
        ((2, 3, 49, 16), (2, 3, 37, 16), (2, 3, 37, 32), {"scale": 0.3, "is_causal": False}),
        ((2, 50, 32), (2, 50, 32), (2, 50, 16), {"scale": 0.2, "is_causal": True}),
    ],
    "max_pool2d": [
        ((2, 19, 7, 9), {"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 1), "dilation": (1, 2)}),
    ],
    "index_add": [((7, 50), Sample((20,), "index", "int64", 7), (20, 50), {"dim": 0})],
    "scatter_add": [((7,), Sample((300,), "index", "int64", 7), (300,), {"dim": 0})],
    "softmax_cross_entropy": [((300, 10), Sample((300,), "index", "int64", 10))],
    "conv2d": [((2, 16, 9, 7), (32, 16, 3, 3), (32,), {"padding": (1, 1)})],
}
NAMES = sorted({*numba.OVERRIDES, *(name for name, _ in numba.GRADIENTS)})
taken: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def used():
    with kernels_for_all_sizes() as found:
        yield found
        taken.update(found)


def inputs_of(name: str):
    op = REGISTRY[name]
    for sample in [*op.samples, *LARGER.get(name, [])]:
        arrays, attributes = arrays_for(op, sample)
        yield [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays], attributes


def called(name: str, attributes: dict):
    entry = getattr(ops, name)
    return lambda *tensors: entry(*tensors, **attributes)


def strange(a: np.ndarray):
    yield np.asfortranarray(a)
    if a.ndim:
        yield np.repeat(a, 2, axis=-1)[..., ::2]
        yield np.flip(np.flip(a).copy())


@pytest.mark.parametrize("name", NAMES)
def test_float32(name):
    for arrays, attributes in inputs_of(name):
        same(called(name, attributes), arrays, tolerance=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_memory_order(name):
    for arrays, attributes in inputs_of(name):
        for turned in zip(*(list(strange(a)) for a in arrays), strict=False):
            same(called(name, attributes), list(turned), tolerance=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_float64_is_left_as_it_is(name):
    for arrays, attributes in inputs_of(name):
        wide = [a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays]
        same(called(name, attributes), wide, tolerance=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_nan_goes_where_numpy_puts_it_or_farther(name):
    """Forward. (Winograd's convolution spreads it over its tile; nothing may lose it.)"""
    op = REGISTRY[name]
    for arrays, attributes in inputs_of(name):
        floats = [i for i, a in enumerate(arrays) if a.dtype == np.float32 and a.size]
        if not floats or op.variadic:
            continue
        spoilt = [a.copy() for a in arrays]
        spoilt[floats[0]].reshape(-1)[spoilt[floats[0]].size // 2] = np.nan
        with np.errstate(all="ignore"), mlkit.no_grad():
            ours = called(name, attributes)(*map(mlkit.from_numpy, spoilt))
            mlkit.config.numba = False
            try:
                theirs = called(name, attributes)(*map(mlkit.from_numpy, spoilt))
            finally:
                mlkit.config.numba = True
        for a, b in zip(*(x if isinstance(x, tuple) else (x,) for x in (ours, theirs)), strict=True):
            a, b = a.numpy(), b.numpy()
            assert np.isnan(a)[np.isnan(b)].all()
            if name != "conv2d":
                np.testing.assert_array_equal(np.isnan(a), np.isnan(b))


def test_each_was_really_used(used):
    for name in NAMES:  # also when this test runs alone
        for arrays, attributes in inputs_of(name):
            same(called(name, attributes), arrays, tolerance=2e-5)
    never = [n for n in numba.OVERRIDES if not used.get(n)]
    never += [f"{n} gradient" for n, _ in numba.GRADIENTS if not used.get(f"{n} gradient")]
    assert not never, never


def test_calls_have_the_types_that_warmup_compiles():
    """Else the first step would compile after all. (Those that the tests above have called.)"""
    from mlkit.backends.numba import compiling

    others = {
        f"{kernel.__module__}.{kernel.__name__}": extra
        for kernel in compiling.all_kernels()
        if (extra := [s for s in kernel.signatures if s not in compiling.warm_types(kernel)])
    }
    assert not others, others
