"""Adadelta."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.optim.optimizer import Optimizer, check_lr, not_negative, scalar, zeros_like


class Adadelta(Optimizer):
    """Steps in the parameter's own units: the ratio of two running root mean squares (Zeiler 2012, arXiv:1212.5701).

    Args:
        params: parameters or groups of them.
        lr: factor on each step.
        rho: decay of both running means.
        eps: added under both roots.
        weight_decay: added to the gradient: weight_decay * p.
        maximize: go up instead of down.
        foreach, capturable: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.Adadelta([w], lr=100.0); (w * w).sum().backward(); opt.step(); w
    tensor([0.6838], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueRangeError(f"Invalid rho value: {rho}", hint="It must be between 0 and 1.")
        not_negative(epsilon_value=eps, weight_decay_value=weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        return {"step": scalar(0.0, group, p), "square_avg": zeros_like(p), "acc_delta": zeros_like(p)}

    def update(self, m, group, p, g, step, square_avg, acc_delta):
        rho, eps = group["rho"], group["eps"]
        if group["weight_decay"] != 0:
            g = g + group["weight_decay"] * p
        square_avg *= rho
        square_avg += (1 - rho) * g * g
        delta = m.sqrt(acc_delta + eps) / m.sqrt(square_avg + eps) * g
        acc_delta *= rho
        acc_delta += (1 - rho) * delta * delta
        p -= group["lr"] * delta
