"""Comparisons for tests, as in ``torch.testing``: ``assert_close`` and ``make_tensor``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.dispatch import ops
from mlkit.core.errors import ArgumentError, ValueRangeError
from mlkit.core.value import Value, wrap
from mlkit.functional import conversion, placement, random

#: dtype -> (rtol, atol) when none are given; other types are compared exactly
TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def default_tolerances(*inputs) -> tuple[float, float]:
    """(rtol, atol): the wider of those that belong to the inputs' dtypes."""
    pairs = []
    for x in inputs:
        d = x if isinstance(x, dtypes.dtype) else dtypes.from_numpy_dtype(x._array.dtype)
        pairs.append(TOLERANCES.get(d.name, (0.0, 0.0)))
    return max(r for r, _ in pairs), max(a for _, a in pairs)


def _wide(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    return array.astype(np.float64) if array.dtype.kind in "fV" else array


def _tensor_problem(actual, expected, rtol, atol, equal_nan, checks) -> str | None:
    """What differs between two tensors, in words; None when they are close."""
    if checks["device"] and actual.device != expected.device:
        return f"The values for attribute 'device' do not match: {actual.device} != {expected.device}."
    if tuple(actual.shape) != tuple(expected.shape):
        return f"The values for attribute 'shape' do not match: {actual.shape} != {expected.shape}."
    if checks["dtype"] and actual.dtype != expected.dtype:
        return f"The values for attribute 'dtype' do not match: {actual.dtype} != {expected.dtype}."
    if checks["stride"] and actual.stride() != expected.stride():
        return f"The values for attribute 'stride()' do not match: {actual.stride()} != {expected.stride()}."
    if rtol is None:
        rtol, atol = default_tolerances(actual, expected)
    a, b = (_wide(np.asarray(backends.for_array(x._array).to_numpy(x._array))) for x in (actual, expected))
    if a.dtype != b.dtype:
        common = np.promote_types(a.dtype, b.dtype)
        a, b = a.astype(common), b.astype(common)
    with np.errstate(all="ignore"):
        if a.dtype.kind in "biu" and rtol == atol == 0:
            close = a == b
        else:
            close = np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)
        if close.all():
            return None
        x, y = (v if v.dtype.kind in "fc" else v.astype(np.float64) for v in (a, b))
        absolute = np.where(close, 0, np.abs(x - y))
        relative = np.where(close, 0, absolute / np.abs(y))
    if a.ndim == 0:
        what = "Scalars" if checks["scalar"] else "Tensor-likes"
        return (
            f"{what} are not {'close' if rtol or atol else 'equal'}!\n\n"
            f"Expected {b.item()} but got {a.item()}.\n"
            f"Absolute difference: {absolute.item()}{_allowed(atol)}\n"
            f"Relative difference: {relative.item()}{_allowed(rtol)}"
        )

    def greatest(difference, limit) -> str:
        place = np.unravel_index(np.argmax(np.where(np.isnan(difference), np.inf, difference)), difference.shape)
        index = tuple(int(i) for i in place)
        return f"{difference[place]} at index {index}{_allowed(limit)}"

    wrong = int((~close).sum())
    return (
        f"Tensor-likes are not {'close' if rtol or atol else 'equal'}!\n\n"
        f"Mismatched elements: {wrong} / {close.size} ({100 * wrong / close.size:.1f}%)\n"
        f"Greatest absolute difference: {greatest(absolute, atol)}\n"
        f"Greatest relative difference: {greatest(relative, rtol)}"
    )


def _allowed(limit: float) -> str:
    return f" (up to {limit} allowed)" if limit else ""


def _compare(actual, expected, path: str, how: dict) -> None:
    where = f"\n\nThe failure occurred for item {path}" if path else ""

    def fail(text: str) -> None:
        message = how["msg"]
        if callable(message):
            text = message(text + where)
        elif message is not None:
            text = message
        else:
            text = text + where
        raise AssertionError(text)

    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        if set(actual) != set(expected):
            missing, extra = set(expected) - set(actual), set(actual) - set(expected)
            fail(
                f"The keys of the mappings do not match:\nMissing keys in the actual mapping: {sorted(missing, key=str)}\n"
                f"Additional keys in the actual mapping: {sorted(extra, key=str)}"
            )
        for key in expected:
            _compare(actual[key], expected[key], f"{path}[{key!r}]", how)
        return
    sequences = (list, tuple, Sequence)
    if isinstance(expected, sequences) and isinstance(actual, sequences) and not isinstance(expected, str):
        if len(actual) != len(expected):
            fail(f"The length of the sequences mismatch: {len(actual)} != {len(expected)}")
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _compare(a, b, f"{path}[{i}]", how)
        return
    if actual is None or expected is None:
        if actual is not expected:
            fail(f"None mismatch: {actual} is not {expected}")
        return
    checks = dict(how["checks"], scalar=False)
    if isinstance(actual, (bool, int, float, complex)) and isinstance(expected, (bool, int, float, complex)):
        checks |= {"scalar": True, "dtype": False}
    elif isinstance(actual, bool) != isinstance(expected, bool):
        fail(f"Booleans mismatch: {actual} is not {expected}")
    if not how["allow_subclasses"] and type(actual) is not type(expected):
        fail(f"If allow_subclasses is False, the types must match exactly: {type(actual)} and {type(expected)}.")
    a, b = _as_tensor(actual, expected), _as_tensor(expected, actual)
    problem = _tensor_problem(a, b, how["rtol"], how["atol"], how["equal_nan"], checks)
    if problem:
        fail(problem)


