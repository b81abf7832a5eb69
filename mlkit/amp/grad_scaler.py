"""GradScaler: the loss made larger so that small gradients do not vanish in float16, the gradients smaller again."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.errors import DeviceError, GradientError, MlkitError, ValueRangeError
from mlkit.core.value import Value, mark_mutated
from mlkit.functional.conversion import tensor

READY, UNSCALED, STEPPED = "ready", "unscaled", "stepped"


class ScalerError(MlkitError, AssertionError):
    """A call of GradScaler out of turn, or a factor that cannot be (an AssertionError in PyTorch)."""


class GradScaler:
    """Scale the loss, look for overflow in the gradients, skip the step when there is any, and adapt the scale.

    The scale grows by ``growth_factor`` after ``growth_interval`` steps without overflow and falls by
    ``backoff_factor`` at each overflow.

    Args:
        device: "cuda" or "cpu"; on "cuda" without a GPU it warns and does nothing.
        enabled: False makes it do nothing: scale() returns the loss, step() steps.

    >>> import mlkit
    >>> w = mlkit.ones(2).requires_grad_()
    >>> opt, scaler = mlkit.optim.SGD([w], lr=0.25), mlkit.amp.GradScaler("cpu")
    >>> scaler.scale((w * w).sum()).backward(); scaler.step(opt); scaler.update(); w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._device = device
        self._enabled = enabled
        if enabled and device == "cuda":
            try:
                backends.load("cupy")
            except (DeviceError, ImportError):
                warnings.warn("GradScaler is enabled, but CUDA is not available. Disabling.", stacklevel=2)
                self._enabled = False
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise ScalerError("The growth factor must be > 1.0.", f"got: {growth_factor}")
        if backoff_factor >= 1.0:
            raise ScalerError("The backoff factor must be < 1.0.", f"got: {backoff_factor}")
        self._init_scale = init_scale
        self._scale: Value | None = None
        self._growth_factor = growth_factor
        self._backoff_factor = backoff_factor
        self._growth_interval = growth_interval
        self._growth_tracker = 0
        self._per_optimizer: dict[int, dict[str, Any]] = {}

    def _state_of(self, optimizer) -> dict[str, Any]:
        return self._per_optimizer.setdefault(id(optimizer), {"stage": READY, "overflow": None})

    def _need_scale(self, name: str) -> Value:
        if self._scale is None:
            raise ScalerError(
                f"Attempted {name} but _scale is None.",
                hint="Call scaler.scale(loss).backward() earlier in the iteration.",
            )
        return self._scale

    def scale(self, outputs):
        """The loss (or a nested list of losses) times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Value):
            if self._scale is None:
                self._scale = tensor(self._init_scale, dtype=dtypes.float32, device=outputs.device)
            return outputs * self._scale.to(device=outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueRangeError("outputs must be a Tensor or an iterable of Tensors.")

    def unscale_(self, optimizer) -> None:
        """Divide the gradients by the scale now, to clip or look at them before step()."""
        if not self._enabled:
            return
        scale = self._need_scale("unscale_")
        state = self._state_of(optimizer)
        if state["stage"] == UNSCALED:
            raise GradientError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] == STEPPED:
            raise GradientError("unscale_() is being called after step().")
        inverse = 1.0 / scale.item()
        overflow: Any = False
        looked = False
        given = [p._grad for group in optimizer.param_groups for p in group["params"] if p._grad is not None]
        found = backends.together(given, "unscale_all", given, inverse)
        if found is not None:
            state["overflow"], state["stage"] = bool(found), UNSCALED
            return
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p._grad is None:
                    continue
                g = p._grad._array
                if p._grad.dtype is dtypes.float16:
                    raise ValueRangeError(
                        "Attempting to unscale FP16 gradients.",
                        hint="Keep the parameters in float32 and let autocast cast them.",
                    )
                overflow = overflow | ~backends.for_array(g).m.xp.isfinite(g).all()
                looked = True
                g *= inverse
                mark_mutated(p._grad)
        if looked:
            state["overflow"] = bool(overflow)
        state["stage"] = UNSCALED

    def step(self, optimizer, *args, **kwargs):
        """The optimizer's step, on gradients divided by the scale; left out when one of them is infinite or NaN."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise GradientError("Closure use is not currently supported if GradScaler is enabled.")
        self._need_scale("step")
        state = self._state_of(optimizer)
        if state["stage"] == STEPPED:
            raise GradientError("step() has already been called since the last update().")
        if state["stage"] == READY:
            self.unscale_(optimizer)
        if state["overflow"] is None:
            raise ScalerError("No inf checks were recorded for this optimizer.", hint="It holds no gradients.")
        result = None if state["overflow"] else optimizer.step(*args, **kwargs)
        state["stage"] = STEPPED
        return result

    def update(self, new_scale: float | Value | None = None) -> None:
        """Adapt the scale to what was found since the last update(), or set it to ``new_scale``. Once per iteration."""
        if not self._enabled:
            return
        scale = self._need_scale("update")
        if isinstance(new_scale, Value):
            if new_scale.numel() != 1 or new_scale.requires_grad or new_scale.device.type != self._device:
                raise ScalerError(
                    f"new_scale should be a float or a tensor of one on {self._device} with requires_grad=False."
                )
            scale.fill_(new_scale.item())
        elif new_scale is not None:
            scale.fill_(float(new_scale))
        else:
            found = [state["overflow"] for state in self._per_optimizer.values() if state["overflow"] is not None]
            if not found:
                raise ScalerError("No inf checks were recorded prior to update.", hint="Call step(optimizer) first.")
            if any(found):
                scale.fill_(scale.item() * self._backoff_factor)
                self._growth_tracker = 0
            else:
                self._growth_tracker += 1
                if self._growth_tracker == self._growth_interval:
                    larger = scale.item() * self._growth_factor
                    if larger <= 3.4028234663852886e38:  # what float32 can hold
                        scale.fill_(larger)
                    self._growth_tracker = 0
        self._per_optimizer = {}

    def get_scale(self) -> float:
        """The scale now; 1.0 when disabled."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else self._scale.item()

    def get_growth_factor(self) -> float:
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it does anything."""
        return self._enabled

    def state_dict(self) -> dict:
        """Scale, factors and progress; empty when disabled. Save it after update()."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what ``state_dict`` saved."""
        if not self._enabled:
            return
        if not state_dict:
            raise GradientError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._init_scale = state_dict["scale"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]

    def __getstate__(self) -> dict:
        if self._enabled and self._per_optimizer:
            raise ScalerError("A GradScaler instance may only be pickled after scaler.update().")
        kept = dict(self.__dict__)
        if self._enabled:
            kept["_init_scale"], kept["_scale"] = self.get_scale(), None
        return kept
