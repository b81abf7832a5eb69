"""Hooks on what backward keeps, on several gradients, and what nodes show of themselves."""

from __future__ import annotations

import gc
import weakref

import pytest

import mlkit
from mlkit.autograd import graph


def leaf(*values):
    return mlkit.tensor(values, requires_grad=True)


def test_nodes_keep_what_their_gradient_needs_and_no_more():
    """A tensor dies as soon as no gradient needs it."""
    x, w = leaf(1.0, 2.0), mlkit.tensor([3.0, 4.0])

    def alive(make):
        t = make()
        reference = weakref.ref(t)
        y = use(t)  # noqa: F841 - holds the graph
        del t
        gc.collect()
        return reference() is not None

    use = lambda t: t + x  # noqa: E731
    assert not alive(lambda: x * 2)  # addition keeps nothing
    use = lambda t: t * w  # noqa: E731
    assert not alive(lambda: x * 2)  # the gradient of t needs w alone
    use = lambda t: t * x  # noqa: E731
    assert alive(lambda: x * 2)  # the gradient of x needs t
    use = lambda t: t.exp()  # noqa: E731
    assert not alive(lambda: x * 2)  # keeps its output


def test_backward_frees_as_it_runs():
    x = leaf(1.0, 2.0)
    middle = x * 2
    reference = weakref.ref(middle)
    y = middle * x
    del middle
    seen = []
    x_node = y.grad_fn.next_functions[0][0]
    x_node.register_prehook(lambda g: seen.append(reference() is None))
    y.sum().backward()
    assert seen == [True]  # when the first multiplication runs, the second has let go of its input


def test_saved_tensors_hooks_see_inputs_and_outputs_once_each():
    shapes = []
    x = mlkit.ones(2, 3, requires_grad=True)
    w = mlkit.ones(3, 4, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t):
        y = (x @ w).exp()
    assert sorted(shapes) == [(2, 3), (2, 4), (3, 4)]
    (g,) = mlkit.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    assert x.grad.shape == (2, 3)


def test_second_gradients_through_packed_tensors():
    x = mlkit.tensor([0.5, 2.0], dtype=mlkit.float64, requires_grad=True)
    with graph.saved_tensors_hooks(lambda t: t.detach().numpy().copy(), mlkit.from_numpy):
        y = (x**3 * x.exp()).sum()
    (g,) = mlkit.autograd.grad(y, x, create_graph=True)
    (gg,) = mlkit.autograd.grad(g.sum(), x)
    e, v = x.detach().exp(), x.detach()
    assert mlkit.allclose(gg, (6 * v + 6 * v**2 + v**3) * e)


def test_hooks_do_not_nest_into_themselves_and_the_innermost_counts():
    outer, inner = [], []
    x = leaf(2.0)
    with graph.saved_tensors_hooks(lambda t: outer.append(1) or (t * 1), lambda t: t):
        y = x * x
        with graph.saved_tensors_hooks(lambda t: inner.append(1) or t, lambda t: t):
            z = x * x
    assert len(outer) == 2 and len(inner) == 2
    (y + z).backward()
    assert x.grad.tolist() == [8.0]


def test_an_unpack_hook_must_give_a_tensor():
    x = leaf(2.0)
    with graph.saved_tensors_hooks(lambda t: 0, lambda packed: packed):
        y = x * x
    with pytest.raises(TypeError, match="unpack_hook"):
        y.backward()


def test_mutation_of_what_was_kept_can_be_allowed():
    x = leaf(1.0, 2.0)
    a = x * 1
    with graph.allow_mutation_on_saved_tensors():
        y = (a * a).sum()
        a.add_(5)
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_multi_grad_hook_waits_for_those_that_come():
    a, b, c = leaf(1.0), leaf(2.0), leaf(3.0)
    seen = []
    handle = graph.register_multi_grad_hook([a, b, c], lambda grads: seen.append([g and g.item() for g in grads]))
    (a * b).backward()
    assert seen == [[2.0, 1.0, None]]
    (a + b + c).backward()
    assert seen[1] == [1.0, 1.0, 1.0]
    handle.remove()
    (a * b).backward()
    assert len(seen) == 2


def test_gradient_edges_and_notes():
    x = leaf(3.0)
    y = x * 2
    edge = graph.get_gradient_edge(y)
    (g,) = mlkit.autograd.grad((y * y).sum(), edge)
    assert g.tolist() == [12.0]
    y.grad_fn.metadata["note"] = 1
    assert y.grad_fn.metadata == {"note": 1}
    assert (x * y).grad_fn._saved_self is x
    assert x.exp().grad_fn._saved_result.tolist() == x.exp().tolist()
    with pytest.raises(AttributeError):
        y.grad_fn._saved_result  # noqa: B018
    values, indices = mlkit.tensor([[1.0, 2.0]], requires_grad=True).max(dim=1)
    assert (values * 1).grad_fn.next_functions[0][0] is values.grad_fn


def test_save_on_cpu_copies():
    x = leaf(1.0, 2.0)
    with graph.save_on_cpu():
        y = (x * x).sum()
    x.data.mul_(10)  # what was kept is a copy
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_increment_version():
    x = leaf(1.0) * 1
    y = x * x
    graph.increment_version(x)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.backward()


@pytest.mark.parametrize(
    ("call", "name"),
    [("a.sum()", "SumBackward0"), ("a.sum(0)", "SumBackward1"), ("a.sum(0, keepdim=True)", "SumBackward1"),
     ("a[0].sum()", "SumBackward0"), ("a.mean()", "MeanBackward0"), ("a.mean(1)", "MeanBackward1"),
     ("a.prod(1)", "ProdBackward1"), ("a.max()", "MaxBackward1"), ("a.max(1).values", "MaxBackward0"),
     ("a.min(0).values", "MinBackward0"), ("a.median(1).values", "MedianBackward1"), ("a.kthvalue(1)[0]", "KthvalueBackward0"),
     ("a - 2", "SubBackward0"), ("2 - a", "RsubBackward1"), ("a / 2", "DivBackward0"), ("1 / a", "MulBackward0"),
     ("a @ a", "MmBackward0"), ("a @ a[0]", "MvBackward0"), ("a[0].dot(a[1])", "DotBackward0"),
     ("a[None] @ a[None]", "UnsafeViewBackward0"), ("mlkit.bmm(a[None], a[None])", "BmmBackward0"),
     ("layer(a)", "AddmmBackward0"), ("layer(a[None])", "ViewBackward0"), ("layer(a[0])", "ViewBackward0"),
     ("mlkit.nn.functional.linear(a, a)", "MmBackward0"), ("a.select(0, 1)", "SelectBackward0"), ("a[1:]", "SliceBackward0"),
     ("a.trace()", "TraceBackward0"), ("a.roll(1)", "RollBackward0"), ("mlkit.linalg.det(a)", "LinalgDetBackward0")],
)  # fmt: skip
def test_a_node_is_named_as_pytorch_names_it(call, name):
    a = (mlkit.eye(3) + 1).requires_grad_()
    out = eval(call, {"a": a, "mlkit": mlkit, "layer": mlkit.nn.Linear(3, 2)})
    assert out.grad_fn.name() == name and repr(out).endswith(f"grad_fn=<{name}>)")
    out.sum().backward()
    assert a.grad is not None
