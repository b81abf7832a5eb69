"""autocast: products in a low precision, sums and losses in float32, by the lists beside this file.

While a region is entered, one interpreter sees every op of this thread, casts its floating-point inputs (not float64)
to the precision that the lists give, and passes the op on. The casts are ops of the graph, so gradients come back in
the dtype of the parameters.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mlkit.amp.lists import FULL, INSIDE, LOW, LOW_ON, REFUSED, WIDEST
from mlkit.core import backend as backends
from mlkit.core.dispatch import Interpreter, apply, state
from mlkit.core.dtype import bfloat16, dtype, float16, float32, float64
from mlkit.core.errors import ArgumentError, DeviceError, GradientError, ValueRangeError
from mlkit.core.value import Leaf, MetaArray, Value
from mlkit.ops.registry import REGISTRY

_DEVICES = ("cpu", "cuda")
_CAST = REGISTRY["cast"]


class _State(threading.local):
    """What autocast means in this thread."""

    def __init__(self):
        self.enabled = dict.fromkeys(_DEVICES, False)
        self.dtype = {"cpu": bfloat16, "cuda": float16}
        self.keeps_casts = True
        self.depth = 0
        self.casts: dict = {}  # (id of a parameter, dtype) -> (the parameter, its version, its cast)
        self.caster: Caster | None = None


_here = _State()


class Caster(Interpreter):
    """Casts what each op is given."""

    def process(self, op, tensors: tuple, attributes: dict):
        listed = op.variadic
        operands = tensors[0] if listed else tensors
        place = None if op is _CAST else _device_of(operands)
        if place is None or not _here.enabled[place]:
            return apply(op, tensors, attributes)
        rule, name = _rule((*state.scopes, op.name), place)
        if rule is None:
            return apply(op, tensors, attributes)
        if rule == "low":
            target = _here.dtype[place]
            operands = [_cast(t, target) for t in operands]
            return apply(op, (operands,) if listed else tuple(operands), attributes)
        if rule == "refused":
            raise GradientError(
                f"{name} is unsafe to autocast: in float16 its logarithm overflows.",
                hint=f"Use {REFUSED[place][name]}, or run it in autocast(enabled=False) on float32.",
            )
        before = next((t.dtype for t in operands if _eligible(t)), None)
        if op.name == "softmax_cross_entropy" and rule == "full" and operands[0].dtype in (float16, bfloat16):
            return apply(op, tensors, {**attributes, "full": True})  # the same numbers, without a wide copy
        if rule == "inside" and place == "cuda" and op.name == "batch_norm_train":
            return apply(op, tensors, attributes)  # its kernels sum low-precision values in float32 as they are
        if rule == "widest":
            found = {t.dtype for t in operands if _eligible(t)}
            if len(found) < 2:
                return apply(op, tensors, attributes)
        operands = [_cast(t, float32) for t in operands]
        out = apply(op, (operands,) if listed else tuple(operands), attributes)
        if rule == "inside" and before is not None and before is not float32:
            if isinstance(out, tuple):  # normalised values first; then statistics, which stay in float32
                return (apply(_CAST, (out[0],), {"dtype": before}), *out[1:])
            return apply(_CAST, (out,), {"dtype": before})
        return out


@functools.lru_cache(4096)
def _rule(names: tuple[str, ...], place: str) -> tuple[str | None, str]:
    """(what is done, by which name) with an op on that kind of device, from the composites around it to its own name."""
    for name in names:
        if name in LOW or name in LOW_ON[place]:
            return "low", name
        if name in FULL[place]:
            return "full", name
        if name in INSIDE[place]:
            return "inside", name
        if name in REFUSED[place]:
            return "refused", name
        if name in WIDEST:
            return "widest", name
    return None, names[-1]


def _device_of(operands: list | tuple) -> str | None:
    for t in operands:
        if isinstance(t, Value) and t._array.__class__ is not MetaArray:
            found = backends.for_array(t._array).device_type
            return found if found in _here.enabled else None
    return None


def _eligible(t) -> bool:
    if not isinstance(t, Value):
        return False
    found = t._array.dtype
    return found.itemsize < 8 and found.kind in "fV"


def _cast(t, target: dtype):
    """``t`` in ``target``; the cast of a float32 parameter is kept until the outermost region ends."""
    if not _eligible(t) or t._array.dtype == target.numpy:
        return t
    keep = _here.keeps_casts and target is not float32 and isinstance(t._node, Leaf) and t.dtype is float32
    if not keep:
        return apply(_CAST, (t,), {"dtype": target})
    key = id(t), target, state.grad
    version = t._storage.version if t._storage is not None else 0
    kept = _here.casts.get(key)
    if kept is None or kept[0] is not t or kept[1] != version:
        kept = _here.casts[key] = (t, version, apply(_CAST, (t,), {"dtype": target}))
    return kept[2]


def _install() -> None:
    """The interpreter is on the stack while a region is entered or autocast is switched on by hand."""
    wanted = _here.depth > 0 or any(_here.enabled.values())
    if wanted and _here.caster is None:
        _here.caster = Caster()
        _here.caster.__enter__()
    elif not wanted and _here.caster is not None:
        _here.caster.__exit__(None, None, None)
        _here.caster = None


class autocast:  # noqa: N801 - PyTorch's name
    """Run the block (or the decorated function) in mixed precision; regions may be nested.

    Under it products (matmul, Linear, convolutions, attention, recurrent layers) take and give ``dtype``; losses and
    steep functions take and give float32; on the CPU norms compute in float32 and give the dtype they were given. The
    other ops take what they get. float64 stays. Only the forward pass belongs inside: backward() follows its dtypes.

    Args:
        device_type: "cpu" or "cuda": whose tensors it is about.
        dtype: the low precision; by default bfloat16 on the CPU and float16 on a GPU.
        enabled: False switches it off inside.
        cache_enabled: keep casts of parameters until the outermost region ends.

    Raises:
        ValueError: ``device_type`` is no text.
        RuntimeError: there is no such device type.

    >>> import mlkit
    >>> layer, x = mlkit.nn.Linear(3, 2), mlkit.ones(1, 3)
    >>> with mlkit.autocast("cpu", dtype=mlkit.bfloat16):
    ...     y = layer(x)
    >>> y.dtype
    mlkit.bfloat16
    >>> y.sum().backward(); layer.weight.grad.dtype
    mlkit.float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtype | None = None,  # noqa: F811 - PyTorch's name
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        if not isinstance(device_type, str):
            raise ValueRangeError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`.")
        self.device = _known(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if enabled and device_type == "cuda" and not _gpu_there():
            warnings.warn("CUDA is not available. Disabling autocast.", stacklevel=2)
            enabled = False
        elif enabled and self.fast_dtype not in (bfloat16, float16):
            warnings.warn(
                f"In {device_type.upper()} autocast, but the target dtype is not supported. Disabling autocast. "
                f"{device_type.upper()} Autocast only supports dtypes of bfloat16, float16 currently.",
                stacklevel=2,
            )
            enabled = False
        self._enabled = bool(enabled)
        self._before: list[tuple] = []

    def __enter__(self):
        self._before.append((_here.enabled[self.device], _here.dtype[self.device], _here.keeps_casts))
        _here.enabled[self.device] = self._enabled
        _here.dtype[self.device] = self.fast_dtype
        _here.keeps_casts = self._cache_enabled
        _here.depth += 1
        _install()
        return self

    def __exit__(self, *exc):
        _here.depth -= 1
        if _here.depth == 0:
            _here.casts.clear()
        _here.enabled[self.device], _here.dtype[self.device], _here.keeps_casts = self._before.pop()
        _install()
        return False

    def __call__(self, function: Callable) -> Callable:
        if not callable(function):
            raise ArgumentError(
                f"autocast()(func) requires a callable, but got {type(function).__name__}.",
                hint='As a context manager: with mlkit.autocast("cpu"): ...',
            )

        @functools.wraps(function)
        def call(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return call


def _known(device_type: str) -> str:
    if device_type not in _DEVICES:
        raise DeviceError(f"User specified an unsupported autocast device_type '{device_type}'.", hint="cpu or cuda.")
    return device_type


def _gpu_there() -> bool:
    try:
        backends.load("cupy")
        return True
    except (DeviceError, ImportError):
        return False


# --- what holds now --------------------------------------------------------------------------------------------------------


def is_autocast_available(device_type: str) -> bool:
    """Whether autocast knows that kind of device."""
    return device_type in _DEVICES


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether ops on that kind of device are cast now, in this thread."""
    return _here.enabled[_known(device_type)]


def set_autocast_enabled(device_type: str, enabled: bool) -> None:
    """Switch autocast on or off by hand; the ``autocast`` block is the better way."""
    _here.enabled[_known(device_type)] = bool(enabled)
    _install()


def get_autocast_dtype(device_type: str) -> dtype:
    """The low precision for that kind of device."""
    return _here.dtype[_known(device_type)]


def set_autocast_dtype(device_type: str, dtype: dtype) -> None:  # noqa: F811 - PyTorch's name
    """Set the low precision for that kind of device."""
    _here.dtype[_known(device_type)] = dtype


def is_autocast_cache_enabled() -> bool:
    """Whether casts of parameters are kept."""
    return _here.keeps_casts


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Say whether casts of parameters are kept."""
    _here.keeps_casts = bool(enabled)


def clear_autocast_cache() -> None:
    """Forget the casts of parameters."""
    _here.casts.clear()


# --- functions with gradients of their own -----------------------------------------------------------------------------------


def _cast_all(given: Any, device_type: str, target: dtype):
    if isinstance(given, Value):
        fits = given.is_floating_point() and given.device.type == device_type and given.dtype is not float64
        return given.to(target) if fits else given
    if isinstance(given, (str, bytes, np.ndarray)):
        return given
    if isinstance(given, Mapping):
        return {k: _cast_all(v, device_type, target) for k, v in given.items()}
    if isinstance(given, (list, tuple)):
        return type(given)(_cast_all(v, device_type, target) for v in given)
    if isinstance(given, Iterable):
        return (_cast_all(v, device_type, target) for v in given)
    return given


def custom_fwd(fwd: Callable | None = None, *, device_type: str, cast_inputs: dtype | None = None) -> Callable:
    """For ``forward`` of an autograd.Function: with ``cast_inputs`` its inputs are cast and autocast is off inside."""
    if not isinstance(device_type, str):
        raise ValueRangeError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`.")
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx, *args, **kwargs):
        ctx._dtype = get_autocast_dtype(device_type)
        on = is_autocast_enabled(device_type)
        ctx._fwd_used_autocast = on and cast_inputs is None
        if not on or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast_all(args, device_type, cast_inputs), **_cast_all(kwargs, device_type, cast_inputs))

    return forward


def custom_bwd(bwd: Callable | None = None, *, device_type: str) -> Callable:
    """For ``backward`` of an autograd.Function: it runs with the autocast its forward had."""
    if not isinstance(device_type, str):
        raise ValueRangeError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`.")
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx, *args, **kwargs):
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return backward
