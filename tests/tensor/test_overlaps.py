"""Writing into memory that is read from elsewhere in the same call is refused, as PyTorch refuses it; NumPy's scalars are numbers."""

import numpy as np
import pytest

import mlkit


def m():
    return mlkit.arange(9.0).reshape(3, 3)


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x[1:].add_(x[:-1]),
        lambda x: x.__setitem__(slice(1, None), x[:-1]),
        lambda x: x.add_(x.t()),
        lambda x: x.add_(x[0]),
        lambda x: x.copy_(x.t()),
        lambda x: x.div_(x[1, 1]),
        lambda x: x.clamp_(max=x[2, 2]),
        lambda x: x.addcmul_(x.t(), x),
        lambda x: mlkit.add(x[1:], 1, out=x[:-1]),
        lambda x: mlkit.exp(x[1:], out=x[:-1]),
        lambda x: mlkit.stack([x[0], x[1]], out=x[:2]),
    ],
)
def test_refused(write):
    x = m()
    with pytest.raises(RuntimeError, match="single memory location"):
        write(x)
    assert x.tolist() == m().tolist()


@pytest.mark.parametrize(
    ("write", "want"),
    [
        (lambda x: x.mul_(x), lambda a: a * a),
        (lambda x: x[0].add_(x[1]), lambda a: a + np.array([[1, 1, 1], [0, 0, 0], [0, 0, 0]]) * a[1]),
        (lambda x: x.masked_fill_(x > 3, x[0, 0]), lambda a: np.where(a > 3, 0, a)),
        (lambda x: x.sub_(x.mean()), lambda a: a - a.mean()),
        (lambda x: mlkit.add(x, x, out=x), lambda a: a + a),
        (lambda x: x[:, 0].copy_(x[:, 1]), lambda a: np.stack([a[:, 1], a[:, 1], a[:, 2]], 1)),
        (lambda x: mlkit.sum(x, 0, out=x[0]), lambda a: np.stack([a.sum(0), a[1], a[2]])),
    ],
)
def test_allowed(write, want):
    x = m()
    write(x)
    assert np.allclose(x.numpy(), want(m().numpy()))


@pytest.mark.parametrize("number", [np.float64(2), np.float32(2), np.int64(2), np.int32(2), np.float16(2)])
def test_a_scalar_of_numpy_is_a_number(number):
    x = mlkit.ones(2)
    results = [x + number, number + x, x - number, number - x, x * number, number * x, x / number, number / x, x**number,
               number**x, x // number, x % number, x.clamp(max=number), mlkit.where(x > 0, x, number), mlkit.add(x, number),
               x.half() * number + 0.0, mlkit.pow(x, number), mlkit.nn.functional.leaky_relu(x, number)]  # fmt: skip
    assert [str(r.dtype)[6:] for r in results] == ["float16" if i == 15 else "float32" for i in range(len(results))]
    assert (x.fill_(3) ** number).tolist() == [9, 9] and (x / number).tolist() == [1.5, 1.5]


def test_a_power_with_an_array_as_exponent():
    assert (mlkit.tensor([2.0, 3.0]) ** np.array([2.0, 1.0])).tolist() == [4, 3]
    assert (mlkit.tensor([2.0, 3.0]) ** np.array([2.0, 1.0])).dtype == mlkit.float64


def test_not_of_floats_is_a_type_error():
    with pytest.raises(TypeError, match="integer and Boolean"):
        ~mlkit.ones(2)
    assert (~mlkit.tensor([True, False])).tolist() == [False, True] and (~mlkit.tensor(5)).item() == -6


@pytest.mark.parametrize("make", [lambda d: mlkit.arange(3, dtype=d), lambda d: mlkit.linspace(0, 1, 2, dtype=d)])
def test_ranges_of_truth_values_do_not_exist(make):
    with pytest.raises(NotImplementedError):
        make(mlkit.bool)


def test_softmax_into_a_given_tensor():
    x = mlkit.randn(2, 3)
    out = mlkit.empty(0)
    assert mlkit.softmax(x, 1, out=out) is out
    assert np.allclose(out.numpy(), mlkit.softmax(x, 1).numpy())
    mlkit.log_softmax(x, 1, out=out)
    assert np.allclose(out.exp().sum(1).numpy(), 1)


@pytest.mark.parametrize(
    ("call", "name"),
    [(lambda: mlkit.mm(mlkit.ones(2, 3), mlkit.ones(2, 3)), "mm"), (lambda: mlkit.bmm(mlkit.ones(1, 2, 3), mlkit.ones(1, 2, 3)), "bmm"),
     (lambda: mlkit.mv(mlkit.ones(2, 3), mlkit.ones(2)), "mv"), (lambda: mlkit.dot(mlkit.ones(2), mlkit.ones(3)), "dot"),
     (lambda: mlkit.addmm(mlkit.ones(2), mlkit.ones(2, 3), mlkit.ones(2, 3)), "addmm"),
     (lambda: mlkit.mm(mlkit.ones(2, 3), mlkit.ones(3, 2).double()), "mm")],
)  # fmt: skip
def test_products_speak_of_themselves(call, name):
    with pytest.raises(RuntimeError) as caught:
        call()
    text = str(caught.value)
    assert text.startswith(f"{name}: ") and "matmul" not in text
    assert "other:" not in text and "\n  m" in text.replace("\n  vec", "\n  m").replace("\n  tensor", "\n  m")


@pytest.mark.parametrize(
    "call",
    [
        lambda out: mlkit.addmv(mlkit.ones(2), mlkit.ones(2, 3), mlkit.ones(3), out=out),
        lambda out: mlkit.all(mlkit.ones(2), out=out),
        lambda out: mlkit.nonzero(mlkit.ones(2), out=out),
        lambda out: mlkit.isin(mlkit.ones(2), mlkit.ones(1), out=out),
        lambda out: mlkit.softmax(mlkit.ones(2), 0, out=out),
        lambda out: mlkit.expand_copy(mlkit.ones(1), (2,), out=out),
        lambda out: mlkit.full((2,), 1.0, dtype=mlkit.float32, out=out),
        lambda out: mlkit.linspace(0, 1, 2, dtype=mlkit.float32, out=out),
        lambda out: mlkit.quantile(mlkit.ones(2), 0.5, out=out),
    ],
)
def test_out_of_another_element_type_is_refused(call):
    with pytest.raises(RuntimeError, match="dtype"):
        call(mlkit.zeros(2, dtype=mlkit.float64))
