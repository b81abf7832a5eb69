"""Jacobians, Hessians and products with them, of functions of tensors.

The newer mlkit.func does the same by composing transforms; these are PyTorch's older forms, which work on the tape.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from mlkit.autograd import engine
from mlkit.autograd.grad_mode import enable_grad
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, GradientError, ValueRangeError
from mlkit.core.value import Leaf, Value, wrap

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(x, name: str, function: str) -> tuple[tuple, bool]:
    """``x`` as a tuple of tensors, and whether it was one."""
    single = not isinstance(x, (tuple, list))
    items = (x,) if single else tuple(x)
    for i, t in enumerate(items):
        if not isinstance(t, Value):
            where = "" if single else f" at index {i}"
            raise ArgumentError(
                f"The {name} given to {function} must be either a Tensor or a tuple of Tensors but the value{where} has "
                f"type {type(t).__name__}."
            )
    return items, single


def _fresh(tensors: tuple, create_graph: bool) -> tuple:
    """Inputs that want a gradient: views of the caller's when the result shall be differentiable, else leaves."""
    out = []
    for t in tensors:
        if create_graph and t._node is not None:
            out.append(ops.reshape(t, shape=tuple(t._array.shape)))
        else:
            new = wrap(t._array)
            new._node = Leaf(new)
            out.append(new)
    return tuple(out)


def _pack(items, single: bool):
    return items[0] if single else tuple(items)


def _done(items, single: bool, create_graph: bool):
    """Results as the caller gets them: cut off from the graph unless it is wanted."""
    return _pack([t if create_graph or not isinstance(t, Value) else wrap(t._array) for t in items], single)


def _check_vectors(v, others: tuple, name: str, what: str) -> tuple:
    v, _ = _tuple(v, "v", name)
    if len(v) != len(others):
        raise GradientError(f"{name}: v is a tuple of invalid length: should be {len(others)} but got {len(v)}.")
    for i, (a, b) in enumerate(zip(v, others, strict=True)):
        if tuple(a._array.shape) != tuple(b._array.shape):
            raise GradientError(
                f"{name}: v has invalid size: should be {tuple(b._array.shape)} but got {tuple(a._array.shape)}.",
                f"v[{i}] must have the shape of {what} {i}",
            )
    return v


#: what ``v`` goes along: one of the tensors, and which function has a single one of them
INPUTS = ("input", "the input to the user-provided function is")
OUTPUTS = ("output", "the user-provided function returns")


def _along(tensors: tuple, words: tuple[str, str], v, name: str) -> tuple:
    """``v`` with the shapes of the inputs or outputs; it may be None for an only one of one element."""
    what, whose = words
    if v is None:
        if len(tensors) != 1 or tensors[0]._array.size != 1:
            raise GradientError(f"The vector v can only be None if {whose} a single Tensor with a single element.")
        v = (ops.ones_like(tensors[0]),)
    return _check_vectors(v, tensors, name, what)


def _gradient(outputs, inputs, grads, create_graph: bool, strict: bool, name: str, like=None) -> list:
    """grad() with zeros where an input took no part, or an error that says so when strict."""
    pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if o._node is not None]
    if not pairs:
        if strict:
            raise GradientError(f"{name}: the outputs do not depend on the inputs. This is not allowed in strict mode.")
        found: list = [None] * len(inputs)
    else:
        found = list(
            engine.grad(
                [o for o, _ in pairs],
                inputs,
                [g for _, g in pairs],
                retain_graph=True,
                create_graph=create_graph,
                allow_unused=True,
            )
        )
    for i, g in enumerate(found):
        if g is None:
            if strict:
                raise GradientError(
                    f"{name}: the outputs do not depend on input {i}. This is not allowed in strict mode."
                )
            found[i] = ops.zeros_like(inputs[i])
    return found


