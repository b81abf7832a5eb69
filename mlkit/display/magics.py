"""``%load_ext mlkit``: the cell magics ``%%trace``, ``%%nan`` and ``%%profile``.

Each runs the cell as it is, with gradients and all that it displays, and then shows what happened.
"""

from __future__ import annotations

from typing import Any

from mlkit.display.profile import Profile, Profiler

OPTIONS = {"trace": (), "nan": ("--nan-only",), "profile": ()}


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at ``%load_ext mlkit``."""
    from mlkit.core.rich import install_error_cards

    install_error_cards(shell)
    for name, function in (("trace", _trace), ("nan", _nan), ("profile", _profile)):

        def magic(line: str, cell: str, name: str = name, function: Any = function) -> None:
            return function(shell, _options(name, line), cell)

        magic.__doc__ = function.__doc__
        shell.register_magic_function(magic, "cell", name)


def unload_ipython_extension(shell: Any) -> None:
    """Called by IPython at ``%unload_ext mlkit``."""
    for name in OPTIONS:
        shell.magics_manager.magics["cell"].pop(name, None)


def _options(name: str, line: str) -> list[str]:
    from IPython.core.error import UsageError

    words = line.split()
    unknown = [word for word in words if word not in OPTIONS[name]]
    if unknown:
        known = f"it takes {', '.join(OPTIONS[name])}" if OPTIONS[name] else "it takes no options"
        raise UsageError(f"%%{name}: unknown option {unknown[0]!r}; {known}.")
    return words


_failed = [False]  # whether a magic inside another one ran a cell that failed


def _run(shell: Any, cell: str) -> bool:
    """Run a cell as it is; whether it, and every cell magic in it, went well."""
    _failed[0] = False
    good = shell.run_cell(cell, store_history=False).success and not _failed[0]
    _failed[0] = not good
    return good


def _show(shown: Any) -> None:
    from IPython.display import display

    display(shown)


def _trace(shell: Any, options: list[str], cell: str) -> None:
    """%%trace: run the cell and draw the graph of its operations, with shapes, time and memory."""
    from mlkit.compiler.graph import Graph
    from mlkit.compiler.trace import Tracer
    from mlkit.core import events
    from mlkit.nn.module import Module

    graph = Graph("cell")
    tracer = Tracer(graph)
    for name, value in list(shell.user_ns.items()):
        if isinstance(value, Module) and not name.startswith("_"):  # names for the parameters of the user's models
            for path, parameter in value.named_parameters():
                tracer.names.setdefault(id(parameter), ("parameter", path))
            for path, module in value.named_modules():
                tracer.paths.setdefault(id(module), path or name)
    stops = [events.subscribe("module_enter", tracer.enter), events.subscribe("module_exit", tracer.leave)]
    try:
        with tracer:
            _run(shell, cell)
    finally:
        for stop in stops:
            stop()
    used = {value for node in graph.nodes for value in node.inputs}
    graph.inputs = [key for key, value in graph.values.items() if value.kind == "constant" and value.shape]
    for key in graph.inputs:
        graph.values[key].kind = "input"
    graph.outputs = [key for node in graph.nodes for key in node.outputs if key not in used]
    _show(graph)


def _nan(shell: Any, options: list[str], cell: str) -> None:
    """%%nan [--nan-only]: run the cell; the first NaN or Inf, forward or backward, raises with its line and its inputs."""
    from mlkit.autograd import detect_anomaly

    with detect_anomaly(check_inf="--nan-only" not in options):
        good = _run(shell, cell)
    if good:
        print("no NaN" if "--nan-only" in options else "no NaN, no Inf")


def _profile(shell: Any, options: list[str], cell: str) -> None:
    """%%profile: run the cell and show where its time and memory went, by line and by operation."""
    with Profiler() as profiler:
        _run(shell, cell)
    _show(Profile(profiler))
