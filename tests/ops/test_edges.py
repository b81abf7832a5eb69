"""NaN, ties, bounds and mixed types at the edges of operations: the numbers are PyTorch's, written out."""

from __future__ import annotations

import math

import pytest

import mlkit
from mlkit.nn import functional as F  # noqa: N812 - PyTorch's name

NAN, INF = math.nan, math.inf
t = mlkit.tensor


def gradients(fn, *numbers):
    tensors = [t(n, requires_grad=True) for n in numbers]
    fn(*tensors).sum().backward()
    return [x.grad.tolist() for x in tensors]


def same(got, want):
    assert len(got) == len(want)
    assert all(a == b or (a != a and b != b) for a, b in zip(got, want, strict=True)), got


def test_nan_is_neither_lost_nor_made():
    same(F.threshold(t([1.0, NAN, -1.0]), 0.0, 5.0).tolist(), [1, NAN, 5])
    same(F.threshold(t([1.0, NAN, -1.0]), NAN, 5.0).tolist(), [1, NAN, -1])
    same(F.softshrink(t([NAN, 3.0, 0.2])).tolist(), [NAN, 2.5, 0])
    assert mlkit.sign(t([NAN, -2.0])).tolist() == mlkit.sgn(t([NAN, -2.0])).tolist() == [0, -1]
    assert gradients(mlkit.abs, [NAN, -2.0]) == [[0, -1]]
    same(mlkit.angle(t([-0.0, -1.0, NAN])).tolist(), [0, t(math.pi).item(), NAN])
    assert gradients(F.hardtanh, [NAN, 3.0, 0.5]) == [[1, 0, 1]]
    assert gradients(lambda x: F.threshold(x, 0.0, 5.0), [NAN, -1.0, 1.0]) == [[1, 0, 1]]
    assert gradients(mlkit.atan2, [0.0, 1.0], [0.0, 0.0]) == [[0, 0], [0, -1]]


def test_ties_and_nan_of_two():
    assert gradients(mlkit.maximum, [1.0, NAN, 3.0], [1.0, 2.0, 2.0]) == [[0.5, 1, 1], [0.5, 1, 0]]
    assert gradients(mlkit.minimum, [1.0, 1.0, 3.0], [1.0, NAN, 2.0]) == [[0.5, 1, 0], [0.5, 1, 1]]
    low, high = [1.0, 1.0, 1.0], [2.0, 2.0, 2.0]
    assert gradients(mlkit.clamp, [1.0, 0.0, 2.0], low, high) == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    same(mlkit.clamp(t([1.0, 3.0]), t([NAN, 0.0]), t([2.0, NAN])).tolist(), [NAN, NAN])


def test_the_norm_of_one_number_is_its_size():
    for x, dim in ((t(-30.0), None), (t([-30.0]), None), (t([[-30.0], [2.0]]), 1)):
        for order in (100, -100, 3, 0.5, 2, -1):
            assert (
                mlkit.linalg.vector_norm(x, order, dim=dim).tolist() == x.abs().squeeze(-1 if x.ndim else ()).tolist()
            )
    assert mlkit.linalg.vector_norm(t([-30.0]), 0).item() == 1
    assert gradients(lambda x: mlkit.linalg.vector_norm(x, 2), [-3.0]) == [[-1]]


def test_short_floats_do_not_overflow_in_a_norm():
    x = t([[300.0, 300.0, 100.0]]).half()
    wide = F.rms_norm(x, (3,), t([1.0, 2.0, 3.0]))
    assert wide.dtype is mlkit.float16 and wide.tolist() == [[1.1923828125, 2.384765625, 1.1923828125]]


def test_sums_of_einsum_are_sums():
    x = mlkit.ones(2, 3, dtype=mlkit.int32)
    assert mlkit.einsum("ij->i", x).dtype is mlkit.int64 and mlkit.einsum("ij->ji", x).dtype is mlkit.int32
    assert mlkit.einsum("ij->", x.bool()).item() == 6


def test_products_in_the_type_of_the_sum():
    a, b = t([1.1, 2.3]), t([3.3, 4.7])
    zero = mlkit.zeros(2, dtype=mlkit.float64)
    assert mlkit.addcmul(zero, a, b).tolist() == (a.double() * b.double()).tolist()
    assert mlkit.addcdiv(zero, a, b).tolist() == (a.double() / b.double()).tolist()
    outer = mlkit.addr(mlkit.zeros(2, 2, dtype=mlkit.float64), a, b)
    assert outer.tolist() == mlkit.outer(a.double(), b.double()).tolist()
    assert (
        mlkit.lerp(t([1e8]), t([1.1]), 1.0).tolist()
        == t([1.1]).tolist()
        == mlkit.lerp(t([1e8]), t([1.1]), t([1.0])).tolist()
    )


