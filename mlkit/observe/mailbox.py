"""Commands for a run, as small files in its directory: any process that may write there can steer it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import time
from pathlib import Path
from typing import Any, NamedTuple

from mlkit.core.files import atomic_write, make_folder

__all__ = ["COMMANDS", "Mailbox", "Message", "check_message"]

COMMANDS = ("pause", "resume", "step", "stop", "checkpoint", "set", "clone")
LARGEST = 64 * 1024
# File systems round a folder's modification time (some to two seconds), so a second letter may leave it unchanged:
# look into the folder for this long after each change, and once in this while in any case.
SETTLE = 2.0


class Message(NamedTuple):
    """One command; `name` and `value` belong to "set", and "clone" has a dictionary as its value."""

    command: str
    name: str | None = None
    value: Any = None


def check_message(command: Any, name: Any = None, value: Any = None) -> Message:
    """The message, if it is one that a run can understand.

    Raises:
        ValueError: Unknown command, a "set" without a name and a finite number, or a "clone" that asks for more than
            settings, one of the run's own checkpoints and a name.
    """
    if command not in COMMANDS:
        raise ValueError(f"A run does not know the command {command!r}. It knows {', '.join(COMMANDS)}.")
    if command == "clone":
        return Message(command, None, _check_clone(value))
    if command != "set":
        return Message(command)  # in particular no path: letters do not choose where a run writes
    return Message(command, name, _check_number(name, value))


def _check_number(name: Any, value: Any) -> float:
    if not isinstance(name, str) or not name:
        raise ValueError(f"'set' needs the name of what to set (for example 'lr'), got {name!r}.")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name!r} must be set to a finite number, got {value!r}.")
    return float(value)


def _check_clone(wish: Any) -> dict[str, Any]:
    if wish is None:
        wish = {}
    if not isinstance(wish, dict) or not isinstance(wish.get("settings") or {}, dict):
        raise ValueError(
            f"'clone' needs {{'settings': {{name: number}}, 'checkpoint': ..., 'name': ...}}, got {wish!r}."
        )
    settings = {name: _check_number(name, value) for name, value in (wish.get("settings") or {}).items()}
    checkpoint, name = wish.get("checkpoint"), wish.get("name")
    if checkpoint is not None and (not isinstance(checkpoint, str) or Path(checkpoint).name != checkpoint):
        raise ValueError(f"'clone' takes the file name of one of the run's own checkpoints, got {checkpoint!r}.")
    if name is not None and (not isinstance(name, str) or len(name) > 80):
        raise ValueError(f"A run's name is a text of at most 80 characters, got {name!r}.")
    return {"settings": settings, "checkpoint": checkpoint, "name": name or None}


class Mailbox:
    """The folder of letters. `send` is for anyone; `collect` for the one loop that owns the run."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._seen = -1
        self._look_until = 0.0
        self._next_look = 0.0

    def send(self, command: str, name: str | None = None, value: Any = None) -> None:
        """Leave a command; the run takes it before its next step."""
        message = check_message(command, name, value)
        make_folder(self.folder)
        letter = {key: item for key, item in message._asdict().items() if item is not None}
        file = self.folder / f"{time.time_ns()}-{secrets.token_hex(4)}.json"
        with atomic_write(file, "w", durable=False) as stream:
            json.dump(letter, stream)

    def collect(self) -> tuple[list[Message], list[str]]:
        """Take all letters out, oldest first; also what was wrong with those that could not be understood.

        With nothing new this costs one `os.stat`. Misunderstood letters are moved to ``rejected/``.
        """
        if not self._may_have_letters():
            return [], []
        try:
            letters = sorted(
                (entry.name for entry in os.scandir(self.folder) if _is_letter(entry)),
                key=_letter_order,
            )
        except OSError:
            return [], []
        messages, rejected = [], []
        for letter in letters:
            path = self.folder / letter
            try:
                messages.append(_read_letter(path))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                rejected.append(f"{letter}: {error}")
                self._reject(path)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()
        return messages, rejected

    def _may_have_letters(self) -> bool:
        now = time.monotonic()
        try:
            changed = os.stat(self.folder).st_mtime_ns
        except OSError:
            return False
        if changed != self._seen:
            self._seen = changed
            self._look_until = now + SETTLE
        if now < self._look_until or now >= self._next_look:
            self._next_look = now + SETTLE
            return True
        return False

    def _reject(self, path: Path) -> None:
        try:
            (self.folder / "rejected").mkdir(exist_ok=True)
            os.replace(path, self.folder / "rejected" / path.name)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()


def _is_letter(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".json") and not entry.name.startswith(".") and not entry.is_dir()


def _letter_order(name: str) -> tuple[int, str]:
    stamp = name.partition("-")[0]
    return (int(stamp) if stamp.isdecimal() else 0, name)


def _read_letter(path: Path) -> Message:
    if path.is_symlink() or not path.is_file():
        raise ValueError("not a plain file")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST} bytes")
    letter = json.loads(path.read_text("utf-8"))
    if not isinstance(letter, dict):
        raise ValueError("a JSON object was expected")
    return check_message(letter.get("command"), letter.get("name"), letter.get("value"))
