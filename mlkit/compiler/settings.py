"""The arguments of ``compile``, checked."""

from __future__ import annotations

from mlkit.core.errors import ArgumentError, ValueRangeError

#: how many recordings one function may have before it runs eagerly for what is new (PyTorch's number)
RECOMPILE_LIMIT = 8


class Settings:
    """The arguments of compile, checked."""

    MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
    OPTIONS = {"recompile_limit": RECOMPILE_LIMIT, "fusion": True, "memory_plan": True}

    def __init__(self, fullgraph=False, dynamic=None, backend="mlkit", mode=None, options=None, disable=False):
        if backend not in ("mlkit", "inductor", "numpy", "numba", "eager", "aot_eager") and not callable(backend):
            raise ValueRangeError(
                f"compile: no backend named {backend!r}.",
                hint="'mlkit' (the default; PyTorch's 'inductor' means the same), 'numpy' (no Numba kernels), or 'eager'.",
            )
        if callable(backend):
            raise ArgumentError(
                "compile: a backend of your own is not possible.",
                hint="mlkit.compiler.trace(fn, *inputs) gives you the graph to work on.",
            )
        if mode is not None and mode not in self.MODES:
            raise ValueRangeError(f"compile: mode must be one of {', '.join(self.MODES)}, got {mode!r}.")
        if mode is not None and options is not None:
            raise ArgumentError("compile: mode and options cannot be given together.")
        if dynamic:
            raise ArgumentError(
                "compile: dynamic=True is not possible: each shape gets its own program.",
                hint="Leave it out; pad to few shapes when there are many (at most options['recompile_limit'] are recorded).",
            )
        unknown = set(options or {}) - set(self.OPTIONS)
        if unknown:
            raise ArgumentError(
                f"compile: unknown option {sorted(unknown)[0]!r}.", hint=f"There are {', '.join(self.OPTIONS)}."
            )
        given = {**self.OPTIONS, **(options or {})}
        self.fullgraph = bool(fullgraph)
        self.limit = int(given["recompile_limit"])
        self.numba = backend in ("mlkit", "inductor", "numba")
        self.fusion = bool(given["fusion"])
        self.memory_plan = bool(given["memory_plan"])
        self.mode = mode or "default"
        self.disable = bool(disable) or backend in ("eager", "aot_eager")
