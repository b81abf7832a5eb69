"""Compiled programs whose kernels write into planned memory, or into fresh memory where the result leaves: the numbers are
eager's to the bit, whatever the inputs, and no result is written over by the next call."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit.backends import numba
from tests.backends.kernel_checks import needs_numba

pytestmark = needs_numba
F = mlkit.nn.functional


def heads(x, causal):
    n, length, width = x.shape
    q, k, v = x.split(width // 3, dim=2)
    q, k, v = (t.view(n, length, -1, 16).transpose(1, 2) for t in (q, k, v))
    seen = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return seen.transpose(1, 2).reshape(n, length, -1)


def linear_relu(x, weight, bias=None):
    return F.relu(F.linear(x, weight, bias))


#: name of the op -> (a function of the arrays, their shapes)
CASES = {
    "linear few rows": ("linear", F.linear, [(2, 33, 32), (48, 32), (48,)]),
    "linear many rows": ("linear", F.linear, [(301, 48), (64, 48), (64,)]),
    "linear without bias": ("linear", F.linear, [(67, 1040), (32, 1040)]),
    "linear one row": ("linear", F.linear, [(1, 300), (70, 300), (70,)]),
    "linear one row, large": ("linear", F.linear, [(1, 1, 1040), (304, 1040), (304,)]),
    "linear odd": ("linear", F.linear, [(19, 77), (33, 77), (33,)]),
    "linear one row, small": ("linear", F.linear, [(1, 128), (10, 128), (10,)]),
    "linear, few outputs": ("linear", F.linear, [(64, 128), (10, 128), (10,)]),
    "linear, one output": ("linear", F.linear, [(40, 32), (1, 32)]),
    "linear, ReLU, few rows": ("linear_relu", linear_relu, [(2, 33, 32), (48, 32), (48,)]),
    "linear, ReLU, few rows, in parts": ("linear_relu", linear_relu, [(17, 784), (48, 784), (48,)]),
    "linear, ReLU, many rows": ("linear_relu", linear_relu, [(301, 48), (64, 48), (64,)]),
    "linear, ReLU, many rows, in parts": ("linear_relu", linear_relu, [(267, 1040), (32, 1040)]),
    "linear, ReLU, one row": ("linear_relu", linear_relu, [(1, 304), (69, 304), (69,)]),
    "linear, ReLU, odd": ("linear_relu", linear_relu, [(19, 77), (33, 77), (33,)]),
    "attention": ("attention", lambda x: heads(x, False), [(2, 67, 192)]),
    "attention causal": ("attention", lambda x: heads(x, True), [(1, 90, 192)]),
    "layer norm": ("layer_norm", lambda x, w, b: F.layer_norm(x, (48,), w, b), [(3, 17, 48), (48,), (48,)]),
    "layer norm of two": (
        "layer_norm",
        lambda x, w, b: F.layer_norm(x, (5, 11), w, b),
        [(40, 5, 11), (5, 11), (5, 11)],
    ),
    "gelu": ("gelu", F.gelu, [(33, 77)]),
    "gelu by tanh": ("gelu", lambda x: F.gelu(x, approximate="tanh"), [(3, 33, 47)]),
    "convolution, Winograd": (
        "conv2d",
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
        [(1, 16, 13, 11), (32, 16, 3, 3), (32,)],
    ),
    "convolution": ("conv2d", lambda x, w: F.conv2d(x, w, stride=2), [(2, 3, 21, 19), (16, 3, 3, 3)]),
    "max pool": (
        "max_pool2d",
        lambda x, w: F.max_pool2d(F.conv2d(x, w, padding=1), 2),
        [(2, 16, 13, 14), (32, 16, 3, 3)],
    ),
}


def numbers(shapes, dtype, nan):
    found = [np.random.default_rng(i).standard_normal(s).astype(dtype) for i, s in enumerate(shapes)]
    if nan:
        found[0].reshape(-1)[found[0].size // 2] = np.nan
    return found


@pytest.mark.parametrize("how", ["float32", "float64", "nan", "strided"])
@pytest.mark.parametrize("case", CASES)
def test_as_eager(case, how):
    op, function, shapes = CASES[case]
    arrays = numbers(shapes, np.float64 if how == "float64" else np.float32, how == "nan")
    if how == "strided":
        arrays = [np.repeat(a, 2, axis=-1)[..., ::2] for a in arrays]

    def inside(x, *rest):
        return function(x, *rest).flip(0)

    first = [mlkit.from_numpy(a) for a in arrays]
    other = [mlkit.from_numpy(a[::-1].copy() if i == 0 else a) for i, a in enumerate(arrays)]
    for each in (inside, function):  # the op's result in planned memory; and as the result
        run = mlkit.compile(each)
        with mlkit.no_grad():
            run(*first)
            one, two = run(*first), run(*other)
            again = run(*first)
            for got, given in ((one, first), (two, other), (again, first)):
                np.testing.assert_array_equal(got.numpy(), each(*given).numpy())
            assert not np.shares_memory(one.numpy(), two.numpy())


@pytest.mark.parametrize("case", [c for c in CASES if not c.endswith("odd")])
def test_its_place_is_planned(case):
    """Else the test above would compare the same calls."""
    op, function, shapes = CASES[case]
    run = mlkit.compile(lambda *given: function(*given).flip(0))
    with mlkit.no_grad():
        run(*[mlkit.from_numpy(a) for a in numbers(shapes, np.float32, False)])
    (entry,) = [e for entries in run._compiled.entries.values() for e in entries]
    assert any(n.op == op and n.outputs[0] in entry.forward.plan.into for n in entry.forward.nodes)


def test_single_numbers_have_a_place_too():
    """The sum, the count and the quotient of a mean loss: eager's to the bit, and no result is written over."""

    def mean(x, labels):
        counted = (labels != 3).sum()
        return x * (x.sum() / counted.float()) + counted

    run = mlkit.compile(mean)
    given = [
        (mlkit.from_numpy(x), mlkit.tensor(labels))
        for x, labels in zip(numbers([(5,), (5,)], np.float32, False), ([1, 3, 2, 3, 0], [3, 1, 1, 1, 1]))
    ]
    with mlkit.no_grad():
        run(*given[0])
        one, two = run(*given[0]), run(*given[1])
        for got, arguments in ((one, given[0]), (two, given[1])):
            np.testing.assert_array_equal(got.numpy(), mean(*arguments).numpy())
    (entry,) = [e for entries in run._compiled.entries.values() for e in entries]
    planned = {n.op for n in entry.forward.nodes if n.outputs[0] in entry.forward.plan.into}
    assert planned >= {"sum", "cast", "div"}


