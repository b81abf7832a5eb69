"""The names and error classes that programs look at: operators with foreign operands, nodes, conversions, ``out=``."""

import warnings

import pytest

import mlkit
from mlkit.nn import functional as F  # noqa: N812 - PyTorch's name


class Other:
    """A type that knows how to work with tensors."""

    def __radd__(self, x):
        return "added"

    def __rmatmul__(self, x):
        return "multiplied"

    def __rpow__(self, x):
        return "raised"

    def __gt__(self, x):
        return "less"


def test_an_operand_of_another_type_gets_its_turn():
    x = mlkit.ones(2)
    assert x + Other() == "added" and x @ Other() == "multiplied" and x ** Other() == "raised"
    assert (x < Other()) == "less"


def test_an_operand_that_nobody_knows_is_a_type_error():
    x = mlkit.ones(2)
    for wrong in (lambda: x + "a", lambda: x - None, lambda: x < "a", lambda: x @ 2, lambda: x ** "a"):
        with pytest.raises(TypeError, match="unsupported operand|not supported between"):
            wrong()
    assert (x == "a") is False and (x != None) is True  # noqa: E711 - that is what is asked


def test_nodes_are_of_classes_named_as_pytorch_names_them():
    x = mlkit.ones(2, 2, requires_grad=True)
    y = (x * x).sum()
    assert type(y.grad_fn).__name__ == y.grad_fn.name() == "SumBackward0"
    product = y.grad_fn.next_functions[0][0]
    leaf = product.next_functions[0][0]
    assert type(product).__name__ == "MulBackward0"
    assert type(leaf).__name__ == "AccumulateGrad" and leaf.name().endswith("::AccumulateGrad") and leaf.variable is x
    z = mlkit.ones(3, requires_grad=True) * 1
    z[:1] = 2
    linear, cell = mlkit.nn.Linear(2, 2), mlkit.nn.functional
    named = {
        "AddmmBackward0": linear(x),
        "MseLossBackward0": cell.mse_loss(x, x.detach()),
        "NllLossBackward0": cell.cross_entropy(x, mlkit.tensor([0, 1])),
        "BinaryCrossEntropyWithLogitsBackward0": cell.binary_cross_entropy_with_logits(x, x.detach()),
        "UnsqueezeBackward0": x.unsqueeze(0),
        "TransposeBackward0": x.transpose(0, 1),
        "TBackward0": x.t(),
        "StackBackward0": mlkit.stack([x, x]),
        "StdBackward0": x.std(),
        "PowBackward0": x**2,
        "MmBackward0": x @ x,
        "ToCopyBackward0": x.double(),
        "CopySlices": z,
    }
    assert [t.grad_fn.name() for t in named.values()] == list(named)
    assert "grad_fn=<MseLossBackward0>" in repr(named["MseLossBackward0"])
    squeezed = x.squeeze(0)
    squeezed.sum().backward()
    assert x.grad.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("kind", [float, int, complex])
def test_one_number_out_of_many(kind):
    with pytest.raises(ValueError, match="only one element tensors can be converted to Python scalars"):
        kind(mlkit.ones(2))
    with pytest.raises(RuntimeError, match="Scalar"):
        mlkit.ones(2).item()


def test_the_real_part_is_not_taken_in_silence():
    assert float(mlkit.tensor(2 + 0j)) == 2 and int(mlkit.tensor(2 + 0j)) == 2
    with pytest.raises(RuntimeError, match="imaginary"):
        float(mlkit.tensor(1 + 1j))


def test_in_looks_for_numbers():
    assert 1 in mlkit.ones(2) and 3 not in mlkit.ones(2)
    with pytest.raises(RuntimeError, match="not for a str"):
        "a" in mlkit.ones(2)  # noqa: B015


def test_out_that_holds_one_element_twice():
    x = mlkit.zeros(1).expand(3)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        mlkit.add(mlkit.ones(3), 1, out=x)
    assert x.tolist() == [0, 0, 0]


def test_out_that_is_still_read():
    x = mlkit.arange(6.0)
    with pytest.raises(RuntimeError, match="refer to a single memory"):
        mlkit.take(x, mlkit.tensor([2, 1, 0]), out=x[:3])
    assert mlkit.add(x, 1, out=x) is x and x[0] == 1


