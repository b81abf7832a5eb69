"""Lines of a compiled program that machine code runs from a table: the numbers are those of the same lines run by Python, to the
bit, wherever the arrays are and whatever became of them between two calls."""

from __future__ import annotations

import numpy as np
import pytest

import mlkit
from mlkit import nn
from mlkit.backends.numba import lines, pool
from mlkit.compiler import program
from tests.backends.kernel_checks import needs_numba

pytestmark = needs_numba
F = nn.functional


def source(f, part: int = 0) -> str:
    return f.explain().recordings[0].parts[part].source


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"], autouse=True)
def threads(request):
    before = pool.threads()
    pool.set_threads(request.param)
    yield request.param
    pool.set_threads(before)


def by_python(f, monkeypatch):
    """The same program without a table: compiled and recorded while none is made."""
    compiled = mlkit.compile(f)

    def call(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(program.Program, "_without_python", lambda *_: [])
            return compiled(*arguments)

    return call


def bits(x) -> list:
    if isinstance(x, mlkit.Tensor):
        x = x.detach().numpy()
    return [x.dtype, x.shape, x.tobytes()]


def chain(x, a, b, w):
    for _ in range(9):
        x = ((x + a) * b) @ w
    return x


def lone_ops(x, a, b, w):
    for _ in range(9):
        x = (x - a) @ w
    for _ in range(9):
        x = (x * 1.1) @ w
    return x / (b + 9)


def turned(x, a, b, w):
    return (x.T @ w + a) @ (b.T @ x).T


def layers(x, a, b, w):
    for _ in range(4):
        x = F.relu(F.linear(x, w, a[0])) + F.linear(x, w.T.contiguous())
    return x


PROGRAMS = [chain, lone_ops, turned, layers]


@pytest.mark.parametrize("size", [2, 7, 16, 32, 33, 48])
@pytest.mark.parametrize("dtype", [mlkit.float32, mlkit.float64], ids=str)
@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_a_table_gives_the_bits_that_python_gives(f, dtype, size, monkeypatch):
    compiled, plain = mlkit.compile(f), by_python(f, monkeypatch)
    mlkit.manual_seed(0)
    for _ in range(4):
        given = [mlkit.randn(size, size, dtype=dtype) / size**0.5 for _ in range(4)]
        found = compiled(*given)
        assert bits(found) == bits(plain(*given))
        wanted = f(*[x.double() for x in given])
        near = (1e-4 if dtype == mlkit.float32 else 1e-11) * wanted.abs().max().item()
        assert mlkit.allclose(found.double(), wanted, rtol=0, atol=near)
    assert compiled._compiled.recordings == 1


def test_there_is_a_table():
    """Else the tests here say nothing."""
    f = mlkit.compile(chain)
    given = [mlkit.randn(32, 32) for _ in range(4)]
    f(*given)
    assert source(f).count("lines_") == 1 and "    # matmul" in source(f)


def wide(*shape):
    """Numbers in memory with gaps."""
    return mlkit.randn(*(2 * n for n in shape))[tuple(slice(None, None, 2) for _ in shape)]


@pytest.mark.parametrize("which", range(4))
@pytest.mark.parametrize("form", ["gaps", "turned", "one number", "a row", "not aligned"])
def test_arguments_that_lie_otherwise(which, form):
    make = {
        "gaps": lambda: wide(32, 32),
        "turned": lambda: mlkit.randn(32, 32).T,
        "one number": lambda: mlkit.randn(1, 1).expand(32, 32),
        "a row": lambda: mlkit.randn(1, 32).expand(32, 32),
        "not aligned": lambda: mlkit.from_numpy(
            np.frombuffer(bytearray(mlkit.randn(32 * 32 + 1).numpy().tobytes()), np.uint8)[1:-3].view(np.float32)
        ).nan_to_num(0.5, 0.5, 0.5).clamp(-2, 2).view(32, 32),
    }[form]  # fmt: skip
    mlkit.manual_seed(1)
    compiled = mlkit.compile(chain)
    for _ in range(3):
        given = [make() if i == which else mlkit.randn(32, 32) for i in range(4)]
        assert mlkit.allclose(compiled(*given), chain(*given), rtol=1e-3, atol=1e-2)


def model():
    mlkit.manual_seed(2)
    return nn.Sequential(*[nn.Linear(32, 32, bias=i % 2 == 0) for i in range(5)])


def losses(call, m, change):
    mlkit.manual_seed(3)
    found = []
    for i in range(6):
        if i in (2, 4):
            change(m)
        found.append(call(mlkit.randn(16, 32)).item())
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda m: None,
        lambda m: setattr(m[0].weight, "data", m[0].weight.data * 2),
        lambda m: m[0].weight.data.mul_(2),
        lambda m: setattr(m[2].bias, "data", m[2].bias.data + 1),
        lambda m: [p.grad.copy_(p.grad.T.contiguous().T) for p in m.parameters() if p.ndim == 2],
        lambda m: [setattr(p, "grad", p.grad.T.contiguous().T) for p in m.parameters() if p.ndim == 2],
        lambda m: [setattr(p, "grad", wide(*p.shape)) for p in m.parameters()],
    ],
    ids=["nothing", "other memory", "in place", "another bias", "gradients", "turned", "gaps"],
)
def test_weights_and_gradients_that_lie_elsewhere(change):
    """Gradients add up: those of before come into the program wherever they are."""

    def run(wrap):
        m = model()

        def step(x):
            loss = m(x).square().mean()
            loss.backward()
            return loss.detach()

        found = losses(wrap(step), m, change)
        return found, [p.grad.numpy().copy() for p in m.parameters()]

    (wanted, eager), (found, compiled) = run(lambda f: f), run(mlkit.compile)
    assert found == pytest.approx(wanted, rel=1e-5)
    for a, b in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_results_of_one_call_are_not_written_over_by_the_next():
    f = mlkit.compile(chain)
    given = [mlkit.randn(16, 16) * 0.1 for _ in range(4)]
    first = f(*given)
    kept = first.numpy().copy()
    for _ in range(3):
        f(*[x * 2 for x in given])
    assert (first.numpy() == kept).all()


