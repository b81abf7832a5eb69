"""Modules that hold modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlkit.core.errors import ArgumentError, DimensionError, ShapeError
from mlkit.core.value import Value
from mlkit.nn.module import Module, changes
from mlkit.nn.parameter import Parameter


class _Listed(Module):
    """Children under the names "0", "1", ..."""

    def _name(self, index: int) -> str:
        n = len(self)
        i = index.__index__()
        if not -n <= i < n:
            raise DimensionError(f"index {index} is out of range for {type(self).__name__} with {n} modules.")
        return list(self._modules)[i]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __delitem__(self, index) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name(index)]
        for name in names:
            delattr(self, name)
        self._renumber(list(self._modules.values()))

    def _renumber(self, modules: list[Module]) -> None:
        self._modules.clear()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def append(self, module: Module):
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]):
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module):
        """Add a module before position ``index``."""
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def pop(self, key: int) -> Module:
        """Take a module out."""
        module = self[key]
        del self[key]
        return module


def _shared_text(module: Module) -> str:
    """The text of a list of modules, runs of equal ones as one line."""
    texts = [repr(child) for child in module]
    if not texts:
        return f"{module._get_name()}()"
    runs: list[list] = []
    for i, text in enumerate(texts):
        if runs and runs[-1][2] == text:
            runs[-1][1] = i
        else:
            runs.append([i, i, text])
    lines = []
    for first, last, text in runs:
        name = f"({first})" if first == last else f"({first}-{last})"
        times = "" if first == last else f"{last - first + 1} x "
        lines.append(f"{name}: {times}{text}".replace("\n", "\n  "))
    return f"{module._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class Sequential(_Listed):
    """Modules called one after the other, each with the result of the one before.

    >>> import mlkit
    >>> model = mlkit.nn.Sequential(mlkit.nn.Linear(4, 8), mlkit.nn.ReLU(), mlkit.nn.Linear(8, 2))
    >>> model(mlkit.ones(3, 4)).shape
    mlkit.Size([3, 2])
    """

    def __init__(self, *args):
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __add__(self, other):
        return Sequential(*self, *other)

    def forward(self, input):
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Listed):
    """A list of modules, all registered."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __repr__(self) -> str:
        return _shared_text(self)

    def __iadd__(self, modules):
        return self.extend(modules)

    def __add__(self, other):
        return ModuleList([*self, *other])


class ModuleDict(Module):
    """A dictionary of modules, all registered."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self):
        return self._modules.keys()

    def values(self):
        return self._modules.values()

    def items(self):
        return self._modules.items()

    def clear(self) -> None:
        changes[0] += 1
        self._modules.clear()

    def pop(self, key: str) -> Module:
        changes[0] += 1
        return self._modules.pop(key)

    def update(self, modules) -> None:
        """Add modules from a dictionary or from (name, module) pairs."""
        pairs = modules.items() if hasattr(modules, "items") else modules
        for name, module in pairs:
            self[name] = module


class ParameterList(Module):
    """A list of parameters, all registered; tensors put in become parameters.

    >>> import mlkit
    >>> len(list(mlkit.nn.ParameterList([mlkit.ones(2), mlkit.ones(3)]).parameters()))
    2
    """

    def __init__(self, values: Iterable | None = None):
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _place(self, index) -> int:
        i = index.__index__()
        if not -self._size <= i < self._size:
            raise DimensionError(f"index {index} is out of range")
        return i % self._size

    def __getitem__(self, index):
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(self._size))])
        return getattr(self, str(self._place(index)))

    def __setitem__(self, index: int, value) -> None:
        setattr(self, str(self._place(index)), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self):
        return iter([self[i] for i in range(self._size)])

    def __iadd__(self, values):
        return self.extend(values)

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, value):
        """Add a parameter at the end."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values):
        """Add parameters at the end."""
        if not isinstance(values, Iterable) or isinstance(values, Value):
            raise ArgumentError(
                f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}"
            )
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return "\n".join(
            f"  ({i}): {_described(value, str(getattr(value, 'dtype', '')))}" for i, value in enumerate(self)
        )

    def __call__(self, *args, **kwargs):
        raise ShapeError("ParameterList should not be called.")


class ParameterDict(Module):
    """A dictionary of parameters, all registered; tensors put in become parameters."""

    def __init__(self, parameters=None):
        super().__init__()
        self._keys: dict = {}
        if parameters is not None:
            self.update(parameters)

    def _attribute(self, key) -> str:
        if not isinstance(key, str):
            raise ArgumentError(
                f"Index given to ParameterDict cannot be used as a key as it is not a string (type is {type(key).__name__})"
            )
        return key

    def __getitem__(self, key: str):
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, self._attribute(key))

    def __setitem__(self, key: str, value) -> None:
        name = self._attribute(key)
        self._keys[key] = None
        setattr(self, name, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, self._attribute(key))

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self):
        return iter(self._keys)

    def __reversed__(self):
        return reversed(list(self._keys))

    def __contains__(self, key) -> bool:
        return key in self._keys

    def __or__(self, other):
        return type(self)({**dict(self.items()), **dict(other.items())})

    def __ior__(self, other):
        self.update(other)
        return self

    def keys(self):
        return self._keys.keys()

    def values(self):
        return [self[key] for key in self._keys]

    def items(self):
        return [(key, self[key]) for key in self._keys]

    def clear(self) -> None:
        for key in list(self._keys):
            del self[key]

    def copy(self):
        return type(self)(dict(self.items()))

    def get(self, key: str, default=None):
        return self[key] if key in self else default

    def setdefault(self, key: str, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str):
        value = self[key]
        del self[key]
        return value

    def popitem(self):
        key = list(self._keys)[-1]
        return key, self.pop(key)

    def fromkeys(self, keys, default=None):
        return type(self)(dict.fromkeys(keys, default))

    def update(self, parameters) -> None:
        """Add parameters from a dictionary or from (name, parameter) pairs."""
        for key, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[key] = value

    def extra_repr(self) -> str:
        return "\n".join(
            f"  ({key}): {_described(value, value.type() if isinstance(value, Value) else '')}"
            for key, value in self.items()
        )

    def __call__(self, *args, **kwargs):
        raise ShapeError("ParameterDict should not be called.")


def _as_parameter(value):
    return Parameter(value) if isinstance(value, Value) and not isinstance(value, Parameter) else value


def _described(value, kind: str) -> str:
    if not isinstance(value, Value):
        return f"Object of type: {type(value).__name__}"
    name = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(str(n) for n in value.shape)
    place = f" ({value.device})" if value.is_cuda else ""
    return f"{name} containing: [{kind} of size {size}{place}]"
