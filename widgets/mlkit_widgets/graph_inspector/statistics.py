"""A few numbers that say what is in a tensor."""

from __future__ import annotations

from typing import Any


def statistics(tensor: Any) -> dict[str, float | int | str] | None:
    """Range, mean, spread, and the shares that point to trouble: zeros, NaN, infinities. None for a meta tensor.

    Computed in float64 over the finite elements.
    """
    import numpy as np

    if getattr(getattr(tensor, "device", None), "type", "cpu") == "meta":
        return None
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().numpy()
    array = np.asarray(tensor)
    if array.size == 0:
        return {"elements": 0}
    if array.dtype == bool:
        return {"true": f"{array.mean():.1%}"}
    values = array.astype(np.float64).ravel()
    finite = values[np.isfinite(values)]
    facts: dict[str, float | int | str] = {}
    if finite.size:
        facts = {
            "min": float(finite.min()),
            "max": float(finite.max()),
            "mean": float(finite.mean()),
            "std": float(finite.std()),
        }
    facts["zeros"] = f"{(values == 0).mean():.1%}"
    for name, count in (("NaN", int(np.isnan(values).sum())), ("infinite", int(np.isinf(values).sum()))):
        if count:
            facts[name] = count
    return facts
