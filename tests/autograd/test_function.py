"""autograd.Function: what PyTorch's numbers (tests/func) do not show."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import mlkit
from mlkit.autograd import Function
from mlkit.autograd.function import once_differentiable
from mlkit.func import vmap


class Square(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


def leaf(*values):
    return mlkit.tensor(values, dtype=mlkit.float64, requires_grad=True)


def test_first_and_second_gradient_are_checked_numerically():
    x = leaf(0.3, -1.2, 2.0)
    assert mlkit.autograd.gradcheck(Square.apply, x)
    assert mlkit.autograd.gradgradcheck(Square.apply, x)


def test_backward_frees_what_was_saved():
    class Keep(Square):
        @staticmethod
        def forward(ctx, x):
            middle = x * 2
            Keep.seen = weakref.ref(middle)
            ctx.save_for_backward(middle)
            return middle * x

    y = Keep.apply(leaf(1.0, 2.0)).sum()
    gc.collect()
    assert Keep.seen() is not None
    y.backward()
    gc.collect()
    assert Keep.seen() is None


def test_a_saved_output_makes_no_cycle():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    gc.disable()
    try:
        y = Exp.apply(leaf(1.0))
        node, array = weakref.ref(y.grad_fn), weakref.ref(y)
        del y
        assert node() is None and array() is None
    finally:
        gc.enable()


def test_a_second_backward_and_a_changed_input_are_refused():
    y = Square.apply(leaf(1.0, 2.0))
    y.backward(mlkit.ones(2))
    with pytest.raises(RuntimeError, match="(?s)second time.*op: Square"):
        y.backward(mlkit.ones(2))
    with pytest.raises(RuntimeError, match="second time"):
        y.grad_fn.saved_tensors  # noqa: B018
    x = leaf(1.0, 2.0) * 1
    y = Square.apply(x).sum()
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_ctx_is_the_graph_node():
    class Notes(Square):
        @staticmethod
        def forward(ctx, x):
            ctx.note = "kept"
            return Square.forward(ctx, x)

    x = leaf(1.0)
    y = Notes.apply(x)
    assert y.grad_fn.note == "kept" and y.grad_fn.name() == "NotesBackward"
    assert y.grad_fn.saved_tensors[0] is x
    assert y.grad_fn.next_functions[0][0].variable is x
    assert repr(y).endswith("grad_fn=<NotesBackward>)")


def test_needs_input_grad_and_unused_outputs():
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, a, b, flag):
            seen.append(ctx.needs_input_grad)
            return a * 1, b * 1

        @staticmethod
        def backward(ctx, g, h):
            seen.append((g, h))
            return g, h, None

    a, b = leaf(1.0), mlkit.ones(1, dtype=mlkit.float64)
    out, other = Two.apply(a, b, True)
    out.sum().backward()
    assert seen[0] == (True, False, False)
    assert seen[1][1].tolist() == [0.0]


def test_grad_mode_inside():
    modes = []

    class Mode(Square):
        @staticmethod
        def forward(ctx, x):
            modes.append(mlkit.is_grad_enabled())
            return Square.forward(ctx, x)

        @staticmethod
        def backward(ctx, g):
            modes.append(mlkit.is_grad_enabled())
            return Square.backward(ctx, g)

    x = leaf(1.0)
    Mode.apply(x).backward()
    mlkit.autograd.grad(Mode.apply(x), x, create_graph=True)
    assert modes == [False, False, False, True]
    with mlkit.no_grad():
        assert Mode.apply(x).grad_fn is None


def test_once_differentiable_gives_the_first_gradient():
    class Once(Square):
        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            return Square.backward(ctx, g)

    x = leaf(3.0)
    Once.apply(x).backward()
    assert x.grad.tolist() == [6.0]


def test_a_function_that_leaves_for_numpy_with_a_vmap_of_its_own():
    class Sort(Function):
        @staticmethod
        def forward(x):
            order = np.argsort(x.detach().numpy(), axis=-1)
            return mlkit.from_numpy(np.take_along_axis(x.detach().numpy(), order, -1)), mlkit.from_numpy(order)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.mark_non_differentiable(output[1])
            ctx.save_for_backward(output[1])

        @staticmethod
        def backward(ctx, g, _):
            (order,) = ctx.saved_tensors
            return mlkit.zeros_like(g).scatter(-1, order, g)

        @staticmethod
        def vmap(info, in_dims, x):
            assert info.batch_size == 3 and in_dims == (0,)
            return Sort.apply(x), (0, 0)

    x = mlkit.from_numpy(np.random.default_rng(0).normal(size=(3, 4)))
    values, order = vmap(Sort.apply)(x)
    np.testing.assert_array_equal(values.numpy(), np.sort(x.numpy()))
    weights = mlkit.arange(4.0, dtype=mlkit.float64)
    per_row = vmap(mlkit.func.grad(lambda row: (Sort.apply(row)[0] * weights).sum()))(x)
    np.testing.assert_array_equal(per_row.numpy(), np.argsort(np.argsort(x.numpy())).astype(float))


def test_instances_are_refused():
    with pytest.raises(RuntimeError, match="apply"):
        Square()


def test_a_gradient_for_what_is_no_tensor_is_refused():
    class Scale(mlkit.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g, g

    with pytest.raises(RuntimeError, match="different than None at position 2"):
        Scale.apply(mlkit.ones(2, requires_grad=True), 3.0).sum().backward()
