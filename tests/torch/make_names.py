"""Count PyTorch's names: ``python tests/torch/make_names.py`` with torch (and torchvision) installed.

Writes ``mlkit/torch/names.txt``, every public name by path, which tells a misspelt name from one that mlkit lacks; and
``public_names.txt`` beside this file, those of them that are documented: what a program can be expected to use.
"""

import importlib
import inspect
import textwrap
import types
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).parent
NAMES = HERE.parents[1] / "mlkit" / "torch" / "names.txt"


def public(module) -> list[str]:
    """What ``__all__`` says; without it (and for ``torch``, whose list is not whole) what is not from elsewhere."""
    listed = set(getattr(module, "__all__", ()))
    switches = set(dir(type(module))) - set(dir(types.ModuleType))
    inner = getattr(module, "m", None)  # torch.backends.cudnn is an object around its module
    others = set(dir(module)) | (set(dir(inner)) if isinstance(inner, types.ModuleType) else set())
    found = []
    for name in sorted({*listed, *switches, *([] if listed and module.__name__ != "torch" else others)}):
        value = getattr(module, name, None)
        if name.startswith("_") or isinstance(value, (types.ModuleType, str, dict)):
            continue
        if name in listed or name in switches or _belongs(value):
            found.append(name)
    return found


def _belongs(value) -> bool:
    if isinstance(value, (str, dict, list, tuple)) or value is TYPE_CHECKING:
        return False
    owner = getattr(value, "__module__", None) or type(value).__module__
    return owner.partition(".")[0] in ("torch", "torchvision") or (callable(value) and owner == "builtins")


def documented(home, name: str) -> bool:
    """Whether it is a function or class that says something about itself, or a plain value."""
    value = inspect.getattr_static(home, name, None) if isinstance(home, type) else getattr(home, name, None)
    if not callable(value) and not isinstance(value, (property, types.GetSetDescriptorType)):
        return not isinstance(home, type)
    text = getattr(value, "__doc__", None)
    text = text.strip() if isinstance(text, str) else ""
    return bool(text) and not text.startswith(("Members:", "Alias of"))


def main() -> None:
    import torch

    assert torch.__version__
    kept = [line.partition(":")[0] for line in NAMES.read_text("utf-8").splitlines()]
    try:
        import torchvision  # noqa: F401
    except Exception as error:  # another torch's build says so in its own way
        print(f"without torchvision, whose lines stay: {error}")
        old = {line.partition(":")[0]: line for line in NAMES.read_text("utf-8").splitlines()}
    every, some = [], []
    for path in kept:
        if path.startswith("torchvision") and "torchvision" not in globals() | locals():
            every.append(old[path])
            continue
        module = importlib.import_module(path)
        names = public(module)
        every.append(f"{path}: {' '.join(names)}")
        if not path.startswith("torchvision"):
            some.append((path, [name for name in names if documented(module, name)]))
    methods = [n for n in dir(torch.Tensor) if not n.startswith("_") and documented(torch.Tensor, n)]
    some.insert(1, ("torch.Tensor", methods))
    NAMES.write_text("\n".join(every) + "\n", "utf-8")
    lines = [textwrap.fill(" ".join(names), 118, initial_indent=f"{path}: ", subsequent_indent="    ",
                           break_on_hyphens=False, break_long_words=False) for path, names in some if names]  # fmt: skip
    (HERE / "public_names.txt").write_text("\n".join(lines) + "\n", "utf-8")
    print(sum(len(line.split()) - 1 for line in every), "names,", sum(len(names) for _, names in some), "documented")


if __name__ == "__main__":
    main()
