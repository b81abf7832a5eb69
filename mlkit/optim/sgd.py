"""Stochastic gradient descent."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.optim.optimizer import Optimizer, check_fused, check_lr, not_negative


class SGD(Optimizer):
    """p -= lr * g, with momentum b = momentum * b + (1 - dampening) * g in place of g, Nesterov's form on request.

    Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        momentum: share of the last step that goes on.
        dampening: share of the gradient held back from the momentum.
        weight_decay: added to the gradient: weight_decay * p.
        nesterov: look ahead along the momentum.
        maximize: go up instead of down.
        foreach, fused: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.SGD([w], lr=0.5); (w * w).sum().backward(); opt.step(); w
    tensor([0.], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_lr(lr)
        not_negative(momentum_value=momentum, weight_decay_value=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueRangeError("Nesterov momentum requires a momentum and zero dampening.")
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def update(self, m, group, p, g, momentum_buffer=None):
        momentum = group["momentum"]
        fresh = None
        if group["weight_decay"] != 0:
            g = g + group["weight_decay"] * p
        if momentum != 0:
            if momentum_buffer is None:  # it starts as the first gradient, undampened
                momentum_buffer = 1 * g
                fresh = {"momentum_buffer": momentum_buffer}
            else:
                momentum_buffer *= momentum
                momentum_buffer += g if group["dampening"] == 0 else (1 - group["dampening"]) * g
            g = g + momentum * momentum_buffer if group["nesterov"] else momentum_buffer
        p -= group["lr"] * g
        return fresh
