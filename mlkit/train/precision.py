"""In which precision a training computes: float32, or mixed with bfloat16 or float16."""

from __future__ import annotations

import contextlib
from typing import Any

import mlkit
from mlkit.amp import GradScaler, autocast
from mlkit.core.errors import DataError

__all__ = ["Precision"]

NAMES = {
    "float32": "float32", "fp32": "float32", "32": "float32",
    "bfloat16": "bfloat16", "bf16": "bfloat16", "bf16-mixed": "bfloat16",
    "float16": "float16", "fp16": "float16", "half": "float16", "16": "float16", "16-mixed": "float16",
}  # fmt: skip


class Precision:
    """Autocast for the forward pass, and a scaler for the gradients where the precision is float16.

    Args:
        wanted: "float32" (None), "bf16" or "fp16", or the dtype; True: bfloat16 on the CPU and float16 on a GPU.
        device: "cpu" or "cuda".

    >>> Precision("bf16", "cpu").name
    'bfloat16'
    """

    def __init__(self, wanted: Any, device: str) -> None:
        if wanted is True:
            wanted = "bfloat16" if device == "cpu" else "float16"
        key = "float32" if wanted in (None, False) else str(wanted).rpartition(".")[2].lower()
        if key not in NAMES:
            raise DataError(
                f"Trainer: there is no precision {wanted!r}.", hint='There are "float32", "bf16" and "fp16".'
            )
        self.name = NAMES[key]
        self.device = device
        self.scaler = GradScaler(device) if self.name == "float16" else None

    def region(self) -> contextlib.AbstractContextManager[Any]:
        """``with precision.region():`` the forward pass and the loss belong inside."""
        if self.name == "float32":
            return contextlib.nullcontext()
        return autocast(self.device, dtype=getattr(mlkit, self.name))

    def backward(self, loss: Any) -> None:
        """The gradients of a loss, scaled where the precision needs it."""
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def unscale(self, optimizer: Any) -> None:
        """Give the gradients their true size, to clip or look at them before the step."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def step(self, optimizer: Any) -> bool:
        """The optimizer's step; False where it was left out because the scaled gradients overflowed."""
        if self.scaler is None:
            optimizer.step()
            return True
        before = self.scaler.get_scale()
        self.scaler.step(optimizer)
        self.scaler.update()
        return self.scaler.get_scale() >= before

    def state_dict(self) -> dict[str, Any]:
        return {"name": self.name, "scaler": None if self.scaler is None else self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.scaler is not None and state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
