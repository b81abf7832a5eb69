"""Functions that few programs call and PyTorch's operation database does: against the arithmetic written out."""

import numpy as np
import pytest

import mlkit
from mlkit import nn

F = nn.functional


def log_softmax(a):
    return a - np.log(np.exp(a - a.max(-1, keepdims=True)).sum(-1, keepdims=True)) - a.max(-1, keepdims=True)


def test_linear_cross_entropy():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    y = np.array([0, 3, 1, -100, 2])
    logits = x @ w.T + b
    picked = [-log_softmax(row)[label] for row, label in zip(logits, y, strict=True) if label >= 0]
    tensors = [mlkit.from_numpy(a) for a in (x, w, y, b)]
    got = F.linear_cross_entropy(*tensors[:3], linear_bias=tensors[3])
    assert got.item() == pytest.approx(np.mean(picked))
    y[3] = 2  # none left out but the ones with this label
    total = F.linear_cross_entropy(*tensors[:3], linear_bias=tensors[3], reduction="sum", ignore_index=2)
    assert total.item() == pytest.approx(sum(picked[:3]))
    w2 = rng.normal(size=(4, 2, 3))  # two places
    y2 = rng.integers(0, 4, (5, 2))
    logits = np.einsum("ni,cdi->ndc", x, w2)
    want = [[-log_softmax(logits[n, d])[y2[n, d]] for d in range(2)] for n in range(5)]
    got = F.linear_cross_entropy(tensors[0], mlkit.from_numpy(w2), mlkit.from_numpy(y2), reduction="none")
    assert np.allclose(got.numpy(), want)
    x1 = tensors[0].requires_grad_()
    F.linear_cross_entropy(x1, tensors[1], tensors[2], linear_bias=tensors[3]).backward()
    assert mlkit.autograd.gradcheck(lambda a: F.linear_cross_entropy(a, tensors[1], tensors[2]), (x1,))


@pytest.mark.parametrize(
    ("shapes", "more"),
    [(((5, 3), (4, 2)), {}), (((2, 5, 3), (4, 3)), {}), (((5, 3), (3,)), {}), (((3,), (4, 2, 3)), {}),
     (((5, 3), (4, 3)), {"linear_bias": mlkit.ones(3)})],
)  # fmt: skip
def test_linear_cross_entropy_refuses(shapes, more):
    x, w = (mlkit.ones(*s) for s in shapes)
    with pytest.raises(RuntimeError, match="linear_cross_entropy"):
        F.linear_cross_entropy(x, w, mlkit.zeros(5, dtype=mlkit.long), **more)
    with pytest.raises(RuntimeError, match="ignore_index"):
        F.linear_cross_entropy(mlkit.ones(5, 3), mlkit.ones(4, 3), mlkit.ones(5, 4) / 4, ignore_index=1)


def test_norms_with_their_statistics():
    a = np.random.default_rng(1).normal(size=(2, 4, 3))
    x = mlkit.from_numpy(a)
    out, mean, rstd = mlkit.native_layer_norm(x, (3,), None, None, 1e-5)
    assert mean.shape == rstd.shape == (2, 4, 1)
    assert np.allclose(mean.numpy()[..., 0], a.mean(-1)) and np.allclose(
        rstd.numpy()[..., 0], (a.var(-1) + 1e-5) ** -0.5
    )
    assert np.allclose(out.numpy(), (a - a.mean(-1, keepdims=True)) * rstd.numpy())
    out, mean, rstd = mlkit.native_group_norm(x, None, None, 2, 4, 3, 2, 1e-5)
    rows = a.reshape(2, 2, 6)
    assert np.allclose(mean.numpy(), rows.mean(-1)) and np.allclose(rstd.numpy(), (rows.var(-1) + 1e-5) ** -0.5)
    assert np.allclose(out.numpy(), ((rows - rows.mean(-1, keepdims=True)) * rstd.numpy()[..., None]).reshape(2, 4, 3))
    out, mean, rstd = mlkit.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
    assert np.allclose(mean.numpy(), a.mean((0, 2))) and np.allclose(rstd.numpy(), (a.var((0, 2)) + 1e-5) ** -0.5)
    zeros, ones = mlkit.zeros(4, dtype=mlkit.float64), mlkit.ones(4, dtype=mlkit.float64)
    out, mean, rstd = mlkit.native_batch_norm(x, None, None, zeros, ones, False, 0.1, 0.0)
    assert np.allclose(out.numpy(), a) and mean.shape == rstd.shape == (0,)


@pytest.mark.parametrize(
    "norm", [lambda x, w: F.rms_norm(x, (4,), w), lambda x, w: F.instance_norm(x, weight=w[:3], bias=w[:3])]
)
def test_norms_of_half_precision_stay_so_with_float32_weights(norm):
    assert norm(mlkit.randn(2, 3, 4).half(), mlkit.ones(4)).dtype == mlkit.float16


def test_normalize_over_everything_and_over_several_dims():
    x = mlkit.arange(1.0, 25.0).reshape(2, 3, 4)
    assert np.allclose(F.normalize(x, dim=None).numpy(), x.numpy() / np.linalg.norm(x.numpy()))
    want = x.numpy() / np.sqrt((x.numpy() ** 2).sum((1, 2), keepdims=True))
    assert np.allclose(F.normalize(x, dim=(1, 2)).numpy(), want)


def test_pools_of_no_examples():
    x = mlkit.zeros(0, 2, 6, requires_grad=True)
    values, indices = F.adaptive_max_pool1d(x, 3, return_indices=True)
    assert values.shape == indices.shape == (0, 2, 3) and indices.dtype == mlkit.int64
    values.sum().backward()
    assert x.grad.shape == (0, 2, 6)
    values, indices = F.max_pool1d(x, 2, return_indices=True)
    assert F.max_unpool1d(values, indices, 2).shape == (0, 2, 6)
    with pytest.raises(RuntimeError, match="not empty"):
        F.adaptive_max_pool2d(mlkit.zeros(2, 0, 4, 4), 3)