def test_indices_and_results_of_other_types():
    assert mlkit.unravel_index(t([7], dtype=mlkit.int8), (4, 500))[0].dtype is mlkit.int64
    assert mlkit.gather(mlkit.ones(3), 0, mlkit.zeros(0, dtype=mlkit.uint8)).shape == (0,)
    out = F.conv_transpose1d(mlkit.ones(1, 1, 2), mlkit.ones(1, 1, 2), mlkit.ones(1).double())
    assert out.dtype is mlkit.float32 and out.tolist() == [[[2, 3, 2]]]
    assert F.mse_loss(t([1.0, 0.0]), t([True, True])).item() == 0.5
    whole = F.hinge_embedding_loss(t([1, 2]), t([1.0, -1.0]), margin=8.4, reduction="none")
    assert whole.dtype is mlkit.int64 and whole.tolist() == [1, 6]
    assert mlkit.polygamma(200, t([1.0], dtype=mlkit.float64)).tolist() == [-INF]


def test_a_constant_result_still_belongs_to_the_graph():
    a = mlkit.ones(2, 2, requires_grad=True)
    mlkit.linalg.matrix_power(a, 0).sum().backward()
    assert a.grad.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: mlkit.logaddexp2(t([1]), t([2])),
        lambda: mlkit.igamma(t([1]), t([2])),
        lambda: F.smooth_l1_loss(t([1]), t([2])),
        lambda: F.huber_loss(t([1]), t([2])),
        lambda: F.cosine_similarity(t([[1]]), t([[2]])),
        lambda: F.normalize(mlkit.ones(2, 2), p=1j),
        lambda: mlkit.polar(mlkit.ones(2).bfloat16(), mlkit.ones(2).bfloat16()),
        lambda: mlkit.imag(mlkit.ones(2)),
        lambda: mlkit.ones(2).H,
        lambda: mlkit.ones(2).adjoint(),
        lambda: mlkit.fft.fftshift(mlkit.ones(())),
        lambda: F.avg_pool3d(mlkit.ones(1, 2, 2, 2).half(), 2),
        lambda: F.prelu(t([1]), t([1])),
        lambda: F.conv_transpose1d(*(mlkit.ones(1, 1, 2, dtype=mlkit.bool),) * 2),
        lambda: mlkit.bucketize(t([True]), t([True])),
    ],
)
def test_what_pytorch_refuses(wrong):
    with pytest.raises(RuntimeError):
        wrong()


def test_the_slope_of_cross_entropy_at_the_bounds():
    p, target = [0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 1.0, 0.25]
    at_p, at_target = gradients(lambda x, y: F.binary_cross_entropy(x, y, reduction="none"), p, target)
    assert at_p[:2] == [0, 0] and at_p[2] == pytest.approx(-1e12) and at_p[3] == 1
    assert at_target == [INF, -INF, INF, 0]
    x = t([0.5, 0.25], requires_grad=True, dtype=mlkit.float64)
    (slope,) = mlkit.autograd.grad(
        F.binary_cross_entropy(x, t([0.5, 1.0]).double(), reduction="sum"), x, create_graph=True
    )
    (again,) = mlkit.autograd.grad(slope.sum(), x)
    assert again.tolist() == pytest.approx([4, 16])


def test_a_relu_chooses():
    assert gradients(F.relu, [NAN, -1.0, 0.0, 2.0]) == [[1, 0, 0, 1]]
    assert gradients(lambda x: mlkit.sqrt(F.relu(x)), [-1.0, 4.0]) == [[0, 0.25]]  # an infinite slope is gone there
    many = mlkit.full((50, 100), -1.0).requires_grad_()
    mlkit.sqrt(F.relu(many)).sum().backward()
    assert not many.grad.any()
    for smooth in (F.elu, F.celu, F.selu):
        x = t([NAN, 0.0, 1.0], requires_grad=True)
        (slope,) = mlkit.autograd.grad(smooth(x).sum(), x, create_graph=True)
        assert mlkit.autograd.grad(slope.sum(), x)[0].tolist() == [0, 0, 0]


def test_ties_and_nan_of_all():
    for one in (mlkit.max, mlkit.min, mlkit.median):
        assert gradients(one, [3.0, NAN, NAN, 3.0]) == [[0, 0.5, 0.5, 0]]
    assert gradients(mlkit.median, [1.0, 2.0, 2.0]) == gradients(mlkit.nanmedian, [1.0, 2.0, 2.0]) == [[0, 0.5, 0.5]]
    assert gradients(mlkit.nanmedian, [3.0, NAN, 3.0]) == [[0.5, 0, 0.5]]
    low, high = [0.0, NAN, 0.0, 0.0], [1.0, 1.0, NAN, 1.0]
    assert gradients(mlkit.clamp, [NAN, 0.5, 0.5, 0.5], low, high) == [[0, 0, 0, 1], [0] * 4, [0] * 4]
    same(gradients(lambda x: mlkit.linalg.vector_norm(x, 3), [0.0, 1.0, NAN])[0], [NAN, NAN, NAN])
    assert gradients(lambda x: mlkit.linalg.vector_norm(x, INF), [0.0, 1.0, NAN]) == [[0, 0, 0]]
    assert gradients(mlkit.logaddexp, [-INF, INF], [INF, 0.0]) == [[0, 1], [1, 0]]


