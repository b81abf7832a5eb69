"""``mlkit.summary(model, input)``: every layer with its output shape, parameters, multiply-adds and memory.

The model is not touched: its modules are cloned without their data, the clones' parameters live on the ``meta`` device,
and hooks on the clones note what went in and out. So a network of any size is summed up in milliseconds, batch
statistics and random numbers stay as they were, and a background training of the same model does not notice.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlkit.core import events
from mlkit.core.dispatch import only_shapes
from mlkit.display.error import brief, brief_text
from mlkit.display.macs import of_operation
from mlkit.display.markup import card, count, escape, number, shape_text, size_of
from mlkit.display.sample import dtype_name


@dataclass
class Row:
    """One module of the tree. Numbers of a parent include its children's; ``own`` ones do not."""

    path: str
    name: str
    type: str
    extra: str
    depth: int
    own_parameters: int
    parameters: int
    trainable: int
    bytes: int
    shared_with: str | None = None
    tied: bool = False
    children: list[Row] = field(default_factory=list)
    inputs: str | None = None
    output: str | None = None
    calls: int = 0
    macs: int = 0
    activation_bytes: int = 0
    used: bool = False  # its parameters took part, whether or not it was called
    state: str = ""  # "", "ok", "failed", "inside" (a child failed), "not reached"
    repeats: int = 1
    last_name: str = ""

    @property
    def frozen(self) -> str:
        """ "frozen", "partly frozen" or ""."""
        if not self.parameters or self.trainable == self.parameters:
            return ""
        return "partly frozen" if self.trainable else "frozen"

    @property
    def label(self) -> str:
        """``0-11`` for a folded run of equal siblings, the name otherwise."""
        return f"{self.name}-{self.last_name}" if self.repeats > 1 else self.name

    def walk(self) -> Iterator[Row]:
        """This row and all below it, unfolded, in the order of registration."""
        yield self
        for child in self.children:
            yield from child.walk()


