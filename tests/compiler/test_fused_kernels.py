"""What compiled programs compute in one kernel, against the same in float64 by NumPy alone: sums with chains, norms with
the ReLU behind them, small products added up."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.backends.numba import pool
from mlkit.compiler import fusion, reductions

needs_numba = pytest.mark.skipif(not fusion.usable(), reason="without Numba")


def ops_of(f, part: int = 0) -> str:
    return f.explain().recordings[0].parts[part].source


def compare(compiled, f, *inputs, **tolerance):
    """The results of ``compiled`` are those of ``f``, while it records and again when it has recorded."""
    for _ in range(2):
        for a, b in zip(compiled(*inputs), f(*inputs), strict=True):
            assert mlkit.allclose(a, b, **tolerance)


def compare_gradients(compiled, step, weight, *shape, **tolerance):
    """Both leave the same gradient in ``weight``, for other numbers each time."""
    for seed in range(3):
        mlkit.manual_seed(seed)
        x = mlkit.randn(*shape)
        compiled(x)
        found = weight.grad.numpy().copy()
        step(x)
        np.testing.assert_allclose(found, weight.grad.numpy(), **tolerance)


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def threads(request):
    before = pool.threads()
    pool.set_threads(request.param)
    yield request.param
    pool.set_threads(before)


# --- sums -----------------------------------------------------------------------------------------------------------------

SHAPES = [(64, 512), (37, 129, 17), (8, 16, 30, 11), (3, 40000), (70000,), (2, 3, 5, 4000)]
DIMS = {
    1: [None, (0,)],
    2: [None, 0, 1, (0, 1)],
    3: [None, 0, 2, (0, 1), (1, 2)],
    4: [None, (0, 2, 3), (0, 1), 3, (2, 3)],
}
CASES = [(shape, dim, last) for shape in SHAPES for dim in DIMS[len(shape)] for last in (False, len(shape) == 4)]


@needs_numba
@pytest.mark.parametrize(("shape", "dim", "channels_last"), list(dict.fromkeys(CASES)))
def test_sums_of_every_form_with_their_chain(shape, dim, channels_last, threads):
    rng = np.random.default_rng(0)
    x, y = (mlkit.from_numpy(rng.normal(size=shape).astype(np.float32)) for _ in range(2))
    if channels_last:
        x, y = (t.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) for t in (x, y))

    def f(x, y):
        d = (x - y) * 0.5 + 1
        return (d * d).sum(dim) if dim is not None else (d * d).sum(), x.mean(dim) if dim is not None else x.mean()

    g = mlkit.compile(f)
    wide = ((x.numpy().astype(np.float64) - y.numpy()) * 0.5 + 1) ** 2
    for _ in range(2):
        found, mean = g(x, y)
        np.testing.assert_allclose(found.numpy(), wide.sum(axis=dim), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(mean.numpy(), x.numpy().astype(np.float64).mean(axis=dim), rtol=1e-5, atol=2e-6)
        assert found.shape == f(x, y)[0].shape and found.dtype == mlkit.float32


@needs_numba
def test_a_chain_that_others_read_too_leaves_its_values():
    w = mlkit.randn(256, 64)

    def f(g, y, w):
        through = g * (y > 0).float()
        return through @ w, through.sum(0), through.sum((0, 1))

    c = mlkit.compile(f)
    compare(c, f, mlkit.randn(300, 256), mlkit.randn(300, 256), w, rtol=1e-4, atol=1e-3)
    assert "fused" in ops_of(c) and "sum" in ops_of(c)


@needs_numba
def test_biases_along_the_rows_and_nan_and_infinity():
    def f(x, b, s):
        return ((x + b).relu() * s).sum(0)

    c = mlkit.compile(f)
    x, b, s = mlkit.randn(100, 200), mlkit.randn(200), mlkit.tensor(2.0)
    x[3, 4], x[5, 6], x[7, 8] = float("nan"), float("inf"), -float("inf")
    for _ in range(2):
        found, wanted = c(x, b, s).numpy(), f(x, b, s).numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert np.isnan(found[4]) and np.isinf(found[6]) and np.isfinite(found[8])


def test_no_form_of_its_own_and_small_sums_are_numpys():
    for shape, dim in (((40, 30, 20), 1), ((10, 10), 0), ((70000, 2), 0)):
        c = mlkit.compile(lambda x, dim=dim: (x * 2).sum(dim))
        x = mlkit.randn(*shape)
        for _ in range(2):
            assert mlkit.allclose(c(x), (x * 2).sum(dim), atol=1e-2)


def test_float64_stays_float64():
    c = mlkit.compile(lambda x: (x * 3).sum())
    x = mlkit.randn(200, 200, dtype=mlkit.float64)
    c(x)
    assert c(x).dtype == mlkit.float64 and abs(c(x).item() - (x * 3).sum().item()) < 1e-10
    assert reductions.SMALLEST <= 200 * 200


# --- norms and ReLU -------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, channels: int, project: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.short = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels)) if project else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.short is None else self.short(x)
        return self.relu(y)


def numbers(model, x):
    """Output, gradients and running statistics after one step in float64 or float32."""
    x = x.clone().requires_grad_()
    for p in model.parameters():
        p.grad = None
    out = model(x)
    (out * mlkit.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum().backward()
    return [
        t.detach().numpy().astype(np.float64)
        for t in (out, x.grad, *[p.grad for p in model.parameters()], *model.buffers())
    ]


def close(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-4 * max(1.0, np.abs(b).max()), rtol=1e-3)


@needs_numba
@pytest.mark.parametrize("last", [False, True], ids=["planes", "pixels"])
@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("channels", [16, 32, 5])
def test_residual_blocks(channels, project, last, threads):
    mlkit.manual_seed(0)
    model = nn.Sequential(Residual(channels, project), nn.AvgPool2d(2))
    with mlkit.no_grad():
        for p in model.parameters():
            p.add_(mlkit.randn_like(p) * 0.1)
    exact = copy.deepcopy(model).double()
    compiled = mlkit.compile(copy.deepcopy(model))
    x = mlkit.randn(6, channels, 14, 14)
    x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) if last else x
    for _ in range(3):
        wanted = numbers(exact, x.double())
        close(numbers(compiled, x), wanted)
    forward, backward = ops_of(compiled), ops_of(compiled, 1)
    assert "batch_norm_relu" in forward and "batch_norm_add_relu" in forward
    assert "batch_norm_relu_backward" in backward
    model.eval(), exact.eval(), compiled.eval()
    exact.load_state_dict({k.removeprefix("_orig_mod."): v.double() for k, v in compiled.state_dict().items()})
    with mlkit.no_grad():
        for _ in range(2):
            close([compiled(x).numpy()], [exact(x.double()).numpy()])


@needs_numba
def test_no_weights_no_statistics_and_a_bias_changed_before_backward():
    for norm in (nn.BatchNorm2d(16, affine=False), nn.BatchNorm1d(48), nn.BatchNorm2d(16, track_running_stats=False)):
        shape = (64, 48) if isinstance(norm, nn.BatchNorm1d) else (5, 16, 9, 9)
        model = nn.Sequential(norm, nn.ReLU())
        exact, compiled = copy.deepcopy(model).double(), mlkit.compile(model)
        for seed in range(3):
            mlkit.manual_seed(seed)
            x = mlkit.randn(*shape)
            close(numbers(compiled, x), numbers(exact, x.double()))
    model = nn.Sequential(nn.BatchNorm2d(16), nn.ReLU())
    compiled, x = mlkit.compile(model), mlkit.randn(5, 16, 9, 9)
    wanted = numbers(compiled, x)[2]
    x.requires_grad_()
    out = compiled(x)
    with mlkit.no_grad():
        model[0].bias.add_(5.0)
    model[0].weight.grad = None
    (out * mlkit.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    np.testing.assert_allclose(model[0].weight.grad.numpy(), wanted, rtol=1e-5)


@needs_numba
def test_what_stands_between_is_seen_by_others():
    norm = nn.BatchNorm2d(16)

    def f(x):
        y = norm(x)
        return y.relu(), y

    norm.eval()
    compare(mlkit.compile(f), f, mlkit.randn(4, 16, 8, 8), atol=1e-6)


# --- products -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["mlkit", "numpy"])
def test_the_gradient_of_a_weight_in_a_loop_is_one_product(backend):
    w = mlkit.randn(24, 24, requires_grad=True)

    def step(x):
        w.grad = None
        y = x
        for _ in range(8):
            y = (y @ w).tanh() + x
        y.sum().backward()
        return y

    c = mlkit.compile(step, backend=backend)
    compare_gradients(c, step, w, 10, 24, rtol=2e-4, atol=1e-4)
    assert "sum_of_products" in ops_of(c)


def test_products_that_others_read_stay():
    def f(a, b):
        parts = [a @ b, b @ a, a @ a, b @ b]
        return parts[0] + parts[1] + parts[2] + parts[3], parts[1]

    c = mlkit.compile(f)
    compare(c, f, mlkit.randn(8, 8), mlkit.randn(8, 8), atol=1e-5)
    assert "sum_of_products" not in ops_of(c)


# --- pieces ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["mlkit", "numpy"])
@pytest.mark.parametrize(
    ("body", "joined"),
    [
        (lambda y: [y[:, :4], y[:, 4:8], y[:, 8:]], True),
        (lambda y: list(y.split(4, 1)), True),
        (lambda y: [y[:, :4], y[:, 6:8]], True),  # zeros in between
        (lambda y: [y[:, :6], y[:, 4:8]], False),  # they overlap
        (lambda y: [y[0], y[2:], y[1, :3], y * 1], True),
        (lambda y: [y[::2], y[1::2]], False),  # told apart by no dim's bounds
        (lambda y: [y[-1], y[:-1, -1], y[:-1, :-1]], True),
    ],
)
def test_gradients_of_pieces_are_put_together(body, joined, backend):
    w = mlkit.randn(6, 12, requires_grad=True)

    def step(x):
        w.grad = None
        parts = body(x @ w)
        sum((p * (i + 1)).tanh().sum() for i, p in enumerate(parts)).backward()
        return parts[0].detach() * 1

    c = mlkit.compile(step, backend=backend)
    compare_gradients(c, step, w, 5, 6, rtol=1e-5, atol=1e-6)
    assert ("assemble" in ops_of(c)) is joined
