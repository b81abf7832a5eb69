"""Module: a function with parameters, made of modules."""

from __future__ import annotations

import functools
import importlib
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from sys import _getframe
from typing import Any

from mlkit.core import dtype as dtypes
from mlkit.core import events, rich
from mlkit.core.device import device as device_class
from mlkit.core.dispatch import state
from mlkit.core.errors import ArgumentError, CheckpointError, MlkitError, ShapeError, ValueRangeError
from mlkit.core.frames import called, is_ours, users_line
from mlkit.core.tensor import Tensor
from mlkit.core.value import Hook, Leaf, Value
from mlkit.nn.parameter import Buffer, Parameter, is_lazy


class IncompatibleKeys(namedtuple("IncompatibleKeys", ("missing_keys", "unexpected_keys"))):
    """What load_state_dict(strict=False) could not match."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"_{super().__repr__()}" if any(self) else "<All keys matched successfully>"  # PyTorch's name


#: counts changes of attributes and hooks of all modules, so that compiled programs need not look at each module
changes = [0]


def _hook(hooks: dict, fn: Callable, prepend: bool = False) -> Hook:
    changes[0] += 1
    handle = Hook(hooks)
    if prepend:
        rest = dict(hooks)
        hooks.clear()
        hooks[handle.id] = fn
        hooks.update(rest)
    else:
        hooks[handle.id] = fn
    return handle


def _how_to_load(problems: list[str], missing: list[str], unexpected: list[str]) -> str:
    """The repair for a state_dict that does not fit."""
    if missing and unexpected and all(key.startswith("module.") for key in unexpected):
        return 'A wrapper\'s prefix is on the names: state_dict = {key.removeprefix("module."): v for key, v in state_dict.items()}'
    if missing or unexpected:
        return "strict=False loads what fits by name."
    return "The model was built with other sizes than the one that was saved: build it with the same arguments."


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
        changes[0] += 1
        parts = self.__dict__
        if isinstance(new, (Parameter, Module)) and "_modules" not in parts:
            raise AttributeError(
                f"cannot assign {type(new).__name__} before Module.__init__() call: "
                f"{type(self).__name__}.__init__ must begin with super().__init__()."
            )
        if isinstance(new, Parameter):
            self._forget(name, parts["_parameters"])
            parts["_parameters"][name] = (
                _registered("parameter", self, name, new) if _global_hooks["parameter"] else new
            )
        elif isinstance(new, Module):
            self._forget(name, parts["_modules"])
            parts["_modules"][name] = _registered("module", self, name, new) if _global_hooks["module"] else new
        elif isinstance(new, Buffer):
            self._forget(name, parts["_buffers"])
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

    def _forget(self, name: str, keep: dict) -> None:
        """Take a name out of all tables but ``keep``, where a new value takes the old one's place in the order."""
        for table in (self.__dict__, self._parameters, self._buffers, self._modules):
            if table is not keep:
                table.pop(name, None)
        self._non_persistent_buffers_set.discard(name)

    def __getattr__(self, name: str) -> Any:
        parts = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            if table in parts and name in parts[table]:
                return parts[table][name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        changes[0] += 1
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
        if param is not None and not isinstance(param._node, Leaf) and param._node is not None:
            raise ValueRangeError(f"Cannot assign non-leaf Tensor to parameter '{name}'.")
        changes[0] += 1
        self._parameters[name] = param if param is None else _registered("parameter", self, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter, such as running statistics."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        _check_name(self, name, self._buffers)
        if tensor is not None and not isinstance(tensor, Value):
            raise ArgumentError(f"cannot assign '{type(tensor).__name__}' object to buffer '{name}'.")
        changes[0] += 1
        self._buffers[name] = tensor if tensor is None else _registered("buffer", self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_module(self, name: str, module: Module | None) -> None:
        self.add_module(name, module)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under ``name``."""
        if module is not None and not isinstance(module, Module):
            hint = "Give the layers one by one: nn.Sequential(*layers)." if isinstance(module, (list, tuple)) else None
            if isinstance(module, type):
                hint = f"Make one: {module.__name__}(...)."
            raise ArgumentError(f"{type(module).__name__} is not a Module subclass.", hint=hint)
        _check_name(self, name, self._modules)
        changes[0] += 1
        self._modules[name] = module if module is None else _registered("module", self, name, module)

    # --- calling -----------------------------------------------------------------------------------------------------------

    #: whether mlkit wrote the class's forward: what happens inside belongs to the line that called it
    _forward_is_ours = True

    #: whether weight, bias and running statistics are what was registered: no property of a class stands in front of them.
    #: A layer's forward then takes them from the table, since Python looks in four places before it asks ``__getattr__``
    _as_registered = True

    def __init_subclass__(cls, **more):
        super().__init_subclass__(**more)
        code = getattr(cls.forward, "__code__", None)
        cls._forward_is_ours = code is not None and is_ours(code.co_filename)
        cls._as_registered = not any(hasattr(cls, name) for name in ("weight", "bias", "running_mean", "running_var"))

    def __call__(self, *args, **kwargs):
        parts = self.__dict__
        if not (
            parts["_forward_hooks"]
            or parts["_forward_pre_hooks"]
            or parts["_backward_hooks"]
            or parts["_backward_pre_hooks"]
            or _before_all
            or _after_all
            or _before_all_backward
            or _after_all_backward
            or "module_enter" in events.listeners
            or "module_exit" in events.listeners
        ):
            ours, code = self._forward_is_ours, called.code
            if not state.grad or ours is (code is not None):  # nobody asks, or it is known already
                try:
                    return self.forward(*args, **kwargs)
                except MlkitError as error:
                    _name_module(error, self)
                    raise
            instruction = called.instruction
            if ours:
                called.code, called.instruction = users_line(_getframe(1))
            else:
                called.code = None
            try:
                return self.forward(*args, **kwargs)
            except MlkitError as error:
                _name_module(error, self)
                raise
            finally:
                called.code, called.instruction = code, instruction
        code, called.code = called.code, None  # hooks are the user's
        try:
            return self._call_with_hooks(args, kwargs)
        except MlkitError as error:
            _name_module(error, self)
            raise
        finally:
            called.code = code

    def _call_with_hooks(self, args: tuple, kwargs: dict):
        if "module_enter" in events.listeners:
            events.emit("module_enter", self, args, kwargs)
        output = None
        called: set = set()
        try:
            for hook in list(_global_hooks["forward_pre"].values()):
                result = hook(self, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)
            for key, hook in list(self._forward_pre_hooks.items()):
                if key in self._forward_pre_hooks_with_kwargs:
                    result = hook(self, args, kwargs)
                    if result is not None:
                        if not isinstance(result, tuple) or len(result) != 2:
                            raise ShapeError(
                                "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got "
                                f"{type(result).__name__}."
                            )
                        args, kwargs = result
                else:
                    result = hook(self, args)
                    if result is not None:
                        args = result if isinstance(result, tuple) else (result,)
            backward = None
            if (
                self._backward_hooks
                or self._backward_pre_hooks
                or _global_hooks["backward"]
                or _global_hooks["backward_pre"]
            ):
                from mlkit.nn.backward_hooks import BackwardHooks

                before = [*_global_hooks["backward_pre"].values(), *self._backward_pre_hooks.values()]
                after = [*_global_hooks["backward"].values(), *self._backward_hooks.values()]
                backward = BackwardHooks(self, before, after)
                args = backward.watch_inputs(args)
            output = self.forward(*args, **kwargs)
            hooks = [(key, hook, False) for key, hook in _global_hooks["forward"].items()]
            hooks += [(key, hook, key in self._forward_hooks_with_kwargs) for key, hook in self._forward_hooks.items()]
            for key, hook, with_kwargs in hooks:
                called.add(key)
                result = hook(self, args, kwargs, output) if with_kwargs else hook(self, args, output)
                if result is not None:
                    output = result
            if backward is not None:
                output = backward.watch_outputs(output)
            return output
        except Exception:
            self._run_always_called(called, args, kwargs, output)
            raise
        finally:
            if "module_exit" in events.listeners:
                events.emit("module_exit", self, output)

    def _run_always_called(self, called: set, args: tuple, kwargs: dict, output) -> None:
        """After an error: the forward hooks that were registered with always_call and have not run."""
        for key, hook in list(_global_hooks["forward"].items()):
            if key in _global_always and key not in called:
                hook(self, args, output)
        for key, hook in list(self._forward_hooks.items()):
            if key in self._forward_hooks_always_called and key not in called:
                if key in self._forward_hooks_with_kwargs:
                    hook(self, args, kwargs, output)
                else:
                    hook(self, args, output)

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False) -> Hook:
        """Call ``hook(module, args)`` before forward; what it returns replaces the arguments."""
        handle = _hook(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Hook:
        """Call ``hook(module, args, output)`` after forward; what it returns replaces the output.

        ``with_kwargs``: the hook is called as (module, args, kwargs, output). ``always_call``: also when forward raises.
        """
        handle = _hook(self._forward_hooks, hook, prepend)
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_backward_hook(self, hook: Callable) -> Hook:
        """register_full_backward_hook under PyTorch's older name."""
        return self.register_full_backward_hook(hook)

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

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
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

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at a dotted path; ``strict`` refuses a path where none was."""
        if not target:
            raise ValueRangeError("Cannot set the submodule without a target name!")
        path, _, name = target.rpartition(".")
        owner = self._walk(path)
        if strict and name not in owner._modules:
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        if not isinstance(module, Module):
            raise ValueRangeError(f"`module` is not an nn.Module, found {type(module).__name__}")
        setattr(owner, name, module)

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
        if state.recorder is not None and set_to_none:
            state.recorder.forgets(list(self.parameters()))
        for parameter in self.parameters():
            if parameter._grad is not None:
                if set_to_none:
                    parameter._grad = None
                else:
                    parameter._grad = parameter._grad.detach()
                    parameter._grad.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True):
        """Replace the content of every parameter and buffer; their identity stays, so optimizers keep them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for parameter in self._parameters.values():
            if parameter is not None:
                parameter._array = fn(parameter.detach())._array
                parameter.__dict__.pop("_storage", None)
                if parameter._grad is not None:
                    parameter._grad = fn(parameter._grad.detach())
        for name, buffer in self._buffers.items():
            if buffer is not None and is_lazy(buffer):
                buffer._array = fn(buffer.detach())._array
            elif buffer is not None:
                self._buffers[name] = fn(buffer)
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

        return self._apply(convert)

    def cpu(self):
        return self.to("cpu")

    def cuda(self, device=None):
        return self.to("cuda" if device is None else device)

    def to_empty(self, *, device, recurse: bool = True):
        """Fresh uninitialised memory on a device, for a model made on "meta"."""
        from mlkit.functional.creation import empty

        return self._apply(lambda t: empty(*t.shape, dtype=t.dtype, device=device))

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

    def state_dict(
        self, *args, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """All parameters and persistent buffers by path; the tensors share the module's memory.

        The result's ``_metadata`` holds each module's version. (The positional form (destination, prefix, keep_vars) is
        PyTorch's old one.)
        """
        given = [*args, *(destination, prefix, keep_vars)[len(args) :]]
        destination, prefix, keep_vars = given
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            result = hook(self, destination, prefix, metadata)
            destination = destination if result is None else result
        return destination

    def _register_state_dict_hook(self, hook: Callable) -> Hook:
        """Call ``hook(module, state_dict, prefix, metadata)`` after state_dict; what it returns replaces the result."""
        return _hook(self._state_dict_hooks, hook)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> Hook:
        """PyTorch's older form: the hook gets no module unless asked."""
        if with_module:
            return self.register_load_state_dict_pre_hook(hook)
        return _hook(self._load_state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Callable) -> Hook:
        return _hook(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> Hook:
        return _hook(self._state_dict_pre_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> Hook:
        """Call ``hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)`` before loading."""
        return _hook(self._load_state_dict_pre_hooks, _WithModule(hook))

    def register_load_state_dict_post_hook(self, hook: Callable) -> Hook:
        """Call ``hook(module, incompatible_keys)`` after loading."""
        return _hook(self._load_state_dict_post_hooks, hook)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        """This module's own part of load_state_dict: a subclass may change names or values, then call this.

        Within load_state_dict the values are written when everything has been checked.
        """
        assign = local_metadata.get("assign_to_params_buffers", False)
        loading = _loading[-1] if _loading else _Loading(assign)
        for hook in list(self._load_state_dict_pre_hooks.values()):
            given = (state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
            hook(self, *given) if isinstance(hook, _WithModule) else hook(*given)
        skip = self._non_persistent_buffers_set
        members = [(n, p) for n, p in self._parameters.items() if p is not None]
        members += [(n, b) for n, b in self._buffers.items() if b is not None and n not in skip]
        for name, own in members:
            key = prefix + name
            loading.known.add(key)
            given = state_dict.get(key)
            if given is None:
                missing_keys.append(key)
            elif not isinstance(given, Value):
                error_msgs.append(f"While copying {key!r}: expected a Tensor, got {type(given).__name__}.")
            elif is_lazy(given) or is_lazy(own):
                if not (is_lazy(given) and is_lazy(own)):
                    error_msgs.append(f"While copying {key!r}: one of the two is not initialized yet.")
            elif tuple(given._array.shape) == (1,) and own._array.ndim == 0:  # PyTorch wrote scalars so, long ago
                loading.writes.append(functools.partial(_load_one, self, name, own, given[0], assign))
            elif tuple(given._array.shape) != tuple(own._array.shape):
                error_msgs.append(
                    f"size mismatch for {key}: copying a param with shape {tuple(given._array.shape)} from "
                    f"checkpoint, the shape in current model is {tuple(own._array.shape)}."
                )
            else:
                loading.writes.append(functools.partial(_load_one, self, name, own, given, assign))
        extra = prefix + "_extra_state"
        if type(self).set_extra_state is not Module.set_extra_state:
            loading.known.add(extra)
            if extra in state_dict:
                loading.writes.append(lambda: self.set_extra_state(state_dict[extra]))
            else:
                missing_keys.append(extra)
        if not _loading:
            for write in loading.writes:
                write()

    def load_state_dict(self, state_dict: dict, strict: bool = True, assign: bool = False) -> IncompatibleKeys:
        """Copy tensors from ``state_dict`` into parameters and buffers (``assign=True`` takes the tensors themselves).

        All shapes and keys are checked before the first value changes.

        Raises:
            CheckpointError: missing or unexpected keys (when strict), or a shape that differs; all are listed.
        """
        if not hasattr(state_dict, "items"):
            raise ArgumentError(f"Expected state_dict to be dict-like, got {type(state_dict).__name__}.")
        metadata = getattr(state_dict, "_metadata", None) or {}
        state_dict = dict(state_dict)
        missing: list[str] = []
        unexpected: list[str] = []
        problems: list[str] = []
        loading = _Loading(assign)
        _loading.append(loading)

        def plan(module: Module, prefix: str) -> None:
            local = {**metadata.get(prefix[:-1], {}), "assign_to_params_buffers": assign}
            module._load_from_state_dict(state_dict, prefix, local, strict, missing, unexpected, problems)
            for name, child in module._modules.items():
                if child is not None:
                    plan(child, f"{prefix}{name}.")

        try:
            plan(self, "")
        finally:
            _loading.remove(loading)
        known, writes = loading.known, loading.writes
        unexpected += [key for key in state_dict if key not in known]
        result = IncompatibleKeys(missing, unexpected)
        after = [(m, hook) for m in [*self.modules()][::-1] for hook in m._load_state_dict_post_hooks.values()]
        written = bool(after) and not problems
        if written:  # they may take keys off the two lists, and want to see the new values
            while writes:
                writes.pop(0)()
            for module, hook in after:
                hook(module, result)
        if strict:
            if unexpected:
                problems.append(f"Unexpected key(s) in state_dict: {', '.join(map(repr, unexpected))}.")
            if missing:
                problems.append(f"Missing key(s) in state_dict: {', '.join(map(repr, missing))}.")
        if problems:
            raise CheckpointError(
                f"Error(s) in loading state_dict for {type(self).__name__}; "
                f"{'what fits was loaded' if written else 'nothing was changed'}.",
                "\n".join(problems),
                _how_to_load(problems, missing, unexpected),
            )
        for write in writes:
            write()
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
        if not self._modules:
            return (
                f"{self._get_name()}("
                + (extra if "\n" not in extra else "\n  " + extra.replace("\n", "\n  ") + "\n")
                + ")"
            )
        lines = extra.split("\n") if extra else []
        for name, module in self._modules.items():
            lines.append(f"({name}): " + repr(module).replace("\n", "\n  "))
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"

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
_global_hooks: dict[str, OrderedDict] = {
    kind: OrderedDict()
    for kind in ("forward_pre", "forward", "backward_pre", "backward", "parameter", "buffer", "module")
}
_global_always: set = set()


# by themselves, for the test in each call
_before_all, _after_all = _global_hooks["forward_pre"], _global_hooks["forward"]
_before_all_backward, _after_all_backward = _global_hooks["backward_pre"], _global_hooks["backward"]


def register_module_forward_pre_hook(hook: Callable) -> Hook:
    """Call ``hook(module, args)`` before the forward of every module."""
    return _hook(_global_hooks["forward_pre"], hook)


def register_module_forward_hook(hook: Callable, *, with_kwargs: bool = False, always_call: bool = False) -> Hook:
    """Call ``hook(module, args, output)`` after the forward of every module."""
    if with_kwargs:
        plain = hook
        hook = lambda module, args, output: plain(module, args, {}, output)  # noqa: E731
    handle = _hook(_global_hooks["forward"], hook)
    if always_call:
        _global_always.add(handle.id)
    return handle


def register_module_full_backward_pre_hook(hook: Callable) -> Hook:
    """Call ``hook(module, grad_output)`` before the backward of every module."""
    return _hook(_global_hooks["backward_pre"], hook)


def register_module_full_backward_hook(hook: Callable) -> Hook:
    """Call ``hook(module, grad_input, grad_output)`` after the backward of every module."""
    return _hook(_global_hooks["backward"], hook)


register_module_backward_hook = register_module_full_backward_hook


def register_module_parameter_registration_hook(hook: Callable) -> Hook:
    """Call ``hook(module, name, parameter)`` whenever a parameter is registered; what it returns replaces it."""
    return _hook(_global_hooks["parameter"], hook)


def register_module_buffer_registration_hook(hook: Callable) -> Hook:
    """Call ``hook(module, name, buffer)`` whenever a buffer is registered; what it returns replaces it."""
    return _hook(_global_hooks["buffer"], hook)


def register_module_module_registration_hook(hook: Callable) -> Hook:
    """Call ``hook(module, name, submodule)`` whenever a child module is registered; what it returns replaces it."""
    return _hook(_global_hooks["module"], hook)


def _registered(kind: str, module: Module, name: str, member):
    """What the registration hooks make of a new member."""
    for hook in list(_global_hooks[kind].values()):
        result = hook(module, name, member)
        member = member if result is None else result
    return member


class _WithModule:
    """A load_state_dict hook that gets the module: whichever holds the hook, a copy too."""

    def __init__(self, hook: Callable):
        self.hook = hook

    def __call__(self, module: Module, *args) -> None:
        self.hook(module, *args)


class _Loading:
    """What a load_state_dict under way has found: the keys it knows, and what to write once all is checked."""

    def __init__(self, assign: bool):
        self.assign = assign
        self.known: set[str] = set()
        self.writes: list[Callable[[], None]] = []


_loading: list[_Loading] = []


def _name_module(error: MlkitError, module: Module) -> None:
    """Say in the error which module raised it, by its path in ``module``: called from the innermost outwards."""
    at = error.__dict__.setdefault("mlkit_module", {"innermost": module, "path": "", "inside": module})
    innermost, inside = at["innermost"], at["inside"]
    if module is innermost:
        error.tell("module", repr(module) if not module._modules else type(module).__name__)
        return
    name = next((path for path, m in module.named_modules() if m is inside), None)
    if name is None:
        return  # it was called from elsewhere: what is known stays
    at["path"] = f"{name}.{at['path']}" if at["path"] else name
    at["inside"] = module
    error.tell("module", f"{at['path']} ({type(innermost).__name__}) of {type(module).__name__}")


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
