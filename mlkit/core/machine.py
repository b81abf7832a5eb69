"""What the process uses of the machine."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path, PurePosixPath

__all__ = ["cores", "memory_bytes"]


def cores() -> int:
    """How many threads may compute at once: the cores this process may run on, no more than a container's limit on time.

    Docker's ``--cpus`` and Kubernetes' limits leave all the machine's cores in sight and stop the process when its share
    of time is used up, so more threads than that stand in one another's way.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        allowed = os.cpu_count() or 1
    limit = _time_limit()
    return allowed if limit is None else max(1, min(allowed, math.ceil(limit)))


def _time_limit(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores' worth of time that Linux's control groups (version 2 or 1) leave to this process; None for no limit."""
    limits = []
    try:
        lines = groups.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, inside = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = [root / controllers] if controllers else [root, root / "unified"]
        path = PurePosixPath(
            inside.lstrip("/")
        )  # of the machine's own tree: inside a container only its root may be there
        for folder in [mount / part for mount in mounts for part in (path, *path.parents)]:
            try:
                if controllers:
                    quota = (folder / "cpu.cfs_quota_us").read_text()
                    period = (folder / "cpu.cfs_period_us").read_text()
                else:
                    quota, period = (folder / "cpu.max").read_text().split()
                if quota.strip() != "max" and int(quota) > 0:
                    limits.append(int(quota) / int(period))
            except (OSError, ValueError, ZeroDivisionError):
                continue
    return min(limits, default=None)


def memory_bytes() -> int | None:
    """Memory this process occupies now, in bytes (its peak where the system tells no more); None if unknown."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
