"""What all optimizers share: parameter groups, state, and saving both."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable

from mlkit.autograd.grad_mode import enable_grad
from mlkit.core import rich
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import Hook, Value, mark_mutated


class Optimizer:
    """Base of all optimizers: ``update(group, parameter, gradient array, state)`` is the algorithm.

    Args:
        params: tensors, (name, tensor) pairs, or dictionaries with "params" and settings of their own.
        defaults: settings for groups that do not give them.
    """

    def __init__(self, params: Iterable, defaults: dict):
        if isinstance(params, Value):
            raise ArgumentError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a Tensor.",
                hint="Pass model.parameters(), or [tensor].",
            )
        self.defaults = defaults
        self.state: dict = defaultdict(dict)
        self.param_groups: list[dict] = []
        self._step_pre_hooks: OrderedDict = OrderedDict()
        self._step_post_hooks: OrderedDict = OrderedDict()
        groups = list(params)
        if not groups:
            raise ValueRangeError("optimizer got an empty parameter list.", hint="Pass model.parameters().")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: dict) -> None:
        """Add parameters, with settings of their own where given."""
        if not isinstance(param_group, dict):
            raise ArgumentError(f"param_group must be a dict, but got {type(param_group).__name__}.")
        group = dict(param_group)
        listed = group["params"]
        if isinstance(listed, Value):
            listed = [listed]
        elif isinstance(listed, set):
            raise ArgumentError("optimizer parameters need to be organized in ordered collections, not in a set.")
        listed = list(listed)
        if listed and isinstance(listed[0], tuple):
            group["param_names"] = [name for name, _ in listed]
            listed = [p for _, p in listed]
        for p in listed:
            if not isinstance(p, Value):
                raise ArgumentError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}."
                )
            if not p.is_leaf:
                raise ValueRangeError("can't optimize a non-leaf Tensor.", hint="Pass the Parameter itself.")
        known = {id(p) for other in self.param_groups for p in other["params"]}
        if any(id(p) in known for p in listed):
            raise ValueRangeError("some parameters appear in more than one parameter group.")
        group["params"] = list({id(p): p for p in listed}.values())
        for key, default in self.defaults.items():
            group.setdefault(key, default)
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or set them to zero)."""
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    if set_to_none:
                        p._grad = None
                    else:
                        p._grad = p._grad.detach()
                        p._grad.zero_()

    def step(self, closure: Callable | None = None):
        """Change the parameters once by their gradients; returns what ``closure`` (which may compute the loss) does."""
        for hook in list(self._step_pre_hooks.values()):
            hook(self, (), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is None:
                    continue
                g = p._grad._array
                self.update(group, p, -g if group.get("maximize") else g, self.state[p])
                mark_mutated(p)
        for hook in list(self._step_post_hooks.values()):
            hook(self, (), {})
        return loss

    def update(self, group: dict, p: Value, g, state: dict) -> None:
        """Change one parameter's array in place; ``g`` must stay as it is."""
        raise NotImplementedError

    def register_step_pre_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, args, kwargs)`` before each step."""
        handle = Hook(self._step_pre_hooks)
        self._step_pre_hooks[handle.id] = hook
        return handle

    def register_step_post_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        handle = Hook(self._step_post_hooks)
        self._step_post_hooks[handle.id] = hook
        return handle

    # --- state -------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Settings and state, parameters named by their number, as PyTorch has it."""
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for p in group["params"]:
                numbers.setdefault(id(p), len(numbers))
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            groups.append(packed)
        return {"state": {numbers[id(p)]: s for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over settings and state saved by ``state_dict`` (here or by PyTorch)."""
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueRangeError(
                "loaded state dict has a different number of parameter groups.",
                f"here: {len(self.param_groups)}, loaded: {len(saved)}",
            )
        for own, other in zip(self.param_groups, saved, strict=True):
            if len(own["params"]) != len(other["params"]):
                raise ValueRangeError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group.",
                    f"here: {len(own['params'])}, loaded: {len(other['params'])}",
                )
        by_number = {}
        for own, other in zip(self.param_groups, saved, strict=True):
            by_number.update(zip(other["params"], own["params"], strict=True))
        state: dict = defaultdict(dict)
        for key, entries in state_dict["state"].items():
            p = by_number.get(key)
            if p is not None:
                state[p] = {k: _like_parameter(k, v, p) for k, v in entries.items()}
        for own, other in zip(self.param_groups, saved, strict=True):
            own.update({k: v for k, v in other.items() if k != "params"})
        self.state = state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k != "params"]
        return "\n".join([*lines, ")"])

    def _repr_html_(self):
        return rich.repr_html(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return rich.repr_mimebundle(self, include, exclude)


def _like_parameter(key: str, saved, p: Value):
    """A saved state entry as a copy on the parameter's device, in its dtype (step counts stay as they are)."""
    if not isinstance(saved, Value):
        return saved
    if key == "step":
        return saved.detach().clone()
    dtype = p.dtype if saved.is_floating_point() else saved.dtype
    return saved.detach().to(device=p.device, dtype=dtype, copy=True)


def not_negative(**settings: float) -> None:
    """Raise ValueRangeError in PyTorch's words when a setting is below zero."""
    for name, given in settings.items():
        if isinstance(given, (int, float)) and not given >= 0:
            raise ValueRangeError(f"Invalid {name}: {given}", hint=f"{name} must be at least 0.")
