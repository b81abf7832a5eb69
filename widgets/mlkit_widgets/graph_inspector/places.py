"""Where each module and operation stands in the drawing: its path, with a level of its own around runs of like blocks."""

from __future__ import annotations

from typing import Any


def with_places(document: dict[str, Any]) -> dict[str, Any]:
    """The document with ``place`` on modules and nodes, and an entry for every fold.

    A container whose children are all alike is itself the fold; a run among other children gets a level in between,
    whose entry has no path of its own.
    """
    called = _containers(document)
    groups: dict[str, dict[str, Any]] = {}
    of_member: dict[str, str] = {}
    for fold in document.get("folds") or ():
        members = fold["members"]
        siblings = [p for p in called if p and _parent(p) == fold["parent"]]
        own = any(n["module"] == fold["parent"] for n in document["nodes"])
        if fold["parent"] and len(siblings) == len(members) and not own:
            groups[fold["parent"]] = fold
        else:
            first, last = (p.rpartition(".")[2] for p in (fold["first"], fold["last"]))
            for member in members:
                of_member[member] = f"{first}–{last}"

    known: dict[str, str] = {"": ""}

    def place(path: str) -> str:
        if path not in known:
            above = place(_parent(path))
            parts = [part for part in (above, of_member.get(path), path.rpartition(".")[2]) if part]
            known[path] = ".".join(parts)
        return known[path]

    modules = {m["path"]: dict(m) for m in document["modules"]}
    for path in sorted(called):
        modules.setdefault(path, {"path": path, "type": "", "parameters": None, "extra": ""})
    out = []
    for path, module in modules.items():
        module["place"] = place(path)
        if path in groups:
            module["fold"] = _fold(groups[path], modules)
        out.append(module)
    for fold in document.get("folds") or ():
        if fold["first"] in of_member:
            entry = _fold(fold, modules)
            out.append({
                "path": f"{fold['first']} to {fold['last']}", "type": "", "extra": "", "fold": entry,
                "place": place(fold["first"]).rpartition(".")[0],
                "parameters": sum(modules[m].get("parameters") or 0 for m in fold["members"]),
            })  # fmt: skip
    nodes = [{**node, "place": place(node["module"])} for node in document["nodes"]]
    return {**document, "modules": out, "nodes": nodes}


def _fold(fold: dict[str, Any], modules: dict[str, dict[str, Any]]) -> dict[str, Any]:
    kind = modules.get(fold["first"], {}).get("type") or "block"
    return {"type": kind, "times": len(fold["members"]), "first": fold["first"], "last": fold["last"]}


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _containers(document: dict[str, Any]) -> set[str]:
    """All paths, with those of plain containers, which have no call of their own and may be missing in the list."""
    found: set[str] = {module["path"] for module in document["modules"]}
    for node in document["nodes"]:
        parts = node["module"].split(".") if node["module"] else []
        found.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return found
