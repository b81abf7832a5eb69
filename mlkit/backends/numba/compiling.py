"""How kernels are compiled and kept: one decorator, a cache on disk, and a line that says why the first call waits.

Compiled code is kept in ``<cache>/kernels/<version>``, where the version names mlkit's, the kernels' sources, Numba's
and Python's; Numba's own index inside adds the CPU. So an upgrade, another Python or another machine that shares the
home finds a folder of its own, and a damaged or unwritable cache only means to compile again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import platform
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import llvmlite
import numba
from numba.core import event, sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator

from mlkit.backends import numba as registry

HERE = Path(__file__).parent


def sources_digest() -> str:
    """A short name for the state of all files here: kernels inline functions of their neighbours."""
    total = hashlib.sha256()
    for path in sorted(HERE.glob("*.py")):
        total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def cache_root() -> Path:
    """Where compiled kernels of all versions are kept."""
    from mlkit.data.network import cache_folder

    return cache_folder() / "kernels"


_folder: Path | None = None


def folder() -> Path:
    """Where this version keeps its own."""
    global _folder
    if _folder is None:
        import mlkit

        python = f"py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}-{platform.machine()}"
        libraries = f"numba{numba.__version__}-llvmlite{llvmlite.__version__}"
        _folder = cache_root() / f"{mlkit.__version__}-{sources_digest()}-{libraries}-{python}"
    return _folder


def remove_other_versions() -> int:
    """Delete what other versions left; returns how many folders. (What another process uses now is in its memory.)"""
    count = 0
    if cache_root().is_dir():
        for path in cache_root().iterdir():
            if path.is_dir() and path != folder():
                shutil.rmtree(path, ignore_errors=True)
                count += 1
    return count


class Locator(_CacheLocator):
    """Tells Numba's cache its folder."""

    def __init__(self, py_func, py_file):
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno

    def get_cache_path(self):
        return str(folder())

    def get_source_stamp(self):
        return folder().name

    def get_disambiguator(self):
        return str(self._lineno)

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file)


class KernelCacheImpl(CompileResultCacheImpl):
    _locator_classes = [Locator]


class KernelCache(FunctionCache):
    """Numba's cache, in our folder, that never fails: at worst a kernel is compiled again."""

    _impl_class = KernelCacheImpl

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None  # cut short, or written by something else: compiled again and written over

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception as error:
            unwritable(error)


_told = False


def unwritable(error: Exception) -> None:
    """Say once that compiled kernels cannot be kept."""
    global _told
    if not _told:
        _told = True
        print(
            f"mlkit: compiled kernels cannot be kept in {folder()} ({error}), so each process compiles its own. "
            "Set MLKIT_HOME to a folder that can be written.",
            file=sys.stderr,
        )


ALL: list = []  # every kernel, for `mlkit warmup`


def kernel(*signatures: str, **options) -> Callable:
    """Compile the decorated function on its first call: without the GIL, and kept on disk.

    ``signatures`` (as "void(float32[:], int64)"; by default all whole numbers, which is what addresses and sizes are)
    are what `mlkit warmup` compiles ahead; calls with other types compile when they come. ``options`` go to
    ``numba.njit``.
    """

    def decorate(function: Callable):
        made = numba.njit(nogil=True, error_model="numpy", **options)(function)
        made._cache = KernelCache(function)
        made.warm = signatures or (f"({', '.join(['int64'] * function.__code__.co_argcount)})",)
        ALL.append(made)
        return made

    return decorate


def all_kernels() -> list:
    """Every kernel there is, their modules imported."""
    for path in sorted(HERE.glob("*_kernels.py")):
        importlib.import_module(f"{registry.__name__}.{path.stem}")
    return list(ALL)


def warm_types(kernel) -> list[tuple]:
    """The types of arguments that a kernel is compiled for ahead, as calls have them."""
    return [tuple(sigutils.normalize_signature(signature)[0]) for signature in kernel.warm]


def address_of(kernel) -> int:
    """Where the machine code of a function of whole numbers is: for those who call it without Python."""
    types = (numba.types.int64,) * kernel.py_func.__code__.co_argcount
    kernel.compile(types)
    made = kernel.overloads[types]
    return made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name)


def warm(shown: Callable = iter) -> tuple[int, int]:
    """Compile what is not yet on disk for this version; returns how many were compiled and how many there are.

    ``shown`` wraps the iteration over kernels (a progress bar)."""
    kernels = all_kernels()
    compiled = 0
    with progress.silent():
        for each in shown(kernels):
            for types in warm_types(each):
                each.compile(types)
            compiled += sum(each.stats.cache_misses.values())
    return compiled, len(kernels)


def helper(function: Callable | None = None, /, **options) -> Callable:
    """A function that kernels call: compiled into each of them, never alone. ``options`` go to ``numba.njit``."""
    made = numba.njit(nogil=True, error_model="numpy", **options)
    return made if function is None else made(function)


# --- a sign of life ---------------------------------------------------------------------------------------------------------

PATIENCE = 1.0  # seconds until the line is shown
compiling_now = 0


class Progress(event.Listener):
    """One line when compiling takes more than a second, and how long it took."""

    def __init__(self):
        self.mine = threading.local()
        self.shown = False
        self.lock = threading.Lock()

    def on_start(self, happening):
        global compiling_now
        if happening.data.get("dispatcher") not in ALL:
            return
        with self.lock:
            compiling_now += 1
        depth = getattr(self.mine, "depth", 0)
        self.mine.depth = depth + 1
        if depth == 0:
            self.mine.start = time.monotonic()
            self.mine.timer = threading.Timer(PATIENCE, self.show)
            self.mine.timer.daemon = True
            self.mine.timer.start()

    def on_end(self, happening):
        global compiling_now
        if happening.data.get("dispatcher") not in ALL:
            return
        with self.lock:
            compiling_now -= 1
        self.mine.depth -= 1
        if self.mine.depth == 0:
            self.mine.timer.cancel()

    @contextlib.contextmanager
    def silent(self):
        """No line inside: something else shows how far it is."""
        before, self.shown = self.shown, True
        try:
            yield
        finally:
            self.shown = before

    def show(self) -> None:
        with self.lock:
            if self.shown:
                return
            self.shown = True
        print(
            "mlkit: compiling kernels for this machine: once, and kept for the next time "
            "(`mlkit warmup` does all of it ahead).",
            # a notebook draws what goes to stderr in red, as if something had failed
            file=sys.stdout if "ipykernel" in sys.modules else sys.stderr,
        )


progress = Progress()
event.register("numba:compile", progress)


def _forked() -> None:
    """A child forked while a thread of its parent compiled would wait for that thread: NumPy does its work."""
    if compiling_now:
        registry.disable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