@pytest.mark.parametrize("shape", [(), (1,), (7,)])
def test_the_gradient_of_a_relu_of_single_numbers(shape):
    def step(x):
        (g,) = mlkit.autograd.grad((x * 2).relu().sum(), x)
        return g

    run = mlkit.compile(step)
    for number in (1.5, -1.5, 0.0, float("nan")):
        x = mlkit.full(shape, number).requires_grad_()
        np.testing.assert_array_equal(run(x).numpy(), step(x).numpy())


def test_every_writer_has_a_case_here():
    from mlkit.backends.numba import into

    assert set(into.WRITERS) - {op for op, _, _ in CASES.values()} == {"linear_backward_input"}


@pytest.mark.parametrize("rows", [40, 300])
def test_a_step_with_gradients(rows):
    def losses(compiled):
        mlkit.manual_seed(3)
        model = mlkit.nn.Sequential(
            mlkit.nn.Linear(64, 48), mlkit.nn.GELU(), mlkit.nn.LayerNorm(48), mlkit.nn.Linear(48, 32)
        )
        optimizer = mlkit.optim.AdamW(model.parameters(), lr=1e-2)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        run = mlkit.compile(step) if compiled else step
        x = mlkit.randn(rows, 64)
        found = [float(run(x)) for _ in range(4)]
        return found, [p.grad.numpy().copy() for p in model.parameters()]

    eager, compiled = losses(False), losses(True)
    np.testing.assert_allclose(compiled[0], eager[0], rtol=1e-6)
    for a, b in zip(compiled[1], eager[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_without_numba():
    with mlkit.no_grad():
        before = mlkit.config.numba
        mlkit.config.numba = False
        try:
            run = mlkit.compile(lambda x, w: F.linear(x, w).sum(dim=0))
            x, w = mlkit.randn(40, 32), mlkit.randn(48, 32)
            run(x, w)
            np.testing.assert_array_equal(run(x, w).numpy(), F.linear(x, w).sum(dim=0).numpy())
        finally:
            mlkit.config.numba = before
    assert "linear" in numba.OVERRIDES


def test_other_memory_for_a_weight():
    """Calls that were made for the arrays that were there are made anew."""
    model = mlkit.nn.Sequential(
        mlkit.nn.Linear(32, 48), mlkit.nn.LayerNorm(48), mlkit.nn.Linear(48, 64), mlkit.nn.Linear(64, 32)
    ).eval()
    run, x = mlkit.compile(model), mlkit.randn(70, 32)
    with mlkit.no_grad():
        for change in ("nothing", "in place", "other memory", "loaded"):
            if change == "in place":
                model[2].weight.mul_(2)
            elif change == "other memory":
                model[2].weight.data = mlkit.randn(64, 48)
            elif change == "loaded":
                model.load_state_dict({k: v * 3 for k, v in model.state_dict().items()})
            for _ in range(2):
                np.testing.assert_array_equal(run(x).numpy(), model(x).numpy())
    (entry,) = [e for entries in run._compiled.entries.values() for e in entries]
    assert any(name.startswith(("linear", "lines_")) for name in entry.forward.bound)


def test_from_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    model = mlkit.nn.Sequential(mlkit.nn.Linear(32, 48), mlkit.nn.LayerNorm(48), mlkit.nn.Linear(48, 32)).eval()
    run, inputs = mlkit.compile(model), [mlkit.randn(70, 32) for _ in range(8)]

    def each(x):
        with mlkit.no_grad():
            return [run(x).numpy() for _ in range(20)]

    each(inputs[0])
    with mlkit.no_grad():
        wanted = [model(x).numpy() for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(each, inputs), wanted, strict=True):
            for x in found:
                np.testing.assert_array_equal(x, right)
