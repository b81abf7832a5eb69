"""What is written in a run directory: names of files, records and JSON. Writer and reader share this file.

::

    <root>/<name>-<YYYYmmdd-HHMMSS>-<4 hex>/
        meta.json             what the run is: name, model, epochs, hyperparameters (written at the start)
        status.json           where it is now; rewritten while it lives, so its age is a heartbeat
        scalars/<name>.bin    one curve: records of (int64 step, float64 seconds, float64 value), appended
        events.jsonl          sparse events, one JSON object a line
        lock                  the process id of the writer
        mailbox/*.json        commands for the run (see mailbox.py)
        checkpoints/
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np

FORMAT = 1
RECORD = np.dtype([("step", "<i8"), ("time", "<f8"), ("value", "<f8")])
META, STATUS, EVENTS, SCALARS, MAILBOX, LOCK, CHECKPOINTS = (
    "meta.json",
    "status.json",
    "events.jsonl",
    "scalars",
    "mailbox",
    "lock",
    "checkpoints",
)

ALIVE = ("running", "paused", "stopping")
ENDED = ("stopped", "finished", "failed", "lost")

LONGEST_NAME = 200


def runs_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Where runs are kept: `root`, else ``$MLKIT_RUNS``, else ``./runs``."""
    return Path(root if root is not None else os.environ.get("MLKIT_RUNS") or "runs")


def so_many_runs(count: int) -> str:
    """
    >>> so_many_runs(1), so_many_runs(1200)
    ('1 run', '1,200 runs')
    """
    return f"{count:,} run{'' if count == 1 else 's'}"


def file_name(series: str) -> str:
    """The file of a series: ``train/loss`` is kept in ``train__loss.bin``.

    Characters that a file system may refuse are written as ``%xx``, and so are underscores where ``__`` could be
    mistaken for the slash; `series_name` reads them back.

    >>> file_name("train/loss"), series_name(file_name("a__b/c_"))
    ('train__loss.bin', 'a__b/c_')
    """
    if not series or len(series) > LONGEST_NAME:
        raise ValueError(f"A series name has 1 to {LONGEST_NAME} characters, got {len(series)}: {series[:40]!r}.")
    encoded = "__".join(_encode_part(part) for part in series.split("/"))
    if len(encoded) > 240:
        raise ValueError(f"The series name {series[:40]!r} is too long to be a file name.")
    return encoded + ".bin"


def _encode_part(part: str) -> str:
    part = quote(part, safe="").replace(".", "%2E") if part.startswith(".") else quote(part, safe="")
    part = part.replace("__", "%5F%5F")
    part = re.sub(r"^_", "%5F", part)
    return re.sub(r"_$", "%5F", part)


def series_name(file: str) -> str:
    """The series kept in a file: the inverse of `file_name`."""
    return "/".join(unquote(part) for part in file.removesuffix(".bin").split("__"))


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader accepts: NaN and infinities become null, NumPy scalars numbers, other objects text."""
    return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The same value in JSON's own types."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return str(value)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is no whole one."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def process_is_alive(pid: int) -> bool | None:
    """Whether that process of this machine runs; None where this cannot be told."""
    if os.name == "nt" or pid <= 0:  # on Windows os.kill(pid, 0) would send Ctrl-C
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:  # killed, but its parent has not collected it yet
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
