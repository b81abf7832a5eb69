"""The memory behind tensors as files keep it: which bytes to write, and tensors as strided windows on bytes read."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from mlkit.core import backend as backends
from mlkit.core.dtype import dtype
from mlkit.core.tensor import Tensor
from mlkit.core.value import MetaArray, Storage, wrap

__all__ = ["KeptMemory", "LoadedStorage", "window"]


@dataclass
class Piece:
    """One stretch of memory that goes into the file, and where it is."""

    dtype: np.dtype
    device: str
    low: int
    high: int
    keep: list = field(default_factory=list)  # the arrays, so that addresses stay theirs


class KeptMemory:
    """Collects the memory of the tensors that are saved, so that tensors that share memory still share it when loaded.

    Of a piece of memory only the stretch from the first to the last element that some saved tensor shows is written.
    """

    def __init__(self) -> None:
        self.pieces: dict[tuple, Piece] = {}
        self.keys: dict[tuple, str] = {}
        self.copies: dict[int, Any] = {}

    def add(self, tensor: Tensor) -> tuple[str, str, int, tuple[int, ...], int]:
        """Note the tensor's memory: (key, device, offset, strides, count), offset and strides counted in elements.

        Offset and count are final when all tensors have been added once.
        """
        array = self.fit(tensor)
        step = array.itemsize
        low = _address(array)
        high = low + step
        for size, stride in zip(array.shape, array.strides):
            high += (size - 1) * stride
        if not array.size:
            high = low
        identity = (id(_owner(array)) if array.size else id(array), array.dtype, low % step)
        device = str(tensor.device)
        piece = self.pieces.get(identity)
        if piece is None:
            piece = self.pieces[identity] = Piece(array.dtype, device, low, high)
            self.keys[identity] = str(len(self.keys))
        elif not any(kept is array for kept in piece.keep):
            piece.low, piece.high = min(piece.low, low), max(piece.high, high)
        piece.keep.append(array)
        strides = tuple(s // step for s in array.strides)
        if not array.size:
            strides = _contiguous(array.shape)
        return self.keys[identity], device, (low - piece.low) // step, strides, (piece.high - piece.low) // step

    def fit(self, tensor: Tensor):
        """The tensor's array, or a copy where the file format cannot say its strides (PyTorch's are never negative)."""
        array = tensor._array
        if all(s >= 0 and s % array.itemsize == 0 for s in array.strides):
            return array
        copied = self.copies.get(id(array))
        if copied is None:
            copied = (array, array.copy(order="C"))
            self.copies[id(array)] = copied
        return copied[1]

    def contents(self):
        """(key, bytes) of each piece."""
        for identity, piece in self.pieces.items():
            yield self.keys[identity], _bytes_of(piece)


def _owner(array):
    """The array whose memory this is a view of."""
    while True:
        base = getattr(array, "base", None)
        if isinstance(base, type(array)):
            array = base
        elif isinstance(base, np.ndarray):
            array = base
        elif type(base).__name__ == "DummyArray":  # what NumPy's as_strided puts between
            array = base
        else:
            return array


def _address(array) -> int:
    if isinstance(array, np.ndarray):
        return array.__array_interface__["data"][0]
    return array.data.ptr


def _bytes_of(piece: Piece):
    count = piece.high - piece.low
    if not count:
        return b""
    if isinstance(piece.keep[0], np.ndarray):
        return memoryview((ctypes.c_char * count).from_address(piece.low)).cast("B")
    array = piece.keep[0]
    xp = cast(Any, backends.for_array(array).m).xp
    memory = xp.cuda.MemoryPointer(array.data.mem, piece.low - array.data.mem.ptr)
    with array.device:
        return memoryview(xp.asnumpy(xp.ndarray((count,), np.uint8, memptr=memory)))


def _contiguous(shape) -> tuple[int, ...]:
    strides, total = [], 1
    for size in reversed(shape):
        strides.append(total)
        total *= max(size, 1)
    return tuple(reversed(strides))


def contiguous_strides(shape) -> tuple[int, ...]:
    """The strides, counted in elements, of a row-major array of that shape."""
    return _contiguous(shape)


def tensor_around(array) -> Tensor:
    """A tensor that is that array."""
    return cast(Tensor, wrap(array))


class LoadedStorage:
    """Bytes from a file, on the device they belong to. What ``map_location`` functions get; tensors are windows on it."""

    def __init__(self, data: Any, location: str):
        self.data = data  # uint8 on the host, or an array of the device
        self.location = location
        self.record = Storage()  # one version counter for all tensors that look at it

    @property
    def device(self):
        """Where the bytes are."""
        from mlkit.core.device import device

        return (
            device("meta") if isinstance(self.data, MetaArray) else backends.for_array(self.data).device_of(self.data)
        )

    def nbytes(self) -> int:
        return int(self.data.size)

    def to(self, place) -> LoadedStorage:
        """The storage on a device."""
        from mlkit.core.device import device

        place = device(place)
        if place.type == self.device.type and place.index in (None, self.device.index):
            return self
        if place.type == "meta":
            moved: Any = MetaArray(self.data.shape, self.data.dtype)
        else:
            host = backends.for_array(self.data).to_numpy(self.data)
            moved = backends.for_device(place).asarray(host, place.index)
        return LoadedStorage(moved, str(place))

    def cpu(self) -> LoadedStorage:
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> LoadedStorage:
        return self.to("cuda" if device is None else f"cuda:{device}")


def window(storage: LoadedStorage, d: dtype, offset: int, size: tuple, stride: tuple) -> Tensor:
    """The tensor that shows ``storage`` from element ``offset`` with those sizes and strides.

    Raises:
        ValueError: it would look beyond the storage.
    """
    if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in (*size, *stride, offset)):
        raise ValueError(f"a tensor of size {size}, strides {stride} and offset {offset}")
    step = d.itemsize
    if 0 not in size:
        last = offset + sum((n - 1) * s for n, s in zip(size, stride))
        if (last + 1) * step > storage.data.size:
            raise ValueError(f"a tensor of size {size} that does not fit its storage of {storage.data.size} bytes")
    data = storage.data
    strides = tuple(s * step for s in stride)
    if isinstance(data, MetaArray):
        return tensor_around(MetaArray(size, d.numpy))
    if 0 in size:
        array = cast(Any, backends.for_array(data).m).xp.zeros(size, d.numpy)
    elif isinstance(data, np.ndarray):
        array = np.ndarray(size, d.numpy, buffer=data, offset=offset * step, strides=strides)
    else:
        memory = data.data + offset * step
        array = type(data)(size, d.numpy, memptr=memory, strides=strides)
    out = tensor_around(array)
    out._storage = storage.record
    return out
