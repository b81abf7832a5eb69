"""Axis names: ``x.rename("batch", "in")``, ``x.sum("in")``, and the rules by which names pass through operations.

How it costs nothing where no tensor is named: a named tensor's class is a variant of its own class, and is not among the
classes that the dispatcher's short ways know (``value.tensor_types``). So it takes the full way, which meets an unknown
class where it makes numbers and arrays usable, and hands the operation to ``process`` below. ``process`` settles the
names of the result, lets the dispatcher work on bare tensors of the same memory and graph, and names what comes out.
This file is loaded when the first tensor is named.

Rules: elementwise operations unify names from the right (None goes with every name), reductions drop names, products take
them from both sides, ``permute`` and its kin carry them along; convolution, pooling and normalisation keep the input's;
``linear`` names the last axis as the weight's first. ``reshape`` keeps the names of axes it leaves alone. What has no rule
gives a result without names. Gradients have no names.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable
from typing import Any

from mlkit.core import value
from mlkit.core.dispatch import execute, ops
from mlkit.core.errors import ArgumentError, MlkitError, ShapeError
from mlkit.core.tensor import Tensor
from mlkit.core.value import Value, storage_of, wrap
from mlkit.ops.reduce import AlongDim, Reduction
from mlkit.ops.registry import Elementwise, Op

Names = tuple[str | None, ...]


class NameMismatch(ShapeError):
    """Axis names that contradict each other, or that a tensor does not have."""


# --- names of one tensor ------------------------------------------------------------------------------------------------


def names_of(x: Any) -> Names:
    """The names of a tensor's axes, None where there is none."""
    if not isinstance(x, Value):
        return ()
    return x._names if x._names is not None else (None,) * x._array.ndim


def labelled(shape: tuple, names: Names) -> str:
    """A shape with the names of its axes: ``(batch=32, in=784)``."""
    parts = [f"{name}={size}" if name else str(size) for name, size in zip(names, shape)]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def describe(x: Value) -> str:
    """A tensor's shape with the names of its axes."""
    return labelled(tuple(x._array.shape), names_of(x))


def checked(names: Any, x: Value, what: str) -> Names:
    """Names as a tuple: one for each axis, each a word or None, none twice."""
    out = tuple(names)
    for name in out:
        if name is not None and not (isinstance(name, str) and name.isidentifier()):
            raise NameMismatch(
                f"{what}: invalid name {name!r}: a valid identifier contains only digits, letters and underscores and "
                "does not start with a digit."
            )
    given = [name for name in out if name]
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice:
        raise NameMismatch(f"{what}: cannot construct a tensor with duplicate names; {twice!r} is there twice: {out}.")
    if len(out) != x._array.ndim:
        raise NameMismatch(
            f"{what}: number of names ({len(out)}) and number of dimensions in tensor ({x._array.ndim}) do not match.",
            f"names: {out}\ntensor: {describe(x)}",
        )
    return out


def spread(names: tuple, own: Names, what: str) -> tuple:
    """``names`` with one ``...`` written out as the tensor's own names in that place."""
    dots = [i for i, name in enumerate(names) if name is Ellipsis or name == "..."]
    if not dots:
        return names
    if len(dots) > 1:
        raise NameMismatch(f"{what}: only one ... is possible.")
    before, after = names[: dots[0]], names[dots[0] + 1 :]
    middle = own[len(before) : len(own) - len(after)]
    return (*before, *middle, *after)


def place_of(x: Value, dim: Any, what: str = "dim") -> Any:
    """The number of an axis given by name; numbers pass."""
    if isinstance(dim, str):
        own = names_of(x)
        if dim not in own:
            raise NameMismatch(
                f"Name {dim!r} not found in {describe(x)}.",
                hint=f"Its names: {', '.join(n for n in own if n) or 'none; name the axes with x.rename(...)'}.",
            )
        return own.index(dim)
    if isinstance(dim, (tuple, list)) and any(isinstance(d, str) for d in dim):
        return tuple(place_of(x, d, what) for d in dim)
    return dim


# --- the classes --------------------------------------------------------------------------------------------------------


