"""Random tensors, and the stream that they are drawn from."""

from __future__ import annotations

import math

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.device import device
from mlkit.core.dispatch import check_numbers, ops
from mlkit.core.errors import ArgumentError, DtypeError, RefusedError, ShapeError, UnsupportedDtype
from mlkit.core.rng import Generator, default_generator
from mlkit.core.size import broadcast_shapes
from mlkit.core.value import MetaArray, Value, wrap
from mlkit.functional.conversion import to_numpy_array
from mlkit.functional.placement import (
    dtype_or_default,
    into,
    on_device,
    place_or_default,
    shape_from,
    wants_grad,
    with_names,
)

# --- the stream -------------------------------------------------------------------------------------------------------


def manual_seed(seed: int) -> Generator:
    """Start the default random stream at ``seed``; everything random after it repeats.

    >>> import mlkit
    >>> _ = mlkit.manual_seed(0); a = mlkit.rand(3)
    >>> _ = mlkit.manual_seed(0); bool((mlkit.rand(3) == a).all())
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default stream at a seed from the operating system; returns it."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed the default stream was started with."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default stream's seed and offset as a uint8 tensor of 16 bytes."""
    return default_generator.get_state()


def set_rng_state(new_state) -> None:
    """Put the default stream where ``get_rng_state`` saw it."""
    array = to_numpy_array(new_state)
    if array.dtype != np.uint8 or array.shape != (16,):
        raise ArgumentError(f"set_rng_state: expected a uint8 tensor of 16 bytes, got {array.dtype} {array.shape}.")
    default_generator.set_pair(*array.copy().view(np.uint64).tolist())


# --- of a given size --------------------------------------------------------------------------------------------------


def key_for(shape, generator) -> tuple[int, int]:
    return (generator or default_generator).take(math.prod(int(n) for n in shape))


def _draw(name, shape, dtype, place, requires_grad, generator, **how):
    d = dtype_or_default(dtype)
    place = place_or_default(place)
    if place.type == "meta":
        return wants_grad(wrap(MetaArray(shape, d.numpy)), requires_grad)
    key = key_for(shape, generator)
    out = getattr(ops, name)(shape=shape, dtype=d, key=key, device=place, **how)
    return wants_grad(out, requires_grad)


def rand(  # noqa: A002
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    names=None,
):
    """Numbers uniform on [0, 1)."""
    made = into(out, _draw("uniform", shape_from(args, size), dtype, device, requires_grad, generator))
    return made if names is None else with_names(made, names)


def randn(  # noqa: A002
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
    names=None,
):
    """Numbers from the standard normal distribution."""
    made = into(out, _draw("normal", shape_from(args, size), dtype, device, requires_grad, generator))
    return made if names is None else with_names(made, names)


