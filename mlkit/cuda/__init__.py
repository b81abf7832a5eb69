"""PyTorch's ``torch.cuda``: is a GPU there, which, how full is it, and its streams of work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from mlkit.core import backend as backends
from mlkit.core.device import device as Device  # noqa: N812 - the functions' argument is called device
from mlkit.core.errors import DeviceError
from mlkit.core.rng import default_generator


def _library():
    return backends.load("cupy")


def _cupy():
    return _library().m.xp


def _number(device) -> int:
    """The number of a GPU given as None (the one in use), a number, "cuda:1" or a device."""
    if device is None:
        return current_device()
    if isinstance(device, int):
        return device
    place = Device(device)
    if place.type != "cuda":
        raise DeviceError(f"expected a cuda device, but got {place}.")
    return current_device() if place.index is None else place.index


# --- which GPUs ---------------------------------------------------------------------------------------------------------


def is_available() -> bool:
    """Whether tensors can be put on "cuda"."""
    try:
        _library()
        return True
    except (DeviceError, ImportError):
        return False


def init() -> None:
    """Make the GPU ready now instead of at its first tensor; raises DeviceError with the reason where there is none."""
    _library()


def is_initialized() -> bool:
    """Whether the GPU has been made ready."""
    return "cupy" in backends._loaded


def device_count() -> int:
    """How many GPUs there are (0 without CuPy)."""
    return _cupy().cuda.runtime.getDeviceCount() if is_available() else 0


def current_device() -> int:
    """The number of the GPU in use."""
    return _cupy().cuda.Device().id


def set_device(device) -> None:
    """Use that GPU from now on, where "cuda" names none."""
    _cupy().cuda.Device(_number(device)).use()


class device:  # noqa: N801 - PyTorch's name
    """Use a GPU inside a ``with`` block: ``with mlkit.cuda.device(1): ...``; None and negative numbers change nothing."""

    def __init__(self, device: Any) -> None:
        self.idx = -1 if device is None else _number(device)

    def __enter__(self) -> device:
        self._before = current_device()
        if self.idx >= 0:
            set_device(self.idx)
        return self

    def __exit__(self, *exc: object) -> None:
        set_device(self._before)


def get_device_name(device=None) -> str:
    """The GPU's name."""
    return get_device_properties(device).name


class Properties:
    """What is known of a GPU: name, major and minor compute capability, total_memory, multi_processor_count."""

    def __init__(self, found: dict) -> None:
        self.name: str = found["name"].decode()
        self.major: int = found["major"]
        self.minor: int = found["minor"]
        self.total_memory: int = found["totalGlobalMem"]
        self.multi_processor_count: int = found["multiProcessorCount"]
        self.warp_size: int = found["warpSize"]
        self.shared_memory_per_block: int = found["sharedMemPerBlock"]
        self.L2_cache_size: int = found["l2CacheSize"]

    def __repr__(self) -> str:
        return (
            f"_CudaDeviceProperties(name='{self.name}', major={self.major}, minor={self.minor}, "
            f"total_memory={self.total_memory >> 20}MB, multi_processor_count={self.multi_processor_count})"
        )


def get_device_properties(device=None) -> Properties:
    """Name, compute capability, memory and processors of a GPU."""
    return Properties(_cupy().cuda.runtime.getDeviceProperties(_number(device)))


def get_device_capability(device=None) -> tuple[int, int]:
    """(major, minor) of the compute capability: (9, 0) for an H200."""
    found = get_device_properties(device)
    return found.major, found.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether bfloat16 products run on the GPU's tensor cores (compute capability 8 and later)."""
    return is_available() and (including_emulation or get_device_capability()[0] >= 8)


def synchronize(device=None) -> None:
    """Wait until all work sent to the GPU is done."""
    with _cupy().cuda.Device(_number(device)):
        _library().synchronize()


# --- memory ---------------------------------------------------------------------------------------------------------------


def memory_allocated(device=None) -> int:
    """Bytes of GPU memory in use by tensors."""
    return _library().memory()["allocated"]


def max_memory_allocated(device=None) -> int:
    """The most bytes that tensors had in use at one time since the start or the last ``reset_peak_memory_stats``."""
    return _library().memory()["peak"]


def memory_reserved(device=None) -> int:
    """Bytes held for tensors: in use, or kept for the next ones."""
    return _library().memory()["reserved"]


def max_memory_reserved(device=None) -> int:
    """The most bytes held at one time since the start or the last ``reset_peak_memory_stats``."""
    return _library().memory()["reserved_peak"]


def reset_peak_memory_stats(device=None) -> None:
    """Count the peaks anew from what is in use now."""
    _library().memory(reset=True)


