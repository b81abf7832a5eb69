"""Rprop."""

from __future__ import annotations

from mlkit.core.errors import ValueRangeError
from mlkit.optim.optimizer import Optimizer, check_lr, scalar, zeros_like


class Rprop(Optimizer):
    """Each value has a step of its own, by the gradient's sign alone (Riedmiller & Braun 1993).

    The step grows while the sign stays and shrinks when it turns; a value whose gradient turned rests for one step.
    For whole batches only: the sign of a mini-batch's gradient says too little.

    Args:
        params: parameters or groups of them.
        lr: the first step.
        etas: (shrink, grow).
        step_sizes: (smallest, largest) step.
        maximize: go up instead of down.
        foreach, capturable: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.Rprop([w], lr=0.5); (w * w).sum().backward(); opt.step(); w
    tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueRangeError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        lr = float(group["lr"])
        first = complex(lr, lr) if p.is_complex() else lr
        return {"step": scalar(0.0, group, p), "prev": zeros_like(p), "step_size": zeros_like(p, first)}

    def update(self, m, group, p, g, step, prev, step_size):
        (shrink, grow), (smallest, largest) = group["etas"], group["step_sizes"]
        agreement = g * prev
        turned = agreement < 0
        grown = m.where(agreement > 0, step_size * grow, m.where(turned, step_size * shrink, step_size))
        step_size[...] = m.minimum(m.maximum(grown, smallest), largest)
        g = m.where(turned, m.zeros_like(g), g)
        p -= m.sign(g) * step_size
        prev[...] = g
