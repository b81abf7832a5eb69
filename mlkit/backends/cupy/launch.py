"""Launches and small arrays that are settled once, for operations that a training step repeats by the hundred.

CuPy's own launch looks at every argument anew and wraps it in an object; that takes as long again as the driver. A
:class:`Launch` has its arguments packed as the driver reads them and writes only what changes from call to call. Memory
is asked for by the piece, whatever its size, so :class:`Pieces` asks once for several small arrays.
"""

from __future__ import annotations

import ctypes
import struct
import threading

import numpy as np


class _Ready(threading.local):
    """The GPUs that this thread has a context on: the driver, unlike the runtime, makes none by itself."""

    def __init__(self) -> None:
        self.devices: set[int] = set()


_ready = _Ready()


class Launch:
    """A kernel with its grid, its block and its last arguments.

    ``form`` says by struct's letters what a call gives in front of them: P an address, d a double, q an integer. The
    settled ones are NumPy numbers of at most eight bytes.
    """

    __slots__ = ("count", "device", "functions", "kernel", "pack", "rest", "rooms", "send", "sizes", "stream", "touch")

    def __init__(self, xp, kernel, grid: tuple, block: tuple, form: str, *settled) -> None:
        cuda = xp.cuda
        self.kernel = kernel
        self.sizes = (*grid, 1, 1)[:3] + (*block, 1, 1)[:3] + (0,)  # no shared memory beside the kernel's own
        self.pack = struct.Struct(form).pack_into
        self.rest = b"".join(np.asarray(number).tobytes().ljust(8, b"\0") for number in settled)
        self.count = len(form) + len(settled)
        self.rooms: list[tuple] = []  # packed arguments that no call uses at the moment
        self.functions: dict[int, int] = {}  # by GPU
        self.send, self.device, self.stream = cuda.driver.launchKernel, cuda.runtime.getDevice, cuda.get_current_stream
        self.touch = cuda.runtime.memGetInfo

    def _room(self) -> tuple:
        """(memory for the arguments, the address of the table that leads to them)."""
        half = 8 * self.count
        room = ctypes.create_string_buffer(2 * half)
        at = ctypes.addressof(room)
        ctypes.memmove(at + half - len(self.rest), self.rest, len(self.rest))
        struct.pack_into(f"{self.count}P", room, half, *range(at, at + half, 8))
        return room, at + half

    def _function(self, number: int) -> int:
        found = self.functions[number] = self.kernel.kernel.ptr
        return found

    def __call__(self, *given) -> None:
        number = self.device()
        if number not in _ready.devices:
            self.touch()
            _ready.devices.add(number)
        function = self.functions.get(number) or self._function(number)
        try:  # a room of its own, since another thread may be on its way with this launch
            room = self.rooms.pop()
        except IndexError:
            room = self._room()
        self.pack(room[0], 0, *given)
        self.send(function, *self.sizes, self.stream().ptr, room[1], 0)
        self.rooms.append(room)


class Pieces:
    """Small arrays in one piece of memory: ``arrays`` gives (where it begins, the arrays), ``at`` where each lies in it."""

    def __init__(self, *wanted: tuple[tuple, np.dtype]) -> None:
        self.at, self.size = [], 0
        for shape, dtype in wanted:
            self.at.append(self.size)
            self.size += -(-int(np.prod(shape)) * dtype.itemsize // 16) * 16
        self.wanted = [(*each, at) for each, at in zip(wanted, self.at, strict=True)]

    def arrays(self, xp) -> tuple:
        memory = xp.cuda.alloc(self.size)
        array = xp.ndarray
        return memory.ptr, [array(shape, dtype, memory + at if at else memory) for shape, dtype, at in self.wanted]
