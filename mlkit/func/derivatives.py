"""grad, vjp, jvp and what is made of them: Jacobians, Hessians, linear maps.

Reverse mode needs no interpreter: a transform gives the function inputs with nodes of their own, and asks the engine for
their gradients. What is tracked outside stays tracked, because those nodes hang on to the history of the real inputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mlkit.autograd import engine
from mlkit.autograd.forward_ad import check_pair
from mlkit.autograd.forward_mode import Forward, _fitting
from mlkit.autograd.grad_mode import enable_grad
from mlkit.autograd.levels import alias, tracked
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops, state
from mlkit.core.errors import GradientError, ShapeError, ValueRangeError
from mlkit.core.value import LevelArray, Value, wrap
from mlkit.func import pytree
from mlkit.func.running import transform
from mlkit.func.vectorize import Vmap, vmap


def _input(t, recording: bool) -> Value:
    """The tensor the function gets: the same numbers, with a node to ask gradients by."""
    if not isinstance(t, Value):
        raise ValueRangeError(f"Thing passed to transform API must be Tensor, got {type(t)}")
    if t._array.dtype.kind not in "fcV":
        raise GradientError(
            "only Tensors of floating point dtype can require gradients.",
            f"dtype: {dtypes.from_numpy_dtype(t._array.dtype)}",
            "Convert first, for example x.float().",
        )
    return alias(_lifted(t, recording), recording)


def _lifted(t: Value, recording: bool) -> Value:
    """The tensor as one of the innermost vmap, where its gradient will differ from example to example."""
    stack = state.interpreters
    for place in range(len(stack) - 1, -1, -1):
        level = stack[place]
        if isinstance(level, Vmap):
            own = t._array.level if isinstance(t._array, LevelArray) else None
            if own in stack and stack.index(own) >= place:
                return t
            return level.batch(t if recording or t._node is None else wrap(t._array), False)
    return t


class _Tape:
    """One run of a function on inputs whose gradients will be wanted."""

    def __init__(self, primals: list, recording: bool):
        self.recording = recording
        self.inputs = [_input(t, recording) for t in primals]
        self.own = {t._node for t in self.inputs}

    def foreign(self, node) -> bool:
        """Whether the history of a node reaches something that is tracked outside this transform."""
        if node is None:
            return False
        return any(
            n not in self.own and not any(p is not None for p in n.inputs) for n in engine.reachable([node])
        ) or any(p is not None for n in self.own for p in n.inputs)

    def outside(self, t) -> bool:
        """Whether the caller may want a gradient through ``t``, of this level or of one below."""
        if not isinstance(t, Value):
            return False
        array = t._array
        return self.foreign(t._node) or (isinstance(array, LevelArray) and any(map(tracked, array.parts())))

    def result(self, t):
        """A result as the caller gets it: without history unless something outside is tracked."""
        if not isinstance(t, Value) or t._node is None:
            return t
        if self.recording and self.foreign(t._node):
            return t
        return wrap(t._array)

    def gradients(self, outputs: list, weights: list, keep: bool) -> list:
        """The inputs' gradients of outputs weighted by weights; zeros where an input took no part."""
        pairs = [(o, w) for o, w in zip(outputs, weights, strict=True) if o._node is not None]
        found: list = [None] * len(self.inputs)
        if pairs:
            outs, ws = [o for o, _ in pairs], [w for _, w in pairs]
            create = self.recording and any(self.outside(o) or tracked(w) for o, w in pairs)
            on_tensors = create or engine.wants_tensors(outs, ws)
            found = engine.targeted([o._node for o in outs], ws, self.inputs, keep, create, on_tensors)
        return [ops.zeros_like(x) if g is None else self.result(g) for x, g in zip(self.inputs, found, strict=True)]


# --- arguments ----------------------------------------------------------------------------------------------------------------


def _chosen(argnums, args: tuple) -> tuple[Any, tuple[int, ...]]:
    """The arguments to differentiate by (one, or a tuple of them), and their places."""
    single = isinstance(argnums, int) and not isinstance(argnums, bool)
    if not single and not (isinstance(argnums, tuple) and all(isinstance(a, int) for a in argnums)):
        raise GradientError(f"argnum must be int or tuple of ints, got: {argnums!r}")
    places = []
    for a in (argnums,) if single else argnums:
        place = a + len(args) if a < 0 else a
        if not 0 <= place < len(args):
            raise GradientError(f"Got argnum={a}, but only {len(args)} positional inputs")
        places.append(place)
    if len(set(places)) != len(places):
        raise GradientError(f"argnums elements must be unique, got {argnums}")
    if not places:
        raise GradientError("argnums must be non-empty")
    return args[places[0]] if single else tuple(args[p] for p in places), tuple(places)


