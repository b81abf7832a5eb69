"""Properties: broadcasting and reductions against NumPy, views and in-place changes, einsum, promotion's laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mlkit

FLOATS = st.floats(-100, 100, allow_nan=False)
QUICK = settings(max_examples=120, deadline=None)


def arrays(shape):
    return hnp.arrays(np.float64, shape, elements=FLOATS)


@QUICK
@given(st.data(), st.sampled_from(["add", "sub", "mul", "maximum", "minimum", "hypot", "lt", "eq", "ge"]))
def test_broadcasting_agrees_with_numpy(data, name):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4)).input_shapes
    a, b = (data.draw(arrays(s)) for s in shapes)
    numpy_name = {
        "sub": "subtract",
        "add": "add",
        "mul": "multiply",
        "lt": "less",
        "eq": "equal",
        "ge": "greater_equal",
    }
    expected = getattr(np, numpy_name.get(name, name))(a, b)
    got = getattr(mlkit, name)(mlkit.tensor(a), mlkit.tensor(b))
    np.testing.assert_array_equal(got.numpy(), expected)


@QUICK
@given(st.data())
def test_the_gradient_of_a_broadcast_has_the_inputs_shape(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=1, max_dims=4, max_side=4)).input_shapes
    x, y = (mlkit.tensor(data.draw(arrays(s))).requires_grad_() for s in shapes)
    total = (x * y).sum()
    total.backward()
    assert x.grad.shape == x.shape and y.grad.shape == y.shape
    wide = np.broadcast_to(y.detach().numpy(), np.broadcast_shapes(*shapes))
    lead = wide.ndim - x.ndim
    dims = (*range(lead), *(i + lead for i, n in enumerate(x.shape) if n == 1))
    expected = wide.sum(axis=dims, keepdims=True).reshape(x.shape)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-9, atol=1e-9)


@QUICK
@given(st.data(), st.sampled_from(["sum", "amax", "amin", "prod", "mean"]), st.booleans())
def test_reductions_agree_with_numpy(data, name, keepdim):
    a = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4).flatmap(arrays))
    a = a / 50
    dims = tuple(data.draw(st.sets(st.integers(0, a.ndim - 1), min_size=1)))
    dims = dims[:1] if name == "prod" else dims
    function = getattr(np, {"amax": "max", "amin": "min"}.get(name, name))
    got = getattr(mlkit, name)(mlkit.tensor(a), dim=dims if name != "prod" else dims[0], keepdim=keepdim)
    np.testing.assert_allclose(got.numpy(), function(a, axis=dims, keepdims=keepdim), rtol=1e-10, atol=1e-10)


@QUICK
@given(st.data())
def test_gather_undoes_scatter(data):
    rows, columns = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    index = np.array([data.draw(st.permutations(range(columns))) for _ in range(rows)])
    a = data.draw(arrays((rows, columns)))
    placed = mlkit.zeros(rows, columns, dtype=mlkit.float64).scatter(1, mlkit.tensor(index), mlkit.tensor(a))
    np.testing.assert_array_equal(placed.gather(1, mlkit.tensor(index)).numpy(), a)


VIEWS = {
    "transpose": (lambda t: t.transpose(0, 1), lambda a: a.swapaxes(0, 1)),
    "slice": (lambda t: t[1:], lambda a: a[1:]),
    "stepped": (lambda t: t[..., ::2], lambda a: a[..., ::2]),
    "select": (lambda t: t[:, 0], lambda a: a[:, 0]),
    "narrow": (lambda t: t.narrow(-1, 0, min(1, t.shape[-1])), lambda a: a[..., 0:1]),
    "unsqueeze": (lambda t: t.unsqueeze(1), lambda a: a[:, None]),
    "diagonal": (lambda t: t.diagonal(), lambda a: np.lib.stride_tricks.as_strided(a, *_diagonal(a))),
    "movedim": (lambda t: t.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
}


def _diagonal(a):
    n = min(a.shape[:2])
    return (*a.shape[2:], n), (*a.strides[2:], a.strides[0] + a.strides[1])


@QUICK
@given(st.lists(st.sampled_from(sorted(VIEWS)), max_size=4), FLOATS)
def test_writing_through_a_chain_of_views_is_numpys(names, number):
    a = np.arange(24.0).reshape(2, 3, 4)
    t = mlkit.tensor(a)
    seen, view = a, t
    for name in names:
        if seen.ndim < 2 or not seen.size:
            break
        view, seen = VIEWS[name][0](view), VIEWS[name][1](seen)
    assert tuple(view.shape) == seen.shape
    np.testing.assert_array_equal(view.numpy(), seen)
    view.mul_(2).add_(number)
    seen *= 2
    seen += number
    np.testing.assert_array_equal(t.numpy(), a)
    if seen.size:
        assert t._version == view._version == 2


@QUICK
@given(st.lists(st.sampled_from(sorted(VIEWS)), min_size=1, max_size=3))
def test_gradients_through_written_views(names):
    """Each element of the base gets the derivative of what was done to it."""
    weights = np.arange(24.0).reshape(2, 3, 4) + 1
    x = mlkit.ones(2, 3, 4, dtype=mlkit.float64, requires_grad=True)
    base = x * 1
    view, mark = base, np.ones((2, 3, 4))
    seen = mark
    for name in names:
        if seen.ndim < 2 or not seen.size:
            break
        view, seen = VIEWS[name][0](view), VIEWS[name][1](seen)
    view.mul_(3)
    seen *= 3
    (base * mlkit.tensor(weights)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), mark * weights)


LETTERS = "abcd"


@QUICK
@given(st.data())
def test_einsum_agrees_with_numpy(data):
    sizes = {letter: data.draw(st.integers(1, 3)) for letter in LETTERS}
    words = data.draw(st.lists(st.text(LETTERS, min_size=1, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(words)))
    out = "".join(data.draw(st.permutations(used)))[: data.draw(st.integers(0, len(used)))]
    equation = ",".join(words) + "->" + out
    parts = [data.draw(arrays(tuple(sizes[n] for n in word))) for word in words]
    got = mlkit.einsum(equation, *[mlkit.tensor(p) for p in parts])
    np.testing.assert_allclose(got.numpy(), np.einsum(equation, *parts), rtol=1e-9, atol=1e-7)


DTYPES = [getattr(mlkit, d) for d in "uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64".split()]
DTYPES += [mlkit.bool, mlkit.complex128]


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_promotion_is_commutative_and_never_loses_a_category(a, b):
    both = mlkit.promote_types(a, b)
    assert both == mlkit.promote_types(b, a)
    assert both == mlkit.promote_types(both, a) == mlkit.promote_types(both, b)
    assert both.category == max(a.category, b.category)
    assert (mlkit.ones(2, dtype=a) * mlkit.ones(2, dtype=b)).dtype == both


@QUICK
@given(st.data())
def test_unique_and_searchsorted_agree_with_numpy(data):
    a = data.draw(hnp.arrays(np.int64, st.integers(0, 12), elements=st.integers(-4, 4)))
    values, inverse, counts = mlkit.unique(mlkit.tensor(a), return_inverse=True, return_counts=True)
    expected, places, numbers = np.unique(a, return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(values.numpy(), expected)
    np.testing.assert_array_equal(inverse.numpy(), places)
    np.testing.assert_array_equal(counts.numpy(), numbers)
    np.testing.assert_array_equal(values[inverse].numpy(), a)
    for right in (False, True):
        got = mlkit.searchsorted(values, mlkit.tensor(a), right=right).numpy()
        np.testing.assert_array_equal(got, np.searchsorted(expected, a, side="right" if right else "left"))


@QUICK
@given(st.data(), st.sampled_from(["linear", "lower", "higher", "nearest", "midpoint"]))
def test_quantile_agrees_with_numpy(data, way):
    a = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5).flatmap(arrays))
    q = data.draw(st.floats(0, 1))
    axis = data.draw(st.integers(0, a.ndim - 1))
    rank = q * (a.shape[axis] - 1)
    if abs(rank - round(rank)) < 1e-9 or abs(rank % 1 - 0.5) < 1e-9:
        return  # on a border rounding decides
    got = mlkit.quantile(mlkit.tensor(a), q, dim=axis, interpolation=way)
    np.testing.assert_allclose(got.numpy(), np.quantile(a, q, axis=axis, method=way), rtol=1e-9, atol=1e-9)
