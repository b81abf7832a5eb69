"""A tensor as HTML: what it is, its statistics, a histogram, a picture, and its gradient beside it."""

from __future__ import annotations

import base64
import weakref
from typing import Any

import numpy as np

from mlkit.core.frames import file_text
from mlkit.display import svg
from mlkit.display.markup import card, escape, number, shape_text, size_of
from mlkit.display.picture import picture, still
from mlkit.display.sample import Statistics, dtype_name, raw, statistics, to_numpy


def html(tensor: Any) -> str:
    """The whole display of a tensor (or of a bare NumPy or CuPy array)."""
    return card("tensor", body(tensor))


def body(tensor: Any) -> str:
    """The display without its card, for use inside another one."""
    array = raw(tensor)
    head = _head(tensor)
    if array is None:
        return f'{head}<p class="note">on the meta device: a shape and a dtype, no data</p>'
    gradient = _gradient(tensor)
    gradient_array = raw(gradient) if gradient is not None else None
    # Two pictures share what one may take, so that a display stays under 60 kB.
    parts = [
        _part(array, "values", 20_000 if gradient_array is None else 16_000, "" if gradient_array is None else "value")
    ]
    if gradient_array is not None:
        parts.append(_part(gradient_array, "gradient", 13_000, "gradient"))
    return head + f'<div class="row">{"".join(parts)}</div>{_words(tensor, array)}{_line_that_made(tensor)}'


def mimebundle(tensor: Any) -> dict[str, str]:
    """A picture for formats without HTML (nbconvert's PDF): ``image/png`` where the tensor is drawn as pixels."""
    array = raw(tensor)
    data = None if array is None else still(array)
    return {} if data is None else {"image/png": base64.b64encode(data).decode("ascii")}


def attach_tokenizer(tensor: Any, tokenizer: Any) -> Any:
    """Have a tensor of token ids show its text too; gives the tensor back.

    ``tokenizer``: anything with ``decode(list of int) -> str``. It belongs to this tensor alone, not to what is
    computed from it.

    >>> import mlkit
    >>> class Letters:
    ...     def decode(self, ids):
    ...         return "".join(chr(97 + i) for i in ids)
    >>> "abba" in attach_tokenizer(mlkit.tensor([[0, 1, 1, 0]]), Letters())._repr_html_()
    True
    """
    if not callable(getattr(tokenizer, "decode", None)):
        raise TypeError(f"attach_tokenizer: a tokenizer has decode(ids), and {type(tokenizer).__name__} has none")
    array = raw(tensor)
    if array is None or array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        raise ValueError(
            f"attach_tokenizer: expected integers of shape [length] or [batch, length], got {dtype_name(tensor)} "
            f"{shape_text(tensor.shape)}"
        )
    key = id(tensor)
    _tokenizers[key] = (weakref.ref(tensor, lambda _: _tokenizers.pop(key, None)), tokenizer)
    return tensor


#: identity of a tensor -> (weak reference to it, tokenizer); tensors compare by value, so they are no keys themselves
_tokenizers: dict[int, tuple[weakref.ref[Any], Any]] = {}
LINES, LETTERS = 8, 400  # of decoded text


def _words(tensor: Any, array: Any) -> str:
    """The text of token ids."""
    known = _tokenizers.get(id(tensor))
    if known is None or known[0]() is not tensor:
        return ""
    tokenizer = known[1]
    ids = to_numpy(array.reshape(1, -1)[:, :LETTERS] if array.ndim == 1 else array[:LINES, :LETTERS])
    lines = []
    for row in ids.tolist():
        try:
            lines.append(escape(tokenizer.decode(row), LETTERS))
        except Exception as error:
            lines.append(escape(f"({type(error).__name__}: {error})", LETTERS))
    more = "" if array.ndim == 1 or len(array) <= LINES else f", the first {LINES} of {number(len(array))}"
    text = "\n".join(lines)
    return f'<h4>decoded text{more}</h4><pre class="source">{text}</pre>'


def _line_that_made(tensor: Any) -> str:
    """The user's line, known for what an operation made that wants a gradient."""
    where = getattr(tensor, "made_at", None)
    code = (where.part or where.code) if where else ""
    return f'<p class="note">made by <code>{escape(code, 200)}</code></p>' if code else ""


def _gradient(tensor: Any) -> Any:
    # A leaf's, or one that was kept on purpose; asking a non-leaf for .grad would warn.
    if getattr(tensor, "is_leaf", True) or getattr(tensor, "_retains_grad", False):
        return getattr(tensor, "grad", None)
    return None