def _with(args: tuple, places: tuple[int, ...], new, argnums) -> list:
    """The arguments with the chosen ones replaced."""
    out = list(args)
    for p, x in zip(places, (new,) if isinstance(argnums, int) else new, strict=True):
        out[p] = x
    return out


def _outputs(leaves: list, name: str, call: str) -> None:
    for t in leaves:
        if not isinstance(t, Value):
            raise GradientError(f"{name}: expected {call} to return only tensors, got unsupported type {type(t)}")


# --- reverse mode ----------------------------------------------------------------------------------------------------------------


def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns (gradient, value) of ``func``; see grad.

    >>> import mlkit
    >>> mlkit.func.grad_and_value(lambda x: x * x)(mlkit.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func, updated=())
    def wrapper(*args, **kwargs):
        recording = state.grad
        chosen, places = _chosen(argnums, args)
        leaves, structure = pytree.flatten(chosen)
        with transform(), enable_grad():
            tape = _Tape(leaves, recording)
            output = func(*_with(args, places, pytree.unflatten(tape.inputs, structure), argnums), **kwargs)
            aux = None
            if has_aux:
                if not (isinstance(output, tuple) and len(output) == 2):
                    raise GradientError(
                        "grad_and_value(f)(*args): output of function f should be a tuple: (output, aux) if has_aux is "
                        "True"
                    )
                output, aux = output
            if not isinstance(output, Value):
                raise GradientError(
                    f"grad_and_value(f)(*args): Expected f(*args) to return a Tensor, got {type(output)}"
                )
            if output._array.ndim != 0:
                raise GradientError(
                    "grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got tensor with "
                    f"{output._array.ndim} dims. Maybe you wanted to use the vjp or jacrev APIs instead?",
                    f"shape: {tuple(output._array.shape)}",
                )
            if output._array.dtype.kind == "c":
                raise GradientError("grad_and_value(f)(*args): f must return a real number.")
            grads = tape.gradients([output], [ops.ones_like(output)], False)
        gradient = pytree.unflatten(grads, structure)
        if has_aux:
            return gradient, (tape.result(output), pytree.map_leaves(tape.result, aux))
        return gradient, tape.result(output)

    return wrapper


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns the gradient of ``func``.

    Args:
        func: returns one number as a 0-d tensor (or, with has_aux, a pair of it and anything else).
        argnums: which positional argument (a tensor or a nesting of tensors) to differentiate by, or a tuple of places.
        has_aux: the function returns (value, aux); then the result is (gradient, aux).

    Returns:
        A function with func's arguments; its result has the structure of the chosen argument(s).

    Raises:
        GradientError: (a RuntimeError) func returns something else than a scalar tensor.

    >>> import mlkit
    >>> cube = lambda x: x ** 3
    >>> mlkit.func.grad(cube)(mlkit.tensor(2.0)), mlkit.func.grad(mlkit.func.grad(cube))(mlkit.tensor(2.0))
    (tensor(12.), tensor(12.))
    """

    @functools.wraps(func, updated=())
    def wrapper(*args, **kwargs):
        found = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (found[0], found[1][1]) if has_aux else found[0]

    return wrapper


def value_and_grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable:
    """A function that returns (value, gradient) of ``func``: grad_and_value the other way round.

    >>> import mlkit
    >>> mlkit.func.value_and_grad(lambda x: x * x)(mlkit.tensor(3.0))
    (tensor(9.), tensor(6.))
    """

    @functools.wraps(func, updated=())
    def wrapper(*args, **kwargs):
        gradient, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return value, gradient

    return wrapper


def vjp(func: Callable, *primals, has_aux: bool = False):
    """(func(*primals), a function from cotangents to the gradients of the primals).

    Args:
        func: tensors in any nesting -> tensors in any nesting (with has_aux, a pair of that and anything else).
        primals: where to evaluate it.
        has_aux: then the result is (output, vjp_fn, aux).

    ``vjp_fn(cotangents)`` takes the structure of the output and returns one gradient per primal, as a tuple. It may be
    called again, and mapped with vmap.

    >>> import mlkit
    >>> y, pull = mlkit.func.vjp(lambda x: x * x, mlkit.tensor([1.0, 2.0]))
    >>> pull(mlkit.ones(2))
    (tensor([2., 4.]),)
    """
    recording = state.grad
    leaves, structure = pytree.flatten(primals)
    with transform(), enable_grad():
        tape = _Tape(leaves, recording)
        output = func(*pytree.unflatten(tape.inputs, structure))
    aux = None
    if has_aux:
        if not (isinstance(output, tuple) and len(output) == 2):
            raise GradientError(
                "vjp(f, *primals): output of function f should be a tuple: (output, aux) if has_aux is True"
            )
        output, aux = output
    outs, out_structure = pytree.flatten(output)
    _outputs(outs, "vjp(f, *primals)", "f(*primals)")

    def vjp_fn(cotangents, retain_graph: bool = True, create_graph: bool | None = None):
        given, given_structure = pytree.flatten(cotangents)
        if not pytree.same(given_structure, out_structure):
            raise GradientError(
                "Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {pytree.text(given_structure)}, primal output: {pytree.text(out_structure)}"
            )
        weights = []
        for i, (o, g) in enumerate(zip(outs, given, strict=True)):
            if not isinstance(g, Value):
                raise GradientError(f"vjp_fn: cotangents must be tensors, got {type(g)}.")
            if tuple(g._array.shape) != tuple(o._array.shape):
                raise ShapeError(
                    f"Mismatch in shape: grad_output[{i}] has a shape of {list(g._array.shape)} and output[{i}] has a "
                    f"shape of {list(o._array.shape)}."
                )
            if g._array.dtype != o._array.dtype:
                g = ops.cast(g, dtype=dtypes.from_numpy_dtype(o._array.dtype))
            weights.append(g)
        with transform():
            found = tape.gradients(outs, weights, retain_graph)
        return pytree.unflatten(found, structure)

    results = pytree.unflatten([tape.result(o) for o in outs], out_structure)
    if has_aux:
        return results, vjp_fn, pytree.map_leaves(tape.result, aux)
    return results, vjp_fn


# --- forward mode -------------------------------------------------------------------------------------------------------------------


def jvp(func: Callable, primals, tangents, *, strict: bool = False, has_aux: bool = False):
    """(func(*primals), how it moves when the primals move along the tangents), in one pass forward.

    Args:
        func: tensors in any nesting -> tensors in any nesting (with has_aux, a pair of that and anything else).
        primals: a tuple, where to evaluate it.
        tangents: a tuple of the same structure and shapes, the direction.
        strict: raise when an output does not depend on the primals (else its tangent is zeros).
        has_aux: then the result is (output, tangent, aux).

    >>> import mlkit
    >>> mlkit.func.jvp(lambda x: x * x, (mlkit.tensor(3.0),), (mlkit.tensor(1.0),))
    (tensor(9.), tensor(6.))
    """
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, tuple):
            raise GradientError(
                f"jvp(f, primals, tangents): Expected {name} to be a tuple. E.g. it should be valid to call f(*primals)."
            )
    leaves, structure = pytree.flatten(primals)
    moves, moves_structure = pytree.flatten(tangents)
    if not pytree.same(structure, moves_structure):
        raise GradientError(
            "jvp(f, primals, tangents): Expected primals and tangents to have the same python structure.",
            f"primals:  {pytree.text(structure)}\ntangents: {pytree.text(moves_structure)}",
        )
    if not leaves:
        raise GradientError("jvp(f, primals, tangents): Expected primals to be non-empty.")
    for p, t in zip(leaves, moves, strict=True):
        check_pair(p, t)
    level = Forward()
    with transform(), level:
        inside = [level.dual(p, _fitting(t, p)) for p, t in zip(leaves, moves, strict=True)]
        output = func(*pytree.unflatten(inside, structure))
    aux = None
    if has_aux:
        if not (isinstance(output, tuple) and len(output) == 2):
            raise GradientError("jvp(f, primals, tangents): output of function f should be a tuple: (output, aux)")
        output, aux = output
    outs, out_structure = pytree.flatten(output)
    _outputs(outs, "jvp(f, primals, tangents)", "f(*primals)")
    moved = []
    for o in outs:
        t = level.tangent(o)
        if t is None:
            if strict:
                raise GradientError(
                    "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. This is not "
                    "allowed with strict=True."
                )
            t = ops.zeros_like(o)
        moved.append(t)
    results = pytree.unflatten([level.lower(o) for o in outs], out_structure)
    direction = pytree.unflatten(moved, out_structure)
    return (results, direction, pytree.map_leaves(level.lower, aux)) if has_aux else (results, direction)


def linearize(func: Callable, *primals):
    """(func(*primals), a function from tangents to how the output moves).

    The function is run once on the tape; each call of the second result differentiates its vjp, so it computes only the
    linear part again.

    >>> import mlkit
    >>> y, push = mlkit.func.linearize(lambda x: x * x, mlkit.tensor([1.0, 2.0]))
    >>> push(mlkit.ones(2))
    tensor([2., 4.])
    """
    leaves, structure = pytree.flatten(primals)
    if not leaves:
        raise GradientError("linearize: Expected primals to be non-empty.")
    recording = state.grad
    with transform(), enable_grad():
        tape = _Tape(leaves, recording)
        output = func(*pytree.unflatten(tape.inputs, structure))
        outs, out_structure = pytree.flatten(output)
        _outputs(outs, "linearize(f, *primals)", "f(*primals)")
        smooth = [o for o in outs if o._node is not None]
        weights = [alias(wrap(ops.zeros_like(o)._array), False) for o in smooth]
        grads = engine.targeted([o._node for o in smooth], weights, tape.inputs, True, True, True) if smooth else []

    def jvp_fn(*tangents):
        given, given_structure = pytree.flatten(tangents)
        if not pytree.same(given_structure, structure):
            raise GradientError(
                "linearize: expected the tangents in the structure of the primals.",
                f"primals:  {pytree.text(structure)}\ntangents: {pytree.text(given_structure)}",
            )
        for i, (p, t) in enumerate(zip(leaves, given, strict=True)):
            if tuple(p._array.shape) != tuple(t._array.shape):
                raise GradientError(
                    f"tangent:{i} with shape {tuple(t._array.shape)} in flattened pytree doesn't match the shape "
                    f"{tuple(p._array.shape)} of the corresponding primal."
                )
            if p._array.dtype != t._array.dtype:
                raise GradientError(
                    f"tangent:{i} with dtype {dtypes.from_numpy_dtype(t._array.dtype)} in flattened pytree doesn't match "
                    f"the dtype {dtypes.from_numpy_dtype(p._array.dtype)} of the corresponding primal."
                )
        pairs = [(g, t) for g, t in zip(grads, given, strict=True) if g is not None and g._node is not None]
        found: list = [None] * len(smooth)
        if pairs:
            gs, ts = [g for g, _ in pairs], [t for _, t in pairs]
            create = recording and any(tape.outside(g) or tracked(t) for g, t in pairs)
            tensors = create or engine.wants_tensors(gs, ts)
            found = engine.targeted([g._node for g in gs], ts, weights, True, create, tensors)
        rest = iter(found)
        moved = [next(rest) if o._node is not None else None for o in outs]
        results = [ops.zeros_like(o) if t is None else tape.result(t) for o, t in zip(outs, moved, strict=True)]
        return pytree.unflatten(results, out_structure)

    return pytree.unflatten([tape.result(o) for o in outs], out_structure), jvp_fn


# --- Jacobians ---------------------------------------------------------------------------------------------------------------------------


def _basis(tensors: list) -> list:
    """For tensors with n elements in all: of each, n tensors stacked, that together run through the unit vectors."""
    total = sum(t._array.size for t in tensors)
    out, start = [], 0
    for t in tensors:
        n = t._array.size
        shape = tuple(t._array.shape)
        ones = ops.ones_like(ops.zeros((n,), like=t))
        block = ops.diagonal_grad(ones, shape=(total, n), offset=-start, dim1=0, dim2=1)
        out.append(ops.reshape(block, shape=(total, *shape)))
        start += n
    return out


def jacrev(
    func: Callable,
    argnums: int | tuple[int, ...] = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:
    """A function that returns the Jacobian of ``func``, row by row backwards (all rows at once through vmap).

    Args:
        func: tensors -> tensor or a nesting of tensors (with has_aux, a pair of that and anything else).
        argnums: which positional argument to differentiate by, or a tuple of places.
        has_aux: then the result is (jacobian, aux).
        chunk_size: how many rows at a time; None for all.

    Returns:
        A function whose result has the output's structure with, in place of each tensor, the structure of the chosen
        arguments, holding tensors (*output shape, *input shape).

    >>> import mlkit
    >>> mlkit.func.jacrev(lambda x: x * x)(mlkit.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueRangeError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func, updated=())
    def wrapper(*args, **kwargs):
        chosen, places = _chosen(argnums, args)
        aux = None

        def partial(*new):
            return func(*_with(args, places, new[0] if isinstance(argnums, int) else new, argnums), **kwargs)

        primals = (chosen,) if isinstance(argnums, int) else chosen
        found = vjp(partial, *primals, has_aux=has_aux)
        output, pull = found[0], found[1]
        if has_aux:
            aux = found[2]
        outs, out_structure = pytree.flatten(output)
        leaves, in_structure = pytree.flatten(chosen)
        basis = _basis(outs)

        def row(*cotangents):
            return pull(pytree.unflatten(cotangents, out_structure))

        stacked, _ = pytree.flatten(vmap(row, chunk_size=chunk_size)(*basis))
        tree = []
        start = 0
        for o in outs:
            n, shape = o._array.size, tuple(o._array.shape)
            parts = [
                ops.reshape(ops.narrow(s, dim=0, start=start, length=n), shape=(*shape, *x._array.shape))
                for s, x in zip(stacked, leaves, strict=True)
            ]
            tree.append(pytree.unflatten(parts, in_structure))
            start += n
        result = pytree.unflatten(tree, out_structure)
        return (result, aux) if has_aux else result

    return wrapper


