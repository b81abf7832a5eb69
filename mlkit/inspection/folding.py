"""Runs of blocks that look alike, to be drawn as one box: "Block x 12"."""

from __future__ import annotations

from typing import Any

LEAST = 3
"""Fewer blocks than this are drawn each by itself."""


def folds(document: dict[str, Any]) -> list[dict[str, Any]]:
    """``[{"parent": "h", "first": "h.0", "last": "h.11", "members": ["h.0", ...]}]``: neighbours of one structure.

    Two modules are alike when their types, settings, parameters, operations and shapes are, all the way down. The settings of the
    children count, not their names outside. Only members that are called one after the other make a run.
    """
    modules = {m["path"]: m for m in document["modules"]}
    values = {v["id"]: v for v in document["values"]}
    paths: dict[str, None] = {}
    operations: dict[str, list[dict[str, Any]]] = {}
    for node in document["nodes"]:
        parts = node["module"].split(".") if node["module"] else []
        for end in range(len(parts) + 1):
            path = ".".join(parts[:end])
            paths[path] = None
            operations.setdefault(path, []).append(node)

    facts: dict[str, tuple] = {}
    for node in document["nodes"]:
        shapes = tuple(tuple(values[v]["shape"]) for v in (*node["inputs"], *node["outputs"]))
        facts[node["id"]] = (node["op"], modules.get(node["module"], {}).get("extra", ""), len(node["inputs"]), shapes)

    def signature(path: str) -> tuple:
        own, cut = modules.get(path, {}), len(path)
        body = tuple((node["module"][cut:], facts[node["id"]]) for node in operations[path])
        return own.get("type", ""), own.get("parameters"), hash(body)

    children: dict[str, list[str]] = {}
    for path in paths:
        if path:
            children.setdefault(path.rpartition(".")[0], []).append(path)
    found = []
    known: dict[str, tuple] = {}
    for parent, members in children.items():
        if len(members) < LEAST:
            continue
        run: list[str] = []
        for member in (*members, ""):  # the empty one ends the last run
            if member and member not in known:
                known[member] = signature(member)
            if run and (not member or known[member] != known[run[0]]):
                if len(run) >= LEAST and len(operations[run[0]]) > 1:
                    found.append({"parent": parent, "first": run[0], "last": run[-1], "members": run})
                run = []
            if member:
                run.append(member)
    return found
