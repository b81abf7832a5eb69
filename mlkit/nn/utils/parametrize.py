"""Parameters computed from others: a module that stands between what is learned and what is used."""

from __future__ import annotations

import copy
from contextlib import contextmanager

from mlkit.autograd.grad_mode import no_grad
from mlkit.core.errors import MissingFeature, ShapeError, ValueRangeError
from mlkit.core.value import Value
from mlkit.nn.container import ModuleDict, ModuleList
from mlkit.nn.module import Module
from mlkit.nn.parameter import Parameter

_caching = 0
_cache: dict = {}


@contextmanager
def cached():
    """Within the block each parametrized tensor is computed once."""
    global _caching
    _caching += 1
    try:
        yield
    finally:
        _caching -= 1
        if not _caching:
            _cache.clear()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, applied one after the other, and what they start from.

    ``original`` is the learned tensor (``original0``, ``original1``, ... where a right_inverse gives several).
    """

    def __init__(self, modules, original, unsafe: bool = False):
        super().__init__(modules)
        self.unsafe = unsafe
        start = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    try:
                        start = module.right_inverse(start)
                    except NotImplementedError:  # it has no way back: what is learned starts from the tensor itself
                        continue
        self.is_tensor = isinstance(start, Value)
        if self.is_tensor:
            if original.shape != start.shape and not unsafe and len(self) == 0:
                raise ShapeError("right_inverse changed the shape.")
            self._keep("original", start, original)
        else:
            self.ntensors = len(start)
            for i, part in enumerate(start):
                self._keep(f"original{i}", part, original)
        if not unsafe:
            self._check(original)

    def _keep(self, name: str, start, original) -> None:
        if not isinstance(original, Parameter):
            self.register_buffer(name, start)
            return
        if self.is_tensor and original.dtype == start.dtype and original.shape == start.shape and name == "original":
            with no_grad():
                if start is not original:
                    original.data = start.detach()
            self.register_parameter(name, original)  # the same object: optimizers know it
        else:
            self.register_parameter(name, Parameter(start.detach(), requires_grad=original.requires_grad))

    def _check(self, original) -> None:
        with no_grad():
            made = self()
        if not isinstance(made, Value):
            raise ValueRangeError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
        if made.dtype != original.dtype or tuple(made.shape) != tuple(original.shape):
            raise ValueRangeError(
                "Registering a parametrization may not change the shape or dtype of the tensor, unless the `unsafe` flag is "
                "enabled.",
                f"unparametrized: {tuple(original.shape)} {original.dtype}\nparametrized:   {tuple(made.shape)} {made.dtype}",
            )

    def right_inverse(self, value) -> None:
        """Set what the parametrizations start from so that they give ``value``."""
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise ShapeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
            if self.is_tensor:
                self.original.copy_(value)
            else:
                for i, part in enumerate(value):
                    getattr(self, f"original{i}").copy_(part)

    def forward(self):
        modules = list(self)
        if self.is_tensor:
            out = self.original
        elif modules:
            out = modules.pop(0)(*(getattr(self, f"original{i}") for i in range(self.ntensors)))
        else:
            raise ShapeError("a tensor with several originals needs a parametrization.")
        for module in modules:
            out = module(out)
        return out


def _property(name: str) -> property:
    def read(self):
        if not _caching:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _cache:
            _cache[key] = self.parametrizations[name]()
        return _cache[key]

    def write(self, value):
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _setattr(self, name: str, new) -> None:
    if isinstance(getattr(type(self), name, None), property):
        object.__setattr__(self, name, new)
    else:
        Module.__setattr__(self, name, new)


def _deepcopy(self, memo):
    if id(self) in memo:
        return memo[id(self)]
    twin = self.__new__(type(self))
    memo[id(self)] = twin
    twin.__dict__ = copy.deepcopy(self.__dict__, memo)
    base = type(self).__mro__[1]
    twin.__class__ = _own_class(base, [k for k, v in vars(type(self)).items() if isinstance(v, property)])
    return twin


def _refuse_pickle(self):
    raise ShapeError("Serialization of parametrized modules is only supported through state_dict().")


def _own_class(base: type, names: list[str]) -> type:
    """A class for one module, so that its properties belong to it alone."""
    body: dict = {"__setattr__": _setattr, "__deepcopy__": _deepcopy, "__getstate__": _refuse_pickle}
    body |= {"__module__": base.__module__, "__doc__": base.__doc__, **{n: _property(n) for n in names}}
    return type(f"Parametrized{base.__name__}", (base,), body)


def register_parametrization(module, tensor_name: str, parametrization, *, unsafe: bool = False):
    """Let ``module.tensor_name`` be ``parametrization(what is learned)`` from now on.

    A ``right_inverse`` of the parametrization gives the learned value for a wanted one, and is used by assignments.

    >>> import mlkit
    >>> from mlkit.nn.utils import parametrize
    >>> class Symmetric(mlkit.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = parametrize.register_parametrization(mlkit.nn.Linear(3, 3), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if unsafe:
            raise ValueRangeError("unsafe is for the first parametrization of a tensor.")
        chain = module.parametrizations[tensor_name]
        with no_grad():
            before = getattr(module, tensor_name)
            after = parametrization(before)
        if tuple(after.shape) != tuple(before.shape) or after.dtype != before.dtype:
            raise ValueRangeError("Registering a parametrization may not change the shape or dtype of the tensor.")
        if hasattr(parametrization, "right_inverse") and chain.is_tensor and len(chain) == 0:
            chain.right_inverse(parametrization.right_inverse(before))
        chain.append(parametrization)
        return module
    tensor = module._parameters.get(tensor_name, module._buffers.get(tensor_name))
    if tensor is None:
        raise ValueRangeError(
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    chain = ParametrizationList([parametrization], tensor, unsafe=unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.__class__ = _own_class(type(module), [tensor_name])
        module.parametrizations = ModuleDict()
    else:
        setattr(type(module), tensor_name, _property(tensor_name))
    module.parametrizations[tensor_name] = chain
    return module


def is_parametrized(module, tensor_name: str | None = None) -> bool:
    """Whether the module (or that tensor of it) is parametrized."""
    chains = module._modules.get("parametrizations")
    if not isinstance(chains, ModuleDict) or not len(chains):
        return False
    return True if tensor_name is None else tensor_name in chains


def remove_parametrizations(module, tensor_name: str, leave_parametrized: bool = True):
    """Make the tensor an ordinary parameter again: with its present value, or with what was learned."""
    if not is_parametrized(module, tensor_name):
        raise ValueRangeError(f"Module {type(module).__name__} does not have a parametrization on {tensor_name}")
    chain = module.parametrizations[tensor_name]
    if not leave_parametrized and not chain.is_tensor:
        raise ValueRangeError("leave_parametrized must be True where there are several originals.")
    if chain.is_tensor:
        tensor = chain.original
        if leave_parametrized:
            with no_grad():
                made = getattr(module, tensor_name).detach()
            if isinstance(tensor, Parameter) and tuple(made.shape) == tuple(tensor.shape):
                tensor.data = made.clone()
            else:
                tensor = Parameter(made, requires_grad=tensor.requires_grad)
    else:
        tensor = Parameter(getattr(module, tensor_name).detach(), requires_grad=chain.original0.requires_grad)
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    if not is_parametrized(module):
        del module._modules["parametrizations"]
        module.__class__ = type(module).__mro__[1]
    if isinstance(tensor, Parameter):
        module.register_parameter(tensor_name, tensor)
    else:
        module.register_buffer(tensor_name, tensor)
    return module


def type_before_parametrizations(module) -> type:
    """The module's class as it was."""
    return type(module).__mro__[1] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module, to_module, tensor_name: str | None = None):
    """Give ``to_module`` copies of the other's parametrizations, with their learned values."""
    if not is_parametrized(from_module):
        return to_module
    for name in [tensor_name] if tensor_name is not None else list(from_module.parametrizations):
        if not is_parametrized(from_module, name):
            raise MissingFeature(f"{name} is not parametrized.")
        chain = from_module.parametrizations[name]
        for parametrization in chain:
            register_parametrization(to_module, name, copy.deepcopy(parametrization), unsafe=chain.unsafe)
        own = to_module.parametrizations[name]
        with no_grad():
            for key, value in {**chain._parameters, **chain._buffers}.items():
                getattr(own, key).copy_(value)
    return to_module
