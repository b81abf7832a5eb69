"""One look at the names of a kernel: tensors, models and trainings, for the side panel of JupyterLab.

The panel asks while the kernel is idle. Nothing is computed, copied or imported that the user's program has not
imported itself; no name, tensor, graph, random state or history entry changes. What is looked at is the type of each
value, never the value: objects with hooks in ``__class__`` or ``__getattr__`` do not notice.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from mlkit.core.machine import memory_bytes
from mlkit.core.value import LevelArray, MetaArray, Value

__all__ = ["Answer", "made_at", "probe"]

FORMAT = 1
MOST = 300
"""Rows in an answer; a notebook with more names is told so."""

MOST_PARAMETERS = 2_000
"""Parameters looked at over all models: a model of many thousand tensors costs the panel no noticeable time."""


class Answer(dict[str, Any]):
    """What `probe` found. Jupyter sends it as JSON."""

    def _repr_json_(self) -> dict[str, Any]:
        return dict(self)


def probe(namespace: Mapping[str, Any] | None = None, hidden: Mapping[str, Any] | None = None) -> Answer:
    """The tensors, models and trainings among the names of a notebook.

    Args:
        namespace: Names and values; by default those of the IPython shell that runs.
        hidden: Names that were there before the user's program; by default the shell's own.

    Returns:
        A dictionary of JSON's own types: ``tensors`` and ``models`` (a row each), ``more`` (how many did not fit),
        ``memory`` (bytes of this process), ``cuda`` (bytes per device that this process has used), ``directory``.

    >>> import mlkit
    >>> answer = probe({"x": mlkit.zeros(2, 3), "_": 1, "n": 5})
    >>> answer["tensors"][0]["name"], answer["tensors"][0]["shape"], answer["tensors"][0]["bytes"]
    ('x', [2, 3], 24)
    """
    if namespace is None:
        namespace, hidden = _of_shell()
    tensors: list[dict[str, Any]] = []
    models: list[dict[str, Any]] = []
    more = 0
    module_type = _module_type()
    left = MOST_PARAMETERS
    for name, value in list(namespace.items()):  # another thread may add names meanwhile
        kind = type(value)
        is_tensor = issubclass(kind, Value)
        if not is_tensor and (module_type is None or not issubclass(kind, module_type)):
            continue
        if name.startswith("_") or (hidden is not None and name in hidden):
            continue
        if len(tensors) + len(models) >= MOST:
            more += 1
        elif is_tensor:
            tensors.append(_tensor_row(name, value))
        else:
            row, left = _model_row(name, value, left)
            models.append(row)
    return Answer(
        format=FORMAT,
        tensors=tensors,
        models=models,
        more=more,
        memory=memory_bytes(),
        cuda=_cuda(),
        pid=os.getpid(),
        directory=os.getcwd(),
        version=_version(),
    )


def made_at(name: str, namespace: Mapping[str, Any] | None = None) -> Answer:
    """The line that made the tensor of that name, for the jump to it: ``file``, ``line``, ``code``, ``function``, and
    the number of its ``cell`` where it stands in a notebook. Empty where it is not known.

    >>> import mlkit
    >>> w = mlkit.ones(2, requires_grad=True)
    >>> y = w * 3
    >>> made_at("y", {"y": y})["code"], made_at("w", {"w": w})
    ('y = w * 3', {})
    """
    if namespace is None:
        namespace, _ = _of_shell()
    tensor = namespace.get(name)
    place = getattr(tensor, "made_at", None) if issubclass(type(tensor), Value) else None
    if place is None:
        return Answer()
    answer = Answer(file=place.file, line=place.line, code=place.code, function=place.function)
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    words = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(place.file)
    if words and words[1].startswith("In[") and words[1][3:-1].isdecimal():
        answer["cell"] = int(words[1][3:-1])
    return answer


def _of_shell() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return {}, {}
    return shell.user_ns, getattr(shell, "user_ns_hidden", {})


def _module_type() -> type | None:
    """``nn.Module``, once a program has imported it: whoever holds a model has."""
    home: ModuleType | None = sys.modules.get("mlkit.nn")
    return getattr(home, "Module", None)


def _version() -> str:
    return str(getattr(sys.modules.get("mlkit"), "__version__", ""))


# --- rows ---------------------------------------------------------------------------------------------------------------


def _tensor_row(name: str, tensor: Any) -> dict[str, Any]:
    array = _innermost(tensor)._array
    row: dict[str, Any] = {
        "name": name,
        "type": type(tensor).__name__,
        "shape": [int(n) for n in tensor._array.shape],
        "dtype": _dtype(tensor),
        "device": _device(tensor),
        "bytes": _bytes(array),
        "grad": tensor._node is not None,
        "gradient": tensor._grad is not None,
        "made": not tensor.is_leaf,
    }
    owner = _owner(array)
    row["memory"] = id(owner)  # rows of the same number share memory
    row["view"] = owner is not array and _bytes(owner) > row["bytes"]
    return row


def _model_row(name: str, model: Any, left: int) -> tuple[dict[str, Any], int]:
    count = size = looked = 0
    devices: dict[str, None] = {}
    dtypes: dict[str, None] = {}
    trainable = 0
    whole = True
    seen: set[int] = set()
    for tensor in _state(model):
        if id(tensor) in seen:
            continue
        if looked >= left:
            whole = False
            break
        seen.add(id(tensor))
        looked += 1
        count += int(tensor._array.size)
        size += _bytes(tensor._array)
        trainable += int(tensor._array.size) if tensor._node is not None else 0
        devices[_device(tensor)] = None
        dtypes[_dtype(tensor)] = None
    row = {
        "name": name,
        "type": type(model).__name__,
        "numbers": count,
        "trainable": trainable,
        "bytes": size,
        "devices": list(devices),
        "dtypes": list(dtypes),
        "training": bool(model.__dict__.get("training", False)),
        "whole": whole,
    }
    return row, left - looked


def _state(model: Any) -> Any:
    """Parameters and buffers of a module and those inside it, from their dictionaries: no method of the user's runs."""
    waiting, known = [model], set()
    while waiting:
        module = waiting.pop()
        if id(module) in known:
            continue
        known.add(id(module))
        own = module.__dict__
        for group in ("_parameters", "_buffers"):
            for value in list((own.get(group) or {}).values()):
                if issubclass(type(value), Value):
                    yield value
        waiting.extend(child for child in list((own.get("_modules") or {}).values()) if child is not None)


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("mlkit.")


def _innermost(tensor: Any) -> Any:
    """The tensor with the numbers: a tensor of vmap or of forward mode, which a program may have kept, has none itself."""
    while isinstance(tensor._array, LevelArray):
        tensor = tensor._array.inner
    return tensor


def _device(tensor: Any) -> str:
    tensor = _innermost(tensor)
    return "meta" if type(tensor._array) is MetaArray else str(tensor.device)


def _bytes(array: Any) -> int:
    return 0 if type(array) is MetaArray else int(getattr(array, "nbytes", 0))


def _owner(array: Any) -> Any:
    """The array that holds the memory."""
    while True:
        base = getattr(array, "base", None)
        if base is None or not hasattr(base, "nbytes"):
            return array
        array = base


def _cuda() -> list[dict[str, Any]]:
    """Bytes that this process holds on each GPU it has used; asks CuPy's own books, not the device."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return []
    try:
        pool = cupy.get_default_memory_pool()
        device = cupy.cuda.runtime.getDevice()
        return [{"device": f"cuda:{device}", "used": int(pool.used_bytes()), "held": int(pool.total_bytes())}]
    except (RuntimeError, AttributeError):  # CuPy finds no driver; a thread is still importing CuPy
        return []