class Named(Tensor):
    """What named tensors have besides their own class: names in their methods, results and texts."""

    __slots__ = ()

    @property
    def names(self) -> Names:
        return names_of(self)

    @names.setter
    def names(self, names) -> None:
        set_names(
            self, None if names is None else checked(spread(tuple(names), names_of(self), "names"), self, "names")
        )

    def detach(self):
        return name_result(Tensor.detach(self), self._names)

    def squeeze(self, dim=None):
        dim = place_of(self, dim)
        out, rank = Tensor.squeeze(self) if dim is None else Tensor.squeeze(self, dim), self._array.ndim
        dims = range(rank) if dim is None else [d % rank for d in (dim if isinstance(dim, tuple) else (dim,)) if rank]
        gone = {d for d in dims if self._array.shape[d] == 1}
        return name_result(out, tuple(n for i, n in enumerate(self._names) if i not in gone))

    def unsqueeze(self, dim):
        out = Tensor.unsqueeze(self, dim)
        place = dim % out._array.ndim
        return name_result(out, (*self._names[:place], None, *self._names[place:]))

    def flatten(self, start_dim=0, end_dim=-1, out_dim=None, *, dims=None):
        """``flatten(start, end)``, with a name for the joined axis ``flatten(start, end, "features")`` or
        ``flatten(["channel", "height", "width"], "features")``."""
        if dims is not None:
            start_dim = dims
        if isinstance(start_dim, (list, tuple)):
            out_dim = end_dim if isinstance(end_dim, str) else out_dim
            places = [place_of(self, d) for d in start_dim]
            if not places or places != list(range(places[0], places[0] + len(places))):
                raise NameMismatch(
                    f"flatten: the axes {list(start_dim)} do not stand side by side in that order in {describe(self)}.",
                    hint="Bring them together with align_to first.",
                )
            start, end = places[0], places[-1]
        else:
            start, end = place_of(self, start_dim), place_of(self, end_dim)
        out, rank = Tensor.flatten(self, start, end), self._array.ndim
        if not rank:
            return out
        start, end = start % rank, end % rank
        name = out_dim if out_dim is not None else self._names[start] if start == end else None
        return name_result(out, checked((*self._names[:start], name, *self._names[end + 1 :]), out, "flatten"))

    def unflatten(self, dim, sizes):
        """One axis as several: ``unflatten("features", (("channel", 3), ("height", 8)))``, or sizes without names."""
        place = place_of(self, dim) % max(self._array.ndim, 1)
        items = list(sizes.items()) if isinstance(sizes, dict) else list(sizes)
        named = bool(items) and all(isinstance(item, (tuple, list)) for item in items)
        out = Tensor.unflatten(self, place, tuple(size for _, size in items) if named else tuple(items))
        fresh = tuple(name for name, _ in items) if named else (None,) * (out._array.ndim - self._array.ndim + 1)
        return name_result(out, checked((*self._names[:place], *fresh, *self._names[place + 1 :]), out, "unflatten"))

    def __reduce__(self):
        make, (cls, *rest) = Tensor.__reduce__(self)
        return _rebuild_named, (make, (plain_class(cls), *rest), self._names)


def _rebuild_named(make: Callable, arguments: tuple, names: Names):
    out = make(*arguments)
    set_names(out, names)
    return out


_variants: dict[type, type] = {}


def variant(cls: type) -> type:
    """The class of named tensors that otherwise are of class ``cls``."""
    if issubclass(cls, Named):
        return cls
    found = _variants.get(cls)
    if found is None:
        found = _variants[cls] = type(cls.__name__, (Named, cls), {"__slots__": (), "__module__": cls.__module__})
        value.own_ways[found] = process
    return found


def plain_class(cls: type) -> type:
    """The class a named variant was made of."""
    return next((plain for plain, named in _variants.items() if named is cls), cls)


def set_names(x: Value, names: Names | None) -> Value:
    """Name this very tensor (None: take its names away)."""
    if names is None or not any(names):
        x.__class__ = plain_class(x.__class__)
        x.__dict__.pop("_names", None)
    else:
        x.__class__ = variant(x.__class__)
        x._names = names
    return x


