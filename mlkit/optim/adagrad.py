"""Adagrad."""

from __future__ import annotations

from mlkit.optim.optimizer import Optimizer, check_fused, check_lr, not_negative, scalar, zeros_like


class Adagrad(Optimizer):
    """The gradient divided by the root of the sum of all its squares (Duchi, Hazan & Singer 2011, JMLR 12).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        lr_decay: the rate becomes lr / (1 + (step - 1) * lr_decay).
        weight_decay: added to the gradient: weight_decay * p.
        initial_accumulator_value: where the sum begins.
        eps: added to the root.
        maximize: go up instead of down.
        foreach, fused: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.Adagrad([w], lr=0.5); (w * w).sum().backward(); opt.step(); w
    tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_lr(lr)
        not_negative(
            lr_decay_value=lr_decay,
            weight_decay_value=weight_decay,
            initial_accumulator_value_value=initial_accumulator_value,
            epsilon_value=eps,
        )
        check_fused(fused, foreach, differentiable)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:  # the sums are there from the beginning, as in PyTorch
            for p in group["params"]:
                self.state[p] = self.start(group, p)

    def start(self, group, p):
        begin = group["initial_accumulator_value"]
        return {
            "step": scalar(0.0, group, p),
            "sum": zeros_like(p, complex(begin, begin) if p.is_complex() else begin),
        }

    def update(self, m, group, p, g, step, sum):  # noqa: A002 - PyTorch's name in the state
        if group["weight_decay"] != 0:
            g = g + group["weight_decay"] * p
        lr = group["lr"] / (1 + (step - 1) * group["lr_decay"])
        sum += g * g
        p -= lr * g / (m.sqrt(sum) + group["eps"])