def vjp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), v times its Jacobian): the gradient of the outputs weighted by v.

    Args:
        func: tensors -> tensor or tuple of tensors.
        inputs: a tensor or a tuple of tensors.
        v: weights with the outputs' shapes; may be left out for one output of one element.
        create_graph: make the results differentiable.
        strict: raise when an output does not depend on an input (else zeros).

    >>> import mlkit
    >>> y, g = mlkit.autograd.functional.vjp(lambda x: x * x, mlkit.tensor([1.0, 2.0]), mlkit.ones(2)); g
    tensor([2., 4.])
    """
    with enable_grad():
        given, single = _tuple(inputs, "inputs", "vjp")
        x = _fresh(given, create_graph)
        outputs, single_out = _tuple(func(*x), "outputs of the user-provided function", "vjp")
        v = _along(outputs, OUTPUTS, v, "vjp")
        grads = _gradient(outputs, x, v, create_graph, strict, "vjp")
    return _done(outputs, single_out, create_graph), _done(grads, single, create_graph)


def jvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), its Jacobian times v): how the outputs move when the inputs move along v.

    Computed by differentiating the vjp (mlkit.func.jvp does it in one pass). Arguments as in vjp; v has the shapes of
    the inputs.

    >>> import mlkit
    >>> y, t = mlkit.autograd.functional.jvp(lambda x: x * x, mlkit.tensor([1.0, 2.0]), mlkit.ones(2)); t
    tensor([2., 4.])
    """
    with enable_grad():
        given, _ = _tuple(inputs, "inputs", "jvp")
        x = _fresh(given, create_graph)
        v = _along(x, INPUTS, v, "jvp")
        outputs, single_out = _tuple(func(*x), "outputs of the user-provided function", "jvp")
        weights = _fresh(tuple(ops.zeros_like(o) for o in outputs), False)
        grads = _gradient(outputs, x, weights, True, strict, "jvp")
        tangents = _gradient(grads, weights, v, create_graph, False, "jvp")
    return _done(outputs, single_out, create_graph), _done(tangents, single_out, create_graph)


def _scalar(outputs: tuple, single: bool, name: str):
    if not single:
        raise GradientError(f"The function given to {name} should return a single Tensor.")
    if outputs[0]._array.size != 1:
        raise GradientError(f"The Tensor returned by the function given to {name} should contain a single element.")
    return outputs[0]


