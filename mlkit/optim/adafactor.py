"""Adafactor."""

from __future__ import annotations

from mlkit.core.dtype import finfo, from_numpy_dtype
from mlkit.core.errors import DtypeError, ValueRangeError
from mlkit.core.value import wrap
from mlkit.optim.optimizer import Optimizer, check_lr, scalar, zeros_like


class Adafactor(Optimizer):
    """Mean squares of a matrix kept as one row and one column (Shazeer & Stern 2018, arXiv:1804.04235).

    Args:
        params: parameters or groups of them.
        lr: the largest relative step, and the rate of the weight decay.
        beta2_decay: the mean squares decay by 1 - step ** beta2_decay.
        eps: the smallest mean square divided by (None: the dtype's eps), and the smallest size a parameter counts as.
        d: updates whose root mean square is above this are scaled down to it.
        weight_decay: taken from the parameter first: p *= 1 - lr * weight_decay.
        foreach: how PyTorch would run the step; kept for its files.
        maximize: go up instead of down.

    >>> import mlkit
    >>> w = mlkit.ones(2, 2).requires_grad_()
    >>> opt = mlkit.optim.Adafactor([w], lr=0.5); (w * w).sum().backward(); opt.step(); w.detach()[0]
    tensor([0.5000, 0.5000])
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        check_lr(lr, "Learning rate should be >= 0 but is: {}")
        if not beta2_decay <= 0.0:
            raise ValueRangeError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        for i, given in enumerate(eps, 1):
            if given is not None and not given >= 0:
                raise ValueRangeError(f"epsilon{i} should be >= 0 but is: {given}")
        if not d >= 1.0:
            raise ValueRangeError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueRangeError(f"weight_decay should be >= 0 but is: {weight_decay}")
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        if p.is_complex():
            raise DtypeError("Adafactor does not support complex parameters.")
        state = {"step": scalar(0.0, {}, p)}
        if p.ndim > 1:
            state["row_var"] = wrap(zeros_like(p)._array[..., :1].copy())
            state["col_var"] = wrap(zeros_like(p)._array[..., :1, :].copy())
        else:
            state["variance"] = zeros_like(p)
        return state

    def update(self, m, group, p, g, step, row_var=None, col_var=None, variance=None):
        lr, (eps1, eps2) = group["lr"], group["eps"]
        if eps1 is None:
            eps1 = finfo(from_numpy_dtype(p.dtype)).eps
        fresh = step ** group["beta2_decay"]
        rate = max(eps2, root_mean_square(p)) * min(lr, step**-0.5)
        if group["weight_decay"] != 0:
            p *= 1 - lr * group["weight_decay"]
        square = g * g
        if p.ndim > 1:
            row_var += (square.mean(axis=-1, keepdims=True) - row_var) * fresh
            col_var += (square.mean(axis=-2, keepdims=True) - col_var) * fresh
            square = row_var * col_var / row_var.mean(axis=-2, keepdims=True).clip(min=eps1)
        else:
            variance += (square - variance) * fresh
            square = variance
        change = g / m.sqrt(square.clip(min=eps1 * eps1))
        p -= (rate / max(1.0, root_mean_square(change) / group["d"])) * change


def root_mean_square(x) -> float:
    """sqrt(mean(x**2)), a number."""
    return float((x * x).mean() ** 0.5)
