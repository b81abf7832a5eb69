"""An mlkit error as a card: what happened, the shapes with what clashes, the user's own line, what to do next.

In a terminal the same as text. ``mlkit.core.rich.install_error_cards`` makes IPython use it.
"""

from __future__ import annotations

import linecache
import os
import re
import traceback
from types import TracebackType
from typing import Any

from mlkit.display import clash as clashes
from mlkit.display.markup import card, escape

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # the library's own frames are folded away
_CLASH = re.compile(r"(?<!\w)(\d+) (?:!=|≠) (\d+)(?!\w)")


def frames(error: BaseException) -> tuple[list[traceback.FrameSummary], list[traceback.FrameSummary]]:
    """(the user's frames, all frames), outermost first. A user's frame is outside mlkit, IPython and the standard library."""
    every = list(traceback.extract_tb(error.__traceback__)) + _in_worker(error)
    return [frame for frame in every if _is_users(frame.filename)], every


_FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line (?P<line>\d+), in (?P<name>.+)$', re.M)


def _in_worker(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames in a data loader's worker process, which come as the text of a traceback."""
    cause = error.__cause__
    if type(cause).__name__ != "WorkerTraceback":
        return []
    return [
        traceback.FrameSummary(found["file"], int(found["line"]), found["name"])
        for found in _FRAME.finditer(str(cause))
    ]


def _is_users(filename: str) -> bool:
    if filename.startswith(("<frozen", "<mlkit")):  # "<mlkit op ...>" is code that registration wrote
        return False
    path = os.path.abspath(filename)
    if path.startswith((_HERE + os.sep, os.path.realpath(_HERE) + os.sep)) or f"{os.sep}site-packages{os.sep}" in path:
        return False
    return not path.startswith(os.path.dirname(os.__file__) + os.sep)


def _place(frame: traceback.FrameSummary) -> str:
    cell = re.match(r".*ipykernel_\d+[/\\]\d+\.py$", frame.filename) or re.match(
        r"<ipython-input-(\d+)", frame.filename
    )
    name = "this notebook" if cell else os.path.basename(frame.filename)
    return f"{name}, line {frame.lineno}" + (f", in {frame.name}" if not frame.name.startswith("<") else "")


def _source(frame: traceback.FrameSummary, around: int = 1) -> list[tuple[int, str, bool]]:
    """(line number, text, is it the line itself) for the lines around a frame's line, without common indentation."""
    number = frame.lineno or 0
    lines = [
        (n, linecache.getline(frame.filename, n).rstrip("\n"))
        for n in range(max(1, number - around), number + around + 1)
    ]
    lines = [(n, line) for n, line in lines if line.strip() or n == number]
    if not any(line.strip() for _, line in lines):
        return [(number, frame.line or "", True)] if frame.line else []
    indent = min(len(line) - len(line.lstrip()) for _, line in lines if line.strip())
    return [(n, line[indent:], n == number) for n, line in lines]


_CELL = re.compile(r"\b\d{6,}\.py:(\d+)(?: in <module>)?")  # a cell's code is in a file with a number for a name


def _parts(error: BaseException) -> tuple[str, str, str]:
    """(sentence, details, hint): an mlkit error has them apart, any other is all sentence."""
    sentence = getattr(error, "sentence", None)
    notes = "\n".join(str(note) for note in getattr(error, "__notes__", ()))
    if sentence is None:
        return str(error) or type(error).__name__, notes, ""
    details = "\n".join(part for part in (str(getattr(error, "details", None) or ""), notes) if part)
    details = _CELL.sub(r"this notebook, line \1", details)
    return str(sentence), details, str(getattr(error, "hint", None) or "")


def html(error: BaseException) -> str:
    """The card of an exception. Its traceback, where there is one, gives the user's line and the frames below."""
    users, every = frames(error)
    parts = [f'<p class="head"><b class="warn">{escape(type(error).__name__, 80)}</b></p>', *_what(error, users)]
    if users:
        frame = users[-1]
        rows = "".join(
            f'<span class="soft">{n:>4}</span> {"<b>" if here else ""}{escape(line, 200)}{"</b>" if here else ""}\n'
            for n, line, here in _source(frame)
        )
        parts.append(f'<p class="note">your line: {escape(_place(frame), 160)}</p><pre class="source">{rows}</pre>')
    parts += _pictures(error)
    parts += _repair(error)
    if len(every) > 1:
        rows = "\n".join(f"{escape(_place(f), 160)}\n    {escape(f.line or '', 160)}" for f in every[-30:])
        parts.append(f'<details><summary class="soft">all {len(every)} frames</summary><pre>{rows}</pre></details>')
    return card("error", *parts)


def facts(error: BaseException) -> dict[str, Any]:
    """What the card says, as plain JSON values: for a panel that draws it elsewhere, and to keep in a file."""
    sentence, details, hint = _parts(error)
    users, _ = frames(error)
    return {
        "type": type(error).__name__,
        "sentence": sentence[:4000],
        "details": details[:4000],
        "hint": hint[:2000],
        "place": _place(users[-1]) if users else "",
        "source": [[n, line[:200], here] for n, line, here in _source(users[-1])] if users else [],
    }


def brief(error: BaseException) -> str:
    """What happened and what to do, without a card and without lines of code, for use inside another display."""
    return "".join([*_what(error, []), *_repair(error)])


def _what(error: BaseException, users: list[traceback.FrameSummary]) -> list[str]:
    """The sentence, the shapes, and what else is known."""
    sentence, details, _ = _parts(error)
    clash = _CLASH.search(sentence) or _CLASH.search(details)
    parts = [f'<p class="sentence">{_code_words(_mark(sentence, clash))}</p>']
    shapes, rest = clashes.shapes_of(sentence, details)
    rest = _said_once(rest, users)
    if shapes:
        parts.append(_shapes(shapes))
    if rest:
        parts.append(f'<pre class="details">{_mark(chr(10).join(rest), None if shapes else clash)}</pre>')
    return parts


def _repair(error: BaseException) -> list[str]:
    hint = _parts(error)[2]
    lines = "<br>".join(_code_words(_code_in(line)) for line in escape(hint, 2000).splitlines())
    return [f'<div class="hint"><p class="note">what to do</p><p>{lines}</p></div>'] if hint else []


def _pictures(error: BaseException) -> list[str]:
    """What went into the operation that made the first NaN or Inf, where the error knows it."""
    from mlkit.display.tensor import body

    operands = list(getattr(error, "operands", ()))[:3]
    return [f"<h4>{escape(name, 60)}</h4>{body(tensor)}" for name, tensor in operands]


MOST_SHAPES = 6


def _shapes(shapes: list[clashes.Shape]) -> str:
    """The shapes side by side: a box for each axis with its name above its size, clashing ones marked."""
    out = []
    for shape in shapes[:MOST_SHAPES]:
        heads, cells = [], []
        for axis in shape.axes:
            warn = ' class="warn"' if axis.clashes else ""
            name = "any" if axis.name == "*" else axis.name
            heads.append(f'<th scope="col"{warn}>{escape(name, 24) or "&nbsp;"}</th>')
            cells.append(f"<td{warn}>{axis.size:,}</td>" if axis.size >= 10_000 else f"<td{warn}>{axis.size}</td>")
        words = " ".join(part for part in (shape.dtype, shape.rest) if part)
        more = f' <span class="soft">{escape(words, 60)}</span>' if words else ""
        named = any(axis.name for axis in shape.axes)
        head = f"<thead><tr>{''.join(heads)}</tr></thead>" if named else ""
        out.append(
            f'<div><p><b>{escape(shape.name, 60)}</b>{more}</p><table class="shape" aria-label="{escape(shape.name, 60)}">'
            f"{head}<tbody><tr>{''.join(cells) or '<td>one number</td>'}</tr></tbody></table></div>"
        )
    left_out = len(shapes) - MOST_SHAPES
    note = f'<p class="note">and {left_out} more</p>' if left_out > 0 else ""
    return f'<div class="row shapes">{"".join(out)}</div>{note}'


def _said_once(lines: list[str], users: list[traceback.FrameSummary]) -> list[str]:
    """Without the line of details that names the user's own line, where the card shows that line anyway."""
    if not users:
        return lines
    at = f":{users[-1].lineno} in "
    return [line for line in lines if not (line.startswith("line: ") and at in line)]


# A call or a keyword with its value, in a hint: input.flatten(1), nn.Linear(16, 2), dim=1
_CODE = re.compile(
    r"(?<![\w`.&;])(?:[A-Za-z_][\w.]*\.)?\.?[A-Za-z_][\w]*\((?:[^()`]|\((?:[^()`]|\([^()`]*\))*\))*\)(?:\.\w+)*"
    r"|(?<![\w`.(])[a-z_][\w.]*=[\w.]*\w|(?<![\w`.(])[a-z_]\w*(?:\.\w+)+ = [\w.]*\w"
)


def _code_in(escaped: str) -> str:
    """Calls and keyword arguments in a hint get backticks, unless its writer has set some."""
    return escaped if "`" in escaped else _CODE.sub(lambda found: f"`{found[0]}`", escaped)


def _code_words(escaped: str) -> str:
    """`x` in backticks becomes code."""
    return re.sub(r"`([^`\n]{1,120})`", r"<code>\1</code>", escaped)


def _mark(words: str, clash: re.Match[str] | None) -> str:
    """Escaped; where ``784 != 28`` is said, both sizes stand out wherever they come."""
    shown = escape(words, 4000)
    for number in set(clash.groups()) if clash else ():
        shown = re.sub(rf"(?<![\w.;#]){number}(?![\w;]|\.\d)", f'<b class="warn">{number}</b>', shown)
    return shown


def text(error: BaseException) -> str:
    """The same for a terminal, without colours."""
    sentence, details, hint = _parts(error)
    users, _ = frames(error)
    lines = [f"{type(error).__name__}: {sentence}"]
    lines += _details_as_text(sentence, details, users)
    if users:
        lines += ["", f"your line: {_place(users[-1])}"]
        lines += [f"  {'>' if here else ' '} {n:>4} {line}" for n, line, here in _source(users[-1])]
    if hint:
        lines += ["", *hint.splitlines()]
    return "\n".join(lines)


def _details_as_text(sentence: str, details: str, users: list[traceback.FrameSummary]) -> list[str]:
    shapes, rest = clashes.shapes_of(sentence, details)
    return ["  " + line for line in [*clashes.as_text(shapes), *_said_once(rest, users)]]


def brief_text(error: BaseException) -> list[str]:
    """``brief`` as lines for a terminal."""
    sentence, details, hint = _parts(error)
    return [sentence, *_details_as_text(sentence, details, []), *hint.splitlines()]


def show(shell: Any, kind: type, error: BaseException, tb: TracebackType | None, tb_offset: int | None = None) -> None:
    """IPython's handler for mlkit's errors: the card in a notebook, the text in a terminal.

    The cell still fails as any other: in a notebook an ordinary error of one line follows the card.
    """
    try:
        if error.__traceback__ is None:
            error = error.with_traceback(tb)
        words = _published(shell, error)
    except Exception:  # whatever went wrong here, the user's own error is what must be seen
        words = shell.InteractiveTB.structured_traceback(kind, error, tb, tb_offset=tb_offset)
    shell._showtraceback(kind, error, words)


def _published(shell: Any, error: BaseException) -> list[str]:
    """Show the card where there is a notebook; gives the lines that IPython prints after it."""
    words = text(error).splitlines()
    if getattr(shell, "kernel", None) is None:
        return words
    if getattr(error, "_shown_in", None) != shell.execution_count:  # IPython may ask for the lines more than once
        error._shown_in = shell.execution_count  # type: ignore[attr-defined]
        shell.display_pub.publish({"text/plain": "\n".join(words), "text/html": html(error)})
    return [f"{type(error).__name__}: {_parts(error)[0]}"]


def lines(error: BaseException) -> list[str]:
    """What ``_render_traceback_`` of an error gives that is not mlkit's own class: one from a loader's worker."""
    from IPython import get_ipython

    return _published(get_ipython(), error)
