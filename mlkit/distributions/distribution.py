"""The base of all distributions, and the helpers they share."""

from __future__ import annotations

from typing import Any

from mlkit.autograd.grad_mode import no_grad
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, MissingFeature, ShapeError, ValueRangeError
from mlkit.core.size import Size, broadcast_shapes
from mlkit.core.value import LevelArray, MetaArray, Value, is_tensor
from mlkit.distributions import constraints
from mlkit.functional import conversion, random


def broadcast_all(*values):
    """Numbers and tensors as tensors of one shape; numbers take the tensors' dtype, or the default one."""
    tensors = [v for v in values if isinstance(v, Value)]
    for v in values:
        if not isinstance(v, (Value, int, float)):
            raise ValueRangeError(f"Input arguments must all be Tensors or Numbers, got {type(v).__name__}.")
    like = tensors[0] if tensors else None
    made = []
    for v in values:
        if not isinstance(v, Value):
            d = like.dtype if like is not None and like.dtype.category >= 2 else dtypes.get_default_dtype()
            v = conversion.tensor(float(v), dtype=d, device=None if like is None else like.device)
        made.append(v)
    try:
        shape = broadcast_shapes(*[t.shape for t in made])
    except ValueError:
        raise ShapeError(
            "the parameters' shapes do not broadcast.", "\n".join(f"{tuple(t.shape)}" for t in made)
        ) from None
    return [ops.expand(t, shape=shape) if tuple(t.shape) != shape else t for t in made]


def sum_rightmost(value, count: int):
    """The sum over the last ``count`` dims."""
    return value if count == 0 else ops.sum(value, dim=tuple(range(value.ndim - count, value.ndim)))


def clamp_probs(probs):
    """Probabilities held off 0 and 1 by the type's precision."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def logits_to_probs(logits, is_binary: bool = False):
    return ops.sigmoid(logits) if is_binary else ops.softmax(logits, dim=-1)


def probs_to_logits(probs, is_binary: bool = False):
    held = clamp_probs(probs)
    return ops.log(held) - ops.log1p(-held) if is_binary else ops.log(held)


def uniform_like(tensor, shape):
    """Numbers in [0, 1) of that shape, in the tensor's dtype and on its device."""
    return random.rand(*shape, dtype=tensor.dtype, device=tensor.device)


def open_uniform_like(tensor, shape):
    """Numbers in (0, 1): never 0 exactly."""
    u = uniform_like(tensor, shape)
    return u.clamp(min=dtypes.finfo(tensor.dtype).tiny)


def normal_like(tensor, shape):
    return random.randn(*shape, dtype=tensor.dtype, device=tensor.device)


def _everywhere(valid: Value) -> bool:
    """Whether all are true; inside vmap, for all examples."""
    while isinstance(valid._array, LevelArray):
        level, valid = valid._array.level, valid._array.inner
        with level.below():
            valid = valid.all()
    return bool(valid.all())


