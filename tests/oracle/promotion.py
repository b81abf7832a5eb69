"""The dtype of every operation for every pair of element types, with axes, without, and as Python numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

PATH = Path(__file__).with_name("torch_promotion.json")
DTYPES = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex64 complex128".split()
BINARY = (
    "add sub mul div floor_divide remainder fmod pow float_power atan2 maximum fmin eq lt logical_and bitwise_and "
    "bitwise_left_shift copysign hypot logaddexp where_ cat_ stack_ lerp_ addcmul_ ldexp heaviside gcd nextafter result_type"
).split()
UNARY = (
    "neg abs sqrt exp sin sigmoid floor round sign sum mean prod cumsum cumprod std amax argmax any sort_ median_ norm "
    "logical_not bitwise_not isnan square reciprocal relu clamp_ tril softmax_ nan_to_num angle real bincount_ logsumexp_ "
    "count_nonzero erf nansum diff"
).split()
SCALARS = {"True": True, "2": 2, "1.5": 1.5, "1j": 1j}


def call(library, name: str, *xs):
    """The operation ``name`` of a library on tensors or numbers."""
    special = {
        "where_": lambda a, b: library.where(library.tensor([True, False]), a, b),
        "cat_": lambda a, b: library.cat([a, b]),
        "stack_": lambda a, b: library.stack([a, b]),
        "lerp_": lambda a, b: library.lerp(a, b, 0.5),
        "addcmul_": lambda a, b: library.addcmul(a, a, b),
        "sort_": lambda a: library.sort(a)[0],
        "median_": lambda a: library.median(a),
        "clamp_": lambda a: library.clamp(a, 0, 1),
        "softmax_": lambda a: library.softmax(a, 0),
        "logsumexp_": lambda a: library.logsumexp(a, 0),
        "bincount_": lambda a: library.bincount(a),
    }
    return special[name](*xs) if name in special else getattr(library, name)(*xs)


def outcome(library, name: str, *xs) -> str:
    """The dtype of the result, or the class of the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = call(library, name, *xs)
    except Exception as error:
        kinds = (NotImplementedError, IndexError, TypeError, ValueError, RuntimeError)
        return "!" + next((k.__name__ for k in kinds if isinstance(error, k)), type(error).__name__)
    d = out if name == "result_type" else out.dtype
    return str(d).rpartition(".")[2]


def tables(library) -> dict[str, dict[str, str]]:
    """By operation, then by argument types."""

    def with_axes(d):
        return library.ones(2, dtype=getattr(library, d))

    def without(d):
        return library.ones((), dtype=getattr(library, d))

    out: dict[str, dict[str, str]] = {}
    for name in UNARY:
        out[name] = {d: outcome(library, name, with_axes(d)) for d in DTYPES}
    for name in BINARY:
        row = out[name] = {}
        for a in DTYPES:
            for b in DTYPES:
                row[f"{a},{b}"] = outcome(library, name, with_axes(a), with_axes(b))
                row[f"{a},0-d {b}"] = outcome(library, name, with_axes(a), without(b))
                row[f"0-d {a},{b}"] = outcome(library, name, without(a), with_axes(b))
            for word, number in SCALARS.items():
                row[f"{a},{word}"] = outcome(library, name, with_axes(a), number)
                row[f"0-d {a},{word}"] = outcome(library, name, without(a), number)
    out["promote_types"] = {
        f"{a},{b}": str(library.promote_types(getattr(library, a), getattr(library, b))).rpartition(".")[2]
        for a in DTYPES
        for b in DTYPES
    }
    out["can_cast"] = {
        f"{a},{b}": str(library.can_cast(getattr(library, a), getattr(library, b))) for a in DTYPES for b in DTYPES
    }
    return out


def packed(table: dict[str, dict[str, str]]) -> dict:
    """The table with each row as one word per entry, the words numbered."""
    words = sorted({w for row in table.values() for w in row.values()})
    number = {w: i for i, w in enumerate(words)}
    return {"words": words, "rows": {k: [number[w] for w in row.values()] for k, row in table.items()}}


def keep(library) -> None:
    PATH.write_text(json.dumps(packed(tables(library)), separators=(",", ":")) + "\n")


def kept(keys: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """PyTorch's table, under the keys of a table made the same way."""
    stored = json.loads(PATH.read_text())
    return {
        name: dict(zip(keys[name], (stored["words"][i] for i in row), strict=True))
        for name, row in stored["rows"].items()
    }
