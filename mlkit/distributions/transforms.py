"""Smooth one-to-one maps with the log of their volume change, for ``TransformedDistribution``."""

from __future__ import annotations

import math
import weakref

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import MissingFeature, ValueRangeError
from mlkit.core.value import Value
from mlkit.distributions import constraints
from mlkit.distributions.distribution import sum_rightmost
from mlkit.functional.shaping import stack as _stack


class Transform:
    """y = transform(x), x = transform.inv(y), and ``log_abs_det_jacobian(x, y)`` = log |dy / dx|.

    ``cache_size=1`` keeps the last pair, so that the inverse of a value just made is exact and free.
    """

    bijective = False
    domain: constraints.Constraint
    codomain: constraints.Constraint

    def __init__(self, cache_size: int = 0):
        if cache_size not in (0, 1):
            raise ValueRangeError("cache_size must be 0 or 1.")
        self._cache_size = cache_size
        self._inverse = None
        self._cached: tuple = (None, None)

    @property
    def event_dim(self) -> int:
        if self.domain.event_dim == self.codomain.event_dim:
            return self.domain.event_dim
        raise ValueRangeError("Please use either .domain.event_dim or .codomain.event_dim.")

    @property
    def inv(self):
        """The inverse transform."""
        found = self._inverse() if self._inverse is not None else None
        if found is None:
            found = _InverseTransform(self)
            self._inverse = weakref.ref(found)
        return found

    @property
    def sign(self):
        """+1 or -1: whether an elementwise transform rises or falls."""
        raise MissingFeature(f"{type(self).__name__} has no single sign.")

    def with_cache(self, cache_size: int = 1):
        if self._cache_size == cache_size:
            return self
        import copy

        new = copy.copy(self)
        new._cache_size, new._inverse, new._cached = cache_size, None, (None, None)
        return new

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__

    def __call__(self, x):
        if self._cache_size and x is self._cached[0]:
            return self._cached[1]
        y = self._call(x)
        if self._cache_size:
            self._cached = x, y
        return y

    def _inv_call(self, y):
        if self._cache_size and y is self._cached[1]:
            return self._cached[0]
        x = self._inverse_of(y)
        if self._cache_size:
            self._cached = x, y
        return x

    def _call(self, x):
        raise MissingFeature(f"{type(self).__name__} has no forward map.")

    def _inverse_of(self, y):
        raise MissingFeature(f"{type(self).__name__} has no inverse.")

    def log_abs_det_jacobian(self, x, y):
        """log |dy / dx|, one value per event."""
        raise MissingFeature(f"{type(self).__name__} has no volume change.")

    def forward_shape(self, shape):
        """The shape of y for an x of that shape."""
        return shape

    def inverse_shape(self, shape):
        """The shape of x for a y of that shape."""
        return shape

    def __repr__(self) -> str:
        return type(self).__name__ + "()"


class _InverseTransform(Transform):
    def __init__(self, transform):
        super().__init__(transform._cache_size)
        self._inv = transform

    @property
    def domain(self):
        return self._inv.codomain

    @property
    def codomain(self):
        return self._inv.domain

    @property
    def bijective(self):
        return self._inv.bijective

    @property
    def sign(self):
        return self._inv.sign

    @property
    def inv(self):
        return self._inv

    def with_cache(self, cache_size: int = 1):
        return self.inv.with_cache(cache_size).inv

    def __eq__(self, other):
        return isinstance(other, _InverseTransform) and self._inv == other._inv

    __hash__ = object.__hash__

    def __call__(self, x):
        return self._inv._inv_call(x)

    def _inv_call(self, y):
        return self._inv(y)

    def log_abs_det_jacobian(self, x, y):
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape):
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape):
        return self._inv.forward_shape(shape)

    def __repr__(self):
        return f"{type(self).__name__}({self._inv!r})"


