"""Stochastic gradient descent."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.core.value import wrap
from mlkit.optim.optimizer import Optimizer, not_negative


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
        foreach=None,
        differentiable: bool = False,
        fused=None,
    ):
        not_negative(learning_rate=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueRangeError("Nesterov momentum requires a momentum and zero dampening")
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "nesterov": nesterov, "maximize": maximize})

    def update(self, group, p, g, state) -> None:
        array = p._array
        if group["weight_decay"]:
            g = g + group["weight_decay"] * array
        if group["momentum"]:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                state["momentum_buffer"] = wrap(g.copy())
                b = state["momentum_buffer"]._array
            else:
                b = buffer._array
                b *= group["momentum"]
                b += g if group["dampening"] == 0 else (1 - group["dampening"]) * g
            g = g + group["momentum"] * b if group["nesterov"] else b
        array -= group["lr"] * g
