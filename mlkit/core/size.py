"""Shapes: ``Size`` is a tuple that counts, ``Symbol`` is a size known by name (``batch``)."""

from __future__ import annotations

import math
from collections.abc import Iterable

from mlkit.core import config


class Size(tuple):
    """A tensor's shape: a tuple with ``numel()``.

    >>> import mlkit
    >>> mlkit.zeros(2, 3).shape.numel()
    6
    """

    __slots__ = ()

    def numel(self) -> int:
        return math.prod(self)

    def __repr__(self) -> str:
        return f"{config.shown_name}.Size({list(self)})"

    def __getitem__(self, item):
        got = tuple.__getitem__(self, item)
        return Size(got) if isinstance(item, slice) else got

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))


class Symbol(int):
    """A size with a name: shape rules compute with it, and the result still reads ``2*batch``.

    It is an integer with a stand-in value (a large prime, so that no real size equals it by chance), hence every
    shape rule works on it unchanged; arithmetic carries the name along.

    >>> from mlkit.core.size import Symbol
    >>> batch = Symbol("batch")
    >>> batch * 4 // 2
    2*batch
    """

    _PRIMES = (1000003, 1000033, 1000037, 1000039, 1000081, 1000099, 1000117, 1000121)
    _known: dict[str, int] = {}
    name: str

    def __new__(cls, name: str, value: int | None = None):
        if value is None:
            value = cls._known.setdefault(name, cls._PRIMES[len(cls._known) % len(cls._PRIMES)])
        self = super().__new__(cls, value)
        self.name = name
        return self

    def __repr__(self) -> str:
        return self.name

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(self.name, spec)

    def _base(self) -> tuple[int, str] | None:
        """(factor, bare name) when this is a plain multiple such as 3*batch."""
        factor, star, name = self.name.partition("*")
        if star and factor.isdigit():
            return int(factor), name
        return (1, self.name) if self.name.isidentifier() else None

    def __mul__(self, other):
        value = int(self) * int(other)
        if isinstance(other, Symbol):
            return Symbol(f"{self.name}*{other.name}", value)
        if other == 1:
            return self
        if other == 0:
            return 0
        base = self._base()
        return Symbol(f"{base[0] * other}*{base[1]}" if base else f"{other}*({self.name})", value)

    __rmul__ = __mul__

    def __floordiv__(self, other):
        value = int(self) // int(other)
        if isinstance(other, Symbol):
            return value if int(self) % int(other) == 0 else Symbol(f"({self.name})//({other.name})", value)
        if other == 1:
            return self
        base = self._base()
        if base and base[0] % other == 0:
            factor = base[0] // other
            return Symbol(base[1] if factor == 1 else f"{factor}*{base[1]}", value)
        return Symbol(f"({self.name})//{other}", value)

    def __add__(self, other):
        return Symbol(f"{self.name}+{other}", int(self) + int(other)) if other else self

    __radd__ = __add__

    def __sub__(self, other):
        if isinstance(other, Symbol) and int(other) == int(self):
            return 0
        return Symbol(f"{self.name}-{other}", int(self) - int(other)) if other else self

    def __mod__(self, other):
        base = self._base()
        if base and not isinstance(other, Symbol) and base[0] % other == 0:
            return 0
        return int(self) % int(other)

    def __reduce__(self):
        return Symbol, (self.name, int(self))


def broadcast_shapes(*shapes: Iterable[int]) -> tuple[int, ...]:
    """The shape all of them broadcast to; raises ValueError when two sizes differ and neither is 1.

    >>> from mlkit.core.size import broadcast_shapes
    >>> broadcast_shapes((3, 1), (4,))
    (3, 4)
    """
    tuples = [tuple(s) for s in shapes]
    rank = max((len(s) for s in tuples), default=0)
    out = [1] * rank
    for shape in tuples:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size != 1:
                if out[axis] not in (1, size):
                    raise ValueError(f"sizes {out[axis]} and {size} at axis {axis - rank}")
                out[axis] = size
    return tuple(out)
