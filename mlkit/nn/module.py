"""Module: a function with parameters, made of modules."""

from __future__ import annotations

import functools
import importlib
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from typing import Any

from mlkit.core import dtype as dtypes
from mlkit.core import events, rich
from mlkit.core.device import device as device_class
from mlkit.core.errors import ArgumentError, CheckpointError
from mlkit.core.tensor import Tensor
from mlkit.core.value import Hook, Value
from mlkit.nn.parameter import Buffer, Parameter


class IncompatibleKeys(namedtuple("IncompatibleKeys", ("missing_keys", "unexpected_keys"))):
    """What load_state_dict(strict=False) could not match."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if any(self) else "<All keys matched successfully>"


def _hook(hooks: dict, fn: Callable, prepend: bool = False) -> Hook:
    handle = Hook(hooks)
    if prepend:
        rest = dict(hooks)
        hooks.clear()
        hooks[handle.id] = fn
        hooks.update(rest)
    else:
        hooks[handle.id] = fn
    return handle


class Module:
    """Base of all layers and models: set Parameters and Modules as attributes, write ``forward``.

    >>> import mlkit
    >>> class Net(mlkit.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = mlkit.nn.Linear(3, 2)
    ...     def forward(self, x):
    ...         return self.layer(x)
    >>> Net()(mlkit.ones(4, 3)).shape
    mlkit.Size([4, 2])
    """

    training: bool
    _version = 1

    def __init__(self):
        set_plain = object.__setattr__
        set_plain(self, "training", True)
        set_plain(self, "_parameters", {})
        set_plain(self, "_buffers", {})
        set_plain(self, "_non_persistent_buffers_set", set())
        set_plain(self, "_modules", {})
        for name in _HOOKS:
            set_plain(self, name, OrderedDict())

    def forward(self, *input: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    # --- attributes ----------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, new: Any) -> None:
        parts = self.__dict__
        if isinstance(new, (Parameter, Module)) and "_modules" not in parts:
            raise AttributeError(
                f"cannot assign {type(new).__name__} before Module.__init__() call: "
                f"{type(self).__name__}.__init__ must begin with super().__init__()."
            )
        if isinstance(new, Parameter):
            self._forget(name)
            parts["_parameters"][name] = new
        elif isinstance(new, Module):
            self._forget(name)
            parts["_modules"][name] = new
        elif isinstance(new, Buffer):
            self._forget(name)
            self.register_buffer(name, new, persistent=new.persistent)
        elif "_parameters" in parts and name in parts["_parameters"]:
            if new is not None:
                raise ArgumentError(
                    f"cannot assign '{type(new).__name__}' as parameter '{name}' (mlkit.nn.Parameter or None expected).",
                    hint=f"To change its values: with mlkit.no_grad(): module.{name}.copy_(new).",
                )
            parts["_parameters"][name] = None
        elif "_modules" in parts and name in parts["_modules"]:
            if new is not None:
                raise ArgumentError(
                    f"cannot assign '{type(new).__name__}' as child module '{name}' (mlkit.nn.Module or None expected)."
                )
            parts["_modules"][name] = None
        elif "_buffers" in parts and name in parts["_buffers"]:
            if new is not None and not isinstance(new, Value):
                raise ArgumentError(
                    f"cannot assign '{type(new).__name__}' as buffer '{name}' (Tensor or None expected)."
                )
            parts["_buffers"][name] = new
        else:
            object.__setattr__(self, name, new)

    def _forget(self, name: str) -> None:
        for table in (self.__dict__, self._parameters, self._buffers, self._modules):
            table.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            if table in parts and name in parts[table]:
                return parts[table][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self):
        names = [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]
        return sorted({n for n in names if not n[0].isdigit()})

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under ``name`` (None keeps the name without a parameter)."""
        _check_name(self, name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise ArgumentError(f"cannot assign '{type(param).__name__}' object to parameter '{name}'.")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter, such as running statistics."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        _check_name(self, name, self._buffers)
        if tensor is not None and not isinstance(tensor, Value):
            raise ArgumentError(f"cannot assign '{type(tensor).__name__}' object to buffer '{name}'.")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under ``name``."""
        if module is not None and not isinstance(module, Module):
            raise ArgumentError(f"{type(module).__name__} is not a Module subclass.")
        _check_name(self, name, self._modules)
        self._modules[name] = module

    # --- calling -----------------------------------------------------------------------------------------------------------

    def __call__(self, *args, **kwargs):
        parts = self.__dict__
        if not (
            parts["_forward_hooks"]
            or parts["_forward_pre_hooks"]
            or parts["_backward_hooks"]
            or parts["_backward_pre_hooks"]
            or _global_forward_hooks
            or "module_enter" in events.listeners
            or "module_exit" in events.listeners
        ):
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict):
        if "module_enter" in events.listeners:
            events.emit("module_enter", self, args, kwargs)
        output = None
        try:
            for key, hook in list(self._forward_pre_hooks.items()):
                if key in self._forward_pre_hooks_with_kwargs:
                    result = hook(self, args, kwargs)
                    if result is not None:
                        args, kwargs = result
                else:
                    result = hook(self, args)
                    if result is not None:
                        args = result if isinstance(result, tuple) else (result,)
            backward = None
            if self._backward_hooks or self._backward_pre_hooks:
                from mlkit.nn.backward_hooks import BackwardHooks

                backward = BackwardHooks(self)
                args = backward.watch_inputs(args)
            output = self.forward(*args, **kwargs)
            for key, hook in [*_global_forward_hooks.items(), *self._forward_hooks.items()]:
                if key in self._forward_hooks_with_kwargs:
                    result = hook(self, args, kwargs, output)
                else:
                    result = hook(self, args, output)
                if result is not None:
                    output = result
            if backward is not None:
                output = backward.watch_outputs(output)
            return output
        finally:
            if "module_exit" in events.listeners:
                events.emit("module_exit", self, output)

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> Hook:
        """Call ``hook(module, args)`` before forward; what it returns replaces the arguments."""
        handle = _hook(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Hook:
        """Call ``hook(module, args, output)`` after forward; what it returns replaces the output."""
        handle = _hook(self._forward_hooks, hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        return handle

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> Hook:
        """Call ``hook(module, grad_input, grad_output)`` when the gradients of the inputs are known."""
        return _hook(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> Hook:
        """Call ``hook(module, grad_output)`` before the gradients of the inputs are computed."""
        return _hook(self._backward_pre_hooks, hook, prepend)

    # --- looking around -------------------------------------------------------------------------------------------------------

    def children(self) -> Iterator[Module]:
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self) -> Iterator[Module]:
        for _, module in self.named_modules():
            yield module

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) for this module and all below it; paths are joined by dots."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def _named_members(self, table: str, prefix: str, recurse: bool, remove_duplicate: bool):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in module.__dict__[table].items():
                if member is None or (remove_duplicate and id(member) in seen):
                    continue
                seen.add(id(member))
                yield (f"{path}.{name}" if path else name), member

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        yield from self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        yield from self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def _walk(self, target: str) -> Module:
        module = self
        for part in filter(None, target.split(".")):
            found = module._modules.get(part) if isinstance(module, Module) else None
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{part}` (looking for {target!r})")
            module = found
        return module

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path."""
        return self._walk(target)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        path, _, name = target.rpartition(".")
        found = self._walk(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"`{target}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        path, _, name = target.rpartition(".")
        found = self._walk(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"`{target}` is not a buffer")
        return found

    # --- changing all of it -------------------------------------------------------------------------------------------------------

    def apply(self, fn: Callable[[Module], None]):
        """Call ``fn`` on every module below, then on this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self, mode: bool = True):
        """Set training mode (dropout on, batch statistics) here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self):
        """Set evaluation mode here and below."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True):
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (or set them to zero)."""
        for parameter in self.parameters():
            if parameter._grad is not None:
                if set_to_none:
                    parameter._grad = None
                else:
                    parameter._grad = parameter._grad.detach()
                    parameter._grad.zero_()

    def _convert(self, fn: Callable[[Tensor], Tensor]):
        """Replace the content of every parameter and buffer; their identity stays, so optimizers keep them."""
        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is not None:
                    parameter._array = fn(parameter.detach())._array
                    parameter.__dict__.pop("_storage", None)
                    if parameter._grad is not None:
                        parameter._grad = fn(parameter._grad.detach())
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = fn(buffer)
        return self

    def to(self, *args, device=None, dtype=None, non_blocking: bool = False, memory_format=None):
        """Move to a device and/or convert floating parameters and buffers to a dtype."""
        for a in args:
            if isinstance(a, dtypes.dtype):
                dtype = a
            elif isinstance(a, Value):
                device, dtype = a.device, a.dtype
            elif isinstance(a, (str, device_class, int)) and not isinstance(a, bool):
                device = a
        if dtype is not None and not (dtypes.as_dtype(dtype).is_floating_point or dtypes.as_dtype(dtype).is_complex):
            raise ArgumentError(f"nn.Module.to only accepts floating point or complex dtypes, but got {dtype}.")

        def convert(t):
            wanted = dtype if dtype is not None and (t.is_floating_point() or t.is_complex()) else None
            return t.to(device=device, dtype=wanted)

        return self._convert(convert)

    def cpu(self):
        return self.to("cpu")

    def cuda(self, device=None):
        return self.to("cuda" if device is None else device)

    def to_empty(self, *, device, recurse: bool = True):
        """Fresh uninitialised memory on a device, for a model made on "meta"."""
        from mlkit.functional.creation import empty

        return self._convert(lambda t: empty(*t.shape, dtype=t.dtype, device=device))

    def float(self):
        return self.to(dtypes.float32)

    def double(self):
        return self.to(dtypes.float64)

    def half(self):
        return self.to(dtypes.float16)

    def bfloat16(self):
        return self.to(dtypes.bfloat16)

    def type(self, dst_type):
        return self.to(dtypes.as_dtype(dst_type))

    # --- state --------------------------------------------------------------------------------------------------------------------------

    def get_extra_state(self):
        raise NotImplementedError("get_extra_state is for subclasses with state beyond parameters and buffers")

    def set_extra_state(self, state):
        raise NotImplementedError("set_extra_state is for subclasses with state beyond parameters and buffers")

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        for name, parameter in self._parameters.items():
            if parameter is not None:
                destination[prefix + name] = parameter if keep_vars else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars else buffer.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def state_dict(self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False) -> dict:
        """All parameters and persistent buffers by path; the tensors share the module's memory."""
        if destination is None:
            destination = OrderedDict()
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            result = hook(self, destination, prefix, {})
            destination = destination if result is None else result
        return destination

    def register_state_dict_post_hook(self, hook: Callable) -> Hook:
        return _hook(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> Hook:
        return _hook(self._state_dict_pre_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> Hook:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)`` before loading."""
        reference = weakref.ref(self)
        return _hook(self._load_state_dict_pre_hooks, lambda *args: hook(reference(), *args))

    def register_load_state_dict_post_hook(self, hook: Callable) -> Hook:
        """Call ``hook(module, incompatible_keys)`` after loading."""
        return _hook(self._load_state_dict_post_hooks, hook)

    def load_state_dict(self, state_dict: dict, strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy tensors from ``state_dict`` into parameters and buffers (``assign=True`` takes the tensors themselves).

        All shapes and keys are checked before the first value changes.

        Raises:
            CheckpointError: missing or unexpected keys (when strict), or a shape that differs; all are listed.
        """
        if not isinstance(state_dict, dict):
            raise ArgumentError(f"Expected state_dict to be dict-like, got {type(state_dict).__name__}.")
        state_dict = dict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        problems: list[str] = []
        known: set[str] = set()
        writes: list[Callable[[], None]] = []

        def plan(module: Module, prefix: str) -> None:
            for hook in list(module._load_state_dict_pre_hooks.values()):
                hook(state_dict, prefix, {}, strict, missing, unexpected, problems)
            members = [(n, p) for n, p in module._parameters.items() if p is not None]
            skip = module._non_persistent_buffers_set
            members += [(n, b) for n, b in module._buffers.items() if b is not None and n not in skip]
            for name, own in members:
                key = prefix + name
                known.add(key)
                given = state_dict.get(key)
                if given is None:
                    missing.append(key)
                elif not isinstance(given, Value):
                    problems.append(f"While copying {key!r}: expected a Tensor, got {type(given).__name__}.")
                elif tuple(given._array.shape) != tuple(own._array.shape):
                    problems.append(
                        f"size mismatch for {key}: copying a param with shape {tuple(given._array.shape)} from "
                        f"checkpoint, the shape in current model is {tuple(own._array.shape)}."
                    )
                else:
                    writes.append(functools.partial(_load_one, module, name, own, given, assign))
            extra = prefix + "_extra_state"
            if type(module).set_extra_state is not Module.set_extra_state:
                known.add(extra)
                if extra in state_dict:
                    writes.append(lambda: module.set_extra_state(state_dict[extra]))
                else:
                    missing.append(extra)
            for name, child in module._modules.items():
                if child is not None:
                    plan(child, f"{prefix}{name}.")

        plan(self, "")
        unexpected += [key for key in state_dict if key not in known]
        if strict:
            if unexpected:
                problems.append(f"Unexpected key(s) in state_dict: {', '.join(map(repr, unexpected))}.")
            if missing:
                problems.append(f"Missing key(s) in state_dict: {', '.join(map(repr, missing))}.")
        if problems:
            raise CheckpointError(
                f"Error(s) in loading state_dict for {type(self).__name__}; nothing was changed.",
                "\n".join(problems),
                "strict=False loads what fits by name." if missing or unexpected else None,
            )
        for write in writes:
            write()
        result = IncompatibleKeys(missing, unexpected)
        for module in self.modules():
            for hook in list(module._load_state_dict_post_hooks.values()):
                hook(module, result)
        return result

    def name_axes(self, input=None, output=None):
        """Give the module axis names; returns it.

        Args:
            input: names of the input's axes (``...`` for any): an input with other names is an error that says so, axes
                without a name get theirs.
            output: names that the output's axes get.

        >>> import mlkit
        >>> layer = mlkit.nn.Linear(784, 10).name_axes(("batch", "in"), ("batch", "class"))
        >>> layer(mlkit.ones(2, 784)).names
        ('batch', 'class')
        """
        return importlib.import_module("mlkit.core.names").name_axes(self, input, output)

    # --- text ---------------------------------------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What stands in the parentheses of the module's line."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = ", ".join(part for part in (self.extra_repr(), self.__dict__.get("_axis_names", "")) if part)
        lines = []
        for name, module in self._modules.items():
            lines.append(f"({name}): " + repr(module).replace("\n", "\n  "))
        if not lines:
            return f"{self._get_name()}({extra})"
        head = f"{self._get_name()}({extra}"
        return head + ("\n  " if not extra else "\n  ") + "\n  ".join(lines) + "\n)"

    def _repr_html_(self):
        return rich.repr_html(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return rich.repr_mimebundle(self, include, exclude)

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        for name in _HOOKS:
            self.__dict__.setdefault(name, OrderedDict())


_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_global_forward_hooks: OrderedDict = OrderedDict()


def register_module_forward_hook(hook: Callable) -> Hook:
    """Call ``hook(module, args, output)`` after the forward of every module."""
    return _hook(_global_forward_hooks, hook)


def _check_name(module: Module, name: str, table: dict) -> None:
    if not isinstance(name, str):
        raise ArgumentError(f"a name should be a string, got {type(name).__name__}.")
    if "." in name:
        raise KeyError(f'a name can\'t contain ".", got: {name!r}')
    if name == "":
        raise KeyError('a name can\'t be the empty string ""')
    if hasattr(module, name) and name not in table:
        raise KeyError(f"attribute '{name}' already exists")


def _load_one(module: Module, name: str, own: Tensor, given: Any, assign: bool) -> None:
    from mlkit.autograd.grad_mode import no_grad

    with no_grad():
        if not assign:
            own.copy_(given)
        elif isinstance(own, Parameter):
            module._parameters[name] = (
                given if isinstance(given, Parameter) else Parameter(given.detach(), requires_grad=own.requires_grad)
            )
        else:
            module._buffers[name] = given.detach()
