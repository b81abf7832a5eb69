"""``torch.onnx``."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from mlkit.core.absent import MissingName

__all__ = ["export", "is_in_onnx_export"]


def export(model: Any, args: Any = (), f: Any = None, **options: Any) -> Any:
    """Write a model as ONNX, where mlkit can."""
    if importlib.util.find_spec("mlkit.io.onnx") is not None:
        return importlib.import_module("mlkit.io.onnx").export(model, args, f, **options)
    raise MissingName(
        "torch.onnx.export is not in this version of mlkit.",
        None,
        "Save the numbers with torch.save(model.state_dict(), path), load them into the same model under PyTorch, and "
        "export there.",
    )


def is_in_onnx_export() -> bool:
    """Whether a model is being exported now."""
    return False
