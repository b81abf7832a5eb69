"""The signatures of PyTorch's layers and functions, as lines of text kept with the numbers."""

from __future__ import annotations

import inspect

#: PyTorch dispatches these by hand, so their signatures say nothing: (*args, **kwargs)
UNTOLD = "args, kwargs"

ROOMS = ("nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn")


def text(fn) -> str | None:
    """Parameter names and plain defaults; None where Python cannot tell."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return None
    words = []
    for p in parameters:
        default = "" if p.default is p.empty or callable(p.default) else f"={p.default!r}"
        words.append(p.name + default)
    return ", ".join(word for word in words if word != "self")


def found(library, name: str):
    for part in name.split("."):
        library = getattr(library, part, None)
    return library


def public(library) -> dict[str, str]:
    """The signature of every public class (its constructor and forward) and function of the rooms."""
    kept = {}
    for room in ROOMS:
        for name in dir(found(library, room)):
            member = getattr(found(library, room), name)
            if (
                name.startswith("_")
                or not callable(member)
                or not getattr(member, "__module__", "").startswith("torch")
            ):
                continue
            path = f"{room}.{name}"
            if not inspect.isclass(member):
                kept[path] = text(member)
            elif room == "nn":
                kept[path + ".__init__"] = text(member.__init__)
                if "forward" in vars(member):
                    kept[path + ".forward"] = text(member.forward)
    return {path: line for path, line in kept.items() if line is not None and line != UNTOLD}
