"""``torch.multiprocessing``: Python's own, and ``spawn``. Tensors are copied on their way between processes."""

from __future__ import annotations

import multiprocessing as _multiprocessing
from collections.abc import Callable
from multiprocessing import *  # noqa: F403
from typing import Any

__all__ = [*_multiprocessing.__all__, "ProcessContext", "ProcessExitedException", "ProcessRaisedException", "spawn",
           "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "start_processes"]  # fmt: skip


class ProcessRaisedException(Exception):
    """A process that `spawn` started raised; the text is its traceback."""


class ProcessExitedException(Exception):
    """A process that `spawn` started ended with an exit code or a signal."""


class ProcessContext:
    """Processes that `spawn` started with ``join=False``."""

    def __init__(self, processes: Any, pipes: Any):
        self.processes, self._pipes = processes, pipes

    def pids(self) -> list[int]:
        """The process numbers."""
        return [process.pid for process in self.processes]

    def join(self, timeout: float | None = None) -> bool:
        """Wait for all; True when they have ended. The first failure ends the others and is raised here."""
        from multiprocessing.connection import wait

        waiting = {process.sentinel: rank for rank, process in enumerate(self.processes)}
        for sentinel in wait(list(waiting), timeout):
            rank = waiting[sentinel]
            process = self.processes[rank]
            process.join()
            if process.exitcode == 0:
                continue
            for other in self.processes:
                if other.is_alive():
                    other.terminate()
                other.join()
            if self._pipes[rank].poll():
                raise ProcessRaisedException(
                    f"\n\n-- Process {rank} terminated with the following error:\n{self._pipes[rank].recv()}"
                )
            raise ProcessExitedException(f"process {rank} terminated with exit code {process.exitcode}")
        return all(not process.is_alive() for process in self.processes)


def _run(function: Callable, rank: int, arguments: tuple, pipe: Any) -> None:
    import sys
    import traceback

    try:
        function(rank, *arguments)
    except KeyboardInterrupt:
        pass
    except Exception:
        pipe.send(traceback.format_exc())
        sys.exit(1)


def start_processes(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run ``fn(rank, *args)`` in `nprocs` processes."""
    context: Any = _multiprocessing.get_context(start_method)
    processes, pipes = [], []
    for rank in range(nprocs):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(fn, rank, args, theirs), daemon=daemon)
        process.start()
        theirs.close()
        processes.append(process)
        pipes.append(ours)
    running = ProcessContext(processes, pipes)
    if not join:
        return running
    while not all(process.exitcode is not None for process in processes):
        for process in processes:
            process.join(0.05)
        running.join(0)
    running.join(0)
    return None


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> ProcessContext | None:
    """Run ``fn(rank, *args)`` in `nprocs` fresh processes and wait for them (``join=False``: give their context)."""
    return start_processes(fn, args, nprocs, join, daemon, start_method)


def get_all_sharing_strategies() -> set[str]:
    """How tensors travel: through a pipe, as copies."""
    return {"file_descriptor", "file_system"}


def get_sharing_strategy() -> str:
    """PyTorch's default name; tensors travel as copies whatever it is."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accepted; tensors travel as copies."""