def name_result(out: Value, names: Names | None) -> Value:
    """Name a tensor that an operation just made, when the names fit it."""
    if names is not None and len(names) == out._array.ndim:
        set_names(out, names)
    return out


# --- the functions behind the methods -----------------------------------------------------------------------------------


def same_view(x: Value) -> Value:
    """A fresh tensor, without names, on the same memory and graph."""
    return ops.reshape(bare(x), shape=tuple(x._array.shape))


def rename(x: Value, names: tuple, renamed: dict, in_place: bool = False) -> Value:
    """``x.rename("batch", "in")``, ``x.rename(None)`` or ``x.rename(old="new")``."""
    own = names_of(x)
    if names and renamed:
        raise NameMismatch("rename: give either all names, or pairs old=new, not both.")
    if renamed:
        for old in renamed:
            place_of(x, old)
        fresh: Names | None = checked([renamed.get(n, n) if n else None for n in own], x, "rename")
    elif names == (None,):
        fresh = None
    else:
        if len(names) == 1 and isinstance(names[0], (tuple, list)):
            names = tuple(names[0])
        fresh = checked(spread(names, own, "rename"), x, "rename")
    return set_names(x if in_place else same_view(x), fresh)


def refine_names(x: Value, names: tuple) -> Value:
    """Name the axes that have none; the others must be named as they are."""
    if len(names) == 1 and isinstance(names[0], (tuple, list)):
        names = tuple(names[0])
    own = names_of(x)
    wanted = checked(spread(names, own, "refine_names"), x, "refine_names")
    for i, (old, new) in enumerate(zip(own, wanted)):
        if old is not None and old != new:
            raise NameMismatch(
                f"refine_names: cannot coerce {describe(x)} to {wanted}: {old!r} is different from {new!r} at axis {i}.",
                hint="Use rename to give an axis another name.",
            )
    return set_names(same_view(x), wanted)


def align_to(x: Value, names: tuple) -> Value:
    """The axes in that order, with new ones of size 1 where x lacks a name; ``...`` stands for all not listed."""
    if len(names) == 1 and isinstance(names[0], (tuple, list)):
        names = tuple(names[0])
    own = names_of(x)
    if None in own:
        raise NameMismatch(f"align_to: all axes of the tensor must be named, got {describe(x)}.")
    listed = [n for n in names if n is not Ellipsis and n != "..."]
    rest = tuple(n for n in own if n not in listed)
    if len(listed) < len(names):
        place = next(i for i, n in enumerate(names) if n is Ellipsis or n == "...")
        wanted = (*names[:place], *rest, *names[place + 1 :])
    elif rest:
        raise NameMismatch(
            f"align_to: cannot align {describe(x)} to {names}: the axis {rest[0]!r} would be lost.",
            hint="List it, or write ... for the axes that are not listed.",
        )
    else:
        wanted = tuple(names)
    out = ops.permute(bare(x), dims=tuple(own.index(n) for n in wanted if n in own))
    sizes = iter(tuple(out._array.shape))
    out = ops.reshape(out, shape=tuple(next(sizes) if n in own else 1 for n in wanted))
    return set_names(out, checked(wanted, out, "align_to"))


def align_tensors(*tensors) -> list:
    """All tensors with the names, in the order, of the one that has most axes.

    >>> import mlkit
    >>> a, b = mlkit.ones(2, 3, names=("N", "C")), mlkit.ones(3, names=("C",))
    >>> [t.names for t in mlkit.align_tensors(a, b)]
    [('N', 'C'), ('N', 'C')]
    """
    longest = max(tensors, key=lambda t: t._array.ndim)
    return [align_to(t, names_of(longest)) for t in tensors]


# --- names through operations -------------------------------------------------------------------------------------------


def unify(what: str, *shapes_and_names: tuple[str, tuple, Names]) -> Names:
    """The names of a broadcast: from the right, None goes with every name, and no name stands at two places."""
    rank = max((len(names) for _, _, names in shapes_and_names), default=0)
    out: list[str | None] = [None] * rank
    for _, _, names in shapes_and_names:
        for place in range(1, len(names) + 1):
            name, known = names[-place], out[-place]
            if name is None or name == known:
                continue
            if known is not None:
                raise _clash(what, f"axis {-place} is {known!r} in one and {name!r} in the other", shapes_and_names)
            out[-place] = name
    for name in out:
        if name is not None and out.count(name) > 1:
            raise _clash(what, f"{name!r} stands at two places, counted from the right", shapes_and_names)
    return tuple(out)


