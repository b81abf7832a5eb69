"""Redirect ``import torch`` in the user's own files, and nowhere else.

A finder on ``sys.meta_path`` does not know who imports, and what it finds lands in ``sys.modules``, where every installed
package would see it. ``builtins.__import__`` knows: Python hands it the globals of the importing code, whether that is a
file, a notebook's cell, a test that pytest has rewritten or a text given to ``exec``. So that is what is replaced, for the
names ``torch`` and ``torchvision`` alone; ``sys.modules`` is left as it is.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.machinery
import importlib.util
import json
import multiprocessing.spawn
import sys
import types
from typing import Any

from mlkit.core import config
from mlkit.torch import namespace
from mlkit.torch.owner import is_users

__all__ = ["install", "is_installed", "uninstall"]

NAMES = ("torch", "torchvision")
#: PyTorch's half of the safetensors package
SAFETENSORS = "safetensors.torch"
#: what was there before: (module, name, the original)
_originals: list[tuple[Any, str, Any]] = []
_switches: dict[str, Any] = {}


def is_installed() -> bool:
    """Whether the user's ``import torch`` gives mlkit now."""
    return bool(_originals)


def install() -> None:
    """From now on ``import torch`` in the user's own files gives mlkit. Again: nothing more happens.

    Also what else PyTorch does differently: a loss between (N, 1) and (N,) warns instead of refusing, and dtypes and
    sizes print as ``torch.float32`` and ``torch.Size([2])``.
    """
    if _originals:
        return
    _replace(builtins, "__import__", _importer(builtins.__import__))
    _replace(importlib, "import_module", _import_module(importlib.import_module))
    _replace(importlib.util, "find_spec", _find_spec(importlib.util.find_spec))
    _replace(multiprocessing.spawn, "get_preparation_data", _prepared(multiprocessing.spawn.get_preparation_data))
    for name, value in (("strict_broadcast", False), ("shown_name", "torch")):
        _switches[name] = getattr(config, name)
        setattr(config, name, value)


def uninstall() -> None:
    """Imports are as they were before `install`; what was imported stays."""
    for module, name, original in reversed(_originals):
        if getattr(getattr(module, name), "_mlkit_torch", False):
            setattr(module, name, original)
    _originals.clear()
    for name, value in _switches.items():
        setattr(config, name, value)
    _switches.clear()


def _replace(module: Any, name: str, function: Any) -> None:
    _originals.append((module, name, getattr(module, name)))
    function._mlkit_torch = True
    setattr(module, name, function)


def _is_ours(name: Any) -> bool:
    return isinstance(name, str) and name.startswith("torch") and name.partition(".")[0] in NAMES


def _importer(original: Any) -> Any:
    def __import__(name, globals=None, locals=None, fromlist=(), level=0):
        __tracebackhide__ = True
        if level == 0 and _is_ours(name) and _originals:
            frame = sys._getframe(1)
            if is_users(globals if globals is not None else frame.f_globals, frame) and not _is_from_c(fromlist, frame):
                return namespace.import_(name, fromlist)
        if level == 0 and name == SAFETENSORS and _originals:
            frame = sys._getframe(1)
            if is_users(globals if globals is not None else frame.f_globals, frame):
                return _safetensors(fromlist)
        try:
            return original(name, globals, locals, fromlist, level)
        except ModuleNotFoundError as error:
            if _originals and error.name is not None and _is_ours(error.name):
                _explain(error)
            raise

    return __import__


def _safetensors(fromlist: Any) -> Any:
    """mlkit's safetensors for a program that writes ``safetensors.torch``: its functions have the same names."""
    module = importlib.import_module("mlkit.io.safetensors")
    if fromlist:
        return module
    package = types.ModuleType("safetensors")
    package.torch = module  # type: ignore[attr-defined]
    return package


def _is_from_c(fromlist: Any, frame: Any) -> bool:
    """Whether an extension module imports: it borrows the globals of the user's frame that called it.

    C code goes through ``PyImport_Import``, which gives an empty list of names and reads the answer from
    ``sys.modules``; an import statement gives None or a tuple.
    """
    return type(fromlist) is list and not fromlist and "__import__" not in frame.f_code.co_names


def _explain(error: ModuleNotFoundError) -> None:
    """Say why an installed package does not find torch."""
    note = "mlkit.torch gives the name torch to your own files only; an installed package that imports torch needs PyTorch."
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _import_module(original: Any) -> Any:
    def import_module(name, package=None):
        __tracebackhide__ = True
        if _is_ours(name) and _originals and is_users(sys._getframe(1).f_globals, sys._getframe(1)):
            return namespace.load(name)
        return original(name, package)

    import_module.__doc__ = original.__doc__
    return import_module


def _find_spec(original: Any) -> Any:
    def find_spec(name, package=None):
        __tracebackhide__ = True
        if _is_ours(name) and _originals and is_users(sys._getframe(1).f_globals, sys._getframe(1)):
            if not namespace.exists(name):
                return None
            return importlib.machinery.ModuleSpec(name, None, origin="mlkit", is_package=True)
        return original(name, package)

    find_spec.__doc__ = original.__doc__
    return find_spec


def _prepared(original: Any) -> Any:
    """What a spawned process is told: to run `mlkit.torch.spawned`, which installs this and runs the program's file."""

    def get_preparation_data(name, *args, **kwargs):
        data = original(name, *args, **kwargs)
        if not _originals:
            return data
        main = {"path": data.pop("init_main_from_path", None), "name": data.pop("init_main_from_name", None)}
        if name != "ignore":  # else the fork server's own: it runs nobody's program
            data["init_main_from_name"] = "mlkit.torch.spawned"
            # the second word is for `spawned`, which takes it away
            words = data.get("sys_argv") or [""]
            data["sys_argv"] = [words[0], json.dumps(main), *words[1:]]
        return data

    return get_preparation_data
