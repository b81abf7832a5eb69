"""backward() and grad(): accumulation, hooks, modes, freeing, errors."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import mlkit


def leaf(*values):
    return mlkit.tensor(values, requires_grad=True)


def test_gradients_add_up_and_are_owned():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    for _ in range(2):
        (x + y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [2.0, 2.0]
    x.grad.zero_()
    assert y.grad.tolist() == [2.0, 2.0]


def test_the_callers_gradient_is_not_taken_over():
    x, g = leaf(1.0, 2.0), mlkit.tensor([5.0, 6.0])
    x.backward(g)
    x.backward(g)
    assert g.tolist() == [5.0, 6.0] and x.grad.tolist() == [10.0, 12.0]


def test_a_tensor_used_twice():
    x = leaf(3.0)
    y = x * x + x
    y.sum().backward()
    assert x.grad.tolist() == [7.0]


def test_grad_leaves_dot_grad_alone():
    x = leaf(2.0)
    (g,) = mlkit.autograd.grad((x * x).sum(), x)
    assert g.tolist() == [4.0] and x.grad is None


def test_grad_of_an_intermediate_and_an_unused_tensor():
    x, unused = leaf(2.0), leaf(1.0)
    middle = x * 3
    out = (middle * middle).sum()
    g = mlkit.autograd.grad(out, [middle, unused], allow_unused=True, retain_graph=True)
    assert g[0].tolist() == [12.0] and g[1] is None
    with pytest.raises(RuntimeError, match="not have been used"):
        mlkit.autograd.grad(out, unused, retain_graph=True)
    assert mlkit.autograd.grad(out, unused, materialize_grads=True)[0].tolist() == [0.0]


def test_backward_into_named_inputs_only():
    x, y = leaf(2.0), leaf(3.0)
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [3.0] and y.grad is None


def test_a_second_backward_says_what_to_do():
    x = leaf(1.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="(?s)second time.*retain_graph=True"):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()


def test_only_scalars_have_an_implicit_gradient():
    with pytest.raises(RuntimeError, match="scalar outputs"):
        (leaf(1.0, 2.0) * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad"):
        mlkit.ones(1).backward()
    with pytest.raises(RuntimeError, match="Mismatch in shape"):
        (leaf(1.0, 2.0) * 2).backward(mlkit.ones(3))


def test_third_order():
    x = leaf(2.0)
    y = (x**5).sum()
    for expected in (80.0, 160.0, 240.0):
        (g,) = mlkit.autograd.grad(y, x, create_graph=True)
        assert g.item() == pytest.approx(expected)
        y = g.sum()


def test_modes():
    x = leaf(1.0)
    with mlkit.no_grad():
        assert not (x * 2).requires_grad
        with mlkit.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @mlkit.no_grad()
    def plain(t):
        return t * 2

    @mlkit.no_grad
    def bare(t):
        return t * 2

    assert not plain(x).requires_grad and not bare(x).requires_grad
    mlkit.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        mlkit.set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError), mlkit.no_grad():
        1 / 0
    assert mlkit.is_grad_enabled()


def test_grad_mode_belongs_to_the_thread():
    seen = []
    with mlkit.no_grad():
        t = threading.Thread(target=lambda: seen.append(mlkit.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_tensor_hooks_see_and_replace():
    x = leaf(1.0, 2.0)
    y = x * 2
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()) or g * 10)
    y.sum().backward()
    assert seen == [[1.0, 1.0]] and x.grad.tolist() == [20.0, 20.0]
    handle.remove()
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_leaf_and_post_accumulate_hooks():
    x = leaf(1.0)
    order = []
    x.register_hook(lambda g: order.append(("grad", g.item())))
    x.register_post_accumulate_grad_hook(lambda t: order.append(("accumulated", t.grad.item())))
    (x * 3).sum().backward()
    assert order == [("grad", 3.0), ("accumulated", 3.0)]


def test_node_hooks():
    x = leaf(2.0)
    y = x * x
    seen = []
    y.grad_fn.register_hook(lambda into, out: seen.append((into[0].item(), out[0].item())))
    y.grad_fn.register_prehook(lambda out: (out[0] * 2,))
    y.sum().backward()
    assert seen == [(4.0, 2.0)] and x.grad.item() == 8.0


def test_retain_grad():
    x = leaf(2.0)
    y = x * x
    y.retain_grad()
    (y * 3).sum().backward()
    assert y.grad.item() == 3.0


def test_what_the_graph_holds_is_freed():
    x = leaf(1.0)
    gc.disable()
    try:
        y = x.exp()
        gone = weakref.ref(y)
        z = y * 2
        del y
        z.sum().backward()
        assert gone() is None or z.grad_fn.saved is None
        del z
        assert gone() is None, "a cycle keeps it alive"
    finally:
        gc.enable()


def test_add_keeps_nothing():
    a, b = leaf(1.0), mlkit.ones(1)
    middle = a * 1
    out = middle + b
    gone = weakref.ref(middle)
    del middle
    assert gone() is None
    out.sum().backward()
    assert a.grad.item() == 1.0


def test_backward_in_several_threads_on_shared_parameters():
    w = mlkit.ones(50, requires_grad=True)

    def work():
        for _ in range(40):
            mlkit.autograd.grad((w * w * 3).sum(), w)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    (g,) = mlkit.autograd.grad((w * w * 3).sum(), w)
    assert g.tolist() == [6.0] * 50


def test_names_and_next_functions():
    x = leaf(1.0)
    y = (x * 2).exp()
    assert y.grad_fn.name() == "ExpBackward0"
    parent = y.grad_fn.next_functions[0][0]
    assert parent.name() == "MulBackward0"
    assert parent.next_functions[0][0].variable is x


def test_deep_graphs_do_not_recurse():
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.sum().backward()
    assert x.grad.item() == 1.0


def test_batched_grads():
    x, unused = leaf(1.0, 2.0, 3.0), leaf(1.0)
    y = x**3
    (rows,) = mlkit.autograd.grad(y, x, mlkit.eye(3), is_grads_batched=True, retain_graph=True)
    assert rows.tolist() == [[3.0, 0.0, 0.0], [0.0, 12.0, 0.0], [0.0, 0.0, 27.0]]
    both = mlkit.autograd.grad(y, (x, unused), mlkit.eye(3), is_grads_batched=True, allow_unused=True)
    assert both[0].tolist() == rows.tolist() and both[1] is None
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_prehooks_of_leaves_and_places_of_in_place_changes():
    x = leaf(1.0, 2.0)
    (x * 1).grad_fn.next_functions[0][0].register_prehook(lambda grads: (grads[0] * 2,))
    with mlkit.detect_anomaly():
        y = x * 1
        y[0] = 5.0  # written here
        assert y.grad_fn.where[0].endswith("test_engine.py")
    y.sum().backward()
    assert x.grad.tolist() == [0.0, 2.0]


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_a_tensor_used_many_times_gets_the_sum(shape):
    x = mlkit.ones(shape, requires_grad=True)
    y = x * 1
    (y * 1 + y * 2 + y * 3 + y * 4).sum().backward()
    assert (x.grad == 10).all()
    x.grad = None
    (x * 1 + x * 2 + x * 3 + x * 4).sum().backward(retain_graph=True)
    assert (x.grad == 10).all()


def test_one_gradient_array_for_two_leaves_is_not_shared():
    a, b = mlkit.ones(3, requires_grad=True), mlkit.ones(3, requires_grad=True)
    (a + b).sum().backward()
    a.grad.mul_(5)
    assert (b.grad == 1).all()
    kept = mlkit.ones(3, requires_grad=True)
    g = mlkit.ones(3)
    (kept * 1 + kept * 1 + kept * 1).backward(g)
    assert (g == 1).all() and (kept.grad == 3).all()


def test_what_a_gradient_does_not_read_may_change_in_place():
    x = mlkit.randn(4, 3, 2, 2, requires_grad=True)
    layer = mlkit.nn.BatchNorm2d(3)
    y = layer(x) + 0
    (y.relu() * 2).sum().backward()
    wanted, x.grad = x.grad, None
    h = layer(x)
    mlkit.nn.functional.relu(h, inplace=True)
    h *= 2
    h.sum().backward()
    assert mlkit.allclose(x.grad, wanted)


def test_numbers_in_a_gradient_of_a_gradient_keep_its_dtype():
    x = mlkit.ones(3, requires_grad=True)
    (g,) = mlkit.autograd.grad((x / 0.25).sum(), x, create_graph=True)
    assert g.dtype == mlkit.float32


def test_leaves_never_share_the_memory_of_their_gradients():
    x, y = mlkit.ones(2, 3, requires_grad=True), mlkit.ones(3, 2, requires_grad=True)
    kept = mlkit.arange(6.0)
    (x.reshape(6) * kept + y.reshape(6) * kept).sum().backward()
    assert not np.shares_memory(x.grad.numpy(), y.grad.numpy())
    assert not np.shares_memory(x.grad.numpy(), kept.numpy())
    x.grad.zero_()
    assert y.grad.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]] and kept.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    given = mlkit.ones(6)
    x.grad = None
    x.reshape(6).backward(given)
    x.grad.zero_()
    assert given.sum() == 6
    seen = []
    x.grad = None
    z = x.reshape(6)
    z.register_hook(lambda g: seen.append(g))
    (z * 2).sum().backward()
    x.grad.zero_()
    assert seen[0].tolist() == [2.0] * 6


def test_what_hooks_make_of_a_gradient_is_what_retain_grad_keeps():
    x = mlkit.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert y.grad.tolist() == [10.0] * 3 and x.grad.tolist() == [20.0] * 3


def test_pieces_of_a_tensor_keep_nothing_and_go_back_twice():
    x = mlkit.ones(3, requires_grad=True)
    y = x[0] + x[1] + x[1:].narrow(0, 0, 1).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2, 4, 0]