class ComposeTransform(Transform):
    """Several transforms, one after the other."""

    def __init__(self, parts, cache_size: int = 0):
        super().__init__(cache_size)
        self.parts = [p.with_cache(cache_size) for p in parts] if cache_size else list(parts)

    def __eq__(self, other):
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = object.__hash__

    @staticmethod
    def _raise_to(constraint, event_dim):
        extra = event_dim - constraint.event_dim
        return constraints.independent(constraint, extra) if extra > 0 else constraint

    @property
    def domain(self):
        if not self.parts:
            return constraints.real
        wanted = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            wanted = max(wanted + part.domain.event_dim - part.codomain.event_dim, part.domain.event_dim)
        return self._raise_to(self.parts[0].domain, wanted)

    @property
    def codomain(self):
        if not self.parts:
            return constraints.real
        wanted = self.parts[0].domain.event_dim
        for part in self.parts:
            wanted = max(wanted + part.codomain.event_dim - part.domain.event_dim, part.codomain.event_dim)
        return self._raise_to(self.parts[-1].codomain, wanted)

    @property
    def bijective(self):
        return all(p.bijective for p in self.parts)

    @property
    def sign(self):
        out = 1
        for p in self.parts:
            out = out * p.sign
        return out

    @property
    def inv(self):
        found = self._inverse() if self._inverse is not None else None
        if found is None:
            found = ComposeTransform([p.inv for p in reversed(self.parts)])
            self._inverse = weakref.ref(found)
            found._inverse = weakref.ref(self)
            found._forward = self  # the inverse keeps its forward alive
        return found

    def __call__(self, x):
        for part in self.parts:
            x = part(x)
        return x

    def _inv_call(self, y):
        for part in reversed(self.parts):
            y = part._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x, y):
        if not self.parts:
            return ops.zeros_like(x)
        points = [x]
        for part in self.parts[:-1]:
            points.append(part(points[-1]))
        points.append(y)
        event_dim = self.domain.event_dim
        total = None
        for part, a, b in zip(self.parts, points[:-1], points[1:], strict=True):
            term = sum_rightmost(part.log_abs_det_jacobian(a, b), event_dim - part.domain.event_dim)
            total = term if total is None else total + term
            event_dim += part.codomain.event_dim - part.domain.event_dim
        return total

    def forward_shape(self, shape):
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape):
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self):
        return "ComposeTransform(\n    " + ",\n    ".join(repr(p) for p in self.parts) + "\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last batch dims count as one event."""

    def __init__(self, base_transform, reinterpreted_batch_ndims: int, cache_size: int = 0):
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size) if cache_size else base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.bijective = base_transform.bijective

    @property
    def domain(self):
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self):
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def sign(self):
        return self.base_transform.sign

    def _call(self, x):
        return self.base_transform(x)

    def _inverse_of(self, y):
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x, y):
        return sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def forward_shape(self, shape):
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape):
        return self.base_transform.inverse_shape(shape)


class ReshapeTransform(Transform):
    """Events of ``in_shape`` as events of ``out_shape``."""

    bijective = True

    def __init__(self, in_shape, out_shape, cache_size: int = 0):
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueRangeError(
                f"in_shape {self.in_shape} and out_shape {self.out_shape} have different numbers of elements."
            )

    @property
    def domain(self):
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self):
        return constraints.independent(constraints.real, len(self.out_shape))

    def _batch(self, x, shape):
        return tuple(x.shape)[: x.ndim - len(shape)]

    def _call(self, x):
        return x.reshape(*self._batch(x, self.in_shape), *self.out_shape)

    def _inverse_of(self, y):
        return y.reshape(*self._batch(y, self.out_shape), *self.in_shape)

    def log_abs_det_jacobian(self, x, y):
        return sum_rightmost(ops.zeros_like(x), len(self.in_shape))

    def forward_shape(self, shape):
        return (*tuple(shape)[: len(shape) - len(self.in_shape)], *self.out_shape)

    def inverse_shape(self, shape):
        return (*tuple(shape)[: len(shape) - len(self.out_shape)], *self.in_shape)


class _Rising(Transform):
    """Elementwise and rising; equal to any other of its type."""

    bijective = True
    sign = 1

    def __eq__(self, other):
        return type(self) is type(other)

    __hash__ = object.__hash__


class ExpTransform(_Rising):
    """y = exp(x)."""

    domain, codomain = constraints.real, constraints.positive

    def _call(self, x):
        return ops.exp(x)

    def _inverse_of(self, y):
        return ops.log(y)

    def log_abs_det_jacobian(self, x, y):
        return x


