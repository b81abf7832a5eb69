"""Backends: who does the arithmetic. A backend is a record; its folder is loaded by name on first use."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field

from mlkit.core.device import BACKEND_OF, device
from mlkit.core.errors import DeviceError
from mlkit.core.value import LevelArray, MetaArray


@dataclass
class Backend:
    """What an array library must offer.

    ``m`` reads the op rules with this library's arrays; ``kernels`` holds, by op name, functions that beat the
    portable forward; the rest moves data in and out.
    """

    name: str
    device_type: str
    array_types: tuple[type, ...]  # the library's array, and what its 0-d results are
    m: object
    available: Callable[[], tuple[bool, str]]
    asarray: Callable  # (numpy array, device index) -> array of this library
    to_numpy: Callable  # array -> numpy array
    device_of: Callable  # array -> device
    synchronize: Callable[[], None]
    memory: Callable[..., dict[str, int]]
    kernels: dict[str, Callable] = field(default_factory=dict)
    #: (op name, input name or None) -> function (rule, m, g, *what the rule reads) that runs in a gradient rule's place
    gradients: dict[tuple[str, str | None], Callable] = field(default_factory=dict)
    #: what is done to many tensors at once, by name: optimizer steps, the norm of all gradients
    functions: dict[str, Callable] = field(default_factory=dict)
    #: (a compiled program) -> what runs it with less work per call: it has ``run``, ``flat`` does it line by line
    compile: Callable | None = None

    def kernel(self, op) -> Callable:
        """The function that computes ``op`` on this library's arrays."""
        return self.kernels.get(op.name) or getattr(self.m, op.name)


#: called whenever a backend has been loaded
when_loaded: list[Callable[[], None]] = []
_loaded: dict[str, Backend] = {}
#: the backend of an array's exact type
by_array_type: dict[type, Backend] = {}


def load(name: str) -> Backend:
    """The backend of that name; raises DeviceError with the reason when it cannot work here."""
    backend = _loaded.get(name)
    if backend is None:
        backend = importlib.import_module(f"mlkit.backends.{name}").make_backend()
        ok, reason = backend.available()
        if not ok:
            raise DeviceError(f"The {backend.device_type!r} device cannot be used here.", reason)
        _loaded[name] = backend
        for cls in backend.array_types:
            by_array_type[cls] = backend
        for tell in when_loaded:
            tell()
    return backend


def loaded() -> list[Backend]:
    """The backends in use in this process, NumPy's always among them."""
    load("numpy")
    return list(_loaded.values())


def for_device(place: device) -> Backend:
    return load(BACKEND_OF[place.type])


def for_array(array) -> Backend:
    """The backend whose array this is: by exact type, then by base class (numpy.memmap is an ndarray)."""
    backend = by_array_type.get(array.__class__)
    if backend is None:
        if isinstance(array, LevelArray):
            return for_array(array.inner._array)
        for cls in type(array).__mro__:
            if cls in by_array_type:
                backend = by_array_type[type(array)] = by_array_type[cls]
                return backend
        raise DeviceError(f"No backend handles arrays of type {type(array).__name__}.")
    return backend


def is_meta(array) -> bool:
    return array.__class__ is MetaArray


def together(tensors: list, name: str, *arguments):
    """What the tensors' backend does to many at once; None where it does not, or not all are its own arrays."""
    if not tensors or any(isinstance(t._array, (MetaArray, LevelArray)) for t in tensors):
        return None
    library = for_array(tensors[0]._array)
    run = library.functions.get(name)
    if run is None or any(t._array.__class__ not in library.array_types for t in tensors):
        return None
    return run(*arguments)
