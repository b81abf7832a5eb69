"""Hooks of modules: where they are kept, those that hold for every module, and how to register these."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlkit.core.value import Hook

if TYPE_CHECKING:
    from mlkit.nn.module import Module


def add_hook(hooks: dict, fn: Callable, prepend: bool = False) -> Hook:
    """Put ``fn`` into a table of hooks, last or first; the handle removes it."""
    handle = Hook(hooks)
    if prepend:
        rest = dict(hooks)
        hooks.clear()
        hooks[handle.id] = fn
        hooks.update(rest)
    else:
        hooks[handle.id] = fn
    return handle


#: the tables that every module has
HOOK_TABLES = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
#: hooks on every module, by kind
global_hooks: dict[str, OrderedDict] = {
    kind: OrderedDict()
    for kind in ("forward_pre", "forward", "backward_pre", "backward", "parameter", "buffer", "module")
}
always_called: set = set()


class _AnyGlobal:
    """True while a hook on every module's call is registered."""

    def __bool__(self) -> bool:
        return any(global_hooks[kind] for kind in ("forward_pre", "forward", "backward_pre", "backward"))


any_global_hooks = _AnyGlobal()


def register_module_forward_pre_hook(hook: Callable) -> Hook:
    """Call ``hook(module, args)`` before the forward of every module."""
    return add_hook(global_hooks["forward_pre"], hook)


def register_module_forward_hook(hook: Callable, *, with_kwargs: bool = False, always_call: bool = False) -> Hook:
    """Call ``hook(module, args, output)`` after the forward of every module."""
    if with_kwargs:
        plain = hook
        hook = lambda module, args, output: plain(module, args, {}, output)  # noqa: E731
    handle = add_hook(global_hooks["forward"], hook)
    if always_call:
        always_called.add(handle.id)
    return handle


def register_module_full_backward_pre_hook(hook: Callable) -> Hook:
    """Call ``hook(module, grad_output)`` before the backward of every module."""
    return add_hook(global_hooks["backward_pre"], hook)


def register_module_full_backward_hook(hook: Callable) -> Hook:
    """Call ``hook(module, grad_input, grad_output)`` after the backward of every module."""
    return add_hook(global_hooks["backward"], hook)


register_module_backward_hook = register_module_full_backward_hook


def register_module_parameter_registration_hook(hook: Callable) -> Hook:
    """Call ``hook(module, name, parameter)`` whenever a parameter is registered; what it returns replaces it."""
    return add_hook(global_hooks["parameter"], hook)


def register_module_buffer_registration_hook(hook: Callable) -> Hook:
    """Call ``hook(module, name, buffer)`` whenever a buffer is registered; what it returns replaces it."""
    return add_hook(global_hooks["buffer"], hook)


def register_module_module_registration_hook(hook: Callable) -> Hook:
    """Call ``hook(module, name, submodule)`` whenever a child module is registered; what it returns replaces it."""
    return add_hook(global_hooks["module"], hook)


def registered(kind: str, module: Module, name: str, member):
    """What the registration hooks make of a new member."""
    for hook in list(global_hooks[kind].values()):
        result = hook(module, name, member)
        member = member if result is None else result
    return member


class WithModule:
    """A load_state_dict hook that gets the module: whichever holds the hook, a copy too."""

    def __init__(self, hook: Callable):
        self.hook = hook

    def __call__(self, module: Module, *args) -> None:
        self.hook(module, *args)
