"""What all optimizers share: parameter groups, state, hooks, and saving all of it in PyTorch's form.

An optimizer is two methods. ``start(group, p)`` makes what it remembers of one parameter. ``update(m, group, p, g, ...)``
is the algorithm: it changes ``p`` in place by the gradient ``g``, and gets what it remembers by name, ``step`` as a
number. Like the gradient rules of ops it is written once, with ``m``, operators and in-place operators, and read two
ways: on bare arrays of any backend, or with ``differentiable=True`` on tensors, so that gradients flow through the step.
Complex parameters arrive as real ones with a last axis of two.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

import numpy as np

from mlkit.autograd.grad_mode import enable_grad, set_grad_enabled
from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core import rich
from mlkit.core.dispatch import ops, state
from mlkit.core.errors import ArgumentError, DtypeError, GradientError, MissingFeature, ValueRangeError
from mlkit.core.value import Hook, MetaArray, Value, mark_mutated, wrap
from mlkit.functional.conversion import tensor

_every_pre_hook: OrderedDict = OrderedDict()
_every_post_hook: OrderedDict = OrderedDict()


def register_optimizer_step_pre_hook(hook: Callable) -> Hook:
    """Call ``hook(optimizer, args, kwargs)`` before each step of every optimizer."""
    return _registered(_every_pre_hook, hook)


def register_optimizer_step_post_hook(hook: Callable) -> Hook:
    """Call ``hook(optimizer, args, kwargs)`` after each step of every optimizer."""
    return _registered(_every_post_hook, hook)


def _registered(hooks: OrderedDict, hook: Callable, prepend: bool = False) -> Hook:
    handle = Hook(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def _with_hooks(step: Callable) -> Callable:
    """``step`` between its hooks; schedulers read ``_opt_called`` to see whether it ran."""

    @functools.wraps(step)
    def hooked_step(*args, **kwargs):
        self = args[0]  # part of what hooks see and may change, as in PyTorch
        if state.recorder is not None:
            return state.recorder.optimizer_step(hooked_step, args, kwargs)
        for hook in list(chain(_every_pre_hook.values(), self._optimizer_step_pre_hooks.values())):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise GradientError(
                        f"A step pre-hook must return None or (args, kwargs), but it returned {changed!r}."
                    )
                args, kwargs = changed
        if hasattr(self, "_opt_called"):
            self._opt_called = True
        out = step(*args, **kwargs)
        for hook in list(chain(self._optimizer_step_post_hooks.values(), _every_post_hook.values())):
            hook(self, args, kwargs)
        return out

    hooked_step.hooked = True  # type: ignore[attr-defined]
    return hooked_step


class _Required:
    """What an optimizer of one's own writes as the default of a setting that has none."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


