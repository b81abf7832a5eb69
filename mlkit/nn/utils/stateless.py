"""A module called with other parameters than its own."""

from __future__ import annotations

from contextlib import contextmanager


@contextmanager
def swapped(module, parameters_and_buffers: dict, strict: bool = False):
    """Within the block the named parameters and buffers (dotted paths) are the given tensors."""
    known = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    missing = [name for name in known if name not in parameters_and_buffers]
    unknown = [name for name in parameters_and_buffers if name not in known]
    if strict and (missing or unknown):
        raise RuntimeError(f"functional_call: missing keys {missing}, unexpected keys {unknown}.")
    before = []
    try:
        for path, new in parameters_and_buffers.items():
            owner_path, _, name = path.rpartition(".")
            owner = module.get_submodule(owner_path)
            table = next((t for t in (owner._parameters, owner._buffers) if name in t), None)
            if table is None:
                raise AttributeError(
                    f"{type(owner).__name__} has no parameter or buffer {name!r} (looking for {path!r})"
                )
            before.append((table, name, table[name]))
            table[name] = new
        yield module
    finally:
        for table, name, old in reversed(before):
            table[name] = old


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights: bool = True, strict=False):
    """``module(*args, **kwargs)`` with these tensors in place of its own parameters and buffers.

    >>> import mlkit
    >>> layer = mlkit.nn.Linear(2, 1, bias=False)
    >>> mlkit.nn.utils.stateless.functional_call(layer, {"weight": mlkit.ones(1, 2)}, mlkit.ones(1, 2))
    tensor([[2.]])
    """
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    given = {}
    for part in (
        parameters_and_buffers if isinstance(parameters_and_buffers, (tuple, list)) else [parameters_and_buffers]
    ):
        given.update(part)
    if tie_weights:
        own = {
            **dict(module.named_parameters(remove_duplicate=False)),
            **dict(module.named_buffers(remove_duplicate=False)),
        }
        shared = {id(own[name]): new for name, new in given.items() if name in own}
        given = {**{name: shared[id(t)] for name, t in own.items() if id(t) in shared}, **given}
    with swapped(module, given, strict):
        return module(*args, **(kwargs or {}))
