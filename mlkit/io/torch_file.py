"""``mlkit.save`` and ``mlkit.load``: PyTorch's ``.pt`` files, both ways, without ever running code from a file.

A ``.pt`` file is a zip archive: ``data.pkl`` describes the saved object, ``data/0``, ``data/1``, ... are the bytes of its
tensors. Before PyTorch 1.6 it was a row of pickles followed by the bytes; that is read too. See ``pickled.py`` for why
reading is safe.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from mlkit.core import dtype as dtypes
from mlkit.core.device import device
from mlkit.core.errors import ArgumentError, CheckpointError, DeviceError, MissingFeature, ValueRangeError
from mlkit.core.files import atomic_write
from mlkit.core.size import Size
from mlkit.core.tensor import Tensor
from mlkit.core.value import Leaf, MetaArray
from mlkit.io.pickled import Call, Global, Persistent, UnreadablePickle, read_pickle, write_pickle
from mlkit.io.storages import KeptMemory, LoadedStorage, contiguous_strides, tensor_around, window
from mlkit.nn.parameter import Buffer, Parameter

__all__ = ["load", "save"]

ALIGNMENT = 64
MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001

#: PyTorch's names of storages, and what is in them
STORAGES = {
    "FloatStorage": dtypes.float32,
    "DoubleStorage": dtypes.float64,
    "HalfStorage": dtypes.float16,
    "BFloat16Storage": dtypes.bfloat16,
    "LongStorage": dtypes.int64,
    "IntStorage": dtypes.int32,
    "ShortStorage": dtypes.int16,
    "CharStorage": dtypes.int8,
    "ByteStorage": dtypes.uint8,
    "BoolStorage": dtypes.bool_,
    "ComplexFloatStorage": dtypes.complex64,
    "ComplexDoubleStorage": dtypes.complex128,
}
STORAGE_OF = {d: name for name, d in STORAGES.items()}


class MissingFile(CheckpointError, FileNotFoundError):
    """There is no file of that name."""


class EmptyFile(CheckpointError, EOFError):
    """A file without content."""


# --- saving -------------------------------------------------------------------------------------------------------------


def save(
    obj: Any,
    f: str | os.PathLike[str] | IO[bytes],
    pickle_module: Any = None,
    pickle_protocol: int = 2,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Write tensors and plain data to a file that ``mlkit.load`` and ``torch.load`` (``weights_only=True``) read.

    Tensors that share memory share it in the file and again when loaded. A file is written whole or not at all.

    Args:
        obj: Tensors, Parameters, dtypes, devices, sizes, numbers, texts, None, and dict, OrderedDict, list, tuple and
            set of them: a ``state_dict()`` for instance.
        f: A path, or a file open for writing bytes.
        pickle_module, pickle_protocol: Accepted for PyTorch's sake; the file holds protocol 2 whatever they say.

    Raises:
        CheckpointError: Something in `obj` is none of these; the message names its place. Nothing is written.
        OSError: The folder is missing, read-only or full; an older file of that name is as it was.

    >>> import mlkit, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "state.pt")
    >>> mlkit.save({"step": 3, "w": mlkit.ones(2)}, path)
    >>> mlkit.load(path)
    {'step': 3, 'w': tensor([1., 1.])}
    """
    if not _use_new_zipfile_serialization:
        raise MissingFeature(
            "mlkit.save writes the zip format only.",
            hint="Leave _use_new_zipfile_serialization out; PyTorch 1.6 and later read it.",
        )
    if not (hasattr(f, "write") or isinstance(f, (str, os.PathLike))):
        raise ArgumentError(f"save: expected a path or a file open for writing, got {type(f).__name__}.")
    memory = KeptMemory()
    write_pickle(obj, lambda value, place: _describe(value, place, memory))  # a first pass finds all of the memory
    document = write_pickle(obj, lambda value, place: _describe(value, place, memory))
    if isinstance(f, (str, os.PathLike)):
        with atomic_write(f) as file:
            _write_archive(file, document, memory)
        return
    if isinstance(f, io.TextIOBase):
        raise ArgumentError("save: the file must be open for bytes.", hint="Open it with mode 'wb'.")
    whole = io.BytesIO()
    _write_archive(whole, document, memory)
    f.write(whole.getbuffer())


