"""What if a number, a channel or a whole tensor were another: the recorded run done again on copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlkit.autograd.grad_mode import no_grad
from mlkit.core import backend as backends
from mlkit.core.errors import ArgumentError, DataError, DimensionError
from mlkit.core.value import wrap


@dataclass(frozen=True)
class Change:
    """One thing to change.

    Args:
        target: Which value: an input's name, a parameter's, a module's path (its output), a node or value id.
        index: Which number, one integer per axis; without index and channel it is the whole tensor.
        channel: Which slice along ``dim``.
        dim: The axis of channels; by default 0 for weights, 1 for images and (batch, feature), else the last.
        set, scale, add: What becomes of the numbers; exactly one of them. ``scale=0`` removes a channel.

    >>> Change("features.0", channel=3, scale=0)
    Change(target='features.0', index=None, channel=3, dim=None, set=None, scale=0, add=None)
    """

    target: str
    index: Sequence[int] | int | None = None
    channel: int | None = None
    dim: int | None = None
    set: float | None = None
    scale: float | None = None
    add: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("set", "scale", "add") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ArgumentError(f"a change is one of set, scale and add, got {' and '.join(given) or 'none'}.")
        number = getattr(self, given[0])
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise ArgumentError(f"{given[0]} takes a number, got {number!r}.")
        if self.index is not None and self.channel is not None:
            raise ArgumentError("a change is of one index or of one channel, not of both.")

    def place(self, inspection: Any, key: str) -> tuple:
        """The part of the tensor that changes, as an index."""
        shape = inspection.graph.values[key].shape
        if self.index is not None:
            return inspection.index(key, self.index)
        if self.channel is None:
            return (Ellipsis,)
        if not shape:
            raise DimensionError(f"{inspection.label(key)} is one number and has no channels.")
        axis = channel_axis(inspection, key) if self.dim is None else self.dim
        if not -len(shape) <= axis < len(shape):
            raise DimensionError(f"dim {axis} is not one of the {len(shape)} axes of {inspection.label(key)}.")
        if not -shape[axis] <= self.channel < shape[axis]:
            raise DimensionError(
                f"channel {self.channel} is outside axis {axis}, which has {shape[axis]} places.",
                f"shape: {list(shape)}",
            )
        return (slice(None),) * (axis % len(shape)) + (self.channel % shape[axis],)

    def apply(self, array: Any, place: tuple) -> Any:
        """A changed copy of an array."""
        out = array.copy()
        if self.set is not None:
            out[place] = self.set
        elif self.scale is not None:
            out[place] = (out[place] * self.scale).astype(out.dtype)
        else:
            out[place] = (out[place] + self.add).astype(out.dtype)
        return out

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without what is None."""
        fields = ("target", "index", "channel", "dim", "set", "scale", "add")
        out = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        if "index" in out and not isinstance(out["index"], int):
            out["index"] = [int(i) for i in out["index"]]
        return out


def channel_axis(inspection: Any, key: str) -> int:
    """Where the channels of a value are: 0 for weights, 1 for (batch, channel, ...) of two, four and five axes."""
    value = inspection.graph.values[key]
    rank = len(value.shape)
    if value.kind in ("parameter", "buffer"):
        return 0
    return 1 if rank in (2, 4, 5) else max(0, rank - 1)


class WhatIf:
    """The run as it would have been: ``value(name)``, ``relative`` (value id -> how much it changed), ``outputs``."""

    def __init__(self, inspection: Any, changes: tuple[Change, ...], values: dict[str, Any]):
        self.inspection, self.changes, self._values = inspection, changes, values
        self.relative: dict[str, float] = {key: self._distance(key) for key in values}

    def value(self, name: str) -> Any:
        """The tensor as it would be; one that nothing reaches is the recorded one."""
        key = self.inspection.find(name)
        return self._values[key] if key in self._values else self.inspection.value(key)

    @property
    def changed(self) -> list[str]:
        """The values that are not as they were, in the order of the run."""
        return [key for key, distance in self.relative.items() if distance > 0]

    def _distance(self, key: str) -> float:
        old, new = self.inspection.array(key), self._values[key]._array
        new = backends.for_array(new).to_numpy(new)
        if old.shape != new.shape:
            return float("inf")
        if old.dtype.kind not in "fV":
            return float((old != new).mean()) if old.size else 0.0
        before, after = old.astype(np.float64), new.astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            size, difference = float(np.sqrt((before**2).sum())), float(np.sqrt(((after - before) ** 2).sum()))
        if not np.isfinite(difference):
            return float("inf")
        return 0.0 if difference == 0 else difference / size if size else float("inf")

    def __repr__(self) -> str:
        ends = [key for key in self.inspection.graph.outputs if self.relative.get(key)]
        words = (
            f"the output changes by {self.relative[ends[0]]:.3g} of its size" if ends else "the output stays the same"
        )
        return f"<WhatIf: {len(self.changed)} of {len(self.inspection.graph.values)} values change, {words}>"


def imagine(inspection: Any, changes: tuple[Change, ...]) -> WhatIf:
    """Do the recorded operations again where something before them has changed. Python's own ifs are not asked again."""
    wanted: dict[str, list[tuple[Change, tuple]]] = {}
    for change in changes:
        key = inspection.find(change.target)
        wanted.setdefault(key, []).append((change, change.place(inspection, key)))
    values: dict[str, Any] = {}

    def settle(key: str, array: Any) -> None:
        for change, place in wanted.get(key, ()):
            array = change.apply(array, place)
        values[key] = wrap(array)

    with no_grad():
        for key in wanted:
            if key not in inspection.producer:
                settle(key, inspection.value(key)._array)
        for node in inspection.graph.nodes:
            touched = any(key in values for key in node.inputs)
            if not touched and not any(output in wanted for output in node.outputs):
                continue
            if touched:
                try:
                    made = inspection.run(node, inspection.operands(node, values))
                except Exception as error:
                    raise DataError(f"{node.op} cannot be done with that change: {error}") from error
            else:
                made = tuple(inspection.graph._tensors[output] for output in node.outputs)
            for output, tensor in zip(node.outputs, made):
                if output in wanted:
                    settle(output, tensor._array)
                elif not _same(inspection.graph._tensors[output]._array, tensor._array):
                    values[output] = tensor
    return WhatIf(inspection, tuple(changes), values)


def _same(old: Any, new: Any) -> bool:
    xp = backends.for_array(new).m.xp
    if old.shape != new.shape:
        return False
    # bit for bit: what has not moved stops here, NaN included
    return bool(xp.all((old == new) | ((old != old) & (new != new))))
