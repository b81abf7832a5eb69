"""Batches from one process to another through shared memory that has no name.

A worker writes large arrays into anonymous memory files (Linux: memfd; elsewhere a temporary file that is deleted at
once) and passes their descriptors through its socket. Nothing lies in /dev/shm or anywhere else, so nothing can be
left behind: however a process ends, the system frees the memory with the last process that has it open. Small arrays
travel in the message itself.
"""

from __future__ import annotations

import mmap
import os
import pickle
import socket
import tempfile
import threading
import weakref
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from mlkit.core.errors import DataError
from mlkit.data import arrays

__all__ = ["Channel", "Shared", "close_inherited", "empty", "supported"]

LARGE = 1 << 14
"""Bytes; a smaller array is cheaper to copy through the pipe than to map."""
MOST = 64
"""Memory files in one message; further arrays share the last one."""
OPEN = 256
"""Batches' files this process holds open; beyond, arrays are copied out, so that `list(loader)` needs no descriptors."""

_open: list[weakref.ref[np.ndarray]] = []  # no callbacks: Ctrl-C during one would be swallowed
_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def supported() -> bool:
    """Whether this system can pass memory between processes by descriptor."""
    return hasattr(socket, "send_fds") and hasattr(socket, "AF_UNIX") and os.name == "posix"


class Segment:
    """One memory file of a worker, mapped for writing."""

    def __init__(self, size: int, what: str = "a batch") -> None:
        self.size = size
        self.descriptor = _memory_file(size, what)
        self.map = mmap.mmap(self.descriptor, size)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.address = self.bytes.__array_interface__["data"][0]

    def offset_of(self, array: np.ndarray) -> int | None:
        """Where this array lies in the segment; None: it does not."""
        offset = array.__array_interface__["data"][0] - self.address
        return offset if 0 <= offset and offset + array.nbytes <= self.size else None


class _Here(threading.local):
    segments: list[Segment] | None = None


_here = _Here()


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory for a batch's array: in a worker already where the main process will read it, so that it is not copied."""
    size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if _here.segments is None or size < LARGE or len(_here.segments) >= MOST - 1 or dtype.hasobject:
        return np.empty(shape, dtype)
    segment = Segment(size)
    _here.segments.append(segment)
    return segment.bytes.view(dtype).reshape(shape)


