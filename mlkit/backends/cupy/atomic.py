"""Combining values into places that may repeat, by compare-and-swap: CuPy has no multiply.at, and its maximum.at
rounds float64 to float32."""

from __future__ import annotations

from functools import cache

import numpy as np

from mlkit.core.errors import UnsupportedDtype

#: the type a GPU can swap, and the one that the combination is computed in
_WORD = {4: "unsigned int", 8: "unsigned long long"}
_BETTER = {  # whether the new value replaces the old: NaN stays, as in PyTorch
    "maximum": "value > old || value != value",
    "minimum": "value < old || value != value",
}


@cache
def _kernel(xp, ufunc: str, itemsize: int):
    word = _WORD[itemsize]
    new = "old * value" if ufunc == "multiply" else f"({_BETTER[ufunc]}) && old == old ? value : old"
    return xp.ElementwiseKernel(
        "T value, int64 place",
        "raw T out",
        f"""
        {word}* at = ({word}*)&out[place];
        {word} seen = *at, assumed;
        do {{
            assumed = seen;
            T old;
            memcpy(&old, &assumed, sizeof(T));
            T next = {new};
            {word} bits;
            memcpy(&bits, &next, sizeof(T));
            if (bits == assumed) break;
            seen = atomicCAS(at, assumed, bits);
        }} while (seen != assumed);
        """,
        f"mlkit_{ufunc}_at_{itemsize}",
    )


def combine(xp, ufunc: str, out, place: tuple, values) -> None:
    """``out[place] = ufunc(out[place], values)`` in place, every value counted where places repeat.

    ``ufunc`` is "multiply", "maximum" or "minimum"; ``place`` as many index arrays as ``out`` has axes, which
    broadcast to the shape of ``values``. float16, bfloat16, small integers and bool are combined in a wider type.
    """
    if out.dtype.kind == "c":
        raise UnsupportedDtype(
            f"{ufunc} at places that repeat: not implemented for {out.dtype} on a GPU.", hint="Use x.cpu()."
        )
    wide = {"f": np.float32, "V": np.float32, "b": np.int32, "i": np.int32, "u": np.int64}
    work = out.dtype if out.dtype.itemsize in _WORD and out.dtype.kind in "fi" else np.dtype(wide[out.dtype.kind])
    target = xp.ascontiguousarray(out, dtype=work)
    flat = xp.zeros((), np.int64)
    for index, size in zip(place, out.shape, strict=True):
        flat = flat * size + index
    values = xp.asarray(values, dtype=work)
    if values.size:
        _kernel(xp, ufunc, work.itemsize)(values, flat, target.reshape(-1))
    if target is not out:
        out[...] = target.astype(out.dtype)
