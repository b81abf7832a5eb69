"""Arrays between kernel and browser: one half of a format, the other half is `shared/codec.ts`.

A message is a JSON tree in which an array is replaced by `{"$array": k, "dtype": "float32", "shape": [3, 4]}`, and its
bytes are the k-th binary buffer of the message: little-endian, C order, no padding. A lone NaN or infinity, which JSON
does not have, becomes null; inside an array it stays what it is.

JavaScript has no comfortable 64-bit integer, so int64 and uint64 travel as int32 when every value fits, as float64 when
that is exact, and otherwise as they are (the browser then reads a BigInt64Array). NumPy is imported only when an array
is met, so that this module loads without it.
"""

from __future__ import annotations

import functools
import math
import sys
from typing import Any

DTYPES = frozenset(
    "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64".split(),
)
_EXACT = 2**53  # beyond this float64 skips integers


def pack(tree: Any) -> tuple[Any, list[bytes]]:
    """Replace each array in `tree` (dicts, lists, tuples of JSON values and NumPy arrays) by a reference to a buffer.

    Returns the JSON tree and the buffers. Dtypes that have no JavaScript reading raise a TypeError.

    >>> import numpy as np
    >>> pack({"x": np.array([1, 2, 3])})
    ({'x': {'$array': 0, 'dtype': 'int32', 'shape': [3]}}, [b'\\x01\\x00\\x00\\x00\\x02\\x00\\x00\\x00\\x03\\x00\\x00\\x00'])
    """
    buffers: list[bytes] = []
    return _pack(tree, buffers), buffers


def _pack(value: Any, buffers: list[bytes]) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):  # NumPy's float64 too
        return float(value) if math.isfinite(value) else None  # JSON has no NaN; a browser refuses the whole message
    if isinstance(value, dict):
        return {str(key): _pack(item, buffers) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pack(item, buffers) for item in value]
    if not hasattr(value, "__array_interface__"):
        raise TypeError(f"a {type(value).__name__} cannot be sent to the browser; send JSON values or NumPy arrays")
    import numpy as np

    array = np.asarray(value)
    if isinstance(value, np.generic):
        return _pack(array.item(), buffers)
    array = _narrow(array)
    name = _name(array.dtype)
    if name not in DTYPES:
        raise TypeError(f"an array of dtype {array.dtype} cannot be sent to the browser; cast it to float32 first")
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))
    buffers.append(np.ascontiguousarray(array).tobytes())
    return {"$array": len(buffers) - 1, "dtype": name, "shape": list(array.shape)}


@functools.cache
def _name(dtype: Any) -> str:
    return dtype.name  # which NumPy puts together anew each time


def _narrow(array: Any) -> Any:
    if array.dtype.kind not in "iu" or array.dtype.itemsize != 8:
        return array
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if -(2**31) <= low and high < 2**31:
        return array.astype("int32")
    if -_EXACT <= low and high <= _EXACT:
        return array.astype("float64")
    return array


def unpack(tree: Any, buffers: list[Any]) -> Any:
    """Put the arrays back: the inverse of `pack` (64-bit integers come back as the type they travelled in).

    >>> import numpy as np
    >>> unpack(*pack([np.float32(2), np.zeros((2, 0))]))
    [2.0, array([], shape=(2, 0), dtype=float64)]
    """
    if isinstance(tree, list):
        return [unpack(item, buffers) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "$array" not in tree:
        return {key: unpack(item, buffers) for key, item in tree.items()}
    import numpy as np

    index, name = tree["$array"], tree.get("dtype")
    shape = tuple(int(size) for size in tree.get("shape") or ())
    if name not in DTYPES:
        raise ValueError(f"a message names the dtype {name!r}, which is none of {', '.join(sorted(DTYPES))}")
    if not isinstance(index, int) or not 0 <= index < len(buffers):
        raise ValueError(f"a message names buffer {index!r} but carries {len(buffers)}")
    dtype = np.dtype(name).newbyteorder("<")
    raw = bytes(buffers[index])
    expected = int(math.prod(shape)) * dtype.itemsize
    if len(raw) != expected:
        raise ValueError(f"an array of shape {shape} and dtype {name} has {expected} bytes; {len(raw)} came")
    return np.frombuffer(raw, dtype=dtype).reshape(shape).astype(np.dtype(name))