def _as_tensor(x, other) -> Value:
    if isinstance(x, Value):
        return wrap(x._array)
    if isinstance(x, (bool, int, float, complex)):
        d = dtypes.float64 if isinstance(x, float) else dtypes.complex128 if isinstance(x, complex) else None
        return conversion.tensor(x, dtype=d)
    if isinstance(x, (np.ndarray, np.generic)):
        return wrap(np.asarray(x))
    raise ArgumentError(f"No comparison pair was able to handle inputs of type {type(x)} and {type(other)}.")


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raise AssertionError unless both are close: |actual - expected| <= atol + rtol * |expected|, element by element.

    Args:
        actual: a tensor, an array, a number, or a sequence or mapping of such.
        expected: what it should be, of the same structure.
        allow_subclasses: whether the classes may differ.
        rtol: relative tolerance; by default that of the dtype (float32: 1.3e-6). Give both tolerances or none.
        atol: absolute tolerance; by default that of the dtype (float32: 1e-5).
        equal_nan: whether NaN equals NaN.
        check_device: whether the devices must agree.
        check_dtype: whether the dtypes must agree.
        check_layout: accepted for PyTorch's sake: there is one layout.
        check_stride: whether the strides must agree.
        msg: the error's text, or a function of the text that it would have.

    Raises:
        AssertionError: they differ; the text says where and by how much.
        ValueRangeError: only one of the tolerances is given.
        ArgumentError: something that is neither tensor nor number.

    >>> import mlkit
    >>> mlkit.testing.assert_close(mlkit.tensor([1.0, 2.0]), mlkit.tensor([1.0, 2.0000001]))
    >>> mlkit.testing.assert_close([1, 2.5], [1, 3.5])
    Traceback (most recent call last):
    ...
    AssertionError: Scalars are not close!
    ...
    """
    if (rtol is None) != (atol is None):
        raise ValueRangeError(
            "rtol and atol must both be specified or both be unspecified, but got "
            + ("no rtol." if rtol is None else "no atol.")
        )
    how = {
        "rtol": rtol,
        "atol": atol,
        "equal_nan": equal_nan,
        "allow_subclasses": allow_subclasses,
        "msg": msg,
        "checks": {"device": check_device, "dtype": check_dtype, "stride": check_stride},
    }
    _compare(actual, expected, "", how)


def make_tensor(
    *shape,
    dtype,
    device="cpu",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format=None,
):
    """Random values of any dtype, uniform on [low, high): [-9, 9) by default, [0, 10) for uint8, [0, 2) for bools.

    >>> import mlkit
    >>> mlkit.testing.make_tensor(2, 3, dtype=mlkit.int64, low=0, high=5).shape
    mlkit.Size([2, 3])
    """
    d = dtypes.as_dtype(dtype)
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    if d.category == 0:
        low, high = 0, 2
    else:
        low = (0 if not d.is_signed else -9) if low is None else low
        high = (10 if not d.is_signed else 9) if high is None else high
    if not low < high:
        raise ValueRangeError(f"make_tensor: `low` must be below `high`, got {low} and {high}.")
    if d.category < 2:
        out = random.randint(int(np.ceil(low)), int(np.ceil(high)), shape, dtype=d, device=device)
    elif d.is_complex:
        pair = random.rand(*shape, 2, dtype=d.to_real(), device=device) * (high - low) + low
        out = ops.complex(pair[..., 0], pair[..., 1])
    else:
        out = ops.cast(random.rand(*shape, dtype=dtypes.float64, device=device) * (high - low) + low, dtype=d)
    if exclude_zero:
        out = wrap(np.where(out._array == 0, np.asarray(1, out._array.dtype), out._array))
    if noncontiguous and out._array.size > 1:
        out = wrap(np.repeat(out._array, 2, axis=-1)[..., ::2])
    return placement.wants_grad(out, requires_grad)


__all__ = ["assert_close", "make_tensor"]
