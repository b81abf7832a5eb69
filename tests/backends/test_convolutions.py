"""Convolutions and pooling by kernels, against NumPy: every way there is to compute them, over shapes that are no multiple
of anything; Winograd's error; the memory order of chains."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
import mlkit.nn.functional as F
from mlkit.backends.numba import conv
from tests.backends.kernel_checks import arrays, kernels_for_all_sizes, needs_numba, numpy_alone, same

pytestmark = needs_numba

CASES = {  # input, weight, how
    "few channels": ((2, 3, 9, 11), (5, 3, 3, 3), {"padding": 1}),
    "one channel": ((3, 1, 28, 28), (32, 1, 5, 5), {"padding": 2}),
    "large filter, stride 2": ((1, 3, 20, 21), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
    "winograd": ((2, 16, 12, 13), (32, 16, 3, 3), {"padding": 1}),
    "winograd without padding": ((2, 32, 9, 7), (48, 32, 3, 3), {}),
    "winograd, padding 2": ((1, 48, 5, 6), (16, 48, 3, 3), {"padding": 2}),
    "winograd, many tiles": ((2, 64, 30, 30), (64, 64, 3, 3), {"padding": 1}),
    "winograd, many channels": ((2, 160, 4, 4), (176, 160, 3, 3), {"padding": 1}),
    "stride 2": ((3, 16, 8, 9), (48, 16, 3, 3), {"padding": 1, "stride": 2}),
    "strides differ": ((2, 4, 7, 6), (20, 4, 2, 3), {"stride": (1, 2)}),
    "dilation": ((2, 16, 10, 11), (16, 16, 3, 3), {"padding": 2, "dilation": 2}),
    "dilation on one axis": ((2, 5, 10, 11), (16, 5, 3, 3), {"padding": (0, 3), "dilation": (1, 3)}),
    "1x1": ((2, 24, 9, 9), (40, 24, 1, 1), {}),
    "1x1, stride 2": ((2, 8, 9, 9), (16, 8, 1, 1), {"stride": 2}),
    "stride over the filter": ((4, 5, 7, 6), (7, 5, 3, 3), {"padding": 1, "stride": 4}),
    "short lines": ((3, 8, 5, 5), (33, 8, 5, 5), {"padding": 2}),
    "one place": ((2, 8, 5, 5), (33, 8, 5, 5), {}),
    "same": ((1, 6, 8, 8), (16, 6, 4, 4), {"padding": "same"}),
    "groups": ((2, 8, 9, 9), (12, 2, 3, 3), {"padding": 1, "groups": 4}),
    "wide groups": ((2, 32, 9, 9), (32, 16, 3, 3), {"padding": 1, "groups": 2}),
    "depthwise": ((2, 20, 9, 11), (20, 1, 3, 3), {"padding": 1, "groups": 20}),
    "depthwise, stride 2": ((2, 16, 9, 10), (16, 1, 3, 3), {"padding": 1, "stride": 2, "groups": 16}),
    "depthwise, larger": ((1, 48, 12, 9), (48, 1, 5, 5), {"padding": 2, "groups": 48}),
    "one small image": ((1, 16, 8, 8), (24, 16, 3, 3), {"padding": 1}),
    "one small image, many channels": ((1, 48, 7, 9), (40, 48, 3, 2), {"padding": (1, 2), "dilation": (1, 2)}),
    "one small image, many channels, stride 2": ((1, 32, 9, 8), (16, 32, 3, 3), {"padding": 1, "stride": 2}),
    "one small image, odd": ((1, 19, 7, 5), (37, 19, 3, 3), {"padding": (2, 1)}),
    "one small image, stride 2": ((1, 16, 13, 14), (32, 16, 3, 3), {"padding": 1, "stride": 2}),
    "one small image, 1x1": ((1, 33, 9, 11), (18, 33, 1, 1), {"stride": 2}),
    "one small image, dilation": ((1, 17, 10, 9), (20, 17, 3, 2), {"padding": 2, "dilation": 2}),
    "empty batch": ((0, 4, 8, 8), (16, 4, 3, 3), {"padding": 1}),
}


@pytest.fixture(scope="module", autouse=True)
def used():
    with kernels_for_all_sizes() as found:
        yield found


def numbers(*shapes, seed=3):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


WAYS = [(case, False) for case in CASES] + [(case, True) for case in CASES if case.startswith("winograd")]


@pytest.mark.parametrize("case, winograd", WAYS)
def test_forward_and_gradients(case, winograd):
    x_shape, w_shape, how = CASES[case]
    x, w, b = numbers(x_shape, w_shape, w_shape[:1])
    mlkit.config.winograd = winograd
    try:
        same(lambda x, w, b: F.conv2d(x, w, b, **how), [x, w, b], tolerance=2e-5 if winograd else 3e-6)
        same(lambda x, w: F.conv2d(x, w, **how), [x, w], tolerance=2e-5 if winograd else 3e-6)
    finally:
        mlkit.config.winograd = True


@pytest.mark.parametrize("case", ["winograd", "stride 2", "few channels", "1x1"])
def test_memory_orders_and_float64(case):
    x_shape, w_shape, how = CASES[case]
    for x in arrays(x_shape).values():
        for w in arrays(w_shape, seed=1).values():
            same(lambda x, w: F.conv2d(x, w, **how), [x, w], tolerance=2e-5)
    x, w = (a.astype(np.float64) for a in numbers(x_shape, w_shape))
    same(lambda x, w: F.conv2d(x, w, **how), [x, w], exact=True)


@pytest.mark.parametrize("how", [{}, {"padding": 2}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"groups": 2}])
def test_one_dim(how):
    x, w, b = numbers((2, 32, 19), (48, 32 // how.get("groups", 1), 3), (48,))
    same(lambda x, w, b: F.conv1d(x, w, b, **how), [x, w, b], tolerance=3e-6)


def test_transposed():
    x, w, b = numbers((2, 16, 7, 6), (16, 8, 4, 4), (8,))
    same(lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1), [x, w, b], tolerance=3e-6)


@pytest.mark.parametrize("winograd", [True, False])
def test_error_against_float64_is_what_config_says(winograd):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 128, 16, 16)), rng.normal(size=(128, 128, 3, 3))
    g = rng.normal(size=(4, 128, 16, 16))
    worst = 0.0
    mlkit.config.winograd = winograd
    try:
        found = []
        for kind in (np.float32, np.float64):
            tx, tw = (mlkit.from_numpy(a.astype(kind)).requires_grad_() for a in (x, w))
            y = F.conv2d(tx, tw, padding=1)
            y.backward(mlkit.from_numpy(g.astype(kind)))
            found.append([y.detach().numpy(), tx.grad.numpy(), tw.grad.numpy()])
    finally:
        mlkit.config.winograd = True
    for ours, exact in zip(*found, strict=True):
        worst = max(worst, float(np.abs(ours - exact).max() / np.abs(exact).max()))
    assert worst < (2e-5 if winograd else 2e-6)


def test_a_nan_reaches_at_most_its_tiles():
    x, w = numbers((1, 16, 24, 24), (16, 16, 3, 3))
    x[0, 3, 10, 10] = np.nan
    spoilt = np.isnan(F.conv2d(mlkit.from_numpy(x), mlkit.from_numpy(w), padding=1).numpy())
    rows, columns = np.nonzero(spoilt.any((0, 1)))
    assert spoilt[:, :, 9:12, 9:12].all()
    assert min(rows.min(), columns.min()) >= 5 and max(rows.max(), columns.max()) <= 15


def in_channels_last(t) -> bool:
    return t._array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_chains_stay_channels_last():
    x = mlkit.randn(4, 16, 16, 16)
    first, norm, second = mlkit.nn.Conv2d(16, 32, 3, padding=1), mlkit.nn.BatchNorm2d(32), mlkit.nn.Conv2d(32, 16, 1)
    steps = [first, norm, F.relu, lambda t: F.max_pool2d(t, 2), second, lambda t: F.avg_pool2d(t, 2)]
    for step in steps:
        x = step(x)
        assert in_channels_last(x)
    x.sum().backward()


@pytest.mark.parametrize(
    "how",
    [
        {"kernel_size": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 3},
        {"kernel_size": 3, "stride": 1, "padding": 1},
    ],
)
@pytest.mark.parametrize("channels", [1, 5, 16, 20, 48])
def test_pooling(how, channels):
    for x in arrays((2, channels, 9, 11)).values():
        same(lambda x: F.max_pool2d(x, **how), [x])
        same(lambda x: F.avg_pool2d(x, **how), [x])
    (x,) = numbers((2, channels, 9, 11))
    same(lambda x: F.max_pool2d(x, **how, dilation=2), [x])
    same(lambda x: F.avg_pool2d(x, **how, count_include_pad=False), [x])
    same(lambda x: F.avg_pool2d(x, **how, divisor_override=3), [x])
    same(lambda x: F.max_pool2d(x, **how, return_indices=True), [x])


def test_a_window_of_minus_infinity_still_has_a_place_in_the_image():
    x = np.full((1, 16, 4, 4), -np.inf, np.float32)
    _, places = F.max_pool2d(mlkit.from_numpy(x), 3, 2, 1, return_indices=True)
    assert places.min() >= 0 and places.max() < 16


def test_several_threads_give_the_same():
    before = mlkit.get_num_threads()
    x, w, b = numbers((4, 32, 20, 20), (32, 32, 3, 3), (32,))
    results = []
    try:
        for count in (1, 3):
            mlkit.set_num_threads(count)
            t, u = mlkit.from_numpy(x).requires_grad_(), mlkit.from_numpy(w).requires_grad_()
            y = F.max_pool2d(F.conv2d(t, u, mlkit.from_numpy(b), padding=1), 2)
            y.sum().backward()
            results.append([y.detach().numpy(), t.grad.numpy(), u.grad.numpy()])
    finally:
        mlkit.set_num_threads(before)
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_what_is_wrong_is_said_by_the_op():
    with pytest.raises(RuntimeError, match="expects 4 input channels"):
        F.conv2d(mlkit.ones(2, 3, 32, 32), mlkit.ones(8, 4, 3, 3))
    with pytest.raises(RuntimeError, match="does not fit"):
        F.conv2d(mlkit.ones(8, 16, 4, 4), mlkit.ones(8, 16, 5, 5))


def test_all_ways_were_taken(used):
    assert {"conv2d", "conv2d_input_grad", "conv2d_weight_grad", "max_pool2d", "avg_pool2d"} <= set(used)
    for taps in range(1, 6):  # each place of the input is in exactly one phase
        for stride in range(1, 5):
            for padding in range(3):
                places = [p + stride * i for n, _, p, _ in conv.phases(11, taps, stride, 1, padding) for i in range(n)]
                reached = {stride * y + k - padding for y in range(-20, 20) for k in range(taps)} & set(range(11))
                assert sorted(places) == sorted(reached)
    with numpy_alone():
        assert not mlkit.config.numba