def _describe(value: Any, place: str, memory: KeptMemory) -> Any:
    if isinstance(value, Tensor):
        return _describe_tensor(value, place, memory)
    if isinstance(value, Size):
        return Call(Global("torch", "Size"), tuple(int(n) for n in value))
    if isinstance(value, dtypes.dtype):
        return Global("torch", value.name)
    if isinstance(value, device):
        return Call(Global("torch", "device"), value.type, *([] if value.index is None else [value.index]))
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    hint = "It holds tensors, numbers, texts, and dict, list, tuple and set of them."
    if isinstance(value, np.ndarray):
        hint = "Save mlkit.from_numpy(array)."
    elif hasattr(value, "state_dict"):
        hint = "Save its .state_dict() instead: a file of data holds no code."
    elif isinstance(value, dict):
        hint = "Save dict(it)."
    raise CheckpointError(f"A file cannot hold {place} of type {kind}.", hint=hint)


def _describe_tensor(tensor: Tensor, place: str, memory: KeptMemory) -> Call:
    names = getattr(tensor, "names", ())
    if any(name is not None for name in names):
        raise CheckpointError(
            f"A file cannot hold axis names, and {place} is named {tuple(names)}.",
            hint="Drop them with tensor.rename(None) before saving.",
        )
    d = dtypes.from_numpy_dtype(tensor._array.dtype)
    size = tuple(int(n) for n in tensor._array.shape)
    wanted, hooks = tensor._node is not None, Call(Global("collections", "OrderedDict"))
    if tensor._array.__class__ is MetaArray:
        what = Call(
            Global("torch._utils", "_rebuild_meta_tensor_no_storage"),
            Global("torch", d.name),
            size,
            contiguous_strides(size),
            wanted,
        )
    else:
        key, location, offset, stride, count = memory.add(tensor)
        if d in STORAGE_OF:
            kind = Global("torch", STORAGE_OF[d])
            storage = Persistent(("storage", kind, key, location, count))
            what = Call(Global("torch._utils", "_rebuild_tensor_v2"), storage, offset, size, stride, wanted, hooks)
        else:
            kind = Global("torch.storage", "UntypedStorage")
            storage = Persistent(("storage", kind, key, location, count * d.itemsize))
            how = (storage, offset, size, stride, wanted, hooks, Global("torch", d.name))
            what = Call(Global("torch._utils", "_rebuild_tensor_v3"), *how)
    if isinstance(tensor, Parameter):
        return Call(Global("torch._utils", "_rebuild_parameter"), what, wanted, hooks)
    return what


def _write_archive(file: IO[bytes], document: bytes, memory: KeptMemory) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _write_record(archive, "data.pkl", document)
        _write_record(archive, ".format_version", b"1")
        _write_record(archive, ".storage_alignment", str(ALIGNMENT).encode())
        _write_record(archive, "byteorder", sys.byteorder.encode())
        for key, content in memory.contents():
            _write_record(archive, f"data/{key}", content)
        _write_record(archive, "version", b"3\n")


def _write_record(archive: zipfile.ZipFile, name: str, content) -> None:
    """One entry, its bytes starting at a multiple of 64 so that they can be mapped into memory."""
    entry = zipfile.ZipInfo(f"archive/{name}", (1980, 1, 1, 0, 0, 0))
    entry.file_size = len(content)
    large = entry.file_size * 1.05 > zipfile.ZIP64_LIMIT
    assert archive.fp is not None
    start = archive.fp.tell() + 30 + len(entry.filename) + (20 if large else 0) + 4
    entry.extra = struct.pack("<2sH", b"FB", -start % ALIGNMENT) + b"Z" * (-start % ALIGNMENT)
    with archive.open(entry, "w") as record:
        for place in range(0, len(content), 1 << 24):
            record.write(content[place : place + (1 << 24)])


