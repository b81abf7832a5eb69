"""ASGD."""

from __future__ import annotations

from mlkit.optim.optimizer import Optimizer, check_lr, not_negative, scalar, zeros_like


class ASGD(Optimizer):
    """Gradient descent whose result is the mean of its path, in the state as "ax" (Polyak & Juditsky 1992).

    Args:
        params: parameters or groups of them.
        lr: learning rate at the start.
        lambd: decay of the parameter, and of the rate: eta = lr / (1 + lambd * lr * step) ** alpha.
        alpha: power of that decay.
        t0: the step from which the mean is taken.
        weight_decay: added to the gradient: weight_decay * p.
        maximize: go up instead of down.
        foreach, capturable: how PyTorch would run the step; kept for its files.
        differentiable: let gradients flow through the step.

    >>> import mlkit
    >>> w = mlkit.tensor([1.0], requires_grad=True)
    >>> opt = mlkit.optim.ASGD([w], lr=0.25, lambd=0.0); (w * w).sum().backward(); opt.step(); w
    tensor([0.5000], requires_grad=True)
    """

    def __init__(
        self,
        params,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        check_lr(lr)
        not_negative(weight_decay_value=weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def start(self, group, p):
        return {
            "step": scalar(0.0, group, p),
            "eta": scalar(float(group["lr"]), group, p),
            "mu": scalar(1.0, group, p),
            "ax": zeros_like(p),
        }

    def update(self, m, group, p, g, step, eta, mu, ax):
        lr, lambd = group["lr"], group["lambd"]
        if group["weight_decay"] != 0:
            g = g + group["weight_decay"] * p
        rate, share = float(eta), float(mu)
        p *= 1 - lambd * rate
        p -= rate * g
        if share == 1:
            ax[...] = p
        else:
            ax += (p - ax) * share
        eta[...] = lr / (1 + lambd * lr * step) ** group["alpha"]
        mu[...] = 1 / max(1, step - group["t0"])
