"""Names of ``torch.cuda`` beside those of mlkit.cuda."""

from __future__ import annotations

import contextlib
import time
from types import SimpleNamespace
from typing import Any

import mlkit
from mlkit import cuda
from mlkit.core.device import device as _device
from mlkit.core.errors import DeviceError
from mlkit.torch.parts.root import OutOfMemoryError

__all__ = [
    "Event",
    "OutOfMemoryError",
    "Stream",
    "current_stream",
    "default_stream",
    "device",
    "get_arch_list",
    "get_device_capability",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_bf16_supported",
    "is_initialized",
    "max_memory_allocated",
    "max_memory_reserved",
    "mem_get_info",
    "memory_reserved",
    "memory_summary",
    "reset_max_memory_allocated",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "set_rng_state",
    "set_rng_state_all",
    "stream",
]


def _number(place: Any) -> int:
    if place is None:
        return cuda.current_device()
    return int(place) if isinstance(place, int) else _device(place).index or 0


def _cupy() -> Any:
    return cuda._library().m.xp


def init() -> None:
    """Start the GPU library now."""
    cuda._library()


def is_initialized() -> bool:
    """Whether GPU tensors can be made."""
    return cuda.is_available()


class device:  # noqa: N801 - PyTorch's name
    """Inside the block this GPU is the one in use. -1 or None: no change."""

    def __init__(self, device: Any):  # noqa: F811
        self.idx = -1 if device is None else _number(device)

    def __enter__(self) -> None:
        if self.idx >= 0:
            self._inside = _cupy().cuda.Device(self.idx)
            self._inside.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self.idx >= 0:
            self._inside.__exit__(*error)


def set_device(device: Any) -> None:  # noqa: F811
    """Use this GPU from now on."""
    _cupy().cuda.Device(_number(device)).use()


def get_device_properties(device: Any = None) -> SimpleNamespace:  # noqa: F811
    """The GPU's name, ``total_memory`` in bytes, ``major`` and ``minor`` of its capability, ``multi_processor_count``."""
    found = _cupy().cuda.runtime.getDeviceProperties(_number(device))
    return SimpleNamespace(
        name=found["name"].decode(),
        total_memory=found["totalGlobalMem"],
        major=found["major"],
        minor=found["minor"],
        multi_processor_count=found["multiProcessorCount"],
        warp_size=found["warpSize"],
    )


def get_device_capability(device: Any = None) -> tuple[int, int]:  # noqa: F811
    """(major, minor) of the GPU's capability."""
    found = get_device_properties(device)
    return found.major, found.minor


def get_arch_list() -> list[str]:
    """Kernels are compiled for the GPU that is there."""
    if not cuda.is_available():
        return []
    major, minor = get_device_capability()
    return [f"sm_{major}{minor}"]


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 tensors can be put on the GPU."""
    return cuda.is_available()


def mem_get_info(device: Any = None) -> tuple[int, int]:  # noqa: F811
    """(free, total) bytes of GPU memory."""
    return tuple(_cupy().cuda.runtime.memGetInfo())


def memory_reserved(device: Any = None) -> int:  # noqa: F811
    """Bytes of GPU memory held for tensors."""
    return _cupy().get_default_memory_pool().total_bytes() if cuda.is_available() else 0


def max_memory_allocated(device: Any = None) -> int:  # noqa: F811
    """The most GPU memory held until now: CuPy's pool grows and does not shrink by itself, so what it holds is the peak."""
    return memory_reserved()


max_memory_reserved = memory_cached = max_memory_cached = max_memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:  # noqa: F811
    """Count the peak from now: what the pool holds without need goes back to the driver."""
    if cuda.is_available():
        cuda.empty_cache()


reset_max_memory_allocated = reset_max_memory_cached = reset_accumulated_memory_stats = reset_peak_memory_stats


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:  # noqa: F811
    """The GPU's memory in a line."""
    return f"allocated {cuda.memory_allocated():,} bytes, reserved {memory_reserved():,} bytes"


def ipc_collect() -> None:
    """Nothing is shared between processes."""


def get_rng_state(device: Any = "cuda") -> Any:  # noqa: F811
    """The random stream's place: there is one stream for all devices."""
    return mlkit.get_rng_state()


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:  # noqa: F811
    """Put the random stream at this place."""
    mlkit.set_rng_state(new_state)


def get_rng_state_all() -> list[Any]:
    """One state for each GPU: all the same stream's."""
    return [mlkit.get_rng_state() for _ in range(cuda.device_count())]


def set_rng_state_all(new_states: Any) -> None:
    """Put the random stream at this place."""
    for state in list(new_states)[:1]:
        mlkit.set_rng_state(state)


def seed() -> None:
    """Start the random stream somewhere."""
    mlkit.seed()


seed_all = seed


def initial_seed() -> int:
    """What the random stream was started with."""
    return mlkit.initial_seed()


class Event:
    """A moment; `elapsed_time` between two is in milliseconds. Without a GPU the clock is the processor's."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False):
        self._event = _cupy().cuda.Event() if cuda.is_available() else None
        self._at: float | None = None

    def record(self, stream: Any = None) -> None:
        """The moment is when the work sent until now is done."""
        if self._event is not None:
            self._event.record()
        self._at = time.perf_counter()

    def synchronize(self) -> None:
        """Wait for the moment."""
        if self._event is not None:
            self._event.synchronize()

    def wait(self, stream: Any = None) -> None:
        """Wait for the moment."""
        self.synchronize()

    def query(self) -> bool:
        """Whether the moment has come."""
        return True if self._event is None else bool(self._event.done)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this moment to the other."""
        if self._at is None or end_event._at is None:
            raise DeviceError("Both events must be recorded before calculating elapsed time.")
        if self._event is not None and end_event._event is not None:
            return float(_cupy().cuda.get_elapsed_time(self._event, end_event._event))
        return (end_event._at - self._at) * 1000


class Stream:
    """A queue of GPU work. mlkit sends all work to one queue, in the program's order."""

    def __init__(self, device: Any = None, priority: int = 0, **options: Any):  # noqa: F811
        self.device = device

    def synchronize(self) -> None:
        """Wait until all work is done."""
        if cuda.is_available():
            cuda.synchronize()

    def wait_stream(self, stream: Any) -> None:
        """Nothing to wait for: there is one queue."""

    def wait_event(self, event: Any) -> None:
        """Nothing to wait for: there is one queue."""

    def record_event(self, event: Event | None = None) -> Event:
        """A moment in this queue."""
        event = event or Event()
        event.record()
        return event

    def query(self) -> bool:
        """Whether all work is done; waits for it."""
        self.synchronize()
        return True

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: Any) -> None:
        pass


def current_stream(device: Any = None) -> Stream:  # noqa: F811
    """The one queue."""
    return Stream(device)


default_stream = current_stream


@contextlib.contextmanager
def stream(stream: Any):  # noqa: F811
    """The block's work goes to the one queue, whatever is named."""
    yield
