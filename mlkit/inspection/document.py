"""The graph's document: its schema, a check that says what is wrong and where, reading and writing.

MIME type ``application/vnd.mlkit.graph+json``, files ``*.mlgraph.json``. Version 1 holds:

``name``, ``inputs``, ``outputs``
    The program's name, and the ids of the values that come in and go out.
``modules``
    One entry per module that took part: path ("features.0"), type, parameters (how many numbers), extra (its settings).
``values``
    One entry per tensor: id, kind (input, parameter, buffer, constant, activation), name, shape, dtype, bytes.
``nodes``
    One entry per operation in the order of the run: id, op, module (its path), inputs and outputs (value ids), attrs,
    source (file, line, code), seconds, composites (functions it is a part of), arguments (operands in their places).
``error``, ``failed``
    What a forward that broke raised, and the id of the node that raised it.
``trouble``
    The first NaN or infinity.
``formulas``, ``folds``, ``gradients_of``
    One line of mathematics per op; runs of like blocks; what gradients are the gradients of.

Readers ignore keys that they do not know; a change that old readers would misread raises the version.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlkit.core.errors import DataError
from mlkit.core.files import atomic_write

MIME = "application/vnd.mlkit.graph+json"

_TEXT = {"type": "string"}
_MAYBE_TEXT = {"type": ["string", "null"]}
_IDS = {"type": "array", "items": _TEXT}
_COUNT = {"type": ["integer", "null"], "minimum": 0}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "mlkit graph",
    "type": "object",
    "required": ["format", "version", "name", "inputs", "outputs", "modules", "values", "nodes"],
    "properties": {
        "format": {"const": "mlkit.graph"},
        "version": {"const": 1},
        "name": _TEXT,
        "inputs": _IDS,
        "outputs": _IDS,
        "modules": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "type"],
                "properties": {"path": _TEXT, "type": _TEXT, "parameters": _COUNT, "extra": _MAYBE_TEXT},
            },
        },
        "values": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "kind", "shape", "dtype"],
                "properties": {
                    "id": _TEXT,
                    "kind": {"enum": ["input", "parameter", "buffer", "constant", "activation"]},
                    "name": _MAYBE_TEXT,
                    "shape": {"type": "array", "items": {"type": ["integer", "string"]}},
                    "dtype": _TEXT,
                    "bytes": _COUNT,
                },
            },
        },
        "nodes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "op", "module", "inputs", "outputs"],
                "properties": {
                    "id": _TEXT,
                    "op": _TEXT,
                    "module": _TEXT,
                    "composites": _IDS,
                    "inputs": _IDS,
                    "outputs": _IDS,
                    "attrs": {"type": "object"},
                    "arguments": {"type": "array"},
                    "source": {
                        "type": ["object", "null"],
                        "properties": {
                            "file": _MAYBE_TEXT,
                            "line": _COUNT,
                            "code": _MAYBE_TEXT,
                            "function": _MAYBE_TEXT,
                        },
                    },
                    "seconds": {"type": ["number", "null"], "minimum": 0},
                },
            },
        },
        "error": {"type": ["object", "null"]},
        "failed": _MAYBE_TEXT,
        "trouble": {"type": ["object", "null"]},
        "formulas": {"type": "object"},
        "folds": {"type": "array"},
        "gradients_of": _MAYBE_TEXT,
    },
}

_KINDS = {"object": dict, "array": list, "string": str, "null": type(None), "integer": int, "number": (int, float)}


def validate(document: Any) -> dict[str, Any]:
    """Check a document against the schema and its own references; gives it back.

    Raises:
        DataError: It is none; the message names the place.

    >>> validate({"format": "onnx"})
    Traceback (most recent call last):
    mlkit.core.errors.DataError: not a document of a graph: at format: expected 'mlkit.graph', got 'onnx'.
    """
    if isinstance(document, dict) and document.get("format") == "mlkit.graph" and document.get("version") != 1:
        raise DataError(
            f"this graph is of version {document.get('version')!r}; this mlkit reads version 1.",
            hint="Export it again, or update mlkit: pip install -U mlkit",
        )
    _check(document, SCHEMA, "")
    values, nodes = set(), set()
    for value in document["values"]:
        if value["id"] in values:
            raise DataError(f"not a document of a graph: two values have the id {value['id']!r}.")
        values.add(value["id"])
    for node in document["nodes"]:
        if node["id"] in nodes:
            raise DataError(f"not a document of a graph: two nodes have the id {node['id']!r}.")
        nodes.add(node["id"])
        for key in (*node["inputs"], *node["outputs"]):
            if key not in values:
                raise DataError(
                    f"not a document of a graph: node {node['id']!r} names the value {key!r}, which is not there."
                )
    for key in (*document["inputs"], *document["outputs"]):
        if key not in values:
            raise DataError(f"not a document of a graph: inputs or outputs name the value {key!r}, which is not there.")
    return document


def _check(found: Any, schema: dict[str, Any], place: str) -> None:
    def refuse(expected: str) -> None:
        shown = repr(found) if len(repr(found)) <= 60 else type(found).__name__
        raise DataError(f"not a document of a graph: at {place or 'the top'}: expected {expected}, got {shown}.")

    if "const" in schema and found != schema["const"]:
        refuse(repr(schema["const"]))
    if "enum" in schema and found not in schema["enum"]:
        refuse("one of " + ", ".join(schema["enum"]))
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kinds: tuple = ()
        for name in names:
            kind = _KINDS[name]
            kinds += kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(found, kinds) or isinstance(found, bool):
            refuse(" or ".join(names))
    if "minimum" in schema and isinstance(found, (int, float)) and found < schema["minimum"]:
        refuse(f"at least {schema['minimum']}")
    if isinstance(found, dict):
        for key in ("format", *schema.get("required", ())):
            if key in schema.get("properties", {}) and key in found and "const" in schema["properties"][key]:
                _check(found[key], schema["properties"][key], f"{place}.{key}".lstrip("."))
        for key in schema.get("required", ()):
            if key not in found:
                raise DataError(f"not a document of a graph: {place or 'the top'} has no {key!r}.")
        for key, inner in schema.get("properties", {}).items():
            if key in found:
                _check(found[key], inner, f"{place}.{key}".lstrip("."))
    if isinstance(found, list) and "items" in schema:
        for i, item in enumerate(found):
            _check(item, schema["items"], f"{place}[{i}]")


def save(document: dict[str, Any], path: str | Path) -> None:
    """Write a document as JSON, aside first."""
    text = json.dumps(validate(document), ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode())


def load(path: str | Path) -> dict[str, Any]:
    """Read a document and check it. Raises DataError for what is none."""
    try:
        document = json.loads(Path(path).read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no JSON: {error}") from None
    return validate(document)
