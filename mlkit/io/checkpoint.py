"""Checkpoints: a nested state (dictionaries, lists, numbers, texts, tensors) in one safetensors file.

Tensors keep the name of their place ("model.0.weight"), so that any safetensors reader finds them; everything else is
JSON in the file's header. Nothing is pickled, and reading a checkpoint runs nothing.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from mlkit.core.errors import CheckpointError
from mlkit.core.files import make_folder
from mlkit.core.value import is_tensor
from mlkit.io.tensor_file import as_array, read_arrays, write_arrays

__all__ = ["load_checkpoint", "save_checkpoint"]

KEY = "mlkit.checkpoint"
CHECKSUM = "mlkit.crc32"
VERSION = 1


def save_checkpoint(state: dict[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write a state, whole or not at all; missing folders are made.

    Args:
        state: Dictionaries, lists and tuples of tensors, NumPy arrays, numbers, texts, booleans and None.
        path: The file; by custom it ends in ``.safetensors``.

    Returns:
        `path`.

    Raises:
        CheckpointError: Something in `state` is none of these; the message names its place.
        OSError: The disk is full or the folder read-only; an older file of that name is as it was.

    >>> import tempfile
    >>> path = save_checkpoint({"step": 3, "w": np.ones(2)}, Path(tempfile.mkdtemp()) / "a.safetensors")
    >>> load_checkpoint(path)
    {'step': 3, 'w': array([1., 1.])}
    """
    path = Path(path)
    arrays: dict[str, np.ndarray] = {}
    tree = _flatten(state, "", arrays)
    document = json.dumps({"version": VERSION, "state": tree}, allow_nan=False)
    make_folder(path.parent)
    write_arrays(path, arrays, {KEY: document, CHECKSUM: _checksum(arrays)})
    return path


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state in a checkpoint; tensors come as NumPy arrays.

    Raises:
        CheckpointError: The file is missing, damaged, no checkpoint, or of a later mlkit.
    """
    arrays, texts = read_arrays(path)
    if KEY not in texts:
        raise CheckpointError(
            f"{path} is a safetensors file but no mlkit checkpoint.",
            details="tensors in it: " + (", ".join(list(arrays)[:8]) or "none"),
            hint="To take only its tensors, read it with mlkit.io.read_arrays.",
        )
    if CHECKSUM in texts and texts[CHECKSUM] != _checksum(arrays):
        raise CheckpointError(
            f"{path} is damaged: its tensors are not those that were written.",
            hint="Take an earlier checkpoint, or save it again; the disk or a copy may have changed the file.",
        )
    try:
        document = json.loads(texts[KEY])
        version = document["version"]
        if version > VERSION:
            raise CheckpointError(
                f"{path} was written by a later mlkit (format {version}; this one reads up to {VERSION}).",
                hint="Update mlkit.",
            )
        return _unflatten(document["state"], arrays)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: its description does not fit its tensors ({error}).") from error


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    """Of all tensors' bytes, in the order of their names."""
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(
            np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data, zlib.crc32(name.encode(), total)
        )
    return f"{total:08x}"


def _flatten(value: Any, place: str, arrays: dict[str, np.ndarray]) -> Any:
    """The value as JSON, its tensors moved to `arrays`. What JSON lacks is written as an object with one ``$`` key."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"$float": str(number)}
    if is_tensor(value) or isinstance(value, np.ndarray):
        name = place or "value"
        while name in arrays:  # {"a.b": ...} beside {"a": {"b": ...}}
            name += "'"
        arrays[name] = as_array(value)
        return {"$tensor": name}
    inside = f"{place}." if place else ""
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {key: _flatten(item, inside + key, arrays) for key, item in value.items()}
        return {"$dict": [[_flatten(key, place, arrays), _flatten(item, f"{inside}{key}", arrays)]
                          for key, item in value.items()]}  # fmt: skip
    if isinstance(value, (list, tuple)):
        items = [_flatten(item, f"{inside}{position}", arrays) for position, item in enumerate(value)]
        return {"$tuple": items} if isinstance(value, tuple) else items
    raise CheckpointError(
        f"A checkpoint cannot hold {place or 'a state'} of type {type(value).__module__}.{type(value).__qualname__}.",
        hint="It holds tensors, arrays, numbers, texts, and dictionaries, lists and tuples of them.",
    )


def _unflatten(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unflatten(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return arrays[value["$tensor"]]
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(_unflatten(item, arrays) for item in value["$tuple"])
    if "$dict" in value:
        return {_unflatten(key, arrays): _unflatten(item, arrays) for key, item in value["$dict"]}
    return {key: _unflatten(item, arrays) for key, item in value.items()}
