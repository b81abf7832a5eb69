"""Models from blocks: a palette, documents, live shapes, and two ways between blocks and Python.

>>> from mlkit.builder import ModelBuilder, palette
>>> ModelBuilder("CNN")
ModelBuilder of CNN: 10 blocks, 20,490 parameters
>>> "Conv2d" in palette()
True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlkit.builder.blocks import palette
    from mlkit.builder.code import write_code
    from mlkit.builder.document import Document
    from mlkit.builder.model_builder import ModelBuilder
    from mlkit.builder.parse import read_code

_HOME = {
    "ModelBuilder": "model_builder",
    "Document": "document",
    "palette": "blocks",
    "read_code": "parse",
    "write_code": "code",
}

__all__ = ["Document", "ModelBuilder", "palette", "read_code", "write_code"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
