"""softmax, cross-entropy, normalisation, dropout and sums by index, by kernels and by NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
import mlkit.nn.functional as F
from mlkit.backends import numba
from tests.backends.kernel_checks import arrays, kernels_for_all_sizes, needs_numba, numpy_alone, same

pytestmark = needs_numba


@pytest.fixture(scope="module", autouse=True)
def used():
    with kernels_for_all_sizes() as found:
        yield found


SHAPES = ((1,), (7,), (3, 1), (5, 17), (2, 0, 3), (0, 4), (2, 3, 70), (4, 300))


@pytest.mark.parametrize("fn", [F.softmax, F.log_softmax])
def test_softmax(fn):
    for shape in SHAPES:
        for x in arrays(shape).values():
            for dim in {0, len(shape) - 1}:
                same(lambda t, dim=dim: fn(t, dim=dim), [x])
    special = np.array([[1, np.nan, 2], [np.inf, 1, 2], [-np.inf, 0, 1], [1e30, -1e30, 0], [-np.inf] * 3], np.float32)
    with np.errstate(all="ignore"):
        same(lambda t: fn(t, dim=1), [special])
    same(lambda t: fn(t, dim=1), [special[3:4].astype(np.float64)], exact=True)


def test_cross_entropy():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (3, 2), (17, 65), (5, 1000), (0, 4)):
        for x in arrays(shape).values():
            labels = mlkit.from_numpy(rng.integers(0, shape[1], shape[0]))
            for reduction in ("none", "sum", "mean"):
                if shape[0]:
                    same(lambda t, y=labels, r=reduction: F.cross_entropy(t, y, reduction=r), [x])
            if shape[0] > 1:
                labels[0] = -100
                same(lambda t, y=labels: F.cross_entropy(t, y), [x])
                same(lambda t, y=labels: F.cross_entropy(t, y, ignore_index=-100, reduction="none"), [x])
                same(lambda t, y=labels: F.cross_entropy(t, y, label_smoothing=0.1), [x])
    big = np.array([[1e30, 0, -1e30], [np.nan, 0, 0], [-np.inf, 0, 0]], np.float32)
    with np.errstate(all="ignore"):
        same(lambda t: F.cross_entropy(t, mlkit.tensor([0, 1, 1]), reduction="none"), [big])


def test_cross_entropy_says_which_label_is_wrong():
    x = mlkit.randn(40, 10)
    with pytest.raises(IndexError, match="Target 10"):
        F.cross_entropy(x, mlkit.arange(40) % 11)


def test_cross_entropy_has_a_second_derivative():
    x = mlkit.randn(3, 4, dtype=mlkit.float64, requires_grad=True)
    y = mlkit.tensor([0, 3, -100])
    assert mlkit.autograd.gradcheck(lambda t: F.cross_entropy(t, y), x)
    assert mlkit.autograd.gradgradcheck(lambda t: F.cross_entropy(t, y), x)


@pytest.mark.parametrize("weighted", [True, False])
def test_layer_and_rms_norm(weighted):
    rng = np.random.default_rng(1)
    for shape, dims in (((5, 7), 1), ((2, 3, 33), 1), ((2, 3, 5), 2), ((1, 1), 1), ((4, 130), 1)):
        tail = shape[-dims:]
        w, b = (rng.standard_normal(tail).astype(np.float32) for _ in range(2))
        for x in arrays(shape).values():
            if weighted:
                same(lambda t, u, v, s=tail: F.layer_norm(t, s, u, v), [x, w, b], tolerance=2e-5)
                same(lambda t, u, s=tail: F.rms_norm(t, s, u), [x, w], tolerance=2e-5)
            else:
                same(lambda t, s=tail: F.layer_norm(t, s), [x], tolerance=2e-5)
                same(lambda t, s=tail: F.rms_norm(t, s, eps=1e-5), [x], tolerance=2e-5)
        same(lambda t, s=tail: F.layer_norm(t, s), [x.astype(np.float64)], exact=True)
    same(lambda t: F.group_norm(t, 3), [arrays((2, 6, 5))["contiguous"]], tolerance=2e-5)
    x = np.ones((3, 5), np.float32)
    x[1, 2], x[2, 0] = np.nan, np.inf
    with np.errstate(all="ignore"):
        same(lambda t: F.layer_norm(t, (5,)), [x])


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (3, 5, 4, 7), (2, 64, 3, 3), (2, 3, 2, 3, 2), (70, 2, 6, 6)])
def test_batch_norm(shape):
    rng = np.random.default_rng(2)
    channels = shape[1]
    w, b = (rng.standard_normal(channels).astype(np.float32) for _ in range(2))
    for x in arrays(shape).values():
        x = x + np.float32(20)
        for training in (True, False):

            def fn(t, *wb, training=training):
                mean, var = mlkit.zeros(channels), mlkit.ones(channels)
                out = F.batch_norm(t, mean, var, *wb, training=training)
                return out, mean, var

            same(fn, [x, w, b], tolerance=3e-5)
            same(fn, [x], tolerance=3e-5)


@pytest.mark.parametrize("shape", [(2, 16, 5, 7), (1, 48, 3, 1), (3, 80, 1, 2)])
@pytest.mark.parametrize("added", [False, True])
def test_batch_norm_by_given_statistics(shape, added):
    """With channels in sixteens side by side, and the sum and ReLU that compiled programs make with it."""
    rng = np.random.default_rng(2)
    mean, weight, bias = (rng.standard_normal(shape[1]).astype(np.float32) for _ in range(3))
    var = rng.random(shape[1]).astype(np.float32) + 0.1
    given = [mlkit.from_numpy(v) for v in (mean, var, weight, bias)]
    strided = [mlkit.from_numpy(np.repeat(v, 2)[::2]) for v in (mean, var, weight, bias)]

    def norm(vectors, x, *other):
        y = F.batch_norm(x, *vectors, eps=1e-3)
        return F.relu(y + other[0]) if other else y

    others = list(arrays(shape, seed=5).values())
    with mlkit.no_grad():
        for x in arrays(shape).values():
            if x.flags.writeable:
                x[0, 3] = np.nan
            for vectors in (given, strided):
                for other in others if added else [None]:
                    inputs = [x] if other is None else [x, other]
                    same(lambda *t, v=vectors: norm(v, *t), inputs)
        run = mlkit.compile(lambda *t: norm(given, *t))
        last = [np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (others[0], x)]
        tensors = [mlkit.from_numpy(a) for a in last[: 1 + added]]
        run(*tensors)
        np.testing.assert_allclose(run(*tensors).numpy(), norm(given, *tensors).numpy(), rtol=1e-6, atol=1e-6)


def test_batch_norm_keeps_channels_last():
    x = arrays((2, 8, 4, 4))["channels last"]
    out = F.batch_norm(mlkit.from_numpy(x), None, None, training=True)
    assert out.numpy().strides == x.strides


def test_batch_norm_far_from_zero():
    x = (np.random.default_rng(0).standard_normal((64, 4, 8, 8)) + 1000).astype(np.float32)
    want = x.astype(np.float64)
    want = (want - want.mean((0, 2, 3), keepdims=True)) / np.sqrt(want.var((0, 2, 3), keepdims=True) + 1e-5)
    for given in (x, np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)):
        out = F.batch_norm(mlkit.from_numpy(given), None, None, training=True).numpy()
        np.testing.assert_allclose(out, want, atol=2e-4)


def test_dropout_draws_the_reference_stream():
    for shape in ((1,), (8,), (13,), (5, 7), (3, 1000)):
        for x in arrays(shape).values():
            for p in (0.0001, 0.3, 0.5, 0.9999):

                def fn(t, p=p):
                    mlkit.manual_seed(4)
                    mlkit.rand(3)
                    return F.dropout(t, p)

                same(fn, [x], exact=True)

    def channels(t):
        mlkit.manual_seed(5)
        return F.dropout2d(t, 0.5)

    same(channels, [np.zeros((2, 3, 4, 4), np.float32)], exact=True)


def test_dropout_in_several_threads():
    from mlkit.backends.numba import pool

    before = pool.threads()
    x = mlkit.ones(100_003)
    found = []
    try:
        for count in (1, 3):
            pool.set_threads(count)
            mlkit.manual_seed(9)
            found.append(F.dropout(x, 0.5).numpy())
    finally:
        pool.set_threads(before)
    np.testing.assert_array_equal(*found)
    with numpy_alone():
        mlkit.manual_seed(9)
        np.testing.assert_array_equal(F.dropout(x, 0.5).numpy(), found[0])


def test_embedding_and_index_add():
    rng = np.random.default_rng(6)
    for rows, width in ((5, 3), (65, 128), (300, 1), (7, 33)):
        table = rng.standard_normal((rows, width)).astype(np.float32)
        for shape in ((4,), (2, 3), (0,), (500,)):
            index = mlkit.from_numpy(rng.integers(0, rows, shape))
            same(lambda w, i=index: F.embedding(i, w), [table])
            same(lambda w, i=index: F.embedding(i.int(), w, padding_idx=1), [table])
        places = mlkit.from_numpy(rng.integers(0, rows, 90))
        source = rng.standard_normal((90, width)).astype(np.float32)
        same(lambda a, b, i=places: mlkit.index_add(a, 0, i, b), [table, source], tolerance=1e-5)
        same(lambda a, b, i=places: mlkit.index_add(a, 0, i, b), [table.astype(np.float64), source.astype(np.float64)])
    values = rng.standard_normal(400).astype(np.float32)
    places = mlkit.from_numpy(rng.integers(0, 10, 400))
    same(lambda a, b: mlkit.scatter_add(a, 0, places, b), [np.zeros(10, np.float32), values], tolerance=1e-5)
    with pytest.raises(IndexError):
        mlkit.index_add(mlkit.zeros(3, 200), 0, mlkit.tensor([0, 3]), mlkit.ones(2, 200))


def test_every_override_ran(used):
    families = (".softmax", ".norms", ".dropout", ".embedding")
    for name, chosen in numba.OVERRIDES.items():
        assert not chosen.family.endswith(families) or used.get(name), name
    for (name, _), chosen in numba.GRADIENTS.items():
        assert not chosen.family.endswith(families) or used.get(f"{name} gradient"), name
