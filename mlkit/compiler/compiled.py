"""``compile``: a function, module or whole training step that is recorded once and replayed from then on."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

from mlkit.compiler.calls import Compiled, all_compiled, disabled
from mlkit.compiler.settings import Settings
from mlkit.core.dispatch import state
from mlkit.core.errors import ArgumentError
from mlkit.nn.module import Module


def compile(  # noqa: A001 - PyTorch's name
    model: Callable | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "mlkit",
    mode: str | None = None,
    options: dict | None = None,
    disable: bool = False,
):
    """Record ``model`` on its first call and replay it from then on: the same numbers with less work around them.

    Args:
        model: a function of tensors, a Module, or a whole training step (forward, ``backward()``, clipping,
            ``optimizer.step()``, ``scheduler.step()``). Left out: gives a decorator.
        fullgraph: raise, instead of running eagerly with a warning, when something cannot be recorded.
        dynamic: only False or None: each shape gets its own program.
        backend: "mlkit", "numpy" (no Numba kernels) or "eager" (compile nothing).
        mode: PyTorch's names are accepted; all mean the same here.
        options: "recompile_limit" (8), "fusion" (True), "memory_plan" (True).
        disable: give ``model`` back as it is.

    A recording belongs to the shapes, dtypes and strides of the tensors among the arguments, to all other arguments,
    to the grad mode, and to the Python values the function reads: global names, its closure, attributes of modules
    (such as ``training``) and of ``self``. When one is another, the function is recorded again, up to the limit.
    Learning rates, schedules and random numbers stay live. A branch on numbers, ``.item()``, ``print`` or hooks cannot
    be recorded: then the call runs eagerly, and one warning says why and where.

    On a GPU the program is captured as CUDA graphs on its second replay and sent as a whole from then on, new data copied
    into its inputs; optimizer steps run between graphs. What cannot be captured (a solver, say) runs step by step, and one
    warning says so. A gradient in ``.grad`` lies in the graph's memory until the next call; tensors that somebody still
    holds keep their numbers.

    >>> import mlkit
    >>> f = mlkit.compile(lambda x: (x * 2 + 1).relu())
    >>> f(mlkit.tensor([-1.0, 2.0])), f(mlkit.tensor([1.0, -2.0]))
    (tensor([0., 5.]), tensor([3., 0.]))
    """
    settings = Settings(fullgraph, dynamic, backend, mode, options, disable)
    if model is None:
        return lambda fn: compile(
            fn, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options, disable=disable
        )
    if not callable(model):
        raise ArgumentError(f"compile: expected a function or a Module, got {type(model).__name__}.")
    if settings.disable:
        return model
    if isinstance(model, type):
        raise ArgumentError("compile: got a class.", hint="Make the module first: mlkit.compile(Net()).")
    if isinstance(model, Module):
        return model if isinstance(model, OptimizedModule) else OptimizedModule(model, settings)
    if getattr(model, "_compiled", None) is not None:
        return model
    compiled = Compiled(model, settings)

    @functools.wraps(model)
    def call(*args, **kwargs):
        return compiled(args, kwargs)

    call._compiled = compiled  # type: ignore[attr-defined]
    call.explain = lambda: explain(compiled)  # type: ignore[attr-defined]
    call._repr_html_ = lambda: explain(compiled)._repr_html_()  # type: ignore[attr-defined]
    call.reset = compiled.reset  # type: ignore[attr-defined]
    return call


def explain(compiled: Compiled):
    from mlkit.compiler.explain import Explanation

    return Explanation(compiled)


class OptimizedModule(Module):
    """A compiled module: looks like the one inside (``_orig_mod``), whose parameters, attributes and state these are."""

    def __init__(self, module: Module, settings: Settings):
        super().__init__()
        self._modules["_orig_mod"] = module
        object.__setattr__(self, "_settings", settings)
        object.__setattr__(self, "_compiled", Compiled(module, settings))

    @property
    def training(self) -> bool:  # type: ignore[override]
        return self._inner.training

    @training.setter
    def training(self, mode: bool) -> None:
        if "_modules" in self.__dict__:  # Module.__init__ sets it before there is one
            self._inner.train(mode)

    @property
    def _inner(self) -> Module:
        return self._modules["_orig_mod"]

    def __call__(self, *args, **kwargs):
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks:
            return super().__call__(*args, **kwargs)  # the wrapper's own; those of the module inside are inside
        return self._compiled(args, kwargs)

    def forward(self, *args, **kwargs):
        return self._compiled(args, kwargs)

    def __getattr__(self, name: str):
        if name == "_orig_mod":
            return self.__dict__["_modules"]["_orig_mod"]
        return getattr(self.__dict__["_modules"]["_orig_mod"], name)

    def __setattr__(self, name: str, new) -> None:
        if name == "training":
            object.__setattr__(self, name, new)
        else:
            setattr(self._modules["_orig_mod"], name, new)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __getitem__(self, key):
        return self._inner[key]  # type: ignore[index]

    def __len__(self) -> int:
        return len(self._inner)  # type: ignore[arg-type]

    def __iter__(self):
        return iter(self._inner)  # type: ignore[call-overload]

    def __bool__(self) -> bool:
        return True

    def __deepcopy__(self, memo):
        return OptimizedModule(copy.deepcopy(self._inner, memo), self._settings)

    def __reduce__(self):
        return OptimizedModule, (self._inner, self._settings)

    def train(self, mode: bool = True):
        self._inner.train(mode)
        return self

    def explain(self):
        """What was recorded and what became of it: ``print`` it, or let a notebook show it."""
        return explain(self._compiled)

    def reset(self) -> None:
        """Forget the recordings of this module."""
        self._compiled.reset()


def reset() -> None:
    """Forget every recording in this process.

    >>> import mlkit
    >>> mlkit.compiler.reset()
    """
    for compiled in list(all_compiled):
        compiled.reset()


def is_compiling() -> bool:
    """Whether the running code is being recorded."""
    return state.recorder is not None


class _DisableContext:
    def __enter__(self):
        disabled.depth += 1
        return self

    def __exit__(self, *exc):
        disabled.depth -= 1

    def __call__(self, fn):
        return disable(fn)


def disable(fn: Callable | None = None, recursive: bool = True):
    """A function that always runs eagerly: compiled code that calls it runs eagerly too, and says so. Without a function,
    a context in which compiled functions run eagerly.

    >>> import mlkit
    >>> f = mlkit.compile(lambda x: x + 1)
    >>> with mlkit.compiler.disable():
    ...     f(mlkit.ones(1))
    tensor([2.])
    """
    if fn is None:
        return _DisableContext()

    @functools.wraps(fn)
    def call(*args, **kwargs):
        if state.recorder is not None:
            state.recorder.stop(f"{getattr(fn, '__name__', 'a function')} is marked with compiler.disable")
        with _DisableContext():
            return fn(*args, **kwargs)

    return call
