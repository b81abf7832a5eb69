"""Where the first NaN or infinity of a run was born."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def first(inspection: Any) -> dict[str, Any] | None:
    """The first operation that made a NaN out of numbers; where there is none, the first that made an infinity."""
    had: dict[str, str | None] = {}
    infinite: dict[str, Any] | None = None

    def state(key: str) -> str | None:
        if key not in had:
            had[key] = _state(inspection.array(key))
        return had[key]

    for node in inspection.graph.nodes:
        for output in node.outputs:
            kind = state(output)
            if kind is None or any(isinstance(a, float) and not math.isfinite(a) for a in _numbers(node)):
                continue
            before = {state(key) for key in node.inputs}
            if "NaN" in before or (kind == "Inf" and "Inf" in before):
                continue
            array = inspection.array(output)
            bad = np.isnan(array) if kind == "NaN" else np.isinf(array)
            place = [int(i) for i in np.argwhere(bad)[0]] if array.ndim else []
            line = node.source or {}
            where = f" ({line['file']}, line {line['line']})" if line.get("line") else ""
            inside = f" in {node.module}" if node.module else ""
            found = {
                "node": node.id,
                "value": output,
                "kind": kind,
                "count": int(bad.sum()),
                "index": place,
                "words": f"the first {kind} comes from {node.op}{inside}{where}",
            }
            if kind == "NaN":
                return found
            infinite = infinite or found
    return infinite


def _numbers(node: Any) -> list[Any]:
    return [*node.attributes.values(), *(a for a in node.arguments if not isinstance(a, str))]


def _state(array: np.ndarray | None) -> str | None:
    if array is None or array.dtype.kind not in "fcV" or not array.size:
        return None
    if array.dtype.kind == "V" or array.dtype.itemsize < 4:
        array = array.astype(np.float32)
    if bool(np.isfinite(array).all()):
        return None
    return "NaN" if bool(np.isnan(array).any()) else "Inf"