# --- loading ------------------------------------------------------------------------------------------------------------


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """What a file written by ``mlkit.save`` or ``torch.save`` holds.

    Only data is read: tensors, parameters, dict, OrderedDict, Counter, list, tuple, set, numbers, texts, dtypes, sizes
    and devices. A file that asks for anything else is refused by name, and nothing in a file is ever run, whatever
    `weights_only` says.

    Args:
        f: A path, or a file open for reading bytes that can seek.
        map_location: Where tensors go: a device, a dictionary from saved to new places, or a function (storage, place)
            -> storage. None puts each back where it was saved from.
        pickle_module: Must be None.
        weights_only: Accepted for PyTorch's sake; reading is as safe with False.
        mmap: True leaves the bytes in the file until they are used (needs a path). Changes do not go to the file.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, cut short or no file of tensors (also an ``UnpicklingError``).
        DeviceError: It was saved from a device that is not here, and `map_location` does not say where to put it.
    """
    if pickle_module is not None:
        raise MissingFeature("load takes no pickle_module: mlkit never unpickles.", hint="Leave it out.")
    if not isinstance(f, (str, os.PathLike)):
        if not (hasattr(f, "read") and hasattr(f, "seek")):
            raise ArgumentError(f"load: expected a path or a file open for reading, got {type(f).__name__}.")
        if mmap:
            raise ValueRangeError("load: mmap=True needs a path.", hint="Give the file's name instead of an open file.")
        return _load(f, f"the file {getattr(f, 'name', 'object')}", map_location, None)
    path = Path(f)
    try:
        with open(path, "rb") as file:
            return _load(file, str(path), map_location, path if mmap else None)
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise MissingFile(f"There is no file {path}.", hint="Check the path for a typing error.") from None


def _load(file: IO[bytes], where: str, map_location, mapped: Path | None) -> Any:
    start = file.tell()
    head = file.read(16)
    file.seek(start)
    if not head:
        raise EmptyFile(f"{where} is empty; expected a file of tensors.", hint="Download or save it again.")
    if head[:2] == b"PK":
        return _load_archive(file, where, map_location, mapped)
    if len(head) > 8 and head[8:9] == b"{":
        raise UnreadablePickle(
            f"{where} is a safetensors file; expected one written by torch.save or mlkit.save.",
            hint="Read it with mlkit.io.safetensors.load_file(path).",
        )
    if head[:1] != b"\x80":
        raise UnreadablePickle(
            f"{where} is no file of tensors: expected a zip archive or a pickle, it starts with {head[:8]!r}.",
            hint="Check that this is the file you mean, and that a download did not give a web page instead.",
        )
    if mapped is not None:
        raise ValueRangeError(
            f"{where} has the format from before PyTorch 1.6, which cannot be mapped into memory.",
            hint="Load it without mmap, or save it again.",
        )
    return _load_legacy(file, where, map_location)


class _Places:
    """Puts storages where map_location says."""

    def __init__(self, map_location, where: str):
        self.rule, self.where = map_location, where
        if isinstance(map_location, (str, device)):
            self.rule = lambda storage, location: storage.to(map_location)
            device(map_location)  # a bad name is refused before anything is read
        elif isinstance(map_location, dict):
            self.rule = lambda storage, location: self.restore(storage, map_location.get(location, location))
        elif map_location is None:
            self.rule = self.restore
        elif callable(map_location):
            self.rule = lambda s, location: (r := map_location(s, location)) and r or self.restore(s, location)
        else:
            raise ArgumentError(f"load: map_location cannot be a {type(map_location).__name__}.")

    def restore(self, storage: LoadedStorage, location) -> LoadedStorage:
        try:
            return storage.to(location)
        except (ArgumentError, DeviceError) as error:
            raise DeviceError(
                f"{self.where} was saved from the device {str(location)!r}, which cannot be used here.",
                str(error),
                "Load it with map_location='cpu'.",
            ) from None

    def __call__(self, data: np.ndarray, location: str) -> LoadedStorage:
        return self.rule(LoadedStorage(data, location), location)


