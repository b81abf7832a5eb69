"""Memory of other libraries as tensors, without a copy: NumPy arrays, DLPack, Python buffers, CUDA arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.device import device as as_device
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, DtypeError, ValueRangeError
from mlkit.core.value import Value, wrap
from mlkit.functional import conversion, placement

CPU, CUDA, CUDA_HOST, CUDA_MANAGED = 1, 2, 3, 13  # DLPack's device types


class _Capsule:
    """A bare DLPack capsule with the two methods that readers ask for."""

    def __init__(self, capsule):
        self.capsule = capsule

    def __dlpack__(self, **wishes):
        return self.capsule

    def __dlpack_device__(self):
        return CPU, 0


def from_dlpack(ext_tensor: Any, *, device=None, copy: bool | None = None):  # noqa: A002
    """A tensor that shares memory with an array of another library (NumPy, PyTorch, CuPy, JAX, ...).

    Args:
        ext_tensor: an object with ``__dlpack__`` and ``__dlpack_device__``, or a DLPack capsule in main memory.
        device: where the tensor shall be; by default where the array is.
        copy: True always copies, False never (an error when that is impossible), None when it must.

    Raises:
        ArgumentError: the object speaks no DLPack.
        DtypeError: its elements have a type mlkit lacks.

    >>> import mlkit, numpy
    >>> a = numpy.arange(3); t = mlkit.from_dlpack(a); a[0] = 7; t
    tensor([7, 1, 2])
    """
    if type(ext_tensor).__name__ == "PyCapsule":
        ext_tensor = _Capsule(ext_tensor)
    if not hasattr(ext_tensor, "__dlpack__") or not hasattr(ext_tensor, "__dlpack_device__"):
        raise ArgumentError(
            f"from_dlpack: expected an array that speaks DLPack, got {type(ext_tensor).__name__}.",
            hint="For numbers and lists use mlkit.tensor.",
        )
    if isinstance(ext_tensor, Value):
        array: Any = ext_tensor.detach()._array
    else:
        kind = int(ext_tensor.__dlpack_device__()[0])
        place = {CPU: "cpu", CUDA_HOST: "cpu", CUDA: "cuda", CUDA_MANAGED: "cuda"}.get(kind)
        if place is None:
            raise ValueRangeError(f"from_dlpack: mlkit has no device for DLPack's device type {kind}.")
        try:
            if place == "cpu":
                array = np.from_dlpack(ext_tensor)
            else:
                array = backends.for_device(as_device("cuda")).m.xp.from_dlpack(ext_tensor)
        except (BufferError, RuntimeError, TypeError) as error:
            raise DtypeError(
                f"from_dlpack: {type(ext_tensor).__name__} cannot be taken over.",
                str(error),
                "An array that needs its gradient has to be detached first; a copy through numpy() may help.",
            ) from error
    dtypes.from_numpy_dtype(array.dtype)
    out = wrap(array)
    wanted = out if device is None else out.to(device)
    if copy is False and wanted is not out:
        raise ValueRangeError(f"from_dlpack: moving from {out.device} to {wanted.device} needs a copy, and copy=False.")
    return wanted.clone() if copy and wanted is out else wanted


def to_dlpack(tensor: Value):
    """A DLPack capsule that shares the tensor's memory; it can be read once."""
    return tensor.__dlpack__()


def dlpack_of(tensor: Value, wishes: dict):
    """What ``Tensor.__dlpack__`` gives: the array library's own capsule."""
    if tensor.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach().")
    if not hasattr(tensor._array, "__dlpack__"):
        raise BufferError(f"A tensor on {tensor.device} has no memory to share.")
    return tensor._array.__dlpack__(**{key: wish for key, wish in wishes.items() if wish is not None})


def dlpack_device_of(tensor: Value) -> tuple[int, int]:
    """DLPack's (device type, index) of the tensor's memory."""
    if not hasattr(tensor._array, "__dlpack_device__"):
        raise BufferError(f"A tensor on {tensor.device} has no memory to share.")
    kind, index = tensor._array.__dlpack_device__()
    return int(kind), int(index)


