"""Muon."""

from __future__ import annotations

import math

import numpy as np

from mlkit.core.errors import DtypeError, ValueRangeError
from mlkit.core.value import Value
from mlkit.optim.optimizer import Optimizer, check_lr, zeros_like


class Muon(Optimizer):
    """Momentum made orthogonal, for the matrices of hidden layers (Jordan 2024, https://kellerjordan.github.io/posts/muon/).

    Each step goes along U Vᵀ of the momentum U S Vᵀ, found by Newton-Schulz iterations in bfloat16. Biases, embeddings
    and output layers are better left to AdamW.

    Args:
        params: 2-d parameters or groups of them.
        lr: learning rate.
        weight_decay: taken from the parameter first: p *= 1 - lr * weight_decay.
        momentum: decay of the running mean of the gradient.
        nesterov: look ahead along the momentum.
        ns_coefficients: of the iteration's polynomial a x + b x³ + c x⁵.
        eps: the smallest norm divided by.
        ns_steps: number of iterations.
        adjust_lr_fn: None or "original" (times sqrt(max(1, rows / columns))), or "match_rms_adamw" (times
            0.2 sqrt(max(rows, columns)), Liu et al. 2025, arXiv:2502.16982).

    >>> import mlkit
    >>> w = mlkit.eye(2).requires_grad_()
    >>> opt = mlkit.optim.Muon([w], lr=0.1, weight_decay=0.0); (w * w).sum().backward(); opt.step(); bool(w[0, 0] < 1)
    True
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        for name, given in (("momentum", momentum), ("weight decay", weight_decay)):
            if not given >= 0:
                raise ValueRangeError(f"{name} should be >= 0 but is: {given}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueRangeError(f"Adjust learning rate function {adjust_lr_fn} is not supported.")
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueRangeError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {tuple(p.shape)}.",
                        hint="Give it the weights of hidden layers, and the others to AdamW.",
                    )

    def start(self, group, p: Value):
        if p.is_complex():
            raise DtypeError("Muon does not support complex parameters.")
        return {"momentum_buffer": zeros_like(p)}

    def update(self, m, group, p, g, momentum_buffer):
        lr, momentum = group["lr"], group["momentum"]
        momentum_buffer += (g - momentum_buffer) * (1 - momentum)
        direction = g + (momentum_buffer - g) * momentum if group["nesterov"] else momentum_buffer
        direction = orthogonal(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            rate = lr * 0.2 * math.sqrt(max(rows, columns))
        else:
            rate = lr * math.sqrt(max(1, rows / columns))
        p *= 1 - lr * group["weight_decay"]
        p -= rate * direction


def orthogonal(g, coefficients, steps: int, eps: float):
    """The nearest matrix with all singular values about 1 (0.7 to 1.2), each product rounded to bfloat16."""
    if steps >= 100:
        raise ValueRangeError("Number of steps must be less than 100 for computational efficiency.")
    if len(coefficients) != 3:
        raise ValueRangeError("Coefficients must be a tuple of exactly 3 values.")
    a, b, c = coefficients
    x = rounded(g)
    if g.shape[0] > g.shape[1]:
        x = x.T
    x = rounded(x / max(float(rounded((x * x).sum() ** 0.5)), eps))
    for _ in range(steps):
        gram = rounded(x @ x.T)
        gram = rounded(b * gram + c * (gram @ gram))
        x = rounded(a * x + gram @ x)
    return x.T if g.shape[0] > g.shape[1] else x


def rounded(x):
    """The float32 numbers nearest to x that a bfloat16 can hold: half an ulp added (ties to even), the low bits cut."""
    array = x.astype(np.float32) if hasattr(x, "astype") else np.float32(x)
    bits = array.view(np.uint32)
    one = bits.dtype.type(1)
    bits = (bits + ((bits >> bits.dtype.type(16)) & one) + bits.dtype.type(0x7FFF)) & bits.dtype.type(0xFFFF0000)
    return bits.view(np.float32)