class Placed:
    """Stands for a tensor in a message: where its values are."""

    def __init__(self, segment: int, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.segment, self.offset, self.shape, self.dtype = segment, offset, shape, dtype

    def __reduce__(self) -> tuple[Any, ...]:
        return Placed, (self.segment, self.offset, self.shape, self.dtype)


class Inline:
    """Stands for a small tensor in a message: its values."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def close_inherited() -> None:
    """In a worker made by "fork": close its copies of the main process's ends, or it would never see them close."""
    for channel in list(_channels):
        channel.close()


class Shared:
    """The large arrays of a dataset in one memory file, which every worker maps: one copy for all of them.

    A worker that writes into them gets copies of its own of the pages it changes.

    Args:
        buffers: The arrays' memory, as pickle gives it.
    """

    def __init__(self, buffers: list[pickle.PickleBuffer]) -> None:
        raw = [buffer.raw() for buffer in buffers]
        self.sizes = [one.nbytes for one in raw]
        self.segment = Segment(sum(-(-size // 64) * 64 for size in self.sizes), "a dataset")
        at = 0
        for one, size in zip(raw, self.sizes):
            self.segment.bytes[at : at + size] = np.frombuffer(one, np.uint8)
            at += -(-size // 64) * 64

    def close(self) -> None:
        """Workers that have it keep it."""
        os.close(self.segment.descriptor)

    @staticmethod
    def parts(descriptor: int, sizes: list[int]) -> list[memoryview]:
        """The arrays' memory again, in a worker."""
        mapped = mmap.mmap(descriptor, sum(-(-size // 64) * 64 for size in sizes), access=mmap.ACCESS_COPY)
        os.close(descriptor)
        whole, found, at = memoryview(mapped), [], 0
        for size in sizes:
            found.append(whole[at : at + size])
            at += -(-size // 64) * 64
        return found


class Channel:
    """One end of the pipe between the loader and a worker, for messages with batches in them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        _channels.add(self)
        self._socket: socket.socket | None = None
        if supported():
            self._socket = socket.socket(fileno=os.dup(connection.fileno()))

    def close(self) -> None:
        self.connection.close()
        if self._socket is not None:
            self._socket.close()

    def send_descriptor(self, descriptor: int) -> None:
        """Give the other end a file of ours."""
        assert self._socket is not None
        socket.send_fds(self._socket, [b"x"], [descriptor])

    def receive_descriptor(self) -> int:
        """What `send_descriptor` has sent."""
        assert self._socket is not None
        _, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        if not descriptors:
            raise EOFError
        return descriptors[0]

    def collect(self) -> None:
        """From here to `send`, this thread's batches are made in shared memory."""
        _here.segments = [] if self._socket is not None else None

    def forget(self) -> None:
        """Free what `collect` has gathered."""
        for segment in _here.segments or ():
            os.close(segment.descriptor)
        _here.segments = None

    def send(self, kind: str, key: Any, batch: Any) -> None:
        """Send a batch with its tensors.

        Raises:
            OSError: The other end is gone.
        """
        try:
            content, segments = self._pack(batch)
            sizes = [segment.size for segment in segments]
            data = pickle.dumps((kind, key, content, sizes), protocol=pickle.HIGHEST_PROTOCOL)
            self.connection.send_bytes(data)
            if segments:
                assert self._socket is not None
                socket.send_fds(self._socket, [b"x"], [segment.descriptor for segment in segments])
        finally:
            self.forget()

    def receive(self) -> tuple[str, Any, Any]:
        """The next message: (kind, key, batch).

        Raises:
            EOFError, OSError: The other end is gone.
        """
        kind, key, content, sizes = pickle.loads(self.connection.recv_bytes())  # noqa: S301 (from our own workers)
        if not sizes:
            return kind, key, _unpack(content, [])
        assert self._socket is not None
        descriptors: list[int] = []
        mark, descriptors, _, _ = socket.recv_fds(self._socket, 1, len(sizes))
        if not mark:
            raise EOFError
        if len(descriptors) < len(sizes):
            for descriptor in descriptors:
                os.close(descriptor)
            raise DataError(
                "DataLoader: this process may not open more files.",
                hint="Raise the limit (ulimit -n), or keep fewer batches.",
            )
        try:
            buffers = [_map(descriptor, size) for descriptor, size in zip(descriptors, sizes)]
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return kind, key, _unpack(content, buffers)

    def _pack(self, batch: Any) -> tuple[Any, list[Segment]]:
        from mlkit.data.collate import map_tensors

        made = _here.segments
        if made is None:
            return map_tensors(batch, lambda tensor: Inline(arrays.to_numpy(tensor))), []
        used: dict[int, int] = {}  # number in `made`: number in the message
        loose: list[tuple[np.ndarray, Placed]] = []

        def place(tensor: Any) -> Any:
            array = arrays.to_numpy(tensor)
            if array.nbytes < LARGE or array.dtype.hasobject:
                return Inline(array)
            if array.flags.c_contiguous:
                for number, segment in enumerate(made):
                    offset = segment.offset_of(array)
                    if offset is not None:
                        return Placed(used.setdefault(number, len(used)), offset, array.shape, array.dtype)
            placed = Placed(-1, 0, array.shape, array.dtype)
            loose.append((array, placed))
            return placed

        content = map_tensors(batch, place)
        segments = [made[number] for number in used]
        if loose:
            total = 0
            for array, placed in loose:
                placed.segment, placed.offset = len(segments), total
                total += -(-array.nbytes // 64) * 64
            segment = Segment(total)
            made.append(segment)
            segments.append(segment)
            for array, placed in loose:
                _view(segment.bytes, placed)[...] = array
        return content, segments


def _view(buffer: np.ndarray, placed: Placed) -> np.ndarray:
    size = placed.dtype.itemsize * int(np.prod(placed.shape, dtype=np.int64))
    return buffer[placed.offset : placed.offset + size].view(placed.dtype).reshape(placed.shape)


def _unpack(content: Any, buffers: list[np.ndarray]) -> Any:
    from mlkit.data.collate import map_tensors

    def take(value: Any) -> Any:
        return arrays.from_numpy(value.array if isinstance(value, Inline) else _view(buffers[value.segment], value))

    return map_tensors(content, take, lambda value: isinstance(value, (Placed, Inline)))


def _map(descriptor: int, size: int) -> np.ndarray:
    """The bytes of a memory file: shared, or a copy where this process holds many open already."""
    mapped = mmap.mmap(descriptor, size)
    buffer = np.frombuffer(mapped, np.uint8)
    _open[:] = [one for one in _open if one() is not None]
    if len(_open) >= OPEN:
        return buffer.copy()
    _open.append(weakref.ref(buffer))
    return buffer


def _memory_file(size: int, what: str) -> int:
    free = available_memory()
    if free is not None and size > free:  # the system would rather end a process than refuse memory
        raise _no_room(what, size, f"{free / 1e6:,.0f} MB of memory are free")
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mlkit-batch", os.MFD_CLOEXEC)
    else:
        descriptor, path = tempfile.mkstemp(prefix="mlkit-batch-")
        os.unlink(path)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)  # all of it now: a full disk is an error here and no crash later
        else:
            os.ftruncate(descriptor, size)
    except OSError as error:
        os.close(descriptor)
        raise _no_room(what, size, error.strerror) from error
    return descriptor


def _no_room(what: str, size: int, why: str | None) -> DataError:
    return DataError(
        f"DataLoader: there is no room for {what} of {size / 1e6:,.0f} MB in shared memory.",
        details=why,
        hint="Use smaller batches, fewer workers or a smaller prefetch_factor."
        if what == "a batch"
        else "Use num_workers=0, or keep the data in files (ArrayFiles).",
    )


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not tell."""
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None