def _clash(what: str, why: str, rows) -> NameMismatch:
    width = max(len(label) for label, _, _ in rows)
    return NameMismatch(
        f"{what}: the axis names do not match: {why}.",
        "\n".join(f"{label.ljust(width)}: {labelled(shape, names)}" for label, shape, names in rows),
        "Bring the axes in one order with a.align_as(b), or rename one.",
    )


def _rows(op: Op, operands: list) -> list[tuple[str, tuple, Names]]:
    labels = [f"tensors[{i}]" for i in range(len(operands))] if op.variadic else op.inputs
    return [(n, tuple(t._array.shape), names_of(t)) for n, t in zip(labels, operands) if isinstance(t, Value)]


def _dims(dim: Any, rank: int) -> set[int]:
    if dim is None or dim == () or dim == []:
        return set(range(rank))
    return {d % rank for d in (dim if isinstance(dim, (tuple, list)) else (dim,))} if rank else set()


def _keep(op, operands, attributes):
    return names_of(operands[0])


def _elementwise(op, operands, attributes):
    return unify(op.name, *_rows(op, operands))


def _reduce(op, operands, attributes):
    own = names_of(operands[0])
    gone = _dims(attributes.get("dim"), len(own))
    if attributes.get("keepdim"):
        return own
    return tuple(n for i, n in enumerate(own) if i not in gone)


def _permute(op, operands, attributes):
    own = names_of(operands[0])
    return tuple(own[d] for d in attributes["dims"])


def _expand(op, operands, attributes):
    own = names_of(operands[0])
    return (None,) * (len(attributes["shape"]) - len(own)) + own


def _slice(op, operands, attributes):
    own, out = iter(names_of(operands[0])), []
    for item in attributes["index"]:
        if item is None:
            out.append(None)
        elif isinstance(item, slice):
            out.append(next(own))
        else:
            next(own)
    return (*out, *own)


def _index(op, operands, attributes):
    """Axes that index tensors replace lose their names; the others keep theirs where their place is clear."""
    own, pattern = names_of(operands[0]), attributes["pattern"]
    masks = [t._array for t in operands[1:]]
    places, rest, out = [], iter(own), []
    arrays = iter(masks)
    for item in pattern:
        if isinstance(item, slice):
            out.append(next(rest))
        elif item is None:
            out.append(None)
        elif isinstance(item, int):
            return None
        else:
            array = next(arrays)
            places.append(len(out))
            for _ in range(array.ndim if array.dtype == bool else 1):
                next(rest)
    if len(set(places)) != 1:
        return None
    fresh = max(1 if a.dtype == bool else a.ndim for a in masks)
    return (*out[: places[0]], *(None,) * fresh, *out[places[0] :], *rest)


