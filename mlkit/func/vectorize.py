"""vmap: a function of one example, made a function of a batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from mlkit.autograd.function import Function, context, finish, forward
from mlkit.autograd.levels import Level
from mlkit.core import inplace
from mlkit.core.dispatch import apply, ops, record, state
from mlkit.core.errors import DimensionError, GradientError, MlkitError, ValueRangeError
from mlkit.core.value import LevelArray, MetaArray, Value, wrap
from mlkit.func import batching, pytree
from mlkit.func.running import transform
from mlkit.ops.registry import Op

RANDOMNESS = ("error", "different", "same")


class VmapError(MlkitError, RuntimeError):
    """Something that cannot be done for all examples at once."""


class BatchedArray(LevelArray):
    """One example as the function sees it; ``inner`` holds all of them, along its first axis when ``batched``.

    Not ``batched``: the same for all examples, and yet of this level, because its gradient will not be.
    """

    __slots__ = ("batched",)

    def __init__(self, level: Vmap, inner: Value, batched: bool):
        self.level, self.inner, self.batched = level, inner, batched
        shape = tuple(inner._array.shape)
        self.shape = shape[1:] if batched else shape
        self.dtype = inner._array.dtype

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "device":
            return self.inner._array.device
        if name in ("flags", "strides"):
            return getattr(self.memory(), name)
        raise self.refusal()

    def memory(self):
        array = super().memory()
        if not self.batched or array.__class__ is MetaArray:
            return array
        return array[0] if array.shape[0] else array.reshape(self.shape) if 0 in self.shape else array

    def refusal(self) -> VmapError:
        return VmapError(
            "vmap: the numbers of a tensor are needed here (.item(), .numpy(), if, print of one value), and inside vmap it "
            "stands for all examples at once.",
            f"one example: shape {tuple(self.shape)}, vmapped over {self.level.size}",
            "Choose with mlkit.where(condition, a, b) in place of `if`; compute with tensors in place of .item().",
        )

    def __bool__(self):
        raise self.refusal()

    __int__ = __float__ = __index__ = __iter__ = __bool__

    def __array__(self, *args, **kwargs):
        raise self.refusal()

    def settle(self) -> Value:
        if not self.batched:
            return self.inner
        if self.level in state.interpreters:
            raise self.refusal()
        raise VmapError(
            "vmap: a tensor was kept beyond the vmap it belongs to, where it has no meaning.",
            f"one example: shape {tuple(self.shape)}",
            "Return it from the function instead of storing it outside.",
        )

    def like(self, plain: Value) -> Value:
        with self.level.below():
            if not self.batched:
                return wrap(BatchedArray(self.level, plain, False))
            below = self.inner._array
            fresh = below.like(plain) if isinstance(below, LevelArray) else plain
            return wrap(BatchedArray(self.level, ops.clone(batching.spread(fresh, False, self.level.size)), True))

    def copy(self) -> BatchedArray:
        with self.level.below():
            return BatchedArray(self.level, ops.clone(self.inner), self.batched)

    def text(self, write) -> str:
        inside = write(self.inner).replace("\n", "\n    ")
        return f"BatchedTensor(bdim={0 if self.batched else None}, value=\n    {inside}\n)"


def mixed(key: tuple[int, int], number: int) -> tuple[int, int]:
    """The key of another stream that follows from ``key`` (SplitMix64's finaliser, Steele et al. 2014)."""
    z = (key[0] + 0x9E3779B97F4A7C15 * (key[1] + number + 1)) % (1 << 64)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % (1 << 64)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % (1 << 64)
    return z ^ (z >> 31), 0


class Vmap(Level):
    """The interpreter of one vmap: it runs each op on all examples by the op's batching rule."""

    def __init__(self, size: int, randomness: str):
        self.size, self.randomness = size, randomness

    def batch(self, inner: Value, batched: bool = True) -> Value:
        """A tensor of this level; ``inner`` has the examples along its first axis."""
        return wrap(BatchedArray(self, inner, batched))

    def has(self, t) -> bool:
        return self.owns(t) and t._array.batched

    def process(self, op: Op, tensors: tuple, attributes: dict):
        operands = list(tensors[0]) if op.variadic else list(tensors)
        if op.random:
            return self.draw(op, operands, attributes)
        if not any(self.owns(t) for t in operands):
            return apply(op, tensors, attributes)
        operands, attributes = self.canonical(op, operands, attributes)
        inner = [self.lower(t) for t in operands]
        has = tuple(self.has(t) for t in operands)
        batched = any(has)
        if batched:
            self.check(op, operands, attributes)
            out = batching.run(op, self.size, has, inner, attributes)
        else:
            out = apply(op, (inner,) if op.variadic else tuple(inner), attributes)
        return self.given(op, operands, attributes, out, batched)

    def check(self, op: Op, operands: list, attributes: dict) -> None:
        """Let the op see one example, so that its errors speak of that."""
        arrays = [t._array if isinstance(t, Value) else t for t in operands]
        if op.name in ("index", "index_put"):
            first = 1 if op.name == "index" else 2
            batching.refuse_masks("indexing", [self.has(t) for t in operands[first:]], operands[first:])
            return  # its infer may need the index tensors' numbers
        try:
            op.infer(arrays, **attributes) if op.variadic else op.infer(*arrays, **attributes)
        except MlkitError as error:
            error.tell("inside vmap over", f"{self.size} examples")
            raise

    def given(self, op: Op, operands: list, attributes: dict, out, batched: bool):
        """What the op gives, as tensors of this level, with their node at this level."""
        arrays = [t._array if isinstance(t, Value) else t for t in operands]
        many = isinstance(out, tuple)
        results = tuple(BatchedArray(self, o, batched) for o in (out if many else (out,)))
        return record(op, operands, arrays, attributes, results if many else results[0])

    def draw(self, op: Op, operands: list, attributes: dict):
        """A random op: one draw for all, or another for each example."""
        if self.randomness == "error":
            raise VmapError(
                "vmap: called random operation while in randomness error mode.",
                f"op: {op.name}",
                "Pass vmap(..., randomness='different') for other numbers in each example, or 'same'; or draw outside.",
            )
        if not op.inputs:
            if self.randomness == "same":
                return apply(op, (), attributes)
            shape = (self.size, *attributes["shape"])
            if op.name == "random_permutation":
                each = [apply(op, (), {**attributes, "key": mixed(attributes["key"], i)}) for i in range(self.size)]
                return self.batch(batching.joined(each))
            return self.batch(apply(op, (), {**attributes, "shape": shape, "key": mixed(attributes["key"], 0)}))
        operands, attributes = self.canonical(op, operands, attributes)
        inner, has = [self.lower(t) for t in operands], [self.has(t) for t in operands]
        if not any(has) and self.randomness == "same":
            out = apply(op, tuple(inner), attributes)
            return self.given(op, operands, attributes, out, False) if any(map(self.owns, operands)) else out
        if op.name != "dropout":
            each = [
                apply(
                    op,
                    tuple(ops.slice(t, index=(i,)) if h else t for t, h in zip(inner, has, strict=True)),
                    {**attributes, "key": mixed(attributes["key"], i if self.randomness == "different" else 0)},
                )
                for i in range(self.size)
            ]
            return self.given(op, operands, attributes, batching.joined(each), True)
        shape = attributes["mask_shape"] or tuple(operands[0]._array.shape)
        how = {**attributes, "mask_shape": (1 if self.randomness == "same" else self.size, *shape)}
        if self.randomness == "different":
            how["key"] = mixed(attributes["key"], 0)
        out = apply(op, (batching.spread(inner[0], has[0], self.size),), how)
        result = self.given(op, operands, attributes, out, True)
        node = result._node
        if node is not None:  # backward at this level draws the whole mask again, for all examples
            node.op, node.attributes, node.saved = _MASKED, {"level": self, "how": how, "op": op}, ()
        return result

    # --- in-place changes -----------------------------------------------------------------------------------------------------

    def write(self, target: Value, source: Value, name: str) -> None:
        if self.has(source) and not self.has(target):
            raise VmapError(
                f"vmap: {name} is not possible: `self` is the same for all examples and `other` is not.",
                f"self: {tuple(target._array.shape)}\nother: {tuple(source._array.shape)} for each of {self.size}",
                "Use the out-of-place form, or make the target inside from a batched tensor: x.new_zeros(...).",
            )
        rank = target._array.ndim
        with self.below():
            inner = batching.padded(self.lower(source), self.has(source), rank)
            inplace.assign(self.lower(target), inner, name)

    # --- autograd.Function ------------------------------------------------------------------------------------------------------

    def custom(self, function: type[Function], args: tuple):
        """A Function with batched arguments: by its own vmap, or by running its parts inside this level."""
        if function.vmap is not Function.vmap:
            if function.generate_vmap_rule:
                raise GradientError(
                    f"You tried to vmap over {function.__name__}, but it has both generate_vmap_rule=True and an "
                    "overriden vmap staticmethod. Please set generate_vmap_rule=False or delete the overriden vmap "
                    "staticmethod to avoid ambiguity."
                )
            in_dims = tuple(0 if self.has(a) else None for a in args)
            info = VmapInfo(self.size, self.randomness)
            output, out_dims = function.vmap(info, in_dims, *(self.lower(a) for a in args))
            single = not isinstance(output, tuple)
            outputs = (output,) if single else output
            dims = [out_dims] * len(outputs) if not isinstance(out_dims, tuple) else list(out_dims)
            results: Any = tuple(self._from_front(o, d) for o, d in zip(outputs, dims, strict=True))
            if not any(isinstance(a, Value) and a._node is not None for a in args):
                return results[0] if single else results
            output = results[0] if single else results
            with self.active():
                ctx = context(function, args, output)
            return finish(ctx, args, output)
        level, recorded = self, state.grad
        made: dict = {}

        class Lowered(Function):
            @staticmethod
            def forward(low, *inner):
                with level.active():
                    made["ctx"], made["out"] = forward(function, args, recorded)
                single = not isinstance(made["out"], (tuple, list))
                outs = [made["out"]] if single else list(made["out"])
                low.ctx = made["ctx"]
                low.ctx.needs_input_grad = tuple(
                    a or b for a, b in zip(low.ctx.needs_input_grad, low.needs_input_grad, strict=True)
                )
                lowered = [level.lower(o) for o in outs]
                refused = made["ctx"].non_differentiable
                low.mark_non_differentiable(
                    *[n for n, o in zip(lowered, outs, strict=True) if any(o is t for t in refused)]
                )
                low.fronts = [level.has(o) for o in outs]
                return lowered[0] if single else tuple(lowered)

            @staticmethod
            def backward(low, *g):
                lifted = [None if x is None else level.batch(x, front) for x, front in zip(g, low.fronts, strict=True)]
                with level.active():
                    grads = function.backward(low.ctx, *lifted)
                grads = grads if isinstance(grads, tuple) else (grads,)
                return tuple(level._gradient_of(x, a) for x, a in zip(grads, args, strict=True))

        Lowered.__name__ = function.__name__
        outputs = Lowered.apply(*(self.lower(a) for a in args))
        ctx, single = made["ctx"], not isinstance(outputs, tuple)
        given = (made["out"],) if single else tuple(made["out"])
        results = tuple(
            self.batch(o, self.has(was)) if isinstance(o, Value) else o
            for o, was in zip((outputs,) if single else outputs, given, strict=True)
        )
        swap = {id(was): now for was, now in zip(given, results, strict=True)}
        ctx.to_save = tuple(swap.get(id(t), t) for t in ctx.to_save)
        return finish(ctx, args, results[0] if single else results)

    def _from_front(self, out, dim):
        if not isinstance(out, Value):
            return out
        if dim is None:
            return self.batch(out, False)
        return self.batch(out if dim == 0 else to_front(out, dim))

    def _gradient_of(self, g, argument):
        """A gradient as the level below wants it: with the axis exactly where the argument has it."""
        if g is None or not isinstance(argument, Value):
            return None
        inner = self.lower(g)
        if self.has(argument):
            return inner if self.has(g) else batching.spread(inner, False, self.size)
        return ops.sum(inner, dim=(0,)) if self.has(g) else inner


class VmapInfo(NamedTuple):
    """What a Function's own vmap is told."""

    batch_size: int
    randomness: str


class _Masked:
    """Backward of dropout inside vmap."""

    name = "dropout"
    rules = None
    holds = True
    outputs = 1

    def backward_runner(self, tensors: bool):
        def run(m, g, node):
            level, how, op = (node.attributes[k] for k in ("level", "how", "op"))
            with level.below():
                inner = batching.spread(level.lower(g), level.has(g), level.size)
                return (level.batch(apply(op, (inner,), how)),)

        return run


_MASKED = _Masked()


def to_front(t: Value, dim: int) -> Value:
    """``t`` with that dim as its first."""
    n = t._array.ndim
    dim = dim + n if dim < 0 else dim
    return t if dim == 0 else ops.permute(t, dims=(dim, *(d for d in range(n) if d != dim)))


def from_front(t: Value, dim: int) -> Value:
    """``t`` with its first dim moved to ``dim``."""
    n = t._array.ndim
    if not -n <= dim < n:
        raise DimensionError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})")
    dim = dim + n if dim < 0 else dim
    order = list(range(1, n))
    order.insert(dim, 0)
    return t if dim == 0 else ops.permute(t, dims=tuple(order))