class PowerTransform(Transform):
    """y = x ** exponent for positive x."""

    bijective = True
    domain, codomain = constraints.positive, constraints.positive

    def __init__(self, exponent, cache_size: int = 0):
        super().__init__(cache_size)
        self.exponent = exponent

    @property
    def sign(self):
        return ops.sign(self.exponent) if isinstance(self.exponent, Value) else math.copysign(1, self.exponent)

    def __eq__(self, other):
        if not isinstance(other, PowerTransform):
            return False
        same = self.exponent == other.exponent
        return bool(same.all()) if isinstance(same, Value) else same

    __hash__ = object.__hash__

    def _call(self, x):
        return x**self.exponent

    def _inverse_of(self, y):
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x, y):
        return ops.log(ops.abs(self.exponent * y / x))


def _clip(y):
    info = dtypes.finfo(y.dtype)
    return y.clamp(info.tiny, 1.0 - info.eps)


class SigmoidTransform(_Rising):
    """y = 1 / (1 + exp(-x))."""

    domain, codomain = constraints.real, constraints.unit_interval

    def _call(self, x):
        return _clip(ops.sigmoid(x))

    def _inverse_of(self, y):
        y = _clip(y)
        return ops.log(y) - ops.log1p(-y)

    def log_abs_det_jacobian(self, x, y):
        return -ops.softplus(-x) - ops.softplus(x)


class SoftplusTransform(_Rising):
    """y = log(1 + exp(x))."""

    domain, codomain = constraints.real, constraints.positive

    def _call(self, x):
        return ops.softplus(x)

    def _inverse_of(self, y):
        return ops.log(-ops.expm1(-y)) + y

    def log_abs_det_jacobian(self, x, y):
        return -ops.softplus(-x)


class TanhTransform(_Rising):
    """y = tanh(x)."""

    domain, codomain = constraints.real, constraints.interval(-1.0, 1.0)

    def _call(self, x):
        return ops.tanh(x)

    def _inverse_of(self, y):
        return ops.atanh(y)

    def log_abs_det_jacobian(self, x, y):
        return 2.0 * (math.log(2.0) - x - ops.softplus(-2.0 * x))


class AbsTransform(Transform):
    """y = |x|; not one-to-one, its inverse gives the positive x."""

    domain, codomain = constraints.real, constraints.positive

    def __eq__(self, other):
        return isinstance(other, AbsTransform)

    __hash__ = object.__hash__

    def _call(self, x):
        return ops.abs(x)

    def _inverse_of(self, y):
        return y


class AffineTransform(Transform):
    """y = loc + scale * x."""

    bijective = True

    def __init__(self, loc, scale, event_dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self):
        return self._event_dim

    @property
    def domain(self):
        return constraints.independent(constraints.real, self._event_dim) if self._event_dim else constraints.real

    codomain = domain

    @property
    def sign(self):
        if isinstance(self.scale, Value):
            return ops.sign(self.scale)
        return 1 if self.scale > 0 else -1 if self.scale < 0 else 0

    def __eq__(self, other):
        if not isinstance(other, AffineTransform):
            return False
        for a, b in ((self.loc, other.loc), (self.scale, other.scale)):
            same = a == b
            if not (bool(same.all()) if isinstance(same, Value) else same):
                return False
        return True

    __hash__ = object.__hash__

    def _call(self, x):
        return self.loc + self.scale * x

    def _inverse_of(self, y):
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x, y):
        if isinstance(self.scale, Value):
            out = ops.log(ops.abs(self.scale)) + ops.zeros_like(x)
        else:
            out = ops.zeros_like(x) + math.log(abs(self.scale))
        return sum_rightmost(out, self._event_dim)


class SoftmaxTransform(Transform):
    """y = softmax(x) over the last dim; not one-to-one, its inverse is log y."""

    domain, codomain = constraints.real_vector, constraints.simplex

    def __eq__(self, other):
        return isinstance(other, SoftmaxTransform)

    __hash__ = object.__hash__

    def _call(self, x):
        return ops.softmax(x, dim=-1)

    def _inverse_of(self, y):
        return ops.log(y)


