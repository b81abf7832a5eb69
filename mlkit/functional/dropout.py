"""Dropout: values zeroed at random while training, the others scaled so that the mean stays."""

from __future__ import annotations

import warnings

from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import RefusedError, ShapeError, ValueRangeError
from mlkit.core.rng import default_generator
from mlkit.functional.activation import placed
from mlkit.functional.arguments import check_floating
from mlkit.ops.activation import SELU_ALPHA, SELU_SCALE


def check_probability(p) -> None:
    if p != p:
        raise RefusedError(f"dropout probability has to be between 0 and 1, but got {p}.")
    if not 0 <= p <= 1:
        raise ValueRangeError(f"dropout probability has to be between 0 and 1, but got {p}.")


def _dropped(input, p, mask_shape=None):
    size = 1
    for n in input._array.shape if mask_shape is None else mask_shape:
        size *= n
    return ops.dropout(input, p=float(p), key=default_generator.take(size), mask_shape=mask_shape)


def dropout(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Each value zeroed with probability p, the others scaled by 1 / (1 - p); the identity unless training.

    >>> import mlkit
    >>> mlkit.nn.functional.dropout(mlkit.ones(2), p=0.5, training=False)
    tensor([1., 1.])
    """
    check_probability(p)
    if not training or p == 0:
        return input
    return placed(input, _dropped(input, p), inplace, "dropout_")


def _channels(name, n, input, p, training, inplace):
    """Whole channels zeroed: input (N, C, *n dims), or (C, *n dims) without batch."""
    check_probability(p)
    rank = input._array.ndim
    if rank not in (n + 1, n + 2):
        warnings.warn(
            f"{name}: Received a {rank}-D input; it expects {n + 2}-D (batch, channel, ...) or {n + 1}-D input.",
            stacklevel=3,
        )
    if not training or p == 0:
        return input
    # without a batch axis the channels come first; 1 and 3 spatial dims are told apart by rank, 2 by PyTorch's custom
    lead = 1 if rank == n + 1 and n != 2 else 2
    shape = tuple(input._array.shape)
    return placed(input, _dropped(input, p, (*shape[:lead], *([1] * (rank - lead)))), inplace, f"{name}_")


def dropout1d(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Whole channels of (N, C, L) or (C, L) zeroed (Tompson et al. 2014, arXiv:1411.4280)."""
    check_probability(p)
    if input._array.ndim not in (2, 3):
        from mlkit.core.errors import ShapeError

        raise ShapeError(
            f"dropout1d: Expected 2D or 3D input, but received a {input._array.ndim}D input. Note that dropout1d exists "
            "to provide channel-wise dropout on inputs with 1 spatial dimension."
        )
    return _channels("dropout1d", 1, input, p, training, inplace)


def dropout2d(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Whole channels of (N, C, H, W) zeroed; a 3-d input counts as (N, C, L), as in PyTorch."""
    return _channels("dropout2d", 2, input, p, training, inplace)


def dropout3d(input, p: float = 0.5, training: bool = True, inplace: bool = False):
    """Whole channels of (N, C, D, H, W) or (C, D, H, W) zeroed."""
    return _channels("dropout3d", 3, input, p, training, inplace)


def _alpha(input, p, mask_shape):
    """Dropped values become SELU's lowest; scale and shift bring mean 0 and variance 1 back."""
    if p == 1:
        return ops.mul(input, 0.0)
    shape = tuple(input._array.shape) if mask_shape is None else mask_shape
    size = 1
    for n in shape:
        size *= n
    d = dtypes.from_numpy_dtype(input._array.dtype)
    how = {"dtype": dtypes.float32, "key": default_generator.take(size), "device": ops.device_of(input)}
    kept = ops.ge(ops.uniform(shape=shape, **how), p)
    lowest = -SELU_ALPHA * SELU_SCALE
    a = ((1 - p) * (1 + p * lowest**2)) ** -0.5
    kept = ops.cast(kept, dtype=d)
    shift = ops.sub(a * lowest * (1 - p), ops.mul(kept, a * lowest))
    return ops.add(ops.mul(input, ops.mul(kept, a)), shift)


def alpha_dropout(input, p: float = 0.5, training: bool = False, inplace: bool = False):
    """Dropout that keeps mean and variance of SELU activations (Klambauer et al. 2017, arXiv:1706.02515)."""
    check_probability(p)
    if not training or p == 0:
        return input
    return placed(input, _alpha(input, p, None), inplace, "alpha_dropout_")


def feature_alpha_dropout(input, p: float = 0.5, training: bool = False, inplace: bool = False):
    """alpha_dropout of whole channels: input (N, C, *)."""
    check_probability(p)
    if not training or p == 0:
        return input
    shape = tuple(input._array.shape)
    if len(shape) < 2:
        raise ShapeError("Feature dropout requires at least 2 dimensions in the input.", f"input: {shape}")
    check_floating("feature_alpha_dropout", input)
    return placed(input, _alpha(input, p, (*shape[:2], *([1] * (len(shape) - 2)))), inplace, "feature_alpha_dropout_")