class Distribution:
    """A probability distribution over values of ``event_shape``, one for each place of ``batch_shape``.

    ``sample(shape)`` draws (*shape, *batch_shape, *event_shape); ``rsample`` draws so that gradients reach the
    parameters (where ``has_rsample``). ``validate_args`` checks parameters when made and values in ``log_prob``.
    """

    has_rsample = False
    has_enumerate_support = False
    arg_constraints: dict = {}
    support: Any = None
    #: parameters and how many of their trailing dims are no batch dims, for ``expand``
    _event_dims: dict[str, int] = {}
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments unless told otherwise."""
        if value not in (True, False):
            raise ValueRangeError("set_default_validate_args: expected True or False.")
        Distribution._validate_args = value

    def __init__(self, batch_shape=(), event_shape=(), validate_args: bool | None = None):
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()

    def _check_parameters(self) -> None:
        for name, constraint in self.arg_constraints.items():
            if constraints.is_dependent(constraint) or name not in self.__dict__:
                continue
            parameter = self.__dict__[name]
            if parameter._array.__class__ is MetaArray:
                continue
            valid = constraint.check(parameter)
            if not _everywhere(valid):
                raise ValueRangeError(
                    f"Expected parameter {name} ({type(parameter).__name__} of shape {tuple(parameter.shape)}) of "
                    f"distribution {self!r} to satisfy the constraint {constraint!r}, but found invalid values:",
                    repr(parameter.detach()),
                )

    # --- shapes ---------------------------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> Size:
        """The shape of the distributions held side by side."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one value."""
        return self._event_shape

    def _extended_shape(self, sample_shape=()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def expand(self, batch_shape, _instance=None):
        """The same distribution over a larger batch, sharing memory."""
        batch_shape = Size(batch_shape)
        new = object.__new__(type(self)) if _instance is None else _instance
        self._expand_into(new, batch_shape)
        new._batch_shape, new._event_shape = batch_shape, self._event_shape
        new._validate_args = self._validate_args
        return new

    def _expand_into(self, new, batch_shape) -> None:
        for name in self.arg_constraints:
            if name in self.__dict__:
                parameter = self.__dict__[name]
                extra = self._event_dims.get(name, 0)
                tail = tuple(parameter.shape)[parameter.ndim - extra :]
                new.__dict__[name] = ops.expand(parameter, shape=(*batch_shape, *tail))

    # --- numbers --------------------------------------------------------------------------------------------------------

    def _missing(self, what: str) -> MissingFeature:
        return MissingFeature(f"{type(self).__name__} has no {what}.")

    @property
    def mean(self):
        """The mean."""
        raise self._missing("mean")

    @property
    def mode(self):
        """The most probable value."""
        raise self._missing("mode")

    @property
    def variance(self):
        """The variance."""
        raise self._missing("variance")

    @property
    def stddev(self):
        """The standard deviation."""
        return ops.sqrt(self.variance)

    def sample(self, sample_shape=()):
        """Values of shape (*sample_shape, *batch_shape, *event_shape), without gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def sample_n(self, n: int):
        """``sample((n,))``."""
        return self.sample((n,))

    def rsample(self, sample_shape=()):
        """Values that are differentiable functions of the parameters."""
        raise self._missing("rsample: its values do not move smoothly with its parameters")

    def log_prob(self, value):
        """log of the density (or probability) at ``value``: shape (*sample, *batch_shape)."""
        raise self._missing("log_prob")

    def cdf(self, value):
        """The probability of a value up to ``value``."""
        raise self._missing("cdf")

    def icdf(self, value):
        """The quantile: the inverse of ``cdf``."""
        raise self._missing("icdf")

    def enumerate_support(self, expand: bool = True):
        """All values there are, along a new first dim."""
        raise self._missing("enumerate_support: its values cannot be counted")

    def entropy(self):
        """The entropy in nats, (*batch_shape)."""
        raise self._missing("entropy")

    def perplexity(self):
        """exp of the entropy."""
        return ops.exp(self.entropy())

    def _validate_sample(self, value: Any) -> None:
        if not is_tensor(value):
            raise ValueRangeError(f"The value argument to log_prob must be a Tensor, got {type(value).__name__}.")
        events = value.ndim - len(self._event_shape)
        if tuple(value.shape)[max(events, 0) :] != tuple(self._event_shape):
            raise ValueRangeError(
                f"The right-most size of value must match event_shape: {tuple(value.shape)} vs "
                f"{tuple(self._event_shape)}."
            )
        expected = (*self._batch_shape, *self._event_shape)
        try:
            broadcast_shapes(value.shape, expected)
        except ValueError:
            raise ValueRangeError(
                f"Value is not broadcastable with batch_shape+event_shape: {tuple(value.shape)} vs {expected}."
            ) from None
        if value._array.__class__ is MetaArray:
            return
        try:
            support = self.support
        except NotImplementedError:
            return
        if support is None or constraints.is_dependent(support):
            return
        if not _everywhere(support.check(value)):
            raise ValueRangeError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support "
                f"({support!r}) of the distribution {self!r}, but found invalid values:",
                repr(value.detach()),
            )

    def _checked(self, value):
        if self._validate_args:
            self._validate_sample(value)
        return value

    def __repr__(self) -> str:
        shown = []
        for name in self.arg_constraints:
            parameter = self.__dict__.get(name)
            if parameter is not None:
                shown.append(f"{name}: {parameter.detach() if parameter.numel() == 1 else parameter.shape}")
        return f"{type(self).__name__}({', '.join(shown)})"

    def _repr_html_(self) -> str | None:
        from mlkit.core import rich  # drawn only where something displays it

        return rich.repr_html(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any] | None:
        from mlkit.core import rich

        return rich.repr_mimebundle(self, include, exclude)


class ExponentialFamily(Distribution):
    """Distributions whose density is exp(parameters * statistics - normalizer) times a base."""


class ProbsOrLogits:
    """``probs`` and ``logits`` for a distribution made from either; the other is computed when first asked for."""

    _binary = True

    def _take(self, probs, logits):
        if (probs is None) == (logits is None):
            raise ValueRangeError("Either `probs` or `logits` must be specified, but not both.")

    @property
    def _given(self):
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    @property
    def param_shape(self):
        return self._given.shape

    def __getattr__(self, name):
        # reached only for the one of the two that was not given
        if name == "logits" and "probs" in self.__dict__:
            return probs_to_logits(self.__dict__["probs"], self._binary)
        if name == "probs" and "logits" in self.__dict__:
            return logits_to_probs(self.__dict__["logits"], self._binary)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def number(x, name: str) -> int:
    if isinstance(x, bool) or not isinstance(x, int):
        raise ArgumentError(f"{name} must be an int, got {x!r}.")
    return x
