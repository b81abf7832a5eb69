"""What an object looks like: text, HTML with pictures, MIME bundles, a report.

Nothing here needs a script, a network or a running kernel afterwards. ``register`` teaches it a type of your own;
``html(obj)`` and ``text(obj)`` give what a notebook would show; ``save(obj, path)`` writes it as a page.
"""

from __future__ import annotations

from typing import Any

from mlkit.display.registry import html, mimebundle, register, text, unregister

__all__ = [
    "html",
    "text",
    "mimebundle",
    "register",
    "unregister",
    "summary",
    "Summary",
    "write_report",
    "save",
    "attach_tokenizer",
]

_LAZY = {
    "summary": "mlkit.display.summary",
    "Summary": "mlkit.display.summary",
    "write_report": "mlkit.display.report",
    "save": "mlkit.display.report",
    "attach_tokenizer": "mlkit.display.tensor",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
