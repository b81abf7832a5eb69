"""A tensor as text, the way PyTorch writes it: four digits, one format for all elements, long axes shortened."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.value import Leaf, LevelArray, MetaArray, Value


@dataclass
class Options:
    """How tensors print; change with ``mlkit.set_printoptions``."""

    precision: int = 4
    threshold: int = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


options = Options()


def set_printoptions(
    precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None
) -> None:
    """Set how tensors print: digits, when to shorten, how many items at each end, line width, scientific notation."""
    if profile == "default":
        options.__dict__.update(Options().__dict__)
    elif profile == "short":
        options.__dict__.update(Options(precision=2, edgeitems=2).__dict__)
    elif profile == "full":
        options.__dict__.update(Options(threshold=1 << 62).__dict__)
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    options.__dict__.update({k: v for k, v in given.items() if v is not None})
    options.sci_mode = sci_mode if sci_mode is not None or profile else options.sci_mode


def get_printoptions() -> dict:
    """How tensors print, as a dictionary."""
    return dict(options.__dict__)


def _formatter(values: np.ndarray):
    """A function value -> text of one width for all ``values``."""
    kind = values.dtype.kind
    if kind == "b":
        return lambda v: ("True" if v else "False").rjust(5 if (~values).any() else 4)
    if kind in "iu":
        width = max((len(str(v)) for v in values.reshape(-1).tolist()), default=1)
        return lambda v: str(int(v)).rjust(width)
    if kind == "c":
        real, imag = _formatter(values.real), _formatter(np.abs(values.imag))
        return lambda v: f"{real(v.real)}{'-' if math.copysign(1, v.imag) < 0 else '+'}{imag(abs(v.imag)).strip()}j"
    wide = values.astype(np.float64)
    finite = wide[np.isfinite(wide) & (wide != 0)]
    size = np.abs(finite)
    digits = options.precision
    whole = bool((finite == np.ceil(finite)).all())
    scientific = False
    if finite.size:
        top, bottom = float(size.max()), float(size.min())
        scientific = top / bottom > 1000 or top > 1e8 or (not whole and bottom < 1e-4)
    if options.sci_mode is not None:
        scientific = options.sci_mode

    def write(v: float) -> str:
        if not math.isfinite(v):
            return str(v)
        if scientific:
            return f"{v:.{digits}e}"
        return f"{v:.0f}." if whole else f"{v:.{digits}f}"

    width = max((len(write(v)) for v in finite.tolist()), default=1)  # zeros, NaN and infinities do not count
    return lambda v: write(float(v)).rjust(width)


def _summarised(shape, size) -> bool:
    return size > options.threshold


def _edges(array: np.ndarray, shorten: bool) -> np.ndarray:
    """Only the values that will be shown."""
    if not shorten:
        return array
    n = options.edgeitems
    for axis in range(array.ndim):
        if array.shape[axis] > 2 * n:
            array = np.concatenate(
                [array.take(range(n), axis), array.take(range(array.shape[axis] - n, array.shape[axis]), axis)], axis
            )
    return array


def _rows(array, write, indent: int, shorten: bool) -> str:
    n = options.edgeitems
    cut = shorten and array.shape[0] > 2 * n if array.ndim else False
    if array.ndim == 0:
        return write(array.item() if array.dtype.kind != "V" else float(array))
    if array.ndim == 1:
        parts = [write(v) for v in (array[:n] if cut else array).tolist()]
        if cut:
            parts += [" ..."] + [write(v) for v in array[-n:].tolist()]
        width = max((len(p) for p in parts), default=1) + 2
        per_line = max(1, (options.linewidth - indent) // width)
        lines = [parts[i : i + per_line] for i in range(0, len(parts), per_line)] or [[]]
        return "[" + (",\n" + " " * (indent + 1)).join(", ".join(line) for line in lines) + "]"
    first = [_rows(row, write, indent + 1, shorten) for row in (array[:n] if cut else array)]
    if cut:
        first += ["..."] + [_rows(row, write, indent + 1, shorten) for row in array[-n:]]
    separator = "," + "\n" * (array.ndim - 1) + " " * (indent + 1)
    return "[" + separator.join(first) + "]"


def tensor_text(x: Value, name: str = "tensor") -> str:
    """``tensor([...], dtype=..., grad_fn=<...>)``."""
    array = x._array
    if isinstance(array, LevelArray):
        return array.text(lambda t: tensor_text(t, name))
    d = dtypes.from_numpy_dtype(array.dtype)
    suffix = []
    if array.__class__ is MetaArray:
        body = "..."
        suffix.append("device='meta'")
        suffix.append(f"size={tuple(array.shape)}")
    else:
        place = backends.for_array(array).device_of(array)
        shorten = _summarised(array.shape, array.size)
        if isinstance(array, np.ndarray):
            shown = array
        else:
            shown = backends.for_array(array).to_numpy(array)
        if d.name == "bfloat16":
            shown = shown.astype(np.float32)
        if array.size == 0:
            body = "[]"
            if array.shape != (0,):
                suffix.append(f"size={tuple(array.shape)}")
        else:
            body = _rows(shown, _formatter(_edges(shown, shorten)), len(name) + 1, shorten)
        if place.type != "cpu":
            suffix.append(f"device='{place}'")
    usual = (dtypes.get_default_dtype(), dtypes.int64, dtypes.bool_, dtypes.get_default_dtype().to_complex())
    if d not in usual or (array.size == 0 and d is not dtypes.get_default_dtype()):
        suffix.append(f"dtype={d}")
    if x._names is not None:
        suffix.append(f"names={x._names}")
    node = x._node
    if node is not None:
        if isinstance(node, Leaf):
            suffix.append("requires_grad=True")
        else:
            suffix.append(f"grad_fn=<{node.name()}>")
    elif x._seen_without_grad and x.requires_grad:
        suffix.append("requires_grad=True")
    text = f"{name}({body}"
    for part in suffix:  # on a line of its own where it would not fit
        line = text[text.rfind("\n") + 1 :]
        fits = len(line) + len(part) + 3 <= options.linewidth
        text += f", {part}" if fits else ",\n" + " " * (len(name) + 1) + part
    return text + ")"
