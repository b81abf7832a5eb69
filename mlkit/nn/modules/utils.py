"""Numbers as tuples, under the names that model code imports from PyTorch."""

from __future__ import annotations

from collections.abc import Iterable


def _ntuple(n: int, name: str):
    def parse(x):
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = (
    _ntuple(n, name) for n, name in enumerate(("_single", "_pair", "_triple", "_quadruple"), 1)
)
