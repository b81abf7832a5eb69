"""Adamax."""

from __future__ import annotations

from mlkit.optim.optimizer import Optimizer, check_betas, check_lr, not_negative, scalar, zeros_like


class Adamax(Optimizer):
    """Adam with the largest recent gradient in place of the root mean square (Kingma & Ba 2014, arXiv:1412.6980, sec. 7).

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay of the running mean of the gradient and of its largest size.
        eps: added to the gradient's size.
        weight_decay: added to the gradient: weight_decay * p.
        maximize: go up instead of down.
        foreach, capturable: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.Adamax([w], lr=0.5); (w * w).sum().backward(); opt.step(); w
    tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_lr(lr)
        not_negative(epsilon_value=eps)
        check_betas(betas)
        not_negative(weight_decay_value=weight_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        return {"step": scalar(0.0, group, p), "exp_avg": zeros_like(p), "exp_inf": zeros_like(p)}

    def update(self, m, group, p, g, step, exp_avg, exp_inf):
        beta1, beta2 = group["betas"]
        if group["weight_decay"] != 0:
            g = g + group["weight_decay"] * p
        exp_avg += (g - exp_avg) * (1 - beta1)
        exp_inf[...] = m.maximum(beta2 * exp_inf, m.abs(g) + group["eps"])
        p -= (group["lr"] / (1 - beta1**step)) * exp_avg / exp_inf
