"""In-place changes: memory, version counters, and gradients through views."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlkit


def grad_of(f, x):
    x = mlkit.tensor(x, dtype=mlkit.float64, requires_grad=True)
    y = f(x)
    (y * mlkit.arange(y.numel(), dtype=mlkit.float64).reshape(*y.shape).add(1)).sum().backward()
    return y.detach().numpy().copy(), x.grad.numpy()


X = np.arange(6.0).reshape(2, 3) + 1


def in_place_add(x):
    y = x * 1
    y.add_(x)
    return y


def through_a_view(x):
    y = x * 2
    y[0].mul_(3)
    return y


def through_a_view_of_a_view(x):
    y = x * 2
    y.T[1:][0] += x[:, 0]
    return y


def the_view_sees_the_change(x):
    y = x * 2
    row = y[1]
    y.mul_(x)
    return row


def masked_write(x):
    y = x * 2
    y[y > 5] = x[1, 2] * 10
    return y


def integer_write(x):
    y = x * 2
    y[mlkit.tensor([0, 1]), mlkit.tensor([2, 0])] = x[:, 1]
    return y


def strided_write(x):
    y = x * 2
    y[:, ::2] = x[:, :2] ** 2
    return y


def overwritten_whole(x):
    y = x * 2
    y.copy_(x * 5)
    return y


EXPECTED = {
    in_place_add: (X * 2, np.full((2, 3), 2.0)),
    through_a_view: (X * np.array([[6], [2]]), np.array([[6.0] * 3, [2.0] * 3])),
    overwritten_whole: (X * 5, np.full((2, 3), 5.0)),
}


@pytest.mark.parametrize("f", EXPECTED)
def test_against_the_formula(f):
    y, g = grad_of(f, X)
    values, slopes = EXPECTED[f]
    np.testing.assert_allclose(y, values)
    np.testing.assert_allclose(g, slopes * (np.arange(6.0).reshape(2, 3) + 1))


@pytest.mark.parametrize(
    "f",
    [in_place_add, through_a_view, through_a_view_of_a_view, the_view_sees_the_change, masked_write, integer_write]
    + [strided_write, overwritten_whole],
)
def test_against_differences(f):
    _, g = grad_of(f, X)
    numeric = np.zeros_like(X)
    h = 1e-6
    for place in np.ndindex(*X.shape):
        totals = []
        for sign in (1, -1):
            x = X.copy()
            x[place] += sign * h
            y = f(mlkit.tensor(x)).numpy()
            totals.append((y * (np.arange(y.size).reshape(y.shape) + 1)).sum())
        numeric[place] = (totals[0] - totals[1]) / (2 * h)
    np.testing.assert_allclose(g, numeric, rtol=1e-6, atol=1e-6)


def test_a_leaf_may_not_be_changed():
    x = mlkit.ones(2, requires_grad=True)
    for change in (lambda: x.add_(1), lambda: x[0].mul_(2), lambda: x.__setitem__(0, 5.0)):
        with pytest.raises(RuntimeError, match="in-place"):
            change()
    assert x.tolist() == [1.0, 1.0]
    with mlkit.no_grad():
        x.add_(1)
    assert x.tolist() == [2.0, 2.0] and x._version == 1


@pytest.mark.parametrize("keep", ["input", "output"])
def test_what_backward_needs_must_not_change(keep):
    x = mlkit.ones(3, requires_grad=True)
    y = x * 2
    z = y.square() if keep == "input" else y.exp()
    (y if keep == "input" else z).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_a_view_shares_the_version():
    x = mlkit.zeros(4)
    view = x[1:]
    view.add_(1)
    assert (x._version, view._version) == (1, 1)
    assert x.detach()._version == 1


def test_dtype_and_shape_of_the_target_stay():
    x = mlkit.zeros(3, dtype=mlkit.int64)
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.add_(0.5)
    with pytest.raises(RuntimeError, match="broadcast"):
        x.add_(mlkit.zeros(2, 3, dtype=mlkit.int64))
    assert x.tolist() == [0, 0, 0] and x._version == 0


def test_an_expanded_tensor_refuses_writes():
    with pytest.raises(RuntimeError, match="clone"):
        mlkit.zeros(1).expand(3).add_(1)


indices = st.one_of(
    st.integers(-3, 2),
    st.builds(
        slice,
        st.one_of(st.none(), st.integers(-4, 4)),
        st.one_of(st.none(), st.integers(-4, 4)),
        st.sampled_from([None, 1, 2]),
    ),
    st.just(Ellipsis),
    st.none(),
    st.lists(st.integers(-3, 2), min_size=1, max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(indices, max_size=4).map(tuple))
def test_reading_and_writing_agree_with_numpy(index):
    """Where NumPy and PyTorch have the same rule: at most one list, no integer beside it."""
    lists = [i for i in index if isinstance(i, list)]
    if len(lists) > 1 or lists and any(isinstance(i, int) for i in index):
        return
    if len([i for i in index if i is Ellipsis]) > 1:  # PyTorch takes a second one at the end
        return
    a = np.arange(27.0).reshape(3, 3, 3)
    t = mlkit.tensor(a)
    try:
        expected = a[index]
    except IndexError:
        with pytest.raises(IndexError):
            t[index]
        return
    np.testing.assert_array_equal(t[index].numpy(), expected)
    a[index] = -1
    t[index] = -1
    np.testing.assert_array_equal(t.numpy(), a)


def test_in_place_forms_that_cannot_keep_the_element_type():
    x = mlkit.ones(2, 2)
    with pytest.raises(RuntimeError, match="requires dtype"):
        x.float_power_(2)
    with pytest.raises(RuntimeError, match="Bad in-place call"):
        x.cumsum_(0, dtype=mlkit.float64)
    assert x.double().float_power_(2).tolist() == [[1, 1], [1, 1]] == x.tolist()
    assert x.cumsum_(0, dtype=mlkit.float32).tolist() == [[1, 1], [2, 2]]