def _load_archive(file: IO[bytes], where: str, map_location, mapped: Path | None) -> Any:
    places = _Places(map_location, where)
    with _damage_named(where), zipfile.ZipFile(file) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        top = next((name[: -len("data.pkl")] for name in entries if name.rpartition("/")[2] == "data.pkl"), None)
        if top is None:
            raise UnreadablePickle(
                f"{where} is a zip archive but no file of tensors: it has no data.pkl.",
                "in it: " + (", ".join(list(entries)[:6]) or "nothing"),
                "A .npz file is read with numpy.load; a model in an archive has to be unpacked first.",
            )
        if top + "constants.pkl" in entries:
            raise MissingFeature(
                f"{where} is a TorchScript archive, a program and not data.",
                hint="In PyTorch: torch.save(torch.jit.load(path).state_dict(), new_path).",
            )
        order = archive.read(top + "byteorder").decode() if top + "byteorder" in entries else "little"
        whole = None if mapped is None else np.memmap(mapped, np.uint8, mode="c").view(np.ndarray)
        storages: dict[str, LoadedStorage] = {}

        def fetch(description: tuple) -> tuple:
            d, key, location, count = _storage_description(description)
            if key not in storages:
                info = entries.get(f"{top}data/{key}")
                if info is None:
                    raise ValueError(f"the bytes of storage {key} are missing")
                size = count * (1 if d is None else d.itemsize)
                if info.file_size != size:
                    raise ValueError(f"storage {key} has {info.file_size} bytes where {size} are expected")
                data = _map_record(file, info, whole) if whole is not None else _read_record(archive, info)
                if order != sys.byteorder and d is not None:
                    data = _swapped(data, d)
                storages[key] = places(data, location)
            return storages[key], d

        return _read_description(io.BytesIO(archive.read(top + "data.pkl")), fetch, where)


@contextlib.contextmanager
def _damage_named(where: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, struct.error, EOFError, KeyError, NotImplementedError, OSError, ValueError) as error:
        if isinstance(error, (CheckpointError, MissingFeature, ValueRangeError, PermissionError, IsADirectoryError)):
            raise  # says itself what is wrong, and the file may be whole
        raise CheckpointError(
            f"{where} is damaged or cut short: expected a whole zip archive written by torch.save or mlkit.save.",
            f"{type(error).__name__}: {error}",
            "Download or save it again, or take an earlier checkpoint.",
        ) from error