def headline(tensor: Any) -> str:
    """``float32 [64, 3, 32, 32] cpu grad`` as plain text."""
    names = getattr(tensor, "_names", None)
    axes = [name or "" for name in names] if names else None
    words = [dtype_name(tensor), shape_text(tensor.shape, axes), _device(tensor)]
    if getattr(tensor, "requires_grad", False):
        words.append("grad")
    return " ".join(words)


def _device(tensor: Any) -> str:
    device = getattr(tensor, "device", "cpu")
    return f"cuda:{device.id}" if hasattr(device, "id") else str(device)


def _head(tensor: Any) -> str:
    dtype, rest = headline(tensor).split(" ", 1)
    grad = ""
    if rest.endswith(" grad"):
        rest, grad = rest[: -len(" grad")], ' <span class="tag">grad</span>'
    name = type(tensor).__name__
    if name == "Parameter" and not getattr(tensor, "requires_grad", True):
        grad = ' <span class="tag">frozen</span>'
    kind = f'<span class="soft">{escape(name)}</span> ' if name not in ("Tensor", "ndarray") else ""
    node = getattr(tensor, "grad_fn", None)
    made_by = f' <span class="tag">{escape(_made_by(node), 80)}</span>' if node is not None else ""
    itemsize = getattr(tensor, "itemsize", None) or _element_size(tensor)
    total = int(np.prod(tensor.shape, dtype=np.int64)) if len(tensor.shape) else 1
    size = f' <span class="soft">{size_of(total * itemsize)}</span>' if total > 1 else ""
    return f'<p class="head">{kind}<b>{escape(dtype)}</b> {escape(rest)}{grad}{made_by}{size}</p>'


def _made_by(node: Any) -> str:
    """The node's name, and the user's line that made it where that is known."""
    name = getattr(node, "name", None)
    name = name() if callable(name) else name
    where = getattr(node, "where", None)
    place = f" at {file_text(where[0])}:{where[1]}" if where else ""
    return f"{name or type(node).__name__}{place}"


def _element_size(tensor: Any) -> int:
    size = getattr(tensor, "element_size", None)
    return int(size()) if callable(size) else 1


def _part(array: Any, name: str, budget: int, title: str) -> str:
    found = statistics(array)
    small = found.total <= 12
    parts = [f"<h4>{title}</h4>"] if title else []
    if found.total > 1:
        parts.append(_statistics(found, brief=small))
    constant = not small and found.minimum is not None and found.low == found.high and not (found.nan or found.inf)
    if found.looked_at > 12 and found.minimum is None:
        parts.append('<p class="note">no finite value</p>')
    elif constant:
        parts.append(f'<p class="note">every value is {number(found.minimum)}</p>')
    else:
        figures = ""
        if found.counts and not small:
            chart = svg.histogram(found.counts, found.low, found.high, mean=found.mean)
            alt = (
                f"histogram of the {name}, from {number(found.low)} to {number(found.high)}, mean {number(found.mean)}"
            )
            figures = f"<figure>{svg.embed(chart, alt, 216, 64)}</figure>"
        figures += picture(array, budget, name)
        parts.append(f'<div class="figures">{figures}</div>')
    return f'<div class="part">{"".join(parts)}</div>'


def _statistics(found: Statistics, brief: bool = False) -> str:
    items = []
    if found.minimum is not None:
        if found.kind == "b":
            items.append(("true", f"{number(found.looked_at - found.zeros)} of {number(found.looked_at)}"))
        else:
            for label, value in (
                ("min", found.minimum),
                ("mean", found.mean),
                ("max", found.maximum),
                ("std", found.std),
            ):
                items.append((label, number(value)))
            if found.kind == "c":
                items[0] = ("of magnitudes: min", items[0][1])
    if found.zeros and found.kind != "b":
        items.append(("zeros", _share(found.zeros, found)))
    spans = [f"<span><i>{label}</i> {value}</span>" for label, value in items]
    spans += [
        f'<span class="warn">{label} {_share(value, found)}</span>'
        for label, value in (("NaN", found.nan), ("Inf", found.inf))
        if value
    ]
    note = ""
    if not found.exact:
        note = f'<p class="note">sampled: {number(found.looked_at)} of {number(found.total)} values, spread evenly</p>'
    return f'<p class="stats">{" ".join(spans)}</p>{note}'


def _share(value: int, found: Statistics) -> str:
    if found.exact:
        percent = f" ({100 * value / found.looked_at:.3g} %)" if found.looked_at > 100 else ""
        return number(value) + percent
    return f"{100 * value / found.looked_at:.3g} %"