def memory_stats(device=None) -> dict[str, int]:
    """The figures above under PyTorch's keys."""
    found = _library().memory()
    return {
        "allocated_bytes.all.current": found["allocated"],
        "allocated_bytes.all.peak": found["peak"],
        "reserved_bytes.all.current": found["reserved"],
        "reserved_bytes.all.peak": found["reserved_peak"],
    }


def memory_summary(device=None, abbreviated: bool = False) -> str:
    """The figures above as a few lines of text."""
    free, total = mem_get_info(device)
    rows = {
        "tensors": memory_allocated(),
        "tensors at most": max_memory_allocated(),
        "held for tensors": memory_reserved(),
        "free on the GPU": free,
        "the GPU's memory": total,
    }
    return "\n".join(f"{name:<18}{size / 2**20:12,.1f} MiB" for name, size in rows.items())


def mem_get_info(device=None) -> tuple[int, int]:
    """(free, total) bytes of the GPU, whoever uses them."""
    return _cupy().cuda.Device(_number(device)).mem_info


def empty_cache() -> None:
    """Give cached GPU memory back to the driver."""
    _cupy().get_default_memory_pool().free_all_blocks()


# --- streams ----------------------------------------------------------------------------------------------------------------


class Stream:
    """A queue of work on the GPU: what is in one runs in order, two run side by side."""

    def __init__(self, device=None, priority: int = 0, *, _stream=None) -> None:
        if _stream is None:
            with _cupy().cuda.Device(_number(device)):
                _stream = _cupy().cuda.Stream(non_blocking=True, priority=priority or None)
        self._stream = _stream
        self._entered: list = []

    @property
    def cuda_stream(self) -> int:
        """The address of the CUDA stream, for other libraries."""
        return self._stream.ptr

    def synchronize(self) -> None:
        """Wait until its work is done."""
        self._stream.synchronize()

    def query(self) -> bool:
        """Whether its work is done."""
        return self._stream.done

    def wait_event(self, event: Event) -> None:
        """Its further work waits for the event."""
        self._stream.wait_event(event._event)

    def wait_stream(self, stream: Stream) -> None:
        """Its further work waits for what the other stream has been given so far."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """An event that happens when the work given so far is done."""
        event = event or Event()
        event.record(self)
        return event

    def __enter__(self) -> Stream:
        self._stream.__enter__()
        return self

    def __exit__(self, *exc) -> None:
        self._stream.__exit__(*exc)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and other.cuda_stream == self.cuda_stream

    def __hash__(self) -> int:
        return hash(self.cuda_stream)


class Event:
    """A mark in a stream: wait for it, or measure the time between two."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False) -> None:
        self._timing = enable_timing
        self._event = _cupy().cuda.Event(block=blocking, disable_timing=not enable_timing)

    def record(self, stream: Stream | None = None) -> None:
        """Happens when the work given to the stream so far is done."""
        self._event.record((stream or current_stream())._stream)

    def synchronize(self) -> None:
        """Wait until it has happened."""
        self._event.synchronize()

    def query(self) -> bool:
        """Whether it has happened."""
        return self._event.done

    def wait(self, stream: Stream | None = None) -> None:
        """The stream's further work waits for it."""
        (stream or current_stream()).wait_event(self)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds between this event and a later one; both need ``enable_timing=True``."""
        return _cupy().cuda.get_elapsed_time(self._event, end_event._event)


def current_stream(device=None) -> Stream:
    """The stream that work goes to now."""
    return Stream(_stream=_cupy().cuda.get_current_stream())


def default_stream(device=None) -> Stream:
    """The stream that work goes to when no other was chosen."""
    return Stream(_stream=_cupy().cuda.Stream.null)


@contextlib.contextmanager
def stream(stream: Stream | None) -> Iterator[None]:
    """Work inside the block goes to that stream; None changes nothing."""
    if stream is None:
        yield
    else:
        with stream:
            yield


# --- random numbers --------------------------------------------------------------------------------------------------------


def manual_seed(seed: int) -> None:
    """Start the random stream (one for all devices)."""
    default_generator.manual_seed(seed)


manual_seed_all = manual_seed


def seed() -> int:
    """Start the random stream somewhere; returns the seed taken."""
    return default_generator.seed()


seed_all = seed


def initial_seed() -> int:
    """The seed the random stream was started with."""
    return default_generator.initial_seed()


def get_rng_state(device="cuda"):
    """The state of the random stream (one for all devices): uint8 Tensor."""
    return default_generator.get_state()


def set_rng_state(new_state, device="cuda") -> None:
    """Go on from a state of ``get_rng_state``."""
    default_generator.set_state(new_state)


from mlkit.cuda import amp  # noqa: E402 - PyTorch's path: mlkit.cuda.amp.autocast
