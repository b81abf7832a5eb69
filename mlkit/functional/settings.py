"""Settings that PyTorch's programs make: threads, determinism, precision of products."""

from __future__ import annotations

import warnings
from typing import Any

from mlkit.core import backend as backends
from mlkit.core import config
from mlkit.core import dtype as dtypes
from mlkit.core.errors import ArgumentError, DtypeError, RefusedError

_state: dict[str, Any] = {
    "deterministic": False,
    "warn_only": False,
    "precision": "highest",
    "interop": 1,
    "warn_always": False,
}


def get_num_threads() -> int:
    """How many threads NumPy's products use."""
    return backends.load("numpy").m.get_threads()


def set_num_threads(int: int) -> None:  # noqa: A002 - PyTorch's name
    """Set how many threads NumPy's products use (where its BLAS can be told)."""
    if not hasattr(int, "__index__") or isinstance(int, bool):
        raise ArgumentError(f"set_num_threads expects an int, but got {type(int).__name__}.")
    if int <= 0:
        raise DtypeError("set_num_threads expects a positive integer.")
    backends.load("numpy").m.set_threads(int)


def get_num_interop_threads() -> int:
    """How many threads run operations side by side: 1 unless set."""
    return _state["interop"]


def set_num_interop_threads(int: int) -> None:  # noqa: A002 - PyTorch's name
    """Accepted for PyTorch's sake: operations run one after another here."""
    _state["interop"] = int


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """On the CPU everything is deterministic for a seed anyway; on a GPU this lets embeddings sum their gradients in order.

    Other sums into places that repeat (``index_add``, ``scatter_add``) stay as the GPU takes them; cuDNN has its own
    switch, ``mlkit.backends.cudnn.deterministic``.
    """
    _state["deterministic"], _state["warn_only"] = bool(mode), bool(warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """What ``use_deterministic_algorithms`` was told."""
    return _state["deterministic"]


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What ``use_deterministic_algorithms(warn_only=...)`` was told."""
    return _state["warn_only"]


def get_deterministic_debug_mode() -> int:
    """0, 1 (warn) or 2 (error): what was set."""
    return 0 if not _state["deterministic"] else 1 if _state["warn_only"] else 2


def set_deterministic_debug_mode(debug_mode) -> None:
    """0 or "default", 1 or "warn", 2 or "error"."""
    level = {"default": 0, "warn": 1, "error": 2}.get(debug_mode, debug_mode)
    if level not in (0, 1, 2):
        raise RefusedError(f"invalid value of debug_mode, expected 0 to 2 or a name, but got {debug_mode}.")
    use_deterministic_algorithms(level > 0, warn_only=level == 1)


def get_float32_matmul_precision() -> str:
    """ "highest", "high" or "medium"."""
    return _state["precision"]


def set_float32_matmul_precision(precision: str) -> None:
    """Products of float32 matrices on a GPU: "highest" in float32, "high" or "medium" with TF32 factors.

    On the CPU they are made in float32 whatever is said here.
    """
    if precision not in ("highest", "high", "medium"):
        raise RefusedError(f"set_float32_matmul_precision: {precision!r} is not one of highest, high, medium.")
    _state["precision"] = precision
    config.cuda_matmul_tf32 = precision != "highest"


def set_flush_denormal(mode: bool) -> bool:
    """Whether the smallest numbers could be set to be flushed to zero: never here."""
    return False


def set_default_tensor_type(t) -> None:
    """Set the default dtype by the older name of its constructor, such as "torch.DoubleTensor"."""
    d = getattr(t, "dtype", None)
    if d is None:
        word = str(t).rpartition(".")[2].removesuffix("Tensor")
        name = next((n for n, w in dtypes.TYPE_NAMES.items() if w == word), None)
        if name is None:
            raise ArgumentError(f"invalid type object: {t!r}.")
        d = dtypes.as_dtype(name)
    dtypes.set_default_dtype(d)


def set_warn_always(b: bool) -> None:
    """Whether a warning is shown each time it happens."""
    _state["warn_always"] = bool(b)
    if b:
        warnings.simplefilter("always", UserWarning)


def is_warn_always_enabled() -> bool:
    """What ``set_warn_always`` was told."""
    return _state["warn_always"]


def typename(obj) -> str:
    """The name of an object's type, a tensor's with its element type: "mlkit.FloatTensor"."""
    if hasattr(obj, "_array"):
        return obj.type()
    cls = obj if isinstance(obj, type) else type(obj)
    module = "" if cls.__module__ in ("builtins", "__main__") else cls.__module__ + "."
    return module + cls.__qualname__
