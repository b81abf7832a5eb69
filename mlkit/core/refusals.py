"""What the door to all operations refuses, in words: devices and dtypes that do not go together, things that are no tensor.

Each function builds or raises an error that names the op, every side, and what to do; ``core/dispatch.py`` asks them
when a call cannot be.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.errors import DeviceError, DtypeError, MlkitError, UnsupportedDtype
from mlkit.core.value import MetaArray, Value
from mlkit.ops.registry import Op


def instead_of_tensor(x) -> str | None:
    """What is usually meant where something else than a tensor comes."""
    if x is None:
        return "It is what a function without a return gives: does forward end in `return`?"
    if isinstance(x, tuple):
        return "Take the part that is meant: an LSTM or GRU gives (output, state), so `output, _ = rnn(x)`."
    if isinstance(x, list):
        return "Make one tensor of it: mlkit.stack(...) for tensors, mlkit.tensor(...) for numbers."
    return None


#: inputs that say where, not what: they may lie on the CPU while the rest has no data
_PLACES = frozenset(("index", "indices"))


def all_on_meta(op: Op, operands: list, arrays: list) -> None:
    """Raise DeviceError when tensors with data come beside one on meta (numbers and indices may)."""
    for i, x in enumerate(arrays):
        if x.__class__ is MetaArray or not getattr(x, "ndim", 0):
            continue
        is_index = (
            op.name in ("index", "index_put")
            if op.variadic
            else op.inputs[i] in _PLACES or (op.name, i) == ("embedding", 0)
        )
        if not (is_index and x.dtype.kind in "iub"):
            raise different_devices(op, operands, arrays)


def _device_of(x) -> str:
    return "meta" if x.__class__ is MetaArray else str(backends.for_array(x).device_of(x))


def _rows(op: Op, operands: list, describe: Callable) -> list[tuple[str, bool, str]]:
    """Of each tensor among the operands: its name, whether it is a layer's parameter, and what is to say of it."""
    names = [f"tensors[{i}]" for i in range(len(operands))] if op.variadic else op.inputs
    return [
        (name, type(t).__name__ == "Parameter", describe(t))
        for name, t in zip(names, operands, strict=False)
        if isinstance(t, Value)
    ]


def _sides(op: Op, operands: list, describe: Callable, more: Callable) -> tuple[str, str, list[tuple[str, bool, str]]]:
    """What differs, for an error: ("cpu and meta", a line for each operand, the rows)."""
    rows = _rows(op, operands, describe)
    lines = [
        f"{name}: {said}{' (a parameter)' if parameter else ''}"
        for (name, parameter, _), (_, _, said) in zip(rows, _rows(op, operands, more), strict=True)
    ]
    return " and ".join(dict.fromkeys(said for _, _, said in rows)), "\n".join(lines), rows


def different_devices(op: Op, operands: list, arrays: list) -> DeviceError:
    found, lines, rows = _sides(
        op,
        operands,
        lambda t: _device_of(t._array),
        lambda t: f"{tuple(t._array.shape)} on {_device_of(t._array)}",
    )
    parameters = {place for _, is_parameter, place in rows if is_parameter}
    name, _, place = next((row for row in rows if row[2] == "cpu"), rows[0])
    other = next(p for _, _, p in rows if p != place)
    if "meta" in parameters:
        hint = (
            "The parameters are on meta: shapes without data. Give them memory with model.to_empty(device=...), then load "
            "or set their values."
        )
    elif "meta" in found:
        hint = (
            'A tensor on meta has a shape and no data. Make all of them on one device: device="meta" for shapes alone.'
        )
    elif parameters == {place}:
        hint = f'Move the model to the input: model.to("{other}"), before its optimizer is made.'
    else:
        hint = f'Move {name}: {name}.to("{other}").'
    return DeviceError(
        f"{op.name}: expected all tensors to be on the same device, but found at least two devices, {found}.",
        lines,
        hint,
    )


_CASTS = {"float16": "half", "bfloat16": "bfloat16", "float32": "float", "float64": "double", "int64": "long"}


def different_dtypes(op: Op, operands: list) -> DtypeError:
    def dtype_of(t):
        return dtypes.from_numpy_dtype(t._array.dtype).name

    found, lines, rows = _sides(op, operands, dtype_of, lambda t: f"{dtype_of(t)} {tuple(t._array.shape)}")
    own = next((d for _, parameter, d in rows if parameter), None)
    if own is not None:
        name, d = next((name, d) for name, _, d in rows if d != own)
        hint = f"Give the layer its own type: {name}.{_CASTS.get(own, f'to(mlkit.{own})')}()"
        hint += f", or change the model: model.{_CASTS[d]}()." if d in _CASTS and d != "int64" else "."
    else:
        hint = "Convert one: x.float(), or x.to(other.dtype)."
    return DtypeError(f"{op.name}: expected all tensors to have the same dtype, but got {found}.", lines, hint)


def refuse(op: Op, operands: list, kinds: str) -> None:
    """Raise UnsupportedDtype when an operand is of one of those kinds."""
    for t in operands:
        if isinstance(t, Value):
            kind = t._array.dtype.kind
        elif t is None:
            continue
        else:
            kind = "bifc"[dtypes.scalar_category(t)]
        if kind in kinds:
            name = str(t.dtype) if isinstance(t, Value) else type(t).__name__
            raise UnsupportedDtype(
                f"{op.name}: not implemented for {name}.",
                hint="Convert first: x.float(), x.long()." + (" Or use ~x and logical_xor." if kind == "b" else ""),
            )


def explain(op: Op, arrays: list, attributes: dict, error: Exception) -> None:
    """Let the op's infer rule say what is wrong, in better words than the array library's."""
    try:
        op.infer(arrays, **attributes) if op.variadic else op.infer(*arrays, **attributes)
    except MlkitError as better:
        raise better from None
    except Exception:  # noqa: S110 - infer has nothing to add: the first error goes on
        pass
    for x in arrays:
        if isinstance(x, np.ndarray) and x.dtype.kind == "b" and isinstance(error, TypeError):
            raise DtypeError(f"{op.name}: not possible for bool tensors.", str(error), "Use x.int() or ~x.") from None
