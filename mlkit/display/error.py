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


def _parts(error: BaseException) -> tuple[str, str, str]:
    """(sentence, details, hint): an mlkit error has them apart, any other is all sentence."""
    sentence = getattr(error, "sentence", None)
    notes = "\n".join(str(note) for note in getattr(error, "__notes__", ()))
    if sentence is None:
        return str(error) or type(error).__name__, notes, ""
    details = "\n".join(part for part in (str(getattr(error, "details", None) or ""), notes) if part)
    return str(sentence), details, str(getattr(error, "hint", None) or "")


def html(error: BaseException) -> str:
    """The card of an exception. Its traceback, where there is one, gives the user's line and the frames below."""
    sentence, details, hint = _parts(error)
    users, every = frames(error)
    clash = _CLASH.search(sentence) or _CLASH.search(details)
    parts = [
        f'<p class="head"><b class="warn">{escape(type(error).__name__, 80)}</b></p>',
        f'<p class="sentence">{_code_words(_mark(sentence, clash))}</p>',
    ]
    if details:
        parts.append(f'<pre class="details">{_mark(details, clash)}</pre>')
    if users:
        frame = users[-1]
        rows = "".join(
            f'<span class="soft">{n:>4}</span> {"<b>" if here else ""}{escape(line, 200)}{"</b>" if here else ""}\n'
            for n, line, here in _source(frame)
        )
        parts.append(f'<p class="note">your line: {escape(_place(frame), 160)}</p><pre class="source">{rows}</pre>')
    parts += _pictures(error)
    if hint:
        parts.append(f'<div class="hint"><p class="note">what to do</p><p>{_code_words(escape(hint, 2000))}</p></div>')
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


def _pictures(error: BaseException) -> list[str]:
    """What went into the operation that made the first NaN or Inf, where the error knows it."""
    from mlkit.display.tensor import body

    operands = list(getattr(error, "operands", ()))[:3]
    return [f"<h4>{escape(name, 60)}</h4>{body(tensor)}" for name, tensor in operands]


def _code_words(escaped: str) -> str:
    """`x` in backticks becomes code."""
    return re.sub(r"`([^`\n]{1,80})`", r"<code>\1</code>", escaped)


def _mark(words: str, clash: re.Match[str] | None) -> str:
    """Escaped; where ``784 != 28`` is said, both sizes stand out wherever they come."""
    shown = escape(words, 4000)
    for number in set(clash.groups()) if clash else ():
        shown = re.sub(rf"(?<![\w.;#]){number}(?![\w;]|\.\d)", f'<b class="warn">{number}</b>', shown)
    return shown


def text(error: BaseException) -> str:
    """The same for a terminal, without colours."""
    sentence, details, hint = _parts(error)
    lines = [f"{type(error).__name__}: {sentence}"]
    lines += ["  " + line for line in details.splitlines()]
    users, _ = frames(error)
    if users:
        lines += ["", f"your line: {_place(users[-1])}"]
        lines += [f"  {'>' if here else ' '} {n:>4} {line}" for n, line, here in _source(users[-1])]
    if hint:
        lines += ["", *hint.splitlines()]
    return "\n".join(lines)


def show(shell: Any, kind: type, error: BaseException, tb: TracebackType | None, tb_offset: int | None = None) -> None:
    """IPython's handler for mlkit's errors: the card in a notebook, the text in a terminal.

    The cell still fails as any other: in a notebook an ordinary error of one line follows the card.
    """
    try:
        if error.__traceback__ is None:
            error = error.with_traceback(tb)
        words = text(error).splitlines()
        if getattr(shell, "kernel", None) is not None:
            shell.display_pub.publish({"text/plain": "\n".join(words), "text/html": html(error)})
            words = [f"{kind.__name__}: {_parts(error)[0]}"]
    except Exception:  # whatever went wrong here, the user's own error is what must be seen
        words = shell.InteractiveTB.structured_traceback(kind, error, tb, tb_offset=tb_offset)
    shell._showtraceback(kind, error, words)