class StickBreakingTransform(Transform):
    """From n real numbers to n + 1 probabilities: each takes its sigmoid share of what is left of a stick."""

    bijective = True
    domain, codomain = constraints.real_vector, constraints.simplex

    def __eq__(self, other):
        return isinstance(other, StickBreakingTransform)

    __hash__ = object.__hash__

    @staticmethod
    def _offset(x, n):
        from mlkit.functional.creation import arange

        return ops.log(arange(n, 0, -1, dtype=x.dtype, device=x.device))

    def _call(self, x):
        z = _clip(ops.sigmoid(x - self._offset(x, x.shape[-1])))
        left = ops.cumprod(1 - z, dim=-1)
        ones = ops.ones_like(left.narrow(-1, 0, 1))
        return ops.cat([z, ones], dim=-1) * ops.cat([ones, left], dim=-1)

    def _inverse_of(self, y):
        head = y.narrow(-1, 0, y.shape[-1] - 1)
        left = 1 - ops.cumsum(head, dim=-1)
        left = left.clamp(min=dtypes.finfo(y.dtype).tiny)
        return ops.log(head) - ops.log(left) + self._offset(y, y.shape[-1] - 1)

    def log_abs_det_jacobian(self, x, y):
        x = x - self._offset(x, x.shape[-1])
        head = y.narrow(-1, 0, y.shape[-1] - 1)
        return (-x + ops.log_sigmoid(x) + ops.log(head)).sum(-1)

    def forward_shape(self, shape):
        return (*tuple(shape)[:-1], shape[-1] + 1)

    def inverse_shape(self, shape):
        return (*tuple(shape)[:-1], shape[-1] - 1)


class LowerCholeskyTransform(Transform):
    """From square matrices to lower triangular ones with a positive diagonal: exp on the diagonal."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def __eq__(self, other):
        return isinstance(other, LowerCholeskyTransform)

    __hash__ = object.__hash__

    @staticmethod
    def _with_diagonal(x, diagonal):
        n = x.shape[-1]
        lead = x.ndim - 2
        placed = ops.diagonal_grad(diagonal, shape=(*diagonal.shape, n), offset=0, dim1=lead, dim2=lead + 1)
        return ops.tril(x, diagonal=-1) + placed

    def _call(self, x):
        return self._with_diagonal(x, ops.exp(ops.diagonal(x, dim1=-2, dim2=-1)))

    def _inverse_of(self, y):
        return self._with_diagonal(y, ops.log(ops.diagonal(y, dim1=-2, dim2=-1)))


class PositiveDefiniteTransform(Transform):
    """From square matrices to positive-definite ones."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.positive_definite

    def __eq__(self, other):
        return isinstance(other, PositiveDefiniteTransform)

    __hash__ = object.__hash__

    def _call(self, x):
        L = LowerCholeskyTransform()(x)
        return L @ L.mT

    def _inverse_of(self, y):
        return LowerCholeskyTransform()._inverse_of(ops.cholesky(y)[0])