def name_of(fn) -> str:
    return getattr(fn, "__name__", None) or type(fn).__name__


def vmap(
    func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None
) -> Callable:
    """A function that maps ``func`` over an axis of its inputs, all examples at once.

    Args:
        func: a function of one example: tensors in any nesting of tuples, lists and dicts -> the same.
        in_dims: which dim of each positional argument is the batch; None for arguments that all examples share. An int
            for all, or a tuple (nested like the arguments) with one entry each.
        out_dims: where the batch dim goes in each output; None for an output that is the same for all.
        randomness: "error" refuses random ops, "different" draws other numbers for each example, "same" the same.
        chunk_size: how many examples at a time; None for all.

    Returns:
        A function with func's arguments. Keyword arguments are passed on as they are.

    Raises:
        ValueRangeError: dims that do not fit the inputs or differ in size.
        VmapError: (a RuntimeError) func asks for the numbers of a batched tensor, or changes an unbatched one in place.

    >>> import mlkit
    >>> dots = mlkit.func.vmap(mlkit.dot)
    >>> dots(mlkit.ones(3, 2), mlkit.ones(3, 2))
    tensor([2., 2., 2.])
    """
    if randomness not in RANDOMNESS:
        raise VmapError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueRangeError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    label = name_of(func)

    @functools.wraps(func, updated=())
    def mapped(*args, **kwargs):
        leaves, structure, dims = _inputs(label, in_dims, args)
        size = _size(label, in_dims, leaves, dims)
        fronts = [to_front(t, d) if d is not None else t for t, d in zip(leaves, dims, strict=True)]
        if chunk_size is None or chunk_size >= size:
            outs, out_structure, places = _run(func, label, size, fronts, dims, structure, out_dims, randomness, kwargs)
        else:
            parts = []
            for start in range(0, size, chunk_size):
                stop = min(start + chunk_size, size)
                cut = [
                    ops.narrow(t, dim=0, start=start, length=stop - start) if d is not None else t
                    for t, d in zip(fronts, dims, strict=True)
                ]
                parts.append(_run(func, label, stop - start, cut, dims, structure, out_dims, randomness, kwargs))
            out_structure, places = parts[0][1], parts[0][2]
            outs = [
                part[0] if place is None else ops.cat(list(part), dim=0)
                for place, part in zip(places, zip(*(p[0] for p in parts), strict=True), strict=True)
            ]
        placed = [t if d is None else from_front(t, d) for t, d in zip(outs, places, strict=True)]
        return pytree.unflatten(placed, out_structure)

    return mapped