class Optimizer:
    """Base of all optimizers.

    Subclass it with ``start`` and ``update`` (see the top of this file), or as in PyTorch with a ``step`` of your own
    that loops over ``self.param_groups``.

    Args:
        params: tensors, (name, tensor) pairs, or dictionaries with "params" and settings of their own.
        defaults: settings for groups that do not give them.

    Raises:
        TypeError: ``params`` is a tensor or holds something that is none.
        ValueError: no parameters, a parameter in two groups, or one that was computed.

    >>> import mlkit
    >>> class SignDescent(mlkit.optim.Optimizer):
    ...     def update(self, m, group, p, g):
    ...         p -= group["lr"] * m.sign(g)
    >>> w = mlkit.tensor([1.0, -1.0], requires_grad=True)
    >>> opt = SignDescent([w], {"lr": 0.25}); (w * w).sum().backward(); opt.step(); w
    tensor([ 0.7500, -0.7500], requires_grad=True)
    """

    def __init__(self, params: Iterable, defaults: dict):
        self.defaults = defaults
        self._make_hooks()
        if isinstance(params, Value):
            raise ArgumentError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a Tensor.",
                hint="Pass model.parameters(), or [tensor].",
            )
        self.state: dict = defaultdict(dict)
        self.param_groups: list[dict] = []
        groups = list(params)
        if not groups:
            raise ValueRangeError("optimizer got an empty parameter list.", hint="Pass model.parameters().")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "step" in vars(cls):
            cls.step = _with_hooks(cls.step)

    def _make_hooks(self) -> None:
        for (
            name
        ) in "step_pre step_post state_dict_pre state_dict_post load_state_dict_pre load_state_dict_post".split():
            self.__dict__.setdefault(f"_optimizer_{name}_hooks", OrderedDict())

    def __getstate__(self) -> dict:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._make_hooks()
        self._complete()

    def _complete(self) -> None:
        """Give groups of older files the settings they lack, and make tensors of their step counts."""
        for group in self.param_groups:
            for key, default in self.defaults.items():
                group.setdefault(key, default)
            for p in group["params"]:
                entries = self.state.get(p) or {}
                for key in ("step", "eta", "mu", "mu_product"):
                    if key in entries and not isinstance(entries[key], Value):
                        entries[key] = scalar(float(entries[key]), group, p)

    def add_param_group(self, param_group: dict) -> None:
        """Add parameters, with settings of their own where given."""
        if not isinstance(param_group, dict):
            raise ArgumentError(f"param_group must be a dict, but got {type(param_group).__name__}.")
        group = param_group
        listed = group["params"]
        if isinstance(listed, Value):
            listed = [listed]
        elif isinstance(listed, set):
            raise ArgumentError(
                "optimizer parameters need to be organized in ordered collections, but a set has no order.",
                hint="Pass a list.",
            )
        listed = list(listed)
        names = [entry[0] for entry in listed if isinstance(entry, tuple)]
        if names and len(names) != len(listed):
            raise ValueRangeError("all optimizer params should be with/without names. Some param names are missing.")
        group["params"] = [entry[1] if isinstance(entry, tuple) else entry for entry in listed]
        if names:
            group["param_names"] = names
        for p in group["params"]:
            if not isinstance(p, Value):
                raise ArgumentError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}."
                )
            if not self.defaults.get("differentiable") and not (p.is_leaf or p.retains_grad):
                raise ValueRangeError("can't optimize a non-leaf Tensor.", hint="Pass the Parameter itself.")
        for key, default in self.defaults.items():
            if default is required and key not in group:
                raise ValueRangeError(
                    f"parameter group didn't specify a value of required optimization parameter {key}"
                )
            group.setdefault(key, default)
        if len({id(p) for p in group["params"]}) != len(group["params"]):
            warnings.warn("optimizer contains a parameter group with duplicate parameters.", stacklevel=3)
        for other in self.param_groups:
            if ("param_names" in group) != ("param_names" in other):
                raise ValueRangeError("all optimizer param groups should be with/without names.")
        known = {id(p) for other in self.param_groups for p in other["params"]}
        if any(id(p) in known for p in group["params"]):
            raise ValueRangeError("some parameters appear in more than one parameter group.")
        self.param_groups.append(group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters (or set them to zero)."""
        if state.recorder is not None and set_to_none:
            state.recorder.forgets([p for group in self.param_groups for p in group["params"]])
        for group in self.param_groups:
            for p in group["params"]:
                if p._grad is not None:
                    if set_to_none:
                        p._grad = None
                    else:
                        p._grad = p._grad.detach()
                        p._grad.zero_()

    # --- the step ----------------------------------------------------------------------------------------------------------

    def start(self, group: dict, p: Value) -> dict:
        """What the optimizer remembers of a parameter before its first step: tensors by name."""
        return {}

    def update(self, m, group: dict, p, g, **state):
        """Change ``p`` in place by the gradient ``g`` (which must stay as it is) and by what ``start`` made.

        May return a dictionary of further arrays to remember.
        """
        raise NotImplementedError

    def step(self, closure: Callable | None = None):
        """Change the parameters once by their gradients; returns what ``closure`` (which may compute the loss) does."""
        loss = None
        differentiable = bool(self.defaults.get("differentiable"))
        with set_grad_enabled(differentiable):
            if closure is not None:
                with enable_grad():
                    loss = closure()
            for group in self.param_groups:
                params = [p for p in group["params"] if p._grad is not None]
                if differentiable:
                    for p in params:
                        self._update_tensor(group, p)
                    continue
                settings = plain_settings(group)
                for p in self._update_together(settings, params):
                    self._update_array(settings, p)
        return loss

    step = _with_hooks(step)

    def _update_together(self, group: dict, params: list) -> list:
        """One pass over all parameters by a backend that has this very ``update`` rule; returns those left to do."""
        rule = type(self).update
        if not params or params[0]._array.__class__ is MetaArray:
            return params
        together = backends.for_array(params[0]._array).functions.get(f"{rule.__module__}.{rule.__qualname__}")
        return params if together is None else together(self, group, params)

    def _state_of(self, group: dict, p: Value) -> dict:
        """The parameter's state, begun now if this is its first step, with its step counted."""
        if group.get("fused") and p._array.dtype.kind not in "fV":
            raise DtypeError(f"fused=True requires floating point parameters, got {p.dtype.name}.")
        state = self.state.get(p)
        if not state:
            state = self.start(group, p)
            if state:
                self.state[p] = state
        if "step" in state:
            state["step"]._array += 1
        return state

    def _update_array(self, group: dict, p: Value) -> None:
        """One update on bare arrays: nothing is recorded, and PyTorch's real view of complex numbers is taken."""
        array, g = p._array, p._grad._array
        if array.__class__ is MetaArray:
            return
        state = self._state_of(group, p)
        arrays = {k: v._array if isinstance(v, Value) else v for k, v in state.items()}
        if "step" in arrays:
            arrays["step"] = float(arrays["step"])
        if array.dtype.kind == "c":
            array, g = as_real(array), as_real(g)
            arrays = {k: as_real(v) if getattr(v, "dtype", g.dtype).kind == "c" else v for k, v in arrays.items()}
        m = backends.for_array(array).m
        fresh = self.update(m, group, array, -g if group.get("maximize") else g, **arrays)
        for name, made in (fresh or {}).items():
            if p._array.dtype.kind == "c":
                made = made.reshape(-1).view(p._array.dtype).reshape(p._array.shape)
            self.state[p][name] = wrap(made)
        mark_mutated(p)

    def _update_tensor(self, group: dict, p: Value) -> None:
        """One update on tensors. What is remembered is cloned first, so that the steps before keep what they saved."""
        if p.is_complex():
            raise MissingFeature(f"{type(self).__name__}: differentiable=True is not there for complex parameters.")
        state = self._state_of(group, p)
        tensors = {k: v.clone() if isinstance(v, Value) and k != "step" else v for k, v in state.items()}
        state.update(tensors)
        if "step" in tensors:
            tensors["step"] = float(tensors["step"])
        g: Any = p._grad
        fresh = self.update(ops, group, p, -g if group.get("maximize") else g, **tensors)
        if fresh:
            self.state[p].update(fresh)

    # --- hooks -------------------------------------------------------------------------------------------------------------

    def register_step_pre_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, args, kwargs)`` before each step; it may return new (args, kwargs)."""
        return _registered(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> Hook:
        """Call ``hook(optimizer, args, kwargs)`` after each step."""
        return _registered(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Hook:
        """Call ``hook(optimizer)`` before ``state_dict()``."""
        return _registered(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Hook:
        """Call ``hook(optimizer, state_dict)`` after ``state_dict()``; it may return another one."""
        return _registered(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> Hook:
        """Call ``hook(optimizer, state_dict)`` before loading; it may return another one."""
        return _registered(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> Hook:
        """Call ``hook(optimizer)`` after loading."""
        return _registered(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # --- state -------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Settings and state, parameters named by their number: {"state": {0: ...}, "param_groups": [...]}."""
        for hook in list(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        start = 0
        for group in self.param_groups:
            for i, p in enumerate(group["params"], start):
                numbers.setdefault(id(p), i)
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [numbers[id(p)] for p in group["params"]]
            start += len(packed["params"])
            groups.append(packed)
        packed_state = {numbers[id(k)] if isinstance(k, Value) else k: v for k, v in self.state.items()}
        out = {"state": packed_state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            changed = hook(self, out)
            out = out if changed is None else changed
        return out

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over settings and state saved by ``state_dict``, here or by PyTorch (whose tensors may be in it).

        Raises:
            ValueError: the groups do not fit this optimizer's; nothing is changed then.
        """
        state_dict = dict(state_dict)
        for hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = [{k: _copied(v) for k, v in group.items()} for group in state_dict["param_groups"]]
        if len(saved) != len(self.param_groups):
            raise ValueRangeError(
                "loaded state dict has a different number of parameter groups.",
                f"here: {len(self.param_groups)}, loaded: {len(saved)}",
            )
        by_number: dict = {}
        settings_of: dict = {}
        for own, other in zip(self.param_groups, saved, strict=True):
            if len(own["params"]) != len(other["params"]):
                raise ValueRangeError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group.",
                    f"here: {len(own['params'])}, loaded: {len(other['params'])}",
                )
            by_number.update(zip(other["params"], own["params"], strict=True))
            settings_of.update(dict.fromkeys(other["params"], other))
        state: dict = defaultdict(dict)
        for key, entries in state_dict["state"].items():
            p = by_number.get(key)
            if p is None:
                state[key] = entries
            else:
                state[p] = {k: _like_parameter(k, v, p, settings_of[key]) for k, v in entries.items()}
        for own, other in zip(self.param_groups, saved, strict=True):
            other["params"] = own["params"]
            if "param_names" in own:
                other.setdefault("param_names", own["param_names"])
        self.state, self.param_groups = state, saved
        self._complete()
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

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


# --- state, made and loaded ------------------------------------------------------------------------------------------------


def zeros_like(p: Value, fill: complex = 0) -> Value:
    """A tensor like the parameter, outside the graph, with every value ``fill``."""
    array = p._array
    if array.__class__ is MetaArray:
        return wrap(MetaArray(array.shape, array.dtype))
    return wrap(backends.for_array(array).m.xp.full_like(array, fill))  # in memory as the parameter lies


def scalar(number: float, group: dict, p: Value) -> Value:
    """A number kept in a state: float32 (float64 when that is the default), on the CPU unless a GPU graph needs it."""
    wide = dtypes.get_default_dtype() is dtypes.float64 and not group.get("fused")
    place = p.device if group.get("capturable") or group.get("fused") else None
    return tensor(number, dtype=dtypes.float64 if wide else dtypes.float32, device=place)


def as_real(array):
    """The same memory as real numbers, with a last axis (real, imaginary)."""
    return array[..., None].view(np.float32 if array.dtype.itemsize == 8 else np.float64)


#: types of settings that are used as they are
_PLAIN = frozenset((bool, int, float, str, list, type(None)))


def plain_settings(group: dict) -> dict:
    """The group with tensors and NumPy scalars among its settings as Python numbers; the group itself where it has none."""
    other = [given for given in group.values() if given.__class__ not in _PLAIN]
    if all(given.__class__ is tuple and _PLAIN.issuperset(map(type, given)) for given in other):
        return group
    return {key: given if key == "params" else _plain(given) for key, given in group.items()}


def _plain(given):
    if isinstance(given, tuple):
        return tuple(_plain(x) for x in given)
    if isinstance(given, (Value, np.generic)):
        return given.item()
    return given


def _copied(given):
    return given.detach().clone() if isinstance(given, Value) else deepcopy(given)


def _like_parameter(key, saved, p: Value, group: dict):
    """A saved state entry as a copy on the parameter's device, in its dtype (step counts stay as they are)."""
    if isinstance(saved, dict):
        return {k: _like_parameter(k, v, p, group) for k, v in saved.items()}
    if isinstance(saved, (list, tuple)):
        return type(saved)(_like_parameter(None, v, p, group) for v in saved)
    if not isinstance(saved, Value):
        if isinstance(saved, np.ndarray):
            saved = wrap(saved)
        elif type(saved).__module__.partition(".")[0] == "torch" and hasattr(saved, "detach"):
            saved = wrap(np.array(saved.detach().cpu().numpy()))
        else:
            return saved
    if key == "step":
        if group.get("capturable") or group.get("fused"):
            return saved.detach().to(device=p.device, dtype=dtypes.float32, copy=True)
        return saved.detach().clone()
    dtype = p.dtype if p.is_floating_point() else saved.dtype
    return saved.detach().to(device=p.device, dtype=dtype, copy=True)


# --- checks of settings ----------------------------------------------------------------------------------------------------


def check_lr(lr, words: str = "Invalid learning rate: {}") -> None:
    """A learning rate is one number (or tensor of one) of at least 0."""
    if isinstance(lr, Value) and lr.numel() != 1:
        raise ValueRangeError("Tensor lr must be 1-element.", f"shape: {tuple(lr.shape)}")
    if not lr >= 0:
        raise ValueRangeError(words.format(lr), hint="It must be at least 0.")


def not_negative(**settings) -> None:
    """Raise ValueRangeError in PyTorch's words when a setting is below zero."""
    for name, given in settings.items():
        if not given >= 0:
            raise ValueRangeError(f"Invalid {name}: {given}", hint=f"{name} must be at least 0.")


def check_betas(betas) -> None:
    """Decay rates lie in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueRangeError(f"Invalid beta parameter at index {i}: {beta}")


def check_fused(fused, foreach, differentiable: bool) -> None:
    """``fused`` and ``foreach`` choose how PyTorch runs a step; here they only travel with the state."""
    if fused and differentiable:
        raise GradientError("`fused` does not support `differentiable`.")
    if fused and foreach:
        raise GradientError("`fused` and `foreach` cannot be `True` together.")