class CorrCholeskyTransform(Transform):
    """From n (n - 1) / 2 real numbers to the Cholesky factor of an n by n correlation matrix, row by row by sticks."""

    bijective = True
    domain, codomain = constraints.real_vector, constraints.corr_cholesky

    @staticmethod
    def _size(count: int) -> int:
        n = round((1 + math.sqrt(1 + 8 * count)) / 2)
        if n * (n - 1) // 2 != count:
            raise ValueRangeError("Input is not a flattened lower-diagonal number")
        return n

    def _rows(self, x):
        n, start = self._size(x.shape[-1]), 0
        for i in range(1, n):
            yield i, x.narrow(-1, start, i)
            start += i

    def _call(self, x):
        n = self._size(x.shape[-1])
        eps = dtypes.finfo(x.dtype).eps
        one = ops.ones_like(x.narrow(-1, 0, 1)) if x.shape[-1] else x.new_ones((*x.shape[:-1], 1))
        rows = [ops.cat([one] + [ops.zeros_like(one)] * (n - 1), dim=-1)]
        for i, part in self._rows(x):
            r = ops.tanh(part).clamp(-1 + eps, 1 - eps)
            left = ops.cumprod(ops.sqrt(1 - r * r), dim=-1)
            row = ops.cat([r * ops.cat([one, left.narrow(-1, 0, i - 1)], dim=-1), left.narrow(-1, i - 1, 1)], dim=-1)
            rows.append(ops.cat([row] + [ops.zeros_like(one)] * (n - 1 - i), dim=-1))
        return _stack(rows, -2)

    def _inverse_of(self, y):
        parts = []
        for i in range(1, y.shape[-1]):
            row = y.select(-2, i).narrow(-1, 0, i)
            left = 1 - ops.cumsum(row * row, dim=-1)
            before = ops.cat([ops.ones_like(left.narrow(-1, 0, 1)), left.narrow(-1, 0, i - 1)], dim=-1)
            parts.append(ops.atanh(row / ops.sqrt(before)))
        return ops.cat(parts, dim=-1)

    def log_abs_det_jacobian(self, x, y):
        total = None
        for i, part in self._rows(x):
            row = y.select(-2, i).narrow(-1, 0, i)
            left = 1 - ops.cumsum(row * row, dim=-1)
            # each later place shrinks with what the earlier ones took; tanh has slope 1 - tanh^2
            own = (0.5 * ops.log(left.narrow(-1, 0, i - 1))).sum(-1)
            slope = (-2 * (part + ops.softplus(-2 * part) - math.log(2.0))).sum(-1)
            total = own + slope if total is None else total + own + slope
        return total

    def forward_shape(self, shape):
        n = self._size(shape[-1])
        return (*tuple(shape)[:-1], n, n)

    def inverse_shape(self, shape):
        n = shape[-1]
        return (*tuple(shape)[:-2], n * (n - 1) // 2)


class CatTransform(Transform):
    """Several transforms, each on its part along ``dim``."""

    def __init__(self, tseq, dim: int = 0, lengths=None, cache_size: int = 0):
        super().__init__(cache_size)
        self.transforms, self.dim = list(tseq), dim
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)

    @property
    def bijective(self):
        return all(t.bijective for t in self.transforms)

    @property
    def domain(self):
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @property
    def codomain(self):
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)

    def _each(self, function, *tensors):
        parts, start = [], 0
        for transform, length in zip(self.transforms, self.lengths, strict=True):
            parts.append(function(transform, *[t.narrow(self.dim, start, length) for t in tensors]))
            start += length
        return ops.cat(parts, dim=self.dim)

    def _call(self, x):
        return self._each(lambda t, a: t(a), x)

    def _inverse_of(self, y):
        return self._each(lambda t, b: t.inv(b), y)

    def log_abs_det_jacobian(self, x, y):
        return self._each(lambda t, a, b: t.log_abs_det_jacobian(a, b), x, y)


class StackTransform(Transform):
    """Several transforms, each on its slice along ``dim``."""

    def __init__(self, tseq, dim: int = 0, cache_size: int = 0):
        super().__init__(cache_size)
        self.transforms, self.dim = list(tseq), dim

    @property
    def bijective(self):
        return all(t.bijective for t in self.transforms)

    @property
    def domain(self):
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @property
    def codomain(self):
        return constraints.stack([t.codomain for t in self.transforms], self.dim)

    def _each(self, function, *tensors):
        slices = enumerate(self.transforms)
        return _stack([function(t, *[x.select(self.dim, i) for x in tensors]) for i, t in slices], self.dim)

    def _call(self, x):
        return self._each(lambda t, a: t(a), x)

    def _inverse_of(self, y):
        return self._each(lambda t, b: t.inv(b), y)

    def log_abs_det_jacobian(self, x, y):
        return self._each(lambda t, a, b: t.log_abs_det_jacobian(a, b), x, y)


class CumulativeDistributionTransform(Transform):
    """y = distribution.cdf(x)."""

    bijective = True
    codomain = constraints.unit_interval
    sign = 1

    def __init__(self, distribution, cache_size: int = 0):
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self):
        return self.distribution.support

    def _call(self, x):
        return self.distribution.cdf(x)

    def _inverse_of(self, y):
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x, y):
        return self.distribution.log_prob(x)


__all__ = [
    "AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform", "CorrCholeskyTransform",
    "CumulativeDistributionTransform", "ExpTransform", "IndependentTransform", "LowerCholeskyTransform",
    "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform",
    "SoftplusTransform", "StackTransform", "StickBreakingTransform", "TanhTransform", "Transform", "identity_transform",
]  # fmt: skip
