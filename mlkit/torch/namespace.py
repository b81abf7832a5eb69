"""The modules that ``import torch`` gives: PyTorch's paths, each looking names up in mlkit's rooms when asked.

They are kept here and not in ``sys.modules``, so that nobody but the importing file meets them.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.machinery
import importlib.util
import types
from pathlib import Path
from typing import Any

from mlkit.core.absent import MissingName, missing_name
from mlkit.torch.paths import INSTEAD, NOT_HERE, PLACES, SHADOWED, why_not

__all__ = ["MissingModule", "Namespace", "exists", "import_", "load", "pytorch_names"]

_modules: dict[str, Namespace] = {}


class MissingModule(ModuleNotFoundError):
    """A path of PyTorch that is not here."""


class _NoSuchName(AttributeError):
    """Its text says what is nearest: Python, which looks at ``name``, need not guess once more."""

    @property
    def name(self) -> None:  # type: ignore[override]
        return None

    @name.setter
    def name(self, value: Any) -> None:
        pass


@functools.cache
def pytorch_names() -> dict[str, frozenset[str]]:
    """The public names of PyTorch 2.13 by path: what a missing name is compared with."""
    lines = Path(__file__).with_name("names.txt").read_text("utf-8").splitlines()
    return {path: frozenset(names.split()) for path, _, names in (line.partition(":") for line in lines)}


class Namespace(types.ModuleType):
    """One path of PyTorch, such as ``torch.nn``.

    A name is, in this order: what was assigned, a path below this one, a name of one of its places.
    """

    def __init__(self, path: str, places: tuple[str, ...]):
        super().__init__(path)
        self.__path__: list[str] = []
        self.__file__ = None
        self.__package__ = path
        self.__spec__ = importlib.machinery.ModuleSpec(path, None, origin="mlkit", is_package=True)
        self._places = tuple(importlib.import_module(place) for place in places if _is_there(place))
        self.__doc__ = next((place.__doc__ for place in self._places if place.__doc__), None)

    def __getattr__(self, name: str) -> Any:
        path = f"{self.__name__}.{name}"
        if path in PLACES and path not in SHADOWED and exists(path):
            return load(path)
        if name == "__all__":
            return [n for n in dir(self) if not n.startswith("_")]
        if name == "__version__" or not name.startswith("__"):
            for place in self._places:
                if _is_ours(place, name):
                    continue
                try:
                    found = getattr(place, name)
                except MissingName:
                    break
                except AttributeError:
                    continue
                if isinstance(found, types.ModuleType):
                    continue  # a file of mlkit's; PyTorch's paths have lines of their own
                self.__dict__[name] = found
                return found
        raise self._missing(name)

    def _missing(self, name: str) -> AttributeError:
        path = f"{self.__name__}.{name}"
        if path in NOT_HERE or (path in PLACES):
            return AttributeError(str(_missing_module(path)), name=name, obj=self)
        if self.__name__.startswith("torch."):
            known = missing_name(self.__name__, name) if name in pytorch_names().get(self.__name__, ()) else None
        else:
            known = missing_name(self.__name__, name)
        text = f"module {self.__name__!r} has no attribute {name!r}."
        if any(_is_ours(place, name) and hasattr(place, name) for place in self._places):
            return AttributeError(f"{text} It is mlkit's own: import mlkit, and use mlkit.{name}.", name=name, obj=self)
        if known is not None:
            return known
        if name in pytorch_names().get(self.__name__, ()):
            text = f"{path} is PyTorch's, and mlkit does not have it."
        text += INSTEAD.get(self.__name__, "")
        near = [n for n in difflib.get_close_matches(name, dir(self), n=3, cutoff=0.7) if n != name]
        if near:
            return _NoSuchName(f"{text} Did you mean {' or '.join(repr(n) for n in near)}?")
        return AttributeError(text, name=name, obj=self)

    def __dir__(self) -> list[str]:
        names = {name for place in self._places for name in _public(place) if not _is_ours(place, name)}
        names |= {n for n in self.__dict__ if not n.startswith("_")}
        depth = self.__name__.count(".") + 1
        names |= {p.split(".")[depth] for p in PLACES if p.startswith(self.__name__ + ".") and exists(p)}
        return sorted(names)

    def __repr__(self) -> str:
        return f"<module {self.__name__!r} from mlkit>"

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.__name__,)


def _is_ours(place: types.ModuleType, name: str) -> bool:
    """Whether a name is mlkit's own, such as Trainer: under the name torch it is not there, as in PyTorch."""
    return place.__name__ == "mlkit" and not name.startswith("_") and name not in pytorch_names()["torch"]


def _public(place: types.ModuleType) -> list[str]:
    names = getattr(place, "__all__", None)
    names = list(names) if names is not None else [n for n in dir(place) if not n.startswith("_")]
    return [n for n in names if not isinstance(place.__dict__.get(n), types.ModuleType) and n != "annotations"]


@functools.cache
def _is_there(place: str) -> bool:
    try:
        return importlib.util.find_spec(place) is not None
    except ModuleNotFoundError:
        return False


def exists(path: str) -> bool:
    """Whether a path of PyTorch is here."""
    return path in PLACES and any(_is_there(place) for place in PLACES[path])


def load(path: str) -> Namespace:
    """The module of a path.

    Raises:
        MissingModule: It is not here; the message says why, or what is nearest.
    """
    if path in _modules:
        return _modules[path]
    if not exists(path):
        raise _missing_module(path)
    above, _, name = path.rpartition(".")
    parent = load(above) if above else None
    module = _modules.setdefault(path, Namespace(path, PLACES[path]))
    if parent is not None and path not in SHADOWED:
        parent.__dict__[name] = module
    return module


def import_(path: str, names: Any) -> Namespace:
    """What an import statement wants: ``import path`` (no names) or ``from path import names``."""
    __tracebackhide__ = True
    if not names:
        load(path)
        return load(path.partition(".")[0])
    module = load(path)
    for name in names:
        if name == "*":
            continue
        try:
            getattr(module, name)
        except AttributeError as error:
            text = f"cannot import name {name!r} from {path!r}: {error}"
            raise ImportError(text, name=path) from None
    return module


def _missing_module(path: str) -> MissingModule:
    reason = why_not(path)
    text = f"No module named {path!r}"
    if reason is not None:
        text += f" in mlkit. {reason}"
    elif path in PLACES:
        text += " in this version of mlkit."
    else:
        near = difflib.get_close_matches(path, [p for p in PLACES if exists(p)], n=1, cutoff=0.7)
        text += f". Did you mean {near[0]!r}?" if near else ": it is not one of PyTorch's paths that mlkit has."
    return MissingModule(text, name=path)
