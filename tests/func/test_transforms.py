"""What numbers from PyTorch do not show of the transforms: random streams, levels that end, messages, memory."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import mlkit
from mlkit import func, nn
from mlkit.autograd import forward_ad
from mlkit.core.dispatch import state
from mlkit.func import pytree, vmap


def numbers(*shape, seed=0):
    return mlkit.from_numpy(np.random.default_rng(seed).normal(size=shape))


# --- random ops under vmap --------------------------------------------------------------------------------------------


def test_different_and_same_random_numbers():
    x = mlkit.zeros(4, 3)
    mlkit.manual_seed(1)
    different = vmap(lambda t: t + mlkit.rand(3), randomness="different")(x)
    assert len({tuple(row.tolist()) for row in different}) == 4
    same = vmap(lambda t: t + mlkit.randn(3), randomness="same")(x)
    assert (same == same[0]).all()
    mlkit.manual_seed(1)
    again = vmap(lambda t: t + mlkit.rand(3), randomness="different")(x)
    assert (again == different).all()


def test_draws_of_a_vmap_do_not_repeat_those_that_follow():
    mlkit.manual_seed(1)
    inside = vmap(lambda t: t + mlkit.rand(50), randomness="different")(mlkit.zeros(40))
    after = mlkit.rand(2000)
    assert len(set(inside.flatten().tolist()) & set(after.tolist())) < 3
    assert abs(float(inside.mean()) - 0.5) < 0.03


def test_other_random_ops():
    x = mlkit.zeros(5, 8)
    order = vmap(lambda t: mlkit.randperm(8), randomness="different")(x)
    assert (order.sort(1)[0] == mlkit.arange(8)).all() and len({tuple(r.tolist()) for r in order}) > 1
    integers = vmap(lambda t: mlkit.randint(0, 1000, (20,)), randomness="different")(x)
    assert not (integers[0] == integers[1]).all()
    assert vmap(lambda t: mlkit.rand(2), randomness="same", out_dims=None)(x).shape == (2,)


def test_dropout_and_its_gradient_use_one_mask():
    x = mlkit.ones(6, 100)
    f = lambda t: nn.functional.dropout(t, 0.5)  # noqa: E731

    def both(t):
        out, pull = func.vjp(f, t)
        return out, pull(mlkit.ones(100))[0]

    for randomness in ("different", "same"):
        out, g = vmap(both, randomness=randomness)(x)
        assert (out == g).all()
        assert bool((out == out[0]).all()) == (randomness == "same")
        w = mlkit.ones(6, 100, requires_grad=True)
        y = vmap(f, randomness=randomness)(w)
        y.sum().backward()
        assert (w.grad == y.detach()).all()
    shared = vmap(lambda i, t: f(t) + i, in_dims=(0, None), randomness="different")(mlkit.zeros(6), x[0])
    assert not (shared[0] == shared[1]).all()


# --- levels begin and end --------------------------------------------------------------------------------------------------


def test_levels_end_after_an_error():
    with pytest.raises(ZeroDivisionError):
        vmap(lambda t: 1 / 0)(mlkit.ones(2))
    with pytest.raises(ZeroDivisionError):
        func.jvp(lambda t: 1 / 0, (mlkit.ones(2),), (mlkit.ones(2),))
    assert state.interpreters == [] and state.transforms == 0
    assert (mlkit.ones(2) + 1).tolist() == [2.0, 2.0]


def test_a_tensor_kept_beyond_its_vmap_says_so():
    kept = []
    vmap(lambda t: kept.append(t) or t)(mlkit.ones(2))
    with pytest.raises(RuntimeError, match="kept beyond the vmap"):
        kept[0] + 1


def test_results_of_forward_mode_go_on_after_the_level():
    with forward_ad.dual_level():
        x = forward_ad.make_dual(mlkit.ones(2), mlkit.ones(2))
        y = x * 3
        assert "tangent=tensor([3., 3.])" in repr(y)
        assert y.sum().item() == 6.0 and y.tolist() == [3.0, 3.0] and bool((y > 1).all())
        assert y.numpy(force=True).tolist() == [3.0, 3.0]
    assert (y + 1).tolist() == [4.0, 4.0]
    assert forward_ad.unpack_dual(y).tangent is None
    with pytest.raises(RuntimeError, match="no level exists"):
        forward_ad.make_dual(mlkit.ones(2), mlkit.ones(2))


def test_what_forward_mode_changed_in_place_is_plain_again():
    total = mlkit.zeros(2)
    view = total[:1]

    def f(t):
        total.add_(t)
        return total * view

    out, tangent = func.jvp(f, (mlkit.ones(2),), (mlkit.ones(2),))
    assert tangent.tolist() == [2.0, 2.0]
    assert total.numpy().tolist() == [1.0, 1.0] and view.numpy().tolist() == [1.0]


def test_backward_from_a_tensor_with_a_tangent():
    x = mlkit.tensor([1.0, 2.0], requires_grad=True)
    with forward_ad.dual_level():
        y = (forward_ad.make_dual(x, mlkit.ones(2)) ** 2).sum()
        tangent = forward_ad.unpack_dual(y).tangent
    tangent.backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_threads_do_not_see_each_others_levels():
    seen = []

    def other():
        seen.append((mlkit.ones(2) * 2).tolist())

    def f(t):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        return t * 2

    vmap(f)(mlkit.ones(3))
    assert seen == [[2.0, 2.0]]


# --- what results hold on to ---------------------------------------------------------------------------------------------------


def test_results_have_no_history_of_their_own():
    x = numbers(3)
    f = lambda t: (t * t).sum()  # noqa: E731
    g, v = func.grad_and_value(f)(x)
    assert not g.requires_grad and not v.requires_grad
    assert not func.jacrev(lambda t: t * t)(x).requires_grad
    assert not func.vjp(f, x)[0].requires_grad and not func.vjp(f, x)[1](mlkit.tensor(1.0))[0].requires_grad
    assert not vmap(func.grad(lambda t: t * t))(x).requires_grad
    assert not func.jvp(func.grad(f), (x,), (x,))[1].requires_grad
    w = x.clone().requires_grad_()
    assert func.grad(f)(w).requires_grad and w.grad is None
    with mlkit.no_grad():
        assert not func.grad(f)(w).requires_grad
        assert func.grad(f)(x).tolist() == (2 * x).tolist()


def test_grad_lets_go_of_its_graph():
    seen = []

    def f(t):
        middle = t.exp()
        seen.append(weakref.ref(middle))
        return (middle * middle).sum()

    g = func.grad(f)(numbers(3))
    gc.collect()
    assert seen[0]() is None and g.shape == (3,)


def test_no_grad_inside_stops_the_gradient():
    def f(t):
        with mlkit.no_grad():
            constant = t * 3
        return (t * constant).sum()

    x = numbers(3)
    assert mlkit.allclose(func.grad(f)(x), 3 * x)


def test_leaves_are_left_alone():
    model = nn.Linear(3, 1)
    func.grad(lambda x: model(x).sum())(mlkit.ones(3))
    assert model.weight.grad is None


# --- shapes of things ----------------------------------------------------------------------------------------------------------------


def test_pytrees():
    Pair = namedtuple("Pair", "a b")
    tree = {"x": [1, (2, 3)], "y": Pair(4, OrderedDict(z=5)), "n": None}
    leaves, structure = pytree.flatten(tree)
    assert leaves == [1, 2, 3, 4, 5, None]
    back = pytree.unflatten([x and x * 2 for x in leaves], structure)
    assert back == {"x": [2, (4, 6)], "y": Pair(8, OrderedDict(z=10)), "n": None} and type(back["y"]) is Pair
    assert pytree.text(structure) == "{'x': [*, (*, *)], 'y': (*, {'z': *}), 'n': *}"
    assert pytree.spread({"x": 0, "y": (None, 1), "n": None}, structure) == [0, 0, 0, None, 1, None]
    assert pytree.spread({"x": 0}, structure) is None


def test_empty_batches_and_empty_examples():
    assert vmap(lambda t: t.sin())(mlkit.ones(0, 3)).shape == (0, 3)
    assert vmap(lambda t: (t @ mlkit.ones(3, 2)).sum())(mlkit.ones(0, 3)).shape == (0,)
    assert vmap(lambda t: t.sum())(mlkit.ones(4, 0)).tolist() == [0.0] * 4


def test_vmap_shows_itself_and_says_what_to_do():
    texts = []
    vmap(lambda t: texts.append(repr(t)) or t)(mlkit.ones(2, 3))
    assert texts[0].startswith("BatchedTensor(bdim=0, value=\n    tensor([[1., 1., 1.],")
    with pytest.raises(RuntimeError, match=r"(?s)stands for all examples.*shape \(\), vmapped over 2.*mlkit\.where"):
        vmap(lambda t: t if t.sum() > 0 else -t)(mlkit.ones(2, 3))
    with pytest.raises(RuntimeError, match="(?s)do not broadcast.*inside vmap over: 2 examples"):
        vmap(lambda t: t + mlkit.ones(4))(mlkit.ones(2, 3))
    with pytest.raises(RuntimeError, match="new_zeros"):
        vmap(lambda t: mlkit.zeros(3).add_(t))(mlkit.ones(2, 3))
    with pytest.raises(RuntimeError, match="masked_fill"):
        vmap(lambda t: t[t > 0])(mlkit.ones(2, 3))


def test_the_slow_way_warns_and_is_right():
    x = numbers(3, 4)
    factor = mlkit.eye(4, dtype=x.dtype) * 2
    with pytest.warns(UserWarning, match="cholesky_solution has no batching rule"):
        out = vmap(lambda t: mlkit.cholesky_solve(t.reshape(4, 1), factor))(x)
    np.testing.assert_allclose(out.numpy()[..., 0], x.numpy() / 4)


def test_dtypes_promote_as_one_example_does():
    x = mlkit.ones(3, dtype=mlkit.float32)
    wide = mlkit.ones(2, dtype=mlkit.float64)
    assert vmap(lambda t: t * wide)(x).dtype == mlkit.float64
    assert vmap(lambda t: t * mlkit.ones(2))(wide).dtype == mlkit.float32  # a 0-d example does not widen
    assert vmap(lambda t: t * 2.5)(mlkit.ones(3, dtype=mlkit.int64)).dtype == mlkit.float32


def test_functional_call_puts_everything_back():
    model = nn.Sequential(nn.Linear(2, 2))
    before = dict(model.named_parameters())
    with pytest.raises(RuntimeError):
        func.functional_call(model, {"0.weight": mlkit.ones(2, 3)}, mlkit.ones(1, 2))
    assert all(after is before[name] for name, after in model.named_parameters())


def test_tied_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    model, w, x = Tied(), mlkit.eye(2) * 3, mlkit.ones(1, 2)
    assert func.functional_call(model, {"a.weight": w}, x).tolist() == [[9.0, 9.0]]
    own = func.functional_call(model, {"a.weight": w}, x, tie_weights=False)
    assert mlkit.allclose(own, 3 * model.b(x))
    with pytest.raises(ValueError, match="tied"):
        func.functional_call(model, {"a.weight": w, "b.weight": w + 1}, x)


def test_functionalize_leaves_its_arguments_alone():
    x = mlkit.ones(2)
    out = func.functionalize(lambda t: t.add_(1))(x)
    assert out.tolist() == [2.0, 2.0] and x.tolist() == [1.0, 1.0]


def test_the_names_are_where_pytorch_has_them():
    assert mlkit.vmap is vmap
    assert mlkit.func.value_and_grad(lambda t: t * t)(mlkit.tensor(3.0))[0].item() == 9.0
    assert mlkit.autograd.forward_ad is forward_ad
    assert issubclass(mlkit.func.VmapError, RuntimeError)


def test_solve_with_fewer_dims_in_the_matrices():
    a, b = numbers(3, 2, 2) + 3 * mlkit.eye(2, dtype=mlkit.float64), numbers(3, 4, 2, 1, seed=1)
    out = vmap(mlkit.linalg.solve)(a, b)
    for i in range(3):
        assert mlkit.allclose(out[i], mlkit.linalg.solve(a[i], b[i]))
    from mlkit.core.dispatch import ops

    x, info = vmap(lambda p, q: ops.solve(p, q))(a, b)
    assert x.shape == (3, 4, 2, 1) and info.shape == (3,)


def test_vmap_views_and_asks_how_an_example_lies():
    """view, contiguous, stride inside: of one example, as if it were alone."""
    x = mlkit.arange(24.0).reshape(3, 2, 4)
    assert vmap(lambda a: a.view(8))(x).tolist() == x.reshape(3, 8).tolist()
    assert vmap(lambda a: a.t().contiguous().view(-1))(x).tolist() == x.mT.reshape(3, 8).tolist()
    seen = []
    vmap(lambda a: seen.append((a.stride(), a.is_contiguous(), a.t().is_contiguous())) or a)(x)
    assert seen == [((4, 1), True, False)]
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        vmap(lambda a: a.t().view(8))(x)
    weight = mlkit.randn(5, 1, 3, 3)
    images = mlkit.randn(3, 2, 1, 6, 6)
    got = vmap(lambda i: mlkit.nn.functional.conv2d(i, weight).view(2, -1))(images)
    assert got.shape == (3, 2, 80)


def test_vmap_indexes_with_a_number_of_each_example():
    x = mlkit.arange(12.0).reshape(3, 4)
    i = mlkit.tensor([0, 2, 1])
    assert vmap(lambda a, i: a[i])(x, i).tolist() == [0, 6, 9]
    assert vmap(lambda a, i: a.view(2, 2)[i // 2, 1])(x, i).tolist() == [1, 7, 9]
