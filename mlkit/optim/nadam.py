"""NAdam."""

from __future__ import annotations

from mlkit.optim.optimizer import Optimizer, check_betas, check_lr, not_negative, scalar, zeros_like


class NAdam(Optimizer):
    """Adam that looks ahead along its momentum, as Nesterov does (Dozat 2016, "Incorporating Nesterov momentum into Adam").

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: decay of the running means of the gradient and of its square.
        eps: added to the root of the mean square.
        weight_decay: added to the gradient, or with ``decoupled_weight_decay`` taken from the parameter first.
        momentum_decay: how quickly the momentum rises to betas[0].
        decoupled_weight_decay: weight decay as in AdamW.
        maximize: go up instead of down.
        foreach, capturable: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.NAdam([w], lr=0.5); (w * w).sum().backward(); opt.step(); w
    tensor([0.4718], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        not_negative(weight_decay_value=weight_decay, momentum_decay_value=momentum_decay)
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        return {
            "step": scalar(0.0, group, p),
            "mu_product": scalar(1.0, group, p),
            "exp_avg": zeros_like(p),
            "exp_avg_sq": zeros_like(p),
        }

    def update(self, m, group, p, g, step, mu_product, exp_avg, exp_avg_sq):
        lr, (beta1, beta2), decay = group["lr"], group["betas"], group["momentum_decay"]
        if group["weight_decay"] != 0:
            if group["decoupled_weight_decay"]:
                p *= 1 - lr * group["weight_decay"]
            else:
                g = g + group["weight_decay"] * p
        momentum = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        next_momentum = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
        mu_product *= momentum
        product = float(mu_product)
        exp_avg += (g - exp_avg) * (1 - beta1)
        exp_avg_sq *= beta2
        exp_avg_sq += (1 - beta2) * g * g
        root = m.sqrt(exp_avg_sq / (1 - beta2**step)) + group["eps"]
        p -= (lr * (1.0 - momentum) / (1.0 - product)) * g / root
        p -= (lr * next_momentum / (1.0 - product * next_momentum)) * exp_avg / root
