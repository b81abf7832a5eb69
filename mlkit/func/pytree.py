"""Nested containers of tensors: taken apart into a flat list, and put together again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class Leafs:
    """The mark of a leaf in a structure."""

    def __repr__(self) -> str:
        return "*"


LEAF = Leafs()


def flatten(tree) -> tuple[list, Any]:
    """(leaves, structure): tuples, named tuples, lists and dicts are containers, all else is a leaf."""
    leaves: list = []
    return leaves, _walk(tree, leaves)


def _is_named(x) -> bool:
    return isinstance(x, tuple) and hasattr(x, "_fields")


def _walk(tree, leaves: list):
    if isinstance(tree, (tuple, list)):
        return (type(tree), [_walk(item, leaves) for item in tree])
    if isinstance(tree, dict):
        return (type(tree), {key: _walk(item, leaves) for key, item in tree.items()})
    leaves.append(tree)
    return LEAF


def unflatten(leaves, structure):
    """The tree of that structure with those leaves."""
    rest = iter(leaves)

    def build(part):
        if part is LEAF:
            return next(rest)
        kind, inside = part
        if isinstance(inside, dict):
            made = [(key, build(item)) for key, item in inside.items()]
            return kind(made) if kind in (dict, OrderedDict) else kind(made)
        items = [build(item) for item in inside]
        return kind(*items) if hasattr(kind, "_fields") else kind(items)

    return build(structure)


def map_leaves(fn: Callable, tree):
    """The tree with ``fn`` applied to each leaf."""
    leaves, structure = flatten(tree)
    return unflatten([fn(x) for x in leaves], structure)


def same(a, b) -> bool:
    """Whether two structures are equal (a tuple and a list are not)."""
    if a is LEAF or b is LEAF:
        return a is b
    (kind_a, in_a), (kind_b, in_b) = a, b
    if kind_a is not kind_b or len(in_a) != len(in_b):
        return False
    if isinstance(in_a, dict):
        return in_a.keys() == in_b.keys() and all(same(in_a[k], in_b[k]) for k in in_a)
    return all(same(x, y) for x, y in zip(in_a, in_b, strict=True))


def text(structure) -> str:
    """A structure as text: ``(*, [*, *])``."""
    if structure is LEAF:
        return "*"
    kind, inside = structure
    if isinstance(inside, dict):
        return "{" + ", ".join(f"{k!r}: {text(v)}" for k, v in inside.items()) + "}"
    items = ", ".join(text(item) for item in inside)
    if issubclass(kind, list):
        return f"[{items}]"
    return f"({items}{',' if len(inside) == 1 else ''})"


def spread(prefix, structure) -> list | None:
    """One entry of ``prefix`` for each leaf below it; None when it does not fit the structure.

    ``prefix`` is an int, None, or containers as in ``structure`` that stop early: a number stands for all below.
    """
    found: list = []

    def walk(p, part) -> bool:
        if p is None or isinstance(p, int):
            count = _count(part)
            found.extend([p] * count)
            return True
        if part is LEAF:
            return False
        kind, inside = part
        if isinstance(inside, dict):
            return isinstance(p, dict) and p.keys() == inside.keys() and all(walk(p[k], inside[k]) for k in inside)
        if not isinstance(p, (tuple, list)) or len(p) != len(inside):
            return False
        return all(walk(x, y) for x, y in zip(p, inside, strict=True))

    return found if walk(prefix, structure) else None


def _count(part) -> int:
    if part is LEAF:
        return 1
    inside = part[1]
    return sum(_count(x) for x in (inside.values() if isinstance(inside, dict) else inside))