def frombuffer(buffer, *, dtype, count: int = -1, offset: int = 0, requires_grad: bool = False):
    """A 1-d tensor that shares memory with a Python buffer (bytes, bytearray, memoryview, array, mmap, ...).

    Args:
        buffer: the memory. A read-only one gives a tensor that cannot be changed in place.
        dtype: what to read it as.
        count: how many elements; -1 takes all that are there.
        offset: how many bytes to skip first.

    Raises:
        ValueRangeError: an empty buffer, an offset outside it, or bytes that do not make whole elements.

    >>> import mlkit
    >>> mlkit.frombuffer(bytearray([1, 0, 2, 0]), dtype=mlkit.int16)
    tensor([1, 2], dtype=mlkit.int16)
    """
    try:
        memory = memoryview(buffer)
    except TypeError:
        raise ValueRangeError(
            f"frombuffer: {type(buffer).__name__} does not implement Python's buffer protocol."
        ) from None
    d = dtypes.as_dtype(dtype)
    length = memory.nbytes
    if length <= 0 or count == 0:
        raise ValueRangeError(f"frombuffer: both buffer length ({length}) and count ({count}) must not be 0.")
    if not 0 <= offset < length:
        raise ValueRangeError(
            f"frombuffer: offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} bytes) "
            "minus 1."
        )
    if count < 0 and (length - offset) % d.itemsize:
        raise ValueRangeError(
            f"frombuffer: buffer length ({length - offset} bytes) after offset ({offset} bytes) must be a multiple of "
            f"element size ({d.itemsize})."
        )
    number = (length - offset) // d.itemsize if count < 0 else count
    if offset + number * d.itemsize > length:
        raise ValueRangeError(
            f"frombuffer: requested buffer length ({number} * {d.itemsize} bytes) after offset ({offset} bytes) must not "
            f"be greater than actual buffer length ({length} bytes)."
        )
    return placement.wants_grad(wrap(np.frombuffer(memory, d.numpy, number, offset)), requires_grad)


def as_tensor(data, dtype=None, device=None):  # noqa: A002
    """``data`` as a tensor, sharing memory with NumPy arrays and tensors where dtype and device allow."""
    if isinstance(data, Value):
        out = data
        if dtype is not None and data._array.dtype != dtypes.as_dtype(dtype).numpy:
            out = ops.cast(out, dtype=dtypes.as_dtype(dtype))
        return out if device is None else out.to(device)
    if isinstance(data, np.ndarray) and placement.place_or_default(device).type == "cpu":
        if dtype is None or dtypes.as_dtype(dtype).numpy == data.dtype:
            return conversion.from_numpy(data)
    if hasattr(data, "__dlpack__") and not isinstance(data, np.ndarray):
        return asarray(data, dtype=dtype, device=device)
    return conversion.tensor(data, dtype=dtype, device=device)


def asarray(obj: Any, *, dtype=None, device=None, copy: bool | None = None, requires_grad: bool = False):  # noqa: A002
    """``obj`` as a tensor, sharing memory where it can.

    Args:
        obj: a tensor, a NumPy array, anything that speaks DLPack or Python's buffer protocol (read as ``dtype``, by
            default the default float type), a number, or nested sequences of numbers.
        dtype, device: of the result; by default those of `obj`.
        copy: True always copies, False never (an error when that is impossible), None only when it must.
        requires_grad: whether the result records what happens to it. A tensor's graph is kept only with True.

    Raises:
        ValueRangeError: copy=False, but dtype, device or the kind of `obj` needs a copy.
    """
    if isinstance(obj, Value):
        shared = obj
    elif isinstance(obj, np.ndarray):
        shared = conversion.from_numpy(obj)
    elif isinstance(obj, np.generic):
        shared = conversion.tensor(obj)
    elif hasattr(obj, "__dlpack__") or type(obj).__name__ == "PyCapsule":
        shared = from_dlpack(obj)
    elif _is_buffer(obj):
        shared = frombuffer(obj, dtype=dtypes.get_default_dtype() if dtype is None else dtype)
    else:
        if copy is False:
            raise ValueRangeError(
                f"asarray: can't alias arbitrary sequence into a tensor, and copy=False: {type(obj).__name__}.",
                hint="Leave copy out, or give an array.",
            )
        return conversion.tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    out = shared
    if dtype is not None and dtypes.as_dtype(dtype).numpy != out._array.dtype:
        out = ops.cast(out, dtype=dtypes.as_dtype(dtype))
    if device is not None:
        out = out.to(device)
    if copy is False and out._array is not shared._array:
        raise ValueRangeError(
            "asarray: can't alias tensor with a different dtype or device, and copy=False.",
            f"obj: {shared.dtype} on {shared.device}\nresult: {out.dtype} on {out.device}",
        )
    if copy and out._array is shared._array:
        out = out.clone()
    if not requires_grad:
        return out.detach() if out._node is not None else out
    return out if out._node is not None else placement.wants_grad(out.detach() if out is obj else out, True)


def _is_buffer(obj: Any) -> bool:
    try:
        memoryview(obj)
    except TypeError:
        return False
    return True
