"""Element types of results and what is refused, as PyTorch 2.13 does; the numbers are PyTorch's."""

from __future__ import annotations

import pytest

import mlkit
import mlkit.nn.functional as F
from mlkit import tensor

IMAGE = {
    ("bilinear", False): [
        31,
        52,
        66,
        62,
        88,
        115,
        136,
        150,
        171,
        161,
        96,
        122,
        94,
        42,
        55,
        76,
        103,
        129,
        155,
        164,
        160,
    ],
    ("bilinear", True): [55, 76, 81, 53, 79, 106, 127, 150, 171, 161, 96, 122, 94, 42, 64, 85, 112, 138, 164, 158, 136],
    ("bicubic", False): [27, 50, 66, 61, 83, 118, 142, 170, 207, 183, 96, 131, 88, 15, 49, 70, 102, 130, 160, 169, 165],
    ("bicubic", True): [49, 73, 79, 46, 69, 108, 137, 156, 186, 173, 96, 128, 91, 30, 54, 74, 108, 145, 177, 167, 141],
}


@pytest.mark.parametrize("mode, antialias", IMAGE)
def test_images_of_uint8_are_resampled_in_whole_numbers(mode, antialias):
    x = (mlkit.arange(40) * 37 % 256).reshape(1, 2, 4, 5).to(mlkit.uint8)
    out = F.interpolate(x, size=(3, 7), mode=mode, antialias=antialias)
    assert out.dtype is mlkit.uint8 and out[0, 0].flatten().tolist() == IMAGE[mode, antialias]


def test_uint8_has_no_other_mode_that_averages():
    with pytest.raises(NotImplementedError):
        F.interpolate(mlkit.zeros(1, 1, 4, dtype=mlkit.uint8), size=3, mode="linear")


def test_running_sums_keep_the_type_asked_for():
    x = tensor([1, 2, 3])
    assert x.cumsum(0, dtype=mlkit.int32).dtype is mlkit.int32
    assert mlkit.cumprod(x, 0, dtype=mlkit.uint8).dtype is mlkit.uint8


def test_counting_distances_have_a_slope_of_zero():
    x, y = (mlkit.randn(n, 2, dtype=mlkit.float64, requires_grad=True) for n in (3, 4))
    out = mlkit.cdist(x, y, p=0.0)
    out.sum().backward()
    assert out.tolist() == [[2.0] * 4] * 3 and not x.grad.any() and not y.grad.any()


def test_results_have_pytorchs_types():
    single, double, half = (tensor([0.5, 1.0], dtype=d) for d in (mlkit.float32, mlkit.float64, mlkit.float16))
    assert F.huber_loss(single, double).dtype is mlkit.float32
    assert F.soft_margin_loss(single, double).dtype is mlkit.float32
    assert F.binary_cross_entropy_with_logits(double, single).dtype is mlkit.float32
    assert mlkit.normal(single, double).dtype is mlkit.float32
    assert F.cosine_similarity(single, tensor([1, 2], dtype=mlkit.int32), dim=0).dtype is mlkit.float32
    assert mlkit.block_diag(mlkit.ones(2), tensor(1.0, dtype=mlkit.float64)).dtype is mlkit.float32
    assert mlkit.special.hermite_polynomial_h(single, tensor(2.0, dtype=mlkit.float64)).dtype is mlkit.float32
    rows = F.group_norm(mlkit.ones(1, 4, 2, dtype=mlkit.float16), 2, mlkit.ones(4), mlkit.ones(4))
    assert rows.dtype is mlkit.float16
    assert abs(mlkit.logaddexp2(tensor([4.25]), half[:1]).item() - 4.353431) < 1e-6


X = mlkit.ones(2, 3)
REFUSED = {
    "labels of int32": (lambda: F.cross_entropy(X, tensor([0, 1], dtype=mlkit.int32)), RuntimeError),
    "margin labels of int32": (lambda: F.multi_margin_loss(X, tensor([0, 1], dtype=mlkit.int32)), RuntimeError),
    "whole targets": (lambda: F.binary_cross_entropy_with_logits(X, X.long()), RuntimeError),
    "whole variances": (lambda: F.gaussian_nll_loss(X, X, X.long()), RuntimeError),
    "normalizing integers": (lambda: F.normalize(X.long()), RuntimeError),
    "a weight of three dims": (lambda: F.linear(X, mlkit.ones(4, 3, 3)), RuntimeError),
    "distances of half precision": (lambda: mlkit.cdist(X.half(), X.half()), NotImplementedError),
    "Bessel functions of half precision": (lambda: mlkit.special.bessel_j0(X.half()), NotImplementedError),
    "largest along None": (lambda: mlkit.max(X, None), TypeError),
    "product along None": (lambda: X.prod(None), TypeError),
    "where with None": (lambda: mlkit.where(X > 0, X, None), TypeError),
    "bools among others": (lambda: mlkit.isin(X, True), RuntimeError),
    "zeros of no size": (lambda: X.new_zeros(), TypeError),
    "triplets of other ranks": (lambda: F.triplet_margin_with_distance_loss(X, X[0], X), RuntimeError),
    "expanding like a number": (lambda: X.expand_as(2), TypeError),
    "uint8 places": (
        lambda: X.index_reduce(0, tensor([0, 1], dtype=mlkit.uint8), X, "amax"),
        RuntimeError,
    ),
    "pooling integers in one dim": (lambda: F.max_pool1d(X.long()[None], 2), NotImplementedError),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    call, kind = REFUSED[what]
    with pytest.raises(kind):
        call()


@pytest.mark.parametrize("parts", [lambda x: x.split(2), lambda x: x.chunk(2), lambda x: x.unbind()])
def test_one_of_several_views_is_not_changed_in_place(parts):
    x = mlkit.ones(4, requires_grad=True)
    with pytest.raises(RuntimeError, match="multiple views"):
        parts(x * 1)[0].add_(1)
    with pytest.raises(RuntimeError, match="multiple views"):
        parts(x * 1)[0].view(-1).mul_(2)
    plain = mlkit.ones(4)
    parts(plain)[0].mul_(3)  # without a gradient it is
    assert plain[0] == 3
    with mlkit.no_grad():
        parts(x)[0].mul_(3)
    assert x[0] == 3
    y = x * 1
    y.tensor_split(2)[0].mul_(2)  # its views come one by one
    assert y[0] == 6


def test_out_of_another_type():
    x = mlkit.arange(6.0).reshape(2, 3)
    wide = mlkit.zeros(2, 3, dtype=mlkit.float64)
    for call in (
        lambda: mlkit.floor(x, out=wide),
        lambda: mlkit.tril(x, out=wide),
        lambda: mlkit.max(x, 0, out=(mlkit.zeros(3, dtype=mlkit.float64), mlkit.zeros(3, dtype=mlkit.int64))),
        lambda: mlkit.argmax(x, 0, out=mlkit.zeros(3)),
        lambda: mlkit.matmul(x, x.T, out=mlkit.zeros(2, 2, dtype=mlkit.float64)),
        lambda: mlkit.scatter(x, 0, mlkit.zeros(1, 3, dtype=mlkit.int64), x, out=wide),
    ):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(TypeError):
        mlkit.cat([x, x], out=mlkit.zeros(4, 3, dtype=mlkit.int64))
    assert mlkit.maximum(x, x, out=wide) is wide and wide.tolist() == x.tolist()
    assert mlkit.max(x, x, out=wide) is wide  # of two tensors: as maximum
    assert mlkit.cumsum(x / 2, 0, out=mlkit.zeros(2, 3, dtype=mlkit.int64)).tolist() == [[0, 0, 1], [1, 2, 3]]
