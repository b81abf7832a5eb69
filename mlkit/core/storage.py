"""A tensor's memory as one flat row: what views of one another have in common."""

from __future__ import annotations

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.value import MetaArray, Value, wrap


def memory_of(array):
    """The array that owns the memory an array looks at."""
    base = array
    while getattr(base, "base", None) is not None and hasattr(
        base.base, "ctypes" if isinstance(base, np.ndarray) else "data"
    ):
        base = base.base
    return base


class UntypedStorage:
    """The bytes behind a tensor; tensors that are views of one another have the same ``data_ptr()``.

    >>> import mlkit
    >>> x = mlkit.zeros(2, 3)
    >>> x.untyped_storage().data_ptr() == x[1].untyped_storage().data_ptr(), x[1].untyped_storage().nbytes()
    (True, 24)
    """

    def __init__(self, tensor: Value):
        self._tensor = tensor
        self._memory = tensor._array if tensor._array.__class__ is MetaArray else memory_of(tensor._array)

    def data_ptr(self) -> int:
        """The address of the first byte."""
        memory = self._memory
        if memory.__class__ is MetaArray:
            return 0
        return memory.ctypes.data if isinstance(memory, np.ndarray) else int(memory.data.ptr)

    def nbytes(self) -> int:
        """How many bytes."""
        return self._memory.nbytes

    @property
    def device(self):
        return self._tensor.device

    def size(self) -> int:
        return self.nbytes()

    __len__ = size

    def _flat(self) -> np.ndarray:
        return np.asarray(self._memory).reshape(-1).view(np.uint8)

    def tolist(self) -> list[int]:
        return self._flat().tolist()

    def __getitem__(self, index):
        return self._flat()[index].item()

    def __repr__(self) -> str:
        return f"mlkit.UntypedStorage(nbytes={self.nbytes()}, device={self.device})"


class TypedStorage:
    """The elements behind a tensor in memory order."""

    def __init__(self, tensor: Value):
        self._tensor = tensor
        self._untyped = UntypedStorage(tensor)

    @property
    def dtype(self):
        return dtypes.from_numpy_dtype(self._tensor._array.dtype)

    @property
    def device(self):
        return self._tensor.device

    def untyped(self) -> UntypedStorage:
        return self._untyped

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self._untyped.data_ptr()

    def nbytes(self) -> int:
        return self._untyped.nbytes()

    def element_size(self) -> int:
        return self._tensor._array.dtype.itemsize

    def size(self) -> int:
        """How many elements."""
        return self.nbytes() // self.element_size()

    __len__ = size

    def _flat(self) -> np.ndarray:
        return np.asarray(self._untyped._memory).reshape(-1)

    def tolist(self) -> list:
        return self._flat().tolist()

    def __iter__(self):
        return iter(self.tolist())

    def __getitem__(self, index):
        got = self._flat()[index]
        return got.item() if not isinstance(index, slice) else TypedStorage(wrap(got))

    def __setitem__(self, index, value) -> None:
        self._flat()[index] = value
        from mlkit.core.value import mark_mutated

        mark_mutated(self._tensor)

    def __repr__(self) -> str:
        rows = "\n".join(f" {v}" for v in self.tolist())
        return f"{rows}\n[mlkit.storage.TypedStorage(dtype={self.dtype}, device={self.device}) of size {self.size()}]"