def vhp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), v times its Hessian), for a func that returns one element. Arguments as in vjp."""
    with enable_grad():
        given, single = _tuple(inputs, "inputs", "vhp")
        x = _fresh(given, create_graph)
        v = _along(x, INPUTS, v, "vhp")
        outputs, single_out = _tuple(func(*x), "outputs of the user-provided function", "vhp")
        _scalar(outputs, single_out, "vhp")
        first = _gradient(outputs, x, (ops.ones_like(outputs[0]),), True, strict, "vhp")
        second = _gradient(first, x, v, create_graph, strict, "vhp")
    return _done(outputs, single_out, create_graph), _done(second, single, create_graph)


def hvp(func: Callable, inputs, v=None, create_graph: bool = False, strict: bool = False):
    """(func(inputs), its Hessian times v), for a func that returns one element. Arguments as in vjp.

    The Hessian of a real function is symmetric where its second derivatives are continuous; vhp is the cheaper one.

    >>> import mlkit
    >>> y, h = mlkit.autograd.functional.hvp(lambda x: (x ** 3).sum(), mlkit.tensor([1.0, 2.0]), mlkit.ones(2)); h
    tensor([ 6., 12.])
    """
    with enable_grad():
        given, single = _tuple(inputs, "inputs", "hvp")
        x = _fresh(given, create_graph)
        v = _along(x, INPUTS, v, "hvp")
        outputs, single_out = _tuple(func(*x), "outputs of the user-provided function", "hvp")
        _scalar(outputs, single_out, "hvp")
        first = _gradient(outputs, x, (ops.ones_like(outputs[0]),), True, strict, "hvp")
        weights = _fresh(tuple(ops.zeros_like(t) for t in first), False)
        double = _gradient(first, x, weights, True, strict, "hvp")
        second = _gradient(double, weights, v, create_graph, strict, "hvp")
    return _done(outputs, single_out, create_graph), _done(second, single, create_graph)


def jacobian(
    func: Callable,
    inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
):
    """The Jacobian of func at inputs: entry [i..., j...] is the derivative of output element i by input element j.

    Args:
        func: tensors -> tensor or tuple of tensors.
        inputs: a tensor or a tuple of tensors.
        create_graph: make the result differentiable.
        strict: raise when an output does not depend on an input (else zeros).
        vectorize: all rows at once through vmap.
        strategy: "reverse-mode", or "forward-mode" (needs vectorize=True; better with more outputs than inputs).

    Returns:
        A tensor (*output shape, *input shape); with several outputs or inputs a tuple (of tuples) of them.

    >>> import mlkit
    >>> mlkit.autograd.functional.jacobian(lambda x: x * x, mlkit.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("forward-mode", "reverse-mode"):
        raise ValueRangeError('Expected strategy to be either "forward-mode" or "reverse-mode".')
    given, single = _tuple(inputs, "inputs", "jacobian")
    if strategy == "forward-mode":
        if create_graph:
            raise MissingForward(
                "torch.autograd.functional.jacobian: `create_graph=True` and "
                '`strategy="forward-mode"` are not supported together (yet).'.replace("torch", "mlkit")
            )
        if strict:
            raise GradientError('jacobian: `strict=True` and `strategy="forward-mode"` are not supported together.')
        if not vectorize:
            raise MissingForward("jacobian: forward mode needs vectorize=True.")
        transforms = importlib.import_module("mlkit.func")
        rows = transforms.jacfwd(func, argnums=tuple(range(len(given))))(*given)
        single_out = not (rows and isinstance(rows[0], tuple))
        rows = (rows,) if single_out else rows
        return _pack([_pack(row, single) for row in rows], single_out)
    with enable_grad():
        x = _fresh(given, create_graph)
        outputs, single_out = _tuple(func(*x), "outputs of the user-provided function", "jacobian")
        table = []
        for number, out in enumerate(outputs):
            if strict and out._node is None:
                raise GradientError(
                    f"Output {number} of the user-provided function does not require gradients. The outputs must be "
                    "computed in a differentiable manner from the input when running in strict mode."
                )
            table.append(_rows(out, x, create_graph, strict, vectorize))
    return _pack([_done(row, single, create_graph) for row in table], single_out)


class MissingForward(GradientError, NotImplementedError):
    """Options of jacobian that do not go together."""


def _rows(out, inputs: tuple, create_graph: bool, strict: bool, vectorize: bool) -> list:
    """For one output, its Jacobian by each input."""
    shape, n = tuple(out._array.shape), out._array.size
    eye = ops.reshape(_eye(n, out), shape=(n, *shape))
    if vectorize and n and out._node is not None:
        if strict:
            raise GradientError("jacobian: `strict=True` and `vectorize=True` are not supported together.")
        vmap = importlib.import_module("mlkit.func").vmap

        def pull(g):
            return tuple(_gradient((out,), inputs, (g,), create_graph, False, "jacobian"))

        stacked = vmap(pull)(eye)
    else:
        rows = [_gradient((out,), inputs, (eye[i],), create_graph, strict, "jacobian") for i in range(n)]
        stacked = [
            ops.cat([ops.unsqueeze(row[j], 0) for row in rows], dim=0)
            if rows
            else ops.zeros((0, *x._array.shape), like=x)
            for j, x in enumerate(inputs)
        ]
    return [ops.reshape(s, shape=(*shape, *x._array.shape)) for s, x in zip(stacked, inputs, strict=True)]


def _eye(n: int, like) -> Value:
    ones = ops.ones_like(ops.zeros((n,), like=like))
    return ops.diagonal_grad(ones, shape=(n, n), offset=0, dim1=0, dim2=1)


def hessian(
    func: Callable,
    inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
):
    """The Hessian of a func that returns one element: the Jacobian of its gradient.

    Arguments as in jacobian; ``outer_jacobian_strategy`` is the strategy of the outer one.

    Returns:
        A tensor (*input shape, *input shape); with several inputs a tuple of tuples of them.

    >>> import mlkit
    >>> mlkit.autograd.functional.hessian(lambda x: (x ** 3).sum(), mlkit.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    given, single = _tuple(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise ValueRangeError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def checked(*x):
        outputs, single_out = _tuple(func(*x), "outputs of the user-provided function", "hessian")
        return _scalar(outputs, single_out, "hessian")

    if outer_jacobian_strategy == "forward-mode":
        if not vectorize:
            raise MissingForward("hessian: forward mode needs vectorize=True.")
        transforms = importlib.import_module("mlkit.func")
        numbers = tuple(range(len(given)))
        rows = transforms.jacfwd(transforms.grad(checked, argnums=numbers), argnums=numbers)(*given)
        return _pack([_pack(row, single) for row in rows], single)

    def gradient(*x):
        items = jacobian(checked, x, create_graph=True)
        if strict and any(t._node is None for t in items):
            raise GradientError(
                "hessian: the gradient does not depend on the inputs. This is not allowed in strict mode."
            )
        return items

    table = jacobian(gradient, given, create_graph=create_graph, strict=strict, vectorize=vectorize)
    return _pack([_pack(row, single) for row in table], single)
