"""What else the tensor library promises: names, what is not here, storage, printing, comparison, random fills."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import mlkit
from mlkit.core.errors import MissingFeature
from tests.oracle import coverage_torch


@pytest.mark.parametrize(
    "name, word",
    [
        ("sparse_coo_tensor", "Sparse"),
        ("quantize_per_tensor", "Quantised"),
        ("qint8", "Quantised"),
        ("jagged", "Nested"),
        ("cudnn_convolution", "vendors"),
    ],
)
def test_what_is_not_here_says_so(name, word):
    with pytest.raises(MissingFeature, match=word):
        getattr(mlkit, name)
    assert not hasattr(mlkit, name)


@pytest.mark.parametrize("name", ["to_sparse", "coalesce", "int_repr", "q_scale", "to_padded_tensor"])
def test_methods_that_are_not_here_say_so(name):
    with pytest.raises(MissingFeature, match=f"Tensor.{name} is not in mlkit"):
        getattr(mlkit.zeros(2), name)


def test_an_unknown_attribute_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        mlkit.zeros(2).frobnicate
    with pytest.raises(AttributeError, match="Did you mean 'softmax'"):
        mlkit.softmux


def test_no_name_here_is_listed_as_missing_by_kind():
    found = coverage_torch.compare()
    assert len(found["torch"]["here"]) > 550 and len(found["Tensor"]["here"]) > 500
    assert "add_" in found["Tensor"]["here"] and "einsum" in found["torch"]["here"]
    here = set(found["torch"]["here"])
    assert here.isdisjoint(found["torch"]["not now"])


@pytest.mark.parametrize(
    "name, expected",
    [
        ("sum", "(input, dim=None, keepdim=False, *, dtype=None, out=None)"),
        ("quantile", "(input, q, dim=None, keepdim=False, *, interpolation='linear', out=None)"),
        (
            "searchsorted",
            "(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None, out=None)",
        ),
        ("addmm", "(input, mat1, mat2, *, beta=1, alpha=1, out=None)"),
        ("unique", "(input, sorted=True, return_inverse=False, return_counts=False, dim=None)"),
    ],
)
def test_signatures(name, expected):
    parameters = inspect.signature(getattr(mlkit, name)).parameters.values()
    assert str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters])) == expected


def test_out_is_written_and_resized():
    out = mlkit.zeros(0)
    assert mlkit.add(mlkit.ones(3), 1, out=out) is out and out.tolist() == [2.0, 2.0, 2.0]
    values, indices = mlkit.zeros(2), mlkit.zeros(2, dtype=mlkit.int64)
    got = mlkit.sort(mlkit.tensor([3.0, 1.0]), out=(values, indices))
    assert got.values is values and indices.tolist() == [1, 0]
    whole = mlkit.zeros(2, 3)
    mlkit.exp(mlkit.zeros(3), out=whole[1])
    assert whole.tolist() == [[0.0] * 3, [1.0] * 3]


def test_storage_is_what_views_share():
    x = mlkit.arange(6).reshape(2, 3)
    assert x.untyped_storage().data_ptr() == x[1].untyped_storage().data_ptr() == x.data_ptr()
    assert x[1].storage_offset() == 3 and x.T.storage().tolist() == list(range(6)) and len(x[:, 0].storage()) == 6
    x[1].storage()[0] = 9
    assert x[0, 0] == 9
    y = mlkit.zeros(2, 3)
    assert y.set_(mlkit.ones(4)).shape == (4,)


def test_resize_keeps_memory_where_it_can():
    x = mlkit.arange(6)
    address = x.data_ptr()
    assert x.resize_(2, 2).tolist() == [[0, 1], [2, 3]] and x.data_ptr() == address
    assert x.resize_(6).tolist() == [0, 1, 2, 3, 4, 5]
    assert x.resize_(3, 4).shape == (3, 4) and x.reshape(-1)[:6].tolist() == [0, 1, 2, 3, 4, 5]


def test_older_constructors():
    assert mlkit.LongTensor([1, 2]).dtype == mlkit.int64 and mlkit.FloatTensor(2, 3).shape == (2, 3)
    assert isinstance(mlkit.zeros(1), mlkit.FloatTensor) and not isinstance(mlkit.zeros(1), mlkit.LongTensor)
    assert (
        mlkit.zeros(1).type() == "mlkit.FloatTensor"
        and mlkit.zeros(2).type("torch.DoubleTensor").dtype == mlkit.float64
    )


@pytest.mark.parametrize(
    "fill, mean, low",
    [
        (lambda t: t.geometric_(0.25), 4.0, 1.0),
        (lambda t: t.log_normal_(0.0, 0.5), float(np.exp(0.125)), 0.0),
        (lambda t: mlkit.poisson(t + 3.0), 3.0, 0.0),
        (lambda t: mlkit.binomial(t + 10, t + 0.3), 3.0, 0.0),
        (lambda t: mlkit.bernoulli(t + 0.3), 0.3, 0.0),
        (lambda t: t.exponential_(2.0), 0.5, 0.0),
        (lambda t: mlkit.normal(t + 2, 0.5), 2.0, -2.0),
    ],
)
def test_random_fills_have_their_mean(fill, mean, low):
    mlkit.manual_seed(0)
    drawn = fill(mlkit.zeros(40_000)).numpy()
    spread = drawn.std() / np.sqrt(drawn.size)
    assert abs(drawn.mean() - mean) < 5 * spread and drawn.min() >= low
    mlkit.manual_seed(0)
    np.testing.assert_array_equal(fill(mlkit.zeros(40_000)).numpy(), drawn)


def test_cauchy_has_its_quartiles():
    mlkit.manual_seed(0)
    drawn = mlkit.zeros(40_000).cauchy_(1.0, 2.0).numpy()
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]), [-1, 1, 3], atol=0.1)


def test_assert_close():
    close = mlkit.testing.assert_close
    close(mlkit.tensor([1.0, 2.0]), mlkit.tensor([1.0, 2.000001]))
    close({"a": [mlkit.ones(2), 3]}, {"a": [mlkit.ones(2), 3]})
    close(mlkit.tensor(float("nan")), mlkit.tensor(float("nan")), equal_nan=True)
    close(np.ones(2), np.ones(2))
    with pytest.raises(AssertionError, match=r"1 / 2 \(50.0%\)\nGreatest absolute difference: 1.0 at index \(1,\)"):
        close(mlkit.tensor([1.0, 2.0]), mlkit.tensor([1.0, 3.0]))
    with pytest.raises(AssertionError, match="'dtype' do not match"):
        close(mlkit.tensor([1.0]), mlkit.tensor([1.0]).double())
    close(mlkit.tensor([1.0]), mlkit.tensor([1.0]).double(), check_dtype=False)
    with pytest.raises(AssertionError, match="'shape' do not match"):
        close(mlkit.ones(2), mlkit.ones(3))
    with pytest.raises(AssertionError, match=r"item \['a'\]\[1\]"):
        close({"a": [1, 2]}, {"a": [1, 3]})
    with pytest.raises(AssertionError, match="not equal"):
        close(mlkit.tensor([1, 2]), mlkit.tensor([1, 3]))
    with pytest.raises(AssertionError, match="NaN|close"):
        close(mlkit.tensor(float("nan")), mlkit.tensor(float("nan")))
    with pytest.raises(AssertionError, match="mine"):
        close(mlkit.ones(1), mlkit.zeros(1), msg="mine")
    with pytest.raises(ValueError):
        close(1.0, 1.0, rtol=1e-3)
    with pytest.raises(TypeError):
        close("a", "a")


def test_settings_are_kept():
    before = mlkit.get_num_threads()
    mlkit.set_num_threads(1)
    assert mlkit.get_num_threads() == 1
    mlkit.set_num_threads(before)
    mlkit.use_deterministic_algorithms(True, warn_only=True)
    assert mlkit.are_deterministic_algorithms_enabled() and mlkit.get_deterministic_debug_mode() == 1
    mlkit.use_deterministic_algorithms(False)
    with pytest.raises(RuntimeError):
        mlkit.set_float32_matmul_precision("low")
    mlkit.set_default_tensor_type("torch.DoubleTensor")
    assert mlkit.ones(1).dtype == mlkit.float64
    mlkit.set_default_tensor_type(mlkit.FloatTensor)
    assert mlkit.ones(1).dtype == mlkit.float32