def jacfwd(
    func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """A function that returns the Jacobian of ``func``, column by column forwards (all at once through vmap).

    Arguments and result as in jacrev; ``randomness`` as in vmap. Better than jacrev where there are more outputs than
    inputs, and for Hessians outside of a jacrev.

    >>> import mlkit
    >>> mlkit.func.jacfwd(lambda x: x * x)(mlkit.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """

    @functools.wraps(func, updated=())
    def wrapper(*args, **kwargs):
        chosen, places = _chosen(argnums, args)
        leaves, in_structure = pytree.flatten(chosen)
        for t in leaves:
            if not isinstance(t, Value):
                raise ValueRangeError(f"Thing passed to transform API must be Tensor, got {type(t)}")
        kept: dict = {}

        def push(*directions):
            def partial(*flat):
                new = pytree.unflatten(flat, in_structure)
                output = func(*_with(args, places, new, argnums), **kwargs)
                if has_aux:
                    if not (isinstance(output, tuple) and len(output) == 2):
                        raise GradientError("jacfwd: output of function f should be a tuple: (output, aux)")
                    return output
                return output, ()

            output, moved, aux = jvp(partial, tuple(leaves), tuple(directions), has_aux=True)
            outs, kept["structure"] = pytree.flatten(moved)
            return tuple(outs), aux, output

        moved, aux, output = vmap(push, randomness=randomness, out_dims=(0, 0, 0))(*_basis(leaves))
        first = lambda t: ops.slice(t, index=(0,))  # noqa: E731 - all examples have the same
        shapes = [tuple(t._array.shape)[1:] for t in moved]
        tree = []
        for t, shape in zip(moved, shapes, strict=True):
            parts, start = [], 0
            for x in leaves:
                n = x._array.size
                block = ops.narrow(t, dim=0, start=start, length=n)
                block = ops.permute(block, dims=(*range(1, len(shape) + 1), 0))
                parts.append(ops.reshape(block, shape=(*shape, *x._array.shape)))
                start += n
            tree.append(pytree.unflatten(parts, in_structure))
        result = pytree.unflatten(tree, kept["structure"])
        return (result, pytree.map_leaves(first, aux)) if has_aux else result

    return wrapper


def hessian(func: Callable, argnums: int | tuple[int, ...] = 0) -> Callable:
    """A function that returns the Hessian of ``func``: forward mode over reverse mode.

    >>> import mlkit
    >>> mlkit.func.hessian(lambda x: (x ** 3).sum())(mlkit.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)
