"""Where in the user's program something happens: the innermost frame outside mlkit."""

from __future__ import annotations

import linecache
import os
import re
import sys
import threading
from types import CodeType
from typing import NamedTuple

from mlkit.core.installed import is_installed_file

_LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_MADE = ("<mlkit", "<frozen", "<string", "<attrs", "<__array")  # code without a file that no user wrote


def is_users(filename: str) -> bool:
    """Whether code of that file is the user's: not mlkit's, Python's or an installed package's."""
    return not filename.startswith((_LIBRARY, *_MADE)) and not is_installed_file(filename)


def is_ours(filename: str) -> bool:
    """Whether code of that file is mlkit's."""
    return filename.startswith(_LIBRARY)


def user_frame():
    """The innermost frame outside mlkit: where the user's program called it. None when there is none."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith((_LIBRARY, "<mlkit")):
            return frame
        frame = frame.f_back
    return None


def user_place() -> tuple[str, int, str] | None:
    """(file, line, function) of the user's program now."""
    frame = user_frame()
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


# --- the line that made a step, cheap enough to be kept for each --------------------------------------------------------

#: files whose code is the user's, as far as seen: a frame of one of them needs no further look
user_files: set[str] = set()
#: files of mlkit's rooms that carry out what others ask for: their lines say least about what was meant
_inner_files: set[str] = set()
_other_files: set[str] = set()  # mlkit's outer rooms (the Trainer's), Python's and installed packages'
_INNER = tuple(
    _LIBRARY + room + os.sep
    for room in ("core", "ops", "autograd", "functional", "nn", "func", "backends", "compiler", "amp", "optim")
)
_NEAREST = object()


def _sort(filename: str) -> set[str]:
    """Put a file's name into the set it belongs to."""
    if filename == "<string>" or is_users(filename):  # what python -c runs is a program too
        kind = user_files
    else:
        kind = _inner_files if filename.startswith((*_INNER, "<mlkit")) else _other_files
    kind.add(filename)
    return kind


def users_frame(frame, otherwise=_NEAREST):
    """The first frame of the user's program, from ``frame`` outwards.

    A program without one (a training in a thread of its own with layers of mlkit alone) gives the first frame outside
    mlkit's inner rooms, the Trainer's say; or ``otherwise``, where that is given.
    """
    first, nearest = frame, None
    while frame is not None:
        filename = frame.f_code.co_filename
        if filename not in _inner_files:
            if filename in user_files:
                return frame
            kind = _other_files if filename in _other_files else _sort(filename)
            if kind is user_files:
                return frame
            if nearest is None and kind is _other_files:
                nearest = frame
        frame = frame.f_back
    return (nearest or first) if otherwise is _NEAREST else otherwise


class _Called(threading.local):
    """The user's line that called the layer of mlkit's that runs in this thread; no code where none does.

    ``Module.__call__`` keeps it up: looking through the frames for each op of a layer would cost more than the op.
    """

    code: CodeType | None = None
    instruction = 0


called = _Called()


def users_line(frame) -> tuple[CodeType, int]:
    """(code, instruction) of the user's program, from a frame of mlkit's outwards."""
    code = called.code
    if code is not None:
        return code, called.instruction
    frame = users_frame(frame)
    return frame.f_code, frame.f_lasti


class Place(NamedTuple):
    """A line of a program: ``file``, ``line`` (from 1), ``function``, and the path of the ``module`` where it is known.

    ``code`` is the line's text, ``str(place)`` all of it in a line, as errors say it.
    """

    file: str
    line: int
    function: str
    module: str = ""
    part: str = ""  # the expression of the line that is meant, where the line has several

    @property
    def code(self) -> str:
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return place_text(self)

    def __repr__(self) -> str:
        return f"<{place_text(self)}>"


def place_of(code: CodeType, instruction: int, module: str = "") -> Place:
    """The line of an instruction of some code, from what a frame's ``f_code`` and ``f_lasti`` were."""
    line = next((n for start, end, n in code.co_lines() if start <= instruction < end), None)
    return Place(code.co_filename, line or code.co_firstlineno, code.co_name, module, _expression(code, instruction))


#: a line that is nothing but the expression, and perhaps a name for it
_WHOLE = r"^(return|yield|await|[\w.\[\], ]+ *[-+*/@]?=)? *\(*\s*\)*$| *[-+*/@]?= "


def _expression(code: CodeType, instruction: int) -> str:
    """The expression that an instruction stands for, where its line has more than that."""
    position = next((p for i, p in enumerate(code.co_positions()) if 2 * i == instruction), None)
    row, last, start, end = position or (None,) * 4
    if row is None or row != last:
        return ""
    text = linecache.getline(code.co_filename, row).encode()
    found = text[start:end].decode(errors="replace").strip()
    rest = (text[:start] + text[end:]).decode(errors="replace").split("#")[0].strip()
    return "" if not found or re.match(_WHOLE, rest) or len(found) > 80 else found


def file_text(filename: str) -> str:
    """A file's name without its folder; a notebook's cell by its number."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    name = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(filename)
    return " ".join(name) if name else os.path.basename(filename)


def place_text(place: tuple) -> str:
    """``train.py:12 in step: loss = criterion(y, t)``, with the module path when the place knows one."""
    filename, line, function = place[:3]
    code = linecache.getline(filename, line).strip()
    text = f"{file_text(filename)}:{line}" + (f" in {function}" if function != "<module>" else "")
    text += f": {code}" if code else ""
    if isinstance(place, Place) and place.part:
        text += f"  (its part {place.part})"
    module = place[3] if len(place) > 3 else ""
    return text + (f"  (module {module})" if module else "")
