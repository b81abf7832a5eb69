"""Where in the user's program something happens: the innermost frame outside mlkit."""

from __future__ import annotations

import functools
import linecache
import os
import sys

_LIBRARY = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@functools.cache
def _installed() -> tuple[str, ...]:
    """Where Python and installed packages are."""
    import sysconfig

    return tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})


_MADE = ("<mlkit", "<frozen", "<string", "<attrs", "<__array")  # code without a file that no user wrote


def is_users(filename: str) -> bool:
    """Whether code of that file is the user's: not mlkit's, Python's or an installed package's."""
    return not filename.startswith((_LIBRARY, *_installed(), *_MADE))


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


def place_text(place: tuple) -> str:
    """``train.py:12 in step: loss = criterion(y, t)``, with the module path when the place knows one."""
    filename, line, function = place[:3]
    code = linecache.getline(filename, line).strip()
    text = f"{os.path.basename(filename)}:{line} in {function}" + (f": {code}" if code else "")
    module = place[3] if len(place) > 3 else ""
    return text + (f"  (module {module})" if module else "")