class Summary:
    """What ``summary`` returns: prints as a table, displays as a foldable tree.

    ``root``: the tree of rows. ``parameters``, ``trainable_parameters``, ``buffers``: numbers of values, shared ones
    counted once. ``macs``: multiply-adds of matrix products and convolutions in one forward pass. ``parameter_bytes``,
    ``activation_bytes``. ``error``: the exception of a failing forward or None; ``failed_at``: the path of the layer.
    """

    def __init__(self, root: Row, inputs: str | None, totals: dict[str, int]) -> None:
        self.root = root
        self.inputs = inputs
        self.parameters = totals["parameters"]
        self.trainable_parameters = totals["trainable"]
        self.parameter_bytes = totals["bytes"]
        self.buffers = totals["buffers"]
        self.buffer_bytes = totals["buffer_bytes"]
        self.input_bytes = totals.get("input_bytes", 0)
        self.error: BaseException | None = None
        self.failed_at: str | None = None

    @property
    def rows(self) -> list[Row]:
        """Every module of the tree, in the order of registration."""
        return list(self.root.walk())

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass: in matrix products (attention's too) and convolutions."""
        return self.root.macs

    @property
    def activation_bytes(self) -> int:
        """Memory of the outputs of all leaf modules in one forward pass: about what ``backward`` needs kept."""
        return self.root.activation_bytes

    def __str__(self) -> str:
        return text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": text(self), "text/html": html(self)}


def summary(model: Any, *inputs: Any, input_size: Sequence[int] | None = None, device: str | None = "meta") -> Summary:
    """Sum up ``model``: layers, output shapes, parameters, multiply-adds, memory.

    ``inputs``: what the model is called with (tensors, or NumPy arrays); none of them: the tree without shapes.
    ``input_size``: instead of one tensor its shape, such as ``(1, 1, 28, 28)``; float32.
    ``device``: "meta" (default) computes shapes without data; None runs the real inputs through, for a model whose path
    depends on the values; the model itself stays untouched either way. The run is in evaluation mode.

    A forward that fails does not raise: the summary shows everything up to the failing layer, and the error there.

    >>> import mlkit
    >>> mlkit.summary(mlkit.nn.Linear(784, 10), input_size=(64, 784)).macs
    501760
    """
    if not (hasattr(model, "named_modules") and hasattr(model, "_modules")):
        raise TypeError(f"summary: expected a mlkit.nn.Module, got {type(model).__name__}")
    if input_size is not None and inputs:
        raise TypeError("summary: give the inputs or input_size, not both")
    rows: dict[int, list[Row]] = {}
    seen: dict[int, str] = {}
    owners: dict[int, set[int]] = {}
    for module in model.modules():
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(id(parameter), set()).add(id(module))
    root = _tree(model, "", "", 0, rows, seen, owners)
    parameters = {id(p): p for p in model.parameters()}.values()
    buffers = {id(b): b for b in model.buffers()}.values()
    totals = {
        "parameters": sum(p.numel() for p in parameters),
        "trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "bytes": sum(p.numel() * p.element_size() for p in parameters),
        "buffers": sum(b.numel() for b in buffers),
        "buffer_bytes": sum(b.numel() * b.element_size() for b in buffers),
    }
    if input_size is not None:
        import mlkit

        inputs = (mlkit.zeros(*[int(n) for n in input_size], device="meta" if device == "meta" else "cpu"),)
    if not inputs:
        return Summary(root, None, totals)
    inputs = _as_tensors(inputs)
    totals["input_bytes"] = sum(t.numel() * t.element_size() for t in _tensors(inputs))
    result = Summary(root, _describe(inputs), totals)
    _run(model, inputs, device, rows, result)
    return result


# -- the tree -----------------------------------------------------------------------------------------------------------


def _tree(
    module: Any,
    path: str,
    name: str,
    depth: int,
    rows: dict[int, list[Row]],
    seen: dict[int, str],
    owners: dict[int, set[int]],
) -> Row:
    own = [p for p in module._parameters.values() if p is not None]
    everything = {id(p): p for p in module.parameters()}.values()
    row = Row(
        path=path,
        name=name,
        type=type(module).__name__,
        extra=str(module.extra_repr()),
        depth=depth,
        own_parameters=sum(p.numel() for p in own),
        parameters=sum(p.numel() for p in everything),
        trainable=sum(p.numel() for p in everything if p.requires_grad),
        bytes=sum(p.numel() * p.element_size() for p in everything),
        shared_with=seen.get(id(module)),
        tied=any(len(owners[id(p)]) > 1 for p in own if id(p) in owners),
    )
    if row.shared_with is not None:
        return row  # its numbers and shapes are shown where it is first
    seen[id(module)] = path or "the whole model"
    rows.setdefault(id(module), []).append(row)
    for child_name, child in module._modules.items():
        if child is not None:
            child_path = f"{path}.{child_name}" if path else child_name
            row.children.append(_tree(child, child_path, child_name, depth + 1, rows, seen, owners))
    return row


def _signature(row: Row) -> tuple:
    return (
        row.type,
        row.extra,
        row.own_parameters,
        row.trainable,
        row.output,
        row.inputs,
        row.state,
        row.shared_with,
        row.calls,
        tuple(_signature(child) for child in row.children),
    )


def folded(rows: Sequence[Row]) -> list[Row]:
    """The rows with runs of equal siblings (twelve encoder blocks) as one row with ``repeats``."""
    out: list[Row] = []
    for row in rows:
        before = out[-1] if out else None
        if before is not None and (row.children or before.own_parameters) and _signature(before) == _signature(row):
            before.repeats += 1
            before.last_name = row.name
        else:
            out.append(_copy(row))
    return out


def _copy(row: Row) -> Row:
    return Row(**{f: getattr(row, f) for f in row.__dataclass_fields__ if f not in ("repeats", "last_name")})


# -- the run ------------------------------------------------------------------------------------------------------------


def _run(model: Any, inputs: tuple, device: str | None, rows: dict[int, list[Row]], result: Summary) -> None:
    import mlkit

    clones: dict[int, Any] = {}
    clone = _clone(model, clones, meta=device == "meta")
    original = {id(c): key for key, c in clones.items()}
    stack: list[Row] = []

    def enter(module: Any, args: tuple) -> None:
        row = rows[original[id(module)]][0]
        stack.append(row)
        row.calls += 1
        if row.inputs is None:
            row.inputs = _describe(args)
        row.state = "inside"

    def leave(module: Any, args: tuple, output: Any) -> None:
        row = rows[original[id(module)]][0]
        while stack and stack.pop() is not row:
            pass
        if row.output is None:
            row.output = _describe(output)
        row.state = "ok"
        if not row.children:
            row.activation_bytes += sum(t.numel() * t.element_size() for t in _tensors(output))

    here = threading.get_ident()
    holders = {
        id(p): rows[original[id(c)]][0] for c in clones.values() for p in c._parameters.values() if p is not None
    }
    holders = {key: row for key, row in holders.items() if not row.tied}

    def operation(op: Any, operands: Any, attributes: Any, outputs: Any) -> None:
        if threading.get_ident() != here:
            return  # a training in the background
        (stack[-1] if stack else result.root).macs += of_operation(op.name, operands, outputs)
        for operand in operands:
            if id(operand) in holders:
                holders[id(operand)].used = True

    for module in clones.values():
        module.register_forward_pre_hook(enter)
        module.register_forward_hook(leave)
    stop = events.subscribe("op", operation)
    arguments = _map(inputs, lambda t: t.detach().to("meta")) if device == "meta" else inputs
    try:
        with mlkit.no_grad(), only_shapes() if device == "meta" else contextlib.nullcontext():
            clone(*arguments)
    except Exception as error:
        failed = stack[-1] if stack else result.root
        failed.state = "failed"
        result.error, result.failed_at = error, failed.path
    finally:
        stop()
    _add_up(result.root)
    for row in result.root.walk():
        if row.state == "" and row.shared_with is None:
            row.state = "not reached" if not _reached(row) else "ok"


def _reached(row: Row) -> bool:
    # A container whose children were called one by one (ModuleList) was never called itself.
    # Of some the parameters alone are used (attention's output projection).
    return any(child.calls or child.used for child in row.walk())


def _add_up(row: Row) -> tuple[int, int]:
    for child in row.children:
        macs, memory = _add_up(child)
        row.macs += macs
        row.activation_bytes += memory
    return row.macs, row.activation_bytes


def _clone(module: Any, clones: dict[int, Any], meta: bool) -> Any:
    """The module with the same attributes, without its hooks, in evaluation mode; on meta when asked."""
    if id(module) in clones:
        return clones[id(module)]
    clone = object.__new__(type(module))
    clones[id(module)] = clone
    tensors: dict[int, Any] = {}

    def light(value: Any) -> Any:
        if value is None or not _is_tensor(value):
            return value
        if meta:
            return tensors.setdefault(id(value), value.detach().to("meta"))
        return value.detach().clone()  # a real run may update running statistics

    for name, value in module.__dict__.items():
        if name in ("_parameters", "_buffers"):
            value = type(value)((key, light(item)) for key, item in value.items())
        elif name == "_modules":
            value = type(value)((k, None if m is None else _clone(m, clones, meta)) for k, m in value.items())
        elif "_hooks" in name and isinstance(value, dict):
            value = type(value)()
        elif _is_tensor(value):
            value = light(value)
        clone.__dict__[name] = value
    clone.__dict__["training"] = False
    return clone


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "numel") and hasattr(value, "requires_grad") and hasattr(value, "shape")