def _reshape(op, operands, attributes):
    """Axes that stay what they are keep their names; axes of size 1 come and go; joined and split ones have none."""
    own, old = names_of(operands[0]), tuple(operands[0]._array.shape)
    new = attributes["shape"]
    if any(n == -1 for n in new):
        known = 1
        for n in new:
            known *= n if n != -1 else 1
        total = 1
        for n in old:
            total *= n
        new = tuple((total // known if known else 0) if n == -1 else n for n in new)
    if tuple(new) == old:
        return own
    a = [(n, name) for n, name in zip(old, own) if n != 1]
    b = [i for i, n in enumerate(new) if n != 1]
    out: list[str | None] = [None] * len(new)
    i = j = 0
    while i < len(a) and j < len(b):
        left, right = a[i][0], new[b[j]]
        if left == right:
            out[b[j]] = a[i][1]
            i, j = i + 1, j + 1
            continue
        i, j = i + 1, j + 1
        while left != right:  # a joined or split group: on until both sides hold the same count
            if left < right and i < len(a):
                left, i = left * a[i][0], i + 1
            elif right < left and j < len(b):
                right, j = right * new[b[j]], j + 1
            else:
                return (None,) * len(new)
    return tuple(out)


def _diagonal(op, operands, attributes):
    own = names_of(operands[0])
    gone = {attributes.get("dim1", 0) % len(own), attributes.get("dim2", 1) % len(own)}
    return (*(n for i, n in enumerate(own) if i not in gone), None)


def _matmul(op, operands, attributes):
    rows = _rows(op, operands)
    a, b = (names_of(t) for t in operands[:2])
    if not a or not b:
        return None
    shapes = [row[1] for row in rows]
    batch = unify("matmul", ("input", shapes[0][:-2], a[:-2]), ("other", shapes[1][:-2], b[:-2]))
    out = (*batch, *(a[-2:-1] if len(a) > 1 else ()), *(b[-1:] if len(b) > 1 else ()))
    named = [n for n in out if n]
    if len(set(named)) < len(named):
        raise _clash("matmul", "the product would have one name twice", rows)
    return out


def _linear(op, operands, attributes):
    x, weight = names_of(operands[0]), names_of(operands[1])
    own = weight[0] if len(weight) > 1 else None
    if len(weight) > 1 and weight[1] and x[-1] and weight[1] != x[-1]:
        raise _clash(op.name, f"the weight is for {weight[1]!r}, the last axis is {x[-1]!r}", _rows(op, operands[:2]))
    return (*x[:-1], own if own not in x[:-1] else None)


def _convolution(op, operands, attributes):
    x, weight = names_of(operands[0]), names_of(operands[1])
    place = -int(op.name[4]) - 1
    return (*x[:place], weight[0] or x[place], *x[place + 1 :])


def _embedding(op, operands, attributes):
    return (*names_of(operands[0]), names_of(operands[1])[-1])


def _unfold(op, operands, attributes):
    return (*names_of(operands[0]), None)


RULES: dict[str, Callable] = {
    **dict.fromkeys(
        "cast to_device dropout batch_norm_train batch_norm_eval layer_norm group_norm instance_norm rms_norm narrow flip "
        "roll tril triu constant_pad gather scatter scatter_add index_select index_add topk sort cumsum cumprod cummax "
        "cummin softmax log_softmax slice_scatter logcumsumexp".split(),
        _keep,
    ),
    **{f"{kind}_pool{n}d": _keep for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for n in (1, 2, 3)},
    **{f"conv{n}d": _convolution for n in (1, 2, 3)},
    "interpolate": _keep,
    "vector_norm": _reduce,
    "masked_fill": _elementwise,
    "cat": _elementwise,
    "permute": _permute,
    "expand": _expand,
    "slice": _slice,
    "index": _index,
    "reshape": _reshape,
    "diagonal": _diagonal,
    "matmul": _matmul,
    "linear": _linear,
    "embedding": _embedding,
    "unfold": _unfold,
}
DIMS = ("dim", "dims", "dim0", "dim1", "dim2", "dimension", "start_dim", "end_dim", "source", "destination")


def rule_of(op: Op) -> Callable | None:
    """How names pass through an operation; None when its results have none."""
    found = RULES.get(op.name)
    if found is None and isinstance(op, Elementwise):
        found = _elementwise
    if found is None and isinstance(op, Reduction):
        found = _reduce
    if found is None and isinstance(op, AlongDim):
        found = _keep
    return found


def bare(x: Any) -> Any:
    """The tensor without names: same memory, same graph, same record of changes."""
    if not isinstance(x, Named):
        return x
    out = wrap(x._array, x._node)
    storage = out._storage = storage_of(x)
    if x._view_of is not None:
        out._view_of = x._view_of
    elif storage.base is None:
        storage.base = weakref.ref(x)
    return out


def process(op: Op, operands: list, attributes: dict):
    """An operation on tensors of which some are named."""
    first = next(t for t in operands if isinstance(t, Value))
    attributes = {k: place_of(first, v) if k in DIMS else v for k, v in attributes.items()}
    rule = rule_of(op)
    try:
        names = rule(op, operands, attributes) if rule is not None else None
    except (IndexError, KeyError, TypeError, StopIteration):
        names = None  # bad arguments: the operation itself says what is wrong with them
    plain = [bare(t) for t in operands]
    try:
        out = execute(op, (plain,) if op.variadic else tuple(plain), attributes)
    except MlkitError as error:
        raise _with_names(error, op, operands) from None
    if isinstance(out, tuple):
        return tuple(name_result(t, names) for t in out)
    if plain[0] is not operands[0] and out._view_of is not None and out._view_of[0] is plain[0]:
        out._view_of = (operands[0], out._view_of[1])  # views belong to the tensor that the user holds
    return name_result(out, names)


def _with_names(error: MlkitError, op: Op, operands: list) -> MlkitError:
    """The same error with the operands' axis names."""
    lines = (error.details or "").splitlines()
    for label, shape, names in _rows(op, operands):
        text = str(shape)
        place = next((i for i, line in enumerate(lines) if line.startswith(label) and text in line), None)
        if place is None:
            lines.append(f"{label}: {labelled(shape, names)}")
        else:
            lines[place] = lines[place].replace(text, labelled(shape, names))
    try:
        return type(error)(error.sentence, "\n".join(lines), error.hint)
    except TypeError:
        return error


# --- methods that take names --------------------------------------------------------------------------------------------

_DROPPING = {"max", "min", "median", "nanmedian", "kthvalue", "mode", "quantile", "nanquantile"}


def _by_name(name: str, method: Callable) -> Callable:
    """A method of Tensor that takes names where it takes axis numbers."""
    signature = inspect.signature(method)
    listed = any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError:
            return method(self, *args, **kwargs)  # which says what is wrong
        for key, given in list(bound.arguments.items())[1:]:
            if key in (*DIMS, "axis", "axis0", "axis1"):
                bound.arguments[key] = place_of(self, given)
            elif listed and signature.parameters[key].kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[key] = tuple(place_of(self, d) for d in given)
        out = method(*bound.args, **bound.kwargs)
        dim = bound.arguments.get("dim")
        if name in _DROPPING and isinstance(dim, int) and self._array.ndim:
            place = dim % self._array.ndim
            short = (*self._names[:place], *self._names[place + 1 :])
            for t in out if isinstance(out, tuple) else (out,):
                name_result(t, short if t._array.ndim < self._array.ndim else self._names)
        return out

    return call


def _install() -> None:
    known = set(vars(Named))
    for name in dir(Tensor):
        method = inspect.getattr_static(Tensor, name)
        if name in known or name.startswith("_") or not inspect.isfunction(method):
            continue
        try:
            parameters = inspect.signature(method).parameters
        except (TypeError, ValueError):
            continue
        takes = any(p in (*DIMS, "axis", "axis0", "axis1") for p in parameters)
        if takes or name in ("permute", "flip", "size", "stride", "rot90"):
            setattr(Named, name, _by_name(name, method))


_install()


# --- modules ------------------------------------------------------------------------------------------------------------


def name_axes(module, input=None, output=None):
    """Give a module axis names: what comes in must agree with ``input``, what goes out is named ``output``."""
    if input is not None:
        wanted = tuple(input)

        def check(mod, args):
            if not args or not isinstance(args[0], Value):
                return None
            try:
                return (refine_names(args[0], wanted), *args[1:])
            except NameMismatch as error:
                raise NameMismatch(
                    f"{type(mod).__name__} expects an input with axes {wanted}, got {describe(args[0])}.",
                    error.sentence,
                    "Bring the axes in that order with x.align_to(...), or rename them.",
                ) from None

        module.register_forward_pre_hook(check)
    if output is not None:
        out_names = tuple(output)

        def name(mod, args, out):
            return rename(out, out_names, {}) if isinstance(out, Value) else out

        module.register_forward_hook(name)
    parts = ["(" + ", ".join(map(str, names)) + ")" if names is not None else "..." for names in (input, output)]
    module._axis_names = " -> ".join(parts)
    return module


def named(out: Value, names: Any) -> Value:
    """A tensor just made, with the names its maker was given."""
    if not isinstance(names, (tuple, list)):
        raise ArgumentError(f"names must be a tuple of words and None, got {names!r}.")
    return set_names(out, checked(names, out, "names"))
