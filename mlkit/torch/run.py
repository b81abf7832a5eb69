"""Run a program whose ``import torch`` gives mlkit: a script, a module, a text, what stands on standard input."""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import io
import os
import pkgutil
import sys
import types
from typing import Any

from mlkit.torch import hook

USAGE = """usage: python -m mlkit.torch [-h] (script.py | folder | -m module | -c code | -) [arguments ...]

Runs an unmodified program that imports torch on mlkit. Only imports made by the program's own files are redirected.

  script.py    run this file; a folder or zip file is run by its __main__.py
  -m module    run this module, as python -m does (python -m mlkit.torch -m pytest tests)
  -c code      run this text
  -            run what stands on standard input
  -h, --help   show this help

What is different from PyTorch: the guide "Coming from PyTorch", or python -m mlkit.torch.differences"""


def main(words: list[str]) -> int:
    """Run the program that the command line names and return the exit status; the program's own exits pass through."""
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    kind = words[0] if words[0] in ("-m", "-c") else None
    if kind and len(words) < 2:
        print(
            f"python -m mlkit.torch: {kind} needs a {'module' if kind == '-m' else 'text'}.\n\n{USAGE}", file=sys.stderr
        )
        return 2
    if kind is None and words[0].startswith("-") and words[0] != "-":
        print(f"python -m mlkit.torch: unknown option {words[0]}\n\n{USAGE}", file=sys.stderr)
        return 2
    hook.install()
    _keep_importable()
    try:
        code, module = _program(kind, words)
    except _CannotRun as error:
        print(f"python -m mlkit.torch: {error}", file=sys.stderr)
        return error.status
    except SyntaxError as error:
        _tell(error.with_traceback(None))
        return 1
    return _run(code, module)


class _CannotRun(Exception):
    """There is no such program; the message says which."""

    def __init__(self, text: str, status: int = 2):
        super().__init__(text)
        self.status = status


def _keep_importable() -> None:
    """mlkit stays importable, in worker processes too, when the folder it was found in gives way to the script's."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if not any(os.path.abspath(path) == home for path in sys.path[1:]):
        sys.path.append(home)


def _first_on_path(folder: str) -> None:
    if getattr(sys.flags, "safe_path", False):  # python -P: nothing is put there, so nothing is replaced
        return
    sys.path[0] = folder


def _program(kind: str | None, words: list[str]) -> tuple[Any, types.ModuleType]:
    """The compiled program and the module it runs in; ``sys.argv`` and ``sys.path`` are as `python` would have them."""
    main_module = types.ModuleType("__main__")
    main_module.__dict__["__builtins__"] = builtins
    if kind == "-c":
        sys.argv[:] = ["-c", *words[2:]]
        _first_on_path("")
        return compile(words[1], "<string>", "exec", dont_inherit=True), main_module
    if kind == "-m":
        sys.argv[:] = ["-m", *words[2:]]
        _first_on_path(os.getcwd())
        return _from_spec(_module_spec(words[1]), main_module)
    sys.argv[:] = words
    name = words[0]
    if name == "-":
        _first_on_path("")
        return compile(sys.stdin.read(), "<stdin>", "exec", dont_inherit=True), main_module
    if os.path.isdir(name) or (os.path.isfile(name) and pkgutil.get_importer(name) is not None and _is_archive(name)):
        _first_on_path(name)
        finder = pkgutil.get_importer(name)
        spec = finder.find_spec("__main__") if finder is not None else None  # type: ignore[call-arg]
        if spec is None:
            raise _CannotRun(f"can't find '__main__' module in {name!r}", 1)
        spec.name = "__main__"
        return _from_spec(spec, main_module)
    try:
        with io.open_code(os.path.abspath(name)) as file:
            source = file.read()
    except OSError as error:
        raise _CannotRun(f"can't open file {os.path.abspath(name)!r}: [Errno {error.errno}] {error.strerror}") from None
    path = os.path.abspath(name)
    _first_on_path(os.path.dirname(os.path.realpath(name)))
    main_module.__file__ = path
    main_module.__dict__["__cached__"] = None
    main_module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    return compile(source, path, "exec", dont_inherit=True), main_module


def _is_archive(name: str) -> bool:
    import zipfile

    return zipfile.is_zipfile(name)


def _module_spec(name: str) -> importlib.machinery.ModuleSpec:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name = f"{name}.__main__"
            package, spec = spec, importlib.util.find_spec(name)
            if spec is None:
                raise _CannotRun(
                    f"No module named {name}; {package.name!r} is a package and cannot be directly executed", 1
                )
    except ModuleNotFoundError as error:
        raise _CannotRun(f"Error while finding module specification for {name!r} ({error})", 1) from None
    if spec is None:
        raise _CannotRun(f"No module named {name}", 1)
    return spec


def _from_spec(spec: importlib.machinery.ModuleSpec, module: types.ModuleType) -> tuple[Any, types.ModuleType]:
    code = spec.loader.get_code(spec.name) if spec.loader is not None else None  # type: ignore[attr-defined]
    if code is None:
        raise _CannotRun(f"No code object available for {spec.name}", 1)
    module.__spec__, module.__loader__, module.__package__ = spec, spec.loader, spec.parent
    module.__dict__["__cached__"] = spec.cached
    if spec.origin is not None:
        module.__file__ = spec.origin
        if sys.argv[0] == "-m":
            sys.argv[0] = spec.origin
    return code, module


def _run(code: Any, module: types.ModuleType) -> int:
    sys.modules["__main__"] = module
    try:
        exec(code, module.__dict__)
    except SystemExit:
        raise
    except BaseException as error:
        trace = error.__traceback__
        _tell(error.with_traceback(trace.tb_next if trace is not None else None))
        if isinstance(error, KeyboardInterrupt):
            sys.excepthook = lambda *_: None  # told already; Python ends as it does when interrupted
            raise
        return 1
    return 0


def _tell(error: BaseException) -> None:
    """Show an error as Python does, without the lines that only mlkit.torch adds."""
    _without_our_lines(error, set())
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    sys.excepthook(type(error), error, error.__traceback__)


def _without_our_lines(error: BaseException | None, seen: set[int]) -> None:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    here = os.path.dirname(os.path.abspath(__file__)) + os.sep
    kept = []
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if not (file.startswith(here) and os.path.dirname(file) + os.sep == here):
            kept.append(trace)
        trace = trace.tb_next
    for one, following in zip(kept, [*kept[1:], None]):
        one.tb_next = following
    error.__traceback__ = kept[0] if kept else None
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        _without_our_lines(other, seen)