def _as_tensors(inputs: tuple) -> tuple:
    import mlkit

    return tuple(mlkit.as_tensor(x) if type(x).__module__ == "numpy" else x for x in inputs)


def _map(value: Any, fn: Any) -> Any:
    if _is_tensor(value):
        return fn(value)
    if isinstance(value, dict):
        return {key: _map(item, fn) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_map(item, fn) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _tensors(value: Any) -> list[Any]:
    found: list[Any] = []
    _map(value, found.append)
    return found


def _describe(value: Any) -> str:
    """``[64, 10]`` for one tensor, several joined by commas, the dtype only where it is not float32."""
    parts = []
    for tensor in _tensors(value)[:4]:
        dtype = dtype_name(tensor)
        parts.append(("" if dtype == "float32" else f"{dtype} ") + shape_text(tensor.shape))
    more = len(_tensors(value)) - 4
    return ", ".join(parts) + (f", and {more} more" if more > 0 else "") or "no tensor"


# -- text ---------------------------------------------------------------------------------------------------------------


def text(result: Summary) -> str:
    """The summary as a table for a terminal."""
    lines: list[tuple[str, str, str, str]] = []
    settings: list[str] = []  # of each line, what may be cut

    def visit(row: Row, prefix: str, branch: str) -> None:
        marks = [m for m in (row.frozen, "shared parameters" if row.tied else "") if m]
        settings.append(_what(row).removeprefix(row.type))
        what = f"{row.label}: {_what(row)}" if row.name else _what(row)
        if row.repeats > 1:
            what += f"  x{row.repeats}"
        if row.shared_with is not None:
            marks = [f"shared with {row.shared_with}"]
        if row.calls > 1:
            marks.append(f"{row.calls} calls")
        what += f"  ({', '.join(marks)})" if marks else ""
        times = row.repeats
        own = "" if row.shared_with is not None or not row.parameters else f"{row.parameters * times:,}"
        macs = f"{row.macs * times:,}" if row.macs else ""
        lines.append((prefix + branch + what, _output(row), own, macs))
        children = folded(row.children)
        deeper = prefix + {"": "", "├─ ": "│  ", "└─ ": "   "}[branch]
        for i, child in enumerate(children):
            visit(child, deeper, "└─ " if i == len(children) - 1 else "├─ ")

    visit(result.root, "", "")
    head = ("layer", "output", "parameters", "multiply-adds")
    ran, counted = result.inputs is not None, result.macs > 0
    columns = [0, *([1] if ran else []), 2, *([3] if counted else [])]
    widths = {c: max(len(line[c]) for line in [head, *lines]) for c in columns}
    # Where a terminal is narrow, the layers' settings are cut, not the numbers.
    room = shutil.get_terminal_size((140, 24)).columns - sum(widths[c] + 2 for c in columns if c)
    least = max(len(line[0]) - len(part) for line, part in zip(lines, settings, strict=True))  # names and marks stay
    widths[0] = min(widths[0], max(room, least + 2, 24))
    lines = [(_shortened(line[0], part, widths[0]), *line[1:]) for line, part in zip(lines, settings, strict=True)]

    def row_text(line: tuple[str, str, str, str]) -> str:
        return "  ".join(line[c].ljust(widths[c]) if c < 2 else line[c].rjust(widths[c]) for c in columns).rstrip()

    rule = "─" * (sum(widths.values()) + 2 * (len(columns) - 1))
    out = [row_text(head), rule, *(row_text(line) for line in lines), rule]
    out += [f"{label}: {value}" for label, value in _totals(result)]
    if result.error is not None:
        out += ["", f"Forward failed in {_place(result)}: {type(result.error).__name__}"]
        out += [f"  {line}" for line in brief_text(result.error)]
    return "\n".join(out)


def _shortened(words: str, settings: str, most: int) -> str:
    """At most ``most`` letters: what a layer was made with is cut first, then the rest."""
    if len(words) > most and settings:
        kept = max(len(settings) - (len(words) - most) - 2, 0)
        words = words.replace(settings, settings[:kept] + "…)" if kept else "", 1)
    return words if len(words) <= most else words[: most - 1] + "…"


def _what(row: Row) -> str:
    return f"{row.type}({row.extra})" if row.extra and "\n" not in row.extra else row.type


def _output(row: Row) -> str:
    if row.state == "failed":
        return f"FAILED on {row.inputs}"
    if row.state == "inside":
        return "failed inside"
    return row.output or (row.state if row.state == "not reached" else "")


def _totals(result: Summary) -> list[tuple[str, str]]:
    frozen = result.parameters - result.trainable_parameters
    values = f"{result.parameters:,} ({size_of(result.parameter_bytes)})"
    if frozen:
        values += f", of which {frozen:,} frozen"
    rows = [("parameters", values)]
    if result.buffers:
        rows.append(("buffers", f"{result.buffers:,} ({size_of(result.buffer_bytes)})"))
    if result.inputs is not None:
        rows.append(("input", f"{result.inputs} ({size_of(result.input_bytes)})"))
        if result.macs:
            rows.append(("multiply-adds", f"{count(result.macs)} in matrix products and convolutions"))
        rows.append(("activations", f"about {size_of(result.activation_bytes)}"))
    return rows


def _place(result: Summary) -> str:
    row = next((r for r in result.root.walk() if r.state == "failed"), result.root)
    return f"{row.path or 'the model'} ({row.type})" + (f" on input {row.inputs}" if row.inputs else "")


# -- HTML ---------------------------------------------------------------------------------------------------------------


def html(result: Summary) -> str:
    """The summary as a card with a foldable tree."""
    return card("module", body(result))


def body(result: Summary, open_depth: int = 3) -> str:
    """The tree without its card. Levels above ``open_depth`` start open."""
    ran, counted = result.inputs is not None, result.macs > 0
    root = result.root
    head = (
        f'<p class="head"><b>{escape(root.type, 80)}</b> '
        f"{count(result.parameters)} parameters, {size_of(result.parameter_bytes)}"
        f"{_frozen_tag(root)}</p>"
    )
    labels = ["output"] * ran + ["parameters"] + ["multiply-adds"] * counted
    heads = "".join(f' <span class="{"out" if label == "output" else "num"}">{label}</span>' for label in labels)
    top = f'<div class="line heading" aria-hidden="true"><span class="what">layer</span>{heads}</div>'
    rows = "".join(_html_row(child, ran, counted, 1, open_depth) for child in folded(root.children))
    if not root.children:
        rows = _html_row(root, ran, counted, 1, open_depth)
    tree = f'<div class="tree">{top}<ul>{rows}</ul></div>'
    facts = "".join(f"<span><i>{label}</i> {escape(value)}</span> " for label, value in _totals(result))
    failed = ""
    if result.error is not None:
        failed = (
            f'<div class="failed"><p><b class="warn">Forward failed in {escape(_place(result))}: '
            f"{escape(type(result.error).__name__)}</b></p>{brief(result.error)}</div>"
        )
    return f'{head}{tree}<p class="stats">{facts}</p>{failed}'


def _frozen_tag(row: Row) -> str:
    return f' <span class="tag">{row.frozen}</span>' if row.frozen else ""


def _html_row(row: Row, ran: bool, counted: bool, depth: int, open_depth: int) -> str:
    extra = "" if not row.extra or "\n" in row.extra else f'<span class="extra soft">({escape(row.extra, 160)})</span>'
    tags = _frozen_tag(row)
    if row.repeats > 1:
        tags += f' <span class="tag">x{row.repeats}</span>'
    if row.shared_with is not None:
        tags += f' <span class="tag">shared with {escape(row.shared_with, 80)}</span>'
    elif row.tied:
        tags += ' <span class="tag">shared parameters</span>'
    if row.calls > 1:
        tags += f' <span class="tag">{row.calls} calls</span>'
    name = f'<span class="soft">{escape(row.label, 60)}:</span> ' if row.name else ""
    cells = [f'<span class="what">{name}<span class="kind">{escape(row.type, 60)}</span>{extra}{tags}</span>']
    if ran:
        wrong = " warn" if row.state in ("failed", "inside") else " soft" if row.state == "not reached" else ""
        cells.append(f'<span class="out{wrong}" title="output shape">{escape(_output(row), 90)}</span>')
    own = number(row.parameters * row.repeats) if row.parameters and row.shared_with is None else ""
    cells.append(f'<span class="num" title="parameters">{own}</span>')
    if counted:
        macs = count(row.macs * row.repeats) if row.macs else ""
        cells.append(f'<span class="num" title="multiply-adds">{macs}</span>')
    line = " ".join(cells)
    if not row.children:
        return f'<li><div class="line">{line}</div></li>'
    inner = "".join(_html_row(child, ran, counted, depth + 1, open_depth) for child in folded(row.children))
    opened = " open" if (depth < open_depth and row.repeats == 1) or row.state == "inside" else ""
    return f'<li><details{opened}><summary class="line">{line}</summary><ul>{inner}</ul></details></li>'
