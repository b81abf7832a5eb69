"""Modules as functions of their parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, GradientError, ValueRangeError
from mlkit.core.value import Value


def _places(module) -> dict[str, list[tuple]]:
    """For every parameter and buffer by path, where it hangs: (owner, table name, key), for tied ones several."""
    found: dict[str, list[tuple]] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for table in ("_parameters", "_buffers"):
            for key in owner.__dict__[table]:
                path = f"{prefix}.{key}" if prefix else key
                found.setdefault(path, []).append((owner, table, key))
    return found


def functional_call(
    module,
    parameter_and_buffer_dicts: dict[str, Any] | Sequence[dict[str, Any]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
):
    """Call ``module`` with other tensors in place of its parameters and buffers; the module itself stays as it is.

    Args:
        module: an ``nn.Module``.
        parameter_and_buffer_dicts: path -> tensor, or several such dicts; what is not named keeps the module's own.
        args: the positional arguments: a tuple, or one argument.
        kwargs: the keyword arguments.
        tie_weights: a tensor that the module has in two places is replaced in both when one is named.
        strict: raise when a path is missing or unknown.

    >>> import mlkit
    >>> layer = mlkit.nn.Linear(2, 1)
    >>> mlkit.func.functional_call(layer, {"weight": mlkit.ones(1, 2), "bias": mlkit.zeros(1)}, mlkit.ones(1, 2))
    tensor([[2.]])
    """
    if isinstance(parameter_and_buffer_dicts, dict):
        given = dict(parameter_and_buffer_dicts)
    elif isinstance(parameter_and_buffer_dicts, Sequence):
        given = {}
        for i, part in enumerate(parameter_and_buffer_dicts):
            if not isinstance(part, dict):
                raise ArgumentError(
                    f"Expected all elements of parameter_and_buffer_dicts to be dictionaries, entry {i} is a "
                    f"{type(part).__name__}."
                )
            twice = given.keys() & part.keys()
            if twice:
                raise ValueRangeError(
                    f"{sorted(twice)} appeared in multiple dictionaries; behavior of functional call is ambiguous"
                )
            given |= part
    else:
        raise ValueRangeError(
            "Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got "
            f"{type(parameter_and_buffer_dicts)}"
        )
    places = _places(module)
    unknown = [path for path in given if path not in places]
    if strict and (unknown or set(places) - set(given)):
        missing = sorted(set(places) - set(given))
        raise GradientError(
            "functional_call: the given tensors are not exactly the module's (strict=True).",
            f"missing: {missing}\nunexpected: {unknown}",
        )
    tied: dict[int, list[str]] = {}
    for path, where in places.items():
        owner, table, key = where[0]
        tensor = owner.__dict__[table][key]
        if tensor is not None:
            tied.setdefault(id(tensor), []).append(path)
    swap: dict[tuple[int, str, str], tuple] = {}
    for path, tensor in given.items():
        if path not in places:
            continue
        owner, table, key = places[path][0]
        old = owner.__dict__[table][key]
        names = tied.get(id(old), [path]) if tie_weights and old is not None else [path]
        others = [n for n in names if n in given and given[n] is not tensor]
        if others and len(names) > 1:
            raise ValueRangeError(
                f"functional_call got multiple values for keys {sorted([path, *others])}, which are tied. Consider using "
                "tie_weights=False"
            )
        for name in names:
            for holder, kind, attribute in places[name]:
                swap[(id(holder), kind, attribute)] = (holder, tensor)
    before = []
    try:
        for (_, kind, attribute), (holder, tensor) in swap.items():
            table = holder.__dict__[kind]
            before.append((table, attribute, table[attribute]))
            table[attribute] = tensor
        args = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*args, **(kwargs or {}))
    finally:
        for table, attribute, old in reversed(before):
            table[attribute] = old


def stack_module_state(models: Sequence) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and buffers of several models of one kind, stacked: ready for vmap over an ensemble.

    Returns:
        (parameters, buffers): path -> tensor with the models along the first axis; parameters are leaves that require
        grad where the models' do.

    >>> import mlkit
    >>> models = [mlkit.nn.Linear(2, 1) for _ in range(3)]
    >>> parameters, buffers = mlkit.func.stack_module_state(models)
    >>> parameters["weight"].shape
    mlkit.Size([3, 1, 2])
    """
    models = list(models)
    if not models:
        raise GradientError("stack_module_state: Expected at least one model, got 0.")
    if not (all(m.training for m in models) or not any(m.training for m in models)):
        raise GradientError("stack_module_state: Expected all models to have the same training/eval mode.")
    if any(type(m) is not type(models[0]) for m in models):
        raise GradientError("stack_module_state: Expected all models to be of the same class.")

    def stacked(members: Callable, leaf: bool) -> dict[str, Any]:
        tables = [dict(members(m)) for m in models]
        out = {}
        for path in tables[0]:
            tensors = [t[path] for t in tables]
            wanted = [t._node is not None for t in tensors]
            if any(wanted) and not all(wanted):
                raise GradientError(
                    "Expected all parameters to have the same requires_grad.", f"path: {path}, requires_grad: {wanted}"
                )
            with no_grad():
                whole = ops.cat([ops.unsqueeze(t, 0) for t in tensors], dim=0)
            out[path] = whole.requires_grad_(wanted[0]) if leaf else whole
        return out

    return (
        stacked(lambda m: m.named_parameters(), True),
        stacked(lambda m: m.named_buffers(), False),
    )


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """``func`` such that changes in place never reach its arguments: it works on copies.

    Ops here are recorded by what they compute, so that no other rewriting is needed (PyTorch's removes the in-place calls
    from the program that a compiler sees).

    Args:
        func: a function of tensors.
        remove: "mutations", or "mutations_and_views"; both do the same here.
    """
    from mlkit.func import pytree

    if remove not in ("mutations", "mutations_and_views"):
        raise GradientError(
            "functionalize(f, remove='mutations'): received invalid argument for remove= "
            f"({remove}). Valid options are: remove='mutations', remove='mutations_and_views'"
        )

    def wrapper(*args, **kwargs):
        copies: dict[int, Any] = {}

        def copied(t):
            if not isinstance(t, Value):
                return t
            if id(t) not in copies:
                copies[id(t)] = ops.clone(t)
            return copies[id(t)]

        return func(*pytree.map_leaves(copied, args), **pytree.map_leaves(copied, kwargs))

    return wrapper


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Let every batch norm of ``root`` use each batch's own statistics and keep no running ones; changes ``root``, returns it.

    vmap needs it: running statistics are changed in place, and the examples of a vmap may not change what they share.

    >>> import mlkit
    >>> model = mlkit.func.replace_all_batch_norm_modules_(mlkit.nn.Sequential(mlkit.nn.BatchNorm1d(3)))
    >>> model[0].running_mean is None, model[0].track_running_stats
    (True, False)
    """
    for module in root.modules():
        if any(kind.__name__ == "_BatchNorm" for kind in type(module).__mro__):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
