"""Tensors in the safetensors format, with the names of the ``safetensors.torch`` module: no code in files, none run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.device import device as as_device
from mlkit.core.errors import ArgumentError, CheckpointError, DtypeError
from mlkit.core.files import atomic_write
from mlkit.core.tensor import Tensor
from mlkit.core.value import MetaArray
from mlkit.io.storages import tensor_around
from mlkit.io.torch_file import MissingFile

__all__ = ["load", "load_file", "load_metadata", "load_model", "save", "save_file", "save_model"]

_CODES = {
    "BOOL": dtypes.bool_,
    "U8": dtypes.uint8,
    "I8": dtypes.int8,
    "I16": dtypes.int16,
    "U16": dtypes.uint16,
    "I32": dtypes.int32,
    "U32": dtypes.uint32,
    "I64": dtypes.int64,
    "U64": dtypes.uint64,
    "F16": dtypes.float16,
    "BF16": dtypes.bfloat16,
    "F32": dtypes.float32,
    "F64": dtypes.float64,
    "C64": dtypes.complex64,
}


def save(tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a safetensors file.

    Args:
        tensors: By name. Tensors that share memory are refused, because a file would hold them twice.
        metadata: Texts by name, kept in the header.

    Raises:
        ArgumentError: Not a dictionary of tensors by text, or metadata that is not text.
        CheckpointError: Tensors that share memory; a meta tensor.
        DtypeError: complex128, which the format lacks.
    """
    from safetensors import TensorSpec, serialize

    if not isinstance(tensors, Mapping):
        raise ArgumentError(f"Expected a dictionary of tensors by name, got {type(tensors).__name__}.")
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise ArgumentError(
                f"Metadata is text by name; {key!r} is {type(text).__name__}.",
                hint="Write str(value) or json.dumps(value).",
            )
    names = {d.name: code for code, d in _CODES.items()}
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise ArgumentError(
                f"Key {name!r} is invalid: expected a Tensor by a name, got {type(tensor).__name__}.",
                hint="Save only tensors; other things go into metadata as text.",
            )
        if tensor._array.__class__ is MetaArray:
            raise CheckpointError(f"The tensor {name!r} is on the meta device and has no data to save.")
        if tensor.dtype.name not in names:
            raise DtypeError(f"The tensor {name!r} is {tensor.dtype}, which safetensors lacks.", hint="Use mlkit.save.")
        arrays[name] = tensor.detach().cpu().numpy()
    _refuse_shared(arrays)
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    specs = {
        name: TensorSpec(dtype=array.dtype.name, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes)
        for name, array in arrays.items()
    }
    return bytes(serialize(specs, metadata=dict(metadata) if metadata else None))


def _refuse_shared(arrays: dict[str, np.ndarray]) -> None:
    spans = sorted((*np.lib.array_utils.byte_bounds(array), name) for name, array in arrays.items() if array.size)
    for (_, end, first), (start, _, second) in zip(spans, spans[1:]):
        if start < end and np.may_share_memory(arrays[first], arrays[second]):
            raise CheckpointError(
                f"The tensors {first!r} and {second!r} share memory, which a safetensors file cannot say.",
                hint="Save one of them, save a clone(), or use mlkit.save, which keeps sharing.",
            )


def save_file(
    tensors: Mapping[str, Tensor], filename: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file, whole or not at all. Arguments and errors as in ``save``.

    >>> import mlkit, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "a.safetensors")
    >>> save_file({"w": mlkit.ones(2)}, path, {"made by": "an example"})
    >>> load_file(path), load_metadata(path)
    ({'w': tensor([1., 1.])}, {'made by': 'an example'})
    """
    data = save(tensors, metadata)
    with atomic_write(filename) as file:
        file.write(data)


def load(data: bytes) -> dict[str, Tensor]:
    """The tensors in the bytes of a safetensors file, by name.

    Raises:
        CheckpointError: The bytes are damaged, cut short, or no safetensors file.
    """
    return _load(bytes(data), "the data")


def load_file(filename: str | os.PathLike[str], device: str = "cpu") -> dict[str, Tensor]:
    """The tensors in a safetensors file, by name, on a device.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, cut short, or no safetensors file.
    """
    place = as_device(device)
    tensors = _load(_content(filename), str(filename))
    return tensors if place.type == "cpu" else {name: t.to(place) for name, t in tensors.items()}


def load_metadata(filename: str | os.PathLike[str]) -> dict[str, str]:
    """The texts in the header of a safetensors file."""
    data = _content(filename)
    _load(data, str(filename))
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header.get("__metadata__", {})


def _content(filename) -> bytes:
    try:
        return Path(filename).read_bytes()
    except FileNotFoundError:
        raise MissingFile(f"There is no file {filename}.", hint="Check the path for a typing error.") from None
    except OSError as error:
        raise CheckpointError(f"Cannot read {filename}: {error.strerror or error}.") from error


def _load(data: bytes, where: str) -> dict[str, Tensor]:
    from safetensors import SafetensorError, deserialize

    try:
        entries = deserialize(data)
    except SafetensorError as error:
        hint = "Download or save it again."
        if data[:2] == b"PK" or data[:1] == b"\x80":
            hint = "It looks like a file of torch.save: read it with mlkit.load(path)."
        raise CheckpointError(
            f"{where} is damaged, cut short, or no safetensors file.", f"{error}; {len(data):,} bytes", hint
        ) from None
    tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in _CODES:
            raise DtypeError(f"The tensor {name!r} in {where} has the type {entry['dtype']}, which mlkit lacks.")
        array = np.frombuffer(bytearray(entry["data"]), _CODES[entry["dtype"]].numpy)
        tensors[name] = tensor_around(array.reshape(entry["shape"]))
    return tensors


def save_model(model, filename: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write a module's state; of parameters that share memory the first is written and the others named in metadata."""
    tensors: dict[str, Tensor] = {}
    notes = dict(metadata or {})
    first: dict[int, str] = {}
    for name, tensor in sorted(model.state_dict().items()):
        here = id(tensor._array) if tensor._array.__class__ is MetaArray else tensor.data_ptr()
        if tensor._array.size and here in first and tensors[first[here]].shape == tensor.shape:
            notes[name] = first[here]
        else:
            tensors[name] = tensor
            first.setdefault(here, name)
    save_file(tensors, filename, notes or None)


def load_model(
    model, filename: str | os.PathLike[str], strict: bool = True, device: str = "cpu"
) -> tuple[list[str], list[str]]:
    """Fill a module from a file of ``save_model``; returns (missing, unexpected) names.

    Raises:
        CheckpointError: Names or shapes that do not fit (all are listed); the module is as it was.
    """
    tensors = load_file(filename, device)
    own = model.state_dict()
    for name, kept in load_metadata(filename).items():
        if name in own and name not in tensors and kept in tensors:
            tensors[name] = tensors[kept]
    result = model.load_state_dict(tensors, strict=strict)
    return list(result[0]), list(result[1])
