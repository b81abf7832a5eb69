"""Small pictures for the page: a tensor's plane to point at, and thumbnails for the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

SIDE = 160
"""Rows and columns that a plane has at most; of larger tensors every k-th is shown, and the page says so."""


def plane(array: np.ndarray, lead: Sequence[int]) -> dict[str, Any]:
    """Two axes of a tensor, at the places ``lead`` of the others: numbers for the page to draw and to point at."""
    shape = array.shape
    rows, columns = (1, 1) if not shape else (1, shape[0]) if len(shape) == 1 else shape[-2:]
    at = (
        tuple(min(max(0, int(i)), size - 1) for i, size in zip(lead, shape[:-2], strict=False))
        if len(shape) > 2
        else ()
    )
    at += (0,) * (max(0, len(shape) - 2) - len(at))
    flat = array[at] if at else array
    flat = np.asarray(np.abs(flat) if flat.dtype.kind == "c" else flat).reshape(rows, columns)
    step = [max(1, -(-rows // SIDE)), max(1, -(-columns // SIDE))]
    data = np.ascontiguousarray(flat[:: step[0], :: step[1]], dtype=np.float32)
    finite = data[np.isfinite(data)]
    return {
        "shape": list(shape),
        "lead": list(at),
        "rows": rows,
        "columns": columns,
        "step": step,
        "low": float(finite.min()) if finite.size else 0.0,
        "high": float(finite.max()) if finite.size else 0.0,
        "data": data.reshape(-1),
    }


def thumbnail(array: np.ndarray | None, side: int = 20) -> str | None:
    """A tensor as a tiny picture (a data address): its first map, thinned."""
    from mlkit.display import png
    from mlkit.display.picture import GAP, _enlarge, _indices
    from mlkit.display.sample import numbers

    if array is None or not array.size:
        return None
    flat = array
    while flat.ndim > 2:
        flat = flat[0]
    if flat.ndim < 2:  # a vector as a block, so that it can be seen at this size
        flat = flat.reshape(-1)
        wide = int(np.ceil(np.sqrt(flat.size)))
        flat = np.resize(flat, (max(1, -(-flat.size // wide)), wide))
    step = [max(1, -(-size // side)) for size in flat.shape]
    small = numbers(np.asarray(flat[:: step[0], :: step[1]]))
    index, palette, _ = _indices(small, array.dtype.kind)
    scale = max(1, side // max(index.shape))
    return png.data_uri(png.encode(_enlarge(index, scale) if scale >= 3 else index, palette, GAP))
