"""``torch.jit``: Python runs the program; TorchScript's own files are not there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from mlkit.core.absent import MissingName
from mlkit.nn import Module

__all__ = [
    "Final",
    "ScriptModule",
    "annotate",
    "export",
    "freeze",
    "ignore",
    "is_scripting",
    "is_tracing",
    "load",
    "optimized_execution",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "trace",
    "unused",
]

ScriptModule = Module


def script(obj: Any, *args: Any, **options: Any) -> Any:
    """The function, class or module as it is: Python runs it, with the same results."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **options: Any) -> Any:
    """The function or module as it is, after one run on the example, which shows that it works."""
    if isinstance(example_inputs, dict):
        func(**example_inputs)
    elif example_inputs is not None:
        func(*example_inputs) if isinstance(example_inputs, (tuple, list)) else func(example_inputs)
    return func


def freeze(mod: Any, *args: Any, **options: Any) -> Any:
    """The module as it is."""
    return mod


def _as_it_is(function: Callable) -> Callable:
    """The function as it is."""
    return function


script_method = export = script_if_tracing = _as_it_is


def ignore(drop: Any = False, **options: Any) -> Any:
    """The function as it is, used with or without brackets."""
    return drop if callable(drop) else _as_it_is


unused = ignore


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value as it is."""
    return the_value


def is_scripting() -> bool:
    """Whether TorchScript compiles this: never."""
    return False


is_tracing = is_scripting


@contextlib.contextmanager
def optimized_execution(should_optimize: bool):
    """It changes nothing here."""
    yield


def save(m: Any, f: Any, _extra_files: Any = None) -> None:
    """Raises: TorchScript's files hold programs."""
    raise MissingName(
        "torch.jit.save is not in mlkit.",
        "TorchScript's files hold programs, and mlkit writes and reads data only.",
        "Save the numbers: torch.save(model.state_dict(), path).",
    )


def load(f: Any, map_location: Any = None, _extra_files: Any = None) -> Any:
    """Raises: TorchScript's files hold programs."""
    raise MissingName(
        "torch.jit.load is not in mlkit.",
        "TorchScript's files hold programs, and mlkit writes and reads data only.",
        "Make the model from its class and load a state_dict: model.load_state_dict(torch.load(path)).",
    )