def test_the_gradient_of_a_shared_weight_is_added_up_by_blas():
    w = nn.Parameter(mlkit.eye(24) * 0.9)

    def step(x):
        for _ in range(12):
            x = (x * 1.01) @ w
        x.sum().backward()

    compiled = mlkit.compile(step)
    for seed in range(3):
        mlkit.manual_seed(seed)
        x = mlkit.randn(24, 24)
        w.grad = None
        compiled(x)
        found = w.grad.numpy().copy()
        w.grad = None
        step(x)
        np.testing.assert_allclose(found, w.grad.numpy(), rtol=2e-5, atol=2e-5)
    text = "\n".join(part.source for part in compiled.explain().recordings[0].parts)
    assert "    # sum_of_products" in text


def test_a_sum_of_products_is_not_written_over_what_it_reads():
    def f(w, *xs):
        parts = [(x + 0.5) @ (x - w) for x in xs]
        return sum(parts[1:], parts[0]) * w

    compiled = mlkit.compile(f)
    for _ in range(3):
        given = [mlkit.randn(32, 32) for _ in range(10)]
        assert mlkit.allclose(compiled(*given), f(*given), rtol=1e-4, atol=1e-2)
    assert "# sum_of_products" in source(compiled)


def test_what_cannot_be_given_anew_is_not_replaceable():
    x, out = np.ones((4, 4), np.float32), np.empty((4, 4), np.float32)
    alive, calls = lines.product(x, x.copy(), out)
    run = lines.done_by(lambda: None, calls)
    assert lines.replaceable(run, [x, out])
    assert not lines.replaceable(run, [np.ones(3)])  # nobody asks for it
    inside = lines.done_by(lambda: None, [(0, (lines.address(x) + 8, lines.address(x)))])
    assert not lines.replaceable(inside, [x])  # somebody counts on from it
    assert alive