def _inputs(label: str, in_dims, args: tuple) -> tuple[list, Any, list]:
    if not isinstance(in_dims, (int, tuple, list)) or isinstance(in_dims, bool):
        raise ValueRangeError(
            f"vmap({label}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) "
            f"tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueRangeError(
            f"vmap({label})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
            "function with no inputs. The latter is unsupported."
        )
    leaves, structure = pytree.flatten(args)
    dims = pytree.spread(in_dims, structure)
    if dims is None:
        raise ValueRangeError(
            f"vmap({label}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of `inputs`.",
            f"inputs: {pytree.text(structure)}",
        )
    for i, (t, d) in enumerate(zip(leaves, dims, strict=True)):
        if d is None:
            continue
        if not isinstance(t, Value):
            raise ValueRangeError(
                f"vmap({label}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={d} for an input but the input is of type "
                f"{type(t)}. We cannot vmap over non-Tensor arguments, please use None as the respective in_dim."
            )
        n = t._array.ndim
        if not -n <= d < n:
            raise ValueRangeError(
                f"vmap({label}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={d} for some input, but that input is a "
                f"Tensor of dimensionality {n} so expected in_dim to satisfy -{n} <= in_dim < {n}.",
                f"input {i}: {tuple(t._array.shape)}",
            )
    return leaves, structure, dims