def randint(  # noqa: A002
    low=0,
    high=None,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Integers uniform on [low, high): randint(high, size) or randint(low, high, size)."""
    if size is None:
        low, high, size = 0, low, high
        if not isinstance(size, (tuple, list)):
            raise ArgumentError(
                "randint() missing the argument 'size': randint(high, size) or randint(low, high, size)."
            )
    if high is None:
        low, high = 0, low
    for bound in (low, high):
        if isinstance(bound, (float, str)):
            raise ArgumentError(f"randint(): argument 'high' must be int, not {type(bound).__name__}.")
    low, high = (int(b.item()) if isinstance(b, Value) else b for b in (low, high))
    if high <= low:
        raise RefusedError(f"randint: expected low < high, got {low} and {high}.")
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    shape = shape_from((size,))
    drawn = _draw("random_integers", shape, d, device, requires_grad, generator, low=int(low), high=int(high))
    return into(out, drawn)


def randperm(  # noqa: A002
    n: int,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """0 .. n-1 in random order."""
    if n < 0:
        raise RefusedError(f"n must be non-negative, got {n}.")
    d = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    return into(out, _draw("random_permutation", (n,), d, device, requires_grad, generator))


def normal(  # noqa: A002
    mean=0.0,
    std=1.0,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
):
    """Normal numbers with the given means and standard deviations (tensors broadcast, or numbers with ``size``)."""
    spread_tensor = isinstance(std, Value)
    if spread_tensor and std.is_complex():
        raise DtypeError("normal expects standard deviation to be non-complex.")
    if not std >= 0 if not spread_tensor else bool(std._array.size and (std._array < 0).any()):
        raise RefusedError(f"normal expects all elements of std >= 0.0, but found std {'' if spread_tensor else std}.")
    given = [x for x in (mean, std) if isinstance(x, Value)]
    for x in given[:1]:
        if x._array.dtype.kind not in "fVc" and x is mean:
            raise UnsupportedDtype(f"normal: not implemented for {x.dtype}.")
    if given and size is not None and any(x._array.ndim for x in given):
        raise ArgumentError("normal(): with a size, mean and std must be numbers, not tensors.")
    if any(isinstance(x, complex) for x in (mean, std)):
        raise ArgumentError("normal(): arguments 'mean' and 'std' must be float, not complex.")
    if size is None:
        if not given:
            raise ArgumentError("normal: give a size when mean and std are numbers.")
        shape = np.broadcast_shapes(*[tuple(x._array.shape) for x in given])
        d = given[0].dtype if dtype is None else dtype
        place = given[0].device if device is None else device
    else:
        shape, d, place = shape_from((size,)), dtype, device
    fresh = randn(tuple(shape), generator=generator, dtype=d, device=place)
    mean, std = (x.detach() if isinstance(x, Value) else x for x in (mean, std))
    drawn = fresh * std + mean
    if given and dtype is None and drawn._array.dtype != given[0]._array.dtype:  # the means' type, if they are a tensor
        drawn = drawn.to(given[0].dtype)
    return into(out, wants_grad(drawn, requires_grad))


# --- like another tensor ----------------------------------------------------------------------------------------------


def _place_of(input, place):
    if place is not None:
        return place
    array = input._array
    return "meta" if array.__class__ is MetaArray else backends.for_array(array).device_of(array)


def _dtype_of(input, dtype):
    return dtypes.from_numpy_dtype(input._array.dtype) if dtype is None else dtype


def _place_of_device(input) -> device:
    return device(_place_of(input, None))


def rand_like(  # noqa: A002
    input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
):
    """Uniform numbers with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    return _draw("uniform", shape, _dtype_of(input, dtype), _place_of(input, device), requires_grad, generator)


def randn_like(  # noqa: A002
    input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
):
    """Normal numbers with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    return _draw("normal", shape, _dtype_of(input, dtype), _place_of(input, device), requires_grad, generator)


def randint_like(  # noqa: A002
    input,
    low=0,
    high=None,
    *,
    generator=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
):
    """Integers uniform on [low, high) with the shape, dtype and device of ``input``."""
    shape = tuple(input._array.shape)
    low, high = (0, low) if high is None else (low, high)
    place = _place_of(input, device)
    for bound in (low, high):
        if isinstance(bound, (float, str)):
            raise ArgumentError(f"randint_like(): argument 'high' must be int, not {type(bound).__name__}.")
    if input._array.dtype == bool and dtype is None and high > 2:
        raise RefusedError("randint_like: to - 1 is out of bounds for bool.")
    low, high = (int(b.item()) if isinstance(b, Value) else int(b) for b in (low, high))
    if high <= low:
        raise RefusedError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}.")
    out = _draw("random_integers", shape, dtypes.int64, place, False, generator, low=low, high=high)
    return wants_grad(ops.cast(out, dtype=dtypes.as_dtype(_dtype_of(input, dtype))), requires_grad)


# --- with a distribution for each element -----------------------------------------------------------------------------


def _chances(name: str, p) -> None:
    def check(values) -> None:
        if values.size and not bool(((values >= 0) & (values <= 1)).all()):
            raise RefusedError(f"{name} expects all elements of p to be in [0, 1].")

    if isinstance(p, Value):
        check_numbers(p, check)
    else:
        check(np.asarray(p))


def bernoulli(input, p=None, *, generator=None, out=None):
    """1 with the probability that ``input`` names at each place (or ``p`` everywhere), else 0."""
    chance = input if p is None else p
    if p is None and not input.is_floating_point():
        raise DtypeError(f"bernoulli: expected a floating point tensor of probabilities, got {input.dtype}.")
    _chances("bernoulli", chance)
    place = _place_of(input, None)
    u = _draw("uniform", tuple(input._array.shape), dtypes.float32, place, False, generator)
    chance = chance.detach() if isinstance(chance, Value) else chance
    return into(out, ops.cast(ops.lt(u, chance), dtype=_dtype_of(input, None)))


def _non_negative_rates(rates) -> None:
    if rates.size and bool((rates < 0).any()):
        raise RefusedError("invalid Poisson rate, expected rate to be non-negative.")


def poisson(input, generator=None):
    """Counts from Poisson distributions with the rates in ``input``."""
    if not input.is_floating_point():
        raise DtypeError(f"poisson: expected floating point rates, got {input.dtype}.")
    check_numbers(input, _non_negative_rates)
    return ops.poisson(input.detach(), key=key_for((4 * input._array.size,), generator))


def binomial(count, prob, generator=None):
    """How many of ``count`` trials succeed, each with probability ``prob`` (floating tensors that broadcast)."""
    from mlkit.functional.shaping import broadcast_tensors

    if count._array.dtype != prob._array.dtype:
        raise DtypeError(f"Found dtype {count.dtype} but expected {prob.dtype}.")
    _chances("binomial", prob)
    count, prob = broadcast_tensors(count.detach(), prob.detach())
    return ops.binomial(count, prob, key=key_for((4 * count._array.size,), generator))


def multinomial(input, num_samples: int, replacement: bool = False, *, generator=None, out=None):
    """Indices drawn with probability in proportion to ``input`` (rows of weights (k) or (rows, k)); int64."""
    if not input.is_floating_point():
        raise DtypeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype}.")
    if out is not None and out._array.dtype != np.int64:
        raise DtypeError(f"multinomial expects Long tensor out, got: {out.dtype}.")
    if num_samples <= 0:
        raise RefusedError(f"multinomial: cannot sample n_sample <= 0 samples, got {num_samples}.")
    weights = to_numpy_array(input).astype(np.float64)
    if weights.ndim not in (1, 2):
        raise ShapeError(f"multinomial: expected (k) or (rows, k) weights, got {weights.shape}.")
    rows = np.atleast_2d(weights)
    if (rows < 0).any() or not np.isfinite(rows).all() or (rows.sum(1) <= 0).any():
        raise RefusedError(
            "multinomial: invalid multinomial distribution: weights must be finite, not negative, and not all zero in a row."
        )
    if not replacement and num_samples > rows.shape[1]:
        raise RefusedError(
            f"multinomial: cannot sample n_sample > prob_dist.size(-1) samples without replacement: {num_samples} of "
            f"{rows.shape[1]}.",
            hint="Set replacement=True.",
        )
    if replacement:
        u = to_numpy_array(rand(len(rows), num_samples, generator=generator, dtype=dtypes.float64))
        edges = np.cumsum(rows / rows.sum(1, keepdims=True), axis=1)
        drawn = np.stack([np.searchsorted(e, row, side="right") for e, row in zip(edges, u, strict=True)])
        last = rows.shape[1] - 1 - np.argmax(rows[:, ::-1] > 0, axis=1)
        drawn = np.minimum(drawn, last[:, None])
    else:  # the smallest exponential clocks (Efraimidis & Spirakis 2006)
        u = to_numpy_array(rand(*rows.shape, generator=generator, dtype=dtypes.float64))
        with np.errstate(divide="ignore"):
            clocks = np.where(rows > 0, -np.log1p(-u) / rows, np.inf)
        drawn = np.argsort(clocks, axis=1, kind="stable")[:, :num_samples]  # those of weight 0 last, in their order
    return into(
        out,
        wrap(on_device(drawn.reshape((*weights.shape[:-1], num_samples)).astype(np.int64), _place_of_device(input))),
    )


def standard_gamma(concentration, generator=None):
    """Draws from the gamma distribution with scale 1, differentiable in ``concentration``."""
    return ops.standard_gamma(concentration, key=key_for(concentration._array.shape, generator))


def von_mises(loc, concentration, generator=None):
    """Angles in [-pi, pi) around ``loc``."""
    shape = broadcast_shapes(loc._array.shape, concentration._array.shape)
    return ops.von_mises(loc, concentration, key=key_for(shape, generator))
