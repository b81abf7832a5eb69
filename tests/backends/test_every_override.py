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
from mlkit.ops.registry import Elementwise, Sample
from tests.backends.kernel_checks import kernels_for_all_sizes, needs_numba, numpy_alone, run, same
from tests.ops.make_inputs import arrays_for

pytestmark = needs_numba

#: samples that kernels take which leave the op's own ones to NumPy
LARGER: dict[str, list] = {
    "linear": [
        *(((33, 32), (48, 32), (48,)), ((2, 20, 16), (32, 16))),
        *(((1, 304), (outs, 304), (outs,)) for outs in (1, 7, 8, 29)),  # a single row
        *(((1, 1, 1296), (409, 1296)), ((160,), (13, 160), (13,))),
        ((17, 784), (48, 784), (48,)),  # few rows, long sums: in parts
        ((259, 1040), (32, 1040), (32,)),  # many rows, long sums
        ((133, 48), (1040, 48)),  # a gradient with long sums
        ((260, 528), (32, 528), (32,)),  # a gradient with wide rows
        ((530, 400), (112, 400), (112,)),  # a weight's gradient over many rows, in bands and groups
    ],
    "gru_sequence": [((3, 5, 48), (5, 16), (48, 16), (48,)), ((2, 14, 144), (14, 48), (144, 48))],
    "lstm_sequence": [((3, 5, 64), (5, 16), (5, 16), (64, 16)), ((2, 14, 192), (14, 48), (14, 48), (192, 48))],
    "lstm_states": [
        ((5, 14, 32), (14, 48), (14, 48), (192, 32), (192, 48), (192,), (192,)),  # inputs step by step
        ((3, 67, 16), (67, 16), (67, 16), (64, 16), (64, 16), (64,)),  # two chunks
        ((17, 2, 16), (2, 32), (2, 32), (128, 16), (128, 32)),  # all inputs at once
        ((2, 9, 208), (9, 208), (9, 208), (832, 208), (832, 208)),  # the same, for their weights' size
    ],
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
#: sizes beside those of registers, panels and blocks, with sizes of one. (Elementwise ops have theirs below.)
ODD: dict[str, list] = {
    "attention": [
        ((1, 1, 17, 16), (1, 1, 1, 16), (1, 1, 1, 16), {"scale": 1.0, "is_causal": True}),
        ((3, 1, 33, 48), (3, 1, 65, 48), (3, 1, 65, 16), {"scale": 0.1, "is_causal": False}),
        ((1, 1, 16), (1, 31, 16), (1, 31, 80), {"scale": 0.2, "is_causal": True}),
    ],
    "avg_pool2d": [
        ((3, 17, 7, 9), {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 1)}),
        ((1, 33, 1, 5), {"kernel_size": (1, 3), "stride": (1, 1), "padding": (0, 0)}),
    ],
    "avg_pool2d_grad": [
        ((3, 17, 4, 4), {"shape": (3, 17, 7, 9), "kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 1)}),
        ((1, 33, 1, 3), {"shape": (1, 33, 1, 5), "kernel_size": (1, 3), "stride": (1, 1), "padding": (0, 0)}),
    ],
    "batch_norm_eval": [
        ((3, 17, 5, 1), (17,), Sample((17,), "positive"), (17,), (17,)),
        ((7, 1), (1,), Sample((1,), "positive"), (1,), (1,)),
        ((1, 33, 7), (33,), Sample((33,), "positive"), (33,), (33,)),
    ],
    "batch_norm_train": [((3, 17, 5, 1), (17,), (17,)), ((7, 33), (33,), (33,)), ((2, 1, 3), (1,), (1,))],
    "conv1d": [
        ((1, 1, 17), (1, 1, 5), (1,)),
        ((3, 17, 31), (19, 17, 3), (19,), {"padding": (2,), "stride": (3,)}),
    ],
    "conv1d_input_grad": [
        ((1, 1, 13), (1, 1, 5), {"shape": (1, 1, 17)}),
        ((3, 19, 11), (19, 17, 3), {"shape": (3, 17, 31), "padding": (2,), "stride": (3,)}),
    ],
    "conv1d_weight_grad": [
        ((1, 1, 17), (1, 1, 13), {"shape": (1, 1, 5)}),
        ((3, 17, 31), (3, 19, 11), {"shape": (19, 17, 3), "padding": (2,), "stride": (3,)}),
    ],
    "conv2d": [
        ((1, 1, 9, 11), (1, 1, 5, 3), (1,)),
        ((3, 17, 13, 7), (33, 17, 3, 3), (33,), {"padding": (1, 1), "stride": (2, 1)}),
        ((3, 16, 11, 13), (48, 16, 3, 3), (48,), {"padding": (1, 1)}),  # by Winograd's way
        ((1, 33, 7, 7), (19, 33, 1, 1), (19,)),
        ((2, 17, 9, 7), (17, 1, 3, 3), (17,), {"groups": 17, "padding": (1, 1)}),
    ],
    "conv2d_input_grad": [
        ((1, 1, 5, 9), (1, 1, 5, 3), {"shape": (1, 1, 9, 11)}),
        ((3, 33, 7, 7), (33, 17, 3, 3), {"shape": (3, 17, 13, 7), "padding": (1, 1), "stride": (2, 1)}),
        ((3, 48, 11, 13), (48, 16, 3, 3), {"shape": (3, 16, 11, 13), "padding": (1, 1)}),
        ((2, 17, 9, 7), (17, 1, 3, 3), {"shape": (2, 17, 9, 7), "groups": 17, "padding": (1, 1)}),
    ],
    "conv2d_weight_grad": [
        ((1, 1, 9, 11), (1, 1, 5, 9), {"shape": (1, 1, 5, 3)}),
        ((3, 17, 13, 7), (3, 33, 7, 7), {"shape": (33, 17, 3, 3), "padding": (1, 1), "stride": (2, 1)}),
        ((3, 16, 11, 13), (3, 48, 11, 13), {"shape": (48, 16, 3, 3), "padding": (1, 1)}),
        ((2, 17, 9, 7), (2, 17, 9, 7), {"shape": (17, 1, 3, 3), "groups": 17, "padding": (1, 1)}),
    ],
    "dropout": [((n,), {"p": 0.3, "key": (3, 5)}) for n in (1, 7, 9, 129)],
    "embedding_grad": [
        ((1, 1), Sample((1,), "index", "int64", 2), {"shape": (2, 1)}),
        ((7, 33), Sample((7,), "index", "int64", 5), {"shape": (5, 33), "padding_idx": 1}),
    ],
    "gru_sequence": [((1, 1, 48), (1, 16), (48, 16)), ((3, 13, 96), (13, 32), (96, 32), (96,))],
    "index_add": [((7, 33), Sample((19,), "index", "int64", 7), (19, 33), {"dim": 0})],
    "layer_norm": [
        ((1, 1), (1,), (1,), {"dims": 1}),
        ((3, 17), (17,), (17,), {"dims": 1}),
        ((5, 3, 11), (3, 11), (3, 11), {"dims": 2}),
        ((33, 48), (48,), (48,), {"dims": 1}),
    ],
    "linear": [
        ((1, 16), (16, 16), (16,)),
        *(((rows, 16), (48, 16), (48,)) for rows in (3, 5, 13, 97, 129)),
        ((7, 33), (17, 33), (17,)),
    ],
    "log_softmax": [((1, 1), {"dim": 1}), ((3, 17), {"dim": 1}), ((2, 3, 65), {"dim": 2})],
    "lstm_sequence": [((1, 1, 64), (1, 16), (1, 16), (64, 16)), ((3, 13, 128), (13, 32), (13, 32), (128, 32))],
    "lstm_states": [
        ((1, 1, 16), (1, 16), (1, 16), (64, 16), (64, 16)),
        ((3, 13, 48), (13, 32), (13, 32), (128, 48), (128, 32), (128,)),
    ],
    "max_pool2d": [
        (Sample((3, 17, 7, 9), "distinct"), {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 1)}),
        (Sample((1, 33, 1, 5), "distinct"), {"kernel_size": (1, 3), "stride": (1, 1), "padding": (0, 0)}),
    ],
    "rms_norm": [((1, 1), (1,), {"dims": 1}), ((3, 17), (17,), {"dims": 1}), ((33, 48), (48,), {"dims": 1})],
    "scatter_add": [((7,), Sample((33,), "index", "int64", 7), (33,), {"dim": 0})],
    "softmax": [((1, 1), {"dim": 1}), ((3, 17), {"dim": 1}), ((2, 3, 65), {"dim": 2})],
    "softmax_cross_entropy": [((n, c), Sample((n,), "index", "int64", c)) for n, c in ((1, 1), (3, 17), (65, 33))],
}
#: nothing in one place or another: no examples, no rows, no channels
EMPTY: dict[str, list] = {
    "attention": [
        ((0, 2, 5, 16), (0, 2, 3, 16), (0, 2, 3, 16), {"scale": 1.0, "is_causal": False}),
        ((1, 0, 16), (1, 3, 16), (1, 3, 16), {"scale": 1.0, "is_causal": True}),
    ],
    "avg_pool2d": [((0, 3, 6, 6), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)})],
    "avg_pool2d_grad": [
        ((0, 3, 3, 3), {"shape": (0, 3, 6, 6), "kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)})
    ],
    "batch_norm_eval": [((0, 3, 2, 2), (3,), Sample((3,), "positive"), (3,), (3,))],
    "batch_norm_train": [((4, 0, 2, 2), (0,), (0,))],
    "conv1d": [((0, 3, 7), (4, 3, 3), (4,))],
    "conv1d_input_grad": [((0, 4, 5), (4, 3, 3), {"shape": (0, 3, 7)})],
    "conv1d_weight_grad": [((0, 3, 7), (0, 4, 5), {"shape": (4, 3, 3)})],
    "conv2d": [((0, 3, 6, 5), (4, 3, 3, 3), (4,), {"padding": (1, 1)})],
    "conv2d_input_grad": [((0, 4, 6, 5), (4, 3, 3, 3), {"shape": (0, 3, 6, 5), "padding": (1, 1)})],
    "conv2d_weight_grad": [((0, 3, 6, 5), (0, 4, 6, 5), {"shape": (4, 3, 3, 3), "padding": (1, 1)})],
    "dropout": [((0,), {"p": 0.3, "key": (3, 5)}), ((3, 0), {"p": 0.3, "key": (3, 5)})],
    "embedding_grad": [
        ((0, 3), Sample((0,), "index", "int64", 5), {"shape": (5, 3)}),
        ((4, 0), Sample((4,), "index", "int64", 5), {"shape": (5, 0)}),
    ],
    "gru_sequence": [((3, 0, 48), (0, 16), (48, 16), (48,))],
    "index_add": [
        ((3, 4), Sample((0,), "index", "int64", 3), (0, 4), {"dim": 0}),
        ((3, 0), Sample((2,), "index", "int64", 3), (2, 0), {"dim": 0}),
    ],
    "layer_norm": [((0, 16), (16,), (16,), {"dims": 1})],
    "linear": [((0, 16), (16, 16), (16,)), ((3, 0), (16, 0), (16,)), ((3, 16), (0, 16), (0,))],
    "log_softmax": [((0, 4), {"dim": 1}), ((3, 0), {"dim": 1})],
    "lstm_sequence": [((3, 0, 64), (0, 16), (0, 16), (64, 16))],
    "lstm_states": [((3, 0, 16), (0, 16), (0, 16), (64, 16), (64, 16))],
    "max_pool2d": [((0, 3, 6, 6), {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0)})],
    "rms_norm": [((0, 16), (16,), {"dims": 1})],
    "scatter_add": [((7,), Sample((0,), "index", "int64", 7), (0,), {"dim": 0})],
    "softmax": [((0, 4), {"dim": 1}), ((3, 0), {"dim": 1})],
    "softmax_cross_entropy": [((0, 4), Sample((0,), "index", "int64", 4))],
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


def elementwise(shapes, op) -> list:
    positive = op.samples and isinstance(op.samples[0][0], Sample) and op.samples[0][0].values
    return [tuple(Sample(shape, positive or "normal") for _ in op.inputs) for shape in shapes]


def odd_of(name: str) -> list:
    op = REGISTRY[name]
    if isinstance(op, Elementwise) and name not in ODD:
        return elementwise([(1,), (15,), (17,), (33,), (3, 5, 7), (1025,)], op)
    return ODD[name]  # a new override needs its own


def empty_of(name: str) -> list:
    op = REGISTRY[name]
    return elementwise([(0,), (3, 0)], op) if isinstance(op, Elementwise) and name not in EMPTY else EMPTY[name]


def floats_of(name: str, sample):
    arrays, attributes = arrays_for(REGISTRY[name], sample)
    return [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays], attributes


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
def test_odd_sizes(name):
    for sample in odd_of(name):
        arrays, attributes = floats_of(name, sample)
        same(called(name, attributes), arrays, tolerance=2e-5)
        for turned in zip(*(list(strange(a)) for a in arrays), strict=False):
            same(called(name, attributes), list(turned), tolerance=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_at_all(name):
    for sample in empty_of(name):
        arrays, attributes = floats_of(name, sample)
        same(called(name, attributes), arrays)


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


@pytest.mark.parametrize("name", NAMES)
def test_nan_goes_backward_where_numpy_lets_it_or_farther(name):
    """A NaN in each input in turn, and in the gradient that comes."""
    for arrays, attributes in inputs_of(name):
        places = [i for i, a in enumerate(arrays) if a.dtype == np.float32 and a.size]
        if REGISTRY[name].variadic or attributes.get("is_causal"):  # a key that nobody may see need not be read
            continue
        for place in [*places, None]:
            spoilt = [a.copy() for a in arrays]
            if place is not None:
                spoilt[place].reshape(-1)[spoilt[place].size // 2] = np.nan
            with np.errstate(all="ignore"):
                ours = run(called(name, attributes), spoilt, spoil=place is None)
                with numpy_alone():
                    theirs = run(called(name, attributes), spoilt, spoil=place is None)
            assert len(ours) == len(theirs)
            for a, b in zip(ours, theirs, strict=True):
                assert np.isnan(a)[np.isnan(b)].all()
                if not name.startswith("conv"):
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