def _size(label: str, in_dims, leaves: list, dims: list) -> int:
    sizes = [t._array.shape[d] for t, d in zip(leaves, dims, strict=True) if d is not None]
    if not sizes:
        raise ValueRangeError("vmap: Expected at least one Tensor to vmap over")
    if any(n != sizes[0] for n in sizes):
        raise ValueRangeError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{[int(n) for n in sizes]} for the mapped dimension"
        )
    return int(sizes[0])


def _run(func, label, size, fronts, dims, structure, out_dims, randomness, kwargs) -> tuple[list, Any, list]:
    """One call of the function inside a level; its outputs have the batch in front."""
    level = Vmap(size, randomness)
    with transform(), level:
        inside = [level.batch(t) if d is not None else t for t, d in zip(fronts, dims, strict=True)]
        output = func(*pytree.unflatten(inside, structure), **kwargs)
    outs, out_structure = pytree.flatten(output)
    places = pytree.spread(out_dims, out_structure)
    if places is None:
        raise ValueRangeError(
            f"vmap({label}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of "
            "`outputs`.",
            f"outputs: {pytree.text(out_structure)}",
        )
    results = []
    for t, place in zip(outs, places, strict=True):
        if not isinstance(t, Value):
            if place is None:
                results.append(t)
                continue
            raise ValueRangeError(
                f"vmap({label}, ...): `{label}` must only return Tensors, got type {type(t)}. Did you mean to set "
                "out_dims= to None for output?"
            )
        if place is None:
            if level.has(t):
                raise ValueRangeError(
                    f"vmap({label}, ...): `{label}` can not return a BatchedTensor when out_dim is None"
                )
            results.append(level.lower(t))
        else:
            results.append(batching.spread(level.lower(t), level.has(t), size))
    return results, out_structure, places
