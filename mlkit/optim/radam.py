"""RAdam."""

from __future__ import annotations

from mlkit.optim.optimizer import Optimizer, check_betas, check_lr, not_negative, scalar, zeros_like


class RAdam(Optimizer):
    """Adam that waits until its mean square has seen enough steps (Liu et al. 2019, arXiv:1908.03265).

    While the variance of the mean square is unbounded (the first five steps or so) it is momentum alone; from then on
    the step is rectified by how much of that variance is left.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the root of the mean square.
        weight_decay: added to the gradient, or with ``decoupled_weight_decay`` taken from the parameter first.
        decoupled_weight_decay: weight decay as in AdamW.
        maximize: go up instead of down.
        foreach, capturable: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.RAdam([w], lr=0.25); (w * w).sum().backward(); opt.step(); w
    tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
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
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        return {"step": scalar(0.0, group, p), "exp_avg": zeros_like(p), "exp_avg_sq": zeros_like(p)}

    def update(self, m, group, p, g, step, exp_avg, exp_avg_sq):
        lr, (beta1, beta2) = group["lr"], group["betas"]
        if group["weight_decay"] != 0:
            if group["decoupled_weight_decay"]:
                p *= 1 - lr * group["weight_decay"]
            else:
                g = g + group["weight_decay"] * p
        exp_avg += (g - exp_avg) * (1 - beta1)
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * g * g
        correction1, correction2 = 1 - beta1**step, 1 - beta2**step
        longest = 2 / (1 - beta2) - 1  # the length of the running mean, at last and now
        length = longest - 2 * step * beta2**step / correction2
        change = (lr / correction1) * exp_avg
        if length > 5.0:
            share = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            change = change * (share**0.5 * correction2**0.5) / (m.sqrt(exp_avg_sq) + group["eps"])
        p -= change