def test_singular_matrices_end_as_in_lapack():
    a = t([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 1.0, 1.0]])
    factor, order = mlkit.linalg.cholesky_ex(a)
    assert factor.tolist() == [[1, 0, 0], [2, 0, 0], [1, 1, 1]] and order.item() == 2
    assert mlkit.linalg.cholesky_ex(mlkit.stack([a, mlkit.eye(3)])).info.tolist() == [2, 0]
    assert mlkit.linalg.cholesky_ex(a * NAN).info.item() == 1
    inverse, place = mlkit.linalg.inv_ex(a)
    assert place.item() == 3
    for row, want in zip(inverse.tolist(), [[NAN] * 3, [-INF, INF, NAN], [INF, -INF, NAN]], strict=True):
        same(row, want)
    same(mlkit.linalg.inv_ex(mlkit.zeros(2, 2)).inverse.tolist()[1], [NAN, INF])


def test_windows_keep_nan_to_themselves():
    x = mlkit.arange(7.0).reshape(1, 1, 7)
    x[..., 2] = NAN
    x[..., 6] = INF
    for pooled in (F.adaptive_avg_pool1d(x, 5), F.interpolate(x, 5, mode="area")):
        same(pooled.flatten().tolist(), [0.5, NAN, NAN, 4.5, INF])


def test_a_view_made_in_no_grad_leads_nowhere():
    x = mlkit.ones(3, requires_grad=True)
    with mlkit.no_grad():
        view = x[:2]
    assert view.requires_grad and view.is_leaf and view.grad_fn is None
    doubled = (view * 2).sum()
    assert doubled.requires_grad and doubled.grad_fn is not None
    doubled.backward()
    assert x.grad is None and view.grad is None
    assert mlkit.autograd.grad((view * 2).sum(), view, allow_unused=True) == (None,)
    with pytest.raises(RuntimeError, match="not have been used"):
        mlkit.autograd.grad((view * 2).sum(), view)
    with pytest.raises(RuntimeError, match="created in no_grad"):
        view.mul_(2)
    own = view.detach().requires_grad_()
    own.sum().backward()
    assert own.grad.tolist() == [1, 1]


@pytest.mark.parametrize(
    "flat",
    [
        F.relu,
        F.leaky_relu,
        F.hardtanh,
        F.softshrink,
        lambda x: F.threshold(x, 0.0, 0.0),
        lambda x: F.max_pool1d(x[None], 2),
        lambda x: F.avg_pool1d(x[None], 2),
        lambda x: F.adaptive_avg_pool1d(x[None], 2),
        lambda x: F.nll_loss(x[None], t([1])),
    ],
)
def test_the_slope_of_a_slope_that_changes_nowhere_is_zero(flat):
    x = t([0.3, -0.4, 2.0], requires_grad=True)
    (slope,) = mlkit.autograd.grad(flat(x).sum(), x, create_graph=True)
    assert slope.requires_grad and mlkit.autograd.grad(slope.sum(), x)[0].tolist() == [0, 0, 0]


def test_a_python_type_is_a_type_of_pythons_numbers():
    assert mlkit.ones(1, dtype=float).dtype is mlkit.ones(1).to(float).dtype is mlkit.float64
    assert mlkit.ones(1, dtype=complex).dtype is mlkit.complex128 and mlkit.ones(1).to(int).dtype is mlkit.int64


def test_tensors_of_one_number_are_numbers_in_a_list():
    assert mlkit.tensor([t([1]), t([[2.5]]), 3]).tolist() == [1, 2.5, 3]
    with pytest.raises(ValueError, match="stack"):
        mlkit.tensor([t([1.0, 2.0])])


def test_memory_of_a_view_written_as_it_lies():
    x = mlkit.arange(6.0).reshape(2, 3).t()
    assert mlkit.as_strided_scatter(x, t([-1.0, -2.0]), (2,), (2,)).tolist() == [[-1, 3], [1, 4], [-2, 5]]


@pytest.mark.parametrize("ord", [2, 1, float("inf")])
@pytest.mark.parametrize("shape", [(2, 3, 0), (2, 0, 3), (2, 0, 0)])
def test_the_largest_of_no_values_is_a_matrix_norm_of_zero(ord, shape):
    rows, columns = shape[1:]
    among = {2: min(rows, columns), 1: columns, float("inf"): rows}[ord]
    found = mlkit.linalg.matrix_norm(mlkit.zeros(shape), ord)
    assert found.tolist() == [0.0, 0.0], among
    assert mlkit.linalg.matrix_norm(mlkit.zeros(shape), ord, keepdim=True).shape == (2, 1, 1)
    if among == 0:
        with pytest.raises(Exception, match="size 0"):
            mlkit.linalg.matrix_norm(mlkit.zeros(shape), -ord)
