"""Numbers as tuples, under the names that model code imports from PyTorch."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence

__all__ = ["consume_prefix_in_state_dict_if_present"]


def _ntuple(n: int, name: str):
    def parse(x):
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    parse.__name__ = name
    return parse


_single, _pair, _triple, _quadruple = (
    _ntuple(n, name) for n, name in enumerate(("_single", "_pair", "_triple", "_quadruple"), 1)
)


def _reverse_repeat_tuple(t: Sequence, n: int) -> tuple:
    """Sizes per axis as `pad` wants them: the last axis first, each ``n`` times."""
    return tuple(x for x in reversed(t) for _ in range(n))


def consume_prefix_in_state_dict_if_present(state_dict: MutableMapping, prefix: str) -> None:
    """Take a prefix off the keys that have it, in place: "module." of a model that was saved inside DataParallel.

    >>> from mlkit.nn.modules.utils import consume_prefix_in_state_dict_if_present
    >>> saved = {"module.weight": 1, "epoch": 2}
    >>> consume_prefix_in_state_dict_if_present(saved, "module.")
    >>> sorted(saved)
    ['epoch', 'weight']
    """
    for key in [k for k in state_dict if k.startswith(prefix)]:
        state_dict[key[len(prefix) :]] = state_dict.pop(key)
    metadata = getattr(state_dict, "_metadata", None)
    if metadata is not None:
        path = prefix.rstrip(".")
        for key in [k for k in metadata if k and (k == path or k.startswith(prefix))]:
            metadata[key[len(prefix) :]] = metadata.pop(key)