def _read_record(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """The bytes of an entry in memory of their own, checksum included."""
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        raise ValueError(f"the sizes of {info.filename} contradict each other")
    data = np.empty(info.file_size, np.uint8)
    view, place = memoryview(data), 0
    with archive.open(info) as record:
        while place < info.file_size:
            count = cast(io.BufferedIOBase, record).readinto(view[place : place + (1 << 24)])
            if not count:
                raise EOFError(f"{info.filename} ends after {place} of {info.file_size} bytes")
            place += count
        if record.read(1):
            raise ValueError(f"{info.filename} is longer than it says")
    return data


def _map_record(file: IO[bytes], info: zipfile.ZipInfo, whole: np.ndarray) -> np.ndarray:
    """The bytes of an entry where they lie in the mapped file."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed, so it cannot be mapped into memory")
    file.seek(info.header_offset)
    header = file.read(30)
    names, extra = struct.unpack("<HH", header[26:30])
    start = info.header_offset + 30 + names + extra
    if header[:4] != b"PK\x03\x04" or start + info.file_size > whole.size:
        raise ValueError(f"{info.filename} is not where the archive says")
    return whole[start : start + info.file_size]


def _swapped(data: np.ndarray, d: dtypes.dtype) -> np.ndarray:
    width = d.itemsize // 2 if d.is_complex else d.itemsize
    return np.ascontiguousarray(data.reshape(-1, width)[:, ::-1]).reshape(-1)


def _storage_description(description: tuple) -> tuple[dtypes.dtype | None, str, str, int]:
    """(dtype or None for bytes, key, place, count)."""
    if len(description) < 5 or description[0] != "storage":
        raise ValueError(f"an unknown stored object {description[:1]}")
    _, kind, key, location, count = description[:5]
    if not isinstance(kind, _StorageKind) or type(count) is not int or count < 0 or not isinstance(location, str):
        raise ValueError("a storage without type or size")
    return kind.dtype, str(key), location, count


def _load_legacy(file: IO[bytes], where: str, map_location) -> Any:
    """The format from before PyTorch 1.6: pickles of a magic number, a version, the system, the object and the storage
    keys; then for each storage its count and its bytes."""
    places = _Places(map_location, where)

    def plain():
        return read_pickle(file, {}, _nothing_stored, _no_state, where)

    magic = plain()
    if magic != MAGIC:
        raise UnreadablePickle(
            f"{where} is a pickle but not one written by torch.save.",
            hint="mlkit reads files of tensors only. Save the data again with torch.save, mlkit.save or numpy.savez.",
        )
    version = plain()
    if version != LEGACY_VERSION:
        raise UnreadablePickle(f"{where} has format {version}; this mlkit reads {LEGACY_VERSION} and the zip format.")
    system = plain()
    order = "little" if not isinstance(system, dict) or system.get("little_endian", True) else "big"
    # The bytes come after the description that says what they are: it is read twice, first without data.
    kinds: dict[str, tuple[dtypes.dtype | None, str, int]] = {}
    storages: dict[str, LoadedStorage] = {}
    left, start = _remaining(file), file.tell()

    def note(description: tuple) -> tuple:
        d, key, location, count = _storage_description(description)
        size = count * (1 if d is None else d.itemsize)
        if size > left:
            raise ValueError(f"storage {key} of {size} bytes does not fit the file")
        kinds.setdefault(key, (d, location, size))
        return LoadedStorage(MetaArray((_view_of(description, d, size)[1],), np.dtype(np.uint8)), location), d

    def fetch(description: tuple) -> tuple:
        d, key, location, _ = _storage_description(description)
        storage = storages[key]
        low, size = _view_of(description, d, kinds[key][2])
        if size == kinds[key][2]:
            return storage, d
        part = LoadedStorage(storage.data[low : low + size], location)
        part.record = storage.record
        return part, d

    _read_description(file, note, where)
    keys = plain()
    if not isinstance(keys, list) or set(keys) != set(kinds):
        raise UnreadablePickle(f"{where} is damaged: it does not have the bytes of the tensors it describes.")
    for key in keys:
        d, location, size = kinds[key]
        count = file.read(8)
        width = 1 if d is None else d.itemsize
        content = file.read(size)
        if len(count) < 8 or len(content) < size:
            raise UnreadablePickle(
                f"{where} is cut short: storage {key} has {len(content):,} of {size:,} bytes.",
                hint="Download or save it again.",
            )
        if struct.unpack("<q" if order == "little" else ">q", count)[0] * width != size:
            raise UnreadablePickle(f"{where} is damaged at the bytes of storage {key}.")
        data = np.frombuffer(bytearray(content), np.uint8)
        storages[key] = places(data if order == sys.byteorder or d is None else _swapped(data, d), location)
    end = file.tell()
    file.seek(start)
    value = _read_description(file, fetch, where)
    file.seek(end)
    return value


def _view_of(description: tuple, d: dtypes.dtype | None, size: int) -> tuple[int, int]:
    """(first byte, count of bytes) of the part of a storage that an old file's description means."""
    if len(description) < 6 or description[5] is None:
        return 0, size
    _, start, length = description[5]
    width = 1 if d is None else d.itemsize
    if type(start) is not int or type(length) is not int or start < 0 or length < 0 or (start + length) * width > size:
        raise ValueError("a view beyond its storage")
    return start * width, length * width


def _remaining(file: IO[bytes]) -> int:
    here = file.tell()
    file.seek(0, io.SEEK_END)
    end = file.tell()
    file.seek(here)
    return end - here


def _nothing_stored(description: tuple):
    raise ValueError("a storage where none is expected")


def _no_state(target, state):
    raise ValueError("an object with a state where none is expected")


# --- what a description may name ----------------------------------------------------------------------------------------


class _StorageKind:
    """``torch.FloatStorage`` and its kin: the dtype, or None for bytes."""

    def __init__(self, d: dtypes.dtype | None):
        self.dtype = d


def _wanting(tensor: Tensor, requires_grad: bool) -> Tensor:
    if requires_grad and tensor._array.dtype.kind in "fcV":
        tensor._node = Leaf(tensor)
    return tensor


def _rebuild(storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None, d=None) -> Tensor:
    memory, kept = storage
    if not isinstance(memory, LoadedStorage) or hooks:
        raise ValueError("a tensor without a storage, or with hooks")
    tensor = window(memory, d or kept, offset, tuple(size), tuple(stride))
    if isinstance(metadata, dict) and (metadata.get("conj") or metadata.get("neg")):
        array = tensor._array.conj() if metadata.get("conj") else tensor._array
        tensor = tensor_around(-array if metadata.get("neg") else array)
    return _wanting(tensor, bool(requires_grad))


def _rebuild_v3(storage, offset, size, stride, requires_grad, hooks, d, metadata=None) -> Tensor:
    if not isinstance(d, dtypes.dtype):
        raise ValueError("a tensor without a dtype")
    return _rebuild(storage, offset, size, stride, requires_grad, hooks, metadata, d)


def _rebuild_parameter(data, requires_grad, hooks, state=None) -> Parameter:
    if not isinstance(data, Tensor) or hooks:
        raise ValueError("a parameter without a tensor, or with hooks")
    out = Parameter(data, bool(requires_grad) and data._array.dtype.kind in "fcV")
    if data._storage is not None:
        out._storage = data._storage
    if state:
        _set_attributes(out, state)
    return out


def _rebuild_meta(d, size, stride, requires_grad=False) -> Tensor:
    if not isinstance(d, dtypes.dtype) or any(type(n) is not int or n < 0 for n in size):
        raise ValueError("a meta tensor without dtype or size")
    return _wanting(tensor_around(MetaArray(tuple(size), d.numpy)), bool(requires_grad))


def _rebuild_moved(data, d, place, requires_grad=False) -> Tensor:
    if not isinstance(data, Tensor) or not isinstance(d, dtypes.dtype):
        raise ValueError("a tensor without data or dtype")
    return _wanting(data.to(d), bool(requires_grad))


def _rebuild_from_type(function, kind, arguments, state) -> Tensor:
    made = function.make(*arguments) if hasattr(function, "make") else None
    if not isinstance(made, Tensor):
        raise ValueError("a tensor made by something else")
    if getattr(kind, "full", "") == "torch.nn.parameter.Parameter" and not isinstance(made, Parameter):
        made = Parameter(made, made._node is not None)
    _set_attributes(made, state)
    return made


def _set_attributes(tensor: Tensor, state: Any) -> None:
    """A tensor's own attributes; never one that mlkit gives a meaning."""
    if isinstance(state, tuple):
        state = {**(state[0] or {}), **(state[1] or {})}
    for name, content in (state or {}).items():
        if not isinstance(name, str) or name.startswith("_") or hasattr(type(tensor), name):
            raise ValueError(f"a tensor with an attribute {name!r}")
        tensor.__dict__[name] = content


def _unavailable(what: str) -> Callable:
    def refuse(*arguments):
        raise MissingFeature(f"{what} tensors are not in mlkit, and the file holds one.", hint="Save it dense.")

    return refuse


def _device(kind, index=None):
    return device(kind, index)


def _size(items=()):
    if any(type(n) is not int for n in items):
        raise ValueError("a size that is no integer")
    return Size(items)


def _no_call(*arguments):
    raise ValueError("a tensor class is called")


_NAMES: dict[str, Any] = {
    **{f"{module}.{name}": _StorageKind(d) for name, d in STORAGES.items() for module in ("torch", "torch.cuda")},
    "torch.storage.UntypedStorage": _StorageKind(None),
    "torch.UntypedStorage": _StorageKind(None),
    **{f"torch.{d.name}": d for d in dtypes.ALL},
    "torch.Size": _size,
    "torch.device": _device,
    "torch.Tensor": _no_call,
    "torch._tensor.Tensor": _no_call,
    "torch.nn.parameter.Parameter": lambda data, requires_grad=True: _rebuild_parameter(data, requires_grad, None),
    "torch.nn.parameter.Buffer": lambda data, *rest: Buffer(data),
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_v3,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch._utils._rebuild_meta_tensor_no_storage": _rebuild_meta,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _rebuild_moved,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch._utils._rebuild_sparse_tensor": _unavailable("Sparse"),
    "torch._utils._rebuild_qtensor": _unavailable("Quantized"),
    "torch._utils._rebuild_nested_tensor": _unavailable("Nested"),
}


def _read_description(file: IO[bytes], fetch: Callable, where: str) -> Any:
    def set_state(target, state):
        if not isinstance(target, Tensor):
            raise ValueError(f"a {type(target).__name__} with a state")
        _set_attributes(target, state)

    return read_pickle(file, _NAMES, fetch, set_state, where)
