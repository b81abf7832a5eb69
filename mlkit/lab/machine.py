"""What a kernel's process and the GPUs use, asked of the system: the kernel itself is not disturbed."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["gpus", "memory_of"]

AGE = 4.0
"""Seconds for which an answer about the GPUs is good, at least."""

SHARE = 0.003
"""Of the time that asking may take: the driver's tool needs tens of milliseconds, on some machines seconds."""

_asked: tuple[float, list[dict[str, Any]]] = (0.0, [])
"""When to ask again, and the last answer."""


def memory_of(pid: int | None) -> int | None:
    """Bytes of memory that a process of this machine occupies; None where that cannot be told."""
    if not pid or pid <= 0:
        return None
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:  # psutil comes with ipykernel
        import psutil
    except ImportError:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


def gpus() -> list[dict[str, Any]]:
    """Name, used and total bytes of each NVIDIA GPU; empty without a driver."""
    global _asked
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    begun = time.monotonic()
    if begun < _asked[0]:
        return _asked[1]
    query = ["--query-gpu=index,name,memory.used,memory.total", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.run([tool, *query], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        text = ""
    found, ended = read_table(text), time.monotonic()
    _asked = (ended + max(AGE, (ended - begun) / SHARE), found)
    return found


def read_table(text: str) -> list[dict[str, Any]]:
    """Lines as ``0, NVIDIA H200, 1024, 143771``: numbers in MiB; lines of another form are left out.

    >>> read_table("0, NVIDIA H200, 2, 143771")[0]["used"]
    2097152
    """
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 4 and all(part.isdecimal() for part in (parts[0], *parts[2:])):
            used, total = int(parts[2]) << 20, int(parts[3]) << 20
            found.append({"device": f"cuda:{parts[0]}", "name": parts[1], "used": used, "total": total})
    return found