def test_out_of_another_dtype():
    with pytest.raises(RuntimeError, match="Expected out tensor to have dtype"):
        mlkit.gather(mlkit.ones(2, 2), 1, mlkit.zeros(2, 2, dtype=mlkit.int64), out=mlkit.zeros(2, 2).double())


def test_calls_that_pytorch_takes():
    one = mlkit.tensor(0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert F.l1_loss(mlkit.ones(3), one) == 1  # a number against all
    assert F.smooth_l1_loss(mlkit.ones(2), mlkit.tensor([True, False])) == 0.25
    assert F.adaptive_avg_pool2d(mlkit.ones(1, 2, 4, 4), 0).shape == (1, 2, 0, 0)
    assert F.batch_norm(mlkit.zeros(0), mlkit.zeros(0), mlkit.ones(0), training=True).shape == (0,)
    halves = F.local_response_norm(mlkit.tensor([[[3], [4]]]), 2, alpha=1.0, beta=1.0)  # 9 // 2 is 4, 25 // 2 is 12
    mlkit.testing.assert_close(halves, mlkit.tensor([[[3 / 5], [4 / 13]]]))
    assert mlkit.floor_divide(5.0, mlkit.tensor(2.0)) == 2
    assert mlkit.flip(one, (0,)) == 0 and len(mlkit.histogram(mlkit.rand(5))[0]) == 100
    assert mlkit.diff(mlkit.ones(3), 0).tolist() == [1, 1, 1]
    solved = mlkit.linalg.solve_triangular(mlkit.eye(2).double(), mlkit.ones(2, 1), upper=True)
    assert solved.dtype is mlkit.float64 and solved.tolist() == [[1], [1]]
    x = mlkit.arange(4.0)
    assert mlkit.scatter(x, 0, mlkit.zeros(0, dtype=mlkit.int64), x).tolist() == x.tolist()


def test_a_view_by_raw_strides_knows_its_memory():
    memory = mlkit.arange(20.0)
    view = memory.as_strided((4,), (1,), 4)
    assert view.storage_offset() == 4
    assert view.detach().as_strided((2, 2), (1, 2), 10).tolist() == [[10, 12], [11, 13]]


def test_arguments_of_operations_are_named():
    with pytest.raises(TypeError, match=r"amax\(\): argument 'keepdim' must be bool, not str"):
        mlkit.amax(mlkit.ones(2, 2), dim=0, keepdim="yes")


def test_what_conj_gave_says_so():
    z = mlkit.tensor([[1 + 2j, 3 - 1j]])
    y = z.conj()
    assert [t.is_conj() for t in (y, y[0], y.T, z.mH, z.H, z.adjoint(), y.detach(), mlkit.conj(z))] == [True] * 8
    assert [t.is_conj() for t in (z, y.conj(), y * 2, y.clone(), y.resolve_conj(), z.conj_physical(), y.real)] == [
        False
    ] * 7
    assert mlkit.is_conj(y) and not mlkit.ones(2).conj().is_conj()
    assert y.imag.is_neg() and not y.real.is_neg() and not y.imag.resolve_neg().is_neg()
    assert y.resolve_conj().tolist() == y.tolist() == [[1 - 2j, 3 + 1j]] and y.imag.resolve_neg().tolist() == [[-2, 1]]


def test_a_dictionary_of_parameters_prints_as_pytorchs():
    a, b = mlkit.nn.Parameter(mlkit.ones(2, 3)), mlkit.nn.Parameter(mlkit.ones(()))
    assert repr(mlkit.nn.ParameterDict({"a": a, "b": b, "c": 3})) == (
        "ParameterDict(\n    (a): Parameter containing: [mlkit.FloatTensor of size 2x3]\n"
        "    (b): Parameter containing: [mlkit.FloatTensor of size ]\n    (c): Object of type: int\n)"
    )
    assert (
        repr(mlkit.nn.ParameterList([a])) == "ParameterList(  (0): Parameter containing: [mlkit.float32 of size 2x3])"
    )
    assert repr(mlkit.nn.ParameterDict()) == "ParameterDict()"


def test_shifts_in_place():
    x = mlkit.tensor([1, 8])
    before = x
    x <<= 2
    x >>= 1
    assert x is before and x.tolist() == [2, 16]
